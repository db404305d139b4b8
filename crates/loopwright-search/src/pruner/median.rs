//! The median stopping rule (Golovin et al. 2017, "Google Vizier", section 3.2.1).

use crate::{
    Error, Result,
    trial::{Direction, Trial},
};
use serde::{Deserialize, Serialize};

/// Settings of the median rule: a trial is given up if the best that it reported so far is worse than the median of the
/// best that complete trials had reported up to the same step.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct MedianSettings {
    /// No trial is given up before so many are complete. Default: 5.
    pub n_startup_trials: usize,
    /// No trial is given up at so early a step, or before. Default: 0.
    pub n_warmup_steps: u64,
}

impl Default for MedianSettings {
    fn default() -> Self {
        Self { n_startup_trials: 5, n_warmup_steps: 0 }
    }
}

impl MedianSettings {
    pub(super) fn check(&self) -> Result<()> {
        match self.n_startup_trials {
            0 => Err(Error::setting("median.n_startup_trials", "at least 1", 0)),
            _ => Ok(()),
        }
    }

    pub(super) fn should_prune(&self, trials: &[Trial], index: usize, direction: Direction) -> bool {
        let Some(step) = trials[index].reports.last().map(|report| report.step) else { return false };
        if step <= self.n_warmup_steps {
            return false;
        }
        let complete = trials.iter().filter(|trial| trial.value().is_some());
        let mut losses: Vec<f64> = complete.filter_map(|trial| best_until(trial, step, direction)).collect();
        if losses.len() < self.n_startup_trials {
            return false;
        }
        losses.sort_by(f64::total_cmp);
        let middle = losses.len() / 2;
        let median =
            if losses.len() % 2 == 1 { losses[middle] } else { 0.5 * losses[middle - 1] + 0.5 * losses[middle] };
        best_until(&trials[index], step, direction).is_some_and(|own| own > median)
    }
}

fn best_until(trial: &Trial, step: u64, direction: Direction) -> Option<f64> {
    let until = trial.reports.iter().take_while(|report| report.step <= step);
    until.map(|report| direction.loss(report.value)).min_by(f64::total_cmp)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Param, Pruner, Sampler, Settings, Space, Study};

    #[test]
    fn worse_than_the_median_is_given_up_after_startup_and_warmup() {
        let settings = Settings {
            space: Space::new([("x", Param::float(0.0, 1.0))]).unwrap(),
            direction: Direction::Maximise,
            sampler: Sampler::Random,
            pruner: Pruner::Median(MedianSettings { n_startup_trials: 3, n_warmup_steps: 1 }),
            seed: 0,
        };
        let mut study = Study::new(settings).unwrap();
        for accuracy in [0.5, 0.6, 0.7] {
            let number = study.ask().unwrap().number;
            assert!(!study.report(number, 2, accuracy).unwrap());
            study.tell(number, accuracy).unwrap();
        }
        let number = study.ask().unwrap().number;
        assert!(!study.report(number, 1, 0.1).unwrap(), "warming up");
        assert!(study.report(number, 2, 0.59).unwrap());
        assert!(!study.report(number, 3, 0.61).unwrap());
        assert!(!study.report(number, 4, 0.2).unwrap(), "its best counts");
    }
}
