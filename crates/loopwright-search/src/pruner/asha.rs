//! ASHA, asynchronous successive halving (Li et al. 2020, "A system for massively parallel hyperparameter tuning").
//!
//! Rungs stand at the steps r, r·η, r·η² … A trial that comes to a rung goes on if it is among the best 1/η of all that
//! came there so far, itself included; the best one always goes on. Nobody waits for others, so that a trial that came
//! early may go on where it would not later. This is the stopping form: who goes on does so at once.

use crate::{
    Error, Result,
    trial::{Direction, Trial},
};
use serde::{Deserialize, Serialize};

/// Rungs beyond this many are above any count of steps.
const RUNGS_MAX: u32 = 64;

/// Settings of ASHA.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AshaSettings {
    /// The step of the first rung, r: no trial is given up before. Default: 1.
    pub min_resource: u64,
    /// η: of so many that come to a rung, one goes on. Default: 4.
    pub reduction_factor: u64,
    /// Brackets: bracket b, to which every so many'th trial belongs, has its first rung at r·ηᵇ. More than one protects
    /// trials that learn slowly, at a price (Hyperband; Li et al. 2018). Default: 1, which is without.
    pub n_brackets: u64,
}

impl Default for AshaSettings {
    fn default() -> Self {
        Self { min_resource: 1, reduction_factor: 4, n_brackets: 1 }
    }
}

impl AshaSettings {
    pub(super) fn check(&self) -> Result<()> {
        if self.min_resource == 0 {
            return Err(Error::setting("asha.min_resource", "at least 1", self.min_resource));
        }
        if !(2..=100).contains(&self.reduction_factor) {
            return Err(Error::setting("asha.reduction_factor", "2 to 100", self.reduction_factor));
        }
        if !(1..=16).contains(&self.n_brackets) {
            return Err(Error::setting("asha.n_brackets", "1 to 16", self.n_brackets));
        }
        Ok(())
    }

    pub(super) fn should_prune(&self, trials: &[Trial], index: usize, direction: Direction) -> bool {
        let trial = &trials[index];
        let bracket = trial.number % self.n_brackets;
        let Some(rung) = self.rung_just_reached(trial, bracket) else { return false };
        let Some(own) = loss_at(trial, rung, direction) else { return false };
        let rivals = trials.iter().filter(|other| other.number % self.n_brackets == bracket);
        let losses: Vec<f64> = rivals.filter_map(|other| loss_at(other, rung, direction)).collect();
        let go_on = (losses.len() / self.reduction_factor as usize).max(1);
        losses.iter().filter(|loss| **loss < own).count() >= go_on
    }

    /// The highest rung that the last report reached and none before did.
    fn rung_just_reached(&self, trial: &Trial, bracket: u64) -> Option<u64> {
        let (last, before) = trial.reports.split_last()?;
        let before = before.last().map_or(0, |report| report.step);
        let rungs = (bracket as u32..RUNGS_MAX).map_while(|k| {
            self.reduction_factor.checked_pow(k).and_then(|factor| factor.checked_mul(self.min_resource))
        });
        rungs.take_while(|rung| *rung <= last.step).filter(|rung| *rung > before).last()
    }
}

/// The loss with which a trial came to a rung: of its first report there or beyond.
fn loss_at(trial: &Trial, rung: u64, direction: Direction) -> Option<f64> {
    trial.reports.iter().find(|report| report.step >= rung).map(|report| direction.loss(report.value))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Param, Pruner, Sampler, Settings, Space, Study};

    /// Runs `n` trials of 81 steps one after another on curves that fall from 1 to a loss of their own at a rate of their
    /// own; how many steps were taken, the best loss that was found, and the best there was.
    fn simulate(pruner: Pruner, n: usize) -> (u64, f64, f64) {
        let space = Space::new([("end", Param::float(0.0, 1.0)), ("rate", Param::float(0.05, 0.5))]).unwrap();
        let settings = Settings { space, direction: Direction::Minimise, sampler: Sampler::Random, pruner, seed: 11 };
        let mut study = Study::new(settings).unwrap();
        let (mut steps, mut best_there_was) = (0, f64::INFINITY);
        for _ in 0..n {
            let trial = study.ask().unwrap();
            let (end, rate) = (trial.params["end"].as_f64().unwrap(), trial.params["rate"].as_f64().unwrap());
            let loss = |step: u64| end + (1.0 - end) * (-rate * step as f64).exp();
            best_there_was = best_there_was.min(loss(81));
            let stopped = (1..=81).find(|&step| {
                steps += 1;
                study.report(trial.number, step, loss(step)).unwrap()
            });
            match stopped {
                Some(_) => study.prune(trial.number).unwrap(),
                None => study.tell(trial.number, loss(81)).unwrap(),
            };
        }
        (steps, study.best().unwrap().value().unwrap(), best_there_was)
    }

    #[test]
    fn it_saves_more_than_half_of_the_steps_and_keeps_the_best() {
        let asha = Pruner::Asha(AshaSettings { min_resource: 3, reduction_factor: 3, n_brackets: 1 });
        let (steps, found, there_was) = simulate(asha, 100);
        assert!(steps * 2 < 100 * 81, "{steps} steps");
        assert!(found - there_was < 0.02, "{found} {there_was}");
        assert_eq!(simulate(Pruner::None, 10).0, 810);
        let brackets = Pruner::Asha(AshaSettings { min_resource: 3, reduction_factor: 3, n_brackets: 3 });
        assert!(simulate(brackets, 100).0 > steps, "brackets protect slow ones");
    }

    #[test]
    fn only_rungs_decide_and_the_best_goes_on() {
        let settings = AshaSettings { min_resource: 2, reduction_factor: 2, n_brackets: 1 };
        let space = Space::new([("x", Param::float(0.0, 1.0))]).unwrap();
        let mut study = Study::new(Settings {
            space,
            direction: Direction::Maximise,
            sampler: Sampler::Random,
            pruner: Pruner::Asha(settings),
            seed: 0,
        })
        .unwrap();
        let numbers: Vec<u64> = (0..3).map(|_| study.ask().unwrap().number).collect();
        assert!(!study.report(numbers[0], 2, 0.5).unwrap(), "the first is the best so far");
        assert!(!study.report(numbers[1], 1, 0.1).unwrap(), "no rung yet");
        assert!(study.report(numbers[1], 2, 0.1).unwrap(), "the second of two");
        assert!(study.report(numbers[2], 3, 0.4).unwrap(), "past the rung counts as at it");
        assert!(!study.report(numbers[0], 3, 0.0).unwrap(), "between rungs");
    }
}
