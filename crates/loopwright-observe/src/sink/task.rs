//! The background task of a sink: masks what comes through the channel, folds the journal into the store, tries again,
//! answers flushes, drains at the end.

use super::{Keeper, RawTrace, SinkSettings};
use crate::{Error, Kind, Result, fold::Folder, metrics::DropReason};
use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};
use tokio::{
    sync::{mpsc, oneshot},
    time::{Instant, sleep, timeout_at},
};

/// What comes through the channel, in order.
pub(super) enum Message {
    /// A trace to keep.
    Trace(Box<RawTrace>),
    /// There is something in the journal.
    Wake,
    /// Tell when everything before this is in the store, or what was lost since the last flush.
    Flush(oneshot::Sender<Result<()>>),
    /// Take no more and end once everything is written.
    Stop,
}

/// Dropped traces: all, and those that no event has told of yet.
#[derive(Clone, Debug, Default)]
pub(super) struct Dropped(Arc<Counts>);

#[derive(Debug, Default)]
struct Counts {
    ever: AtomicU64,
    untold: AtomicU64,
}

impl Dropped {
    pub fn add(&self, n: u64) {
        self.0.ever.fetch_add(n, Ordering::Relaxed);
        self.0.untold.fetch_add(n, Ordering::Relaxed);
    }

    pub fn ever(&self) -> u64 {
        self.0.ever.load(Ordering::Relaxed)
    }

    fn untold(&self) -> u64 {
        self.0.untold.load(Ordering::Relaxed)
    }

    fn told(&self, n: u64) {
        self.0.untold.fetch_sub(n, Ordering::Relaxed);
    }
}

pub(super) struct Task {
    receiver: mpsc::Receiver<Message>,
    keeper: Arc<Keeper>,
    folder: Folder,
    settings: SinkSettings,
    /// Traces lost since the last flush.
    n_lost: u64,
}

impl Task {
    pub fn new(receiver: mpsc::Receiver<Message>, keeper: Arc<Keeper>, folder: Folder, settings: SinkSettings) -> Self {
        Self { receiver, keeper, folder, settings, n_lost: 0 }
    }

    pub async fn run(mut self) {
        while let Some((traces, flush)) = self.gather().await {
            self.append(traces).await;
            let folded = self.fold().await;
            if let Some(reply) = flush {
                let lost = |n| Error::new(Kind::Lost, format!("{n} traces could not be written"));
                let answer = match std::mem::take(&mut self.n_lost) {
                    0 => folded,
                    n => Err(lost(n)),
                };
                // Whoever asked may have gone away.
                let _ = reply.send(answer);
            }
        }
        // What is not folded in now is folded in by the next process.
        let _ = self.fold().await;
    }

    /// The next batch, and the flush that ended it if one did; `None` once the channel is closed and empty.
    async fn gather(&mut self) -> Option<(Vec<RawTrace>, Option<oneshot::Sender<Result<()>>>)> {
        let mut traces = Vec::new();
        let mut message = self.receiver.recv().await?;
        let deadline = Instant::now() + self.settings.gather;
        loop {
            match message {
                Message::Trace(trace) => traces.push(*trace),
                Message::Wake => {}
                Message::Flush(reply) => return Some((traces, Some(reply))),
                Message::Stop => self.receiver.close(),
            }
            if traces.len() >= self.settings.n_batch_max {
                return Some((traces, None));
            }
            match timeout_at(deadline, self.receiver.recv()).await {
                Ok(Some(next)) => message = next,
                // Time is up, or this was the last: the next call tells which.
                Ok(None) | Err(_) => return Some((traces, None)),
            }
        }
    }

    /// Masks traces and writes them into the journal.
    async fn append(&mut self, traces: Vec<RawTrace>) {
        for trace in traces {
            if let Err(problem) = self.keeper.mask_and_append(trace).await {
                tracing::error!(error = &problem as &dyn std::error::Error, "a trace is lost");
                self.n_lost += 1;
                self.keeper.drop_traces(DropReason::Failed, 1);
            }
        }
    }

    /// Folds the journal in, trying again a few times. If nothing helps, it stays where it is.
    async fn fold(&mut self) -> Result<()> {
        self.keeper.is_woken.store(false, Ordering::Release);
        let mut wait = self.settings.retry_after;
        let mut attempt = 1;
        loop {
            let n_dropped = self.keeper.dropped.untold();
            match self.folder.fold(n_dropped).await {
                Ok(n) => {
                    self.keeper.dropped.told(n_dropped);
                    self.keeper.metrics.traces_written(n);
                    return Ok(());
                }
                Err(problem) if attempt < self.settings.n_attempts => {
                    tracing::warn!(
                        attempt,
                        error = &problem as &dyn std::error::Error,
                        "the journal was not folded in, trying again"
                    );
                    sleep(wait).await;
                    wait = wait.saturating_mul(2);
                    attempt += 1;
                }
                Err(problem) => {
                    let error = &problem as &dyn std::error::Error;
                    tracing::error!(
                        error,
                        "the journal was not folded in; it is kept, and tried again with the next trace"
                    );
                    return Err(problem);
                }
            }
        }
    }
}
