//! A model: its weights, perhaps under an adapter, and what can be asked of it.

mod classes;
mod folder;
mod holding;
mod learn;
mod likelihood;
mod packing;
mod similarity;
mod step;

pub(crate) use folder::config_of_classes;

use crate::{
    architecture::{self, Architecture},
    body::{self, Body, Built, Head, Place, one_sequence},
    cache::KvCache,
    config::{CONFIG_FILE, ModelConfig},
    error::{Error, Kind, Result},
    gguf,
    held::Matrix,
    init,
    layers::{Adapters, Linear, Mode, Pass},
    lora::Adapter,
    matrix::Precision,
    merge,
    ops::{self, Rows},
    packed::{Bits, Packed},
    steady::Segment,
    weights::{self, WEIGHTS_FILE, WeightFile},
};
use candle_core::{Device, Tensor, Var};
use std::{path::Path, sync::Arc};

/// A model with its weights, and perhaps an adapter on them. Clones share both.
#[derive(Clone, Debug)]
pub struct Model {
    base: Arc<Base>,
    adapter: Option<Adapter>,
    precision: Precision,
}

struct Base {
    architecture: Architecture,
    /// The `config.json` that is written beside the weights.
    config_json: Vec<u8>,
    body: Body,
    parameters: Vec<(String, Var)>,
    places: Vec<Place>,
    /// Frozen matrices in few bits, which are not among the parameters.
    packed: Vec<(String, Arc<Packed>)>,
    /// Matrices held for answers, which are not among them either.
    held: Vec<Arc<Matrix>>,
}

impl std::fmt::Debug for Base {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Base").field("architecture", &self.architecture).finish_non_exhaustive()
    }
}

/// The rows that a forward pass reads.
#[derive(Default)]
struct Input<'a> {
    /// Rows to go on with after the last block's attention, numbered through the batch; all without.
    keep: Option<&'a [u32]>,
    /// Real tokens of each sequence; all without.
    lengths: Option<Arc<[usize]>>,
    /// Rows at which a text begins, numbered through the batch; each sequence is one text without.
    texts: Option<Arc<[usize]>>,
}

impl Model {
    /// Fresh weights (see [`crate::init`]); the same seed gives the same bits.
    pub fn init(config: &ModelConfig, seed: u64) -> Result<Self> {
        Self::fresh(config.resolve()?, config.to_json()?, seed)
    }

    /// Fresh weights for a `config.json` of any family, such as [`encoder_config`](crate::encoder_config) makes.
    pub fn init_family(config: &serde_json::Value, seed: u64) -> Result<Self> {
        Self::fresh(Architecture::from_json(config)?, folder::written(config)?, seed)
    }

    fn fresh(architecture: Architecture, config_json: Vec<u8>, seed: u64) -> Result<Self> {
        let mut source = init::Source::new(&architecture, seed);
        let built = body::build(&architecture, &mut |name, shape| source.var(name, shape))?;
        Ok(Self::new(architecture, config_json, built))
    }

    /// Reads `config.json` and the weights, in `model.safetensors`, in the files that `model.safetensors.index.json` names, or in
    /// `model.gguf`. Numbers in f32, bf16 and f16 become f32. Refuses configurations by key, and missing, misshapen and unknown
    /// tensors by name.
    pub fn load(dir: &Path) -> Result<Self> {
        Self::load_ending(dir, None, None)
    }

    /// The same, where one more token ends an answer, and frozen matrices are held in few bits.
    pub(crate) fn load_ending(dir: &Path, end: Option<u32>, bits: Option<Bits>) -> Result<Self> {
        let (mut architecture, value, bytes) = architecture::read(dir)?;
        architecture.end_with(end);
        if let Some(path) = gguf::in_folder(dir) {
            let config = folder::settled_value(value, &architecture)?;
            return Self::load_gguf_beside(&path, (architecture, config), bits);
        }
        let mut file = WeightFile::read_folder(dir)?;
        folder::leave_aside(&architecture, &mut file);
        let built = body::build_packed(&architecture, bits, &mut |name, shape| file.take_var(name, shape))?;
        let (name, embedding) = &built.parameters[0];
        folder::check_tied_head(&architecture, (name, embedding.dims(), &ops::read(embedding)?), &mut file)?;
        file.finish()?;
        let config_json = folder::settled_config(value, bytes, &architecture)?;
        Ok(Self::new(architecture, config_json, built))
    }

