//! The sink against a store: under load, with too little room, and after a kill.

use super::*;
use crate::entry::KILLED;
use loopwright_guard::RedactPolicy;
use loopwright_store::{Change, TraceQuery};
use loopwright_types::{
    Entity, ModelRef, Timestamp,
    event::NewEvent,
    id::SubjectId,
    key::{Amount, Spending},
    subject::Subject,
    trace::TraceDetail,
};
use proptest::prelude::*;
use std::{
    path::Path,
    sync::LazyLock,
    time::{SystemTime, UNIX_EPOCH},
};

/// So many milliseconds after the tests began: what keys used a month ago is forgotten.
fn lately(ms: usize) -> Timestamp {
    static BEGIN: LazyLock<Timestamp> = LazyLock::new(|| {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        Timestamp(since.as_millis() as i64)
    });
    Timestamp(BEGIN.0 + ms as i64)
}

fn raw(id: usize, input: &str) -> RawTrace {
    RawTrace(Trace {
        id: format!("trace_{id:05}").as_str().into(),
        at: lately(id),
        route: "support".into(),
        variant: "live".into(),
        model: ModelRef::new("support", 1),
        key: Some("key_1".into()),
        subject: None,
        input: input.into(),
        output: "{\"intent\": \"refund\"}".into(),
        tokens_in: 3,
        tokens_out: 2,
        latency_ms: 4.0,
        first_token_ms: 1.0,
        status: 200,
        finish: "stop".into(),
        tag: None,
        detail: TraceDetail { cost_micro_usd: 7, ..TraceDetail::default() },
    })
}

fn opened(id: usize) -> Opened {
    let RawTrace(trace) = raw(id, "");
    Opened {
        id: trace.id,
        at: trace.at,
        route: trace.route,
        variant: trace.variant,
        model: trace.model,
        key: trace.key,
        subject: None,
        tag: None,
        reserved: Amount { requests: 1, tokens: 100, micro_usd: 50 },
    }
}

fn quick() -> SinkSettings {
    SinkSettings { gather: Duration::from_millis(1), retry_after: Duration::from_millis(1), ..SinkSettings::default() }
}

async fn start(store: &Store, settings: SinkSettings) -> (TraceSink, Arc<Metrics>) {
    let metrics = Arc::new(Metrics::default());
    let redactor = Redactor::new(&RedactPolicy::default());
    let sink = TraceSink::start(store.clone(), redactor, metrics.clone(), settings).await.unwrap();
    (sink, metrics)
}

fn dropped(metrics: &Metrics, reason: &str) -> u64 {
    let name = format!("loopwright_traces_dropped_total{{reason=\"{reason}\"}} ");
    metrics.render().lines().find_map(|line| line.strip_prefix(&name)?.parse().ok()).unwrap()
}

async fn n_traces(store: &Store) -> u64 {
    store.count_traces(&TraceQuery::default()).await.unwrap()
}

async fn spent(store: &Store) -> Amount {
    let all: Vec<Spending> = store.spendings(None, Timestamp(0)).await.unwrap();
    let minutes = all.iter().filter(|it| it.minute.is_some()).fold(Amount::default(), |sum, it| sum.plus(it.used));
    let total = all.iter().filter(|it| it.minute.is_none()).fold(Amount::default(), |sum, it| sum.plus(it.used));
    assert_eq!(minutes, total);
    total
}

