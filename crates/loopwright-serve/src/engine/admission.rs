//! Who may wait: a queue with a bound, and an honest guess when to come back.

use crate::{Error, Result};
use std::sync::{
    Arc,
    atomic::{AtomicU64, AtomicUsize, Ordering},
};

/// Requests that wait for the engine, and how long one takes.
#[derive(Debug)]
pub(crate) struct Admission {
    n_waiting: AtomicUsize,
    n_waiting_max: usize,
    n_active_max: usize,
    /// Exponential moving average of the time a request is active.
    mean_us: AtomicU64,
}

/// A place in the queue; given back when dropped.
#[derive(Debug)]
pub(crate) struct Place(Arc<Admission>);

impl Drop for Place {
    fn drop(&mut self) {
        self.0.n_waiting.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Admission {
    /// An empty queue.
    pub(crate) fn new(n_waiting_max: usize, n_active_max: usize) -> Arc<Self> {
        Arc::new(Self { n_waiting: AtomicUsize::new(0), n_waiting_max, n_active_max, mean_us: AtomicU64::new(0) })
    }

    /// A place in the queue, if there is one.
    pub(crate) fn enter(self: &Arc<Self>) -> Result<Place> {
        let room = |n: usize| (n < self.n_waiting_max).then_some(n + 1);
        match self.n_waiting.fetch_update(Ordering::Relaxed, Ordering::Relaxed, room) {
            Ok(_) => Ok(Place(self.clone())),
            Err(n_waiting) => {
                let mean_us = self.mean_us.load(Ordering::Relaxed);
                Err(Error::Busy { n_waiting, retry_after_ms: retry_after_ms(n_waiting, mean_us, self.n_active_max) })
            }
        }
    }

    /// Requests in the queue now.
    pub(crate) fn n_waiting(&self) -> usize {
        self.n_waiting.load(Ordering::Relaxed)
    }

    /// A request was active for so long. Called by the engine's one thread.
    pub(crate) fn record_us(&self, us: u64) {
        let mean = self.mean_us.load(Ordering::Relaxed);
        self.mean_us.store(if mean == 0 { us } else { mean - mean / 8 + us / 8 }, Ordering::Relaxed);
    }
}

const RETRY_AFTER_MS: std::ops::RangeInclusive<u64> = 1_000..=60_000;

/// When half of the queue will have been served: with `n_active_max` at a time, each `mean_us` long.
fn retry_after_ms(n_waiting: usize, mean_us: u64, n_active_max: usize) -> u64 {
    let rounds = (n_waiting as u64).div_ceil(2).div_ceil(n_active_max.max(1) as u64);
    (rounds.saturating_mul(mean_us) / 1_000).clamp(*RETRY_AFTER_MS.start(), *RETRY_AFTER_MS.end())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_queue_has_a_bound_and_places_come_back() {
        let admission = Admission::new(2, 1);
        let first = admission.enter().unwrap();
        let _second = admission.enter().unwrap();
        assert!(matches!(admission.enter(), Err(Error::Busy { n_waiting: 2, retry_after_ms: 1_000 })));
        drop(first);
        assert_eq!(admission.n_waiting(), 1);
        assert!(admission.enter().is_ok());
    }

    #[test]
    fn the_time_to_come_back_grows_with_the_queue_and_is_bounded() {
        // 8 wait, 4 of them in 2 rounds of 2, 3 s each.
        assert_eq!(retry_after_ms(8, 3_000_000, 2), 6_000);
        assert_eq!(retry_after_ms(8, 0, 2), 1_000);
        assert_eq!(retry_after_ms(1_000, 60_000_000, 1), 60_000);
    }

    #[test]
    fn the_mean_follows_what_is_recorded() {
        let admission = Admission::new(1, 1);
        admission.record_us(800);
        assert_eq!(admission.mean_us.load(Ordering::Relaxed), 800);
        admission.record_us(1_600);
        assert_eq!(admission.mean_us.load(Ordering::Relaxed), 900);
    }
}
