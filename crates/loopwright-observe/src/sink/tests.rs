//! The sink against a store, and against writers that block or fail.

use super::*;
use loopwright_guard::RedactPolicy;
use loopwright_store::TraceQuery;
use loopwright_types::{Entity, ModelRef, Timestamp, id::SubjectId, subject::Subject};
use std::sync::atomic::{AtomicU32, Ordering};
use tokio::sync::Semaphore;

fn raw(id: usize, input: &str) -> RawTrace {
    RawTrace(Trace {
        id: format!("trace_{id:05}").as_str().into(),
        at: Timestamp(id as i64),
        route: "support".into(),
        variant: "live".into(),
        model: ModelRef::new("support", 1),
        key: None,
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
    })
}

fn quick() -> SinkSettings {
    SinkSettings { gather: Duration::from_millis(1), retry_after: Duration::from_millis(1), ..SinkSettings::default() }
}

fn dropped(metrics: &Metrics, reason: &str) -> u64 {
    let name = format!("loopwright_traces_dropped_total{{reason=\"{reason}\"}} ");
    metrics.render().lines().find_map(|line| line.strip_prefix(&name)?.parse().ok()).unwrap()
}

#[tokio::test]
async fn what_was_accepted_is_masked_and_durable_after_a_flush() {
    let store = Store::in_memory().await.unwrap();
    let subject = Subject {
        id: SubjectId::from("s1"),
        external_id: "C-0042".into(),
        identifiers: [("name".to_string(), "Ilse Brandt".to_string())].into(),
        training_allowed: true,
        updated_at: Timestamp(0),
    };
    store
        .apply(NewEvent::new("cli", "subject.created", subject.entity_ref()), vec![Change::put(&subject)])
        .await
        .unwrap();
    let metrics = Arc::new(Metrics::default());
    let sink = TraceSink::start(store.clone(), Redactor::new(&RedactPolicy::default()), metrics.clone(), quick());
    let mut known = raw(0, "brandt here, mail a.b@example.org");
    known.0.subject = Some(subject.id.clone());
    assert!(sink.record(known));
    for id in 1..1_200 {
        assert!(sink.record(raw(id, "where is my parcel")));
    }
    sink.flush().await.unwrap();
    assert_eq!(store.count_traces(&TraceQuery::default()).await.unwrap(), 1_200);
    let kept = store.trace(&"trace_00000".into()).await.unwrap().unwrap();
    assert_eq!(kept.input, "<PERSON> here, mail <EMAIL>");
    assert_eq!(kept.output, "{\"intent\": \"refund\"}");
    let events = store.events(1, 100).await.unwrap();
    let told: u64 = events.iter().map(|event| event.event.body["n"].as_u64().unwrap()).sum();
    assert_eq!(told, 1_200);
    assert!(events.iter().all(|event| event.event.kind == "traces.recorded" && event.event.body["n_dropped"] == 0));
    assert!(metrics.render().contains("loopwright_traces_written_total 1200"));
    sink.shutdown().await.unwrap();
    sink.shutdown().await.unwrap();
    assert!(!sink.record(raw(9_999, "too late")));
    assert_eq!(sink.flush().await.unwrap_err().kind(), Kind::Lost);
}

#[tokio::test]
async fn shutdown_writes_what_was_accepted() {
    let store = Store::in_memory().await.unwrap();
    let settings = SinkSettings { gather: Duration::from_secs(3_600), ..SinkSettings::default() };
    let sink = TraceSink::start(store.clone(), Redactor::new(&RedactPolicy::default()), Arc::default(), settings);
    (0..700).for_each(|id| assert!(sink.record(raw(id, "hello"))));
    sink.shutdown().await.unwrap();
    assert_eq!(store.count_traces(&TraceQuery::default()).await.unwrap(), 700);
}

