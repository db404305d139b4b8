//! The decoder: embedding, blocks of attention and gated feed-forward, norm, output head.
//!
//! For each block, with h [batch·tokens, hidden]: h += o(attention(q(n), k(n), v(n))) for n = norm(h), then
//! h += down(silu(gate(n))·up(n)) for n = norm(h) (Llama, Touvron et al. 2023). Matrices act on the flattened rows.

use crate::{
    batch::Batch,
    cache::KvCache,
    config::ModelConfig,
    error::{Error, Kind, Result},
    init,
    lora::{Adapter, LoraPair},
    ops::{self, Dropout, Heads, LoraWeights, Rope},
    weights::{self, WeightFile},
};
use candle_core::{Tensor, Var};
use std::{path::Path, sync::Arc};

/// File name of the weights in a model's folder.
pub const WEIGHTS_FILE: &str = "model.safetensors";

/// The linear maps of a block, in the order of [`Layer::maps`].
pub(crate) const MAPS: [(&str, &str); 7] = [
    ("q_proj", "self_attn"),
    ("k_proj", "self_attn"),
    ("v_proj", "self_attn"),
    ("o_proj", "self_attn"),
    ("gate_proj", "mlp"),
    ("up_proj", "mlp"),
    ("down_proj", "mlp"),
];
const Q: usize = 0;
const K: usize = 1;
const V: usize = 2;
const O: usize = 3;
const GATE: usize = 4;
const UP: usize = 5;
const DOWN: usize = 6;

/// A decoder with its weights, and perhaps an adapter on them. Clones share both.
#[derive(Clone, Debug)]
pub struct Model {
    base: Arc<Base>,
    adapter: Option<Adapter>,
}

struct Base {
    config: ModelConfig,
    embedding: Var,
    layers: Vec<Layer>,
    norm: Var,
    /// Absent where the embedding serves as head.
    head: Option<Var>,
    rope: Arc<Rope>,
}

struct Layer {
    input_norm: Var,
    maps: [Var; 7],
    post_norm: Var,
}

impl std::fmt::Debug for Base {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Base").field("config", &self.config).finish_non_exhaustive()
    }
}

/// Path of a linear map, e.g. `model.layers.0.self_attn.q_proj`.
pub(crate) fn map_path(layer: usize, map: usize) -> String {
    let (name, part) = MAPS[map];
    format!("model.layers.{layer}.{part}.{name}")
}

/// Shape [out, in] of a linear map of every block.
pub(crate) fn map_shape(config: &ModelConfig, map: usize) -> [usize; 2] {
    let (hidden, inner) = (config.hidden_size, config.intermediate_size);
    let q = config.num_attention_heads * config.head_width();
    let kv = config.num_key_value_heads * config.head_width();
    match map {
        Q => [q, hidden],
        K | V => [kv, hidden],
        O => [hidden, q],
        DOWN => [hidden, inner],
        _ => [inner, hidden],
    }
}

/// How a forward pass goes: for an answer, or for gradients.
#[derive(Clone, Copy)]
enum Mode {
    /// No graph is kept.
    Answer,
    /// Trainable weights are tracked; dropout takes its masks from this seed.
    Learn(u64),
}

impl Model {
    /// Fresh weights (see [`crate::init`]); the same seed gives the same bits.
    pub fn init(config: &ModelConfig, seed: u64) -> Result<Self> {
        config.check()?;
        let mut source = init::Source::new(config, seed);
        Self::build(config, |name, shape| source.var(name, shape))
    }

    /// Reads `config.json` and `model.safetensors`. Refuses missing, misshapen, unknown and non-f32 tensors by name.
    pub fn load(dir: &Path) -> Result<Self> {
        let config = ModelConfig::load(dir)?;
        let mut file = WeightFile::read(&dir.join(WEIGHTS_FILE))?;
        let model = Self::build(&config, |name, shape| file.take_var(name, shape))?;
        file.finish()?;
        Ok(model)
    }

