//! Rows from a thread of their own, in batches.
//!
//! The readers push rows, because that is how archives and nested formats are written simply; whoever takes rows pulls
//! them. Between the two stands a channel of one batch. A batch is closed when it is about as large as
//! `batch_bytes_max`, so at most three of them are in memory: one that is filled, one that waits, one that is taken
//! from. Dropping [`Reads`] stops the thread and waits for it.

use super::{
    failure::{Failure, Flow, Halt, Place},
    row::Read,
    shaping::Out,
    sink::Taken,
};
use crate::{Error, error::Kind};
use std::{
    sync::{
        atomic::Ordering,
        mpsc::{Receiver, SyncSender, sync_channel},
    },
    thread::JoinHandle,
    vec,
};

/// Batches that wait in the channel.
const WAITING_MAX: usize = 1;

type Batch = Result<Vec<Read>, Error>;
/// Ends what a thread may wait for.
type Stop = Box<dyn FnOnce() + Send>;

/// The rows of a source, one after the other. After an error there are no more.
pub struct Reads {
    /// None once it is over.
    batches: Option<Receiver<Batch>>,
    current: vec::IntoIter<Read>,
    taken: Taken,
    thread: Option<JoinHandle<()>>,
    /// Ends what the thread may wait for, when nobody wants its rows any more.
    stop: Option<Stop>,
}

/// Starts the thread. `read` pushes into the batches; `stop` is called if the rows are dropped before their end.
pub(super) fn start(
    batch_bytes_max: usize,
    read: impl FnOnce(&mut Batches) -> Flow + Send + 'static,
    stop: Option<Stop>,
) -> Reads {
    let (sender, receiver) = sync_channel(WAITING_MAX);
    let taken = Taken::default();
    let mut batches =
        Batches { sender, batch: Vec::new(), size_bytes: 0, bytes_max: batch_bytes_max, taken: taken.clone() };
    let work = move || {
        let end = read(&mut batches).and_then(|()| batches.flush());
        if let Err(Halt::Failed(error)) = end {
            // What was read before the failure is good. If nobody listens, there is nobody to tell.
            if batches.flush().is_ok() {
                let _ = batches.sender.send(Err(error));
            }
        }
    };
    let spawned = std::thread::Builder::new().name("read-source".into()).spawn(work);
    match spawned {
        Ok(thread) => Reads::waiting(receiver, taken, Some(thread), stop),
        Err(error) => Reads::failed(Failure::from_io(Place::file("-"), &error).into()),
    }
}

impl Reads {
    /// Rows that are an error only.
    pub(super) fn failed(error: Error) -> Self {
        let (sender, receiver) = sync_channel(WAITING_MAX);
        // The channel has room for one.
        let _ = sender.send(Err(error));
        Self::waiting(receiver, Taken::default(), None, None)
    }

    fn waiting(receiver: Receiver<Batch>, taken: Taken, thread: Option<JoinHandle<()>>, stop: Option<Stop>) -> Self {
        Self { batches: Some(receiver), current: Vec::new().into_iter(), taken, thread, stop }
    }

    /// Bytes taken from the source's files so far, as they lie there (packed ones as packed).
    pub fn bytes_taken(&self) -> u64 {
        self.taken.load(Ordering::Relaxed)
    }

    /// The rows in batches of about so many bytes (as the limits say): for writing them on in pieces.
    pub fn next_batch(&mut self) -> Option<Result<Vec<Read>, Error>> {
        let left: Vec<Read> = std::mem::take(&mut self.current).collect();
        if !left.is_empty() {
            return Some(Ok(left));
        }
        match self.batches.as_ref()?.recv() {
            Ok(Ok(batch)) => Some(Ok(batch)),
            Ok(Err(error)) => {
                self.batches = None;
                Some(Err(error))
            }
            Err(_) => self.end(),
        }
    }

