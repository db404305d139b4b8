//! What a model computes, whatever its family: a configuration as written, resolved.
//!
//! Families differ in few places: the norm, the activation, biases, which rows a layer looks at, how it knows positions.
//! [`Architecture`] names each of them; nothing behind it asks for the family again. Every key of a `config.json` is
//! either read, known not to matter, or refused by name.

mod bert;
mod decoder;
mod gemma;
mod keys;
mod rope;

pub(crate) use keys::Keys;
pub use rope::{RopeKind, RopeScaling};

use crate::{
    config::CONFIG_FILE,
    error::{Error, Kind, Result},
    ops::Activation,
};
use serde_json::Value;
use std::path::Path;

/// A line of published models.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    /// Llama 1 to 3 and what is written like it (Touvron et al. 2023; Llama Team 2024), SmolLM 1 and 2 among it.
    Llama,
    /// Mistral (Jiang et al. 2023).
    Mistral,
    /// Qwen 2 and 2.5 (Yang et al. 2024).
    Qwen2,
    /// Qwen 3 (Yang et al. 2025).
    Qwen3,
    /// SmolLM 3 (Bakouch et al. 2025).
    SmolLm3,
    /// Gemma (Gemma Team 2024).
    Gemma,
    /// Gemma 2 (Gemma Team 2024).
    Gemma2,
    /// The text model of Gemma 3 (Gemma Team 2025).
    Gemma3,
    /// BERT (Devlin et al. 2019) and what is written like it, MiniLM among it.
    Bert,
}

impl Family {
    /// The family's word in `config.json`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Llama => "llama",
            Self::Mistral => "mistral",
            Self::Qwen2 => "qwen2",
            Self::Qwen3 => "qwen3",
            Self::SmolLm3 => "smollm3",
            Self::Gemma => "gemma",
            Self::Gemma2 => "gemma2",
            Self::Gemma3 => "gemma3_text",
            Self::Bert => "bert",
        }
    }
}

impl Family {
    /// The name in `architectures` of the family's model with a head of classes.
    pub(crate) fn class_of_classes(self) -> String {
        let prefix = FAMILIES.iter().find(|(family, ..)| *family == self).map_or("", |(_, _, prefix)| prefix);
        // The one family whose text model is named apart.
        let text = if self == Self::Gemma3 { "Text" } else { "" };
        format!("{prefix}{text}ForSequenceClassification")
    }
}

/// What a model's head is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Task {
    /// Logits of the next token.
    Language,
    /// Logits of classes, one for each text; their names in order.
    Classes(Vec<String>),
    /// No head: the rows themselves, as for embeddings.
    Features,
}

/// How rows are normed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NormKind {
    /// Root mean square, times the gain.
    Rms,
    /// Root mean square, times one plus the gain.
    RmsPlusOne,
    /// Mean and variance, with gain and bias.
    Layer,
}

/// Where norms stand in a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NormPlace {
    /// Before attention and before the feed-forward part.
    Before,
    /// There, and on what each adds.
    BeforeAndOnUpdate,
    /// After each addition.
    After,
}

/// What differs from layer to layer.
#[derive(Clone, Debug, PartialEq)]
pub struct LayerKind {
    /// Rows that a row looks back at, itself included; none means all.
    pub window: Option<usize>,
    /// How it knows positions; none means that it does not.
    pub rope: Option<RopeKind>,
}

/// Which linear maps have a bias.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Biases {
    /// Queries, keys and values.
    pub qkv: bool,
    /// The attention's output.
    pub output: bool,
    /// The feed-forward part.
    pub feed_forward: bool,
}