    /// Every parameter is asked of `var` by its published name and shape, in a fixed order.
    fn build(config: &ModelConfig, mut var: impl FnMut(&str, &[usize]) -> Result<Var>) -> Result<Self> {
        let (hidden, vocabulary) = (config.hidden_size, config.vocab_size);
        let embedding = var("model.embed_tokens.weight", &[vocabulary, hidden])?;
        let mut layers = Vec::with_capacity(config.num_hidden_layers);
        for layer in 0..config.num_hidden_layers {
            let mut map = |map: usize| var(&format!("{}.weight", map_path(layer, map)), &map_shape(config, map));
            let maps = [map(Q)?, map(K)?, map(V)?, map(O)?, map(GATE)?, map(UP)?, map(DOWN)?];
            let input_norm = var(&format!("model.layers.{layer}.input_layernorm.weight"), &[hidden])?;
            let post_norm = var(&format!("model.layers.{layer}.post_attention_layernorm.weight"), &[hidden])?;
            layers.push(Layer { input_norm, maps, post_norm });
        }
        let norm = var("model.norm.weight", &[hidden])?;
        let head = (!config.tie_word_embeddings).then(|| var("lm_head.weight", &[vocabulary, hidden])).transpose()?;
        let rope = Arc::new(Rope::new(config.head_width(), config.max_position_embeddings, config.rope_theta));
        let config = config.clone();
        Ok(Self { base: Arc::new(Base { config, embedding, layers, norm, head, rope }), adapter: None })
    }

    /// Writes `config.json` and `model.safetensors` of the base into an existing folder; the same weights give the same
    /// bytes. An adapter is saved by itself.
    pub fn save(&self, dir: &Path) -> Result<()> {
        self.config().save(dir)?;
        let tensors: Vec<_> =
            self.named_parameters().into_iter().map(|(name, var)| (name, var.as_detached_tensor())).collect();
        weights::write(&dir.join(WEIGHTS_FILE), &tensors)
    }

    /// The model's shape.
    pub fn config(&self) -> &ModelConfig {
        &self.base.config
    }

    /// Numbers in the base's weights.
    pub fn n_parameters(&self) -> u64 {
        self.named_parameters().iter().map(|(_, var)| var.elem_count() as u64).sum()
    }

    /// The base's weights under their published names.
    pub fn named_parameters(&self) -> Vec<(String, Var)> {
        let base = &self.base;
        let mut named = vec![("model.embed_tokens.weight".to_owned(), base.embedding.clone())];
        for (i, layer) in base.layers.iter().enumerate() {
            named.extend(
                layer.maps.iter().enumerate().map(|(map, var)| (format!("{}.weight", map_path(i, map)), var.clone())),
            );
            named.push((format!("model.layers.{i}.input_layernorm.weight"), layer.input_norm.clone()));
            named.push((format!("model.layers.{i}.post_attention_layernorm.weight"), layer.post_norm.clone()));
        }
        named.push(("model.norm.weight".to_owned(), base.norm.clone()));
        named.extend(base.head.iter().map(|head| ("lm_head.weight".to_owned(), head.clone())));
        named
    }

    /// What training changes: the adapter's weights if there is one, else the base's.
    pub fn trainable_parameters(&self) -> Vec<(String, Var)> {
        self.adapter.as_ref().map_or_else(|| self.named_parameters(), Adapter::named_parameters)
    }

    /// The same base under an adapter, which must have been made or loaded for a model of this shape.
    pub fn with_adapter(&self, adapter: &Adapter) -> Self {
        Self { base: Arc::clone(&self.base), adapter: Some(adapter.clone()) }
    }

    /// The base alone.
    pub fn without_adapter(&self) -> Self {
        Self { base: Arc::clone(&self.base), adapter: None }
    }

    /// The adapter, if any.
    pub fn adapter(&self) -> Option<&Adapter> {
        self.adapter.as_ref()
    }