/// A writer that waits for leave, and keeps what it wrote.
fn gated(
    gate: Arc<Semaphore>,
    written: Arc<Mutex<Vec<(usize, u64)>>>,
) -> impl Fn(Batch) -> std::pin::Pin<Box<dyn Future<Output = Result<()>> + Send>> + Send + 'static {
    move |batch| {
        let (gate, written) = (gate.clone(), written.clone());
        Box::pin(async move {
            gate.acquire().await.unwrap().forget();
            written.lock().unwrap().push((batch.traces.len(), batch.n_dropped));
            Ok(())
        })
    }
}

#[tokio::test]
async fn a_full_channel_drops_and_tells_and_never_blocks() {
    let (gate, written, metrics) = (Arc::new(Semaphore::new(0)), Arc::default(), Arc::new(Metrics::default()));
    let settings = SinkSettings { n_waiting_max: 8, n_batch_max: 4, ..quick() };
    let sink = TraceSink::start_with(gated(gate.clone(), Arc::clone(&written)), metrics.clone(), settings);
    // The writer has no leave, so all but a bounded number are dropped, and every call returns.
    let n_accepted = (0..100).filter(|id| sink.record(raw(*id, "x"))).count();
    assert!((8..=12).contains(&n_accepted), "{n_accepted} accepted");
    assert_eq!(dropped(&metrics, "full"), 100 - n_accepted as u64);
    gate.add_permits(100);
    sink.flush().await.unwrap();
    let written = written.lock().unwrap().clone();
    assert_eq!(written.iter().map(|(n, _)| n).sum::<usize>(), n_accepted);
    assert_eq!(
        written.iter().map(|(_, n_dropped)| n_dropped).sum::<u64>(),
        100 - n_accepted as u64,
        "each drop is told once"
    );
    assert_eq!(metrics.summary()[0].n_requests, 100, "metrics count dropped ones, too");
    sink.shutdown().await.unwrap();
}

#[tokio::test]
async fn a_failing_store_is_tried_again_and_losses_are_told() {
    let (calls, metrics) = (Arc::new(AtomicU32::new(0)), Arc::new(Metrics::default()));
    let told: Arc<Mutex<Vec<(usize, u64)>>> = Arc::default();
    let write = {
        let (calls, told) = (calls.clone(), told.clone());
        move |batch: Batch| {
            let (nth, told) = (calls.fetch_add(1, Ordering::Relaxed), told.clone());
            async move {
                // Two failures then success; then three failures in a row, which is one too many.
                if [0, 1, 3, 4, 5].contains(&nth) {
                    return Err(Error::new(Kind::Store, "the disk is full"));
                }
                told.lock().unwrap().push((batch.traces.len(), batch.n_dropped));
                Ok(())
            }
        }
    };
    let sink = TraceSink::start_with(write, metrics.clone(), SinkSettings { n_attempts: 3, ..quick() });
    sink.record(raw(0, "x"));
    sink.flush().await.expect("the third attempt succeeds");
    sink.record(raw(1, "x"));
    let error = sink.flush().await.unwrap_err();
    assert_eq!((error.kind(), error.to_string()), (Kind::Lost, "1 traces could not be written".to_string()));
    assert_eq!(dropped(&metrics, "failed"), 1);
    sink.flush().await.expect("a loss is told once");
    sink.shutdown().await.unwrap();
    assert_eq!(*told.lock().unwrap(), [(1, 0), (0, 1)], "the loss is told in a last event");
}

#[test]
fn events_hold_figures_only() {
    let event = batch_event(&[raw(1, "secret words").0, raw(2, "more").0], 3);
    assert_eq!(event.body, serde_json::json!({"n": 2, "n_dropped": 3, "routes": {"support": 2}}));
    assert_eq!(event.about.to_string(), "trace:trace_00001");
    assert_eq!(batch_event(&[], 3).kind, "traces.dropped");
}

#[test]
fn long_texts_are_cut_at_a_character_after_masking() {
    assert_eq!(cut("größe".into(), 3), "gr");
    assert_eq!(cut("größe".into(), 99), "größe");
    let redactor = Redactor::new(&RedactPolicy::default());
    let trace = raw(1, "mail a.b@example.org").0;
    assert_eq!(masked(&trace, &redactor, &[], 11).input, "mail <EMAIL");
}
