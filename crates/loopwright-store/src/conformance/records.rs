//! What every database of records must do.

use crate::{
    Change, Direction, EntityRow, FeedbackQuery, Kind, ListQuery, Records, Result, TraceQuery, change::Write, events,
    journal::JournalMark, lineage,
};
use loopwright_types::{
    EntityRef, ModelRef, Timestamp,
    event::{ChainCheck, Event, NewEvent},
    feedback::Feedback,
    id::{JobId, RunId, SubjectId, TraceId},
    job::{Job, JobState, NewJob},
    key::{Amount, Spending},
    lineage::Edge,
    run::MetricPoint,
    trace::{CacheState, Trace, TraceDetail},
};
use serde_json::json;

/// Runs all checks; see the module's text.
pub async fn records_conformance(records: &dyn Records) -> Result<()> {
    assert_eq!(records.last_seq().await?, 0, "the checks need an empty database");
    assert_eq!(records.last_event().await?, None);
    documents(records).await?;
    writes_are_atomic(records).await?;
    floats_come_back_to_the_bit(records).await?;
    metrics(records).await?;
    traces(records).await?;
    feedback(records).await?;
    spendings(records).await?;
    people_are_removed(records).await?;
    edges(records).await?;
    jobs_run_once(records).await?;
    jobs_survive_their_workers(records).await?;
    every_text_is_dumped(records).await?;
    assert_eq!(records.check().await?, Vec::<String>::new());
    the_chain_holds(records).await
}

fn write(at: i64, changes: Vec<Change>) -> Write {
    let event = NewEvent::new("test", "thing.changed", EntityRef::new("thing", at.to_string()));
    Write { at: Timestamp(at), event, changes, finishes: None }
}

async fn apply(records: &dyn Records, changes: Vec<Change>) -> Result<Event> {
    records.apply(write(1, changes)).await
}

fn document(kind: &str, id: &str, state: &str, body: serde_json::Value) -> EntityRow {
    EntityRow { kind: kind.into(), id: id.into(), state: state.into(), body }
}

async fn documents(records: &dyn Records) -> Result<()> {
    let row = |id: &str, state: &str, n: u64| document("thing", id, state, json!({"b": "ü \u{0}\"'", "a": n}));
    let put = |id: &str, state: &str, n: u64| Change::Put(row(id, state, n));
    apply(records, vec![put("x@2", "live", 1), put("x@10", "live", 2), put("y@1", "old", 3)]).await?;
    apply(records, vec![put("x@2", "old", 4), Change::Put(document("other", "x@2", "", json!(null)))]).await?;

    assert_eq!(records.entity("thing", "x@2").await?, Some(row("x@2", "old", 4)));
    assert_eq!(records.entity("thing", "z@1").await?, None);
    assert_eq!((records.count("thing").await?, records.count("other").await?, records.count("none").await?), (3, 1, 0));
    let newest = ListQuery::default();
    let oldest = ListQuery { newest_first: false, ..ListQuery::default() };
    let state = |state: &str| ListQuery { state: Some(state.into()), ..ListQuery::default() };
    let prefix = |prefix: &str| ListQuery { id_prefix: Some(prefix.into()), ..ListQuery::default() };
    let page = ListQuery { limit: 1, offset: 1, ..ListQuery::default() };
    let cases: [(ListQuery, &[&str]); 8] = [
        (newest, &["y@1", "x@10", "x@2"]), // a replaced document keeps its place
        (oldest, &["x@2", "x@10", "y@1"]),
        (state("old"), &["y@1", "x@2"]),
        (state(""), &[]),
        (prefix("x@"), &["x@10", "x@2"]),
        (prefix("%"), &[]),
        (prefix("_"), &[]),
        (page, &["x@10"]),
    ];
    for (query, expected) in cases {
        let found: Vec<String> = records.entities("thing", &query).await?.into_iter().map(|row| row.id).collect();
        assert_eq!(found, expected, "{query:?}");
    }
    apply(records, vec![Change::Delete(EntityRef::new("thing", "x@2"))]).await?;
    assert_eq!(records.entity("thing", "x@2").await?, None);
    assert!(records.entity("other", "x@2").await?.is_some());
    Ok(())
}

