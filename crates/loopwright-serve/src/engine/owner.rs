//! The engine's thread: takes requests from the queue and gives each active one a step in turn.

use super::{
    EngineSettings, GenerateRequest, Piece,
    admission::{Admission, Place},
    models::Loaded,
    sequence::{Sequence, Step},
};
use crate::{Error, Result};
use std::{
    collections::VecDeque,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
        mpsc::{Receiver, TryRecvError},
    },
    time::Instant,
};
use tokio::sync::mpsc;

/// A request in the queue, with its place there.
#[derive(Debug)]
pub(crate) struct Job {
    pub(crate) request: GenerateRequest,
    pub(crate) loaded: Arc<Loaded>,
    pub(crate) sender: mpsc::Sender<Result<Piece>>,
    pub(crate) place: Place,
}

/// What the engine's thread tells the handles, and they it.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) n_running: AtomicUsize,
    pub(crate) n_done: AtomicU64,
    pub(crate) n_cancelled: AtomicU64,
    pub(crate) n_refused: AtomicU64,
    pub(crate) n_failed: AtomicU64,
    pub(crate) is_stopping: AtomicBool,
}

/// Everything that the engine's thread owns.
pub(crate) struct Owner {
    settings: EngineSettings,
    queue: Receiver<Job>,
    active: VecDeque<Active>,
    admission: Arc<Admission>,
    counters: Arc<Counters>,
}

struct Active {
    sequence: Sequence,
    sender: mpsc::Sender<Result<Piece>>,
    since: Instant,
}

impl Owner {
    pub(crate) fn new(
        settings: EngineSettings,
        queue: Receiver<Job>,
        admission: Arc<Admission>,
        counters: Arc<Counters>,
    ) -> Self {
        Self { settings, queue, active: VecDeque::new(), admission, counters }
    }

    /// Runs until every handle is gone or one says stop.
    pub(crate) fn run(mut self) {
        while self.admit() {
            for _ in 0..self.active.len() {
                if let Some(active) = self.active.pop_front() {
                    self.step(active);
                }
            }
            self.counters.n_running.store(self.active.len(), Ordering::Relaxed);
        }
        self.end_all();
    }

    /// Takes requests while there is room; waits for one if nothing is active. False once it is time to end.
    fn admit(&mut self) -> bool {
        while self.active.len() < self.settings.n_active_max.max(1) {
            let job = if self.active.is_empty() {
                self.queue.recv().map_err(|_| TryRecvError::Disconnected)
            } else {
                self.queue.try_recv()
            };
            match job {
                Ok(job) => self.begin(job),
                Err(TryRecvError::Empty) => break,
                Err(TryRecvError::Disconnected) if self.active.is_empty() => return false,
                Err(TryRecvError::Disconnected) => break,
            }
        }
        !self.counters.is_stopping.load(Ordering::Relaxed)
    }

    fn begin(&mut self, job: Job) {
        let Job { request, loaded, sender, place } = job;
        drop(place);
        self.active.push_back(Active { sequence: Sequence::new(request, loaded), sender, since: Instant::now() });
        self.counters.n_running.store(self.active.len(), Ordering::Relaxed);
    }

    /// One step of one request; it goes to the end of the line unless it has ended.
    fn step(&mut self, mut active: Active) {
        if active.sender.is_closed() {
            self.counters.n_cancelled.fetch_add(1, Ordering::Relaxed);
            return;
        }
        let n_prompt_tokens = self.settings.n_prompt_tokens_step.max(1);
        // A panic in one request must not end the others.
        let step = catch_unwind(AssertUnwindSafe(|| active.sequence.step(n_prompt_tokens)))
            .unwrap_or_else(|_| Err(Error::Thread("the model panicked".into())));
        let (sent, has_ended) = match step {
            Ok(Step::Reading) => (Ok(()), false),
            Ok(Step::Wrote(piece)) => {
                let has_ended = piece.finish.is_some();
                if has_ended {
                    // Counted before anybody can see the end: whoever has an answer finds it in the figures.
                    self.counters.n_done.fetch_add(1, Ordering::Relaxed);
                }
                let is_news = has_ended || !piece.text.is_empty();
                (if is_news { active.sender.try_send(Ok(piece)) } else { Ok(()) }, has_ended)
            }
            Err(error) => {
                self.counters.n_failed.fetch_add(1, Ordering::Relaxed);
                self.counters.n_done.fetch_add(1, Ordering::Relaxed);
                (active.sender.try_send(Err(error)), true)
            }
        };
        if has_ended {
            self.admission.record_us(u64::try_from(active.since.elapsed().as_micros()).unwrap_or(u64::MAX));
        } else if sent.is_err() {
            self.counters.n_cancelled.fetch_add(1, Ordering::Relaxed);
        } else {
            self.active.push_back(active);
        }
    }

    fn end_all(&mut self) {
        let active = std::mem::take(&mut self.active).into_iter().map(|active| active.sender);
        let waiting = std::iter::from_fn(|| self.queue.try_recv().ok()).map(|job| job.sender);
        for sender in active.chain(waiting) {
            // A client that went away needs no answer.
            let _ = sender.try_send(Err(Error::Stopped));
        }
        self.counters.n_running.store(0, Ordering::Relaxed);
    }
}
