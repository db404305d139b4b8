//! Trials as samplers see them: points and losses.

use crate::{
    space::Space,
    trial::{Direction, State, Trial},
};

/// What came of a point, as a loss: smaller is better.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Outcome {
    /// It came back with this loss.
    Complete(f64),
    /// It was given up after this step, at this loss.
    Pruned(u64, f64),
    /// It has no value, and its point is to blame.
    Bad,
    /// It has not come back.
    Running,
}

/// A point that was tried.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    pub(crate) number: u64,
    pub(crate) point: Vec<f64>,
    pub(crate) active: Vec<bool>,
    pub(crate) outcome: Outcome,
}

/// All points that say something: the finished ones in the order in which they finished, then the running ones by number.
#[derive(Clone, Debug)]
pub(crate) struct History<'a> {
    pub(crate) space: &'a Space,
    pub(crate) seen: Vec<Seen>,
}

impl<'a> History<'a> {
    pub(crate) fn of(space: &'a Space, direction: Direction, trials: &[Trial]) -> Self {
        let mut sorted: Vec<&Trial> = trials.iter().collect();
        sorted.sort_by_key(|trial| (trial.finished_index.unwrap_or(u64::MAX), trial.number));
        let seen = sorted.into_iter().filter_map(|trial| {
            let outcome = outcome(trial, direction)?;
            let (point, active) = space.encode(&trial.params);
            Some(Seen { number: trial.number, point, active, outcome })
        });
        Self { space, seen: seen.collect() }
    }

    /// How many have finished.
    pub(crate) fn n_finished(&self) -> usize {
        self.seen.iter().filter(|seen| seen.outcome != Outcome::Running).count()
    }

    /// A loss for each finished point, in the order of `seen`: a pruned one counts at least as the median of the complete
    /// ones, a bad one as the worst.
    pub(crate) fn losses(&self) -> Vec<f64> {
        let mut complete: Vec<f64> = self
            .seen
            .iter()
            .filter_map(|seen| match seen.outcome {
                Outcome::Complete(loss) => Some(loss),
                _ => None,
            })
            .collect();
        complete.sort_by(f64::total_cmp);
        let median = complete.get(complete.len() / 2).copied();
        let worst = self.seen.iter().filter_map(|seen| match seen.outcome {
            Outcome::Complete(loss) | Outcome::Pruned(_, loss) => Some(loss),
            _ => None,
        });
        let worst = worst.fold(median.unwrap_or(0.0), f64::max);
        let loss = |seen: &Seen| match seen.outcome {
            Outcome::Complete(loss) => Some(loss),
            Outcome::Pruned(_, loss) => Some(loss.max(median.unwrap_or(loss))),
            Outcome::Bad => Some(worst),
            Outcome::Running => None,
        };
        self.seen.iter().filter_map(loss).collect()
    }
}

fn outcome(trial: &Trial, direction: Direction) -> Option<Outcome> {
    match &trial.state {
        State::Running => Some(Outcome::Running),
        State::Complete { value } => Some(Outcome::Complete(direction.loss(*value))),
        State::Pruned => match trial.reports.last() {
            Some(last) => Some(Outcome::Pruned(last.step, direction.loss(last.value))),
            None => Some(Outcome::Bad),
        },
        State::Failed { is_bad_point: true, .. } => Some(Outcome::Bad),
        State::Failed { .. } => None,
    }
}