/// A resolved model configuration. Sizes in numbers of f32, positions in tokens.
#[derive(Clone, Debug, PartialEq)]
pub struct Architecture {
    /// Whose names the weights have.
    pub family: Family,
    /// What the head is for.
    pub task: Task,
    /// Width of a token's vector.
    pub hidden_size: usize,
    /// Width inside the feed-forward part.
    pub intermediate_size: usize,
    /// Blocks of attention and feed-forward.
    pub num_hidden_layers: usize,
    /// Query heads.
    pub num_attention_heads: usize,
    /// Key and value heads; divides the query heads.
    pub num_key_value_heads: usize,
    /// Width of a head.
    pub head_dim: usize,
    /// Number of tokens known.
    pub vocab_size: usize,
    /// Tokens that a prompt and its answer may have together.
    pub max_position_embeddings: usize,
    /// Whether the output head is the embedding matrix.
    pub tie_word_embeddings: bool,
    /// First token of a text.
    pub bos_token_id: Option<u32>,
    /// Tokens that end an answer.
    pub eos_token_ids: Vec<u32>,
    /// Fills short rows of a batch.
    pub pad_token_id: Option<u32>,
    /// How rows are normed.
    pub norm: NormKind,
    /// Added to the mean square, or the variance, before its root.
    pub norm_eps: f64,
    /// Where norms stand.
    pub norm_place: NormPlace,
    /// Of the feed-forward part.
    pub activation: Activation,
    /// Which maps have a bias.
    pub biases: Biases,
    /// Whether queries and keys are normed, each head by itself.
    pub query_key_norm: bool,
    /// Factor of the token embeddings.
    pub embedding_scale: Option<f64>,
    /// Scores are divided by the root of this number, mostly the width of a head.
    pub attention_scalar: f64,
    /// Scores are bent to stay below this number.
    pub attention_cap: Option<f64>,
    /// Logits are bent to stay below this number.
    pub logit_cap: Option<f64>,
    /// Kinds of text that a learned embedding tells apart; 0 without one. Encoders only.
    pub type_vocab_size: usize,
    /// Layer by layer.
    pub layers: Vec<LayerKind>,
}

impl Architecture {
    /// Whether rows look forward, too: an encoder.
    pub fn is_encoder(&self) -> bool {
        self.family == Family::Bert
    }

    /// Reads `config.json` in a model's folder, and the ends of an answer that `generation_config.json` names.
    pub fn load(dir: &Path) -> Result<Self> {
        Ok(read(dir)?.0)
    }

    /// Resolves a `config.json`.
    pub fn from_json(config: &Value) -> Result<Self> {
        let mut keys = Keys::new("model configuration", config)?;
        let Some(classes) = keys.texts("architectures")? else {
            return keys.refuse("missing field `architectures`");
        };
        let (family, task) = family(&mut keys, &classes)?;
        let architecture = match family {
            Family::Bert => bert::read(&mut keys, task)?,
            Family::Gemma | Family::Gemma2 | Family::Gemma3 => gemma::read(&mut keys, family, task)?,
            _ => decoder::read(&mut keys, family, task)?,
        };
        keys.ignore(INERT);
        keys.finish()?;
        architecture.check()?;
        Ok(architecture)
    }

    /// Adds ends of an answer that the configuration does not name; those that no row of the model stands for are left out.
    pub(crate) fn end_with(&mut self, ends: impl IntoIterator<Item = u32>) {
        for id in ends {
            if !self.eos_token_ids.contains(&id) && (id as usize) < self.vocab_size {
                self.eos_token_ids.push(id);
            }
        }
    }

    fn check(&self) -> Result<()> {
        let refuse = |message: String| Err(Error::new(Kind::BadConfig, format!("model configuration: {message}")));
        let (heads, kv_heads) = (self.num_attention_heads, self.num_key_value_heads);
        if !heads.is_multiple_of(kv_heads) {
            return refuse(format!(
                "`num_key_value_heads` must divide `num_attention_heads` ({heads}), got {kv_heads}"
            ));
        }
        let turns = self.layers.iter().any(|layer| layer.rope.is_some());
        if self.head_dim == 0 || (turns && !self.head_dim.is_multiple_of(2)) {
            return refuse(format!("the width of a head must be even and positive, got {}", self.head_dim));
        }
        let special = [("bos_token_id", &self.bos_token_id), ("pad_token_id", &self.pad_token_id)];
        let ends = self.eos_token_ids.iter().map(|id| ("eos_token_id", id));
        let mut ids = special.iter().filter_map(|(key, id)| id.as_ref().map(|id| (*key, id))).chain(ends);
        match ids.find(|(_, id)| **id as usize >= self.vocab_size) {
            Some((key, id)) => refuse(format!("`{key}` must be below `vocab_size` ({}), got {id}", self.vocab_size)),
            None => Ok(()),
        }
    }
}

/// The resolved configuration of a folder, and its JSON.
pub(crate) fn read(dir: &Path) -> Result<(Architecture, Value, Vec<u8>)> {
    let path = dir.join(CONFIG_FILE);
    let bytes = std::fs::read(&path).map_err(|source| Error::io("read", &path, source))?;
    let failed = |source: Box<dyn std::error::Error + Send + Sync>| {
        let message = format!("failed to read the model configuration `{}`", path.display());
        Error::caused(Kind::BadConfig, message, source)
    };
    let value: Value = serde_json::from_slice(&bytes).map_err(|source| failed(source.into()))?;
    let mut architecture = Architecture::from_json(&value).map_err(|source| failed(source.into()))?;
    architecture.end_with(generation_ends(dir)?);
    Ok((architecture, value, bytes))
}

