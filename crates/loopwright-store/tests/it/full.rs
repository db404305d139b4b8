//! Full disks and sudden deaths: a write has happened whole, or not at all.

use crate::{
    faulty::{Fault, FaultyStore},
    source_row,
};
use bytes::Bytes;
use loopwright_store::{Error, Kind, ObjectKey, Objects, Result, TableKey, Tables};
use loopwright_types::{SourceRow, id::SubjectId};
use object_store::{ObjectStore, memory::InMemory};
use std::sync::Arc;

fn key() -> TableKey {
    TableKey::Raw { dataset: "support".into() }
}

fn rows(n: usize, word: &str) -> Vec<SourceRow> {
    (0..n).map(|id| source_row(id, &SubjectId::new(format!("s{}", id % 3)), &format!("{word} {id}"))).collect()
}

fn faulty(inner: &Arc<InMemory>, fault: Fault) -> Arc<dyn ObjectStore> {
    Arc::new(FaultyStore { inner: inner.clone(), fault })
}

#[tokio::test]
async fn a_full_disk_is_said_so_and_leaves_nothing() {
    let rows = rows(3000, "text");
    for n_bytes in [0, 10, 5_000, 100_000] {
        let memory = Arc::new(InMemory::new());
        let tables = Tables::in_store(faulty(&memory, Fault::full_after(n_bytes)));
        let error = tables.write_source_rows(&key(), &rows).await.unwrap_err();
        assert_eq!(error.kind(), Kind::Full, "{n_bytes}: {error:?}");
        assert!(error.to_string().contains("\nhint: "), "{error}");
        assert!(!tables.exists(&key()).await.unwrap());
        assert_eq!(n_objects(&memory).await, 0, "something was left after {n_bytes} bytes");
        // With room again, the same write succeeds.
        let tables = Tables::in_store(memory);
        tables.write_source_rows(&key(), &rows).await.unwrap();
        assert_eq!(tables.read_source_rows(&key()).await.unwrap(), rows);
    }
}

async fn n_objects(memory: &Arc<InMemory>) -> usize {
    use futures::StreamExt;
    memory.list(None).count().await
}

#[tokio::test]
async fn an_object_that_does_not_fit_is_not_there() {
    let memory = Arc::new(InMemory::new());
    let objects = Objects::in_store(faulty(&memory, Fault::full_after(100)));
    let key = ObjectKey::Report { name: "a".into() };
    objects.put(&key, Bytes::from_static(b"small")).await.unwrap();
    let error = objects.put(&key, Bytes::from(vec![0; 200])).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Full);
    assert_eq!(objects.get(&key).await.unwrap(), "small");
}

/// Does `work` on a table with `before` in it, dying after 0, 1, 2 … changes to the store until it gets through.
/// After each death readers see the rows before or the rows after, and doing it again ends with the rows after.
async fn dies_anywhere<F>(before: &[SourceRow], after: &[SourceRow], work: impl Fn(Tables) -> F) -> usize
where
    F: Future<Output = Result<()>>,
{
    for n_changes in 0..100 {
        let memory = Arc::new(InMemory::new());
        let alive = Tables::in_store(memory.clone());
        if !before.is_empty() {
            alive.write_source_rows(&key(), before).await.unwrap();
        }
        let survived = work(Tables::in_store(faulty(&memory, Fault::dead_after(n_changes)))).await;
        let seen = match alive.read_source_rows(&key()).await {
            Err(error) if error.kind() == Kind::NotFound => Vec::new(),
            seen => seen.unwrap(),
        };
        assert!(seen == before || seen == after, "died after {n_changes} changes: saw {} rows", seen.len());
        work(alive.clone()).await.unwrap();
        assert!(alive.read_source_rows(&key()).await.unwrap() == after, "died after {n_changes} changes");
        alive.vacuum(&key()).await.unwrap();
        assert_eq!(n_objects(&memory).await, 2, "one log entry and one data file, nothing else");
        if survived.is_ok() {
            return n_changes as usize;
        }
    }
    panic!("it never got through");
}

#[tokio::test]
async fn a_write_may_die_anywhere() {
    let (old, new) = (rows(20, "old"), rows(30, "new"));
    let write = |tables: Tables| {
        let new = new.clone();
        async move { tables.write_source_rows(&key(), &new).await }
    };
    let n_first = dies_anywhere(&[], &new, write).await;
    assert!(n_first >= 2, "a data file and a log entry, got {n_first} changes");
    let n_second = dies_anywhere(&old, &new, write).await;
    assert!(n_second >= n_first + 2, "and the old ones are removed, got {n_second} changes");
}

#[tokio::test]
async fn a_deletion_may_die_anywhere() {
    let before = rows(30, "text");
    let after: Vec<SourceRow> = before.iter().filter(|row| row.subject != Some("s1".into())).cloned().collect();
    let delete = |tables: Tables| async move { tables.delete_subject(&key(), &"s1".into()).await.map(|_| ()) };
    dies_anywhere(&before, &after, delete).await;
}

#[test]
fn errors_of_the_operating_system_keep_their_kind() {
    // A real disk's answer, as the object store passes it on.
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("file"), b"").unwrap();
    let error: Error = Objects::on_disk(&dir.path().join("file")).unwrap_err();
    assert_eq!(error.kind(), Kind::Io);
}