#[tokio::test]
async fn what_was_accepted_is_masked_counted_and_in_the_store_after_a_flush() {
    let store = Store::in_memory().await.unwrap();
    let subject = Subject {
        id: SubjectId::from("s1"),
        external_id: "C-0042".into(),
        identifiers: [("name".to_string(), "Ilse Brandt".to_string())].into(),
        training_allowed: true,
        updated_at: Timestamp(0),
    };
    let event = NewEvent::new("cli", "subject.created", subject.entity_ref());
    store.apply(event, vec![Change::put(&subject)]).await.unwrap();
    let (sink, metrics) = start(&store, quick()).await;
    let mut known = raw(0, "brandt here, mail a.b@example.org");
    known.0.subject = Some(subject.id.clone());
    known.0.detail.session = Some("a.b@example.org".into());
    sink.keep(known).await.unwrap();
    for id in 1..600 {
        assert!(sink.record(raw(id, "where is my parcel")));
        sink.keep(raw(600 + id, "where is my parcel")).await.unwrap();
    }
    sink.flush().await.unwrap();
    assert_eq!(n_traces(&store).await, 1_199);
    assert_eq!(spent(&store).await, Amount { requests: 1_199, tokens: 5 * 1_199, micro_usd: 7 * 1_199 });
    let kept = store.trace(&"trace_00000".into()).await.unwrap().unwrap();
    assert_eq!(kept.input, "<PERSON> here, mail <EMAIL>");
    assert_eq!(kept.output, "{\"intent\": \"refund\"}");
    assert_eq!(kept.detail.session.as_deref(), Some("<EMAIL>"));
    let events = store.events(1, 10_000).await.unwrap();
    let told: u64 = events.iter().map(|event| event.event.body["n"].as_u64().unwrap()).sum();
    let money: u64 = events.iter().map(|event| event.event.body["micro_usd"].as_u64().unwrap()).sum();
    assert_eq!((told, money), (1_199, 7 * 1_199));
    assert!(events.iter().all(|event| event.event.kind == "traces.recorded" && event.event.body["n_dropped"] == 0));
    assert!(metrics.render().contains("loopwright_traces_written_total 1199"));
    assert_eq!(sink.n_journal_bytes(), 0, "what is in the store is not kept twice");
    sink.shutdown().await.unwrap();
    sink.shutdown().await.unwrap();
    assert!(!sink.record(raw(9_999, "too late")));
    assert_eq!(sink.flush().await.unwrap_err().kind(), Kind::Lost);
}

#[tokio::test]
async fn shutdown_writes_what_was_accepted() {
    let store = Store::in_memory().await.unwrap();
    let settings = SinkSettings { gather: Duration::from_secs(3_600), ..SinkSettings::default() };
    let (sink, _) = start(&store, settings).await;
    (0..700).for_each(|id| assert!(sink.record(raw(id, "hello"))));
    sink.shutdown().await.unwrap();
    assert_eq!(n_traces(&store).await, 700);
}

#[tokio::test]
async fn a_full_channel_drops_and_tells_and_never_blocks() {
    let store = Store::in_memory().await.unwrap();
    let (sink, metrics) = start(&store, SinkSettings { n_waiting_max: 8, n_batch_max: 4, ..quick() }).await;
    // The task has no turn before the first await: all but what the channel holds are dropped, and every call returns.
    let n_accepted = (0..100).filter(|id| sink.record(raw(*id, "x"))).count();
    assert_eq!((n_accepted, dropped(&metrics, "full"), sink.n_dropped()), (8, 92, 92));
    sink.flush().await.unwrap();
    assert_eq!(n_traces(&store).await, 8);
    let events = store.events(0, 100).await.unwrap();
    let told: u64 = events.iter().map(|event| event.event.body["n_dropped"].as_u64().unwrap()).sum();
    assert_eq!(told, 92, "each drop is told once");
    assert_eq!(metrics.summary()[0].n_requests, 100, "metrics count dropped ones, too");
    sink.shutdown().await.unwrap();
}

#[tokio::test]
async fn a_full_journal_drops_and_tells_and_goes_on() {
    let store = Store::in_memory().await.unwrap();
    let settings = SinkSettings { journal_bytes_max: 600, gather: Duration::from_millis(50), ..quick() };
    let (sink, metrics) = start(&store, settings).await;
    sink.keep(raw(0, "x")).await.unwrap();
    assert_eq!(sink.keep(raw(1, "x")).await.unwrap_err().kind(), Kind::Store);
    assert_eq!(dropped(&metrics, "failed"), 1);
    sink.flush().await.unwrap();
    sink.keep(raw(2, "x")).await.expect("there is room again");
    sink.shutdown().await.unwrap();
    assert_eq!((n_traces(&store).await, spent(&store).await.micro_usd), (2, 14));
    let told: u64 =
        store.events(0, 100).await.unwrap().iter().map(|it| it.event.body["n_dropped"].as_u64().unwrap()).sum();
    assert_eq!(told, 1);
}

/// What a killed process leaves: a journal that nobody folded in.
async fn leave(store: &Store, entries: &[Entry]) {
    let (journal, _) = store.open_journal(JournalSync::Os, u64::MAX).await.unwrap();
    for entry in entries {
        journal.append(&entry.encode()).unwrap();
    }
}

fn closed(id: usize) -> Entry {
    Entry::Closed(Closed { ended_at: lately(id), trace: raw(id, "x").0 })
}

