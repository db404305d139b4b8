//! Is the run still learning? What decides that a run diverges, or has learned what it can.

use crate::{
    error::{Error, Kind, Result},
    plan::TrainSettings,
};
use serde::{Deserialize, Serialize};

/// Weight of the newest loss in the smoothed one.
const SMOOTHING: f32 = 0.1;
/// Steps before the smoothed loss is judged.
const STEPS_MIN: u64 = 20;
/// A smoothed loss above its lowest times this, and above it by [`RISE_MIN`], has diverged.
const RISE_FACTOR: f32 = 1.5;
/// In nats. A loss that hovers near nothing may double without harm.
const RISE_MIN: f32 = 1.5;

/// What a run remembers of its losses; it goes with every checkpoint, so that a resumed run decides as a whole one.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Health {
    n_losses: u64,
    smoothed: f32,
    lowest: f32,
    /// The step after which the validation loss was lowest, and that loss.
    pub best: Option<(u64, f32)>,
    /// Validations since then.
    n_worse: u64,
}

impl Health {
    /// Takes in a step's loss. Fails when it has risen far above what it had been.
    pub(crate) fn see(&mut self, step: u64, loss: f32) -> Result<()> {
        self.n_losses += 1;
        self.smoothed = if self.n_losses == 1 { loss } else { self.smoothed + SMOOTHING * (loss - self.smoothed) };
        self.lowest = if self.n_losses == 1 { loss } else { self.lowest.min(self.smoothed) };
        let is_far = self.smoothed > self.lowest * RISE_FACTOR && self.smoothed > self.lowest + RISE_MIN;
        if self.n_losses < STEPS_MIN || !is_far {
            return Ok(());
        }
        let (lowest, smoothed) = (self.lowest, self.smoothed);
        Err(Error::new(
            Kind::Diverged,
            format!(
                "the loss rose from {lowest:.3} to {smoothed:.3} by step {step}\nhint: lower the learning rate, or warm up longer"
            ),
        ))
    }

    /// Takes in a validation loss. Returns whether it is the best so far.
    pub(crate) fn validate(&mut self, step: u64, loss: f32, settings: &TrainSettings) -> bool {
        let is_best = self.best.is_none_or(|(_, best)| loss < best - settings.early_stopping_min_delta);
        if is_best {
            self.best = Some((step, loss));
            self.n_worse = 0;
        } else {
            self.n_worse += 1;
        }
        is_best
    }

    /// Has the validation loss been worse than its best for too long?
    pub(crate) fn is_over(&self, settings: &TrainSettings) -> bool {
        settings.early_stopping_patience > 0 && self.n_worse >= settings.early_stopping_patience
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn noise_is_no_divergence_and_a_steady_rise_is() {
        let mut health = Health::default();
        for step in 0..200 {
            let loss = 0.5 + if step % 7 == 0 { 1.5 } else { 0.0 };
            health.see(step, loss).unwrap();
        }
        let mut diverged = None;
        for step in 200..300 {
            if let Err(error) = health.see(step, 8.0) {
                diverged = Some((step, error));
                break;
            }
        }
        let (step, error) = diverged.unwrap();
        assert!(step < 210 && error.kind() == Kind::Diverged && error.to_string().contains("hint: lower"), "{error}");
    }

    #[test]
    fn patience_counts_validations_that_are_no_better() {
        let settings = TrainSettings {
            early_stopping_patience: 2,
            early_stopping_min_delta: 0.1,
            validate_every_steps: 1,
            ..TrainSettings::lora(0)
        };
        let mut health = Health::default();
        let seen: Vec<(bool, bool)> = [1.0, 0.5, 0.45, 0.44]
            .into_iter()
            .enumerate()
            .map(|(step, loss)| (health.validate(step as u64, loss, &settings), health.is_over(&settings)))
            .collect();
        assert_eq!(seen, [(true, false), (true, false), (false, false), (false, true)]);
        assert_eq!(health.best, Some((1, 0.5)));
    }
}
