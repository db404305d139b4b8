//! Where times and ids come from: the only place in the house that reads the clock or draws random ids.

use loopwright_types::Timestamp;
use std::{
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicI64, Ordering},
    },
    time::{Duration, SystemTime, UNIX_EPOCH},
};
use ulid::Generator;

/// A clock that never runs backwards within this process, and ids that sort by the time they were made.
#[derive(Debug)]
pub(crate) struct Clock {
    last_ms: AtomicI64,
    ids: Mutex<Generator>,
}

impl Clock {
    pub(crate) fn new() -> Self {
        Self { last_ms: AtomicI64::new(0), ids: Mutex::new(Generator::new()) }
    }

    /// Milliseconds since the epoch; at least what the last call returned.
    pub(crate) fn now(&self) -> Timestamp {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let now = i64::try_from(since.as_millis()).unwrap_or(i64::MAX);
        Timestamp(now.max(self.last_ms.fetch_max(now, Ordering::Relaxed)))
    }

    /// `prefix_` and a ULID (<https://github.com/ulid/spec>): 48 bits of time, 80 of randomness; each greater than the
    /// one before.
    pub(crate) fn new_id(&self, prefix: &str) -> String {
        let at = UNIX_EPOCH + Duration::from_millis(self.now().millis().max(0).unsigned_abs());
        // A panic elsewhere leaves the generator whole: it is one number.
        let mut ids = self.ids.lock().unwrap_or_else(PoisonError::into_inner);
        let id = match ids.generate_from_datetime(at) {
            Ok(id) => id,
            Err(overflow) => overflow.commit_overflow_increment(),
        };
        format!("{prefix}_{id}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_and_times_only_grow() {
        let clock = Clock::new();
        let ids: Vec<String> = (0..2000).map(|_| clock.new_id("run")).collect();
        assert!(ids.is_sorted_by(|a, b| a < b));
        assert!(ids[0].starts_with("run_") && ids[0].len() == 30, "{}", ids[0]);
        let times: Vec<Timestamp> = (0..100).map(|_| clock.now()).collect();
        assert!(times.is_sorted() && times[0].millis() > 1_700_000_000_000);
    }
}
