//! The activation of the feed-forward part, plain, y = f(a), and as a gate, y = f(a) · b (SwiGLU and GeGLU, Shazeer 2020).
//!
//! a, b and y are [rows, width]. f is silu(a) = a·σ(a), Gauss's gelu(a) = a·Φ(a) (Hendrycks & Gimpel 2016), the latter's
//! approximation by tanh, or max(a, 0).

use super::{read, slice, tensor};
use crate::kernel::{ROWS_PER_TASK, each, exp, sigmoid, wide};
use candle_core::{CpuStorage, CustomOp1, CustomOp2, Layout, Result, Shape, Tensor};

/// Which function.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Activation {
    /// a·σ(a)
    Silu,
    /// a·Φ(a)
    Gelu,
    /// a·(1 + tanh(√(2/π)·(a + 0.044715·a³)))/2
    GeluTanh,
    /// max(a, 0)
    Relu,
    /// tanh(a)
    Tanh,
}

struct Gate(Activation);

/// f(a) · b.
pub(crate) fn gate(a: &Tensor, b: &Tensor, activation: Activation) -> Result<Tensor> {
    a.apply_op2(b, Gate(activation))
}

struct Activate(Activation);

/// f(a).
pub(crate) fn activate(a: &Tensor, activation: Activation) -> Result<Tensor> {
    a.apply_op1(Activate(activation))
}

/// Numbers that one task takes.
const BLOCK: usize = ROWS_PER_TASK * 128;

#[inline(always)]
fn silu(a: f32) -> f32 {
    a * sigmoid(a)
}

/// (dy·f'(a), dy·f(a)) with `dy` of each given.
#[inline(always)]
fn silu_gradient(a: f32, (dy_a, dy_b): (f32, f32)) -> (f32, f32) {
    let gate = sigmoid(a);
    (dy_a * gate * (1.0 + a * (1.0 - gate)), dy_b * a * gate)
}

/// Φ(a) by Abramowitz & Stegun (1964), 7.1.26 for the error function, exact to 1.5e-7; and the density at a.
#[inline(always)]
fn normal(a: f32) -> (f32, f32) {
    let x = a.abs() * std::f32::consts::FRAC_1_SQRT_2;
    let t = 1.0 / (1.0 + 0.327_591_1 * x);
    let polynomial = t * (0.254_829_6 + t * (-0.284_496_72 + t * (1.421_413_8 + t * (-1.453_152 + t * 1.061_405_4))));
    let bell = exp(-x * x);
    let tail = 0.5 * polynomial * bell;
    let share = if a < 0.0 { tail } else { 1.0 - tail };
    (share, bell * 0.398_942_3)
}

#[inline(always)]
fn gelu(a: f32) -> f32 {
    a * normal(a).0
}

#[inline(always)]
fn gelu_gradient(a: f32, (dy_a, dy_b): (f32, f32)) -> (f32, f32) {
    let (share, density) = normal(a);
    (dy_a * (share + a * density), dy_b * a * share)
}

/// (1 + tanh u)/2 = σ(2u), which spares the tanh. Returns it and the slope of 2u.
#[inline(always)]
fn tanh_gate(a: f32) -> (f32, f32) {
    const TWICE_ROOT: f32 = 1.595_769;
    const CUBE: f32 = 0.044_715;
    (sigmoid(TWICE_ROOT * (a + CUBE * a * a * a)), TWICE_ROOT * (1.0 + 3.0 * CUBE * a * a))
}

#[inline(always)]
fn gelu_tanh(a: f32) -> f32 {
    a * tanh_gate(a).0
}

#[inline(always)]
fn gelu_tanh_gradient(a: f32, (dy_a, dy_b): (f32, f32)) -> (f32, f32) {
    let (gate, slope) = tanh_gate(a);
    (dy_a * gate * (1.0 + a * (1.0 - gate) * slope), dy_b * a * gate)
}

#[inline(always)]
fn relu(a: f32) -> f32 {
    if a > 0.0 { a } else { 0.0 }
}

#[inline(always)]
fn relu_gradient(a: f32, (dy_a, dy_b): (f32, f32)) -> (f32, f32) {
    if a > 0.0 { (dy_a, dy_b * a) } else { (0.0, 0.0) }
}

#[inline(always)]
fn tanh(a: f32) -> f32 {
    crate::kernel::tanh(a)
}

#[inline(always)]
fn tanh_gradient(a: f32, (dy_a, dy_b): (f32, f32)) -> (f32, f32) {
    let t = tanh(a);
    (dy_a * (1.0 - t * t), dy_b * t)
}

/// Calls a function with the loops' body as a type of its own, so that each activation's loop is compiled by itself.
macro_rules! with_activation {
    ($activation:expr, $call:ident($($argument:expr),*)) => {
        match $activation {
            Activation::Silu => $call($($argument,)* silu, silu_gradient),
            Activation::Gelu => $call($($argument,)* gelu, gelu_gradient),
            Activation::GeluTanh => $call($($argument,)* gelu_tanh, gelu_tanh_gradient),
            Activation::Relu => $call($($argument,)* relu, relu_gradient),
            Activation::Tanh => $call($($argument,)* tanh, tanh_gradient),
        }
    };
}

