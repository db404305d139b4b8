//! What the tables must do in every object store.

use crate::{
    DroppedFilter, ExampleFilter, Kind, RejectedFilter, Result, RowPage, Stretch, TableKey, Tables, TextFunction,
};
use futures::TryStreamExt;
use loopwright_types::{
    Conversation, DatasetRef, Example, SourceRow, Split, Timestamp,
    conversation::{Role, Turn},
    dataset::{DroppedRow, Origin, RejectedRow},
    id::{RowId, SubjectId},
};
use std::{collections::BTreeSet, sync::Arc};

/// Runs all checks; see the module's text.
pub async fn tables_conformance(tables: &Tables) -> Result<()> {
    assert_eq!(tables.all_tables().await?, [], "the checks need an empty store");
    source_rows(tables).await?;
    examples(tables).await?;
    rows_are_streamed(tables).await?;
    other_rows(tables).await?;
    rows_are_browsed(tables).await?;
    many_rows_are_browsed(tables).await?;
    rows_are_deleted(tables).await?;
    tables_are_queried(tables).await?;
    tables_are_removed(tables).await
}

fn raw() -> TableKey {
    TableKey::Raw { dataset: "my data/ü".into() }
}

fn version() -> DatasetRef {
    DatasetRef::new("support", 1)
}

fn source_row(id: u64, subject: Option<&str>) -> SourceRow {
    SourceRow {
        row_id: format!("row-{id}"),
        source: "month-1.csv".into(),
        row_index: id,
        text: format!("text {id} \u{1F600} \"quoted\"\nline"),
        label: id.is_multiple_of(2).then(|| "refund".into()),
        subject: subject.map(SubjectId::new),
        group: Some(String::new()),
        at: id.is_multiple_of(3).then_some(Timestamp(-1_700_000_000_123 + id as i64)),
        licence: id.is_multiple_of(5).then(|| "CC-BY-4.0".into()),
        tags: (0..id % 3).map(|n| format!("tag {n}")).collect(),
        conversation: id
            .is_multiple_of(7)
            .then(|| Conversation::Turns(vec![Turn::new(Role::User, format!("\"{id}\""))])),
    }
}

async fn source_rows(tables: &Tables) -> Result<()> {
    assert!(!tables.exists(&raw()).await?);
    assert_eq!(tables.read_source_rows(&raw()).await.expect_err("not there").kind(), Kind::NotFound);
    let mut rows: Vec<SourceRow> = (0..20_000).rev().map(|id| source_row(id, Some("s1"))).collect();
    rows[7].row_index = u64::MAX;
    tables.write_source_rows(&raw(), &rows).await?;
    assert!(tables.exists(&raw()).await?);
    assert!(tables.read_source_rows(&raw()).await? == rows, "rows come back as written, in order");

    // A write replaces; an append adds what is not there.
    tables.write_source_rows(&raw(), &rows[..3]).await?;
    assert_eq!(tables.append_source_rows(&raw(), &rows[1..5]).await?, 2);
    assert_eq!(tables.append_source_rows(&raw(), &rows[1..5]).await?, 0);
    assert_eq!(tables.append_source_rows(&raw(), &[]).await?, 0);
    assert_eq!(tables.read_source_rows(&raw()).await?, rows[..5]);
    tables.write_source_rows(&raw(), &[]).await?;
    assert!(tables.exists(&raw()).await?);
    assert_eq!(tables.read_source_rows(&raw()).await?, []);
    assert_eq!(tables.append_source_rows(&raw(), &rows[..2]).await?, 2);
    assert_eq!(tables.read_source_rows(&raw()).await?, rows[..2]);
    Ok(())
}

fn example(id: u64, split: Split, subject: Option<&str>) -> Example {
    let origin = match id {
        3 => Origin::Correction { trace: "t1".into() },
        4 => Origin::Augmented { parent: "row-1".into(), generator: "noise".into() },
        _ => Origin::Source,
    };
    Example {
        row_id: RowId(format!("row-{id}")),
        text: format!("text {id}"),
        label: ["refund", "invoice"][(id % 2) as usize].into(),
        split,
        subject: subject.map(SubjectId::new),
        group: None,
        language: "eng".into(),
        cluster: u64::MAX - id,
        source: "month-1.csv".into(),
        origin,
        at: Some(Timestamp(id as i64)),
        tags: vec!["training".into()],
        ..Example::default()
    }
}