    /// The thread is gone: at its end, or broken.
    fn end(&mut self) -> Option<Result<Vec<Read>, Error>> {
        self.batches = None;
        self.stop = None;
        let is_broken = self.thread.take().is_some_and(|thread| thread.join().is_err());
        is_broken.then(|| {
            let hint = "this is a defect of ours: please report it, with the file if you may";
            Err(Failure::new(Kind::Crashed, Place::file("-"), "the reading thread broke down", hint).into())
        })
    }
}

impl Iterator for Reads {
    type Item = Result<Read, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(read) = self.current.next() {
                return Some(Ok(read));
            }
            match self.next_batch()? {
                Ok(batch) => self.current = batch.into_iter(),
                Err(error) => return Some(Err(error)),
            }
        }
    }
}

impl Drop for Reads {
    fn drop(&mut self) {
        self.batches = None;
        if let Some(stop) = self.stop.take() {
            stop();
        }
        if let Some(thread) = self.thread.take() {
            // A broken thread has nothing to tell to somebody who does not listen.
            let _ = thread.join();
        }
    }
}

/// Fills batches and sends them off.
pub(super) struct Batches {
    sender: SyncSender<Batch>,
    batch: Vec<Read>,
    size_bytes: usize,
    bytes_max: usize,
    taken: Taken,
}

impl Batches {
    fn flush(&mut self) -> Flow {
        if self.batch.is_empty() {
            return Ok(());
        }
        let batch = std::mem::take(&mut self.batch);
        self.size_bytes = 0;
        self.sender.send(Ok(batch)).map_err(|_| Halt::Dropped)
    }

    /// A batch that came whole, when so many bytes had been taken.
    pub(super) fn give_all(&mut self, reads: Vec<Read>, n_taken: u64) -> Flow {
        self.taken.store(n_taken, Ordering::Relaxed);
        reads.into_iter().try_for_each(|read| self.give(read))
    }
}

impl Out for Batches {
    fn taken(&self) -> Taken {
        self.taken.clone()
    }

    fn begin(&mut self, _file: &str) -> Flow {
        Ok(())
    }

    fn give(&mut self, read: Read) -> Flow {
        self.size_bytes += read.size_bytes();
        self.batch.push(read);
        if self.size_bytes >= self.bytes_max { self.flush() } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use loopwright_types::dataset::RejectedRow;
    use std::sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    };

    fn row(line: u64) -> Read {
        Read::Rejected(RejectedRow { source: "a".into(), line, reason: "x".repeat(100), excerpt: String::new() })
    }

    #[test]
    fn no_more_than_three_batches_are_ahead() {
        let n_given = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&n_given);
        let size = row(0).size_bytes();
        let mut reads = start(
            10 * size,
            move |batches| {
                (0..100_000).try_for_each(|line| {
                    counted.fetch_add(1, Ordering::SeqCst);
                    batches.give(row(line))
                })
            },
            None,
        );
        assert!(reads.next().is_some());
        // One batch is taken from, one waits, one is full and cannot be sent.
        assert!(n_given.load(Ordering::SeqCst) <= 30);
        drop(reads);
        assert!(n_given.load(Ordering::SeqCst) <= 40);
    }

    #[test]
    fn rows_before_a_failure_arrive_and_a_broken_thread_is_told() {
        let failure = || Failure::damaged(Place::file("a"), "p", "h");
        let mut reads = start(1 << 20, move |batches| batches.give(row(1)).and_then(|()| Err(failure().into())), None);
        assert!(matches!(reads.next(), Some(Ok(_))));
        assert_eq!(reads.next(), Some(Err(Failure::damaged(Place::file("a"), "p", "h").into())));
        assert_eq!(reads.next(), None);
        let mut reads = start(1, |_| panic!("on purpose"), None);
        assert_eq!(reads.next().unwrap().unwrap_err().kind(), Kind::Crashed);
        assert_eq!(reads.next(), None);
    }
}
