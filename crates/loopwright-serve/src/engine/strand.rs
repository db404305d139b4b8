//! One answer being written: its tokens, its cache, its random numbers, its text so far.

use super::{
    Constraint, GenerateRequest,
    draft::Guessing,
    models::Loaded,
    plan::Want,
    prefixes::{PageKey, Prefixes, root},
    stops::StopScan,
};
use crate::{
    Error, Result,
    ask::Sampling,
    event::{FinishReason, TokenLogprob},
    tools,
};
use loopwright_lm::{
    KvCache, PAGE_TOKENS, PagePool, SampleSettings, StreamDecoder, Tokenizer,
    sample::{self, Adjustments},
};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use std::{collections::HashMap, sync::Arc};

/// An answer between two passes.
pub(crate) struct Strand {
    pub(crate) choice: u32,
    loaded: Arc<Loaded>,
    cache: KvCache,
    pool: PagePool,
    /// The key that its first page goes on from, and those of the cache's whole pages.
    root: PageKey,
    keys: Vec<PageKey>,
    /// Prompt and answer.
    tokens: Vec<u32>,
    n_prompt: usize,
    /// Guesses that the pass under way reads behind the tokens.
    guesses: Vec<u32>,
    guessing: Guessing,
    rules: Arc<Rules>,
    rng: ChaCha8Rng,
    written: HashMap<u32, u32>,
    constraint: Option<Box<dyn Constraint>>,
    text: StreamDecoder,
    stops: StopScan,
    /// Of tokens whose text is held back.
    logprobs: Vec<TokenLogprob>,
    finish: Option<FinishReason>,
}

/// What holds for all answers to a request.
pub(crate) struct Rules {
    sample: SampleSettings,
    adjust: Adjustments,
    logprobs: Option<u32>,
    max_tokens: u32,
    min_tokens: u32,
    ignores_end: bool,
}

impl Rules {
    pub(crate) fn of(request: &GenerateRequest) -> Self {
        let Sampling { presence_penalty, frequency_penalty, repetition_penalty, .. } = request.sampling;
        Self {
            sample: SampleSettings {
                temperature: request.sampling.temperature.unwrap_or(0.0),
                top_p: request.sampling.top_p.unwrap_or(1.0),
                top_k: request.sampling.top_k.unwrap_or(0),
                min_p: request.sampling.min_p.unwrap_or(0.0),
                seed: request.sampling.seed.unwrap_or(0),
            },
            adjust: Adjustments {
                presence_penalty: presence_penalty.unwrap_or(0.0),
                frequency_penalty: frequency_penalty.unwrap_or(0.0),
                repetition_penalty: repetition_penalty.unwrap_or(1.0),
                bias: request.sampling.logit_bias.clone(),
            },
            logprobs: request.logprobs,
            max_tokens: request.max_tokens,
            min_tokens: request.sampling.min_tokens.min(request.max_tokens),
            ignores_end: request.sampling.ignore_eos,
        }
    }
}

/// New text of an answer.
#[derive(Debug, Default)]
pub(crate) struct News {
    pub(crate) text: String,
    pub(crate) logprobs: Vec<TokenLogprob>,
    pub(crate) finish: Option<FinishReason>,
    pub(crate) n_tokens: u32,
    pub(crate) n_guesses: u32,
    pub(crate) n_right: u32,
}

impl Strand {
    /// The first answer to a request whose prompt and bound fit the model's context; what others left of its prompt is read
    /// already.
    pub(crate) fn new(
        request: GenerateRequest,
        loaded: &Arc<Loaded>,
        pool: &PagePool,
        prefixes: &mut Prefixes,
    ) -> Self {
        let mut strand = Self {
            choice: 0,
            cache: KvCache::in_pool(loaded.base_model(), pool),
            pool: pool.clone(),
            root: root(&loaded.serial().to_string()),
            keys: Vec::new(),
            n_prompt: request.prompt.len(),
            guesses: Vec::new(),
            guessing: Guessing::default(),
            rules: Arc::new(Rules::of(&request)),
            rng: ChaCha8Rng::seed_from_u64(request.sampling.seed.unwrap_or(0)),
            written: HashMap::new(),
            constraint: request.constraint,
            text: loaded.tokenizer().stream(),
            stops: StopScan::new(request.stop),
            logprobs: Vec::new(),
            finish: None,
            tokens: request.prompt,
            loaded: Arc::clone(loaded),
        };
        strand.start_over(prefixes);
        strand
    }