async fn writes_are_atomic(records: &dyn Records) -> Result<()> {
    let before = records.last_event().await?;
    let orphan = feedback_on("no-such-trace", "f-orphan", 1);
    let changes = vec![Change::Put(document("half", "written", "", json!(1))), Change::Feedback(vec![orphan])];
    let error = apply(records, changes).await.expect_err("feedback needs its trace");
    assert_eq!(error.kind(), Kind::NotFound);
    assert_eq!(records.entity("half", "written").await?, None);
    assert_eq!(records.last_event().await?, before);
    Ok(())
}

async fn floats_come_back_to_the_bit(records: &dyn Records) -> Result<()> {
    let floats = [0.1 + 0.2, 1e-310, 123456789.12345679, f64::MAX, 5e-324, 2.5e-17, -0.0];
    let row = document("floats", "1", "", json!(floats));
    let event = NewEvent::new("test", "floats.written", EntityRef::new("floats", "1")).with_body(json!({"at": floats}));
    let write = Write { at: Timestamp(2), event, changes: vec![Change::Put(row.clone())], finishes: None };
    let written = records.apply(write).await?;
    assert_eq!(records.entity("floats", "1").await?, Some(row));
    let read = records.last_event().await?.expect("it was just written");
    assert_eq!(read, written);
    assert!(read.is_intact(), "the hash is over the text of the floats");
    Ok(())
}

async fn metrics(records: &dyn Records) -> Result<()> {
    let point = |name: &str, step, value| MetricPoint { name: name.into(), step, value, at: Timestamp(5) };
    let run = RunId::new("run_1");
    let points = vec![point("loss", 10, 2.0), point("loss", 2, f64::INFINITY), point("accuracy", 10, 0.5)];
    apply(records, vec![Change::Metrics { run: run.clone(), points }]).await?;
    // A resumed run repeats a step, and diverges.
    let points = vec![point("loss", 10, 1.5), point("loss", 11, f64::NAN)];
    apply(records, vec![Change::Metrics { run: run.clone(), points }]).await?;

    let loss = records.run_metrics(&run, Some("loss")).await?;
    let steps: Vec<(u64, String)> = loss.iter().map(|point| (point.step, point.value.to_string())).collect();
    assert_eq!(steps, [(2, "inf".into()), (10, "1.5".into()), (11, "NaN".into())]);
    let all = records.run_metrics(&run, None).await?;
    assert_eq!((all.len(), all[0].name.as_str()), (4, "accuracy"));
    assert_eq!(records.run_metrics(&RunId::new("run_2"), None).await?, []);
    apply(records, vec![Change::Delete(EntityRef::new("run", "run_1"))]).await?;
    assert_eq!(records.run_metrics(&run, None).await?, []);
    Ok(())
}

fn trace(id: &str, at: i64, subject: Option<&str>) -> Trace {
    Trace {
        id: id.into(),
        at: Timestamp(at),
        route: "support".into(),
        variant: "live".into(),
        model: ModelRef::new("support", 3),
        key: None,
        subject: subject.map(SubjectId::new),
        input: format!("Where is my order {id}?"),
        output: "{\"intent\":\"Order\"}".into(),
        tokens_in: 12,
        tokens_out: u32::MAX,
        latency_ms: 1.25,
        first_token_ms: 0.1,
        status: 200,
        finish: "stop".into(),
        tag: None,
        detail: Default::default(),
    }
}