async fn examples(tables: &Tables) -> Result<()> {
    let rows = [
        example(1, Split::Train, Some("s1")),
        example(2, Split::Test, Some("s2")),
        example(3, Split::Train, None),
        example(4, Split::Train, Some("s1")),
    ];
    tables.write_examples(&version(), &rows).await?;
    assert_eq!(tables.read_examples(&version(), None).await?, rows);
    let train = tables.read_examples(&version(), Some(Split::Train)).await?;
    assert_eq!(train, [rows[0].clone(), rows[2].clone(), rows[3].clone()]);
    assert_eq!(tables.read_examples(&version(), Some(Split::Validation)).await?, []);
    let other = DatasetRef::new("support", 10);
    tables.write_examples(&other, &rows[..1]).await?;
    assert_eq!(tables.read_examples(&version(), None).await?.len(), 4, "versions are tables of their own");
    Ok(())
}

async fn rows_are_streamed(tables: &Tables) -> Result<()> {
    let key = TableKey::Raw { dataset: "streamed".into() };
    let rows: Vec<SourceRow> = (0..20_000).map(|id| source_row(id, None)).collect();
    let writing = tables.writing().await?;
    let (mut writer, mut beside) = (writing.source_rows(&key).await?, writing.examples(&version()).await?);
    for batch in rows.chunks(777) {
        writer.push(batch).await?;
    }
    assert!(!tables.exists(&key).await?, "nobody sees rows before the end");
    assert_eq!(writer.finish().await?, 20_000);
    beside.push(&[example(9, Split::Test, None)]).await?;
    beside.abandon().await?;
    drop(writing);
    assert_eq!(tables.read_examples(&version(), None).await?.len(), 4, "an abandoned write changes nothing");
    for again in 0..2 {
        let batches: Vec<Vec<SourceRow>> = tables.stream_source_rows(&key).await?.try_collect().await?;
        let expected = &rows[..];
        assert!(batches.concat()[..20_000] == *expected, "rows come back in order");
        if again == 0 {
            // A second file: the order is that of the positions then, too.
            let new = source_row(20_000, None);
            assert_eq!(tables.append_source_rows(&key, std::slice::from_ref(&new)).await?, 1);
        } else {
            assert_eq!(batches.concat().last(), Some(&source_row(20_000, None)));
        }
    }
    assert_eq!(tables.count_rows(&key).await?, 20_001);
    tables.vacuum_all().await?;
    assert_eq!(tables.count_rows(&key).await?, 20_001);
    tables.drop_table(&key).await
}

async fn other_rows(tables: &Tables) -> Result<()> {
    let step = |id: &str| DroppedRow {
        row_id: id.into(),
        step: "filter".into(),
        reason: "too short (1 < 3)".into(),
        subject: Some("s1".into()),
    };
    let dropped = [step("b"), step("a")];
    tables.write_dropped(&version(), &dropped).await?;
    assert_eq!(tables.read_dropped(&version()).await?, dropped);
    let line = |line, excerpt: &str| RejectedRow {
        source: "a.csv".into(),
        line,
        reason: "expected 4 columns, got 3".into(),
        excerpt: excerpt.into(),
    };
    let rejected = [line(9, "Ada Byron,oops"), line(4, "nobody")];
    let key = TableKey::Rejected { dataset: "support".into() };
    assert_eq!(tables.append_rejected(&key, &rejected).await?, 2);
    assert_eq!(tables.append_rejected(&key, &[line(9, "again"), line(10, "new")]).await?, 1);
    assert_eq!(tables.read_rejected(&key).await?.iter().map(|row| row.line).collect::<Vec<_>>(), [9, 4, 10]);
    assert_eq!(tables.delete_subject(&key, &"s1".into()).await?, 0, "these rows have no subject");
    assert_eq!(tables.delete_containing(&key, &["ada BYRON".into(), String::new()]).await?, 1);
    assert_eq!(tables.read_rejected(&key).await?.iter().map(|row| row.line).collect::<Vec<_>>(), [4, 10]);
    assert_eq!(tables.delete_containing(&key, &[]).await?, 0);
    let error = tables.write_source_rows(&key, &[]).await.expect_err("another kind of rows");
    assert_eq!(error.kind(), Kind::Bug);
    Ok(())
}

fn stretch(offset: u64, limit: usize) -> Stretch {
    Stretch { offset, limit }
}

