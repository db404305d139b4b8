//! One block: attention and a feed-forward part, each added to the rows, with norms where the architecture has them.
//!
//! With h [batch·tokens, hidden]: h += o(attention(q(n), k(n), v(n))) for n = norm(h), then h += down(f(gate(n))·up(n)) for
//! n = norm(h) (Llama, Touvron et al. 2023). Gemma 2 norms what is added, too; BERT norms after adding and not before, and
//! its feed-forward part has no gate. Matrices act on the flattened rows.

use crate::{
    error::Result,
    layers::{Linear, Norm, Pass},
    ops::{self, Activation, Look, Rows},
    steady::{self, Segment},
};
use candle_core::Tensor;

/// A block's weights.
pub(crate) struct Block {
    pub look: Look,
    pub q: Linear,
    pub k: Linear,
    pub v: Linear,
    pub o: Linear,
    /// Norms of each head of the queries and of the keys, width of a head.
    pub head_norms: Option<(Norm, Norm)>,
    /// None where the feed-forward part has no gate.
    pub gate: Option<Linear>,
    pub up: Linear,
    pub down: Linear,
    pub activation: Activation,
    pub attention_norms: Norms,
    pub feed_norms: Norms,
}

/// The norms around one addition.
#[derive(Default)]
pub(crate) struct Norms {
    /// Of what the part reads.
    pub before: Option<Norm>,
    /// Of what it adds.
    pub update: Option<Norm>,
    /// Of the sum.
    pub after: Option<Norm>,
}

impl Block {
    /// Rows after the block; with `keep` only those (numbered through the batch), the others being computed as far as the
    /// kept ones look at them. Its pass is that of the kept rows. Segments stand for the rows of sequences with caches.
    pub(crate) fn forward(
        &self,
        pass: Pass,
        hidden: &Tensor,
        rows: &Rows,
        keep: Option<(&[u32], Pass)>,
        segments: Option<(&mut [Segment], usize)>,
    ) -> Result<Tensor> {
        let mixed = self.mix(pass, hidden, rows, segments)?;
        match keep {
            None => self.feed_forward(pass, &mixed, hidden),
            Some((keep, pass)) => {
                let kept = |rows: &Tensor| ops::gather(rows, keep.to_vec());
                self.feed_forward(pass, &kept(&mixed)?, &kept(hidden)?)
            }
        }
    }

    /// Keys and values of rows alone, for the caches of their segments, where nothing follows the block.
    pub(crate) fn remember(&self, pass: Pass, hidden: &Tensor, segments: &mut [Segment], layer: usize) -> Result<()> {
        let n = self.attention_norms.read(pass, hidden)?;
        let [mut k, v] = pass.linears([&self.k, &self.v], &n)?;
        if let Some((_, k_norm)) = &self.head_norms {
            k = self.norm_heads(pass, k_norm, &k)?;
        }
        steady::remember(segments, layer, (&k, &v), &self.look)
    }

    /// The heads' mixed values, [rows, heads·width].
    fn mix(
        &self,
        pass: Pass,
        hidden: &Tensor,
        rows: &Rows,
        segments: Option<(&mut [Segment], usize)>,
    ) -> Result<Tensor> {
        let n = self.attention_norms.read(pass, hidden)?;
        let [mut q, mut k, v] = pass.linears([&self.q, &self.k, &self.v], &n)?;
        if let Some((q_norm, k_norm)) = &self.head_norms {
            q = self.norm_heads(pass, q_norm, &q)?;
            k = self.norm_heads(pass, k_norm, &k)?;
        }
        match segments {
            Some((segments, layer)) => steady::attend(segments, layer, (&q, &k, &v), &self.look),
            None => Ok(ops::attention((&q, &k, &v), (&self.look, rows), pass.precision)?),
        }
    }

    /// The rest of the block: each row by itself.
    fn feed_forward(&self, pass: Pass, mixed: &Tensor, residual: &Tensor) -> Result<Tensor> {
        let hidden = self.attention_norms.add(pass, &self.o, mixed, residual)?;
        let n = self.feed_norms.read(pass, &hidden)?;
        let inner = match &self.gate {
            Some(gate) => {
                let [gate, up] = pass.linears([gate, &self.up], &n)?;
                ops::gate(&gate, &up, self.activation)?
            }
            None => ops::activate(&pass.linear(&self.up, &n)?, self.activation)?,
        };
        self.feed_norms.add(pass, &self.down, &inner, &hidden)
    }

    /// [rows, heads·width] as [rows·heads, width], normed, and back.
    fn norm_heads(&self, pass: Pass, norm: &Norm, x: &Tensor) -> Result<Tensor> {
        let (rows, width) = x.dims2()?;
        let dim = self.look.heads.dim;
        let heads = x.reshape((rows * width / dim, dim))?;
        Ok(pass.norm(norm, &heads)?.reshape((rows, width))?)
    }
}

impl Norms {
    fn read(&self, pass: Pass, hidden: &Tensor) -> Result<Tensor> {
        self.before.as_ref().map_or_else(|| Ok(hidden.clone()), |norm| pass.norm(norm, hidden))
    }

    /// What a map makes of x, added to the residual.
    fn add(&self, pass: Pass, map: &Linear, x: &Tensor, residual: &Tensor) -> Result<Tensor> {
        let sum = match &self.update {
            None => pass.linear_add(map, x, residual)?,
            Some(norm) => (residual + pass.norm(norm, &pass.linear(map, x)?)?)?,
        };
        self.after.as_ref().map_or_else(|| Ok(sum.clone()), |norm| pass.norm(norm, &sum))
    }
}
