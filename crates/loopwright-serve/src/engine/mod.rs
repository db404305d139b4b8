//! The native engine: models in memory, and one thread that answers with them.
//!
//! Requests wait by owner, in a bounded queue ([`fair`]). The engine's thread reads and writes for up to
//! [`EngineSettings::n_active_max`] answers in passes: each pass takes one token, and perhaps guesses ([`draft`]), of every
//! answer that is being written, and fills up with tokens of prompts to a budget ([`plan`]). So a long prompt never keeps
//! answers waiting, and a request joins and leaves between any two passes (continuous batching, Yu et al. 2022; chunked
//! prefill, Agrawal et al. 2023). Keys and values lie in pages that prompts with a common beginning share ([`prefixes`]).
//! Each answer has its own random numbers, and the numbers of a pass do not depend on who shares it: what a request is
//! answered does not depend on who else is being answered.

mod admission;
mod constraint;
mod draft;
mod fair;
mod models;
mod owner;
mod plan;
mod prefixes;
mod stops;
mod strand;
mod talk;

use crate::{
    Error, Result,
    ask::Sampling,
    event::{FinishReason, TokenLogprob, Used},
    gateway::answer_tokens_max,
};
use admission::Admission;
pub use constraint::{Allowed, Constraint};
use loopwright_lm::{Form, KvCache, PAGE_TOKENS, PagePool};
use loopwright_types::{Timestamp, model::ModelRef, openai::ChatMessage};
use models::Models;
use owner::{Counters, Job, Owner};
use std::{
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError, atomic::Ordering, mpsc as jobs},
    thread::JoinHandle,
};
pub(crate) use stops::overlap;
use talk::Aside;
pub use talk::Description;
use tokio::sync::mpsc;

/// Limits of the engine, and how it holds models.
#[derive(Clone, Debug, PartialEq)]
pub struct EngineSettings {
    /// Answers being written at a time.
    pub n_active_max: usize,
    /// Requests that may wait; one more is refused with the time to come back.
    pub n_waiting_max: usize,
    /// Tokens read in one pass: more is quicker for prompts, fewer for answers under way.
    pub n_tokens_step: usize,
    /// Bytes of keys and values of all answers together, kept beginnings of prompts among them.
    pub kv_cache_bytes: usize,
    /// Bytes of all models' weights together; idle models leave for others beyond it.
    pub models_bytes_max: u64,
    /// How weights are held.
    pub weights: Form,
    /// Whether answers are guessed ahead from what was read and written before; they are the same either way.
    pub speculate: bool,
    /// The date that chat templates are given; none: that of the moment.
    pub template_date: Option<Timestamp>,
}

impl Default for EngineSettings {
    /// 32 answers, 256 waiting, 256 tokens, 1 GiB of keys and values, 8 GiB of models, in f32.
    fn default() -> Self {
        Self {
            n_active_max: 32,
            n_waiting_max: 256,
            n_tokens_step: 256,
            kv_cache_bytes: 1 << 30,
            models_bytes_max: 8 << 30,
            weights: Form::F32,
            speculate: true,
            template_date: None,
        }
    }
}

/// A request to continue a prompt.
#[derive(Clone, Debug)]
pub struct GenerateRequest {
    /// Who answers.
    pub model: ModelRef,
    /// The prompt, see [`Engine::encode_chat`].
    pub prompt: Vec<u32>,
    /// Answers wanted, each with random numbers of its own.
    pub n: u32,
    /// At most so many new tokens in each; cut to what the context holds.
    pub max_tokens: u32,
    /// Texts at which an answer ends; they are not part of it.
    pub stop: Vec<String>,
    /// The choice of each token; greedy and unchanged where nothing is given.
    pub sampling: Sampling,
    /// Log-probabilities of the tokens, with so many alternatives to each.
    pub logprobs: Option<u32>,
    /// Holds each answer to a form.
    pub constraint: Option<Box<dyn Constraint>>,
    /// Who asks, such as a key: turns are shared out among owners, however many requests each has.
    pub owner: String,
}

/// The next part of an answer.
#[derive(Clone, Debug, PartialEq)]
pub struct Piece {
    /// Of which answer, from 0.
    pub choice: u32,
    /// New text, whole characters only; may be empty.
    pub text: String,
    /// The tokens behind it, where their log-probabilities were asked for.
    pub logprobs: Vec<TokenLogprob>,
    /// Why the answer ended, in the last piece of each.
    pub finish: Option<FinishReason>,
    /// Tokens used so far by all answers together. The request has ended with the last answer's last piece.
    pub used: Used,
}