/// File name of the settings that a model was published to answer with.
pub const GENERATION_FILE: &str = "generation_config.json";

/// The ends of an answer in `generation_config.json`; chat models name more there than in `config.json`.
fn generation_ends(dir: &Path) -> Result<Vec<u32>> {
    let path = dir.join(GENERATION_FILE);
    let bytes = match std::fs::read(&path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        bytes => bytes.map_err(|source| Error::io("read", &path, source))?,
    };
    let value: Value = serde_json::from_slice(&bytes).map_err(|source| {
        let message = format!("failed to read the generation settings `{}`", path.display());
        Error::caused(Kind::BadConfig, message, source)
    })?;
    Keys::new("generation settings", &value)?.tokens("eos_token_id")
}

/// Families by `model_type`, and how their classes are called in `architectures`.
const FAMILIES: [(Family, &str, &str); 9] = [
    (Family::Llama, "llama", "Llama"),
    (Family::Mistral, "mistral", "Mistral"),
    (Family::Qwen2, "qwen2", "Qwen2"),
    (Family::Qwen3, "qwen3", "Qwen3"),
    (Family::SmolLm3, "smollm3", "SmolLM3"),
    (Family::Gemma, "gemma", "Gemma"),
    (Family::Gemma2, "gemma2", "Gemma2"),
    (Family::Gemma3, "gemma3_text", "Gemma3"),
    (Family::Bert, "bert", "Bert"),
];

/// Family and task by `model_type` and `architectures`.
fn family(keys: &mut Keys, classes: &[&str]) -> Result<(Family, Task)> {
    let kind = keys.text("model_type")?.unwrap_or_default();
    let Some((family, _, prefix)) = FAMILIES.iter().find(|(_, model_type, _)| *model_type == kind) else {
        let known = FAMILIES.map(|(_, kind, _)| kind).join(", ");
        return keys.refuse(format!(
            "`architectures` must be of a family that we know, got {classes:?} with `model_type` \"{kind}\"; we know {known}"
        ));
    };
    let parts: Vec<&str> = classes.iter().map(|class| class.strip_prefix(prefix).unwrap_or(class)).collect();
    let task = match (parts.as_slice(), family) {
        (["ForCausalLM"], family) if *family != Family::Bert => Task::Language,
        (["ForSequenceClassification" | "TextForSequenceClassification"], _) => Task::Classes(classes_of(keys)?),
        (["Model" | "ForMaskedLM" | "ForPreTraining"], Family::Bert) => Task::Features,
        _ => {
            let other = if *family == Family::Bert { "Model" } else { "ForCausalLM" };
            return keys.refuse(format!(
                "`architectures` must be [\"{prefix}{other}\"] or [\"{prefix}ForSequenceClassification\"], got {classes:?}"
            ));
        }
    };
    Ok((*family, task))
}

/// Names of classes in the order of their numbers. Without names there are two, as in the published library.
fn classes_of(keys: &mut Keys) -> Result<Vec<String>> {
    keys.only("problem_type", "single_label_classification")?;
    let count = keys.size_if("num_labels")?;
    let Some(value) = keys.value("id2label") else {
        return Ok((0..count.unwrap_or(2)).map(|i| format!("LABEL_{i}")).collect());
    };
    let names = value.as_object().map(|object| {
        (0..object.len()).map(|i| object.get(&i.to_string())?.as_str().map(str::to_owned)).collect::<Option<Vec<_>>>()
    });
    match names.flatten() {
        Some(names) if !names.is_empty() => Ok(names),
        _ => keys.refuse(format!("`id2label` must name classes 0, 1, 2 and so on, got {value}")),
    }
}

/// Keys that do not change what a model computes from tokens: how it was made, stored and trained, and what other
/// programs do with it. Dropout rates are among them: training here takes its own.
const INERT: &[&str] = &[
    "_attn_implementation_autoset",
    "_name_or_path",
    "attention_dropout",
    "attention_probs_dropout_prob",
    "auto_map",
    "cache_implementation",
    "chunk_size_feed_forward",
    "classifier_dropout",
    "dtype",
    "embd_pdrop",
    "finetuning_task",
    "gradient_checkpointing",
    "hidden_dropout_prob",
    "id2label",
    "initializer_range",
    "is_llama_config",
    "keys_to_ignore_at_inference",
    "label2id",
    "num_labels",
    "output_attentions",
    "output_hidden_states",
    "pretraining_tp",
    "problem_type",
    "resid_pdrop",
    "return_dict",
    "task_specific_params",
    "torch_dtype",
    "transformers.js_config",
    "transformers_version",
    "unsloth_fixed",
    "unsloth_version",
    "use_cache",
];
