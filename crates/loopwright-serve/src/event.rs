//! What an answer is made of, whoever gives it: our engine, or a provider.

use crate::Error;
use futures::Stream;
use loopwright_types::openai::Usage;
use serde::{Deserialize, Serialize};
use std::{
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
};

/// An answer on its way. Dropping it cancels the request.
pub type Events = Pin<Box<dyn Stream<Item = Result<Event, Error>> + Send>>;

/// The next part of an answer.
///
/// Each choice ends with one `Finish`. `Usage` comes once, as the last event of the whole answer. An error ends the stream.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Event {
    /// New text of a choice, whole characters only; may be empty.
    Text {
        /// Of which answer.
        choice: u32,
        /// The text.
        text: String,
        /// Of the tokens behind it, where they were asked for.
        logprobs: Vec<TokenLogprob>,
    },
    /// New text of the model's reasoning, where a provider tells it apart.
    Reasoning {
        /// Of which answer.
        choice: u32,
        /// The text.
        text: String,
    },
    /// A part of a call. The first part of each call, and only it, has id and name.
    ToolCall {
        /// Of which answer.
        choice: u32,
        /// Which of the answer's calls, from 0.
        index: u32,
        /// By which its result is matched.
        id: Option<String>,
        /// The tool.
        name: Option<String>,
        /// New text of the arguments.
        arguments: String,
    },
    /// A choice has ended.
    Finish {
        /// Which.
        choice: u32,
        /// Why.
        reason: FinishReason,
    },
    /// Tokens used by all choices together.
    Usage(Used),
}

/// Why an answer ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FinishReason {
    /// The model ended it.
    Stop,
    /// A stop text was found: which of the request's, from 0.
    StopText(u32),
    /// The bound on its tokens was reached.
    Length,
    /// It calls tools.
    ToolCalls,
    /// A guardrail or the provider's filter ended it.
    ContentFilter,
}

impl FinishReason {
    /// True if nothing cut it short.
    pub fn is_whole(self) -> bool {
        matches!(self, Self::Stop | Self::StopText(_) | Self::ToolCalls)
    }

    /// OpenAI's word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Stop | Self::StopText(_) => "stop",
            Self::Length => "length",
            Self::ToolCalls => "tool_calls",
            Self::ContentFilter => "content_filter",
        }
    }
}

/// Tokens used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Used {
    /// In the prompt.
    pub prompt_tokens: u32,
    /// Of these, read from a cache.
    pub cached_tokens: u32,
    /// In the answers.
    pub completion_tokens: u32,
    /// Of these, spent on reasoning.
    pub reasoning_tokens: u32,
}

impl From<Used> for Usage {
    fn from(used: Used) -> Self {
        Self {
            prompt_tokens: used.prompt_tokens,
            completion_tokens: used.completion_tokens,
            total_tokens: used.prompt_tokens.saturating_add(used.completion_tokens),
        }
    }
}

/// A token with its log-probability, and the likeliest tokens in its place.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TokenLogprob {
    /// Its id.
    pub id: u32,
    /// Its text; bytes that are no whole character are shown as replacement characters.
    pub token: String,
    /// Its bytes.
    pub bytes: Vec<u8>,
    /// Natural logarithm of its probability, before temperature and the like.
    pub logprob: f32,
    /// The likeliest, itself among them or not; each without alternatives of its own.
    pub top: Vec<TokenLogprob>,
}

/// Tokens used so far, readable while an answer is on its way: what one that is cut short has cost. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct Progress(Arc<Mutex<Used>>);

impl Progress {
    /// Whoever answers says how far it is.
    pub fn set(&self, used: Used) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = used;
    }

    /// How far it is.
    pub fn used(&self) -> Used {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
