//! The native engine: models in memory, and one thread that answers with them.
//!
//! Requests wait in a bounded first-in-first-out queue. The engine's thread keeps up to
//! [`EngineSettings::n_active_max`] of them going and gives each one step in turn: a piece of its prompt or one new
//! token. So a long answer delays a short one by single steps, and a request joins and leaves between any two of them
//! (continuous batching at the level of requests, after Orca, Yu et al. 2022). Each request has its own cache and its own
//! random numbers: what it is answered does not depend on who else is being answered.

mod admission;
mod constraint;
mod models;
mod owner;
mod sequence;
mod stops;
mod talk;

use crate::{
    Error, Result,
    ask::Sampling,
    event::{TokenLogprob, Used},
    gateway::answer_tokens_max,
};
use admission::Admission;
pub use constraint::{Allowed, Constraint};
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

/// Limits of the engine.
#[derive(Clone, Debug, PartialEq)]
pub struct EngineSettings {
    /// Requests being answered at a time; each holds a cache.
    pub n_active_max: usize,
    /// Requests that may wait; one more is refused with the time to come back.
    pub n_waiting_max: usize,
    /// Prompt tokens read in one step: more is quicker for the prompt's owner, fewer for everybody else.
    pub n_prompt_tokens_step: usize,
    /// The date that chat templates are given; none: that of the moment.
    pub template_date: Option<Timestamp>,
}

impl Default for EngineSettings {
    fn default() -> Self {
        Self { n_active_max: 8, n_waiting_max: 256, n_prompt_tokens_step: 128, template_date: None }
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

/// Why an answer ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Finish {
    /// The model ended it, or a stop text was found.
    Stop,
    /// The bound on its tokens was reached.
    Length,
}

impl Finish {
    /// The word on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Stop => "stop",
            Self::Length => "length",
        }
    }
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
    pub finish: Option<Finish>,
    /// Tokens used so far by all answers together. The request has ended with the last answer's last piece.
    pub used: Used,
}

/// What the engine is doing and has done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
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
    jobs: Mutex<Option<jobs::Sender<Job>>>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl Engine {
    /// Starts the engine's thread, with no model loaded.
    pub fn start(settings: EngineSettings) -> Result<Self> {
        let admission = Admission::new(settings.n_waiting_max, settings.n_active_max);
        let counters = Arc::new(Counters::default());
        let date = settings.template_date;
        let (sender, queue) = jobs::channel();
        let owner = Owner::new(settings, queue, admission.clone(), counters.clone());
        let thread = std::thread::Builder::new()
            .name("engine".into())
            .spawn(move || owner.run())
            .map_err(|e| Error::Thread(format!("its thread could not be started: {e}")))?;
        let (jobs, thread) = (Mutex::new(Some(sender)), Mutex::new(Some(thread)));
        Ok(Self(Arc::new(Shared {
            models: Models::new(date),
            admission,
            aside: Aside::default(),
            counters,
            jobs,
            thread,
        })))
    }

    /// Reads a model version into memory: a base, or an adapter on one. Versions on the same base share its weights.
    pub async fn load(&self, model: ModelRef, base_dir: PathBuf, adapter_dir: Option<PathBuf>) -> Result<()> {
        let shared = self.0.clone();
        off_the_runtime(move || shared.models.load(model, &base_dir, adapter_dir.as_deref())).await
    }

    /// Forgets a version. Requests under way are answered with it to their end. False if it was not loaded.
    pub fn unload(&self, model: &ModelRef) -> bool {
        self.0.models.unload(model)
    }

    /// The versions in memory, in order.
    pub fn loaded(&self) -> Vec<ModelRef> {
        self.0.models.loaded()
    }

    /// A conversation as the prompt that the model was tuned on.
    pub async fn encode_chat(&self, model: &ModelRef, messages: Vec<ChatMessage>) -> Result<Vec<u32>> {
        let loaded = self.0.models.get(model)?;
        let n_bytes: usize = messages.iter().map(|message| message.text().len()).sum();
        if n_bytes <= ENCODE_INLINE_BYTES_MAX {
            return loaded.conversation(&messages);
        }
        off_the_runtime(move || loaded.conversation(&messages)).await
    }

    /// A text's tokens, without any frame around it.
    pub async fn tokenize(&self, model: &ModelRef, text: String) -> Result<Vec<u32>> {
        let loaded = self.0.models.get(model)?;
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
        let max_tokens = answer_tokens_max(request.prompt.len(), request.max_tokens, loaded.context())?;
        let place = self.0.admission.enter().inspect_err(|_| {
            self.0.counters.n_refused.fetch_add(1, Ordering::Relaxed);
        })?;
        // Room for every piece there can be: the engine never waits for a slow reader.
        let (sender, receiver) = mpsc::channel(max_tokens as usize + 1);
        let request = GenerateRequest { max_tokens, ..request };
        let jobs = self.0.jobs.lock().unwrap_or_else(PoisonError::into_inner);
        let job = Job { request, loaded, sender, place };
        jobs.as_ref().ok_or(Error::Stopped)?.send(job).map_err(|_| Error::Stopped)?;
        Ok(receiver)
    }

    /// The log-probability of `continuation` after each prompt.
    pub async fn score(&self, model: &ModelRef, prompts: Vec<Vec<u32>>, continuation: Vec<u32>) -> Result<Vec<f32>> {
        let loaded = self.0.models.get(model)?;
        off_the_runtime(move || loaded.score(&prompts, &continuation)).await
    }

    /// A text's embedding: the mean of the last hidden states, of length 1.
    pub async fn embed(&self, model: &ModelRef, tokens: Vec<u32>) -> Result<Vec<f32>> {
        let loaded = self.0.models.get(model)?;
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
        }
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