async fn traces(records: &dyn Records) -> Result<()> {
    let month = |id: &str, at| Trace { tag: Some("month-1".into()), ..trace(id, at, Some("s1")) };
    let detail = TraceDetail { cost_micro_usd: 7, cache: CacheState::Miss, ..TraceDetail::default() };
    let canary = Trace { variant: "canary".into(), key: Some("k1".into()), detail, ..month("t4", 40) };
    let other = Trace { route: "other".into(), input: "100%_x".into(), ..trace("t5", 40, None) };
    let all = [month("t1", 10), month("t3", 30), month("t2", 20), canary.clone(), other.clone()];
    apply(records, vec![Change::Traces(all.to_vec())]).await?;

    let any = TraceQuery::default;
    let ids = |ids: &[&str]| Some(ids.iter().map(|id| TraceId::from(*id)).collect::<Vec<_>>());
    let cases: [(TraceQuery, &[&str]); 13] = [
        (any(), &["t5", "t4", "t3", "t2", "t1"]),
        (TraceQuery { newest_first: false, limit: 2, offset: 1, ..any() }, &["t2", "t3"]),
        (TraceQuery { route: Some("support".into()), ..any() }, &["t4", "t3", "t2", "t1"]),
        (TraceQuery { variant: Some("canary".into()), ..any() }, &["t4"]),
        (TraceQuery { tag: Some("month-1".into()), variant: Some("live".into()), ..any() }, &["t3", "t2", "t1"]),
        (TraceQuery { subject: Some("s1".into()), limit: 1, ..any() }, &["t4"]),
        (TraceQuery { since: Some(Timestamp(20)), until: Some(Timestamp(40)), ..any() }, &["t3", "t2"]),
        (TraceQuery { text_contains: Some("ORDER T2".into()), ..any() }, &["t2"]),
        (TraceQuery { text_contains: Some("\"intent\"".into()), limit: 9, ..any() }, &["t5", "t4", "t3", "t2", "t1"]),
        (TraceQuery { text_contains: Some("%_".into()), ..any() }, &["t5"]),
        (TraceQuery { ids: ids(&["t5", "t1", "none", "it's"]), ..any() }, &["t5", "t1"]),
        (TraceQuery { ids: ids(&[]), ..any() }, &[]),
        (TraceQuery { route: Some("none".into()), ..any() }, &[]),
    ];
    for (query, expected) in cases {
        let found: Vec<String> = records.traces(&query).await?.into_iter().map(|trace| trace.id.0).collect();
        assert_eq!(found, expected, "{query:?}");
    }
    let first_two = TraceQuery { limit: 2, ..any() };
    assert_eq!(records.traces(&first_two).await?, [other, canary], "every field comes back");
    assert_eq!(records.count_traces(&first_two).await?, 5, "a count has no limit");
    let tagged = TraceQuery { tag: Some("month-1".into()), ..any() };
    assert_eq!(records.count_traces(&tagged).await?, 4);

    // More than one statement takes; the second time, each once more and some new.
    let many = |n: i64, route: &str| -> Vec<Trace> {
        (0..n).map(|i| Trace { route: route.into(), ..trace(&format!("many{i}"), 100 + i, Some("s1")) }).collect()
    };
    for (n, route) in [(70, "first"), (99, "second")] {
        let twice = [many(n, "before"), many(n, route)].concat();
        apply(records, vec![Change::Traces(twice)]).await?;
        let oldest_first = TraceQuery { since: Some(Timestamp(100)), newest_first: false, limit: 1_000, ..any() };
        assert_eq!(records.traces(&oldest_first).await?, many(n, route));
    }
    Ok(())
}

async fn spendings(records: &dyn Records) -> Result<()> {
    let of = |key: &str, minute: i64, n: u64| {
        let used = Amount { requests: n, tokens: 10 * n, micro_usd: 100 * n };
        Spending { key: key.into(), minute: Some(minute), used }
    };
    let spend = |slot: u32, offset: u64, spendings: Vec<Spending>| {
        vec![Change::Spend { mark: JournalMark { slot, segment: 1, offset }, spendings }]
    };
    apply(records, spend(0, 8, vec![of("k1", 5, 1), of("k2", 5, 2)])).await?;
    apply(records, spend(1, 8, vec![of("k1", 5, 3), of("k1", 6, 1)])).await?;
    let again = apply(records, spend(0, 8, vec![of("k1", 5, 1)])).await;
    assert_eq!(again.expect_err("a place is folded in once").kind(), Kind::Conflict);
    let total = |key: &str, n: u64| Spending { minute: None, ..of(key, 0, n) };
    let found = records.spendings(None, 0).await?;
    assert_eq!(found, [total("k1", 5), of("k1", 5, 4), of("k1", 6, 1), total("k2", 2), of("k2", 5, 2)]);
    assert_eq!(records.spendings(Some(&"k1".into()), 6).await?, [total("k1", 5), of("k1", 6, 1)]);
    let marks = records.journal_marks().await?;
    assert_eq!(marks, [0, 1].map(|slot| JournalMark { slot, segment: 1, offset: 8 }));
    Ok(())
}

fn feedback_on(trace: &str, id: &str, at: i64) -> Feedback {
    Feedback {
        id: id.into(),
        trace: trace.into(),
        thumb_up: None,
        correction: None,
        comment: None,
        source: "user".into(),
        at: Timestamp(at),
    }
}