/// What the engine is doing and has done.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct EngineStats {
    /// Requests in the queue.
    pub n_waiting: usize,
    /// Requests being answered.
    pub n_running: usize,
    /// Requests answered.
    pub n_done: u64,
    /// Requests whose client went away.
    pub n_cancelled: u64,
    /// Requests refused because the queue was full.
    pub n_refused: u64,
    /// Requests that failed.
    pub n_failed: u64,
    /// Times that a request gave its memory up for an older one.
    pub n_preempted: u64,
    /// Tokens of prompts.
    pub prompt_tokens: u64,
    /// Of these, found in kept pages.
    pub cached_tokens: u64,
    /// Tokens of answers.
    pub written_tokens: u64,
    /// Tokens guessed ahead.
    pub guessed_tokens: u64,
    /// Of these, those that were right.
    pub right_tokens: u64,
    /// Passes.
    pub n_passes: u64,
    /// Time spent in them, in seconds.
    pub pass_s: f64,
    /// Share of the memory for keys and values that is taken, kept pages among it.
    pub kv_cache_share: f64,
    /// Bytes of all models' weights.
    pub models_bytes: u64,
}

/// A handle on the engine; clones share it. The engine stops with [`Engine::stop`] or with its last handle.
#[derive(Clone, Debug)]
pub struct Engine(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    models: Models,
    admission: Arc<Admission>,
    aside: Aside,
    counters: Arc<Counters>,
    pool: PagePool,
    jobs: Mutex<Option<jobs::Sender<Job>>>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl Engine {
    /// Starts the engine's thread, with no model loaded.
    pub fn start(settings: EngineSettings) -> Result<Self> {
        let admission = Admission::new(settings.n_waiting_max, settings.n_active_max);
        let counters = Arc::new(Counters::default());
        let models = Models::new(settings.weights, settings.models_bytes_max, settings.template_date);
        let pool = PagePool::new(settings.kv_cache_bytes);
        let (sender, queue) = jobs::channel();
        let owner = Owner::new(settings, queue, pool.clone(), admission.clone(), counters.clone());
        let thread = std::thread::Builder::new()
            .name("engine".into())
            .spawn(move || owner.run())
            .map_err(|e| Error::Thread(format!("its thread could not be started: {e}")))?;
        let (jobs, thread) = (Mutex::new(Some(sender)), Mutex::new(Some(thread)));
        Ok(Self(Arc::new(Shared { models, admission, aside: Aside::default(), counters, pool, jobs, thread })))
    }

    /// Reads a model version into memory: a base, or an adapter on one. Versions on the same base share its weights. Where the
    /// memory for models is used up, the longest idle base leaves; it comes back when it is asked for.
    pub async fn load(&self, model: ModelRef, base_dir: PathBuf, adapter_dir: Option<PathBuf>) -> Result<()> {
        let shared = self.0.clone();
        off_the_runtime(move || shared.models.load(model, &base_dir, adapter_dir.as_deref())).await
    }

    /// Forgets a version. Requests under way are answered with it to their end. False if it was not loaded.
    pub fn unload(&self, model: &ModelRef) -> bool {
        self.0.models.unload(model)
    }

    /// The versions that can be asked, in order.
    pub fn loaded(&self) -> Vec<ModelRef> {
        self.0.models.known()
    }

    /// A version in memory; read again if it had to leave.
    async fn present(&self, model: &ModelRef) -> Result<Arc<models::Loaded>> {
        if !self.0.models.is_away(model) {
            return self.0.models.get(model);
        }
        let (shared, model) = (self.0.clone(), model.clone());
        off_the_runtime(move || shared.models.bring_back(&model)).await
    }

    /// A conversation as the prompt that the model was tuned on.
    pub async fn encode_chat(&self, model: &ModelRef, messages: Vec<ChatMessage>) -> Result<Vec<u32>> {
        let loaded = self.present(model).await?;
        let n_bytes: usize = messages.iter().map(|message| message.text().len()).sum();
        if n_bytes <= ENCODE_INLINE_BYTES_MAX {
            return loaded.conversation(&messages);
        }
        off_the_runtime(move || loaded.conversation(&messages)).await
    }

    /// A text's tokens, without any frame around it.
    pub async fn tokenize(&self, model: &ModelRef, text: String) -> Result<Vec<u32>> {
        let loaded = self.present(model).await?;
        off_the_runtime(move || Ok(loaded.tokenizer().encode(&text))).await
    }

    /// Starts an answer. Its pieces arrive as they are made; dropping the receiver cancels it.
    ///
    /// Fails at once if the model is not loaded, the prompt fills the context, or the queue is full.
    pub fn generate(&self, request: GenerateRequest) -> Result<mpsc::Receiver<Result<Piece>>> {
        let loaded = self.0.models.get(&request.model)?;
        if request.prompt.is_empty() {
            return Err(Error::invalid("messages", "invalid_value", "the prompt holds no token"));
        }
        let n = request.n.max(1);
        // Everything that the answers of one request may take must fit, or it could never be answered.
        let page = KvCache::page_bytes(loaded.base_model()).max(1);
        let room = u32::try_from(self.0.pool.most_bytes() / page * PAGE_TOKENS).unwrap_or(u32::MAX);
        let room_each = room.saturating_sub(n * PAGE_TOKENS as u32) / n;
        let context = loaded.context().min(room_each);
        let max_tokens = answer_tokens_max(request.prompt.len(), request.max_tokens, context)?;
        let place = self.0.admission.enter().inspect_err(|_| {
            self.0.counters.n_refused.fetch_add(1, Ordering::Relaxed);
        })?;
        // Room for every piece there can be: the engine never waits for a slow reader.
        let (sender, receiver) = mpsc::channel((max_tokens as usize + 2) * n as usize);
        let request = GenerateRequest { max_tokens, ..request };
        let jobs = self.0.jobs.lock().unwrap_or_else(PoisonError::into_inner);
        let job = Job { request, loaded, sender, place };
        jobs.as_ref().ok_or(Error::Stopped)?.send(job).map_err(|_| Error::Stopped)?;
        Ok(receiver)
    }

    /// The log-probability of `continuation` after each prompt.
    pub async fn score(&self, model: &ModelRef, prompts: Vec<Vec<u32>>, continuation: Vec<u32>) -> Result<Vec<f32>> {
        let loaded = self.present(model).await?;
        off_the_runtime(move || loaded.score(&prompts, &continuation)).await
    }

    /// A text's embedding: the mean of the last hidden states, of length 1.
    pub async fn embed(&self, model: &ModelRef, tokens: Vec<u32>) -> Result<Vec<f32>> {
        let loaded = self.present(model).await?;
        off_the_runtime(move || loaded.embed(&tokens)).await
    }

    /// What the engine is doing and has done.
    pub fn stats(&self) -> EngineStats {
        let counters = &self.0.counters;
        EngineStats {
            n_waiting: self.0.admission.n_waiting(),
            n_running: counters.n_running.load(Ordering::Relaxed),
            n_done: counters.n_done.load(Ordering::Relaxed),
            n_cancelled: counters.n_cancelled.load(Ordering::Relaxed),
            n_refused: counters.n_refused.load(Ordering::Relaxed),
            n_failed: counters.n_failed.load(Ordering::Relaxed),
            n_preempted: counters.n_preempted.load(Ordering::Relaxed),
            prompt_tokens: counters.prompt_tokens.load(Ordering::Relaxed),
            cached_tokens: counters.cached_tokens.load(Ordering::Relaxed),
            written_tokens: counters.written_tokens.load(Ordering::Relaxed),
            guessed_tokens: counters.guessed_tokens.load(Ordering::Relaxed),
            right_tokens: counters.right_tokens.load(Ordering::Relaxed),
            n_passes: counters.n_passes.load(Ordering::Relaxed),
            pass_s: counters.pass_us.load(Ordering::Relaxed) as f64 / 1e6,
            kv_cache_share: self.0.pool.used_bytes() as f64 / self.0.pool.most_bytes().max(1) as f64,
            models_bytes: self.0.models.used_bytes(),
        }
    }

    /// Forgets the beginnings of prompts that are kept for later ones, before the next pass.
    pub fn forget_prefixes(&self) {
        self.0.counters.forgets_prefixes.store(true, Ordering::Relaxed);
    }

    /// Stops the engine: requests under way and waiting end with [`Error::Stopped`]. Returns once its thread has ended.
    pub async fn stop(&self) -> Result<()> {
        self.0.counters.is_stopping.store(true, Ordering::Relaxed);
        self.0.jobs.lock().unwrap_or_else(PoisonError::into_inner).take();
        let thread = self.0.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        match thread {
            None => Ok(()),
            Some(thread) => {
                off_the_runtime(move || thread.join().map_err(|_| Error::Thread("its thread panicked".into()))).await
            }
        }
    }
}

/// Texts up to this size are encoded in the caller's task: about a tenth of a millisecond.
const ENCODE_INLINE_BYTES_MAX: usize = 4096;

async fn off_the_runtime<T: Send + 'static>(work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(e) => Err(Error::Thread(e.to_string())),
    }
}
