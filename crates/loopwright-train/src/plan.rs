//! What a training run will do, with every number resolved before it starts.

use crate::{
    error::{Error, Kind, Result},
    schedule::Schedule,
};
use loopwright_lm::{AdamWSettings, Bits, LoraConfig};
use serde::{Deserialize, Serialize};

/// Which weights learn.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Method {
    /// The whole base, from fresh weights.
    Pretrain,
    /// The whole base, from weights that it has.
    Full,
    /// A low-rank adapter; the base stays as it is.
    Lora,
    /// An adapter, or the whole base, from [`crate::PreferenceExample`]s (DPO, Rafailov et al. 2023).
    Dpo,
    /// The whole base, under a head of classes, from [`crate::ClassExample`]s.
    Classify,
    /// The whole base as an embedding model, from [`crate::PairExample`]s (Henderson et al. 2017).
    Embed,
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
    /// Examples in a forward pass.
    pub batch_size: usize,
    /// Forward passes whose gradients are added before the weights move: a step sees `batch_size` times as many examples,
    /// and its loss is the mean over all of their predicted tokens.
    pub gradient_accumulation_steps: usize,
    /// Keeps only each block's input of a forward pass and computes the rest a second time on the way back (Chen et al.
    /// 2016): the same step with less memory, for a third more work.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub gradient_checkpointing: bool,
    /// Rounds the factors of matrix products to bf16 and sums them in f32, as PyTorch's autocast does. Weights, gradients and
    /// the optimiser stay in f32.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub bf16: bool,
    /// Most tokens of an example, its last one included.
    pub sequence_len: usize,
    /// Highest learning rate.
    pub lr: f64,
    /// How the learning rate falls.
    pub schedule: Schedule,
    /// Share of the steps over which the learning rate rises to its highest.
    pub warmup_share: f64,
    /// The same as a number of steps, which then counts instead.
    pub warmup_steps: Option<u64>,
    /// Memory of the mean gradient.
    pub adam_beta1: f64,
    /// Memory of the mean squared gradient.
    pub adam_beta2: f64,
    /// Added to the root of the mean square.
    pub adam_epsilon: f64,
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
    /// Validations without a better loss after which the run ends, and keeps the weights of its best one; 0 runs to the
    /// end and keeps the last.
    pub early_stopping_patience: u64,
    /// By how much a loss must be lower to be better, in nats.
    pub early_stopping_min_delta: f32,
    /// How much the pairs of [`Method::Dpo`] weigh against staying near the weights that the run starts from: a higher one
    /// holds the model closer.
    #[serde(default = "dpo_beta", skip_serializing_if = "is_usual_dpo_beta")]
    pub dpo_beta: f64,
    /// What [`Method::Embed`] multiplies cosines with: one over the temperature.
    #[serde(default = "mnrl_scale", skip_serializing_if = "is_usual_mnrl_scale")]
    pub mnrl_scale: f64,
    /// Holds the linear maps of the base under an adapter in NF4 (QLoRA, Dettmers et al. 2023).
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub load_in_4bit: bool,
    /// Holds them in 8-bit integers instead.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub load_in_8bit: bool,
    /// Size and place of the adapter; unused by [`Method::Pretrain`].
    pub lora: LoraConfig,
}

/// As in the paper's experiments.
fn dpo_beta() -> f64 {
    0.1
}

// The shape is what serde asks for.
#[allow(clippy::trivially_copy_pass_by_ref)]
fn is_usual_dpo_beta(beta: &f64) -> bool {
    beta.to_bits() == dpo_beta().to_bits()
}

/// As sentence-transformers' MultipleNegativesRankingLoss has it.
fn mnrl_scale() -> f64 {
    20.0
}

// The shape is what serde asks for.
#[allow(clippy::trivially_copy_pass_by_ref)]
fn is_usual_mnrl_scale(scale: &f64) -> bool {
    scale.to_bits() == mnrl_scale().to_bits()
}

impl TrainSettings {
    /// Settings that pre-train [`loopwright_lm::ModelConfig::small`] on a few thousand short texts.
    pub fn pretrain(seed: u64) -> Self {
        Self {
            method: Method::Pretrain,
            length: Length::Epochs(8),
            batch_size: 16,
            gradient_accumulation_steps: 1,
            gradient_checkpointing: false,
            bf16: false,
            sequence_len: 96,
            lr: 3e-3,
            schedule: Schedule::Cosine,
            warmup_share: 0.05,
            warmup_steps: None,
            adam_beta1: AdamWSettings::default().beta_1,
            adam_beta2: AdamWSettings::default().beta_2,
            adam_epsilon: AdamWSettings::default().eps,
            weight_decay: 0.05,
            grad_clip: Some(1.0),
            seed,
            checkpoint_every_steps: 100,
            validate_every_steps: 0,
            early_stopping_patience: 0,
            early_stopping_min_delta: 0.0,
            dpo_beta: dpo_beta(),
            mnrl_scale: mnrl_scale(),
            load_in_4bit: false,
            load_in_8bit: false,
            lora: LoraConfig::default(),
        }
    }

    /// Settings that teach such a model to answer.
    pub fn lora(seed: u64) -> Self {
        Self { method: Method::Lora, length: Length::Epochs(3), weight_decay: 0.0, ..Self::pretrain(seed) }
    }

