//! Vectors of texts: by the words they share, or by a model of the project.

use super::{
    collect::in_background,
    predict::{self, Loaded},
};
use crate::{
    context::Context,
    error::{Doing, Result},
};
use loopwright_data::embed::HashedEmbedding;
use loopwright_types::{ModelRef, ModelVersion};
use rayon::prelude::*;

/// Width of the vectors of words: wide enough that two words of messages seldom share a place.
const WORDS_WIDTH: usize = 512;

/// What makes vectors of texts.
pub(super) enum Vectors {
    /// Hashed words and pairs of words: likeness of words, not of meaning.
    Words,
    /// The mean of a model's last hidden states.
    Model(Box<Loaded>),
}

impl Vectors {
    /// By the named model version, or by words.
    pub async fn of(ctx: &Context, model: Option<&ModelRef>) -> Result<Self> {
        let Some(model) = model else { return Ok(Self::Words) };
        let version: ModelVersion = ctx.store.require(&model.to_string()).await?;
        let work = ctx.clone();
        Ok(Self::Model(Box::new(in_background(move || predict::load(&work, &version)).await?)))
    }

    /// One vector for each text, comparable with each other and with no other call's. Blocking.
    pub fn embed(&self, texts: &[&str]) -> Result<Vec<Vec<f32>>> {
        match self {
            Self::Words => Ok(HashedEmbedding::learn(texts, WORDS_WIDTH).embed_all(texts)),
            Self::Model(loaded) => {
                let one = |text: &&str| loaded.model.embed(&loaded.prompt(text, 0)?);
                texts.par_iter().map(one).collect::<Result<_, _>>().doing(|| "failed to embed a text".into())
            }
        }
    }
}
