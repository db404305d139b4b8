//! The training loss by itself; [`crate::Model::loss`] computes the same without holding every logit.

use crate::{
    error::{Error, Kind, Result},
    ops,
};
use candle_core::Tensor;

/// Mean cross entropy −Σ mᵢ log p(targetᵢ) / Σ mᵢ of logits [batch, tokens, vocabulary], for targets (u32) and mask (f32)
/// [batch, tokens]. Natural logarithm; gradients flow to the logits.
pub fn cross_entropy(logits: &Tensor, targets: &Tensor, mask: &Tensor) -> Result<Tensor> {
    let (batch, n_tokens, vocabulary) = logits.dims3()?;
    let mask = mask.flatten_all()?.to_vec1::<f32>()?;
    let total: f32 = mask.iter().sum();
    if total <= 0.0 {
        return Err(Error::new(Kind::BadInput, "a batch in which no position counts"));
    }
    let logits = logits.reshape((batch * n_tokens, vocabulary))?;
    let targets = targets.flatten_all()?.to_vec1::<u32>()?;
    Ok(ops::cross_entropy(&logits, targets, mask.iter().map(|weight| weight / total).collect())?)
}
