//! A published model's folder as a whole: configuration, weights, tokenizer, chat template, and whether they fit together.

use crate::{
    architecture::{Architecture, Task},
    error::{Error, Kind, Result},
    gguf,
    held::Form,
    model::Model,
    outline::Outline,
    packed::Bits,
    template::{ChatFormat, ChatTemplate, special_text, tokenizer_config},
    tokenizer::{TOKENIZER_FILE, Tokenizer},
};
use std::path::Path;

/// What a Hugging Face folder holds: `config.json`, weights as safetensors, `tokenizer.json`, and perhaps a chat template.
#[derive(Clone, Debug)]
pub struct Checkpoint {
    /// The model, its numbers in f32.
    pub model: Model,
    /// Its tokenizer.
    pub tokenizer: Tokenizer,
    /// How it wants conversations written; none where the folder does not say.
    pub template: Option<ChatTemplate>,
}

impl Checkpoint {
    /// Reads a folder. Refuses what [`Model::load`] and [`Tokenizer::from_file`] refuse, and a tokenizer that is not this
    /// model's: one with more tokens than the model has rows for, or without the tokens that the model's configuration
    /// names. The end of a turn that the tokenizer names counts as an end of the model's answers, too.
    pub fn read(dir: &Path) -> Result<Self> {
        Self::read_packed(dir, None)
    }

    /// The same for answers alone, with every matrix of a language model in a form.
    pub fn read_held(dir: &Path, form: Form) -> Result<Self> {
        Self::read_with(dir, |end| Model::load_held(dir, end, form))
    }

    /// The same for training an adapter, with the base's linear maps held in few bits.
    pub fn read_packed(dir: &Path, bits: Option<Bits>) -> Result<Self> {
        Self::read_with(dir, |end| Model::load_ending(dir, end, bits))
    }

    fn read_with(dir: &Path, load: impl FnOnce(Option<u32>) -> Result<Model>) -> Result<Self> {
        let (tokenizer, end) = read_tokenizer(dir)?;
        let model = load(end)?;
        check_fit(dir, model.config(), &tokenizer)?;
        check_pooling(dir)?;
        Ok(Self { model, tokenizer, template: ChatTemplate::load(dir)? })
    }

    /// How conversations become its tokens; texts alone for a model without a language head. Refuses another that has neither
    /// a template nor our own special tokens.
    pub fn format(&self) -> Result<ChatFormat> {
        format(self.template.as_ref(), self.model.config(), &self.tokenizer)
    }

    /// Writes the base, the tokenizer and the template into an existing folder, which [`Checkpoint::read`] and
    /// [`Model::load`] read again. The same contents give the same bytes.
    pub fn save(&self, dir: &Path) -> Result<()> {
        self.model.save(dir)?;
        self.tokenizer.save(dir)?;
        self.template.as_ref().map_or(Ok(()), |template| template.save(dir))
    }
}

/// A folder as [`Checkpoint::read`] takes it, without its weights: enough to make examples and to reckon memory.
#[derive(Clone, Debug)]
pub struct CheckpointOutline {
    /// The model's shape.
    pub model: Outline,
    /// Its tokenizer.
    pub tokenizer: Tokenizer,
    /// How it wants conversations written; none where the folder does not say.
    pub template: Option<ChatTemplate>,
}

impl CheckpointOutline {
    /// Reads a folder but for its weights. Refuses what [`Checkpoint::read`] refuses of the rest.
    pub fn read(dir: &Path) -> Result<Self> {
        let (tokenizer, end) = read_tokenizer(dir)?;
        let model = Outline::ending(dir, end)?;
        check_fit(dir, model.config(), &tokenizer)?;
        check_pooling(dir)?;
        Ok(Self { model, tokenizer, template: ChatTemplate::load(dir)? })
    }

    /// How conversations become its tokens; see [`Checkpoint::format`].
    pub fn format(&self) -> Result<ChatFormat> {
        format(self.template.as_ref(), self.model.config(), &self.tokenizer)
    }
}

/// About how many bytes the base of a folder takes when it is held for answers in a form, by its files' headers.
pub fn held_bytes(dir: &Path, form: Form) -> Result<u64> {
    let whole = Outline::read(dir)?.base_bytes(None);
    let in_form = match form {
        Form::F32 => whole,
        Form::Bf16 => whole / 2,
        Form::Q8_0 => whole * 17 / 64,
        Form::Q4K => whole * 37 / 256,
    };
    // Weights that lie in few bits stay in them.
    let file = gguf::in_folder(dir).and_then(|path| path.metadata().ok());
    Ok(file.map_or(in_form, |file| in_form.min(file.len())))
}

/// The tokenizer, and the end of a turn that it names.
fn read_tokenizer(dir: &Path) -> Result<(Tokenizer, Option<u32>)> {
    let tokenizer = Tokenizer::from_file(&dir.join(TOKENIZER_FILE))?;
    let end = special_text(&tokenizer_config(dir)?, "eos_token").and_then(|end| tokenizer.token_id(&end));
    Ok((tokenizer, end))
}

fn format(template: Option<&ChatTemplate>, architecture: &Architecture, tokenizer: &Tokenizer) -> Result<ChatFormat> {
    match template {
        _ if architecture.task != Task::Language => Ok(ChatFormat::Bare),
        Some(template) => Ok(ChatFormat::Template(template.clone())),
        None => ChatFormat::own(tokenizer),
    }
}

/// Folders of the sentence-transformers library say how a text's rows become one. [`Model::embed`] takes their mean.
const POOLING_FILE: &str = "1_Pooling/config.json";

fn check_pooling(dir: &Path) -> Result<()> {
    let path = dir.join(POOLING_FILE);
    let bytes = match std::fs::read(&path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        bytes => bytes.map_err(|source| Error::io("read", &path, source))?,
    };
    let value: serde_json::Value = serde_json::from_slice(&bytes)
        .map_err(|source| Error::caused(Kind::BadFile, format!("`{}` is not JSON", path.display()), source))?;
    let modes = value.as_object().into_iter().flatten().filter(|(key, _)| key.starts_with("pooling_mode_"));
    let other = modes.filter(|(_, on)| **on == true).map(|(key, _)| key).find(|key| *key != "pooling_mode_mean_tokens");
    match other {
        None => Ok(()),
        Some(key) => Err(Error::bad_file(&path, format!("expected `pooling_mode_mean_tokens` alone, got `{key}`"))),
    }
}

fn check_fit(dir: &Path, config: &Architecture, tokenizer: &Tokenizer) -> Result<()> {
    let refuse = |message: String| {
        let message = format!("the model and the tokenizer in `{}` do not fit together: {message}", dir.display());
        Err(Error::new(Kind::BadFile, message))
    };
    let n_tokens = tokenizer.vocab_size();
    if n_tokens > config.vocab_size {
        return refuse(format!("expected at most `vocab_size` {} tokens, got {n_tokens}", config.vocab_size));
    }
    let named = [("bos_token_id", config.bos_token_id), ("pad_token_id", config.pad_token_id)];
    let ends = config.eos_token_ids.iter().map(|id| ("eos_token_id", Some(*id)));
    let unknown =
        named.into_iter().chain(ends).find_map(|(key, id)| Some((key, id.filter(|id| *id as usize >= n_tokens)?)));
    match unknown {
        Some((key, id)) => refuse(format!("expected `{key}` to be one of the tokenizer's {n_tokens} tokens, got {id}")),
        None => Ok(()),
    }
}
