//! One request being answered: its cache, its random numbers, its text so far.

use super::{Finish, GenerateRequest, Piece, models::Loaded, stops::StopScan};
use crate::{Error, Result, event::Used};
use candle_core::{Device, Tensor};
use loopwright_lm::{KvCache, SampleSettings, StreamDecoder, sample};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use std::sync::Arc;

/// A request between two steps.
pub(crate) struct Sequence {
    loaded: Arc<Loaded>,
    cache: KvCache,
    /// Tokens that the model has not read yet: the rest of the prompt, or the token written last.
    unread: Vec<u32>,
    settings: SampleSettings,
    rng: ChaCha8Rng,
    text: StreamDecoder,
    stops: StopScan,
    n_prompt: u32,
    n_written: u32,
    max_tokens: u32,
}

/// What a step came to.
pub(crate) enum Step {
    /// A part of the prompt was read.
    Reading,
    /// A token was written.
    Wrote(Piece),
}

impl Sequence {
    /// A request whose prompt and bound fit the model's context.
    pub(crate) fn new(request: GenerateRequest, loaded: Arc<Loaded>) -> Self {
        Self {
            cache: loaded.cache(),
            settings: SampleSettings {
                temperature: request.sampling.temperature.unwrap_or(0.0),
                top_p: request.sampling.top_p.unwrap_or(1.0),
                top_k: request.sampling.top_k.unwrap_or_default(),
                min_p: request.sampling.min_p.unwrap_or_default(),
                seed: request.sampling.seed.unwrap_or(0),
            },
            rng: ChaCha8Rng::seed_from_u64(request.sampling.seed.unwrap_or(0)),
            text: loaded.tokenizer().stream(),
            stops: StopScan::new(request.stop),
            n_prompt: u32::try_from(request.prompt.len()).unwrap_or(u32::MAX),
            n_written: 0,
            max_tokens: request.max_tokens,
            unread: request.prompt,
            loaded,
        }
    }

    /// Reads at most `n_prompt_tokens` of what is unread; once nothing is left, writes one token.
    pub(crate) fn step(&mut self, n_prompt_tokens: usize) -> Result<Step> {
        if let Some((class, _)) = self.loaded.model().class_of(&self.unread).map_err(|e| self.loaded.failed(e))? {
            // A classifier reads the whole text and has its answer at once.
            let (text, is_stopped) = self.stops.push(&loopwright_types::answer::text_of(&class));
            let rest = if is_stopped { String::new() } else { self.stops.finish() };
            return Ok(Step::Wrote(self.piece(text + &rest, Some(Finish::Stop))));
        }
        let n_read = self.unread.len().min(n_prompt_tokens);
        let read: Vec<u32> = self.unread.drain(..n_read).collect();
        let logits = self.last_logits(&read).map_err(|e| self.loaded.failed(e))?;
        if !self.unread.is_empty() {
            return Ok(Step::Reading);
        }
        let token = sample::pick(&logits, self.settings, &mut self.rng);
        if !logits.get(token as usize).is_some_and(|logit| logit.is_finite()) {
            return Err(Error::NotFinite { model: self.loaded.name().clone() });
        }
        Ok(Step::Wrote(self.write(token)))
    }

    /// Logits [vocabulary] after the last of these tokens; the cache remembers them all.
    fn last_logits(&mut self, tokens: &[u32]) -> loopwright_lm::Result<Vec<f32>> {
        let input = Tensor::new(tokens, &Device::Cpu)?.unsqueeze(0)?;
        // [1, tokens, vocabulary]
        let logits = self.loaded.model().forward(&input, Some(&mut self.cache))?;
        Ok(logits.get(0)?.get(tokens.len() - 1)?.to_vec1()?)
    }

    fn write(&mut self, token: u32) -> Piece {
        self.n_written += 1;
        // A token without bytes is a special one: whichever it is, the assistant's turn is over.
        let is_end = self.loaded.model().config().eos_token_ids.contains(&token);
        if is_end || self.loaded.tokenizer().token_bytes(token).is_empty() {
            return self.end(String::new(), Finish::Stop);
        }
        let (text, is_stopped) = self.stops.push(&self.text.push(token));
        if is_stopped {
            return self.piece(text, Some(Finish::Stop));
        }
        if self.n_written >= self.max_tokens {
            return self.end(text, Finish::Length);
        }
        self.unread.push(token);
        self.piece(text, None)
    }

    /// The last piece, with everything that was held back.
    fn end(&mut self, mut text: String, finish: Finish) -> Piece {
        let (held, is_stopped) = self.stops.push(&self.text.clone().finish());
        text.push_str(&held);
        if !is_stopped {
            text.push_str(&self.stops.finish());
        }
        self.piece(text, Some(if is_stopped { Finish::Stop } else { finish }))
    }

    fn piece(&self, text: String, finish: Option<Finish>) -> Piece {
        let used = Used { prompt_tokens: self.n_prompt, completion_tokens: self.n_written, ..Used::default() };
        Piece { choice: 0, text, logprobs: Vec::new(), finish, used }
    }
}
