//! A model: its weights, perhaps under an adapter, and what can be asked of it.

use crate::{
    architecture::{self, Architecture, Family, Task},
    batch::Batch,
    body::{self, BERT_ROOT, Body, Built, Head, LANGUAGE_HEAD, Place, one_sequence},
    cache::KvCache,
    config::{CONFIG_FILE, ModelConfig},
    error::{Error, Kind, Result},
    init,
    layers::{Linear, Mode, Pass},
    lora::Adapter,
    merge,
    ops::{self, Rows},
    weights::{self, WEIGHTS_FILE, WeightFile},
};
use candle_core::{Device, Tensor, Var};
use serde_json::Value;
use std::{path::Path, sync::Arc};

/// A model with its weights, and perhaps an adapter on them. Clones share both.
#[derive(Clone, Debug)]
pub struct Model {
    base: Arc<Base>,
    adapter: Option<Adapter>,
}

struct Base {
    architecture: Architecture,
    /// The `config.json` that is written beside the weights.
    config_json: Vec<u8>,
    body: Body,
    parameters: Vec<(String, Var)>,
    places: Vec<Place>,
}

impl std::fmt::Debug for Base {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Base").field("architecture", &self.architecture).finish_non_exhaustive()
    }
}

/// The rows that a forward pass reads.
#[derive(Default)]
struct Input<'a> {
    cache: Option<&'a mut KvCache>,
    /// Rows to go on with after the last block's attention, numbered through the batch; all without.
    keep: Option<&'a [u32]>,
    /// Real tokens of each sequence; all without.
    lengths: Option<Arc<[usize]>>,
}

impl Model {
    /// Fresh weights (see [`crate::init`]); the same seed gives the same bits.
    pub fn init(config: &ModelConfig, seed: u64) -> Result<Self> {
        let architecture = config.resolve()?;
        let mut source = init::Source::new(config, seed);
        let built = body::build(&architecture, &mut |name, shape| source.var(name, shape))?;
        Ok(Self::new(architecture, config.to_json()?, built))
    }

    /// Reads `config.json` and the weights, in `model.safetensors` or in the files that `model.safetensors.index.json`
    /// names. Numbers in f32, bf16 and f16 become f32. Refuses configurations by key, and missing, misshapen and unknown
    /// tensors by name.
    pub fn load(dir: &Path) -> Result<Self> {
        Self::load_ending(dir, None)
    }

    /// The same, where one more token ends an answer.
    pub(crate) fn load_ending(dir: &Path, end: Option<u32>) -> Result<Self> {
        let (mut architecture, value, bytes) = architecture::read(dir)?;
        architecture.end_with(end);
        let mut file = WeightFile::read_folder(dir)?;
        leave_aside(&architecture, &mut file);
        let built = body::build(&architecture, &mut |name, shape| file.take_var(name, shape))?;
        check_tied_head(&architecture, &built, &mut file)?;
        file.finish()?;
        let config_json = settled_config(value, bytes, &architecture)?;
        Ok(Self::new(architecture, config_json, built))
    }

    fn new(architecture: Architecture, config_json: Vec<u8>, built: Built) -> Self {
        let Built { body, parameters, places } = built;
        Self { base: Arc::new(Base { architecture, config_json, body, parameters, places }), adapter: None }
    }

    /// Writes `config.json` and `model.safetensors` of the base into an existing folder, in f32; the same weights give
    /// the same bytes. An adapter is saved by itself.
    pub fn save(&self, dir: &Path) -> Result<()> {
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
        self.base.parameters.iter().map(|(_, var)| var.elem_count() as u64).sum()
    }

