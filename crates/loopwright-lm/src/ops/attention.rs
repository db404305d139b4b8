//! Self-attention with rotary positions and grouped queries (Vaswani et al. 2017; Ainslie et al. 2023).
//!
//! For each head: y = softmax(q kᵀ · scale, masked to what a row may see) v, after turning q and k by their positions.
//! q [batch·tokens, heads·width], k and v [batch·tokens, kv_heads·width], y like q. Scores may be bent below a cap,
//! s ← c·tanh(s/c) (Gemma 2, Gemma Team 2024), and the past may end at a window (Beltagy et al. 2020). Padding stands to
//! the right of a sequence, where no real token of a decoder looks, so only an encoder needs the lengths. The backward
//! pass recomputes the probabilities.

use super::{Rope, read, slice, tensor};
use crate::{
    kernel::{each, softmax, tanh, wide},
    matrix::{Blend, Mat, Precision, multiply_block},
};
use candle_core::{CpuStorage, CustomOp3, Layout, Result, Shape, Tensor};
use std::{ops::Range, sync::Arc};

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

    /// Where the columns of a query head and of its key head begin.
    fn columns(self, head: usize) -> (usize, usize) {
        (head * self.dim, head / (self.heads / self.kv_heads) * self.dim)
    }
}

/// Which rows of its sequence a row looks at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reach {
    /// Itself and all before it.
    Past,
    /// So many, itself the last of them.
    Window(usize),
    /// All, as in an encoder.
    Whole,
}

impl Reach {
    /// The rows that row `at` of `n` sees.
    pub(crate) fn seen(self, at: usize, n: usize) -> Range<usize> {
        match self {
            Self::Past => 0..at + 1,
            Self::Window(width) => (at + 1).saturating_sub(width)..at + 1,
            Self::Whole => 0..n,
        }
    }
}

/// What a layer's attention is like.
#[derive(Clone)]
pub(crate) struct Look {
    pub heads: Heads,
    /// Factor of the scores, mostly 1/√width.
    pub scale: f32,
    /// Bends scores to stay below it.
    pub cap: Option<f32>,
    pub reach: Reach,
    /// None where positions are left out, or stand in the embedding.
    pub rope: Option<Arc<Rope>>,
}

impl Look {
    /// Turns rows of queries or keys by their positions, row 0 being at position `first`.
    pub(crate) fn turn(&self, rows: &mut [f32], width: usize, first: usize) {
        if let Some(rope) = &self.rope {
            wide!(rope.turn(rows, width, first));
        }
    }
}

/// The rows of a batch: sequences of `tokens` rows, of which the first `lengths` are real. Without lengths all count.
#[derive(Clone)]
pub(crate) struct Rows {
    pub tokens: usize,
    pub lengths: Option<Arc<[usize]>>,
    /// Rows, numbered through the batch, at which a text begins: the first of every sequence, and more where a sequence
    /// holds several texts. A row looks at its own text alone, whose first row is at position 0. Without them a sequence is
    /// one text.
    pub texts: Option<Arc<[usize]>>,
}

impl Rows {
    /// The texts among so many rows: where each one begins and ends, and how many of its rows are real.
    fn texts(&self, n_rows: usize) -> Vec<(Range<usize>, usize)> {
        let Some(starts) = &self.texts else {
            let n = n_rows / self.tokens;
            return (0..n).map(|i| (i * self.tokens..(i + 1) * self.tokens, self.length(i))).collect();
        };
        let ends = starts.iter().skip(1).copied().chain([n_rows]);
        starts.iter().zip(ends).map(|(start, end)| (*start..end, end - start)).collect()
    }

    fn length(&self, sequence: usize) -> usize {
        self.lengths.as_ref().and_then(|lengths| lengths.get(sequence)).copied().unwrap_or(self.tokens)
    }
}

/// The rows of each text, to be written.
fn parts<'a>(mut rows: &'a mut [f32], texts: &[(Range<usize>, usize)], width: usize) -> Vec<&'a mut [f32]> {
    let cut = |(text, _): &(Range<usize>, usize)| {
        let (part, rest) = std::mem::take(&mut rows).split_at_mut(text.len() * width);
        rows = rest;
        part
    };
    texts.iter().map(cut).collect()
}