async fn feedback(records: &dyn Records) -> Result<()> {
    let thumb = Feedback { thumb_up: Some(false), ..feedback_on("t1", "f2", 60) };
    let right = Feedback { correction: Some("refund".into()), ..feedback_on("t1", "f1", 70) };
    let elsewhere = Feedback { comment: Some("hm".into()), thumb_up: Some(true), ..feedback_on("t5", "f3", 50) };
    let all = vec![thumb.clone(), right.clone(), elsewhere.clone()];
    apply(records, vec![Change::Feedback(all)]).await?;
    // Replacing a trace keeps what was said about it.
    let replaced = Trace { tag: Some("month-1".into()), ..trace("t1", 10, Some("s1")) };
    apply(records, vec![Change::Traces(vec![replaced])]).await?;

    let any = FeedbackQuery::default;
    let cases = [
        (any(), vec![elsewhere, thumb.clone(), right.clone()]),
        (FeedbackQuery { trace: Some("t1".into()), ..any() }, vec![thumb.clone(), right.clone()]),
        (FeedbackQuery { tag: Some("month-1".into()), limit: 1, ..any() }, vec![thumb]),
        (FeedbackQuery { corrections_only: true, ..any() }, vec![right.clone()]),
        (FeedbackQuery { limit: 1, offset: 2, ..any() }, vec![right]),
    ];
    for (query, expected) in cases {
        assert_eq!(records.feedback(&query).await?, expected, "{query:?}");
    }
    Ok(())
}

async fn people_are_removed(records: &dyn Records) -> Result<()> {
    apply(records, vec![Change::DeleteTracesOf("s1".into())]).await?;
    let left = records.traces(&TraceQuery::default()).await?;
    assert_eq!(left.iter().map(|trace| trace.id.as_str()).collect::<Vec<_>>(), ["t5"]);
    let left = records.feedback(&FeedbackQuery::default()).await?;
    assert_eq!(left.iter().map(|feedback| feedback.id.as_str()).collect::<Vec<_>>(), ["f3"]);
    Ok(())
}

async fn edges(records: &dyn Records) -> Result<()> {
    let at = |id: &str| EntityRef::new("node", id);
    let edge = |from: &str, to: &str| Edge::new(at(from), "made", at(to));
    // A diamond, its tail leading back to its head.
    let all = [("a", "c"), ("a", "b"), ("b", "d"), ("c", "d"), ("d", "a"), ("a", "c")];
    apply(records, all.map(|(from, to)| Change::Link(edge(from, to))).to_vec()).await?;
    assert_eq!(records.edges(&at("a"), Direction::Down).await?, [edge("a", "c"), edge("a", "b")]);
    assert_eq!(records.edges(&at("d"), Direction::Up).await?, [edge("b", "d"), edge("c", "d")]);
    let down = lineage::reach(records, &at("a"), Direction::Down).await?;
    assert_eq!(down, [at("c"), at("b"), at("d")]);
    let up = lineage::reach(records, &at("d"), Direction::Up).await?;
    assert_eq!(up, [at("b"), at("c"), at("a")]);
    apply(records, vec![Change::Unlink(at("d"))]).await?;
    assert_eq!(lineage::reach(records, &at("a"), Direction::Down).await?, [at("c"), at("b")]);
    assert_eq!(records.edges(&at("d"), Direction::Down).await?, []);
    Ok(())
}

fn new_job(kind: &str, key: &str) -> NewJob {
    NewJob { kind: kind.into(), idempotency_key: key.into(), payload: json!({"n": 1}) }
}

async fn lease(records: &dyn Records, kinds: &[&str], now: i64, until: i64) -> Result<Option<Job>> {
    records.lease_job(kinds, Timestamp(now), Timestamp(until)).await
}

