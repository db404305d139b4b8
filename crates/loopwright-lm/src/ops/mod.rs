//! The fused operations of the models, each with forward and backward.
//!
//! candle's own RMS norm, rotary embedding and last-dimension softmax have no backward pass and drop gradients without
//! an error. These have one, and the gradient-coverage tests hold every one of them to finite differences. All take
//! contiguous f32 matrices on the processor, `[rows, width]`, where a row is one token of one sequence.

mod attention;
mod cross_entropy;
mod frozen;
mod gate;
mod gather;
mod layer_norm;
mod linear;
mod norm;
mod rope;

pub(crate) use attention::{Heads, Look, Reach, Rows, attention, bend};
pub(crate) use cross_entropy::{cap, cross_entropy, head_cross_entropy, head_log_probabilities, log_probabilities};
pub(crate) use frozen::{Frozen, packed_linear};
pub use gate::Activation;
pub(crate) use gate::{activate, gate};
pub(crate) use gather::gather;
pub(crate) use layer_norm::layer_norm;
pub(crate) use linear::{Dropout, LoraWeights, linear, linear_add, linear_bias, lora_linear, mix};
pub(crate) use norm::rms_norm;
pub(crate) use rope::Rope;

use candle_core::{CpuStorage, Device, Layout, Result, Storage, Tensor, bail};
use std::ops::Deref;

/// The numbers of an argument of a custom operation.
pub(crate) fn slice<'a>(storage: &'a CpuStorage, layout: &Layout) -> Result<&'a [f32]> {
    let Some((start, end)) = layout.contiguous_offsets() else { bail!("expected a contiguous tensor, got {layout:?}") };
    Ok(&storage.as_slice::<f32>()?[start..end])
}

/// A tensor's numbers, readable while this lives.
pub(crate) struct Reading<S> {
    storage: S,
    start: usize,
    end: usize,
}

impl<S: Deref<Target = Storage>> Deref for Reading<S> {
    type Target = [f32];

    fn deref(&self) -> &[f32] {
        match &*self.storage {
            Storage::Cpu(CpuStorage::F32(data)) => &data[self.start..self.end],
            _ => unreachable!("`read` refused every other storage"),
        }
    }
}

/// Borrows a contiguous f32 tensor on the processor.
pub(crate) fn read(tensor: &Tensor) -> Result<Reading<impl Deref<Target = Storage>>> {
    let (storage, layout) = tensor.storage_and_layout();
    let Some((start, end)) = layout.contiguous_offsets() else { bail!("expected a contiguous tensor, got {layout:?}") };
    match &*storage {
        Storage::Cpu(CpuStorage::F32(_)) => Ok(Reading { storage, start, end }),
        _ => bail!("expected an f32 tensor on the processor, got {tensor:?}"),
    }
}

/// A tensor on the processor that owns `data`.
pub(crate) fn tensor(data: Vec<f32>, shape: (usize, usize)) -> Result<Tensor> {
    Tensor::from_vec(data, shape, &Device::Cpu)
}
