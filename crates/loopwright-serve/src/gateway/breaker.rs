//! A circuit breaker: a target that keeps failing is left alone for a while, then tried with a few requests.
//!
//! ```text
//! closed ── share of failures over the window ──→ open ── open_ms ──→ half-open ── probes succeed ──→ closed
//!                                                  ↑                      │
//!                                                  └────── one fails ─────┘
//! ```

use super::policy::BreakerSettings;

/// Parts that the window is counted in: it moves by one of them.
const N_PARTS: u64 = 10;

/// Where a breaker stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BreakerState {
    /// Requests go through.
    Closed,
    /// None do, until so many milliseconds from now.
    Open {
        /// Milliseconds left.
        left_ms: u64,
    },
    /// A few do, to see whether it is well again.
    HalfOpen,
}

impl BreakerState {
    /// In a word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::Open { .. } => "open",
            Self::HalfOpen => "half_open",
        }
    }
}

#[derive(Clone, Copy, Debug, Default)]
struct Count {
    part: u64,
    n: u32,
    n_failed: u32,
}

/// One target's breaker. Times are milliseconds on any clock that does not go back.
#[derive(Clone, Debug)]
pub struct Breaker {
    settings: BreakerSettings,
    counts: [Count; N_PARTS as usize],
    open_until: Option<u64>,
    /// While half-open: requests under way, and those that succeeded.
    n_probing: u32,
    n_well: u32,
}

impl Breaker {
    /// A closed one.
    pub fn new(settings: BreakerSettings) -> Self {
        Self { settings, counts: Default::default(), open_until: None, n_probing: 0, n_well: 0 }
    }

    /// Where it stands.
    pub fn state(&self, now: u64) -> BreakerState {
        match self.open_until {
            None => BreakerState::Closed,
            Some(until) if now < until => BreakerState::Open { left_ms: until - now },
            Some(_) => BreakerState::HalfOpen,
        }
    }

    /// True if [`Breaker::enter`] would let a request through.
    pub fn admits(&self, now: u64) -> bool {
        match self.state(now) {
            BreakerState::Closed => true,
            BreakerState::Open { .. } => false,
            BreakerState::HalfOpen => self.n_probing + self.n_well < self.settings.probes,
        }
    }

    /// Lets a request through, or not. One that is through must be ended with [`Breaker::succeed`], [`Breaker::fail`] or
    /// [`Breaker::abandon`]; true says that it is a probe.
    pub fn enter(&mut self, now: u64) -> Option<bool> {
        if !self.admits(now) {
            return None;
        }
        let is_probe = self.state(now) == BreakerState::HalfOpen;
        self.n_probing += u32::from(is_probe);
        Some(is_probe)
    }

    /// A request was answered.
    pub fn succeed(&mut self, now: u64, is_probe: bool) {
        self.count(now, false);
        if !is_probe || self.open_until.is_none() {
            return;
        }
        self.n_probing = self.n_probing.saturating_sub(1);
        self.n_well += 1;
        if self.n_well >= self.settings.probes {
            *self = Self::new(self.settings);
        }
    }

    /// A request failed.
    pub fn fail(&mut self, now: u64, is_probe: bool) {
        self.count(now, true);
        match self.state(now) {
            BreakerState::Open { .. } => {}
            BreakerState::HalfOpen if is_probe => self.open(now),
            // What was sent before it opened says nothing about now.
            BreakerState::HalfOpen => {}
            BreakerState::Closed => {
                let (n, n_failed) = self.seen(now);
                let is_bad = f64::from(n_failed) >= self.settings.failure_share * f64::from(n);
                if n >= self.settings.min_requests && is_bad {
                    self.open(now);
                }
            }
        }
    }

    /// A request ended without telling anything about the target.
    pub fn abandon(&mut self, is_probe: bool) {
        self.n_probing = self.n_probing.saturating_sub(u32::from(is_probe));
    }

    /// Requests seen in the window, and those that failed.
    pub fn seen(&self, now: u64) -> (u32, u32) {
        let part = self.part(now);
        let counts = self.counts.iter().filter(|count| count.part + N_PARTS > part && count.part <= part);
        counts.fold((0, 0), |(n, n_failed), count| (n + count.n, n_failed + count.n_failed))
    }