    /// Another answer to the same prompt, which has been read.
    pub(crate) fn fork(&self, choice: u32) -> Self {
        Self {
            choice,
            loaded: Arc::clone(&self.loaded),
            cache: self.cache.clone(),
            pool: self.pool.clone(),
            root: self.root,
            keys: self.keys.clone(),
            tokens: self.tokens.clone(),
            n_prompt: self.n_prompt,
            guesses: Vec::new(),
            guessing: self.guessing,
            rules: Arc::clone(&self.rules),
            // Another seed for each, far from those that clients choose.
            rng: ChaCha8Rng::seed_from_u64(
                self.rules.sample.seed ^ u64::from(choice).wrapping_mul(0x9e37_79b9_7f4a_7c15),
            ),
            written: HashMap::new(),
            constraint: self.constraint.clone(),
            text: self.text.clone(),
            stops: self.stops.clone(),
            logprobs: Vec::new(),
            finish: None,
        }
    }

    /// Gives its memory back and begins to read again, from what is still kept.
    pub(crate) fn start_over(&mut self, prefixes: &mut Prefixes) {
        self.give_up();
        let (pages, keys) = prefixes.find(self.root, &self.tokens);
        self.keys = keys;
        self.cache = KvCache::in_pool(self.loaded.base_model(), &self.pool).with_prefix(pages);
    }

    /// Gives its memory back; [`Strand::start_over`] comes before it reads again.
    pub(crate) fn give_up(&mut self) {
        self.keys.clear();
        self.cache.truncate(0);
    }

    /// Bytes of all the pages that it needs to go on.
    pub(crate) fn whole_bytes(&self) -> usize {
        (self.tokens.len() + 1).div_ceil(PAGE_TOKENS) * KvCache::page_bytes(self.loaded.base_model())
    }

    pub(crate) fn loaded(&self) -> &Arc<Loaded> {
        &self.loaded
    }

    /// Tokens read, those that were kept among them.
    pub(crate) fn n_read(&self) -> usize {
        self.cache.n_tokens()
    }

    fn n_written(&self) -> usize {
        self.tokens.len() - self.n_prompt
    }

    pub(crate) fn is_done(&self) -> bool {
        self.finish.is_some()
    }

    /// What it could read in the next pass; guesses among it, if they may be made.
    pub(crate) fn want(&mut self, may_guess: bool) -> Want {
        let unread = self.tokens.len() - self.cache.n_tokens();
        let is_writing = self.n_written() > 0 && unread == 1;
        self.guesses.clear();
        if is_writing && may_guess {
            let left = self.rules.max_tokens as usize - self.n_written();
            // The last token is chosen, not read.
            let room = self.cache.room().saturating_sub(1).min(left.saturating_sub(1));
            self.guesses = self.guessing.guess(&self.tokens, room);
        }
        Want { unread: unread + self.guesses.len(), is_writing }
    }

    /// Settles on so many tokens for the pass and takes memory for them. False if there is none.
    pub(crate) fn prepare(&mut self, n: usize) -> bool {
        let unread = self.tokens.len() - self.cache.n_tokens();
        self.guesses.truncate(n.saturating_sub(unread));
        self.cache.reserve(n)
    }

    /// The tokens of the pass, and whether what follows them is to be told.
    pub(crate) fn reading(&mut self, n: usize) -> (Vec<u32>, usize, &mut KvCache) {
        let start = self.cache.n_tokens();
        let end = (start + n).min(self.tokens.len());
        let mut tokens = self.tokens[start..end].to_vec();
        tokens.extend(&self.guesses);
        let n_logits = if end == self.tokens.len() { 1 + self.guesses.len() } else { 0 };
        (tokens, n_logits, &mut self.cache)
    }

    /// Goes on with the logits after the last token and each guess, if there are any.
    pub(crate) fn go_on(&mut self, logits: Vec<Vec<f32>>, prefixes: &mut Prefixes) -> Result<News> {
        let mut news = News { n_guesses: self.guesses.len() as u32, ..News::default() };
        let guesses = std::mem::take(&mut self.guesses);
        for (i, logits) in logits.into_iter().enumerate() {
            let token = self.choose(logits)?;
            self.write(token, &mut news)?;
            if self.is_done() || guesses.get(i) != Some(&token) {
                break;
            }
            news.n_right += 1;
        }
        self.guessing.learn(news.n_right as usize, guesses.len());
        // What was read of wrong guesses is forgotten; the last token is read in the next pass.
        self.cache.truncate(self.tokens.len() - 1);
        prefixes.keep(self.root, &mut self.keys, (&self.cache, &self.tokens));
        Ok(news)
    }

