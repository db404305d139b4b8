//! Linear maps: y = x Wᵀ, the same plus a bias, plus a residual, and plus a low-rank update.
//!
//! x [rows, in], W [out, in], b [out], y [rows, out]. The low-rank update is LoRA's (Hu et al. 2021): y = x Wᵀ + s·(x̃ Aᵀ) Bᵀ with
//! A [r, in], B [out, r] and x̃ = x under dropout; W and b are frozen there and take no gradient.

use super::{Frozen, read, slice, tensor};
use crate::{
    kernel::{dot, wide},
    matrix::{Blend, Mat, Precision, multiply},
};
use candle_core::{CpuStorage, CustomOp2, CustomOp3, Layout, Result, Shape, Tensor};
use rayon::prelude::*;

/// Up to so many rows, dot products against the rows of W beat the packed product.
const FEW_ROWS: usize = 4;

/// From so many multiplications on, a few-rows product uses all threads.
const PARALLEL_PRODUCTS: usize = 1 << 21;

/// y = x Wᵀ
pub(crate) fn linear(x: &Tensor, weight: &Tensor, precision: Precision) -> Result<Tensor> {
    x.apply_op2(weight, Linear(precision))
}

/// y = x Wᵀ + b
pub(crate) fn linear_bias(x: &Tensor, weight: &Tensor, bias: &Tensor, precision: Precision) -> Result<Tensor> {
    x.apply_op3(weight, bias, LinearBias(precision))
}

/// y = x Wᵀ + residual
pub(crate) fn linear_add(x: &Tensor, weight: &Tensor, residual: &Tensor, precision: Precision) -> Result<Tensor> {
    x.apply_op3(weight, residual, LinearAdd(precision))
}

/// The frozen weights and the settings of a low-rank update.
pub(crate) struct LoraWeights {
    /// W, without gradient.
    pub weight: Frozen,
    /// b, without gradient.
    pub bias: Option<Tensor>,
    /// s, the factor of the update.
    pub scale: f32,
    /// Of the update's input while training.
    pub dropout: Option<Dropout>,
    /// Of every product.
    pub precision: Precision,
}

/// y = x Wᵀ + s·(x̃ Aᵀ) Bᵀ
pub(crate) fn lora_linear(x: &Tensor, a: &Tensor, b: &Tensor, lora: LoraWeights) -> Result<Tensor> {
    x.apply_op3(a, b, LoraLinear(lora))
}

/// Zeroes a share of the numbers and scales the rest up to keep their mean. What is zeroed is a function of the key and
/// the position, so the backward pass and every number of threads see the same mask.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Dropout {
    /// Share of numbers set to zero, below 1.
    pub share: f32,
    /// Differs for each step and each place in the model.
    pub key: u64,
}

impl Dropout {
    #[allow(clippy::cast_possible_truncation)]
    fn apply(self, numbers: &mut [f32]) {
        let kept = 1.0 / (1.0 - self.share);
        let limit = (f64::from(self.share) * 2f64.powi(32)) as u32;
        for (i, x) in numbers.iter_mut().enumerate() {
            let roll = (mix(self.key ^ mix(i as u64)) >> 32) as u32;
            *x = if roll < limit { 0.0 } else { *x * kept };
        }
    }
}

