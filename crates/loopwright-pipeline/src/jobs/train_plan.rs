//! What a fine-tuning will take: memory and time, before it starts.
//!
//! Memory is reckoned from the model's shape, before any weight is read. In f32: the base's weights unless they are held in few
//! bits, and those of the adapter or of the copy that learns; for what learns a gradient per part of a batch and two moments; and for one forward pass what the backward pass needs of
//! it, per token and layer.
//! Time is measured: one step on real rows, thrown away, times the steps that there will be.

use super::{
    collect::in_background,
    examples,
    origin::{Origin, Read},
    train::{self, Prepared, Rows},
    train_settings::finetune_settings,
};
use crate::{
    context::Context,
    error::{Doing, Error, Result},
    project::LoopSettings,
};
use loopwright_lm::Architecture;
use loopwright_train::{Length, Method, Samples, TrainSettings};
use loopwright_types::{DatasetRef, ModelRef};
use serde::Serialize;
use std::ops::ControlFlow;

/// Bytes of a number in f32.
const F32: u64 = 4;
/// Parts of a batch that are worked on side by side.
const PARTS: u64 = 2;
/// Share of the memory that there is which a run may plan with.
const SHARE_MAX: f64 = 0.9;
/// What the program takes besides, in bytes.
const PROGRAM_BYTES: u64 = 100 << 20;

/// Memory of a run, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Memory {
    /// The base's weights, and an adapter's.
    pub weights_bytes: u64,
    /// Gradients and moments of what learns.
    pub optimizer_bytes: u64,
    /// What a forward pass keeps for the backward pass.
    pub activations_bytes: u64,
}

impl Memory {
    /// All of it, and the program.
    pub fn total_bytes(self) -> u64 {
        self.weights_bytes + self.optimizer_bytes + self.activations_bytes + PROGRAM_BYTES
    }
}

/// What a run will take.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Plan {
    /// What learns.
    pub method: &'static str,
    /// Examples to learn from.
    pub n_examples: u64,
    /// Tokens in one pass over them.
    pub n_tokens: u64,
    /// Optimiser steps.
    pub n_steps: u64,
    /// Numbers in the base.
    pub n_parameters: u64,
    /// Is the base held in few bits?
    pub in_few_bits: bool,
    /// Numbers that learn.
    pub n_trainable: u64,
    /// Memory.
    pub memory: Memory,
    /// Memory that the machine has free.
    pub memory_available_bytes: u64,
    /// Tokens a second, if measured.
    pub tokens_per_s: Option<f64>,
    /// Seconds, if the rate was measured.
    pub seconds: Option<f64>,
    /// Rows in a forward pass, and tokens of the longest.
    pub batch: (usize, usize),
}

/// Plans the fine-tuning of a base on a dataset version. Where it fits and this program takes the steps,
/// the weights are read once and a step is timed.
pub async fn plan(ctx: &Context, it: &LoopSettings, dataset: &DatasetRef, base: &ModelRef) -> Result<Plan> {
    let rows = Rows::read(ctx, dataset).await?;
    let origin = Origin::of(&train::finetuning(it, dataset, base, None))?;
    let (work, settings, is_native) = (ctx.clone(), finetune_settings(ctx, &it.train), it.train.with_torch().is_none());
    in_background(move || {
        let read = origin.read(&work, &settings, &rows, work.template_date())?;
        let mut plan = reckon(&settings, &read)?;
        if is_native && fits(&plan) {
            let rate = measure(origin.load(&work, settings, read)?)?;
            plan.tokens_per_s = Some(rate);
            plan.seconds = Some(plan.n_steps as f64 * tokens_per_step(&plan) / rate);
        }
        Ok(plan)
    })
    .await
}

fn tokens_per_step(plan: &Plan) -> f64 {
    let steps_per_pass = (plan.n_examples as f64 / plan.batch.0 as f64).max(1.0);
    plan.n_tokens as f64 / steps_per_pass
}

fn fits(plan: &Plan) -> bool {
    plan.memory.total_bytes() as f64 <= plan.memory_available_bytes as f64 * SHARE_MAX
}

