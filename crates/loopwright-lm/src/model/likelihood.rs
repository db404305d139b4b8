//! How likely a model finds whole rows, and gradients of any loss that follows from that.
//!
//! With log p(row) = Σ mᵢ log p(targetᵢ), a loss L(log p₁, …, log pₙ) has the gradient Σᵣ (∂L/∂log pᵣ)·∇log pᵣ. That is the
//! gradient of a cross entropy in which every token of row r counts −∂L/∂log pᵣ, perhaps less than nothing. So a loss over
//! preferences needs one forward pass, and no other operations than the plain loss has.

use super::{
    Input, Model,
    learn::{Counted, Scores, finite},
};
use crate::{batch::Batch, error::Result, layers::Mode};
use candle_core::{Tensor, backprop::GradStore};

impl Model {
    /// Σ mᵢ log p(targetᵢ) of each row of a batch, without dropout and without gradients; [rows].
    pub fn log_probabilities(&self, batch: &Batch) -> Result<Vec<f64>> {
        let (counted, pass) = (Counted::of(batch, 1.0)?, self.pass(Mode::Answer));
        let input = Input { keep: counted.keep(), texts: batch.texts.clone(), ..Input::default() };
        let rows = self.normed_rows(&batch.tokens, input, pass)?;
        summed(&self.scores(&rows, pass)?, &counted)
    }

    /// Gradients of a loss that is a function of the rows' log-probabilities: `slopes` takes those, with the dropout of the
    /// seed, and returns the derivative of the loss by each. With `recompute_blocks` the blocks are computed a second time
    /// on the way back, as in [`Model::loss_and_gradients`].
    pub fn likelihood_gradients(
        &self,
        batch: &Batch,
        (dropout_seed, recompute_blocks): (u64, bool),
        slopes: impl FnOnce(&[f64]) -> Vec<f64>,
    ) -> Result<GradStore> {
        let (counted, pass) = (Counted::of(batch, 1.0)?, self.pass(Mode::Learn(dropout_seed)));
        let loss_of = |rows: &Tensor| {
            let scores = self.scores(rows, pass)?;
            let slopes = slopes(&summed(&scores, &counted)?);
            finite(scores.cross_entropy(&counted.weighed(&slopes))?)
        };
        if recompute_blocks {
            return Ok(self.recomputed(batch, counted.keep(), pass, loss_of)?.1);
        }
        let input = Input { keep: counted.keep(), texts: batch.texts.clone(), ..Input::default() };
        let rows = self.normed_rows(&batch.tokens, input, pass)?;
        Ok(loss_of(&rows)?.backward()?)
    }
}

/// The sum for each sequence, in f64, in the order of its tokens.
fn summed(scores: &Scores, counted: &Counted) -> Result<Vec<f64>> {
    let mut sums = vec![0f64; counted.n_sequences()];
    let found = scores.log_probabilities(counted)?;
    for ((row, share), found) in counted.rows.iter().zip(&counted.shares).zip(found) {
        sums[counted.sequence(*row)] += f64::from(*share) * f64::from(found);
    }
    Ok(sums)
}