/// The finaliser of SplitMix64 (Steele et al. 2014).
pub(crate) fn mix(x: u64) -> u64 {
    let x = x.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

/// out = keep·out + scale · x Wᵀ
fn times_transposed(out: &mut [f32], x: Mat, (weight, rows_out, cols_in): (&[f32], usize, usize), blend: Blend) {
    multiply(out, x, Mat::new(weight, rows_out, cols_in).t(), blend);
}

/// out += x Wᵀ for a few rows, where W is read once and nothing is packed.
fn few_rows(out: &mut [f32], x: &[f32], weight: &[f32], cols_in: usize) {
    let rows_out = weight.len() / cols_in;
    let rows = |out: &mut [f32], weight: &[f32], x: &[f32]| {
        wide!(out.iter_mut().zip(weight.chunks_exact(cols_in)).for_each(|(out, w)| *out += dot(x, w)));
    };
    for (out, x) in out.chunks_exact_mut(rows_out).zip(x.chunks_exact(cols_in)) {
        if weight.len() < PARALLEL_PRODUCTS {
            rows(out, weight, x);
        } else {
            let each = rows_out.div_ceil(rayon::current_num_threads());
            out.par_chunks_mut(each)
                .zip(weight.par_chunks(each * cols_in))
                .for_each(|(out, weight)| rows(out, weight, x));
        }
    }
}

/// out += x Wᵀ, whichever way is faster.
fn project(out: &mut [f32], x: &[f32], (weight, cols_in): (&[f32], usize), precision: Precision) {
    let rows = x.len() / cols_in;
    if rows <= FEW_ROWS {
        few_rows(out, x, weight, cols_in);
    } else {
        let rows_out = weight.len() / cols_in;
        times_transposed(out, Mat::new(x, rows, cols_in), (weight, rows_out, cols_in), Blend::ADD.at(precision));
    }
}

/// dx = dy W, and dW = dyᵀ x if the weight learns.
fn gradients(
    (x, weight): (&Tensor, &Tensor),
    grad: &Tensor,
    precision: Precision,
) -> Result<(Option<Tensor>, Option<Tensor>)> {
    let set = Blend::SET.at(precision);
    let ((rows, n_in), (n_out, _)) = (x.dims2()?, weight.dims2()?);
    let dy = read(grad)?;
    let dy = Mat::new(&dy, rows, n_out);
    let mut dx = None;
    if x.track_op() {
        let mut out = vec![0f32; rows * n_in];
        multiply(&mut out, dy, Mat::new(&read(weight)?, n_out, n_in), set);
        dx = Some(tensor(out, (rows, n_in))?);
    }
    let mut dweight = None;
    if weight.track_op() {
        let mut out = vec![0f32; n_out * n_in];
        multiply(&mut out, dy.t(), Mat::new(&read(x)?, rows, n_in), set);
        dweight = Some(tensor(out, (n_out, n_in))?);
    }
    Ok((dx, dweight))
}

struct Linear(Precision);

impl CustomOp2 for Linear {
    fn name(&self) -> &'static str {
        "linear"
    }

    fn cpu_fwd(&self, s1: &CpuStorage, l1: &Layout, s2: &CpuStorage, l2: &Layout) -> Result<(CpuStorage, Shape)> {
        let ((rows, n_in), (n_out, _)) = (l1.shape().dims2()?, l2.shape().dims2()?);
        let mut out = vec![0f32; rows * n_out];
        project(&mut out, slice(s1, l1)?, (slice(s2, l2)?, n_in), self.0);
        Ok((CpuStorage::F32(out), Shape::from((rows, n_out))))
    }

    fn bwd(&self, x: &Tensor, weight: &Tensor, _: &Tensor, grad: &Tensor) -> Result<(Option<Tensor>, Option<Tensor>)> {
        gradients((x, weight), &grad.contiguous()?, self.0)
    }
}

/// The bias as every row of a result.
fn rows_of(bias: &[f32], rows: usize) -> Vec<f32> {
    bias.repeat(rows)
}

struct LinearBias(Precision);

impl CustomOp3 for LinearBias {
    fn name(&self) -> &'static str {
        "linear-bias"
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
        let ((rows, n_in), (n_out, _)) = (l1.shape().dims2()?, l2.shape().dims2()?);
        let mut out = rows_of(slice(s3, l3)?, rows);
        project(&mut out, slice(s1, l1)?, (slice(s2, l2)?, n_in), self.0);
        Ok((CpuStorage::F32(out), Shape::from((rows, n_out))))
    }

    /// As without bias; db = Σ over rows of dy.
    fn bwd(
        &self,
        x: &Tensor,
        weight: &Tensor,
        bias: &Tensor,
        _: &Tensor,
        grad: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let grad = grad.contiguous()?;
        let (dx, dweight) = gradients((x, weight), &grad, self.0)?;
        let mut dbias = None;
        if bias.track_op() {
            let n_out = bias.elem_count();
            let mut sum = vec![0f32; n_out];
            for dy in read(&grad)?.chunks_exact(n_out) {
                sum.iter_mut().zip(dy).for_each(|(sum, dy)| *sum += dy);
            }
            dbias = Some(Tensor::from_vec(sum, n_out, bias.device())?);
        }
        Ok((dx, dweight, dbias))
    }
}

struct LinearAdd(Precision);

impl CustomOp3 for LinearAdd {
    fn name(&self) -> &'static str {
        "linear-add"
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
        let (_, n_in) = l1.shape().dims2()?;
        let mut out = slice(s3, l3)?.to_vec();
        project(&mut out, slice(s1, l1)?, (slice(s2, l2)?, n_in), self.0);
        Ok((CpuStorage::F32(out), l3.shape().clone()))
    }

    fn bwd(
        &self,
        x: &Tensor,
        weight: &Tensor,
        residual: &Tensor,
        _: &Tensor,
        grad: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let grad = grad.contiguous()?;
        let (dx, dweight) = gradients((x, weight), &grad, self.0)?;
        Ok((dx, dweight, residual.track_op().then_some(grad)))
    }
}

struct LoraLinear(LoraWeights);

impl LoraLinear {
    /// x under dropout, or nothing where x itself serves.
    fn dropped(&self, x: &[f32]) -> Option<Vec<f32>> {
        self.0.dropout.map(|dropout| {
            let mut dropped = x.to_vec();
            dropout.apply(&mut dropped);
            dropped
        })
    }
}