/// y = f(a)·b; without b, y = f(a).
fn forward(
    a: &[f32],
    b: Option<&[f32]>,
    value: impl Fn(f32) -> f32 + Sync + Send + Copy,
    _: impl Fn(f32, (f32, f32)) -> (f32, f32),
) -> Vec<f32> {
    let mut out = vec![0f32; a.len()];
    match b {
        Some(b) => each(out.chunks_mut(BLOCK).zip(a.chunks(BLOCK)).zip(b.chunks(BLOCK)), |((out, a), b)| {
            wide!(out.iter_mut().zip(a).zip(b).for_each(|((out, a), b)| *out = value(*a) * b));
        }),
        None => each(out.chunks_mut(BLOCK).zip(a.chunks(BLOCK)), |(out, a)| {
            wide!(out.iter_mut().zip(a).for_each(|(out, a)| *out = value(*a)));
        }),
    }
    out
}

/// da = dy·b·f'(a) and db = dy·f(a).
fn gate_gradients(
    (a, b, dy): (&[f32], &[f32], &[f32]),
    _: impl Fn(f32) -> f32,
    gradient: impl Fn(f32, (f32, f32)) -> (f32, f32) + Sync + Send + Copy,
) -> (Vec<f32>, Vec<f32>) {
    let (mut da, mut db) = (vec![0f32; a.len()], vec![0f32; a.len()]);
    let from = a.chunks(BLOCK).zip(b.chunks(BLOCK)).zip(dy.chunks(BLOCK));
    each(da.chunks_mut(BLOCK).zip(db.chunks_mut(BLOCK)).zip(from), |((da, db), ((a, b), dy))| {
        wide!({
            for i in 0..a.len().min(b.len()).min(dy.len()).min(da.len()).min(db.len()) {
                (da[i], db[i]) = gradient(a[i], (dy[i] * b[i], dy[i]));
            }
        });
    });
    (da, db)
}

/// da = dy·f'(a).
fn gradients(
    (a, dy): (&[f32], &[f32]),
    _: impl Fn(f32) -> f32,
    gradient: impl Fn(f32, (f32, f32)) -> (f32, f32) + Sync + Send + Copy,
) -> Vec<f32> {
    let mut da = vec![0f32; a.len()];
    each(da.chunks_mut(BLOCK).zip(a.chunks(BLOCK)).zip(dy.chunks(BLOCK)), |((da, a), dy)| {
        wide!(da.iter_mut().zip(a).zip(dy).for_each(|((da, a), dy)| *da = gradient(*a, (*dy, *dy)).0));
    });
    da
}

impl CustomOp2 for Gate {
    fn name(&self) -> &'static str {
        "gate"
    }

    fn cpu_fwd(&self, s1: &CpuStorage, l1: &Layout, s2: &CpuStorage, l2: &Layout) -> Result<(CpuStorage, Shape)> {
        let (a, b) = (slice(s1, l1)?, slice(s2, l2)?);
        let out = with_activation!(self.0, forward(a, Some(b)));
        Ok((CpuStorage::F32(out), l1.shape().clone()))
    }

    fn bwd(&self, a: &Tensor, b: &Tensor, _: &Tensor, grad: &Tensor) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let shape = a.dims2()?;
        let grad = grad.contiguous()?;
        let (a, b, dy) = (read(a)?, read(b)?, read(&grad)?);
        let (da, db) = with_activation!(self.0, gate_gradients((&a, &b, &dy)));
        Ok((Some(tensor(da, shape)?), Some(tensor(db, shape)?)))
    }
}

impl CustomOp1 for Activate {
    fn name(&self) -> &'static str {
        "activate"
    }

    fn cpu_fwd(&self, storage: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let out = with_activation!(self.0, forward(slice(storage, layout)?, None));
        Ok((CpuStorage::F32(out), layout.shape().clone()))
    }

    fn bwd(&self, a: &Tensor, _: &Tensor, grad: &Tensor) -> Result<Option<Tensor>> {
        let shape = a.dims2()?;
        let grad = grad.contiguous()?;
        let (a, dy) = (read(a)?, read(&grad)?);
        Ok(Some(tensor(with_activation!(self.0, gradients((&a, &dy))), shape)?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Values by Φ(1) = 0.8413447, tanh and exp of a pocket calculator; slopes by differences of the function itself.
    #[test]
    fn known_values_and_slopes() {
        let close = |got: f32, want: f32, what: &str| assert!((got - want).abs() < 1e-6, "{what}: {got} {want}");
        close(silu(1.0), 0.731_058_6, "silu");
        close(gelu(1.0), 0.841_344_7, "gelu");
        close(gelu(-1.0), -0.158_655_3, "gelu");
        close(gelu_tanh(1.0), 0.841_192, "gelu by tanh");
        close(tanh(0.5), 0.462_117_2, "tanh");
        type Pair = (fn(f32) -> f32, fn(f32, (f32, f32)) -> (f32, f32));
        let pairs: [Pair; 5] = [
            (silu, silu_gradient),
            (gelu, gelu_gradient),
            (gelu_tanh, gelu_tanh_gradient),
            (relu, relu_gradient),
            (tanh, tanh_gradient),
        ];
        for (which, (value, gradient)) in pairs.into_iter().enumerate() {
            for i in -41..41 {
                let a = i as f32 / 10.0 + 0.03;
                let slope = (value(a + 0.01) - value(a - 0.01)) / 0.02;
                let (da, db) = gradient(a, (2.0, 3.0));
                assert!((da - 2.0 * slope).abs() < 3e-4, "function {which} at {a}: {da} {slope}");
                assert!((db - 3.0 * value(a)).abs() < 1e-6);
            }
        }
    }
}
