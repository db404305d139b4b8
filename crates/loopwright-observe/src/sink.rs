//! From an answered request to a durable trace, off the answer's path.
//!
//! ```text
//! record() ──try_send──▶ channel (bounded) ──▶ one task: gather a batch → mask (blocking pool) → one write to the store
//!     └─ full: dropped, counted                        └─ refused again and again: dropped, counted
//! ```
//!
//! [`TraceSink::record`] neither waits nor allocates beyond the trace itself. What was dropped is in the metrics and in
//! the body of the next `traces.recorded` event (or of `traces.dropped` at the end), so the log tells of its own gaps.
//! Texts lie in clear in the channel only; what reaches the store is masked.

mod task;

use crate::{
    Error, Kind, Result,
    feedback::known_strings,
    metrics::{DropReason, Metrics},
};
use loopwright_guard::Redactor;
use loopwright_store::{Change, Store};
use loopwright_types::{EntityRef, event::NewEvent, trace::Trace};
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use task::{Batch, Message, Task};
use tokio::{
    sync::{mpsc, oneshot},
    task::JoinHandle,
};

/// A trace whose input and output are still in clear. Only the sink takes one, and it masks before it writes.
#[derive(Clone, Debug, PartialEq)]
pub struct RawTrace(pub Trace);

/// Limits of a sink.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SinkSettings {
    /// Traces that may wait in the channel; beyond, they are dropped.
    pub n_waiting_max: usize,
    /// Traces in one write.
    pub n_batch_max: usize,
    /// How long the first trace of a batch waits for company.
    pub gather: Duration,
    /// Attempts to write a batch before it is given up.
    pub n_attempts: u32,
    /// Wait after the first failed attempt; doubled after each further one.
    pub retry_after: Duration,
    /// Longest input or output that is kept, in bytes; the rest is cut off after masking.
    pub text_bytes_max: usize,
}

impl Default for SinkSettings {
    /// 8,192 waiting, 512 in a write, 50 ms to gather, 5 attempts from 100 ms on, 64 KiB of text.
    fn default() -> Self {
        Self {
            n_waiting_max: 8_192,
            n_batch_max: 512,
            gather: Duration::from_millis(50),
            n_attempts: 5,
            retry_after: Duration::from_millis(100),
            text_bytes_max: 64 << 10,
        }
    }
}

/// The way in. Cheap to clone; [`TraceSink::shutdown`] once at the end.
#[derive(Clone)]
pub struct TraceSink {
    sender: mpsc::Sender<Message>,
    metrics: Arc<Metrics>,
    dropped: task::Dropped,
    task: Arc<Mutex<Option<JoinHandle<()>>>>,
}

impl std::fmt::Debug for TraceSink {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "TraceSink({} of {} places free)", self.sender.capacity(), self.sender.max_capacity())
    }
}

impl TraceSink {
    /// Starts the background task; call it inside a tokio runtime.
    pub fn start(store: Store, redactor: Redactor, metrics: Arc<Metrics>, settings: SinkSettings) -> Self {
        let text_bytes_max = settings.text_bytes_max;
        let write = move |batch: Batch| {
            let (store, redactor) = (store.clone(), redactor.clone());
            async move { write(&store, redactor, batch, text_bytes_max).await }
        };
        Self::start_with(write, metrics, settings)
    }

    fn start_with<W, F>(write: W, metrics: Arc<Metrics>, settings: SinkSettings) -> Self
    where
        W: FnMut(Batch) -> F + Send + 'static,
        F: Future<Output = Result<()>> + Send + 'static,
    {
        let (sender, receiver) = mpsc::channel(settings.n_waiting_max.max(1));
        let dropped = task::Dropped::default();
        let task = Task::new(receiver, metrics.clone(), dropped.clone(), settings);
        let handle = tokio::spawn(task.run(write));
        Self { sender, metrics, dropped, task: Arc::new(Mutex::new(Some(handle))) }
    }