    /// Logits [batch, tokens, vocabulary] of tokens [batch, tokens], without gradients. With a cache, the batch is one
    /// sequence that goes on where the cache ends.
    pub fn forward(&self, tokens: &Tensor, cache: Option<&mut KvCache>) -> Result<Tensor> {
        let (batch, n_tokens) = tokens.dims2()?;
        let hidden = self.hidden(tokens, cache, None, Mode::Answer)?;
        let logits = self.logits(&self.normed(&hidden, Mode::Answer)?, Mode::Answer)?;
        Ok(logits.reshape((batch, n_tokens, self.config().vocab_size))?)
    }

    /// The same logits with gradients to [`Model::trainable_parameters`]. Dropout takes its masks from the seed.
    pub fn forward_train(&self, tokens: &Tensor, dropout_seed: u64) -> Result<Tensor> {
        let (batch, n_tokens) = tokens.dims2()?;
        let mode = Mode::Learn(dropout_seed);
        let logits = self.logits(&self.normed(&self.hidden(tokens, None, None, mode)?, mode)?, mode)?;
        Ok(logits.reshape((batch, n_tokens, self.config().vocab_size))?)
    }

    /// Mean cross entropy over the batch's mask, with gradients to [`Model::trainable_parameters`]. Equal to
    /// [`crate::loss::cross_entropy`] of [`Model::forward_train`] where no dropout is on the head, but computes logits
    /// only where the mask counts.
    pub fn loss(&self, batch: &Batch, dropout_seed: u64) -> Result<Tensor> {
        self.share_of_loss(batch, batch.weight()?, Mode::Learn(dropout_seed))
    }

    /// The part of a mean over several batches, whose weights are `total` together, that comes from this one: their
    /// losses, and their gradients, add up to those of all.
    pub fn loss_in(&self, batch: &Batch, total: f32, dropout_seed: u64) -> Result<Tensor> {
        self.share_of_loss(batch, total, Mode::Learn(dropout_seed))
    }

    /// The same mean without dropout and without gradients.
    pub fn evaluate(&self, batch: &Batch) -> Result<f32> {
        Ok(self.share_of_loss(batch, batch.weight()?, Mode::Answer)?.to_scalar::<f32>()?)
    }

    fn share_of_loss(&self, batch: &Batch, total: f32, mode: Mode) -> Result<Tensor> {
        let mask = batch.mask.flatten_all()?.to_vec1::<f32>()?;
        let targets = batch.targets.flatten_all()?.to_vec1::<u32>()?;
        if mask.iter().all(|weight| *weight == 0.0) {
            return Err(Error::new(Kind::BadInput, "a batch in which no position counts"));
        }
        let rows: Vec<u32> = (0u32..).zip(&mask).filter(|(_, weight)| **weight != 0.0).map(|(row, _)| row).collect();
        let ids = rows.iter().map(|row| targets[*row as usize]).collect();
        let shares = rows.iter().map(|row| mask[*row as usize] / total).collect();
        let keep = (rows.len() < mask.len()).then_some(rows.as_slice());
        let hidden = self.normed(&self.hidden(&batch.tokens, None, keep, mode)?, mode)?;
        let loss = match self.head_pair() {
            Some(_) => ops::cross_entropy(&self.logits(&hidden, mode)?, ids, shares)?,
            None => ops::tied_cross_entropy(&hidden, &self.weight(self.head(), mode), ids, shares)?,
        };
        let value = loss.to_scalar::<f32>()?;
        if !value.is_finite() {
            return Err(Error::new(Kind::NotFinite, format!("the loss is {value}")));
        }
        Ok(loss)
    }

    /// Logits of chosen rows (numbered through the batch) of right-padded sequences, [rows, vocabulary].
    pub(crate) fn logits_at(&self, tokens: &Tensor, rows: &[u32]) -> Result<Tensor> {
        let hidden = self.hidden(tokens, None, Some(rows), Mode::Answer)?;
        self.logits(&self.normed(&hidden, Mode::Answer)?, Mode::Answer)
    }

    /// Logits [vocabulary] after the last of some new tokens of a cached sequence.
    pub(crate) fn next_logits(&self, tokens: &[u32], cache: &mut KvCache) -> Result<Vec<f32>> {
        let last = [tokens.len().saturating_sub(1) as u32];
        let tokens = Tensor::new(tokens, &candle_core::Device::Cpu)?.unsqueeze(0)?;
        let keep = (last != [0]).then_some(last.as_slice());
        let hidden = self.hidden(&tokens, Some(cache), keep, Mode::Answer)?;
        Ok(self.logits(&self.normed(&hidden, Mode::Answer)?, Mode::Answer)?.flatten_all()?.to_vec1()?)
    }

