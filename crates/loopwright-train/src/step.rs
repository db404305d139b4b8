//! One optimiser step: loss, gradients, new weights.

use crate::{
    data::TrainExample,
    error::{Error, Kind, Result},
    plan::TrainSettings,
};
use candle_core::backprop::GradStore;
use loopwright_lm::{AdamW, Batch, Model, chat};
use rayon::prelude::*;

/// What a step measured.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Step {
    /// Mean loss of the batch before the step, in nats for each predicted token.
    pub loss: f32,
    /// Norm of the gradient before clipping.
    pub gradient_norm: f64,
}

/// How a step is taken.
#[derive(Clone, Copy, Debug)]
pub struct Pace<'a> {
    /// The run's settings.
    pub settings: &'a TrainSettings,
    /// Learning rate of this step.
    pub lr: f64,
    /// Seed of this step's dropout masks.
    pub dropout_seed: u64,
}

/// Parts of a batch that run side by side. Fixed, so that the sum of their gradients does not depend on the machine.
const PARTS: usize = 2;
/// Examples of a failed step that its message names.
const EXAMPLES_NAMED: usize = 32;

/// Takes one step on some examples, forward pass by forward pass.
///
/// The examples of a pass are dealt into parts whose losses and gradients are computed at the same time and added in their order:
/// operations as small as those of a small model are worth a second thread only in this way.
pub fn step(
    model: &Model,
    optimizer: &mut AdamW,
    (examples, passes): (&[TrainExample], &[Vec<usize>]),
    pace: &Pace,
) -> Result<Step> {
    let doing = format!("failed at training step {}", optimizer.n_steps() + 1);
    let failed = |source| Error::model(doing.clone(), source);
    let deal = |which: &[usize], part: usize| which.iter().copied().skip(part).step_by(PARTS).collect::<Vec<usize>>();
    let of_pass = |which: &Vec<usize>| -> Result<Vec<Batch>> {
        (0..PARTS.min(which.len())).map(|part| batch_of(examples, &deal(which, part))).collect()
    };
    let passes_batches = passes.iter().map(of_pass).collect::<Result<Vec<_>>>()?;
    let total = passes_batches.iter().flatten().map(Batch::weight).sum::<Result<f32, _>>().map_err(failed)?;
    let mut sum: Option<(f32, GradStore)> = None;
    for (pass, parts) in passes_batches.iter().enumerate() {
        let seed = |part: usize| pace.dropout_seed ^ (((pass * PARTS + part) as u64) << 48);
        let results: Vec<_> = parts
            .par_iter()
            .enumerate()
            .map(|(part, batch)| part_gradients(model, batch, (total, seed(part)), pace.settings))
            .collect();
        for result in results {
            let (loss, gradients) = result.map_err(failed)?;
            sum = Some(match sum {
                None => (loss, gradients),
                Some((sum, mut all)) => {
                    all.extend(gradients).map_err(|source| failed(source.into()))?;
                    (sum + loss, all)
                }
            });
        }
    }
    let Some((loss, gradients)) = sum else {
        return Err(Error::new(Kind::BadData, format!("{doing}: a batch without examples")));
    };
    if !loss.is_finite() {
        return Err(Error::new(Kind::NotFinite, format!("{doing}: the loss of examples {} is {loss}", named(passes))));
    }
    let gradient_norm = optimizer.step(&gradients, pace.lr).map_err(|source| match source.kind() {
        loopwright_lm::Kind::NotFinite => Error::model(format!("{doing}, on examples {}", named(passes)), source),
        _ => failed(source),
    })?;
    Ok(Step { loss, gradient_norm })
}

/// The examples of a step, by their numbers.
fn named(passes: &[Vec<usize>]) -> String {
    let mut all: Vec<String> = passes.iter().flatten().take(EXAMPLES_NAMED).map(ToString::to_string).collect();
    if passes.iter().map(Vec::len).sum::<usize>() > EXAMPLES_NAMED {
        all.push("…".into());
    }
    all.join(", ")
}

/// Share of the loss that comes from one part, and its gradients.
fn part_gradients(
    model: &Model,
    batch: &Batch,
    (total, seed): (f32, u64),
    settings: &TrainSettings,
) -> loopwright_lm::Result<(f32, GradStore)> {
    if settings.gradient_checkpointing {
        return model.loss_and_gradients(batch, total, seed);
    }
    let loss = model.loss_in(batch, total, seed)?;
    Ok((loss.to_scalar::<f32>()?, loss.backward()?))
}

/// The examples of one batch side by side.
pub fn batch_of(examples: &[TrainExample], which: &[usize]) -> Result<Batch> {
    let row = |i: &usize| (examples[*i].tokens.as_slice(), examples[*i].loss_mask.as_slice());
    let rows: Vec<_> = which.iter().map(row).collect();
    Batch::new(&rows, chat::PAD).map_err(|source| Error::model("failed to lay out a batch", source))
}

/// Mean loss over all predicted tokens of some examples; none without examples.
pub fn validation_loss(model: &Model, examples: &[TrainExample], batch_size: usize) -> Result<Option<f32>> {
    let mut order: Vec<usize> = (0..examples.len()).collect();
    order.sort_by_key(|i| examples[*i].tokens.len());
    let (mut sum, mut n) = (0f64, 0usize);
    for which in order.chunks(batch_size) {
        let counts: usize =
            which.iter().map(|i| examples[*i].loss_mask.iter().skip(1).filter(|counts| **counts).count()).sum();
        let loss = model
            .evaluate(&batch_of(examples, which)?)
            .map_err(|source| Error::model("failed to measure the validation loss", source))?;
        sum += f64::from(loss) * counts as f64;
        n += counts;
    }
    Ok((n > 0).then(|| (sum / n as f64) as f32))
}