    /// Hands over an answered request: counts it in the metrics and queues its trace. Never waits.
    ///
    /// False if the trace was dropped, because too many are waiting or the sink has ended.
    pub fn record(&self, trace: RawTrace) -> bool {
        self.metrics.observe(&trace.0);
        let accepted = self.sender.try_send(Message::Trace(Box::new(trace))).is_ok();
        if !accepted {
            self.dropped.add(1);
            self.metrics.traces_dropped(DropReason::Full, 1);
        }
        accepted
    }

    /// Waits until every trace accepted before this call is durable.
    ///
    /// Fails with [`Kind::Lost`] if some could not be written since the last flush, or if the sink has ended.
    pub async fn flush(&self) -> Result<()> {
        let (reply, answer) = oneshot::channel();
        let ended = || Error::new(Kind::Lost, "the trace sink has ended");
        self.sender.send(Message::Flush(reply)).await.map_err(|_| ended())?;
        match answer.await.map_err(|_| ended())? {
            0 => Ok(()),
            n_lost => Err(Error::new(Kind::Lost, format!("{n_lost} traces could not be written"))),
        }
    }

    /// Takes no more traces, writes those accepted, and waits for the task to end. A second call returns at once.
    pub async fn shutdown(&self) -> Result<()> {
        let task = self.task.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(task) = task else { return Ok(()) };
        // It fails only if the task has ended already, which the next line tells.
        let _ = self.sender.send(Message::Stop).await;
        task.await.map_err(|problem| Error::new(Kind::Lost, format!("the trace sink died: {problem}")))
    }
}

/// Masks a batch and writes it with its event, in one transaction.
async fn write(store: &Store, redactor: Redactor, batch: Batch, text_bytes_max: usize) -> Result<()> {
    // Known strings of each person in the batch, read once.
    let mut known: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for RawTrace(trace) in batch.traces.iter() {
        if let Some(subject) = &trace.subject
            && !known.contains_key(subject.as_str())
        {
            known.insert(subject.0.clone(), known_strings(store, trace).await?);
        }
    }
    let raw = batch.traces.clone();
    let masking = tokio::task::spawn_blocking(move || {
        let none = Vec::new();
        let known_of = |trace: &Trace| {
            trace.subject.as_ref().and_then(|subject| known.get(subject.as_str())).unwrap_or(&none).clone()
        };
        raw.iter().map(|RawTrace(trace)| masked(trace, &redactor, &known_of(trace), text_bytes_max)).collect::<Vec<_>>()
    });
    let traces = masking.await.map_err(|problem| Error::new(Kind::Lost, format!("masking died: {problem}")))?;
    let event = batch_event(&traces, batch.n_dropped);
    let changes = if traces.is_empty() { Vec::new() } else { vec![Change::Traces(traces)] };
    store.apply(event, changes).await.map(drop).map_err(|source| Error::store("failed to write traces", source))
}

fn masked(trace: &Trace, redactor: &Redactor, known: &[String], text_bytes_max: usize) -> Trace {
    let mask = |text: &str| cut(redactor.redact(text, known).text, text_bytes_max);
    Trace { input: mask(&trace.input), output: mask(&trace.output), ..trace.clone() }
}

/// The text, or its start up to the last whole character within the limit.
fn cut(mut text: String, bytes_max: usize) -> String {
    text.truncate(text.floor_char_boundary(bytes_max));
    text
}

/// The event of a batch: figures only. It is about the batch's first trace.
fn batch_event(traces: &[Trace], n_dropped: u64) -> NewEvent {
    let Some(first) = traces.first() else {
        let about = EntityRef::new("trace_sink", "traces");
        return NewEvent::new("server", "traces.dropped", about).with_body(serde_json::json!({"n_dropped": n_dropped}));
    };
    let mut routes: BTreeMap<&str, u64> = BTreeMap::new();
    traces.iter().for_each(|trace| *routes.entry(&trace.route).or_default() += 1);
    let body = serde_json::json!({"n": traces.len(), "n_dropped": n_dropped, "routes": routes});
    NewEvent::new("server", "traces.recorded", EntityRef::new("trace", first.id.as_str())).with_body(body)
}

#[cfg(test)]
mod tests;