async fn jobs_run_once(records: &dyn Records) -> Result<()> {
    let enqueue = |kind: &str, key: &str| Change::Enqueue(new_job(kind, key));
    apply(records, vec![enqueue("train", "k1"), enqueue("erase", "k2"), enqueue("train", "k1")]).await?;
    apply(records, vec![enqueue("train", "k1"), enqueue("train", "k3")]).await?;
    assert_eq!(records.jobs(Some(JobState::Queued), 10).await?.len(), 3, "a key is queued once");
    assert_eq!(lease(records, &["none"], 100, 200).await?, None);
    assert_eq!(lease(records, &[], 100, 200).await?, None);

    let first = lease(records, &["train", "x"], 100, 200).await?.expect("k1 waits");
    assert_eq!((&first.job, first.state, first.attempts), (&new_job("train", "k1"), JobState::Leased, 1));
    assert_eq!(first.leased_until, Some(Timestamp(200)));
    let second = lease(records, &["train"], 150, 250).await?.expect("k3 waits");
    assert_eq!(second.job.idempotency_key, "k3");
    assert_eq!(lease(records, &["train"], 150, 250).await?, None, "both are leased");

    let finish = Write { finishes: Some(first.id.clone()), ..write(7, vec![enqueue("train", "k1")]) };
    let event = records.apply(finish.clone()).await?;
    assert_eq!(records.last_event().await?, Some(event));
    assert_eq!(records.jobs(Some(JobState::Done), 10).await?.len(), 1);
    assert_eq!(lease(records, &["train"], 150, 250).await?, None, "a done job's key is not queued again");
    // Finishing twice is refused, and nothing of it happens.
    let before = records.last_seq().await?;
    assert_eq!(records.apply(finish).await.expect_err("it is done").kind(), Kind::Conflict);
    assert_eq!(records.last_seq().await?, before);
    Ok(())
}

async fn jobs_survive_their_workers(records: &dyn Records) -> Result<()> {
    // The worker of k3 held it until 250 and died.
    assert_eq!(lease(records, &["train"], 250, 300).await?, None, "a lease holds to its last millisecond");
    let again = lease(records, &["train"], 251, 300).await?.expect("the lease ran out");
    assert_eq!((again.job.idempotency_key.as_str(), again.attempts), ("k3", 2));
    assert!(records.renew_job(&again.id, Timestamp(400)).await?);
    assert_eq!(lease(records, &["train"], 350, 450).await?, None, "it was renewed");

    assert_eq!(records.fail_job(&again.id, "no luck", 3).await?, JobState::Queued);
    assert!(!records.renew_job(&again.id, Timestamp(400)).await?, "it is not leased");
    assert_eq!(records.fail_job(&again.id, "x", 3).await.expect_err("not leased").kind(), Kind::Conflict);
    let last = lease(records, &["train"], 500, 600).await?.expect("it waits again");
    assert_eq!((last.attempts, last.error.as_deref()), (3, Some("no luck")));
    assert_eq!(records.fail_job(&last.id, "never", 3).await?, JobState::Failed);
    assert_eq!(lease(records, &["train"], 700, 800).await?, None);
    // After it failed for good, its key may be queued again.
    apply(records, vec![Change::Enqueue(new_job("train", "k3"))]).await?;
    let fresh = lease(records, &["train"], 700, 800).await?.expect("k3 was queued anew");
    assert!(fresh.id != last.id && fresh.attempts == 1);
    let unknown = JobId::new("job_none");
    assert_eq!(records.fail_job(&unknown, "x", 1).await.expect_err("no such job").kind(), Kind::Conflict);
    Ok(())
}

async fn every_text_is_dumped(records: &dyn Records) -> Result<()> {
    let mut texts = Vec::new();
    let n_values = records.dump_text(&mut |table, text| texts.push(format!("{table}: {text}"))).await?;
    assert_eq!(n_values, texts.len() as u64);
    for planted in ["traces: 100%_x", "feedback: hm", "jobs: never", "edges: node", "events: thing.changed"] {
        assert!(texts.iter().any(|text| text == planted), "`{planted}` was not dumped");
    }
    assert!(!texts.iter().any(|text| text.contains("order t1")), "deleted text was dumped");
    records.erase_free_pages().await
}

async fn the_chain_holds(records: &dyn Records) -> Result<()> {
    let n_links = records.last_seq().await?;
    let links = records.events(0, 1000).await?;
    assert_eq!(links.len() as u64, n_links);
    let mut check = ChainCheck::default();
    assert!(links.iter().all(|link| check.next(link).is_ok()));
    let report = events::verify(records).await?;
    assert_eq!((report.n_links, report.head.as_str(), report.broken), (n_links, check.head(), None));
    let page = records.events(3, 2).await?;
    assert_eq!(page.iter().map(|link| link.seq).collect::<Vec<_>>(), [4, 5]);
    assert_eq!(records.events(n_links, 2).await?, []);
    Ok(())
}
