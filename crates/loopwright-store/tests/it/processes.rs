//! Several processes on one project, some of them killed.

use crate::{about, source_row, subject};
use loopwright_store::{Change, Store, TableKey};
use loopwright_types::subject::Subject;
use std::{
    io::{BufRead, BufReader, Lines},
    path::Path,
    process::{Child, ChildStdout, Command, Stdio},
};

const CHILD_DIR: &str = "LOOPWRIGHT_STORE_TEST_DIR";
const CHILD_WORK: &str = "LOOPWRIGHT_STORE_TEST_WORK";

/// This program again, running [`child`] only.
fn spawn(dir: &Path, work: &str) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "processes::child", "--nocapture"])
        .env(CHILD_DIR, dir)
        .env(CHILD_WORK, work)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap()
}

/// Not a test by itself: the body of a spawned process, which says aloud what it has been promised.
#[tokio::test]
async fn child() {
    let (Ok(dir), Ok(work)) = (std::env::var(CHILD_DIR), std::env::var(CHILD_WORK)) else { return };
    let store = Store::create_or_open(Path::new(&dir)).await.unwrap();
    if work == "idle" {
        println!("done: {}", std::fs::read_to_string("/proc/self/status").unwrap().replace('\n', " "));
        return;
    }
    let key = TableKey::Raw { dataset: "support".into() };
    let n_rounds = if work.starts_with("count") { 40 } else { usize::MAX };
    for round in 0..n_rounds {
        let person = subject(&store, &format!("{work} {round}"));
        if work == "rows" {
            let rows: Vec<_> = (0..100).map(|id| source_row(id, &person.id, &format!("round {round}"))).collect();
            store.tables().write_source_rows(&key, &rows).await.unwrap();
        } else {
            store.apply(about(&person, "subject.created"), vec![Change::put(&person)]).await.unwrap();
        }
        println!("done: {}", person.id);
    }
}

/// What a child says. As long as this is kept, the child can go on talking.
fn voice(child: &mut Child) -> Lines<BufReader<ChildStdout>> {
    BufReader::new(child.stdout.take().unwrap()).lines()
}

/// Waits until the child has been promised so many things, or has ended; returns them.
fn promised(voice: &mut Lines<BufReader<ChildStdout>>, n_max: usize) -> Vec<String> {
    let lines = voice.by_ref().map(Result::unwrap);
    lines.filter_map(|line| line.split_once("done: ").map(|(_, id)| id.to_string())).take(n_max).collect()
}

#[tokio::test]
async fn processes_share_one_chain() {
    let dir = tempfile::tempdir().unwrap();
    let mut children = ["count a", "count b", "count c"].map(|work| spawn(dir.path(), work));
    let mut voices = children.each_mut().map(voice);
    let promised = voices.each_mut().map(|voice| promised(voice, usize::MAX));
    assert!(promised.iter().all(|promised| promised.len() == 40));
    assert!(children.iter_mut().all(|child| child.wait().unwrap().success()));
    let store = Store::open(dir.path()).await.unwrap();
    assert_eq!(store.count("subject").await.unwrap(), 120);
    for id in promised.iter().flatten() {
        store.require::<Subject>(id).await.unwrap();
    }
    let report = store.verify_events().await.unwrap();
    assert_eq!((report.n_links, report.broken), (120, None));
}

#[tokio::test]
async fn a_killed_process_loses_nothing_it_was_promised() {
    let dir = tempfile::tempdir().unwrap();
    for n_rounds in [1, 7, 30] {
        let mut child = spawn(dir.path(), &format!("endless {n_rounds}"));
        let mut voice = voice(&mut child);
        let promised = promised(&mut voice, n_rounds);
        child.kill().unwrap();
        child.wait().unwrap();
        let store = Store::open(dir.path()).await.unwrap();
        assert_eq!(promised.len(), n_rounds);
        for id in promised {
            store.require::<Subject>(&id).await.unwrap();
        }
        let report = store.verify_events().await.unwrap();
        assert_eq!((report.n_links, report.broken), (store.count("subject").await.unwrap(), None));
        assert_eq!(store.check().await.unwrap(), Vec::<String>::new());
    }
}

#[tokio::test]
async fn a_killed_writer_leaves_a_whole_table() {
    let dir = tempfile::tempdir().unwrap();
    let key = TableKey::Raw { dataset: "support".into() };
    for n_rounds in [1, 2, 5] {
        let mut child = spawn(dir.path(), "rows");
        // Reads go on while the other process replaces the table again and again.
        let mut voice = voice(&mut child);
        assert_eq!(promised(&mut voice, n_rounds).len(), n_rounds);
        let store = Store::open(dir.path()).await.unwrap();
        for _ in 0..5 {
            whole_table(&store, &key).await;
        }
        child.kill().unwrap();
        child.wait().unwrap();
        whole_table(&store, &key).await;
        let person = store.subject_id("after");
        store.tables().write_source_rows(&key, &[source_row(1, &person, "after")]).await.unwrap();
        assert_eq!(store.tables().read_source_rows(&key).await.unwrap().len(), 1);
    }
}

/// A hundred rows, all of the same round.
async fn whole_table(store: &Store, key: &TableKey) {
    let rows = store.tables().read_source_rows(key).await.unwrap();
    assert_eq!(rows.len(), 100);
    assert!(rows.iter().all(|row| row.text == rows[0].text && row.subject == rows[0].subject));
}

/// A server that waits holds an open store all the time; queries bring their own memory and give it back.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn an_open_store_is_small() {
    let dir = tempfile::tempdir().unwrap();
    let mut child = spawn(dir.path(), "idle");
    let status = promised(&mut voice(&mut child), usize::MAX).pop().unwrap();
    child.wait().unwrap();
    let (_, rss) = status.split_once("VmRSS:").unwrap();
    let rss_kib: u64 = rss.split_whitespace().next().unwrap().parse().unwrap();
    assert!(rss_kib < 40 * 1024, "an open store takes {rss_kib} KiB");
}
