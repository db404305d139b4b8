//! From an answered request to a durable trace, and from what it cost to what its key has used.
//!
//! ```text
//! open()   ─▶ journal: a request was begun, so much is reserved
//! keep()   ─▶ mask ─▶ journal: it has ended ─▶ the answer's last byte may go out
//! record() ─▶ channel (bounded) ─▶ mask ─▶ journal          for requests whose client is gone
//!                └─ full: dropped, counted, told
//! one task: whenever there is something, journal ─▶ store   (see `fold`)
//! ```
//!
//! What is in the journal survives a kill of the process: a client that has seen the end of its answer finds the trace and
//! its cost in the store, once. The journal is bounded; a trace that it does not take is dropped and counted. Drops are
//! in the metrics and in the log's next `traces.recorded` event (or in a `traces.dropped` of their own), so the log
//! tells of its own gaps. Texts lie in clear in the channel only.

mod task;

use crate::{
    Error, Kind, Result,
    entry::{Closed, Entry, Killed, Opened},
    feedback::known_strings,
    fold::{Folder, recover},
    metrics::{DropReason, Metrics},
};
use loopwright_guard::Redactor;
use loopwright_store::{Journal, JournalSync, Store};
use loopwright_types::trace::Trace;
use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};
use task::{Message, Task};
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
    /// Traces that are masked together.
    pub n_batch_max: usize,
    /// How long the first trace of a batch waits for company.
    pub gather: Duration,
    /// Attempts to fold the journal in before it is left for later.
    pub n_attempts: u32,
    /// Wait after the first failed attempt; doubled after each further one.
    pub retry_after: Duration,
    /// Longest input or output that is kept, in bytes; the rest is cut off after masking.
    pub text_bytes_max: usize,
    /// Bytes that may lie in the journal; beyond, traces are dropped.
    pub journal_bytes_max: u64,
    /// When a record of the journal counts as written.
    pub journal_sync: JournalSync,
    /// What becomes of reservations when the process is killed.
    pub killed: Killed,
}

impl Default for SinkSettings {
    /// 8,192 waiting, 512 masked together, 200 ms to gather, 5 attempts from 100 ms on, 64 KiB of text, 1 GiB of journal.
    fn default() -> Self {
        Self {
            n_waiting_max: 8_192,
            n_batch_max: 512,
            gather: Duration::from_millis(200),
            n_attempts: 5,
            retry_after: Duration::from_millis(100),
            text_bytes_max: 64 << 10,
            journal_bytes_max: 1 << 30,
            journal_sync: JournalSync::default(),
            killed: Killed::default(),
        }
    }
}

/// Texts up to this size are masked in the caller's task: a few tenths of a millisecond.
const MASK_INLINE_BYTES_MAX: usize = 8 << 10;

/// The way in. Cheap to clone; [`TraceSink::shutdown`] once at the end.
#[derive(Clone)]
pub struct TraceSink {
    sender: mpsc::Sender<Message>,
    keeper: Arc<Keeper>,
    task: Arc<Mutex<Option<JoinHandle<()>>>>,
}

/// Masks and journals; shared by the way in and the task behind it.
#[derive(Debug)]
struct Keeper {
    store: Store,
    redactor: Redactor,
    journal: Arc<Journal>,
    metrics: Arc<Metrics>,
    dropped: task::Dropped,
    text_bytes_max: usize,
    /// Was the task told that there is something in the journal?
    is_woken: AtomicBool,
}

impl std::fmt::Debug for TraceSink {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "TraceSink({} of {} places free)", self.sender.capacity(), self.sender.max_capacity())
    }
}

impl TraceSink {
    /// Folds in what a former process left, then starts the background task.
    pub async fn start(
        store: Store,
        redactor: Redactor,
        metrics: Arc<Metrics>,
        settings: SinkSettings,
    ) -> Result<Self> {
        recover(&store, settings.killed).await?;
        let opened = store.open_journal(settings.journal_sync, settings.journal_bytes_max).await;
        let (journal, mark) = opened.map_err(|source| Error::store("failed to open the journal", source))?;
        let journal = Arc::new(journal);
        let mut folder = Folder::new(store.clone(), journal.clone(), mark);
        folder.close_killed(settings.killed).await?;
        folder.fold(0).await?;
        let (sender, receiver) = mpsc::channel(settings.n_waiting_max.max(1));
        let keeper = Arc::new(Keeper {
            store,
            redactor,
            journal,
            metrics,
            dropped: task::Dropped::default(),
            text_bytes_max: settings.text_bytes_max,
            is_woken: AtomicBool::new(false),
        });
        let handle = tokio::spawn(Task::new(receiver, keeper.clone(), folder, settings).run());
        Ok(Self { sender, keeper, task: Arc::new(Mutex::new(Some(handle))) })
    }

