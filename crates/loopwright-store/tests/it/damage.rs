//! Damaged files are named, and left as they are.

use crate::{about, subject};
use loopwright_store::{Change, Kind, Store};
use loopwright_types::subject::Subject;
use sqlx::Connection;
use std::{fs, path::Path};

async fn project_with_subjects(dir: &Path, n: usize) {
    let store = Store::create_or_open(dir).await.unwrap();
    let subjects: Vec<Subject> = (0..n).map(|i| subject(&store, &format!("person {i}"))).collect();
    let changes = subjects.iter().map(Change::put).collect();
    store.apply(about(&subjects[0], "subjects.created"), changes).await.unwrap();
    store.erase_free_pages().await.unwrap();
}

async fn fails_as_damaged(dir: &Path, bytes: &[u8]) {
    let db = dir.join(".loopwright/records.db");
    for leftover in ["-wal", "-shm"] {
        fs::remove_file(format!("{}{leftover}", db.display())).ok();
    }
    fs::write(&db, bytes).unwrap();
    let opened = match Store::open(dir).await {
        Ok(store) => store.list::<Subject>(&Default::default()).await.map(|_| ()),
        Err(error) => Err(error),
    };
    let error = opened.unwrap_err();
    assert_eq!(error.kind(), Kind::Damaged, "{error:?}");
    assert!(error.to_string().contains("\nhint: "), "{error}");
    assert_eq!(fs::read(&db).unwrap(), bytes, "the file was changed");
}

#[tokio::test]
async fn a_damaged_database_is_named_and_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    project_with_subjects(dir.path(), 500).await;
    let whole = fs::read(dir.path().join(".loopwright/records.db")).unwrap();
    let mut smashed = whole.clone();
    smashed[4096..].fill(0xA5);
    let mut wrong_magic = whole.clone();
    wrong_magic[3] ^= 1;
    for bytes in
        [b"this is no database, but longer than its magic".to_vec(), Vec::new(), b"x".to_vec(), smashed, wrong_magic]
    {
        fails_as_damaged(dir.path(), &bytes).await;
    }
    // The same file restored opens again.
    fs::write(dir.path().join(".loopwright/records.db"), &whole).unwrap();
    let store = Store::open(dir.path()).await.unwrap();
    assert_eq!(store.count("subject").await.unwrap(), 500);
    assert_eq!(store.check().await.unwrap(), Vec::<String>::new());
}

#[tokio::test]
async fn a_lost_secret_is_not_replaced() {
    let dir = tempfile::tempdir().unwrap();
    project_with_subjects(dir.path(), 1).await;
    fs::remove_file(dir.path().join(".loopwright/secrets/subjects")).unwrap();
    for opened in [Store::open(dir.path()).await, Store::create_or_open(dir.path()).await] {
        assert_eq!(opened.unwrap_err().kind(), Kind::Damaged);
    }
}

#[tokio::test]
async fn a_database_of_a_newer_program_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    project_with_subjects(dir.path(), 1).await;
    let url = format!("sqlite://{}", dir.path().join(".loopwright/records.db").display());
    let mut db = sqlx::SqliteConnection::connect(&url).await.unwrap();
    let newer = "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time)
        VALUES (9999, 'later', 1, x'00', 0)";
    sqlx::query(newer).execute(&mut db).await.unwrap();
    let error = Store::open(dir.path()).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Conflict);
    assert!(error.to_string().contains("\nhint: "), "{error}");
}

#[tokio::test]
async fn tampering_with_the_event_log_is_placed() {
    let store = Store::in_memory().await.unwrap();
    let ada = subject(&store, "Ada");
    for _ in 0..2500 {
        store.apply(about(&ada, "subject.changed"), vec![]).await.unwrap();
    }
    let report = store.verify_events().await.unwrap();
    assert_eq!((report.n_links, report.broken), (2500, None));
    let url = format!("sqlite://{}", store.dir().join(".loopwright/records.db").display());
    let mut db = sqlx::SqliteConnection::connect(&url).await.unwrap();
    let cases = [
        ("UPDATE events SET actor = 'nobody' WHERE seq = 2400", 2400),
        ("UPDATE events SET body = 'no json' WHERE seq = 1700", 1700),
        ("DELETE FROM events WHERE seq = 1001", 1001),
        ("UPDATE events SET hash = prev WHERE seq = 1", 1),
    ];
    for (tampering, seq) in cases {
        sqlx::query(tampering).execute(&mut db).await.unwrap();
        let report = store.verify_events().await.unwrap();
        assert_eq!((report.broken.unwrap().seq, report.n_links), (seq, seq - 1), "{tampering}");
    }
}
