//! One optimiser step: loss, gradients, new weights.

use crate::{
    data::TrainExample,
    error::{Error, Result},
};
use loopwright_lm::{AdamW, Batch, Model, chat};

/// What a step measured.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Step {
    /// Mean loss of the batch before the step, in nats for each predicted token.
    pub loss: f32,
    /// Norm of the gradient before clipping.
    pub gradient_norm: f64,
}

/// Takes one step on a batch, with the dropout masks of `dropout_seed`.
pub fn step(model: &Model, optimizer: &mut AdamW, batch: &Batch, (lr, dropout_seed): (f64, u64)) -> Result<Step> {
    let doing = || format!("failed at training step {}", optimizer.n_steps() + 1);
    let loss = model.loss(batch, dropout_seed).map_err(|source| Error::model(doing(), source))?;
    let tensor = |source: loopwright_lm::Error| Error::model(doing(), source);
    let gradients = loss.backward().map_err(|source| tensor(source.into()))?;
    let loss = loss.to_scalar::<f32>().map_err(|source| tensor(source.into()))?;
    let doing = doing();
    let gradient_norm = optimizer.step(&gradients, lr).map_err(|source| Error::model(doing, source))?;
    Ok(Step { loss, gradient_norm })
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
