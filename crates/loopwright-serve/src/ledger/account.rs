//! One key's account: what it used, by time, and what is reserved.

use super::over;
use crate::Result;
use loopwright_types::{
    Timestamp,
    key::{Amount, Limit, Spending, Window},
};
use std::collections::VecDeque;

/// Steps in a window.
const N_STEPS: i64 = 60;

/// What a key used and has reserved.
#[derive(Debug, Default)]
pub(super) struct Account {
    /// Reserved by requests under way.
    pub held: Amount,
    /// All that was ever used.
    pub total: Amount,
    minute: Steps,
    hour: Steps,
    day: Steps,
    month: Steps,
}

/// What was used in the newest steps of a window: those with something in them, oldest first, and their sum.
#[derive(Debug, Default)]
struct Steps {
    steps: VecDeque<(i64, Amount)>,
    sum: Amount,
}

impl Steps {
    fn add(&mut self, step: i64, used: Amount) {
        self.sum = self.sum.plus(used);
        match self.steps.back_mut() {
            // A clock that was set back: it counts as used now, which is never too early.
            Some((last, sum)) if *last >= step => *sum = sum.plus(used),
            _ => self.steps.push_back((step, used)),
        }
    }

    /// Leaves out what lies wholly before the window that ends in this step.
    fn forget(&mut self, step: i64) {
        while let Some((_, used)) = self.steps.pop_front_if(|(it, _)| *it < step - N_STEPS) {
            self.sum = self.sum.minus(used);
        }
    }
}

fn step_ms(window: Window) -> i64 {
    window.length_ms().unwrap_or(i64::MAX) / N_STEPS
}

impl Account {
    fn steps(&mut self, window: Window) -> Option<&mut Steps> {
        match window {
            Window::Minute => Some(&mut self.minute),
            Window::Hour => Some(&mut self.hour),
            Window::Day => Some(&mut self.day),
            Window::Month => Some(&mut self.month),
            Window::Total => None,
        }
    }

    /// Something was used now.
    pub fn add(&mut self, used: Amount, now: Timestamp) {
        self.total = self.total.plus(used);
        self.add_to_windows(used, now);
    }

    fn add_to_windows(&mut self, used: Amount, now: Timestamp) {
        for window in Window::ALL {
            let step = now.0.div_euclid(step_ms(window));
            if let Some(steps) = self.steps(window) {
                steps.forget(step);
                steps.add(step, used);
            }
        }
    }

    /// Takes up what was kept; a minute counts as used at its end.
    pub fn load(&mut self, spending: &Spending) {
        match spending.minute {
            None => self.total = self.total.plus(spending.used),
            Some(minute) => self.add_to_windows(spending.used, Timestamp(minute.saturating_mul(60_000) + 59_999)),
        }
    }

    /// Used in the window that ends now, and reserved.
    fn taken(&mut self, limit: &Limit, now: Timestamp) -> u64 {
        let step = now.0.div_euclid(step_ms(limit.window));
        let held = self.held.of(limit.of);
        let used = match self.steps(limit.window) {
            None => self.total.of(limit.of),
            Some(steps) => {
                steps.forget(step);
                steps.sum.of(limit.of)
            }
        };
        used.saturating_add(held)
    }

    /// What may still be asked for.
    pub fn remaining(&mut self, limit: &Limit, now: Timestamp) -> u64 {
        limit.at_most.saturating_sub(self.taken(limit, now))
    }

    /// Milliseconds until all of a limit is there again, if what is reserved is used now and nothing else comes; none if never.
    pub fn resets_in_ms(&mut self, limit: &Limit, now: Timestamp) -> Option<u64> {
        if self.taken(limit, now) == 0 {
            return Some(0);
        }
        let (length, is_held) = (step_ms(limit.window), self.held.of(limit.of) > 0);
        let steps = &self.steps(limit.window)?.steps;
        let newest = steps.iter().rev().find(|(_, used)| used.of(limit.of) > 0).map(|(step, _)| *step);
        let newest = newest.max(is_held.then(|| now.0.div_euclid(length)))?;
        Some((newest + N_STEPS + 1).saturating_mul(length).saturating_sub(now.0).max(1).unsigned_abs())
    }

    /// Is there room for so much?
    pub fn check(&mut self, limit: &Limit, bound: Amount, now: Timestamp) -> Result<()> {
        let wanted = bound.of(limit.of);
        // A request that asks for nothing of it (a free model under a budget) is held back by nothing.
        if wanted == 0 || self.taken(limit, now).saturating_add(wanted) <= limit.at_most {
            return Ok(());
        }
        Err(over(limit, self.wait_ms(limit, wanted, now)))
    }

    /// When enough will have left the window, if all that is reserved is used up and nothing else comes; none if never.
    fn wait_ms(&mut self, limit: &Limit, wanted: u64, now: Timestamp) -> Option<u64> {
        let room = limit.at_most.checked_sub(wanted)?;
        let held = self.held.of(limit.of);
        let length = step_ms(limit.window);
        let mut taken = self.taken(limit, now);
        for (step, used) in &self.steps(limit.window)?.steps {
            taken = taken.saturating_sub(used.of(limit.of));
            if taken <= room {
                let free_at = (step + N_STEPS + 1).saturating_mul(length);
                return Some(free_at.saturating_sub(now.0).max(1).unsigned_abs());
            }
        }
        // Only what is reserved stands in the way: it is settled soon.
        (held > 0).then_some(1_000)
    }
}