    /// Mean of the last hidden states of a text, scaled to length 1: [hidden].
    pub fn embed(&self, tokens: &[u32]) -> Result<Vec<f32>> {
        let tokens = Tensor::new(tokens, &candle_core::Device::Cpu)?.unsqueeze(0)?;
        let rows = self.normed(&self.hidden(&tokens, None, None, Mode::Answer)?, Mode::Answer)?.to_vec2::<f32>()?;
        let mut mean = vec![0f32; self.config().hidden_size];
        rows.iter().for_each(|row| mean.iter_mut().zip(row).for_each(|(sum, x)| *sum += x));
        let length = mean.iter().map(|x| x * x).sum::<f32>().sqrt().max(f32::MIN_POSITIVE);
        mean.iter_mut().for_each(|x| *x /= length);
        Ok(mean)
    }

    /// Rows [batch·tokens, hidden] after the last block, before the last norm; or those of them to `keep`, where the last
    /// block computes the others only as far as the kept ones look at them.
    fn hidden(
        &self,
        tokens: &Tensor,
        mut cache: Option<&mut KvCache>,
        keep: Option<&[u32]>,
        mode: Mode,
    ) -> Result<Tensor> {
        let (batch, n_tokens) = tokens.dims2()?;
        self.check_input(batch, n_tokens, cache.as_deref())?;
        let ids = tokens.flatten_all()?.to_vec1::<u32>()?;
        if let Some(id) = ids.iter().find(|id| **id as usize >= self.config().vocab_size) {
            let message = format!("token {id} is outside the vocabulary of {}", self.config().vocab_size);
            return Err(Error::new(Kind::BadInput, message));
        }
        let mut hidden = ops::gather(&self.weight(&self.base.embedding, mode), ids)?;
        for i in 0..self.base.layers.len() {
            let mut mixed = self.mix(i, &hidden, n_tokens, cache.as_deref_mut(), mode)?;
            if let Some(keep) = keep.filter(|_| i + 1 == self.base.layers.len()) {
                mixed = ops::gather(&mixed, keep.to_vec())?;
                hidden = ops::gather(&hidden, keep.to_vec())?;
            }
            hidden = self.feed_forward(i, &mixed, &hidden, mode)?;
        }
        if let Some(cache) = cache {
            cache.advance(n_tokens);
        }
        Ok(hidden)
    }

    fn check_input(&self, batch: usize, n_tokens: usize, cache: Option<&KvCache>) -> Result<()> {
        if batch == 0 || n_tokens == 0 {
            return Err(Error::new(Kind::BadInput, format!("expected tokens, got shape [{batch}, {n_tokens}]")));
        }
        if cache.is_some() && batch != 1 {
            return Err(Error::new(Kind::BadInput, format!("a cache holds one sequence, got {batch}")));
        }
        let (limit, read) = (self.config().max_position_embeddings, cache.map_or(0, KvCache::n_tokens));
        if read + n_tokens > limit {
            let message = format!("{} tokens are more than the model's {limit} positions", read + n_tokens);
            return Err(Error::new(Kind::TooLong, message));
        }
        Ok(())
    }

    /// The heads' mixed values of a block.
    fn mix(
        &self,
        i: usize,
        hidden: &Tensor,
        n_tokens: usize,
        cache: Option<&mut KvCache>,
        mode: Mode,
    ) -> Result<Tensor> {
        let heads = Heads {
            heads: self.config().num_attention_heads,
            kv_heads: self.config().num_key_value_heads,
            dim: self.config().head_width(),
        };
        let gain = self.weight(&self.base.layers[i].input_norm, mode);
        let n = ops::rms_norm(hidden, &gain, self.config().rms_norm_eps)?;
        let (q, k, v) = (self.map(i, Q, &n, mode)?, self.map(i, K, &n, mode)?, self.map(i, V, &n, mode)?);
        match cache {
            Some(cache) => cache.attend(i, (&q, &k, &v), heads, &self.base.rope),
            None => Ok(ops::attention((&q, &k, &v), heads, n_tokens, &self.base.rope)?),
        }
    }