async fn rows_are_browsed(tables: &Tables) -> Result<()> {
    let absent = tables.browse_examples(&DatasetRef::new("none", 1), &ExampleFilter::default(), stretch(0, 5)).await;
    assert_eq!(absent.expect_err("not there").kind(), Kind::NotFound);
    let narrow = ExampleFilter::default;
    for (filter, ids) in [
        (narrow(), &["row-1", "row-2", "row-3", "row-4"][..]),
        (ExampleFilter { split: Some(Split::Train), ..narrow() }, &["row-1", "row-3", "row-4"]),
        (ExampleFilter { label: Some("refund".into()), ..narrow() }, &["row-2", "row-4"]),
        (ExampleFilter { label: Some("Refund".into()), ..narrow() }, &[]),
        (ExampleFilter { source: Some("month-1.csv".into()), ..narrow() }, &["row-1", "row-2", "row-3", "row-4"]),
        (ExampleFilter { row_id: Some("row-3".into()), ..narrow() }, &["row-3"]),
        (ExampleFilter { text_contains: Some("TEXT 4".into()), ..narrow() }, &["row-4"]),
        (ExampleFilter { text_contains: Some("100%_' --".into()), ..narrow() }, &[]),
        (ExampleFilter { text_contains: Some("text".into()), split: Some(Split::Test), ..narrow() }, &["row-2"]),
    ] {
        let page = tables.browse_examples(&version(), &filter, stretch(0, 5)).await?;
        assert_eq!(page.rows.iter().map(|row| row.row_id.as_str()).collect::<Vec<_>>(), ids, "{filter:?}");
        assert_eq!(page.n_total, ids.len() as u64, "{filter:?}");
    }
    let whole = tables.browse_examples(&version(), &narrow(), stretch(0, 5)).await?;
    assert_eq!(whole.rows, tables.read_examples(&version(), None).await?, "rows come back whole");

    let dropped = |filter| async move { tables.browse_dropped(&version(), &filter, stretch(0, 5)).await };
    let ids = |page: RowPage<DroppedRow>| page.rows.into_iter().map(|row| row.row_id.0).collect::<Vec<_>>();
    let of_step = |step: &str| DroppedFilter { step: Some(step.into()), ..DroppedFilter::default() };
    assert_eq!(ids(dropped(of_step("filter")).await?), ["b", "a"], "in the order they were written");
    assert_eq!(ids(dropped(of_step("near_dedup")).await?), Vec::<String>::new());
    assert_eq!(ids(dropped(DroppedFilter { row_id: Some("a".into()), ..DroppedFilter::default() }).await?), ["a"]);
    let saying = |text: &str| DroppedFilter { reason_contains: Some(text.into()), ..DroppedFilter::default() };
    assert_eq!(ids(dropped(saying("Too Short")).await?), ["b", "a"]);
    assert_eq!(ids(dropped(saying("too long")).await?), Vec::<String>::new());

    let lines = |filter| async move {
        let page = tables.browse_rejected("support", &filter, stretch(0, 5)).await?;
        Ok::<_, crate::Error>(page.rows.into_iter().map(|row| row.line).collect::<Vec<_>>())
    };
    assert_eq!(lines(RejectedFilter::default()).await?, [4, 10], "over several files");
    assert_eq!(
        lines(RejectedFilter { source: Some("b.csv".into()), ..RejectedFilter::default() }).await?,
        Vec::<u64>::new()
    );
    let saying = |text: &str| RejectedFilter { reason_contains: Some(text.into()), ..RejectedFilter::default() };
    assert_eq!(lines(saying("4 COLUMNS")).await?, [4, 10]);
    assert_eq!(lines(saying("nobody")).await?, Vec::<u64>::new(), "the raw text is not searched");
    Ok(())
}

/// More rows than a batch holds, with gaps in their positions.
async fn many_rows_are_browsed(tables: &Tables) -> Result<()> {
    let many = DatasetRef::new("many", 1);
    let rows: Vec<Example> =
        (0..20_000).map(|id| example(id, Split::Train, Some(["a", "b"][(id % 2) as usize]))).collect();
    tables.write_examples(&many, &rows).await?;
    assert_eq!(tables.delete_subject(&TableKey::Examples(many.clone()), &"b".into()).await?, 10_000);
    let kept: Vec<Example> = rows.into_iter().step_by(2).collect();
    for (offset, limit) in [(0, 3), (8_190, 5), (9_998, 5), (10_000, 5), (u64::MAX, 5), (4, 0)] {
        let page = tables.browse_examples(&many, &ExampleFilter::default(), stretch(offset, limit)).await?;
        let expected: Vec<Example> =
            kept.iter().skip(usize::try_from(offset).unwrap_or(usize::MAX)).take(limit).cloned().collect();
        assert_eq!((page.rows, page.n_total), (expected, 10_000), "from {offset}");
    }
    let filter = ExampleFilter { text_contains: Some("99".into()), ..ExampleFilter::default() };
    let fitting: Vec<Example> = kept.into_iter().filter(|row| row.text.contains("99")).collect();
    let page = tables.browse_examples(&many, &filter, stretch(50, 20)).await?;
    assert_eq!((page.rows, page.n_total), (fitting[50..70].to_vec(), fitting.len() as u64));
    let error = tables.browse_examples(&many, &filter, stretch(0, 1_001)).await.expect_err("too many");
    assert_eq!(error.kind(), Kind::Bug);
    tables.drop_table(&TableKey::Examples(many)).await
}