    /// Says that a request was let in. If the process is killed before it ends, its trace says so.
    pub fn open(&self, opened: Opened) -> Result<()> {
        self.keeper.journal.append(&Entry::Opened(opened).encode()).map(drop).map_err(Keeper::unwritten)
    }

    /// Counts a request that has ended in the metrics, and keeps its trace. When this returns, the trace survives the end of
    /// the process; the answer's last byte should wait for it.
    pub async fn keep(&self, trace: RawTrace) -> Result<()> {
        self.keeper.metrics.observe(&trace.0);
        let kept = self.keeper.mask_and_append(trace).await;
        if kept.is_err() {
            self.keeper.drop_traces(DropReason::Failed, 1);
        }
        if !self.keeper.is_woken.swap(true, Ordering::AcqRel) {
            // A full channel has woken the task already.
            let _ = self.sender.try_send(Message::Wake);
        }
        kept
    }

    /// Counts a request that has ended in the metrics and queues its trace. Never waits: for those who cannot.
    ///
    /// False if the trace was dropped, because too many are waiting or the sink has ended.
    pub fn record(&self, trace: RawTrace) -> bool {
        self.keeper.metrics.observe(&trace.0);
        let accepted = self.sender.try_send(Message::Trace(Box::new(trace))).is_ok();
        if !accepted {
            self.keeper.drop_traces(DropReason::Full, 1);
        }
        accepted
    }

    /// Bytes that wait in the journal.
    pub fn n_journal_bytes(&self) -> u64 {
        self.keeper.journal.n_bytes()
    }

    /// Traces dropped since the start.
    pub fn n_dropped(&self) -> u64 {
        self.keeper.dropped.ever()
    }

    /// Waits until every trace accepted before this call is in the store.
    ///
    /// Fails with [`Kind::Lost`] if some were lost since the last flush, or if the sink has ended.
    pub async fn flush(&self) -> Result<()> {
        let (reply, answer) = oneshot::channel();
        let ended = || Error::new(Kind::Lost, "the trace sink has ended");
        self.sender.send(Message::Flush(reply)).await.map_err(|_| ended())?;
        answer.await.map_err(|_| ended())?
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

impl Keeper {
    /// Masks a trace and writes it into the journal.
    async fn mask_and_append(self: &Arc<Self>, RawTrace(trace): RawTrace) -> Result<()> {
        let known = known_strings(&self.store, &trace).await?;
        let n_bytes = trace.input.len() + trace.output.len();
        let this = self.clone();
        let work = move || this.append(masked(trace, &this.redactor, &known, this.text_bytes_max));
        if n_bytes <= MASK_INLINE_BYTES_MAX && !self.journal.waits_for_disk() {
            return work();
        }
        let done = tokio::task::spawn_blocking(work).await;
        done.map_err(|problem| Error::new(Kind::Lost, format!("masking died: {problem}")))?
    }

    fn append(&self, trace: Trace) -> Result<()> {
        let entry = Entry::Closed(Closed { ended_at: self.store.now(), trace });
        self.journal.append(&entry.encode()).map(drop).map_err(Self::unwritten)
    }

    fn unwritten(source: loopwright_store::Error) -> Error {
        Error::store("failed to write the journal", source)
    }

    fn drop_traces(&self, reason: DropReason, n: u64) {
        self.dropped.add(n);
        self.metrics.traces_dropped(reason, n);
    }
}

fn masked(trace: Trace, redactor: &Redactor, known: &[String], text_bytes_max: usize) -> Trace {
    let mask = |text: &str| cut(redactor.redact(text, known).text, text_bytes_max);
    let ((input, cut_input), (output, cut_output)) = (mask(&trace.input), mask(&trace.output));
    let mut detail = trace.detail;
    detail.is_cut |= cut_input || cut_output;
    detail.session = detail.session.map(|session| redactor.redact(&session, known).text);
    Trace { input, output, detail, ..trace }
}

/// The text, or its start up to the last whole character within the limit; was it longer?
fn cut(mut text: String, bytes_max: usize) -> (String, bool) {
    let is_longer = text.len() > bytes_max;
    text.truncate(text.floor_char_boundary(bytes_max));
    (text, is_longer)
}

#[cfg(test)]
mod tests;
