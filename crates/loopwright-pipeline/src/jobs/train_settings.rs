//! The settings of a run, from the project file's and to a record's.

use crate::{
    context::Context,
    error::{Error, Result},
    project::{Backend, TrainSettings as Settings},
};
use loopwright_lm::LoraConfig;
use loopwright_train::{Length, TrainSettings};
use std::collections::BTreeMap;

/// The parameter of a run that names who took its steps, where it was not this program.
pub(super) const BACKEND: &str = "backend";

/// The settings of a pre-training.
pub(super) fn pretrain_settings(ctx: &Context, train: &Settings) -> TrainSettings {
    TrainSettings {
        length: Length::Epochs(train.pretrain_epochs),
        batch_size: train.pretrain_batch_size,
        bf16: train.bf16,
        sequence_len: train.context_tokens,
        lr: train.pretrain_lr,
        checkpoint_every_steps: train.checkpoint_every_steps,
        validate_every_steps: train.checkpoint_every_steps,
        ..TrainSettings::pretrain(ctx.seed_for("pretrain"))
    }
}

/// The settings of a fine-tuning.
pub(super) fn finetune_settings(ctx: &Context, train: &Settings) -> TrainSettings {
    let or_none = |n: u64| (n > 0).then_some(n);
    TrainSettings {
        method: train.method,
        length: or_none(train.max_steps).map_or(Length::Epochs(train.epochs), Length::Steps),
        batch_size: train.batch_size,
        gradient_accumulation_steps: train.gradient_accumulation_steps,
        gradient_checkpointing: train.gradient_checkpointing,
        bf16: train.bf16,
        dpo_beta: train.dpo_beta,
        mnrl_scale: train.mnrl_scale,
        load_in_4bit: train.load_in_4bit,
        load_in_8bit: train.load_in_8bit,
        sequence_len: train.context_tokens,
        lr: train.lr,
        schedule: train.lr_scheduler,
        warmup_share: train.warmup_ratio,
        warmup_steps: or_none(train.warmup_steps),
        adam_beta1: train.adam_beta1,
        adam_beta2: train.adam_beta2,
        adam_epsilon: train.adam_epsilon,
        weight_decay: train.weight_decay,
        grad_clip: (train.max_grad_norm > 0.0).then_some(train.max_grad_norm),
        checkpoint_every_steps: train.checkpoint_every_steps,
        validate_every_steps: or_none(train.eval_steps).unwrap_or(train.checkpoint_every_steps),
        early_stopping_patience: train.early_stopping_patience,
        lora: LoraConfig {
            r: train.lora_r,
            alpha: train.lora_alpha,
            dropout: train.lora_dropout,
            targets: train.lora_targets.clone(),
            use_rslora: train.use_rslora,
        },
        ..TrainSettings::lora(ctx.seed_for("lora"))
    }
}

/// Every setting of a run as text, nested ones with dots. Of PyTorch's, those that change what is made; the number of
/// processes does not.
pub(super) fn params_of(settings: &TrainSettings, backend: Backend) -> Result<BTreeMap<String, String>> {
    let failed = |error| Error::bug("failed to write settings as JSON").because(error);
    let mut json = serde_json::to_value(settings).map_err(failed)?;
    if backend == Backend::Torch {
        json[BACKEND] = serde_json::to_value(backend).map_err(failed)?;
    }
    let mut params = BTreeMap::new();
    flatten("", &json, &mut params);
    Ok(params)
}

fn flatten(prefix: &str, value: &serde_json::Value, params: &mut BTreeMap<String, String>) {
    match value {
        serde_json::Value::Object(fields) => {
            for (key, value) in fields {
                let name = if prefix.is_empty() { key.clone() } else { format!("{prefix}.{key}") };
                flatten(&name, value, params);
            }
        }
        serde_json::Value::String(text) => drop(params.insert(prefix.to_string(), text.clone())),
        other => drop(params.insert(prefix.to_string(), other.to_string())),
    }
}

/// What a run ran on.
pub(super) fn environment() -> BTreeMap<String, String> {
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    [
        ("program", format!("loopwright {}", env!("CARGO_PKG_VERSION"))),
        ("system", format!("{} {}", std::env::consts::OS, std::env::consts::ARCH)),
        ("threads", threads.to_string()),
        ("device", "cpu".to_string()),
        ("matrix products", loopwright_lm::product_unit().to_string()),
    ]
    .into_iter()
    .map(|(key, value)| (key.to_string(), value))
    .collect()
}