    /// The base's weights under their published names.
    pub fn named_parameters(&self) -> Vec<(String, Var)> {
        self.base.parameters.clone()
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

    /// A base of its own that has the adapter worked into its weights, W + s·B A, as for an export. Its logits are those
    /// of the adapted model up to rounding. Where the adapter changes a head that is tied to the embedding, the merged
    /// model has a head of its own.
    pub fn merged(&self) -> Result<Self> {
        let Some(adapter) = &self.adapter else { return Ok(self.clone()) };
        let mut architecture = self.base.architecture.clone();
        let mut config_json = self.base.config_json.clone();
        if architecture.tie_word_embeddings && adapter.head().is_some() {
            architecture.tie_word_embeddings = false;
            config_json = untied_config(&config_json)?;
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
        let mut weights = self.base.parameters.iter();
        let built = body::build(&self.base.architecture, &mut |_, _| match weights.next() {
            // Every build asks for its weights in the same order.
            Some((_, var)) => Ok(Var::from_tensor(&var.as_detached_tensor().copy()?)?),
            None => Err(Error::new(Kind::Bug, "a copy asks for more weights than there are")),
        })?;
        Ok(Self::new(self.base.architecture.clone(), self.base.config_json.clone(), built))
    }

    /// The maps that an adapter may change.
    pub(crate) fn places(&self) -> &[Place] {
        &self.base.places
    }

    /// Logits [batch, tokens, vocabulary] of tokens [batch, tokens], without gradients. With a cache, the batch is one
    /// sequence that goes on where the cache ends.
    pub fn forward(&self, tokens: &Tensor, cache: Option<&mut KvCache>) -> Result<Tensor> {
        let (batch, n_tokens) = tokens.dims2()?;
        let logits = self.all_logits(tokens, Input { cache, ..Input::default() }, Mode::Answer)?;
        Ok(logits.reshape((batch, n_tokens, self.config().vocab_size))?)
    }

    /// The same logits with gradients to [`Model::trainable_parameters`]. Dropout takes its masks from the seed.
    pub fn forward_train(&self, tokens: &Tensor, dropout_seed: u64) -> Result<Tensor> {
        let (batch, n_tokens) = tokens.dims2()?;
        let logits = self.all_logits(tokens, Input::default(), Mode::Learn(dropout_seed))?;
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
        let (head, pass) = (self.language_head()?, self.pass(mode));
        let hidden = self.normed_rows(&batch.tokens, Input { keep, ..Input::default() }, pass)?;
        let loss = match pass.changes(head) {
            true => ops::cross_entropy(&self.logits(&hidden, pass)?, ids, shares)?,
            false => ops::head_cross_entropy((&hidden, &pass.weight(&head.weight)), self.logit_cap(), ids, shares)?,
        };
        finite(loss)
    }

    /// Logits of chosen rows (numbered through the batch) of right-padded sequences, [rows, vocabulary].
    pub(crate) fn logits_at(&self, tokens: &Tensor, rows: &[u32]) -> Result<Tensor> {
        self.all_logits(tokens, Input { keep: Some(rows), ..Input::default() }, Mode::Answer)
    }

    /// Logits [vocabulary] after the last of some new tokens of a cached sequence.
    pub(crate) fn next_logits(&self, tokens: &[u32], cache: &mut KvCache) -> Result<Vec<f32>> {
        let last = [tokens.len().saturating_sub(1) as u32];
        let keep = (last != [0]).then_some(last.as_slice());
        let input = Input { cache: Some(cache), keep, ..Input::default() };
        Ok(self.all_logits(&one_sequence(tokens)?, input, Mode::Answer)?.flatten_all()?.to_vec1()?)
    }

    /// Mean of the last hidden states of a text, scaled to length 1: [hidden].
    pub fn embed(&self, tokens: &[u32]) -> Result<Vec<f32>> {
        let rows = self.normed_rows(&one_sequence(tokens)?, Input::default(), self.pass(Mode::Answer))?;
        let mut mean = vec![0f32; self.config().hidden_size];
        let rows = rows.to_vec2::<f32>()?;
        rows.iter().for_each(|row| mean.iter_mut().zip(row).for_each(|(sum, x)| *sum += x));
        let length = mean.iter().map(|x| x * x).sum::<f32>().sqrt().max(f32::MIN_POSITIVE);
        mean.iter_mut().for_each(|x| *x /= length);
        Ok(mean)
    }

    /// Logits of the classes for each text, [texts][classes], without gradients.
    pub fn classify(&self, texts: &[&[u32]]) -> Result<Vec<Vec<f32>>> {
        Ok(self.class_logits(texts, Mode::Answer)?.to_vec2()?)
    }

    /// Mean cross entropy of the texts' classes, with gradients to [`Model::trainable_parameters`].
    pub fn class_loss(&self, texts: &[&[u32]], classes: &[u32], dropout_seed: u64) -> Result<Tensor> {
        if texts.len() != classes.len() {
            let message = format!("{} texts, but {} classes", texts.len(), classes.len());
            return Err(Error::new(Kind::BadInput, message));
        }
        let logits = self.class_logits(texts, Mode::Learn(dropout_seed))?;
        let n_classes = logits.dims2()?.1;
        if let Some(class) = classes.iter().find(|class| **class as usize >= n_classes) {
            return Err(Error::new(Kind::BadInput, format!("class {class} is not one of {n_classes}")));
        }
        finite(ops::cross_entropy(&logits, classes.to_vec(), vec![1.0 / texts.len() as f32; texts.len()])?)
    }

    fn class_logits(&self, texts: &[&[u32]], mode: Mode) -> Result<Tensor> {
        let longest = texts.iter().map(|text| text.len()).max().unwrap_or(0);
        let pad = self.config().pad_token_id.unwrap_or(0);
        let mut tokens = Vec::with_capacity(texts.len() * longest);
        for text in texts {
            tokens.extend(*text);
            tokens.resize(tokens.len().next_multiple_of(longest.max(1)), pad);
        }
        let tokens = Tensor::from_vec(tokens, (texts.len(), longest), &Device::Cpu)?;
        let first = (0..texts.len()).map(|text| (text * longest) as u32);
        // The row that speaks for a text: an encoder's first, a decoder's last.
        let keep: Vec<u32> = match self.config().is_encoder() {
            true => first.collect(),
            false => first.zip(texts).map(|(first, text)| first + text.len().saturating_sub(1) as u32).collect(),
        };
        let lengths: Option<Arc<[usize]>> = Some(texts.iter().map(|text| text.len()).collect());
        if let Some(empty) = texts.iter().position(|text| text.is_empty()) {
            return Err(Error::new(Kind::BadInput, format!("text {empty} has no tokens")));
        }
        let (pass, input) = (self.pass(mode), Input { keep: Some(&keep), lengths, cache: None });
        let rows = self.normed_rows(&tokens, input, pass)?;
        match self.base.body.classes(pass, &rows)? {
            Some(logits) => Ok(logits),
            None => Err(self.no_head("a head of classes")),
        }
    }

    fn pass(&self, mode: Mode) -> Pass<'_> {
        Pass { adapter: self.adapter.as_ref(), mode }
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
    fn normed_rows(&self, tokens: &Tensor, mut input: Input, pass: Pass) -> Result<Tensor> {
        let (batch, n_tokens) = tokens.dims2()?;
        self.check_input(batch, n_tokens, input.cache.as_deref())?;
        let ids = tokens.flatten_all()?.to_vec1::<u32>()?;
        if let Some(id) = ids.iter().find(|id| **id as usize >= self.config().vocab_size) {
            let message = format!("token {id} is outside the vocabulary of {}", self.config().vocab_size);
            return Err(Error::new(Kind::BadInput, message));
        }
        let (body, rows) = (&self.base.body, Rows { tokens: n_tokens, lengths: input.lengths });
        let mut hidden = body.embed(pass, ids, n_tokens)?;
        for (i, block) in body.blocks.iter().enumerate() {
            let cache = input.cache.as_deref_mut().map(|cache| (cache, i));
            let mut mixed = block.mix(pass, &hidden, &rows, cache)?;
            if let Some(keep) = input.keep.filter(|_| i + 1 == body.blocks.len()) {
                mixed = ops::gather(&mixed, keep.to_vec())?;
                hidden = ops::gather(&hidden, keep.to_vec())?;
            }
            hidden = block.feed_forward(pass, &mixed, &hidden)?;
        }
        if let Some(cache) = input.cache {
            cache.advance(n_tokens);
        }
        body.normed(pass, &hidden)
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
}

fn finite(loss: Tensor) -> Result<Tensor> {
    let value = loss.to_scalar::<f32>()?;
    match value.is_finite() {
        true => Ok(loss),
        false => Err(Error::new(Kind::NotFinite, format!("the loss is {value}"))),
    }
}

/// Leaves out what published files hold beside a model's weights: tables of angles and positions, which follow from the
/// configuration, and of a BERT without classes the pooler and the heads of its first training.
fn leave_aside(architecture: &Architecture, file: &mut WeightFile) {
    let encoder = architecture.family == Family::Bert;
    if encoder && architecture.task == Task::Features {
        file.strip(BERT_ROOT);
        file.drop_where(|name| name.starts_with("cls.") || name.starts_with("pooler."));
    }
    file.drop_where(|name| match encoder {
        true => name.ends_with("embeddings.position_ids"),
        false => name.ends_with(".rotary_emb.inv_freq"),
    });
}

/// A file may hold a tied head a second time; it must be the embedding.
fn check_tied_head(architecture: &Architecture, built: &Built, file: &mut WeightFile) -> Result<()> {
    let name = format!("{LANGUAGE_HEAD}.weight");
    if !architecture.tie_word_embeddings || architecture.task != Task::Language || !file.has(&name) {
        return Ok(());
    }
    let (embedding_name, embedding) = &built.parameters[0];
    let (copy, embedding) = (file.take(&name, embedding.dims())?, embedding.flatten_all()?.to_vec1::<f32>()?);
    match copy == embedding {
        true => Ok(()),
        false => Err(Error::new(
            Kind::BadFile,
            format!("`tie_word_embeddings` is true, but tensor `{name}` differs from `{embedding_name}`"),
        )),
    }
}

/// The configuration that goes with weights in f32 and with every end of an answer that was found. One that says so
/// already is kept to the byte.
fn settled_config(mut value: Value, bytes: Vec<u8>, architecture: &Architecture) -> Result<Vec<u8>> {
    let mut changed = false;
    if Architecture::from_json(&value)?.eos_token_ids != architecture.eos_token_ids {
        value["eos_token_id"] = architecture.eos_token_ids.clone().into();
        changed = true;
    }
    for key in ["dtype", "torch_dtype"] {
        if let Some(dtype) = value.get_mut(key).filter(|dtype| *dtype != "float32") {
            *dtype = "float32".into();
            changed = true;
        }
    }
    if let Some(classes) = value.get_mut("architectures").and_then(Value::as_array_mut) {
        // The heads of its first training are not kept.
        for class in classes.iter_mut().filter(|class| *class == "BertForMaskedLM" || *class == "BertForPreTraining") {
            *class = "BertModel".into();
            changed = true;
        }
    }
    if changed { written(&value) } else { Ok(bytes) }
}

fn untied_config(bytes: &[u8]) -> Result<Vec<u8>> {
    let failed = |source| Error::caused(Kind::Bug, "failed to read our own model configuration", source);
    let mut value: Value = serde_json::from_slice(bytes).map_err(failed)?;
    value["tie_word_embeddings"] = false.into();
    written(&value)
}

fn written(value: &Value) -> Result<Vec<u8>> {
    let mut json = serde_json::to_vec_pretty(value)
        .map_err(|source| Error::caused(Kind::Bug, "failed to write a model configuration as JSON", source))?;
    json.push(b'\n');
    Ok(json)
}
