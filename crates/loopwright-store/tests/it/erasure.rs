//! What is deleted is in no byte of any file.

use crate::{about, source_row, subject};
use loopwright_store::{Change, Store, TableKey};
use loopwright_types::{
    DatasetRef, Example, Split, dataset::Origin, feedback::Feedback, id::SubjectId, subject::Subject, trace::Trace,
};
use std::{
    fs,
    path::{Path, PathBuf},
};

const PLANTED: &str = "Zyxwv Planted-Name";

/// Every file below a folder.
fn files(dir: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    entries.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
}

fn files_with(dir: &Path, text: &str) -> Vec<PathBuf> {
    let has = |path: &PathBuf| fs::read(path).unwrap().windows(text.len()).any(|window| window == text.as_bytes());
    files(dir).into_iter().filter(has).collect()
}

fn trace_of(store: &Store, person: &SubjectId, text: &str) -> Trace {
    Trace {
        id: store.new_id("trace").as_str().into(),
        at: store.now(),
        route: "support".into(),
        variant: "live".into(),
        model: "support@1".parse().unwrap(),
        key: None,
        subject: Some(person.clone()),
        input: text.into(),
        output: String::new(),
        tokens_in: 1,
        tokens_out: 1,
        latency_ms: 1.0,
        first_token_ms: 1.0,
        status: 200,
        finish: "stop".into(),
        tag: None,
        detail: Default::default(),
    }
}

#[tokio::test]
async fn the_database_keeps_no_byte_of_a_deleted_person() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::create_or_open(dir.path()).await.unwrap();
    let other_process = Store::open(dir.path()).await.unwrap();
    let person = subject(&store, PLANTED);
    let renamed = Subject { identifiers: Default::default(), external_id: "x".into(), ..person.clone() };
    let traces: Vec<Trace> = (0..300)
        .map(|i| trace_of(&store, &person.id, &format!("{PLANTED} writes {}", "at length ".repeat(i))))
        .collect();
    let comment = Feedback {
        id: "f1".into(),
        trace: traces[0].id.clone(),
        thumb_up: None,
        correction: None,
        comment: Some(PLANTED.into()),
        source: "user".into(),
        at: store.now(),
    };
    let changes = vec![Change::put(&person), Change::Traces(traces), Change::Feedback(vec![comment])];
    store.apply(about(&person, "subject.created"), changes).await.unwrap();
    assert_eq!(other_process.count("subject").await.unwrap(), 1);
    let state = dir.path().join(".loopwright");
    assert!(!files_with(&state, PLANTED).is_empty(), "the test can see what it looks for");

    store.apply(about(&person, "subject.changed"), vec![Change::put(&renamed)]).await.unwrap();
    let gone = vec![Change::DeleteTracesOf(person.id.clone()), Change::Delete(about(&person, "").about)];
    store.apply(about(&person, "subject.erased"), gone).await.unwrap();
    store.erase_free_pages().await.unwrap();
    assert_eq!(files_with(&state, PLANTED), Vec::<PathBuf>::new());
    let mut found = false;
    store.dump_text(|_, text| found |= text.contains(PLANTED)).await.unwrap();
    assert!(!found);
    assert_eq!(other_process.count("subject").await.unwrap(), 0, "others go on reading");
    assert_eq!(other_process.verify_events().await.unwrap().n_links, 3);
}

fn example(id: usize, person: &SubjectId, text: &str) -> Example {
    Example {
        row_id: format!("row-{id}").as_str().into(),
        text: text.into(),
        label: "refund".into(),
        split: Split::Train,
        subject: Some(person.clone()),
        group: None,
        language: "eng".into(),
        cluster: id as u64,
        source: "a.csv".into(),
        origin: Origin::Source,
        ..Example::default()
    }
}

