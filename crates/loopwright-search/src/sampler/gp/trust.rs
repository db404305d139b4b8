//! The trust region's history: where it stands, and how large it is.
//!
//! It doubles after some successes in a row and halves after some failures (Eriksson et al. 2019, TuRBO). Once it has
//! collapsed it opens again: around the same point the first time, as there may be a better valley beyond the next ridge,
//! and the second time elsewhere, around the best point that is not near a place that was searched. All of this is found
//! again from the finished trials at each suggestion.

use super::{is_local, region::FIRST};
use crate::sampler::History;

/// Side of the box, as a share of the space: where it has collapsed, where it begins elsewhere, at most.
const LEAST: f64 = 0.0078;
const FIRST_ELSEWHERE: f64 = 0.4;
const GREATEST: f64 = 1.6;
/// Successes in a row until it doubles; failures until it halves are the dimension, but at least these.
const SUCCESSES: usize = 3;
const FAILURES_MIN: usize = 4;
/// Points this near to a place that was searched belong to it: the root mean square over the coordinates.
const NEAR: f64 = 0.15;

/// Where the trust region stands.
pub(super) struct Trust {
    /// Side of the box, as a share of the space.
    pub(super) side: f64,
    /// The best point that it may stand around, an index into the history.
    pub(super) centre: usize,
    /// All points that it may stand around.
    pub(super) members: Vec<usize>,
}

/// A replay of the finished trials.
struct Replay<'a> {
    history: &'a History<'a>,
    losses: &'a [f64],
    /// Centres of places that were searched.
    closed: Vec<usize>,
    members: Vec<usize>,
    best: Option<usize>,
    side: f64,
    successes: usize,
    failures: usize,
    n_collapses: usize,
}

/// The trust region after all finished trials; those before `n_startup` did not come from it. None without trials.
pub(super) fn trust(history: &History<'_>, losses: &[f64], n_startup: usize) -> Option<Trust> {
    let mut replay = Replay {
        history,
        losses,
        closed: Vec::new(),
        members: Vec::new(),
        best: None,
        side: FIRST,
        successes: 0,
        failures: 0,
        n_collapses: 0,
    };
    for index in 0..losses.len() {
        let was_better = replay.see(index);
        if index >= n_startup && is_local(history.seen[index].number) {
            replay.resize(index, was_better);
        }
    }
    Some(Trust { side: replay.side, centre: replay.best?, members: replay.members })
}

impl Replay<'_> {
    /// Takes a point in; whether it is the best one around which the region may stand.
    fn see(&mut self, index: usize) -> bool {
        let is_member = self.closed.iter().all(|&other| !self.is_near(other, index));
        let was_better = is_member && self.best.is_none_or(|best| self.losses[index] < self.losses[best]);
        if is_member {
            self.members.push(index);
        }
        if was_better {
            self.best = Some(index);
        }
        was_better
    }

    fn resize(&mut self, index: usize, was_better: bool) {
        (self.successes, self.failures) = if was_better { (self.successes + 1, 0) } else { (0, self.failures + 1) };
        if self.successes == SUCCESSES {
            (self.side, self.successes) = ((2.0 * self.side).min(GREATEST), 0);
        } else if self.failures >= self.history.space.len().max(FAILURES_MIN) {
            (self.side, self.failures) = (0.5 * self.side, 0);
        }
        if self.side < LEAST {
            self.open_again(index);
        }
    }

    fn open_again(&mut self, index: usize) {
        (self.side, self.successes, self.failures) = (FIRST, 0, 0);
        self.n_collapses += 1;
        let Some(centre) = self.best.filter(|_| self.n_collapses.is_multiple_of(2)) else { return };
        self.side = FIRST_ELSEWHERE;
        self.closed.push(centre);
        self.members = self.members.iter().copied().filter(|&member| !self.is_near(centre, member)).collect();
        if self.members.is_empty() {
            self.closed.clear();
            self.members = (0..=index).collect();
        }
        self.best = self.members.iter().copied().min_by(|&a, &b| self.losses[a].total_cmp(&self.losses[b]));
    }

    fn is_near(&self, a: usize, b: usize) -> bool {
        distance(self.history, a, b) <= NEAR * NEAR * self.history.space.len() as f64
    }
}

/// Squared distance of two points; different choices are 1 apart.
pub(super) fn distance(history: &History<'_>, a: usize, b: usize) -> f64 {
    let pairs = history.seen[a].point.iter().zip(&history.seen[b].point);
    let squared = |(axis, (a, b)): (&crate::space::Axis, (&f64, &f64))| match axis.is_choice() {
        true => f64::from(u8::from(a != b)),
        false => (a - b) * (a - b),
    };
    history.space.axes().iter().zip(pairs).map(squared).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        sampler::{Outcome, Seen},
        space::{Param, Space},
    };

    /// The region after points at `x` with losses, all of them from the region.
    fn after(points: &[(f64, f64)]) -> (f64, f64) {
        let space = Space::new([("x", Param::float(0.0, 1.0))]).unwrap();
        let seen = points.iter().map(|&(x, loss)| Seen {
            number: 1,
            point: vec![x],
            active: vec![true],
            outcome: Outcome::Complete(loss),
        });
        let history = History { space: &space, seen: seen.collect() };
        let trust = trust(&history, &history.losses(), 0).unwrap();
        (trust.side, history.seen[trust.centre].point[0])
    }

    #[test]
    fn it_doubles_after_successes_halves_after_failures_and_moves_on() {
        let falling: Vec<(f64, f64)> = (0..3).map(|i| (0.5, -f64::from(i))).collect();
        assert_eq!(after(&falling).0, 1.6);
        let with_failures = |n: usize| {
            let mut points = vec![(0.5, 0.0), (0.9, 1.0)];
            points.extend(vec![(0.5, 2.0); n]);
            after(&points)
        };
        assert_eq!(with_failures(3), (0.4, 0.5), "the second point failed, too");
        assert_eq!(with_failures(7), (0.2, 0.5));
        assert_eq!(with_failures(27), (FIRST, 0.5), "collapsed once: open around the same point");
        assert_eq!(with_failures(55), (FIRST_ELSEWHERE, 0.9), "collapsed twice: elsewhere");
    }
}
