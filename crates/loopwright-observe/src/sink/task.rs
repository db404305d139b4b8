//! The background task of a sink: gathers, writes, retries, answers flushes, drains at the end.

use super::{RawTrace, SinkSettings};
use crate::{
    Result,
    metrics::{DropReason, Metrics},
};
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
    /// Tell when everything before this is durable, and how many traces were lost since the last flush.
    Flush(oneshot::Sender<u64>),
    /// Take no more and end once everything is written.
    Stop,
}

/// Traces for one write.
#[derive(Clone, Debug)]
pub(super) struct Batch {
    /// The traces; none if there are only dropped ones to tell of.
    pub traces: Arc<Vec<RawTrace>>,
    /// Traces dropped that no event has told of yet.
    pub n_dropped: u64,
}

/// Dropped traces that no event has told of yet.
#[derive(Clone, Debug, Default)]
pub(super) struct Dropped(Arc<AtomicU64>);

impl Dropped {
    pub fn add(&self, n: u64) {
        self.0.fetch_add(n, Ordering::Relaxed);
    }

    fn untold(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    fn told(&self, n: u64) {
        self.0.fetch_sub(n, Ordering::Relaxed);
    }
}

pub(super) struct Task {
    receiver: mpsc::Receiver<Message>,
    metrics: Arc<Metrics>,
    dropped: Dropped,
    settings: SinkSettings,
    /// Traces lost since the last flush.
    n_lost: u64,
}

impl Task {
    pub fn new(
        receiver: mpsc::Receiver<Message>,
        metrics: Arc<Metrics>,
        dropped: Dropped,
        settings: SinkSettings,
    ) -> Self {
        Self { receiver, metrics, dropped, settings, n_lost: 0 }
    }

    pub async fn run<W, F>(mut self, mut write: W)
    where
        W: FnMut(Batch) -> F,
        F: Future<Output = Result<()>>,
    {
        while let Some((traces, flush)) = self.gather().await {
            if !traces.is_empty() {
                self.keep(traces, &mut write).await;
            }
            if let Some(reply) = flush {
                // Whoever asked may have gone away.
                let _ = reply.send(std::mem::take(&mut self.n_lost));
            }
        }
        if self.dropped.untold() > 0 {
            self.keep(Vec::new(), &mut write).await;
        }
    }

    /// The next batch, and the flush that ended it if one did; `None` once the channel is closed and empty.
    async fn gather(&mut self) -> Option<(Vec<RawTrace>, Option<oneshot::Sender<u64>>)> {
        let mut traces = Vec::new();
        let mut message = self.receiver.recv().await?;
        let deadline = Instant::now() + self.settings.gather;
        loop {
            match message {
                Message::Trace(trace) => traces.push(*trace),
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

    /// Writes a batch, trying again a few times; gives it up and counts it if nothing helps.
    async fn keep<W, F>(&mut self, traces: Vec<RawTrace>, write: &mut W)
    where
        W: FnMut(Batch) -> F,
        F: Future<Output = Result<()>>,
    {
        let n = traces.len() as u64;
        let traces = Arc::new(traces);
        let mut wait = self.settings.retry_after;
        for attempt in 1..=self.settings.n_attempts.max(1) {
            let n_dropped = self.dropped.untold();
            match write(Batch { traces: traces.clone(), n_dropped }).await {
                Ok(()) => {
                    self.dropped.told(n_dropped);
                    self.metrics.traces_written(n);
                    return;
                }
                Err(problem) if attempt < self.settings.n_attempts => {
                    tracing::warn!(
                        attempt,
                        n,
                        error = &problem as &dyn std::error::Error,
                        "traces were not written, trying again"
                    );
                    sleep(wait).await;
                    wait = wait.saturating_mul(2);
                }
                Err(problem) => tracing::error!(n, error = &problem as &dyn std::error::Error, "traces are lost"),
            }
        }
        self.n_lost += n;
        self.dropped.add(n);
        self.metrics.traces_dropped(DropReason::Failed, n);
    }
}