    pub(crate) fn new(architecture: Architecture, config_json: Vec<u8>, built: Built) -> Self {
        let Built { body, parameters, places, packed, held } = built;
        Self {
            base: Arc::new(Base { architecture, config_json, body, parameters, places, packed, held }),
            adapter: None,
            precision: Precision::F32,
        }
    }

    /// Writes `config.json` and `model.safetensors` of the base into an existing folder, in f32; the same weights give
    /// the same bytes. An adapter is saved by itself.
    pub fn save(&self, dir: &Path) -> Result<()> {
        self.refuse_packed("saved")?;
        self.refuse_held("saved")?;
        weights::write_file(&dir.join(CONFIG_FILE), &self.base.config_json)?;
        let tensors: Vec<_> =
            self.base.parameters.iter().map(|(name, var)| (name.clone(), var.as_detached_tensor())).collect();
        weights::write(&dir.join(WEIGHTS_FILE), &tensors)
    }

    /// The model's shape.
    pub fn config(&self) -> &Architecture {
        &self.base.architecture
    }

    /// Numbers in the base's weights.
    pub fn n_parameters(&self) -> u64 {
        let held = self.base.held.iter().map(|matrix| matrix.n_numbers() as u64).sum::<u64>();
        let full = self.base.parameters.iter().map(|(_, var)| var.elem_count() as u64).sum::<u64>();
        full + self.n_packed() + held
    }

    /// The base's weights under their published names, but for matrices that are held in few bits.
    pub fn named_parameters(&self) -> Vec<(String, Var)> {
        self.base.parameters.clone()
    }

    /// What training changes: the adapter's weights if there is one, else the base's.
    pub fn trainable_parameters(&self) -> Vec<(String, Var)> {
        self.adapter.as_ref().map_or_else(|| self.named_parameters(), Adapter::named_parameters)
    }

    /// The same base under an adapter, which must have been made or loaded for a model of this shape.
    pub fn with_adapter(&self, adapter: &Adapter) -> Self {
        Self { adapter: Some(adapter.clone()), ..self.clone() }
    }

    /// The base alone.
    pub fn without_adapter(&self) -> Self {
        Self { adapter: None, ..self.clone() }
    }

    /// The same weights, multiplied in this precision.
    pub fn with_precision(&self, precision: Precision) -> Self {
        Self { precision, ..self.clone() }
    }

    /// How exact its products are; those of f32 unless asked for otherwise.
    pub fn precision(&self) -> Precision {
        self.precision
    }

    /// The adapter, if any.
    pub fn adapter(&self) -> Option<&Adapter> {
        self.adapter.as_ref()
    }

    /// A base of its own that has the adapter worked into its weights, W + s·B A, as for an export. Its logits are those
    /// of the adapted model up to rounding. Where the adapter changes a head that is tied to the embedding, the merged
    /// model has a head of its own.
    pub fn merged(&self) -> Result<Self> {
        let Some(adapter) = &self.adapter else { return Ok(self.clone()) };
        self.refuse_packed("merged")?;
        self.refuse_held("merged")?;
        let mut architecture = self.base.architecture.clone();
        let mut config_json = self.base.config_json.clone();
        if architecture.tie_word_embeddings && adapter.head().is_some() {
            architecture.tie_word_embeddings = false;
            config_json = folder::untied_config(&config_json)?;
        }
        let mut weights = merge::merged_weights(&self.base.parameters, &self.base.places, adapter)?;
        let built = body::build(&architecture, &mut |name, shape| match weights.remove(name) {
            Some(numbers) => Ok(Var::from_vec(numbers, shape, &Device::Cpu)?),
            None => Err(Error::new(Kind::Bug, format!("the merged model lacks `{name}`"))),
        })?;
        Ok(Self::new(architecture, config_json, built))
    }

