//! What a training run will do, with every number resolved before it starts.

use crate::error::{Error, Kind, Result};
use loopwright_lm::{AdamWSettings, LoraConfig};
use serde::{Deserialize, Serialize};

/// Which weights learn.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Method {
    /// The whole base.
    Pretrain,
    /// A low-rank adapter; the base stays as it is.
    Lora,
}

/// How long a run is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Length {
    /// Passes over the examples.
    Epochs(u64),
    /// Optimiser steps.
    Steps(u64),
}

/// Every setting of a run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TrainSettings {
    /// Which weights learn.
    pub method: Method,
    /// How long.
    pub length: Length,
    /// Examples in a step.
    pub batch_size: usize,
    /// Most tokens of an example, its last one included.
    pub sequence_len: usize,
    /// Highest learning rate.
    pub lr: f64,
    /// Share of the steps over which the learning rate rises to its highest.
    pub warmup_share: f64,
    /// Decay of matrices for each unit of learning rate.
    pub weight_decay: f64,
    /// Largest norm of a step's gradient.
    pub grad_clip: Option<f64>,
    /// Seed of the weights, the order of the examples and the dropout.
    pub seed: u64,
    /// Steps between checkpoints; 0 writes one only when the run is stopped.
    pub checkpoint_every_steps: u64,
    /// Steps between validations; 0 validates only at the end.
    pub validate_every_steps: u64,
    /// Size and place of the adapter; unused by [`Method::Pretrain`].
    pub lora: LoraConfig,
}

impl TrainSettings {
    /// Settings that pre-train [`loopwright_lm::ModelConfig::small`] on a few thousand short texts.
    pub fn pretrain(seed: u64) -> Self {
        Self {
            method: Method::Pretrain,
            length: Length::Epochs(8),
            batch_size: 16,
            sequence_len: 96,
            lr: 3e-3,
            warmup_share: 0.05,
            weight_decay: 0.05,
            grad_clip: Some(1.0),
            seed,
            checkpoint_every_steps: 100,
            validate_every_steps: 0,
            lora: LoraConfig::default(),
        }
    }

    /// Settings that teach such a model to answer.
    pub fn lora(seed: u64) -> Self {
        Self { method: Method::Lora, length: Length::Epochs(3), weight_decay: 0.0, ..Self::pretrain(seed) }
    }

    /// Refuses settings out of range, by key, expected and got.
    pub fn check(&self) -> Result<()> {
        let refuse = |message: String| Err(Error::new(Kind::BadSettings, format!("training settings: {message}")));
        if self.length == Length::Epochs(0) || self.length == Length::Steps(0) {
            return refuse(format!("`length` must be positive, got {:?}", self.length));
        }
        if self.batch_size == 0 {
            return refuse("`batch_size` must be positive, got 0".into());
        }
        if self.sequence_len < 2 {
            return refuse(format!("`sequence_len` must be at least 2, got {}", self.sequence_len));
        }
        if !(self.lr.is_finite() && self.lr > 0.0) {
            return refuse(format!("`lr` must be positive, got {}", self.lr));
        }
        if !(0.0..=1.0).contains(&self.warmup_share) {
            return refuse(format!("`warmup_share` must be between 0 and 1, got {}", self.warmup_share));
        }
        if !(0.0..1.0).contains(&(self.lr * self.weight_decay)) {
            return refuse(format!("`lr` times `weight_decay` must be below 1, got {}", self.lr * self.weight_decay));
        }
        match self.grad_clip {
            Some(limit) if !(limit.is_finite() && limit > 0.0) => {
                refuse(format!("`grad_clip` must be positive, got {limit}"))
            }
            _ => Ok(()),
        }
    }

    /// Optimiser steps over `n_examples` examples.
    pub fn n_steps(&self, n_examples: usize) -> u64 {
        match self.length {
            Length::Steps(steps) => steps,
            Length::Epochs(epochs) => epochs * n_examples.div_ceil(self.batch_size) as u64,
        }
    }

    /// The optimiser's part.
    pub fn optimizer(&self) -> AdamWSettings {
        AdamWSettings { weight_decay: self.weight_decay, grad_clip: self.grad_clip, ..AdamWSettings::default() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_count_the_last_short_batch() {
        let settings = TrainSettings { batch_size: 4, length: Length::Epochs(3), ..TrainSettings::pretrain(0) };
        assert_eq!(settings.n_steps(9), 9);
        assert_eq!(TrainSettings { length: Length::Steps(5), ..settings }.n_steps(9), 5);
    }

    #[test]
    fn settings_out_of_range_are_refused_by_key() {
        let check = |change: &dyn Fn(&mut TrainSettings), key: &str| {
            let mut settings = TrainSettings::lora(0);
            assert!(settings.check().is_ok());
            change(&mut settings);
            let error = settings.check().unwrap_err();
            assert_eq!(error.kind(), Kind::BadSettings);
            assert!(error.to_string().contains(key), "{error}");
        };
        check(&|s| s.length = Length::Epochs(0), "`length`");
        check(&|s| s.batch_size = 0, "`batch_size`");
        check(&|s| s.sequence_len = 1, "`sequence_len`");
        check(&|s| s.lr = f64::NAN, "`lr`");
        check(&|s| s.warmup_share = 1.5, "`warmup_share`");
        check(&|s| s.weight_decay = 1e6, "`weight_decay`");
        check(&|s| s.grad_clip = Some(0.0), "`grad_clip`");
    }
}