struct Attention {
    look: Look,
    rows: Rows,
    precision: Precision,
}

/// Attention within each of the texts.
pub(crate) fn attention(
    (q, k, v): (&Tensor, &Tensor, &Tensor),
    (look, rows): (&Look, &Rows),
    precision: Precision,
) -> Result<Tensor> {
    q.apply_op3(k, v, Attention { look: look.clone(), rows: rows.clone(), precision })
}

/// Attention of the rows of one text: `q` and `k` are turned already, `n_real` rows count. Writes rows like `q`.
fn attend(out: &mut [f32], q: &[f32], (k, v): (&[f32], &[f32]), look: &Look, (n_real, precision): (usize, Precision)) {
    let (heads, q_width, kv_width) = (look.heads, look.heads.q_width(), look.heads.kv_width());
    let (n_q, n_all) = (q.len() / q_width, k.len() / kv_width);
    // Keys that even the first query does not see are left out altogether.
    let skipped = look.reach.seen(n_all - n_q, n_real).start;
    let (k, v, n_k) = (&k[skipped * kv_width..], &v[skipped * kv_width..], n_all - skipped);
    let mut scores = vec![0f32; n_q * n_k];
    for head in 0..heads.heads {
        let (at, kv_at) = heads.columns(head);
        probabilities(&mut scores, None, (&q[at..], &k[kv_at..]), (look, precision), (n_q, n_k, n_real - skipped));
        let v = Mat::strided(&v[kv_at..], n_k, heads.dim, kv_width);
        multiply_block(&mut out[at..], q_width, Mat::new(&scores, n_q, n_k), v, Blend::SET.at(precision));
    }
}

/// Attention probabilities [n_q, n_k] of one head whose columns begin the slices; the queries are the last rows. Where
/// scores are capped, `slopes` takes the derivative of each capped score by the plain one.
fn probabilities(
    scores: &mut [f32],
    mut slopes: Option<&mut [f32]>,
    (q, k): (&[f32], &[f32]),
    (look, precision): (&Look, Precision),
    (n_q, n_k, n_real): (usize, usize, usize),
) {
    let q = Mat::strided(q, n_q, look.heads.dim, look.heads.q_width());
    let k = Mat::strided(k, n_k, look.heads.dim, look.heads.kv_width());
    multiply_block(scores, n_k, q, k.t(), Blend::SET.scaled(look.scale).at(precision));
    wide!({
        for (i, row) in scores.chunks_exact_mut(n_k).enumerate() {
            let seen = look.reach.seen(n_k - n_q + i, n_real);
            if let Some(cap) = look.cap {
                let slopes = slopes.as_deref_mut().map(|slopes| &mut slopes[i * n_k..][seen.clone()]);
                bend(&mut row[seen.clone()], slopes, cap);
            }
            row[..seen.start].fill(0.0);
            row[seen.end..].fill(0.0);
            softmax(&mut row[seen]);
        }
    });
}

/// s ← c·tanh(s/c), with the derivative 1 − tanh²(s/c) if it is asked for.
#[inline(always)]
pub(crate) fn bend(scores: &mut [f32], slopes: Option<&mut [f32]>, cap: f32) {
    for score in scores.iter_mut() {
        *score = tanh(*score / cap);
    }
    if let Some(slopes) = slopes {
        slopes.iter_mut().zip(&*scores).for_each(|(slope, t)| *slope = 1.0 - t * t);
    }
    scores.iter_mut().for_each(|score| *score *= cap);
}

/// A copy of the rows of one text, turned by their positions.
fn turned(rows: &[f32], width: usize, look: &Look) -> Vec<f32> {
    let mut rows = rows.to_vec();
    look.turn(&mut rows, width, 0);
    rows
}

/// What one text brings to the backward pass.
struct Text<'a> {
    q: &'a [f32],
    k: &'a [f32],
    v: &'a [f32],
    dy: &'a [f32],
    n_real: usize,
}

