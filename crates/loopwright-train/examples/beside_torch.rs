//! Training speed on random tokens, for `bench/training.sh` to set beside PyTorch: pre-training of a decoder of about five
//! million parameters, and a LoRA adapter on one of about a hundred million. Prints one JSON line for each.
//!
//! `cargo run --release -p loopwright-train --example beside_torch [-- bf16]`
#![allow(clippy::print_stdout, missing_docs)]

use loopwright_lm::{LoraConfig, Model, ModelConfig};
use loopwright_train::{Job, Length, Samples, Start, TrainExample, TrainSettings, run};
use std::{error::Error, ops::ControlFlow, time::Instant};

/// As in the program.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Tokens of a row.
const TOKENS: usize = 128;
/// Steps that warm up before the clock counts.
const WARM: usize = 2;

/// What is trained.
struct Case {
    name: &'static str,
    vocabulary: usize,
    hidden: usize,
    layers: usize,
    heads: usize,
    rows: usize,
    steps: u64,
    adapter: bool,
}

const CASES: [Case; 2] = [
    Case { name: "pretrain", vocabulary: 4000, hidden: 256, layers: 5, heads: 4, rows: 16, steps: 14, adapter: false },
    Case { name: "lora", vocabulary: 16000, hidden: 768, layers: 12, heads: 12, rows: 4, steps: 7, adapter: true },
];

/// Rows of tokens from a small generator: what they say does not matter.
fn rows(case: &Case) -> Vec<TrainExample> {
    let mut state = 1u64;
    let mut token = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        5 + (state >> 33) as u32 % (case.vocabulary as u32 - 5)
    };
    (0..case.rows as u64 * case.steps).map(|_| TrainExample::whole((0..TOKENS).map(|_| token()).collect())).collect()
}

fn measure(case: &Case, bf16: bool) -> Result<(), Box<dyn Error>> {
    let config = ModelConfig::sized(case.vocabulary, case.hidden, case.layers, case.heads);
    let targets = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"];
    let lora = LoraConfig {
        r: 16,
        alpha: 32.0,
        targets: targets.iter().map(|name| (*name).to_string()).collect(),
        ..LoraConfig::default()
    };
    let kind = if case.adapter { TrainSettings::lora(1) } else { TrainSettings::pretrain(1) };
    let settings = TrainSettings {
        length: Length::Steps(case.steps),
        batch_size: case.rows,
        sequence_len: TOKENS,
        lr: 1e-3,
        bf16,
        lora,
        ..kind
    };
    let start = match case.adapter {
        true => Start::NewAdapter(Model::init(&config, 1)?),
        false => Start::Fresh(config),
    };
    let examples = rows(case);
    let began = Instant::now();
    let clock = move || began.elapsed();
    let job = Job {
        settings: &settings,
        start,
        examples: &examples,
        validation: &[],
        checkpoints: None,
        samples: Samples::default(),
        clock: &clock,
    };
    let mut ends = vec![began.elapsed()];
    let mut losses = Vec::new();
    let trained = run(&job, |at| {
        ends.push(began.elapsed());
        losses.push(at.loss);
        ControlFlow::Continue(())
    })?;
    let mut seconds: Vec<f64> = ends.windows(2).skip(WARM).map(|pair| (pair[1] - pair[0]).as_secs_f64()).collect();
    seconds.sort_by(f64::total_cmp);
    let rate = (case.rows * TOKENS) as f64 / seconds[seconds.len() / 2];
    println!(
        "{{\"case\": \"{}\", \"mode\": \"{}\", \"parameters\": {}, \"tokens_per_s\": {rate:.0}, \"first_loss\": {:.4}, \"last_loss\": {:.4}}}",
        case.name,
        if bf16 { "bf16" } else { "f32" },
        trained.model.n_parameters(),
        losses.first().copied().unwrap_or_default(),
        losses.last().copied().unwrap_or_default()
    );
    Ok(())
}

#[allow(unsafe_code)]
fn main() -> Result<(), Box<dyn Error>> {
    // SAFETY: nothing has started a thread yet.
    unsafe { loopwright_lm::keep_tensors_on_one_thread() };
    let bf16 = std::env::args().nth(1).is_some_and(|mode| mode == "bf16");
    CASES.iter().try_for_each(|case| measure(case, bf16))
}