    /// A base with the same numbers in weights of its own, for training to go on from.
    pub fn copy(&self) -> Result<Self> {
        self.refuse_packed("copied to learn")?;
        self.refuse_held("copied to learn")?;
        let mut weights = self.base.parameters.iter();
        let built = body::build(&self.base.architecture, &mut |_, _| match weights.next() {
            // Every build asks for its weights in the same order.
            Some((_, var)) => Ok(Var::from_tensor(&var.as_detached_tensor().copy()?)?),
            None => Err(Error::new(Kind::Bug, "a copy asks for more weights than there are")),
        })?;
        let copy = Self::new(self.base.architecture.clone(), self.base.config_json.clone(), built);
        Ok(copy.with_precision(self.precision))
    }

    /// The maps that an adapter may change.
    pub(crate) fn places(&self) -> &[Place] {
        &self.base.places
    }

    /// Logits [batch, tokens, vocabulary] of tokens [batch, tokens], without gradients. With a cache, the batch is one
    /// sequence that goes on where the cache ends.
    pub fn forward(&self, tokens: &Tensor, cache: Option<&mut KvCache>) -> Result<Tensor> {
        let (batch, n_tokens) = tokens.dims2()?;
        let logits = match cache {
            None => self.all_logits(tokens, Input::default(), Mode::Answer)?,
            Some(_) if batch != 1 => {
                return Err(Error::new(Kind::BadInput, format!("a cache holds one sequence, got {batch}")));
            }
            Some(cache) => {
                let tokens = tokens.flatten_all()?.to_vec1::<u32>()?;
                let logits = self.go_on(&tokens, cache, n_tokens)?;
                Tensor::from_vec(logits.concat(), (n_tokens, self.config().vocab_size), &Device::Cpu)?
            }
        };
        Ok(logits.reshape((batch, n_tokens, self.config().vocab_size))?)
    }

    /// The same logits with gradients to [`Model::trainable_parameters`]. Dropout takes its masks from the seed.
    pub fn forward_train(&self, tokens: &Tensor, dropout_seed: u64) -> Result<Tensor> {
        let (batch, n_tokens) = tokens.dims2()?;
        let logits = self.all_logits(tokens, Input::default(), Mode::Learn(dropout_seed))?;
        Ok(logits.reshape((batch, n_tokens, self.config().vocab_size))?)
    }

    /// Logits of chosen rows (numbered through the batch) of right-padded sequences, [rows, vocabulary].
    pub(crate) fn logits_at(&self, tokens: &Tensor, rows: &[u32]) -> Result<Tensor> {
        self.all_logits(tokens, Input { keep: Some(rows), ..Input::default() }, Mode::Answer)
    }

    /// Logits [vocabulary] after the last of some new tokens of a cached sequence.
    pub(crate) fn next_logits(&self, tokens: &[u32], cache: &mut KvCache) -> Result<Vec<f32>> {
        Ok(self.go_on(tokens, cache, 1)?.remove(0))
    }

    /// Logits after each of the last so many new tokens of a cached sequence, under the model's own adapter.
    fn go_on(&self, tokens: &[u32], cache: &mut KvCache, n_logits: usize) -> Result<Vec<Vec<f32>>> {
        self.step(&mut [Segment { tokens, cache, adapter: self.adapter.as_ref(), n_logits }])
    }

