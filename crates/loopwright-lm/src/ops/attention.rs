//! Causal self-attention with rotary positions and grouped queries (Vaswani et al. 2017; Ainslie et al. 2023).
//!
//! For each head: y = softmax(q kᵀ / √width, masked to the past) v, after turning q and k by their positions.
//! q [batch·tokens, heads·width], k and v [batch·tokens, kv_heads·width], y like q. Padding stands to the right of a
//! sequence, where no real token looks, so it needs no mask. The backward pass recomputes the probabilities.

use super::{Rope, read, slice, tensor};
use crate::{
    kernel::{each, softmax, wide},
    matrix::{Blend, Mat, multiply_block},
};
use candle_core::{CpuStorage, CustomOp3, Layout, Result, Shape, Tensor};
use std::sync::Arc;

/// How rows divide into heads.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Heads {
    /// Query heads.
    pub heads: usize,
    /// Key and value heads; each serves `heads / kv_heads` query heads.
    pub kv_heads: usize,
    /// Width of a head.
    pub dim: usize,
}

impl Heads {
    fn q_width(self) -> usize {
        self.heads * self.dim
    }

    /// Width of a row of keys, or of values.
    pub(crate) fn kv_width(self) -> usize {
        self.kv_heads * self.dim
    }

    fn scale(self) -> f32 {
        1.0 / (self.dim as f32).sqrt()
    }

    /// Where the columns of a query head and of its key head begin.
    fn columns(self, head: usize) -> (usize, usize) {
        (head * self.dim, head / (self.heads / self.kv_heads) * self.dim)
    }
}

struct Attention {
    heads: Heads,
    tokens: usize,
    rope: Arc<Rope>,
}

/// Attention within each of the sequences of `tokens` rows.
pub(crate) fn attention(
    (q, k, v): (&Tensor, &Tensor, &Tensor),
    heads: Heads,
    tokens: usize,
    rope: &Arc<Rope>,
) -> Result<Tensor> {
    q.apply_op3(k, v, Attention { heads, tokens, rope: Arc::clone(rope) })
}

/// Attention of the last rows of one sequence: `q` are turned queries of its last positions, `k` and `v` turned keys and
/// values of all positions. Writes rows like `q`. The forward of training and the cached forward both end here.
pub(crate) fn attend(out: &mut [f32], q: &[f32], k: &[f32], v: &[f32], heads: Heads) {
    let (q_width, kv_width) = (heads.q_width(), heads.kv_width());
    let (n_q, n_k) = (q.len() / q_width, k.len() / kv_width);
    let mut scores = vec![0f32; n_q * n_k];
    for head in 0..heads.heads {
        let (at, kv_at) = heads.columns(head);
        probabilities(&mut scores, &q[at..], &k[kv_at..], (n_q, n_k), heads);
        let v = Mat::strided(&v[kv_at..], n_k, heads.dim, kv_width);
        multiply_block(&mut out[at..], q_width, Mat::new(&scores, n_q, n_k), v, Blend::SET);
    }
}

/// Attention probabilities [n_q, n_k] of one head whose columns begin the slices; the last query sees every key.
fn probabilities(scores: &mut [f32], q: &[f32], k: &[f32], (n_q, n_k): (usize, usize), heads: Heads) {
    let q = Mat::strided(q, n_q, heads.dim, heads.q_width());
    let k = Mat::strided(k, n_k, heads.dim, heads.kv_width());
    multiply_block(scores, n_k, q, k.t(), Blend { keep: 0.0, scale: heads.scale() });
    wide(|| {
        for (i, row) in scores.chunks_exact_mut(n_k).enumerate() {
            let (past, future) = row.split_at_mut(n_k - n_q + i + 1);
            softmax(past);
            future.fill(0.0);
        }
    });
}

/// A copy of the rows of one sequence, turned by their positions.
fn turned(rows: &[f32], width: usize, rope: &Rope) -> Vec<f32> {
    let mut rows = rows.to_vec();
    wide(|| rope.turn(&mut rows, width, 0));
    rows
}

/// What one sequence brings to the backward pass.
struct Sequence<'a> {
    q: &'a [f32],
    k: &'a [f32],
    v: &'a [f32],
    dy: &'a [f32],
}

