//! Answers, token by token.

use crate::{
    cache::KvCache,
    error::{Error, Kind, Result},
    kernel::{softmax, wide},
    model::Model,
    sample::{SampleSettings, pick},
};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use std::ops::ControlFlow;

/// When and how an answer goes on.
#[derive(Clone, Debug, PartialEq)]
pub struct GenerateSettings {
    /// At most so many tokens.
    pub max_tokens: usize,
    /// Tokens that end the answer and are not part of it.
    pub stop_ids: Vec<u32>,
    /// The choice of each token.
    pub sample: SampleSettings,
}

impl Default for GenerateSettings {
    /// At most 64 tokens, greedy, to the end of the answer.
    fn default() -> Self {
        Self { max_tokens: 64, stop_ids: vec![crate::chat::EOS], sample: SampleSettings::default() }
    }
}

impl GenerateSettings {
    /// The same, to the end of an answer that a model's configuration names.
    pub fn of(model: &Model) -> Self {
        Self { stop_ids: model.config().eos_token_ids.clone(), ..Self::default() }
    }
}

/// Why an answer ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Finish {
    /// A stop token came, or the caller had enough.
    Stop,
    /// `max_tokens` or the model's positions were used up.
    Length,
}

/// An answer.
#[derive(Clone, Debug, PartialEq)]
pub struct Generated {
    /// Its tokens, without the stop token.
    pub tokens: Vec<u32>,
    /// The model's log-probability of each token, before temperature and nucleus.
    pub logprobs: Vec<f32>,
    /// Why it ended.
    pub finish: Finish,
}

/// The answer to a prompt. The same model, prompt and settings give the same answer.
pub fn generate(model: &Model, prompt: &[u32], settings: &GenerateSettings) -> Result<Generated> {
    generate_streaming(model, prompt, settings, |_, _| ControlFlow::Continue(()))
}

/// The same, showing each token and its log-probability as it comes. The caller may stop after any.
pub fn generate_streaming(
    model: &Model,
    prompt: &[u32],
    settings: &GenerateSettings,
    mut on_token: impl FnMut(u32, f32) -> ControlFlow<()>,
) -> Result<Generated> {
    let limit = model.config().max_position_embeddings;
    if prompt.len() >= limit {
        let n = prompt.len();
        let message = format!("the prompt has {n} tokens; the model has {limit} positions for a prompt and its answer");
        return Err(Error::new(Kind::TooLong, message));
    }
    let mut rng = ChaCha8Rng::seed_from_u64(settings.sample.seed);
    let mut cache = KvCache::new(model);
    let mut answer = Generated { tokens: Vec::new(), logprobs: Vec::new(), finish: Finish::Length };
    let mut next = prompt.to_vec();
    while answer.tokens.len() < settings.max_tokens && cache.room() >= next.len() {
        let logits = model.next_logits(&next, &mut cache)?;
        let token = pick(&logits, settings.sample, &mut rng);
        let logprob = log_probability(logits, token);
        if !logprob.is_finite() {
            return Err(Error::new(Kind::NotFinite, format!("the model gave token {token} log-probability {logprob}")));
        }
        if settings.stop_ids.contains(&token) {
            answer.finish = Finish::Stop;
            break;
        }
        answer.tokens.push(token);
        answer.logprobs.push(logprob);
        if on_token(token, logprob).is_break() {
            answer.finish = Finish::Stop;
            break;
        }
        next = vec![token];
    }
    Ok(answer)
}

/// log softmax(logits)[token]
pub(crate) fn log_probability(mut logits: Vec<f32>, token: u32) -> f32 {
    let score = logits[token as usize];
    score - wide!(softmax(&mut logits))
}
