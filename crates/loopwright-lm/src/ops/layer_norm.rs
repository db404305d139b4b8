//! Layer norm: y = (x − mean(x)) / √(variance(x) + ε) · g + b, over each row (Ba et al. 2016).
//!
//! x [rows, width], g and b [width].

use super::{read, slice, tensor};
use crate::kernel::{ROWS_PER_TASK, dot, each, map, wide};
use candle_core::{CpuStorage, CustomOp3, Layout, Result, Shape, Tensor};

struct LayerNorm {
    eps: f32,
}

/// The normed rows.
pub(crate) fn layer_norm(x: &Tensor, gain: &Tensor, bias: &Tensor, eps: f64) -> Result<Tensor> {
    x.apply_op3(gain, bias, LayerNorm { eps: eps as f32 })
}

/// Writes x̂ = (x − mean) / deviation and returns 1 / deviation.
#[inline(always)]
fn standardize(out: &mut [f32], x: &[f32], eps: f32) -> f32 {
    let mean = x.iter().sum::<f32>() / x.len() as f32;
    out.iter_mut().zip(x).for_each(|(out, x)| *out = x - mean);
    let inverse = 1.0 / (dot(out, out) / x.len() as f32 + eps).sqrt();
    out.iter_mut().for_each(|out| *out *= inverse);
    inverse
}

impl CustomOp3 for LayerNorm {
    fn name(&self) -> &'static str {
        "layer-norm"
    }

    fn cpu_fwd(
        &self,
        s1: &CpuStorage,
        l1: &Layout,
        s2: &CpuStorage,
        l2: &Layout,
        s3: &CpuStorage,
        l3: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let (x, gain, bias) = (slice(s1, l1)?, slice(s2, l2)?, slice(s3, l3)?);
        let block = ROWS_PER_TASK * gain.len();
        let mut out = vec![0f32; x.len()];
        each(out.chunks_mut(block).zip(x.chunks(block)), |(out, x)| {
            wide!({
                for (out, x) in out.chunks_exact_mut(gain.len()).zip(x.chunks_exact(gain.len())) {
                    standardize(out, x, self.eps);
                    out.iter_mut().zip(gain).zip(bias).for_each(|((out, g), b)| *out = *out * g + b);
                }
            });
        });
        Ok((CpuStorage::F32(out), l1.shape().clone()))
    }

    /// With x̂ the standardized row and d = g·dy: dx = (d − mean(d) − x̂·mean(d·x̂)) / deviation, dg = Σ over rows of
    /// dy·x̂, db = Σ over rows of dy.
    fn bwd(
        &self,
        x: &Tensor,
        gain: &Tensor,
        bias: &Tensor,
        _: &Tensor,
        grad: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let grad = grad.contiguous()?;
        let (xs, gains, dys) = (read(x)?, read(gain)?, read(&grad)?);
        let (xs, gains, dys, width) = (&*xs, &*gains, &*dys, gains.len());
        let block = ROWS_PER_TASK * width;
        let mut dx = vec![0f32; xs.len()];
        let tasks = dx.chunks_mut(block).zip(xs.chunks(block)).zip(dys.chunks(block));
        let parts = map(tasks, |((dx, xs), dys)| {
            let (mut dgain, mut dbias, mut unit) = (vec![0f32; width], vec![0f32; width], vec![0f32; width]);
            wide!({
                let rows = dx.chunks_exact_mut(width).zip(xs.chunks_exact(width)).zip(dys.chunks_exact(width));
                for ((dx, x), dy) in rows {
                    let inverse = standardize(&mut unit, x, self.eps);
                    for i in 0..width {
                        dx[i] = dy[i] * gains[i];
                        dgain[i] += dy[i] * unit[i];
                        dbias[i] += dy[i];
                    }
                    let mean = dx.iter().sum::<f32>() / width as f32;
                    let pull = dot(dx, &unit) / width as f32;
                    for i in 0..width {
                        dx[i] = (dx[i] - mean - unit[i] * pull) * inverse;
                    }
                }
            });
            (dgain, dbias)
        });
        let mut sums = (vec![0f32; width], vec![0f32; width]);
        for (dgain, dbias) in &parts {
            sums.0.iter_mut().zip(dgain).for_each(|(sum, part)| *sum += part);
            sums.1.iter_mut().zip(dbias).for_each(|(sum, part)| *sum += part);
        }
        let row = |wanted: &Tensor, numbers: Vec<f32>| {
            wanted.track_op().then(|| Tensor::from_vec(numbers, width, wanted.device())).transpose()
        };
        let dx = x.track_op().then(|| tensor(dx, (xs.len() / width, width))).transpose()?;
        Ok((dx, row(gain, sums.0)?, row(bias, sums.1)?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_by_hand() {
        // Mean 3, variance 4: (1, 5) goes to (−1, 1), times the gain, plus the bias.
        let x = tensor(vec![1.0, 5.0], (1, 2)).unwrap();
        let gain = Tensor::new(&[2f32, 3.0], x.device()).unwrap();
        let bias = Tensor::new(&[0.5f32, 0.25], x.device()).unwrap();
        let got = layer_norm(&x, &gain, &bias, 0.0).unwrap().to_vec2::<f32>().unwrap();
        assert_eq!(got, [[-1.5, 3.25]]);
    }
}
