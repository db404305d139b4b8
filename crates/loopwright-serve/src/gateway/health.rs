//! How a target of a route fares: its breaker, and the requests under way.

use super::{
    breaker::{Breaker, BreakerState},
    policy::BreakerSettings,
};
use crate::Error;
use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Instant,
};

/// Longest time that a target is left alone because it said so.
const ASIDE_MS_MAX: u64 = 60_000;

/// Shared by all requests to a target.
#[derive(Debug)]
pub struct Health {
    started: Instant,
    inner: Mutex<Inner>,
}

#[derive(Debug)]
struct Inner {
    breaker: Breaker,
    n_in_flight: u32,
    /// It said that it has too much to do, until then.
    aside_until: u64,
}

/// A target's health at a moment, for people.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Condition {
    /// Where its breaker stands.
    pub breaker: BreakerState,
    /// Requests under way.
    pub n_in_flight: u32,
    /// Tries seen in the window.
    pub n_seen: u32,
    /// Failures among them.
    pub n_failed: u32,
    /// Length of the window.
    pub window_ms: u64,
}

impl Health {
    /// A target that nothing is known of.
    pub fn new(settings: BreakerSettings) -> Arc<Self> {
        let inner = Inner { breaker: Breaker::new(settings), n_in_flight: 0, aside_until: 0 };
        Arc::new(Self { started: Instant::now(), inner: Mutex::new(inner) })
    }

    /// True if a request may go there, and the requests under way.
    pub fn outlook(&self) -> (bool, u32) {
        let (now, inner) = (self.now(), self.lock());
        (inner.breaker.admits(now) && now >= inner.aside_until, inner.n_in_flight)
    }

    /// Milliseconds until a request may go there again.
    pub fn opens_in_ms(&self) -> u64 {
        let (now, inner) = (self.now(), self.lock());
        let aside = inner.aside_until.saturating_sub(now);
        match inner.breaker.state(now) {
            BreakerState::Open { left_ms } => left_ms.max(aside),
            BreakerState::Closed | BreakerState::HalfOpen => aside,
        }
    }

    /// A request goes there; none if none may.
    pub fn enter(self: &Arc<Self>) -> Option<Visit> {
        let now = self.now();
        let mut inner = self.lock();
        if now < inner.aside_until {
            return None;
        }
        let is_probe = inner.breaker.enter(now)?;
        inner.n_in_flight += 1;
        Some(Visit { health: self.clone(), is_probe, is_told: false })
    }

    /// What a probe of the provider found, counted as a request.
    pub fn probed(&self, is_well: bool) {
        let now = self.now();
        let mut inner = self.lock();
        match inner.breaker.enter(now) {
            Some(is_probe) if is_well => inner.breaker.succeed(now, is_probe),
            Some(is_probe) => inner.breaker.fail(now, is_probe),
            None => {}
        }
    }

    /// For people.
    pub fn condition(&self) -> Condition {
        let (now, inner) = (self.now(), self.lock());
        let (n_seen, n_failed) = inner.breaker.seen(now);
        let (breaker, window_ms) = (inner.breaker.state(now), inner.breaker.window_ms());
        Condition { breaker, n_in_flight: inner.n_in_flight, n_seen, n_failed, window_ms }
    }

    fn now(&self) -> u64 {
        self.started.elapsed().as_millis() as u64
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // Counts stay usable if a thread died while counting.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A request under way. Dropped without a word, it tells nothing about the target.
#[derive(Debug)]
pub struct Visit {
    health: Arc<Health>,
    is_probe: bool,
    is_told: bool,
}

impl Visit {
    /// It was answered.
    pub fn succeed(&mut self) {
        let now = self.health.now();
        self.health.lock().breaker.succeed(now, self.is_probe && !self.is_told);
        self.is_told = true;
    }

    /// It failed in a way that tells of the target; also after the answer had begun.
    pub fn fail(&mut self) {
        let now = self.health.now();
        self.health.lock().breaker.fail(now, self.is_probe && !self.is_told);
        self.is_told = true;
    }

    /// The target said when to come back.
    pub fn put_aside(&mut self, error: &Error) {
        let Some(ms) = error.retry_after_ms() else { return };
        let until = self.health.now().saturating_add(ms.min(ASIDE_MS_MAX));
        let mut inner = self.health.lock();
        inner.aside_until = inner.aside_until.max(until);
    }
}

impl Drop for Visit {
    fn drop(&mut self) {
        let mut inner = self.health.lock();
        inner.n_in_flight = inner.n_in_flight.saturating_sub(1);
        if !self.is_told {
            inner.breaker.abandon(self.is_probe);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn visits_are_counted_and_their_ends_too() {
        let settings = BreakerSettings { min_requests: 2, window_ms: 60_000, open_ms: 60_000, ..Default::default() };
        let health = Health::new(settings);
        let (mut one, two) = (health.enter().unwrap(), health.enter().unwrap());
        assert_eq!(health.outlook(), (true, 2));
        drop(two);
        one.fail();
        drop(one);
        assert_eq!((health.condition().n_seen, health.condition().n_failed, health.outlook().1), (1, 1, 0));
        health.enter().unwrap().fail();
        assert!(health.enter().is_none() && !health.outlook().0);
        assert!(health.opens_in_ms() > 50_000);
    }

    #[test]
    fn a_target_that_says_when_to_come_back_is_left_alone_until_then() {
        let health = Health::new(BreakerSettings::default());
        let busy = |ms| Error::Busy { n_waiting: 1, retry_after_ms: ms };
        health.enter().unwrap().put_aside(&busy(u64::MAX));
        assert!(health.enter().is_none());
        assert!((50_000..=ASIDE_MS_MAX).contains(&health.opens_in_ms()), "bounded");
        assert_eq!(health.condition().breaker, BreakerState::Closed, "being busy is no illness");
    }
}