async fn rows_are_deleted(tables: &Tables) -> Result<()> {
    let key = TableKey::Examples(version());
    assert_eq!(tables.delete_subject(&key, &"nobody".into()).await?, 0);
    assert_eq!(tables.delete_subject(&key, &"s1".into()).await?, 2);
    assert_eq!(tables.delete_subject(&key, &"s1".into()).await?, 0);
    let ids = |rows: Vec<Example>| rows.into_iter().map(|row| row.row_id.0).collect::<Vec<_>>();
    assert_eq!(ids(tables.read_examples(&version(), None).await?), ["row-2", "row-3"], "rows of nobody stay");
    assert_eq!(tables.delete_rows(&key, &["row-3".into(), "row-9".into()]).await?, 1);
    assert_eq!(ids(tables.read_examples(&version(), None).await?), ["row-2"]);
    assert_eq!(tables.delete_rows(&key, &[]).await?, 0);
    let absent = TableKey::Examples(DatasetRef::new("none", 1));
    assert_eq!(tables.delete_subject(&absent, &"s1".into()).await?, 0);
    tables.vacuum(&absent).await
}

async fn tables_are_queried(tables: &Tables) -> Result<()> {
    let query = "SELECT label, count(*) AS n FROM examples_support_1 GROUP BY label ORDER BY label";
    assert_eq!(tables.sql(query, &[]).await?, [serde_json::json!({"label": "refund", "n": 1})]);
    assert_eq!(
        tables.sql("SELECT row_id FROM examples_support_1 WHERE false", &[]).await?,
        Vec::<serde_json::Value>::new()
    );
    let joined =
        "SELECT e.row_id, d.subject, e.\"group\" FROM examples_support_1 e CROSS JOIN dropped_support_1 d LIMIT 1";
    assert_eq!(
        tables.sql(joined, &[]).await?,
        [serde_json::json!({"row_id": "row-2", "subject": "s1", "group": null})]
    );
    let loud = |text: &Option<&str>| text.filter(|text| text.ends_with('2')).map(str::to_uppercase);
    let shout = TextFunction { name: "shout".into(), run: Arc::new(move |texts| texts.iter().map(loud).collect()) };
    let asked = "SELECT shout(text) AS loud, shout('no') AS silent FROM examples_support_1 WHERE row_id = 'row-2'";
    let loud = tables.sql(asked, &[shout]).await?;
    assert_eq!(loud, [serde_json::json!({"loud": "TEXT 2", "silent": null})]);
    for refused in
        ["DROP TABLE examples_support_1", "INSERT INTO examples_support_1 SELECT 1", "no sql", "SELECT * FROM none"]
    {
        assert!(tables.sql(refused, &[]).await.is_err(), "{refused}");
    }
    let mut texts = BTreeSet::new();
    let n_texts = tables
        .scan_text(|key, text| {
            texts.insert((key.clone(), text.to_string()));
        })
        .await?;
    assert!(n_texts as usize >= texts.len());
    let has = |key: TableKey, text: &str| texts.contains(&(key, text.to_string()));
    assert!(has(TableKey::Examples(version()), "text 2") && has(raw(), "month-1.csv"));
    assert!(!has(TableKey::Examples(version()), "text 1"), "a deleted row was scanned");
    Ok(())
}

async fn tables_are_removed(tables: &Tables) -> Result<()> {
    let keys = tables.all_tables().await?;
    let rejected = TableKey::Rejected { dataset: "support".into() };
    let (first, tenth) = (version(), DatasetRef::new("support", 10));
    let examples = [TableKey::Examples(first.clone()), TableKey::Examples(tenth)];
    assert_eq!(keys, [&[raw(), rejected][..], &examples, &[TableKey::Dropped(first)]].concat());
    for key in keys {
        tables.drop_table(&key).await?;
        tables.drop_table(&key).await?;
        assert!(!tables.exists(&key).await?);
    }
    assert_eq!(tables.all_tables().await?, []);
    Ok(())
}