    /// The rest of a block: each row by itself.
    fn feed_forward(&self, i: usize, mixed: &Tensor, residual: &Tensor, mode: Mode) -> Result<Tensor> {
        let hidden = self.map_add(i, O, mixed, residual, mode)?;
        let gain = self.weight(&self.base.layers[i].post_norm, mode);
        let n = ops::rms_norm(&hidden, &gain, self.config().rms_norm_eps)?;
        let gated = ops::silu_gate(&self.map(i, GATE, &n, mode)?, &self.map(i, UP, &n, mode)?)?;
        self.map_add(i, DOWN, &gated, &hidden, mode)
    }

    fn normed(&self, hidden: &Tensor, mode: Mode) -> Result<Tensor> {
        Ok(ops::rms_norm(hidden, &self.weight(&self.base.norm, mode), self.config().rms_norm_eps)?)
    }

    fn logits(&self, hidden: &Tensor, mode: Mode) -> Result<Tensor> {
        let weight = self.weight(self.head(), mode);
        match self.head_pair() {
            None => Ok(ops::linear(hidden, &weight)?),
            Some(pair) => self.with_pair(hidden, weight, pair, (u64::MAX, mode)),
        }
    }

    /// One linear map of a block, with its low-rank update if the adapter has one.
    fn map(&self, layer: usize, map: usize, x: &Tensor, mode: Mode) -> Result<Tensor> {
        let weight = self.weight(&self.base.layers[layer].maps[map], mode);
        match self.adapter.as_ref().and_then(|adapter| adapter.pair(layer, map)) {
            None => Ok(ops::linear(x, &weight)?),
            Some(pair) => self.with_pair(x, weight, pair, ((layer * MAPS.len() + map) as u64, mode)),
        }
    }

    /// The same, added to a residual.
    fn map_add(&self, layer: usize, map: usize, x: &Tensor, residual: &Tensor, mode: Mode) -> Result<Tensor> {
        match self.adapter.as_ref().and_then(|adapter| adapter.pair(layer, map)) {
            None => {
                let weight = self.weight(&self.base.layers[layer].maps[map], mode);
                Ok(ops::linear_add(x, &weight, residual)?)
            }
            Some(_) => Ok((residual + self.map(layer, map, x, mode)?)?),
        }
    }

    fn with_pair(&self, x: &Tensor, weight: Tensor, pair: &LoraPair, (place, mode): (u64, Mode)) -> Result<Tensor> {
        let config = self.adapter.as_ref().map(Adapter::config);
        let scale = config.map_or(0.0, |config| config.alpha / config.r as f64) as f32;
        let share = config.map_or(0.0, |config| config.dropout) as f32;
        let (a, b, dropout) = match mode {
            Mode::Answer => (pair.a.as_detached_tensor(), pair.b.as_detached_tensor(), None),
            Mode::Learn(seed) => {
                let dropout = (share > 0.0).then(|| Dropout { share, key: ops::mix(seed ^ ops::mix(place)) });
                (pair.a.as_tensor().clone(), pair.b.as_tensor().clone(), dropout)
            }
        };
        Ok(ops::lora_linear(x, &a, &b, LoraWeights { weight, scale, dropout })?)
    }

    /// A base weight: tracked only while the base itself learns.
    fn weight(&self, var: &Var, mode: Mode) -> Tensor {
        match mode {
            Mode::Learn(_) if self.adapter.is_none() => var.as_tensor().clone(),
            _ => var.as_detached_tensor(),
        }
    }

    fn head(&self) -> &Var {
        self.base.head.as_ref().unwrap_or(&self.base.embedding)
    }

    fn head_pair(&self) -> Option<&LoraPair> {
        self.adapter.as_ref().and_then(Adapter::head)
    }
}
