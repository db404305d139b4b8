//! The gate of the feed-forward part: y = silu(a) · b with silu(a) = a·σ(a) (SwiGLU, Shazeer 2020).
//!
//! a, b and y are [rows, width].

use super::{read, slice, tensor};
use crate::kernel::{ROWS_PER_TASK, each, sigmoid, wide};
use candle_core::{CpuStorage, CustomOp2, Layout, Result, Shape, Tensor};

struct SiluGate;

/// silu(a) · b.
pub(crate) fn silu_gate(a: &Tensor, b: &Tensor) -> Result<Tensor> {
    a.apply_op2(b, SiluGate)
}

/// Numbers that one task takes.
const BLOCK: usize = ROWS_PER_TASK * 128;

impl CustomOp2 for SiluGate {
    fn name(&self) -> &'static str {
        "silu-gate"
    }

    fn cpu_fwd(&self, s1: &CpuStorage, l1: &Layout, s2: &CpuStorage, l2: &Layout) -> Result<(CpuStorage, Shape)> {
        let (a, b) = (slice(s1, l1)?, slice(s2, l2)?);
        let mut out = vec![0f32; a.len()];
        each(out.chunks_mut(BLOCK).zip(a.chunks(BLOCK)).zip(b.chunks(BLOCK)), |((out, a), b)| {
            wide(|| {
                for ((out, a), b) in out.iter_mut().zip(a).zip(b) {
                    *out = a * sigmoid(*a) * b;
                }
            });
        });
        Ok((CpuStorage::F32(out), l1.shape().clone()))
    }

    /// da = dy·b·σ(a)·(1 + a·(1 − σ(a))), db = dy·silu(a).
    fn bwd(&self, a: &Tensor, b: &Tensor, _: &Tensor, grad: &Tensor) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let shape = a.dims2()?;
        let grad = grad.contiguous()?;
        let (a, b, dy) = (read(a)?, read(b)?, read(&grad)?);
        let (a, b, dy) = (&*a, &*b, &*dy);
        let mut da = vec![0f32; a.len()];
        let mut db = vec![0f32; a.len()];
        let from = a.chunks(BLOCK).zip(b.chunks(BLOCK)).zip(dy.chunks(BLOCK));
        each(da.chunks_mut(BLOCK).zip(db.chunks_mut(BLOCK)).zip(from), |((da, db), ((a, b), dy))| {
            wide(|| {
                for i in 0..a.len().min(b.len()).min(dy.len()).min(da.len()).min(db.len()) {
                    let gate = sigmoid(a[i]);
                    da[i] = dy[i] * b[i] * gate * (1.0 + a[i] * (1.0 - gate));
                    db[i] = dy[i] * a[i] * gate;
                }
            });
        });
        Ok((Some(tensor(da, shape)?), Some(tensor(db, shape)?)))
    }
}