    /// The next token, by the logits after the last one.
    fn choose(&mut self, raw: Vec<f32>) -> Result<u32> {
        let mut logits = raw;
        let plain = self.rules.logprobs.is_some().then(|| logits.clone());
        self.rules.adjust.apply(&mut logits, &self.tokens[..self.n_prompt], &self.written);
        let ends = &self.loaded.base_model().config().eos_token_ids;
        if self.rules.ignores_end || (self.n_written() as u32) < self.rules.min_tokens {
            ends.iter().map(|end| *end as usize).for_each(|end| {
                if let Some(logit) = logits.get_mut(end) {
                    *logit = f32::NEG_INFINITY;
                }
            });
        }
        if let Some(constraint) = &mut self.constraint {
            constraint.allowed()?.apply(&mut logits);
        }
        let token = sample::pick(&logits, self.rules.sample, &mut self.rng);
        if !logits.get(token as usize).is_some_and(|logit| logit.is_finite()) {
            return Err(Error::NotFinite { model: self.loaded.name().clone() });
        }
        if let (Some(plain), Some(n)) = (plain, self.rules.logprobs) {
            let entry = of_token(self.loaded.tokenizer(), &plain, token, n as usize);
            self.logprobs.push(entry);
        }
        Ok(token)
    }

    fn write(&mut self, token: u32, news: &mut News) -> Result<()> {
        self.tokens.push(token);
        *self.written.entry(token).or_default() += 1;
        news.n_tokens += 1;
        let is_end = self.loaded.base_model().config().eos_token_ids.contains(&token);
        if let Some(constraint) = &mut self.constraint {
            constraint.take(token)?;
        }
        // A token without bytes is a special one: unless it announces calls, the assistant's turn is over.
        let is_special = self.loaded.tokenizer().token_bytes(token).is_empty();
        let announces = is_special && self.loaded.tokenizer().token_id(tools::LIST) == Some(token);
        if !self.rules.ignores_end && (is_end || (is_special && !announces)) {
            // The end itself is no part of what was asked for.
            self.logprobs.pop();
            self.end(FinishReason::Stop, news);
            return Ok(());
        }
        let mut text = self.text.push(token);
        if announces {
            text.push_str(tools::LIST);
        }
        let (text, stopped) = self.stops.push(&text);
        news.text.push_str(&text);
        if let Some(index) = stopped {
            self.finish = Some(FinishReason::StopText(index));
        } else if self.constraint.as_ref().is_some_and(|constraint| constraint.is_complete()) {
            self.end(FinishReason::Stop, news);
        } else if self.n_written() as u32 >= self.rules.max_tokens || self.tokens.len() > self.context() {
            self.end(FinishReason::Length, news);
        }
        if !text.is_empty() || self.is_done() {
            news.logprobs.append(&mut self.logprobs);
        }
        news.finish = self.finish;
        Ok(())
    }

    fn context(&self) -> usize {
        self.loaded.context() as usize
    }

    /// Ends it, with everything that was held back.
    fn end(&mut self, finish: FinishReason, news: &mut News) {
        let (held, stopped) = self.stops.push(&self.text.clone().finish());
        news.text.push_str(&held);
        if stopped.is_none() {
            news.text.push_str(&self.stops.finish());
        }
        self.finish = Some(stopped.map_or(finish, FinishReason::StopText));
        news.logprobs.append(&mut self.logprobs);
        news.finish = self.finish;
    }
}

/// A token with its log-probability and the likeliest ones in its place.
fn of_token(tokenizer: &Tokenizer, logits: &[f32], token: u32, n: usize) -> TokenLogprob {
    let (logprob, top) = sample::log_probabilities(logits, token, n);
    let entry = |id: u32, logprob: f32, top: Vec<TokenLogprob>| {
        let bytes = tokenizer.token_bytes(id).to_vec();
        TokenLogprob { id, token: String::from_utf8_lossy(&bytes).into_owned(), bytes, logprob, top }
    };
    let top = top.into_iter().map(|(id, logprob)| entry(id, logprob, Vec::new())).collect();
    entry(token, logprob, top)
}