/// Refuses a run that cannot fit, with settings that would.
pub fn refuse_if_too_large(plan: &Plan) -> Result<()> {
    if fits(plan) {
        return Ok(());
    }
    let mib = |bytes: u64| bytes >> 20;
    let fixed = plan.memory.total_bytes() - plan.memory.activations_bytes;
    let room = (plan.memory_available_bytes as f64 * SHARE_MAX) as u64;
    let (rows, tokens) = plan.batch;
    let per_row = plan.memory.activations_bytes / rows.max(1) as u64;
    let hint = match room.checked_sub(fixed).map(|left| left / per_row.max(1)) {
        Some(fitting @ 1..) => {
            let accumulation = (rows as u64).div_ceil(fitting);
            format!(
                "set `batch_size = {fitting}` and `gradient_accumulation_steps = {accumulation}`: the steps stay the same"
            )
        }
        Some(0) => format!("even one row of {tokens} tokens is too much: lower `context_tokens`"),
        None if plan.n_trainable == plan.n_parameters && plan.method != "full" => {
            "take a smaller base, or a machine with more memory".to_string()
        }
        None if plan.method == "full" => "train an adapter: `method = \"lora\"`".to_string(),
        None if !plan.in_few_bits => "hold the base in 4 bits: `load_in_4bit = true`".to_string(),
        None => "take a smaller base, or a machine with more memory".to_string(),
    };
    Err(Error::user(format!(
        "the run needs about {} MiB of memory, and {} MiB are free",
        mib(plan.memory.total_bytes()),
        mib(plan.memory_available_bytes)
    ))
    .hint(hint))
}

/// Reckons from the base's shape and the examples.
pub(super) fn reckon(settings: &TrainSettings, read: &Read) -> Result<Plan> {
    let outline = &read.outline;
    let n_parameters = outline.n_parameters();
    let adapter = read.parent.as_ref().unwrap_or(&settings.lora);
    let (method, n_trainable) = match settings.method {
        Method::Full => ("full", n_parameters),
        Method::Classify => ("classify", n_parameters),
        Method::Embed => ("embed", n_parameters),
        _ => ("lora", outline.adapter_parameters(adapter).doing(|| "failed to plan the adapter".into())?),
    };
    let lengths = read.examples.lengths();
    let longest = lengths.iter().copied().max().unwrap_or(0);
    let rows = settings.batch_size.min(read.examples.len()).max(1);
    let memory = Memory {
        // The base, and the adapter or the copy that learns in its place.
        weights_bytes: outline.base_bytes(settings.bits()) + n_trainable * F32,
        optimizer_bytes: n_trainable * F32 * (2 + PARTS),
        activations_bytes: activations(outline.config(), settings, (rows * longest) as u64, longest as u64)
            // A map in few bits is unpacked for each product.
            + settings.bits().map_or(0, |_| PARTS * F32 * outline.largest_map()),
    };
    Ok(Plan {
        method,
        n_examples: read.examples.len() as u64,
        n_tokens: lengths.iter().sum::<usize>() as u64,
        n_steps: settings.n_steps(read.examples.len()),
        n_parameters,
        in_few_bits: settings.bits().is_some(),
        n_trainable,
        memory,
        memory_available_bytes: available_bytes(),
        tokens_per_s: None,
        seconds: None,
        batch: (rows * settings.gradient_accumulation_steps, longest),
    })
}

/// What is kept of a forward pass over so many tokens, in bytes: per layer the inputs of its maps and norms, queries, keys
/// and values, the gate's two sides, attention weights for the heads; and logits with their gradient at the end.
///
/// Where blocks are recomputed, only what goes into each is kept, and one block as it is worked on.
fn activations(config: &Architecture, settings: &TrainSettings, n_tokens: u64, longest: u64) -> u64 {
    let (hidden, inner) = (config.hidden_size as u64, config.intermediate_size as u64);
    let heads = config.num_attention_heads as u64;
    let kv = (config.num_key_value_heads * config.head_dim) as u64;
    let q = heads * config.head_dim as u64;
    let per_token = 6 * hidden + 2 * q + 3 * kv + 4 * inner + heads * longest;
    let logits = 2 * config.vocab_size as u64 + 2 * hidden;
    let layers = config.num_hidden_layers as u64;
    let blocks = if settings.gradient_checkpointing { hidden * layers + per_token } else { per_token * layers };
    n_tokens * (blocks + logits) * F32
}

/// Memory that the machine has free, in bytes (Linux, proc_meminfo(5)); without an answer, no limit.
fn available_bytes() -> u64 {
    let text = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix("MemAvailable:"));
    let kib = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
    kib.map_or(u64::MAX, |kib| kib * 1024)
}

/// Takes two steps and throws them away; returns tokens a second.
fn measure(prepared: Prepared) -> Result<f64> {
    let settings = TrainSettings {
        length: Length::Steps(2),
        validate_every_steps: 0,
        early_stopping_patience: 0,
        ..prepared.settings
    };
    let (none, samples) = (prepared.examples.none(), Samples::default());
    let mut rate = 0.0;
    examples::train(&settings, prepared.start, (&prepared.examples, &none), samples, None, |at| {
        rate = at.tokens_per_s;
        ControlFlow::Continue(())
    })?;
    Ok(rate)
}