#[tokio::test]
async fn tables_keep_no_byte_of_a_deleted_row() {
    let store = Store::in_memory().await.unwrap();
    let (person, other) = (store.subject_id(PLANTED), store.subject_id("other"));
    let (raw, version) = (TableKey::Raw { dataset: "support".into() }, DatasetRef::new("support", 1));
    let examples = TableKey::Examples(version.clone());
    let text = |id: usize| format!("message {id} of {PLANTED}");
    let tables = store.tables();
    let rows: Vec<_> =
        (0..50).map(|id| source_row(id, if id < 5 { &person } else { &other }, &text(id % 10))).collect();
    tables.write_source_rows(&raw, &rows[5..40]).await.unwrap();
    tables.append_source_rows(&raw, &rows).await.unwrap();
    let mut kept = example(7, &other, "harmless");
    kept.label = "harmless-label".into();
    tables
        .write_examples(&version, &[example(1, &person, PLANTED), kept.clone(), example(2, &person, PLANTED)])
        .await
        .unwrap();

    let dir = store.dir().join(".loopwright/tables");
    assert!(files_with(&dir, PLANTED).len() >= 3, "texts are stored in clear, so that a scan finds them");
    let logs: Vec<_> = files_with(&dir, "harmless").into_iter().chain(files_with(&dir, PLANTED)).collect();
    assert!(logs.iter().all(|path| path.extension().is_some_and(|it| it == "parquet")), "the log holds text: {logs:?}");

    assert_eq!(tables.delete_subject(&raw, &person).await.unwrap(), 5);
    assert_eq!(tables.delete_subject(&examples, &person).await.unwrap(), 2);
    assert_eq!(files_with(&dir, person.as_str()), Vec::<PathBuf>::new());
    assert_eq!(tables.read_examples(&version, None).await.unwrap(), [kept]);
    // The other person quoted the name; those rows go by their text.
    assert_eq!(tables.delete_containing(&raw, &[PLANTED.to_lowercase()]).await.unwrap(), 45);
    assert_eq!(files_with(&dir, PLANTED), Vec::<PathBuf>::new());
    let mut found = false;
    tables.scan_text(|_, text| found |= text.contains(PLANTED)).await.unwrap();
    assert!(!found);
}

#[tokio::test]
async fn parquet_footers_hold_no_statistics_of_text() {
    use deltalake::parquet::file::reader::{FileReader, SerializedFileReader};
    let store = Store::in_memory().await.unwrap();
    let person = store.subject_id("a");
    let rows: Vec<_> = (0..10).map(|id| source_row(id, &person, "text")).collect();
    let key = TableKey::Raw { dataset: "support".into() };
    store.tables().write_source_rows(&key, &rows).await.unwrap();
    let extra = source_row(99, &person, "more");
    store.tables().append_source_rows(&key, &[extra]).await.unwrap();
    store.tables().delete_rows(&key, &["row-3".into()]).await.unwrap();

    let parquet: Vec<PathBuf> = files(&store.dir().join(".loopwright/tables"))
        .into_iter()
        .filter(|path| path.extension().is_some_and(|it| it == "parquet"))
        .collect();
    assert_eq!(parquet.len(), 1);
    let reader = SerializedFileReader::new(fs::File::open(&parquet[0]).unwrap()).unwrap();
    for column in reader.metadata().row_group(0).columns() {
        let name = column.column_descr().name();
        assert_eq!(column.statistics().is_some(), name == "position", "{name}");
        assert_eq!(column.column_index_offset(), None, "{name}");
        assert_eq!(column.bloom_filter_offset(), None, "{name}");
    }
}

#[tokio::test]
async fn leftovers_of_killed_writes_are_removed() {
    let store = Store::in_memory().await.unwrap();
    let key = TableKey::Raw { dataset: "support".into() };
    let person = store.subject_id("a");
    store.tables().write_source_rows(&key, &[source_row(1, &person, "kept")]).await.unwrap();
    let dir = store.dir().join(".loopwright/tables").join(key.path());
    for leftover in [
        "g00000001/part-9.parquet",
        "g00000001/part-8.parquet#1",
        "g00000001/_delta_log/1.json#2",
        "g00000002/x.parquet",
    ] {
        fs::create_dir_all(dir.join(leftover).parent().unwrap()).unwrap();
        fs::write(dir.join(leftover), PLANTED).unwrap();
    }
    assert_eq!(store.tables().read_source_rows(&key).await.unwrap().len(), 1);
    store.tables().vacuum(&key).await.unwrap();
    assert_eq!(files_with(&dir, PLANTED), Vec::<PathBuf>::new());
    assert_eq!(store.tables().read_source_rows(&key).await.unwrap()[0].text, "kept");
}