    /// Mean of the last hidden states of a text, scaled to length 1: [hidden].
    pub fn embed(&self, tokens: &[u32]) -> Result<Vec<f32>> {
        let rows = match self.is_held() {
            false => self.normed_rows(&one_sequence(tokens)?, Input::default(), self.pass(Mode::Answer))?,
            true => {
                let cache = &mut KvCache::new(self);
                let segment = Segment { tokens, cache, adapter: self.adapter.as_ref(), n_logits: tokens.len() };
                let no_tokens = || Error::new(Kind::BadInput, "expected tokens, got none");
                self.steady_rows(&mut [segment])?.0.ok_or_else(no_tokens)?
            }
        };
        let mut mean = vec![0f32; self.config().hidden_size];
        let rows = rows.to_vec2::<f32>()?;
        rows.iter().for_each(|row| mean.iter_mut().zip(row).for_each(|(sum, x)| *sum += x));
        let length = mean.iter().map(|x| x * x).sum::<f32>().sqrt().max(f32::MIN_POSITIVE);
        mean.iter_mut().for_each(|x| *x /= length);
        Ok(mean)
    }

    fn pass(&self, mode: Mode) -> Pass<'_> {
        Pass { adapters: Adapters::All(self.adapter.as_ref()), mode, precision: self.precision }
    }

    fn all_logits(&self, tokens: &Tensor, input: Input, mode: Mode) -> Result<Tensor> {
        self.language_head()?;
        let pass = self.pass(mode);
        self.logits(&self.normed_rows(tokens, input, pass)?, pass)
    }

    fn logits(&self, hidden: &Tensor, pass: Pass) -> Result<Tensor> {
        let logits = pass.linear(self.language_head()?, hidden)?;
        self.logit_cap().map_or_else(|| Ok(logits.clone()), |cap| Ok(ops::cap(&logits, cap)?))
    }

    fn logit_cap(&self) -> Option<f32> {
        self.config().logit_cap.map(|cap| cap as f32)
    }

    fn language_head(&self) -> Result<&Linear> {
        match &self.base.body.head {
            Head::Language(head) => Ok(head),
            _ => Err(self.no_head("a language head")),
        }
    }

    fn no_head(&self, expected: &str) -> Error {
        let task = &self.config().task;
        Error::new(Kind::BadInput, format!("expected a model with {expected}, got one for {task:?}"))
    }

    /// Rows [batch·tokens, hidden] after the last norm; or those of them to keep, where the last block computes the others
    /// only as far as the kept ones look at them.
    fn normed_rows(&self, tokens: &Tensor, input: Input, pass: Pass) -> Result<Tensor> {
        let (ids, rows) = self.checked_input(tokens, &input)?;
        let body = &self.base.body;
        let mut hidden = body.embed(pass, ids, rows.tokens)?;
        for (i, block) in body.blocks.iter().enumerate() {
            let keep = input.keep.filter(|_| i + 1 == body.blocks.len()).map(|keep| (keep, pass));
            hidden = block.forward(pass, &hidden, &rows, keep, None)?;
        }
        body.normed(pass, &hidden)
    }

    /// The ids of an input, and how they lie.
    fn checked_input(&self, tokens: &Tensor, input: &Input) -> Result<(Vec<u32>, Rows)> {
        let (batch, n_tokens) = tokens.dims2()?;
        self.check_input(batch, n_tokens)?;
        let ids = tokens.flatten_all()?.to_vec1::<u32>()?;
        if let Some(id) = ids.iter().find(|id| **id as usize >= self.config().vocab_size) {
            let message = format!("token {id} is outside the vocabulary of {}", self.config().vocab_size);
            return Err(Error::new(Kind::BadInput, message));
        }
        Ok((ids, Rows { tokens: n_tokens, lengths: input.lengths.clone(), texts: input.texts.clone() }))
    }

    fn check_input(&self, batch: usize, n_tokens: usize) -> Result<()> {
        if batch == 0 || n_tokens == 0 {
            return Err(Error::new(Kind::BadInput, format!("expected tokens, got shape [{batch}, {n_tokens}]")));
        }
        let limit = self.config().max_position_embeddings;
        if n_tokens > limit {
            let message = format!("{n_tokens} tokens are more than the model's {limit} positions");
            return Err(Error::new(Kind::TooLong, message));
        }
        Ok(())
    }
}
