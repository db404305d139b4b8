//! What a model answers to the same few prompts as it learns, for people to read.

use crate::error::{Error, Result};
use loopwright_lm::{GenerateSettings, Model, generate};

/// Prompts that are answered at each validation; none by default.
#[derive(Clone, Copy, Debug, Default)]
pub struct Samples<'a> {
    /// Their tokens.
    pub prompts: &'a [Vec<u32>],
    /// Most tokens of an answer.
    pub max_tokens: usize,
}

impl Samples<'_> {
    /// The likeliest answers. They change nothing of a run.
    pub(crate) fn answers(&self, model: &Model) -> Result<Vec<Vec<u32>>> {
        let settings = GenerateSettings { max_tokens: self.max_tokens, ..GenerateSettings::of(model) };
        let answer = |prompt: &Vec<u32>| Ok(generate(model, prompt, &settings)?.tokens);
        let answers = self.prompts.iter().map(answer).collect::<loopwright_lm::Result<_>>();
        answers.map_err(|source| Error::model("failed to answer a sample prompt", source))
    }
}
