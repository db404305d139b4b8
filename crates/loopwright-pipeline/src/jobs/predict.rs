//! A model version in memory, answering messages as its route would.

use crate::{
    context::Context,
    error::{Doing, Error, Result},
};
use loopwright_lm::{Adapter, ChatFormat, Checkpoint, GenerateSettings, Model, Tokenizer, generate};
use loopwright_store::ObjectKey;
use loopwright_types::{ModelRef, ModelVersion};
use rayon::prelude::*;
use std::sync::atomic::{AtomicU64, Ordering};

/// A loaded version: its base, its adapter if it is one, and the tokenizer.
#[derive(Clone)]
pub struct Loaded {
    /// The weights, the adapter applied.
    pub model: Model,
    /// The tokenizer of the base.
    pub tokenizer: Tokenizer,
    /// How the base wants conversations written.
    pub format: ChatFormat,
}

/// The answer that a model learns to give: the intent as JSON.
pub fn answer_text(label: &str) -> String {
    loopwright_types::answer::text_of(label)
}

/// Loads a version from the store's files. Blocking.
pub fn load(ctx: &Context, version: &ModelVersion) -> Result<Loaded> {
    let dir = |model: &ModelRef| ctx.store.objects().local_dir(&ObjectKey::ModelDir { model: model.clone() });
    let base_dir = dir(version.base.as_ref().unwrap_or(&version.model))?;
    let doing = || format!("failed to load model `{}`", version.model);
    let base = Checkpoint::read(&base_dir).doing(doing)?;
    let date = ctx.template_date();
    let format = base.format().doing(doing)?.with_date(move || date);
    let model = match version.base {
        None => base.model,
        Some(_) => {
            let adapter = Adapter::load(&dir(&version.model)?, &base.model).doing(doing)?;
            base.model.with_adapter(&adapter)
        }
    };
    Ok(Loaded { model, tokenizer: base.tokenizer, format })
}

impl Loaded {
    /// The prompt of a message, cut so that an answer of `max_tokens` fits behind it.
    pub fn prompt(&self, text: &str, max_tokens: u32) -> loopwright_lm::Result<Vec<u32>> {
        let room = self.model.config().max_position_embeddings.saturating_sub(max_tokens as usize);
        Ok(self.format.prompt_tokens_within(&self.tokenizer, text, room)?.0)
    }

    /// Tokens that end an answer.
    pub fn end(&self) -> Vec<u32> {
        self.model.config().eos_token_ids.clone()
    }

    /// The greedy answer to a message.
    pub fn answer(&self, text: &str, max_tokens: u32) -> Result<String> {
        let settings = GenerateSettings { max_tokens: max_tokens as usize, stop_ids: self.end(), ..Default::default() };
        let prompt = self.prompt(text, max_tokens).doing(|| "failed to write a prompt".into())?;
        let class = self.model.class_of(&prompt).doing(|| "failed to classify a text".into())?;
        if let Some((class, _)) = class {
            return Ok(answer_text(&class));
        }
        let generated = generate(&self.model, &prompt, &settings)
            .map_err(|error| Error::bug("failed to generate an answer").because(error))?;
        Ok(self.tokenizer.decode(&generated.tokens))
    }

    /// The greedy answers to many messages, in their order, on all cores. `tick` hears how many are done.
    pub fn answers(&self, texts: &[&str], max_tokens: u32, tick: impl Fn(u64) + Sync) -> Result<Vec<String>> {
        let n_done = AtomicU64::new(0);
        texts
            .par_iter()
            .map(|text| {
                let answer = self.answer(text, max_tokens);
                tick(n_done.fetch_add(1, Ordering::Relaxed) + 1);
                answer
            })
            .collect()
    }
}