impl CustomOp3 for LoraLinear {
    fn name(&self) -> &'static str {
        "lora-linear"
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
        let ((rows, n_in), (rank, _), (n_out, _)) = (l1.shape().dims2()?, l2.shape().dims2()?, l3.shape().dims2()?);
        let (x, a, b) = (slice(s1, l1)?, slice(s2, l2)?, slice(s3, l3)?);
        let mut out = match &self.0.bias {
            Some(bias) => rows_of(&read(bias)?, rows),
            None => vec![0f32; rows * n_out],
        };
        let mut low = vec![0f32; rows * rank];
        let dropped = self.dropped(x);
        let precision = self.0.precision;
        project(&mut low, dropped.as_deref().unwrap_or(x), (a, n_in), precision);
        low.iter_mut().for_each(|low| *low *= self.0.scale);
        project(&mut out, &low, (b, rank), precision);
        project(&mut out, x, (&self.0.weight.numbers()?, n_in), precision);
        Ok((CpuStorage::F32(out), Shape::from((rows, n_out))))
    }

    /// With h = x̃ Aᵀ and e = s·dy B: dx = dy W + dropout(e A), dA = eᵀ x̃, dB = s·dyᵀ h.
    fn bwd(
        &self,
        x: &Tensor,
        a: &Tensor,
        b: &Tensor,
        _: &Tensor,
        grad: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let ((rows, n_in), (rank, _), (n_out, _)) = (x.dims2()?, a.dims2()?, b.dims2()?);
        let grad = grad.contiguous()?;
        let (xs, dy, a, b) = (read(x)?, read(&grad)?, read(a)?, read(b)?);
        let dropped = self.dropped(&xs);
        let dropped = Mat::new(dropped.as_deref().unwrap_or(&xs), rows, n_in);
        let dy = Mat::new(&dy, rows, n_out);
        let set = Blend::SET.at(self.0.precision);
        let scaled = set.scaled(self.0.scale);

        let mut low = vec![0f32; rows * rank];
        times_transposed(&mut low, dropped, (&a, rank, n_in), set);
        let mut db = vec![0f32; n_out * rank];
        multiply(&mut db, dy.t(), Mat::new(&low, rows, rank), scaled);

        let mut error = low;
        multiply(&mut error, dy, Mat::new(&b, n_out, rank), scaled);
        let error = Mat::new(&error, rows, rank);
        let mut da = vec![0f32; rank * n_in];
        multiply(&mut da, error.t(), dropped, set);

        let mut dx = None;
        if x.track_op() {
            let mut out = vec![0f32; rows * n_in];
            multiply(&mut out, error, Mat::new(&a, rank, n_in), set);
            if let Some(dropout) = self.0.dropout {
                dropout.apply(&mut out);
            }
            multiply(&mut out, dy, Mat::new(&self.0.weight.numbers()?, n_out, n_in), Blend::ADD.at(self.0.precision));
            dx = Some(tensor(out, (rows, n_in))?);
        }
        Ok((dx, Some(tensor(da, (rank, n_in))?), Some(tensor(db, (n_out, rank))?)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dropout_keeps_the_mean_and_repeats() {
        let dropout = Dropout { share: 0.25, key: 7 };
        let mut x = vec![1f32; 40_000];
        dropout.apply(&mut x);
        let zeros = x.iter().filter(|x| **x == 0.0).count() as f64 / 40_000.0;
        // Standard error of the share is √(0.25·0.75/40000) = 0.0022; five of them.
        assert!((zeros - 0.25).abs() < 0.011, "{zeros}");
        assert!(x.iter().all(|x| *x == 0.0 || (*x - 4.0 / 3.0).abs() < 1e-6));
        let mut again = vec![1f32; 40_000];
        dropout.apply(&mut again);
        assert_eq!(x, again);
        let mut other = vec![1f32; 40_000];
        Dropout { key: 8, ..dropout }.apply(&mut other);
        assert_ne!(x, other);
    }

    #[test]
    fn few_rows_and_many_rows_agree() {
        let (n_in, n_out) = (70, 45);
        let weight: Vec<f32> = (0..n_in * n_out).map(|i| ((i * 31 % 89) as f32 - 44.0) / 60.0).collect();
        let x: Vec<f32> = (0..6 * n_in).map(|i| ((i * 17 % 71) as f32 - 35.0) / 40.0).collect();
        let mut many = vec![0f32; 6 * n_out];
        project(&mut many, &x, (&weight, n_in), Precision::F32);
        let mut few = vec![0f32; 2 * n_out];
        project(&mut few, &x[..2 * n_in], (&weight, n_in), Precision::F32);
        for (few, many) in few.iter().zip(&many) {
            assert!((few - many).abs() < 1e-4, "{few} {many}");
        }
    }
}