impl Attention {
    /// With P the probabilities: dV = Pᵀ dY, dP = dY Vᵀ, dS = P∘(dP − Σ P∘dP), dQ = s·dS K, dK = s·dSᵀ Q; under a cap dS
    /// is multiplied by the cap's slope.
    fn gradients(&self, from: &Text, dq: &mut [f32], dk: &mut [f32], dv: &mut [f32]) {
        let (look, heads) = (&self.look, self.look.heads);
        let (q_width, kv_width, dim) = (heads.q_width(), heads.kv_width(), heads.dim);
        let n = from.q.len() / q_width;
        let (q, k) = (turned(from.q, q_width, look), turned(from.k, kv_width, look));
        let mut p = vec![0f32; n * n];
        let mut dp = vec![0f32; n * n];
        let mut slopes = look.cap.map(|_| vec![0f32; n * n]);
        let set = Blend::SET.at(self.precision);
        let scaled = |keep| Blend { keep, ..set.scaled(look.scale) };
        for head in 0..heads.heads {
            let (at, kv_at) = heads.columns(head);
            let dy = Mat::strided(&from.dy[at..], n, dim, q_width);
            probabilities(
                &mut p,
                slopes.as_deref_mut(),
                (&q[at..], &k[kv_at..]),
                (look, self.precision),
                (n, n, from.n_real),
            );
            multiply_block(&mut dv[kv_at..], kv_width, Mat::new(&p, n, n).t(), dy, Blend::ADD.at(self.precision));
            multiply_block(&mut dp, n, dy, Mat::strided(&from.v[kv_at..], n, dim, kv_width).t(), set);
            wide!(softmax_gradient(&p, &mut dp, n));
            if let Some(slopes) = &slopes {
                wide!(dp.iter_mut().zip(slopes).for_each(|(ds, slope)| *ds *= slope));
            }
            let ds = Mat::new(&dp, n, n);
            let keys = Mat::strided(&k[kv_at..], n, dim, kv_width);
            multiply_block(&mut dq[at..], q_width, ds, keys, scaled(0.0));
            let queries = Mat::strided(&q[at..], n, dim, q_width);
            multiply_block(&mut dk[kv_at..], kv_width, ds.t(), queries, scaled(1.0));
        }
        if let Some(rope) = &look.rope {
            wide!({
                rope.turn_back(dq, q_width, 0);
                rope.turn_back(dk, kv_width, 0);
            });
        }
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
        let (q_width, kv_width) = (self.look.heads.q_width(), self.look.heads.kv_width());
        let mut out = vec![0f32; q.len()];
        let texts = self.rows.texts(q.len() / q_width);
        each(parts(&mut out, &texts, q_width).into_iter().zip(&texts), |(out, (text, n_real))| {
            let of = |rows: &[f32], width| turned(&rows[text.start * width..text.end * width], width, &self.look);
            let v = &v[text.start * kv_width..text.end * kv_width];
            attend(out, &of(q, q_width), (&of(k, kv_width), v), &self.look, (*n_real, self.precision));
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
        let mut dq = vec![0f32; q.len()];
        let mut dk = vec![0f32; k.len()];
        let mut dv = vec![0f32; v.len()];
        let (q_width, kv_width, texts) = (q_shape.1, kv_shape.1, self.rows.texts(q_shape.0));
        let into = parts(&mut dq, &texts, q_width).into_iter().zip(parts(&mut dk, &texts, kv_width));
        let into = into.zip(parts(&mut dv, &texts, kv_width)).zip(&texts);
        each(into, |(((dq, dk), dv), (text, n_real))| {
            let of_q = text.start * q_width..text.end * q_width;
            let of_kv = text.start * kv_width..text.end * kv_width;
            let (k, v) = (&k[of_kv.clone()], &v[of_kv]);
            self.gradients(&Text { q: &q[of_q.clone()], k, v, dy: &dy[of_q], n_real: *n_real }, dq, dk, dv);
        });
        Ok((Some(tensor(dq, q_shape)?), Some(tensor(dk, kv_shape)?), Some(tensor(dv, kv_shape)?)))
    }
}
