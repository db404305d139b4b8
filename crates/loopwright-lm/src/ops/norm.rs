//! Root-mean-square norm: y = x / √(mean(x²) + ε) · (g + offset), over each row (Zhang & Sennrich 2019). The offset is 0,
//! or 1 where the stored gain is the distance from 1 (Gemma, Gemma Team 2024).
//!
//! x [rows, width], g [width].

use super::{read, slice, tensor};
use crate::kernel::{ROWS_PER_TASK, dot, each, map, wide};
use candle_core::{CpuStorage, CustomOp2, Layout, Result, Shape, Tensor};

struct RmsNorm {
    eps: f32,
    offset: f32,
}

/// The normed rows.
pub(crate) fn rms_norm(x: &Tensor, gain: &Tensor, eps: f64, offset: f32) -> Result<Tensor> {
    x.apply_op2(gain, RmsNorm { eps: eps as f32, offset })
}

#[inline(always)]
fn inverse_rms(x: &[f32], eps: f32) -> f32 {
    1.0 / (dot(x, x) / x.len() as f32 + eps).sqrt()
}

impl CustomOp2 for RmsNorm {
    fn name(&self) -> &'static str {
        "rms-norm"
    }

    fn cpu_fwd(&self, s1: &CpuStorage, l1: &Layout, s2: &CpuStorage, l2: &Layout) -> Result<(CpuStorage, Shape)> {
        let x = slice(s1, l1)?;
        let gain: Vec<f32> = slice(s2, l2)?.iter().map(|g| g + self.offset).collect();
        let block = ROWS_PER_TASK * gain.len();
        let mut out = vec![0f32; x.len()];
        each(out.chunks_mut(block).zip(x.chunks(block)), |(out, x)| {
            wide!({
                for (out, x) in out.chunks_exact_mut(gain.len()).zip(x.chunks_exact(gain.len())) {
                    let inverse = inverse_rms(x, self.eps);
                    for ((out, x), g) in out.iter_mut().zip(x).zip(&gain) {
                        *out = x * inverse * g;
                    }
                }
            });
        });
        Ok((CpuStorage::F32(out), l1.shape().clone()))
    }

    /// With r = 1/√(mean(x²)+ε): dx = r·(g·dy) − x·r³/width·Σ(x·g·dy), dg = Σ over rows of dy·x·r.
    fn bwd(&self, x: &Tensor, gain: &Tensor, _: &Tensor, grad: &Tensor) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let grad = grad.contiguous()?;
        let (xs, dys) = (read(x)?, read(&grad)?);
        let gains: Vec<f32> = read(gain)?.iter().map(|g| g + self.offset).collect();
        let (xs, dys, width) = (&*xs, &*dys, gains.len());
        let block = ROWS_PER_TASK * width;
        let mut dx = vec![0f32; xs.len()];
        let tasks = dx.chunks_mut(block).zip(xs.chunks(block)).zip(dys.chunks(block));
        let parts = map(tasks, |((dx, xs), dys)| {
            let mut dgain = vec![0f32; width];
            wide!({
                let rows = dx.chunks_exact_mut(width).zip(xs.chunks_exact(width)).zip(dys.chunks_exact(width));
                for ((dx, x), dy) in rows {
                    let inverse = inverse_rms(x, self.eps);
                    for i in 0..width {
                        dx[i] = dy[i] * gains[i];
                        dgain[i] += dy[i] * x[i] * inverse;
                    }
                    let pull = dot(dx, x) * inverse * inverse * inverse / width as f32;
                    for i in 0..width {
                        dx[i] = dx[i] * inverse - x[i] * pull;
                    }
                }
            });
            dgain
        });
        let dgain = gain.track_op().then(|| {
            let mut sum = vec![0f32; width];
            parts.iter().for_each(|part| sum.iter_mut().zip(part).for_each(|(sum, part)| *sum += part));
            sum
        });
        let dx = x.track_op().then(|| tensor(dx, (xs.len() / width, width))).transpose()?;
        let dgain = dgain.map(|dgain| Tensor::from_vec(dgain, width, gain.device())).transpose()?;
        Ok((dx, dgain))
    }
}