impl Attention {
    /// With P the probabilities: dV = Pᵀ dY, dP = dY Vᵀ, dS = P∘(dP − Σ P∘dP), dQ = s·dS K, dK = s·dSᵀ Q.
    fn gradients(&self, from: &Sequence, dq: &mut [f32], dk: &mut [f32], dv: &mut [f32]) {
        let (heads, n) = (self.heads, self.tokens);
        let (q_width, kv_width, dim) = (heads.q_width(), heads.kv_width(), heads.dim);
        let (q, k) = (turned(from.q, q_width, &self.rope), turned(from.k, kv_width, &self.rope));
        let mut p = vec![0f32; n * n];
        let mut dp = vec![0f32; n * n];
        let scaled = |keep| Blend { keep, scale: heads.scale() };
        for head in 0..heads.heads {
            let (at, kv_at) = heads.columns(head);
            let dy = Mat::strided(&from.dy[at..], n, dim, q_width);
            probabilities(&mut p, &q[at..], &k[kv_at..], (n, n), heads);
            multiply_block(&mut dv[kv_at..], kv_width, Mat::new(&p, n, n).t(), dy, Blend::ADD);
            multiply_block(&mut dp, n, dy, Mat::strided(&from.v[kv_at..], n, dim, kv_width).t(), Blend::SET);
            wide(|| softmax_gradient(&p, &mut dp, n));
            let ds = Mat::new(&dp, n, n);
            let keys = Mat::strided(&k[kv_at..], n, dim, kv_width);
            multiply_block(&mut dq[at..], q_width, ds, keys, scaled(0.0));
            let queries = Mat::strided(&q[at..], n, dim, q_width);
            multiply_block(&mut dk[kv_at..], kv_width, ds.t(), queries, scaled(1.0));
        }
        wide(|| {
            self.rope.turn_back(dq, q_width, 0);
            self.rope.turn_back(dk, kv_width, 0);
        });
    }
}

/// dS = P∘(dP − Σ P∘dP) row by row, in place of dP. Where P is 0 (the future) dS is 0.
#[inline(always)]
fn softmax_gradient(p: &[f32], dp: &mut [f32], n: usize) {
    for (p, dp) in p.chunks_exact(n).zip(dp.chunks_exact_mut(n)) {
        let mean = crate::kernel::dot(p, dp);
        for (p, dp) in p.iter().zip(dp) {
            *dp = p * (*dp - mean);
        }
    }
}

impl CustomOp3 for Attention {
    fn name(&self) -> &'static str {
        "attention"
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
        let (q, k, v) = (slice(s1, l1)?, slice(s2, l2)?, slice(s3, l3)?);
        let (q_width, kv_width) = (self.heads.q_width(), self.heads.kv_width());
        let (q_block, kv_block) = (self.tokens * q_width, self.tokens * kv_width);
        let mut out = vec![0f32; q.len()];
        let from = q.chunks(q_block).zip(k.chunks(kv_block)).zip(v.chunks(kv_block));
        each(out.chunks_mut(q_block).zip(from), |(out, ((q, k), v))| {
            let (q, k) = (turned(q, q_width, &self.rope), turned(k, kv_width, &self.rope));
            attend(out, &q, &k, v, self.heads);
        });
        Ok((CpuStorage::F32(out), l1.shape().clone()))
    }

    fn bwd(
        &self,
        q: &Tensor,
        k: &Tensor,
        v: &Tensor,
        _: &Tensor,
        grad: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let (q_shape, kv_shape) = (q.dims2()?, k.dims2()?);
        let grad = grad.contiguous()?;
        let (q, k, v, dy) = (read(q)?, read(k)?, read(v)?, read(&grad)?);
        let (q, k, v, dy) = (&*q, &*k, &*v, &*dy);
        let (q_block, kv_block) = (self.tokens * q_shape.1, self.tokens * kv_shape.1);
        let mut dq = vec![0f32; q.len()];
        let mut dk = vec![0f32; k.len()];
        let mut dv = vec![0f32; v.len()];
        let from = q.chunks(q_block).zip(k.chunks(kv_block)).zip(v.chunks(kv_block)).zip(dy.chunks(q_block));
        let into = dq.chunks_mut(q_block).zip(dk.chunks_mut(kv_block)).zip(dv.chunks_mut(kv_block));
        each(into.zip(from), |(((dq, dk), dv), (((q, k), v), dy))| {
            self.gradients(&Sequence { q, k, v, dy }, dq, dk, dv);
        });
        Ok((Some(tensor(dq, q_shape)?), Some(tensor(dk, kv_shape)?), Some(tensor(dv, kv_shape)?)))
    }
}
