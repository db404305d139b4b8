//! Keys and values of the tokens already read, so that the next token costs one row instead of all.

use crate::{
    error::{Error, Kind, Result},
    matrix::Precision,
    model::Model,
    ops::{Look, Reach, attend, read, tensor},
};
use candle_core::Tensor;

/// What a model remembers of one sequence. Made for one model and used with it alone.
#[derive(Clone, Debug)]
pub struct KvCache {
    layers: Vec<LayerCache>,
    n_tokens: usize,
    capacity: usize,
}

#[derive(Clone, Debug, Default)]
struct LayerCache {
    /// Turned keys, [tokens, kv width].
    keys: Vec<f32>,
    /// Values, [tokens, kv width].
    values: Vec<f32>,
}

impl KvCache {
    /// An empty cache for a model.
    pub fn new(model: &Model) -> Self {
        let config = model.config();
        Self {
            layers: vec![LayerCache::default(); config.num_hidden_layers],
            n_tokens: 0,
            capacity: config.max_position_embeddings,
        }
    }

    /// Tokens read so far.
    pub fn n_tokens(&self) -> usize {
        self.n_tokens
    }

    /// Tokens that may still be read.
    pub fn room(&self) -> usize {
        self.capacity - self.n_tokens
    }

    /// Attention of new rows over everything read so far and themselves; remembers them.
    pub(crate) fn attend(
        &mut self,
        layer: usize,
        (q, k, v): (&Tensor, &Tensor, &Tensor),
        look: &Look,
    ) -> Result<Tensor> {
        let (shape, kv_width) = (q.dims2()?, look.heads.kv_width());
        let (mut q, mut k) = (read(q)?.to_vec(), read(k)?.to_vec());
        look.turn(&mut q, shape.1, self.n_tokens);
        look.turn(&mut k, kv_width, self.n_tokens);
        let Some(memory) = self.layers.get_mut(layer) else {
            return Err(Error::new(Kind::BadInput, "this cache was made for another model"));
        };
        memory.keys.extend_from_slice(&k);
        memory.values.extend_from_slice(&read(v)?);
        let mut out = vec![0f32; q.len()];
        attend(&mut out, &q, (&memory.keys, &memory.values), look, (memory.keys.len() / kv_width, Precision::F32));
        if let Reach::Window(width) = look.reach {
            memory.forget(width * kv_width);
        }
        Ok(tensor(out, shape)?)
    }

    /// Called once all layers have read `n` rows.
    pub(crate) fn advance(&mut self, n: usize) {
        self.n_tokens += n;
    }
}

impl LayerCache {
    /// Keeps the last `n` numbers once twice as many are there, so that each is moved at most once.
    fn forget(&mut self, n: usize) {
        if self.keys.len() >= 2 * n {
            self.keys.drain(..self.keys.len() - n);
            self.values.drain(..self.values.len() - n);
        }
    }
}
