//! Every implementation passes its conformance suite.

use crate::{about, subject};
use loopwright_store::{
    Change, Kind, Layout, Objects, Store, Tables,
    conformance::{objects_conformance, records_conformance, tables_conformance},
    sqlite::{Durability, SqliteRecords},
};
use loopwright_types::subject::Subject;

#[tokio::test]
async fn sqlite_records_conform() {
    let dir = tempfile::tempdir().unwrap();
    for (name, durability) in [("a.db", Durability::Process), ("b.db", Durability::Disk)] {
        let records = SqliteRecords::open(&dir.path().join(name), durability).await.unwrap();
        records_conformance(&records).await.unwrap();
        records.close().await;
    }
}

#[tokio::test]
async fn objects_on_disk_and_in_memory_conform() {
    let dir = tempfile::tempdir().unwrap();
    objects_conformance(&Objects::on_disk(&dir.path().join("objects #1 %41~")).unwrap()).await.unwrap();
    objects_conformance(&Objects::in_memory()).await.unwrap();
}

#[tokio::test]
async fn tables_in_memory_conform() {
    tables_conformance(&Tables::in_memory()).await.unwrap();
}

#[tokio::test]
async fn tables_on_disk_conform() {
    let dir = tempfile::tempdir().unwrap();
    let layout = Layout::new(dir.path().join("my project ü"));
    tables_conformance(&Tables::on_disk(&layout).unwrap()).await.unwrap();
    let spilled = std::fs::read_dir(layout.spill()).unwrap().count();
    assert_eq!(spilled, 1, "only the gate stays in the spill folder");
}

#[tokio::test]
async fn a_project_is_opened_again_as_it_was() {
    let dir = tempfile::tempdir().unwrap();
    assert_eq!(Store::open(dir.path()).await.unwrap_err().kind(), Kind::NotAProject);
    let first = Store::create_or_open(dir.path()).await.unwrap();
    let ada = subject(&first, "Ada");
    first.apply(about(&ada, "subject.created"), vec![Change::put(&ada)]).await.unwrap();

    let second = Store::open(dir.path()).await.unwrap();
    assert_eq!(second.require::<Subject>(&ada.id.0).await.unwrap(), ada);
    assert_eq!(second.subject_id("Ada"), ada.id);
    assert_ne!(second.subject_id("ada"), ada.id);
    assert_eq!(second.secret("signing").unwrap(), first.secret("signing").unwrap());
    let missing = second.require::<Subject>("nobody").await.unwrap_err();
    assert_eq!((missing.kind(), missing.to_string().as_str()), (Kind::NotFound, "no subject `nobody`"));

    // Each sees what the other wrote.
    let mut seen = first.subscribe();
    assert_eq!((*second.subscribe().borrow(), *seen.borrow_and_update()), (1, 1));
    second.apply(about(&ada, "subject.deleted"), vec![Change::Delete(about(&ada, "").about)]).await.unwrap();
    assert_eq!(first.data_version().await.unwrap(), 2);
    assert!(!seen.has_changed().unwrap(), "a subscription is about this process");
    assert_eq!(first.get::<Subject>(&ada.id.0).await.unwrap(), None);
}

#[tokio::test]
async fn a_store_for_tests_is_gone_with_its_last_clone() {
    let store = Store::in_memory().await.unwrap();
    let (dir, clone) = (store.dir().to_path_buf(), store.clone());
    drop(store);
    assert!(dir.join(".loopwright/records.db").exists());
    drop(clone);
    assert!(!dir.exists());
}