    /// Settings that teach a model which of two answers is better. The rate is far below that of a first fine-tuning, which
    /// pairs would soon overfit.
    pub fn dpo(seed: u64) -> Self {
        Self { method: Method::Dpo, length: Length::Epochs(1), lr: 1e-4, ..Self::lora(seed) }
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
        if self.gradient_accumulation_steps == 0 {
            return refuse("`gradient_accumulation_steps` must be positive, got 0".into());
        }
        if self.early_stopping_patience > 0 && self.validate_every_steps == 0 {
            return refuse("`early_stopping_patience` needs `validate_every_steps`, got 0".into());
        }
        for (key, beta) in [("adam_beta1", self.adam_beta1), ("adam_beta2", self.adam_beta2)] {
            if !(0.0..1.0).contains(&beta) {
                return refuse(format!("`{key}` must be from 0 to below 1, got {beta}"));
            }
        }
        if !(self.adam_epsilon.is_finite() && self.adam_epsilon > 0.0) {
            return refuse(format!("`adam_epsilon` must be positive, got {}", self.adam_epsilon));
        }
        if !(self.dpo_beta.is_finite() && self.dpo_beta > 0.0) {
            return refuse(format!("`dpo_beta` must be positive, got {}", self.dpo_beta));
        }
        if !(self.mnrl_scale.is_finite() && self.mnrl_scale > 0.0) {
            return refuse(format!("`mnrl_scale` must be positive, got {}", self.mnrl_scale));
        }
        if self.method == Method::Embed && self.batch_size < 2 {
            return refuse(
                "`batch_size` must be at least 2 where the other pairs of a batch are negatives, got 1".into(),
            );
        }
        if self.gradient_checkpointing && matches!(self.method, Method::Classify | Method::Embed) {
            return refuse(format!("`gradient_checkpointing` is not there for `method` {:?}", self.method));
        }
        if self.load_in_4bit && self.load_in_8bit {
            return refuse("`load_in_4bit` and `load_in_8bit` exclude each other".into());
        }
        if self.bits().is_some() && !matches!(self.method, Method::Lora | Method::Dpo) {
            return refuse(format!(
                "`load_in_4bit` and `load_in_8bit` need a base that is frozen under an adapter, got `method` {:?}",
                self.method
            ));
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

    /// How a frozen base is held; in f32 without.
    pub fn bits(&self) -> Option<Bits> {
        let four = self.load_in_4bit.then_some(Bits::Nf4);
        four.or_else(|| self.load_in_8bit.then_some(Bits::Int8))
    }

    /// Optimiser steps over `n_examples` examples.
    pub fn n_steps(&self, n_examples: usize) -> u64 {
        match self.length {
            Length::Steps(steps) => steps,
            Length::Epochs(epochs) => epochs * self.steps_each(n_examples),
        }
    }

    /// Optimiser steps in one pass over the examples; the last one may see fewer.
    pub(crate) fn steps_each(&self, n_examples: usize) -> u64 {
        n_examples.div_ceil(self.batch_size).div_ceil(self.gradient_accumulation_steps) as u64
    }

    /// Steps over which the learning rate rises.
    pub(crate) fn n_warmup(&self, n_steps: u64) -> u64 {
        self.warmup_steps.unwrap_or((n_steps as f64 * self.warmup_share).floor() as u64)
    }

    /// The optimiser's part.
    pub fn optimizer(&self) -> AdamWSettings {
        AdamWSettings {
            beta_1: self.adam_beta1,
            beta_2: self.adam_beta2,
            eps: self.adam_epsilon,
            weight_decay: self.weight_decay,
            grad_clip: self.grad_clip,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_count_the_last_short_batch() {
        let settings = TrainSettings { batch_size: 4, length: Length::Epochs(3), ..TrainSettings::pretrain(0) };
        assert_eq!(settings.n_steps(9), 9);
        let settings = TrainSettings { gradient_accumulation_steps: 2, ..settings };
        assert_eq!(settings.n_steps(9), 6);
        assert_eq!(TrainSettings { length: Length::Steps(5), ..settings }.n_steps(9), 5);
    }

    #[test]
    fn settings_written_before_a_key_existed_are_read_as_they_were() {
        let written = serde_json::to_string(&TrainSettings::lora(3)).unwrap();
        for key in ["gradient_checkpointing", "bf16", "dpo_beta", "load_in", "mnrl"] {
            assert!(!written.contains(key), "{key}: {written}");
        }
        assert_eq!(serde_json::from_str::<TrainSettings>(&written).unwrap(), TrainSettings::lora(3));
        let other = TrainSettings { gradient_checkpointing: true, bf16: true, dpo_beta: 0.3, ..TrainSettings::dpo(3) };
        let written = serde_json::to_string(&other).unwrap();
        assert_eq!(serde_json::from_str::<TrainSettings>(&written).unwrap(), other);
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
        check(&|s| s.gradient_accumulation_steps = 0, "`gradient_accumulation_steps`");
        check(&|s| s.early_stopping_patience = 1, "`early_stopping_patience`");
        check(&|s| s.adam_beta2 = 1.0, "`adam_beta2`");
        check(&|s| s.adam_epsilon = 0.0, "`adam_epsilon`");
        check(&|s| s.dpo_beta = -0.1, "`dpo_beta`");
        check(&|s| s.mnrl_scale = 0.0, "`mnrl_scale`");
        check(&|s| (s.method, s.batch_size) = (Method::Embed, 1), "`batch_size`");
        check(&|s| (s.method, s.gradient_checkpointing) = (Method::Classify, true), "`gradient_checkpointing`");
        check(&|s| (s.load_in_4bit, s.load_in_8bit) = (true, true), "`load_in_8bit`");
        check(&|s| (s.load_in_4bit, s.method) = (true, Method::Full), "`method` Full");
    }
}
