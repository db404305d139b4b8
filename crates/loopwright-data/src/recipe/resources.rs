//! What steps may need beside the rows, and who asks for it by name.

use super::StepSettings;
use crate::{Error, Result, clean::perplexity, clean::redact, decontaminate, embedding_dedup, tokens::TokenCounter};
use loopwright_guard::Mapping;
use std::{collections::BTreeMap, sync::Arc};

/// The perplexity of a text under some language model: exp of the mean negative log-likelihood of its tokens.
pub type PerplexityFunction<'a> = dyn Fn(&str) -> Result<f64> + Sync + 'a;

/// One vector per text, in their order. A text's vector depends on nothing but the text.
pub type EmbedFunction<'a> = dyn Fn(&[&str]) -> Result<Vec<Vec<f32>>> + Sync + 'a;

/// What a recipe's steps may need. A step that needs what is not here is refused by name before anything runs.
#[derive(Clone, Default)]
pub struct Resources<'a> {
    /// Rows (id and text) that models are judged by, by the name of their set; for `decontaminate`.
    pub evaluation_texts: BTreeMap<String, Vec<(String, String)>>,
    /// For `perplexity`.
    pub perplexity: Option<&'a PerplexityFunction<'a>>,
    /// For `embedding_dedup` with `vectors = "model"`.
    pub embed: Option<&'a EmbedFunction<'a>>,
    /// A secret of 32 random bytes, for `redact` with `surrogates = true`.
    pub surrogate_key: Option<[u8; 32]>,
    /// The dataset's stand-ins, for `redact` with `reversible = true`.
    pub mapping: Option<Arc<Mapping>>,
    /// Counts tokens for the data card; pieces are counted where there is none.
    pub tokens: Option<TokenCounter<'a>>,
}

/// Shows what is there, and neither texts nor the secret.
impl std::fmt::Debug for Resources<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Resources")
            .field("evaluation_sets", &self.evaluation_texts.keys().collect::<Vec<_>>())
            .field("perplexity", &self.perplexity.is_some())
            .field("embed", &self.embed.is_some())
            .field("surrogate_key", &self.surrogate_key.is_some())
            .field("mapping", &self.mapping)
            .field("tokens", &self.tokens)
            .finish()
    }
}

static NONE: Resources<'static> = Resources {
    evaluation_texts: BTreeMap::new(),
    perplexity: None,
    embed: None,
    surrogate_key: None,
    mapping: None,
    tokens: None,
};

impl<'a> Resources<'a> {
    /// Nothing: enough for the steps of [`super::Recipe::default`].
    pub fn none() -> &'static Resources<'static> {
        &NONE
    }

    pub(crate) fn evaluation_texts(&self) -> Result<&BTreeMap<String, Vec<(String, String)>>> {
        let found = (!self.evaluation_texts.is_empty()).then_some(&self.evaluation_texts);
        found.ok_or_else(|| Error::resource(decontaminate::STEP, "evaluation texts"))
    }

    pub(crate) fn perplexity(&self) -> Result<&'a PerplexityFunction<'a>> {
        self.perplexity.ok_or_else(|| Error::resource(perplexity::STEP, "a language model"))
    }

    pub(crate) fn embed(&self) -> Result<&'a EmbedFunction<'a>> {
        self.embed.ok_or_else(|| Error::resource(embedding_dedup::STEP, "an embedding model"))
    }

    /// What comes in place of findings.
    pub(crate) fn stand_ins(&self, settings: &redact::Settings) -> Result<redact::StandIns<'_>> {
        Ok(match settings {
            redact::Settings { surrogates: false, .. } => redact::StandIns::None,
            redact::Settings { reversible: false, .. } => redact::StandIns::Drawn(self.surrogate_key()?),
            redact::Settings { reversible: true, .. } => {
                let mapping = self.mapping.as_deref();
                redact::StandIns::Of(mapping.ok_or_else(|| Error::resource(redact::STEP, "the dataset's stand-ins"))?)
            }
        })
    }

    pub(crate) fn surrogate_key(&self) -> Result<&[u8; 32]> {
        self.surrogate_key.as_ref().ok_or_else(|| Error::resource(redact::STEP, "a secret for surrogates"))
    }

    /// Refuses a step that needs what is not here.
    pub(super) fn check_for(&self, step: &StepSettings) -> Result<()> {
        match step {
            StepSettings::Decontaminate(_) => self.evaluation_texts().map(drop),
            StepSettings::Perplexity(_) => self.perplexity().map(drop),
            StepSettings::Redact(settings) => self.stand_ins(settings).map(drop),
            StepSettings::EmbeddingDedup(settings) if settings.needs_model() => self.embed().map(drop),
            _ => Ok(()),
        }
    }
}