#[tokio::test]
async fn a_request_under_way_at_a_kill_is_told_and_its_reservation_settled_as_the_policy_says() {
    for (killed, tokens, micro_usd) in [(Killed::Release, 5, 7), (Killed::Settle, 105, 57)] {
        let store = Store::in_memory().await.unwrap();
        leave(&store, &[Entry::Opened(opened(1)), Entry::Opened(opened(2)), closed(2), Entry::StillOpen(opened(2))])
            .await;
        let (sink, _) = start(&store, SinkSettings { killed, ..quick() }).await;
        assert_eq!(spent(&store).await, Amount { requests: 2, tokens, micro_usd }, "{killed:?}");
        let trace = async |id: &str| store.trace(&id.into()).await;
        let cut_off = trace("trace_00001").await.unwrap().unwrap();
        assert_eq!((cut_off.finish.as_str(), cut_off.status), (KILLED, 500));
        assert_eq!(trace("trace_00002").await.unwrap().unwrap().finish, "stop", "it had ended before it was told open");
        sink.shutdown().await.unwrap();
    }
}

#[tokio::test]
async fn requests_that_stay_open_outlive_the_files_they_began_in() {
    let store = Store::in_memory().await.unwrap();
    let (sink, _) = start(&store, quick()).await;
    sink.open(opened(77_777)).unwrap();
    let long = "x ".repeat(16 << 10);
    for id in 0..80 {
        sink.keep(raw(id, &long)).await.unwrap();
        if id % 20 == 0 {
            sink.flush().await.unwrap();
        }
    }
    sink.flush().await.unwrap();
    assert!(sink.n_journal_bytes() < 2 << 20, "{} bytes", sink.n_journal_bytes());
    assert!(store.trace(&"trace_77777".into()).await.unwrap().is_none(), "it has not ended");
    sink.shutdown().await.unwrap();
    drop(sink);
    recover(&store, Killed::Release).await.unwrap();
    assert_eq!(store.trace(&"trace_77777".into()).await.unwrap().unwrap().finish, KILLED);
    assert_eq!((n_traces(&store).await, spent(&store).await.requests), (81, 81));
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        match entry.file_type().unwrap().is_dir() {
            true => copy(&entry.path(), &to.join(entry.file_name())),
            false => std::fs::copy(entry.path(), to.join(entry.file_name())).map(drop).unwrap(),
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// Killed anywhere between two records, and again anywhere while what was left is folded in, every request that ended
    /// is in the store once, with its cost.
    #[test]
    fn no_trace_and_no_cent_is_lost_or_counted_twice(
        n in 1usize..12, folded in 0usize..12, again in any::<bool>(), puts_journal_back in any::<bool>(),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let dir = tempfile::tempdir().unwrap();
            let store = Store::create_or_open(dir.path()).await.unwrap();
            let journal_dir = store.layout().journals();
            // A first process folds in some of it and is killed.
            let (journal, mark) = store.open_journal(JournalSync::Os, u64::MAX).await.unwrap();
            let mut folder = Folder::new(store.clone(), Arc::new(journal), mark);
            for id in 0..n {
                folder.append_entry(&closed(id));
                if id == folded {
                    folder.catch_up_now().await;
                }
            }
            drop(folder);
            let left = dir.path().join("left");
            copy(&journal_dir, &left);
            recover(&store, Killed::Release).await.unwrap();
            if puts_journal_back {
                // The second process was killed after its transaction and before it tidied up.
                std::fs::remove_dir_all(&journal_dir).unwrap();
                copy(&left, &journal_dir);
            }
            if again {
                recover(&store, Killed::Release).await.unwrap();
            }
            let (sink, _) = start(&store, quick()).await;
            sink.keep(raw(n, "x")).await.unwrap();
            sink.shutdown().await.unwrap();
            assert_eq!(n_traces(&store).await, n as u64 + 1);
            let n = n as u64 + 1;
            assert_eq!(spent(&store).await, Amount { requests: n, tokens: 5 * n, micro_usd: 7 * n });
        });
    }
}

#[test]
fn events_hold_figures_only() {
    use crate::fold::batch_event;
    let event = batch_event(&[raw(1, "secret words").0, raw(2, "more").0], 3);
    assert_eq!(event.body, serde_json::json!({"n": 2, "n_dropped": 3, "routes": {"support": 2}, "micro_usd": 14}));
    assert_eq!(event.about.to_string(), "trace:trace_00001");
    assert_eq!(batch_event(&[], 3).kind, "traces.dropped");
}

#[test]
fn long_texts_are_cut_at_a_character_after_masking() {
    assert_eq!(cut("größe".into(), 3), ("gr".into(), true));
    assert_eq!(cut("größe".into(), 99), ("größe".into(), false));
    let redactor = Redactor::new(&RedactPolicy::default());
    let kept = masked(raw(1, "mail a.b@example.org").0, &redactor, &[], 11);
    assert_eq!((kept.input.as_str(), kept.detail.is_cut), ("mail <EMAIL", true));
}