    /// Length of the window.
    pub fn window_ms(&self) -> u64 {
        self.settings.window_ms
    }

    fn open(&mut self, now: u64) {
        self.open_until = Some(now.saturating_add(self.settings.open_ms));
        (self.n_probing, self.n_well) = (0, 0);
    }

    fn count(&mut self, now: u64, is_failed: bool) {
        let part = self.part(now);
        let count = &mut self.counts[(part % N_PARTS) as usize];
        if count.part != part {
            *count = Count { part, ..Count::default() };
        }
        count.n = count.n.saturating_add(1);
        count.n_failed = count.n_failed.saturating_add(u32::from(is_failed));
    }

    fn part(&self, now: u64) -> u64 {
        // Counted from N_PARTS, so that an empty count lies before every window.
        N_PARTS + now / (self.settings.window_ms / N_PARTS).max(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn breaker() -> Breaker {
        let settings =
            BreakerSettings { failure_share: 0.5, min_requests: 4, window_ms: 1_000, open_ms: 500, probes: 2 };
        Breaker::new(settings)
    }

    fn send(breaker: &mut Breaker, now: u64, is_well: bool) {
        let is_probe = breaker.enter(now).unwrap();
        if is_well { breaker.succeed(now, is_probe) } else { breaker.fail(now, is_probe) }
    }

    fn opened(at: u64) -> Breaker {
        let mut it = breaker();
        (0..4).for_each(|_| send(&mut it, at, false));
        it
    }

    #[test]
    fn it_opens_at_the_share_and_not_before_enough_was_seen() {
        let mut it = breaker();
        (0..3).for_each(|_| send(&mut it, 0, false));
        assert_eq!(it.state(0), BreakerState::Closed);
        send(&mut it, 0, false);
        assert_eq!(it.state(100), BreakerState::Open { left_ms: 400 });
        assert_eq!(it.enter(499), None);

        let mut it = breaker();
        (0..6).for_each(|_| send(&mut it, 0, true));
        (0..5).for_each(|_| send(&mut it, 0, false));
        assert_eq!((it.state(0), it.seen(0)), (BreakerState::Closed, (11, 5)));
        send(&mut it, 0, false);
        assert!(matches!(it.state(0), BreakerState::Open { .. }), "6 of 12");
    }

    #[test]
    fn failures_are_forgotten_with_the_window() {
        let mut it = breaker();
        (0..3).for_each(|_| send(&mut it, 0, false));
        assert_eq!((it.seen(999), it.seen(1_000)), ((3, 3), (0, 0)));
        send(&mut it, 1_000, false);
        assert_eq!(it.state(1_000), BreakerState::Closed);
    }

    #[test]
    fn it_closes_after_its_probes_and_opens_again_on_a_failure() {
        let mut it = opened(0);
        assert_eq!(it.state(500), BreakerState::HalfOpen);
        assert_eq!((it.enter(500), it.enter(500), it.enter(500)), (Some(true), Some(true), None));
        it.succeed(510, true);
        assert_eq!(it.enter(510), None, "the second probe is under way");
        it.succeed(520, true);
        assert_eq!((it.state(520), it.seen(520)), (BreakerState::Closed, (0, 0)));

        let mut it = opened(0);
        assert_eq!(it.enter(500), Some(true));
        it.fail(600, true);
        assert_eq!(it.state(600), BreakerState::Open { left_ms: 500 });
    }

    #[test]
    fn a_probe_that_was_abandoned_makes_room_for_another() {
        let mut it = opened(0);
        assert_eq!((it.enter(500), it.enter(500), it.enter(500)), (Some(true), Some(true), None));
        it.abandon(true);
        assert_eq!(it.enter(500), Some(true));
    }

    #[test]
    fn what_was_sent_before_it_opened_neither_closes_nor_opens_it() {
        let mut it = opened(0);
        it.succeed(600, false);
        it.fail(600, false);
        assert_eq!((it.state(600), it.enter(600)), (BreakerState::HalfOpen, Some(true)));
    }
}
