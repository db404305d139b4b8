//! What can go wrong between a request and its answer.

use crate::price;
use loopwright_types::{
    Timestamp,
    key::{Limit, Measure, Window},
    model::ModelRef,
};

/// The crate's result.
pub type Result<T> = std::result::Result<T, Error>;

/// Who has to act on an error. The server maps kinds to HTTP statuses, never texts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The request is wrong; sending it again will not help.
    Invalid,
    /// No key, a wrong key or a withdrawn one.
    Unauthenticated,
    /// The key is good, but not for this.
    Forbidden,
    /// No such route.
    NotFound,
    /// Full; try again after a while.
    Busy,
    /// Not loaded yet, refused, or being stopped.
    Unavailable,
    /// Our fault.
    Internal,
}

/// An error of the engine or the gateway.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A field of the request is missing, out of range or not served.
    #[error("{message}")]
    Invalid {
        /// The field, as the client wrote it.
        param: Option<String>,
        /// For programs.
        code: &'static str,
        /// For people.
        message: String,
    },
    /// The prompt leaves no room for an answer.
    #[error(
        "this model's maximum context length is {limit} tokens, but the messages take {n_tokens}; shorten the messages"
    )]
    ContextTooLong {
        /// Tokens the model can hold, prompt and answer together.
        limit: u32,
        /// Tokens of the prompt.
        n_tokens: u32,
    },
    /// No route of that name.
    #[error("the model `{name}` does not exist; {}", list_of_routes(available))]
    RouteNotFound {
        /// The name the client sent.
        name: String,
        /// The names that exist.
        available: Vec<String>,
    },
    /// The route exists, but none of its models can answer.
    #[error("the route `{name}` has no model that is ready to answer; `/health` says why")]
    RouteNotReady {
        /// The route.
        name: String,
    },
    /// No key came with the request.
    #[error("no API key was sent; send one as `Authorization: Bearer lw_…`")]
    NoKey,
    /// A key that nobody made.
    #[error("the API key is not known here")]
    UnknownKey,
    /// A key that was withdrawn.
    #[error("the API key was withdrawn")]
    RevokedKey,
    /// A key whose time is over.
    #[error("the API key expired at {at}")]
    ExpiredKey {
        /// When.
        at: Timestamp,
    },
    /// A key for other routes.
    #[error("the API key may not ask the model `{route}`; it may ask {}", quoted(allowed))]
    RouteNotAllowed {
        /// The route.
        route: String,
        /// What it may ask.
        allowed: Vec<String>,
    },
    /// A limit of the key leaves no room.
    #[error("the key's limit of {} is reached{}", limit_text(limit), when(*retry_after_ms))]
    OverLimit {
        /// Which.
        limit: Limit,
        /// When there will be room; none if the request is larger than the limit.
        retry_after_ms: Option<u64>,
    },
    /// The key's money leaves no room.
    #[error("the key's budget of {} leaves no room for this request{}", limit_text(limit), when(*retry_after_ms))]
    OverBudget {
        /// Which.
        limit: Limit,
        /// When there will be room; none if never.
        retry_after_ms: Option<u64>,
    },
    /// A guardrail refused the request.
    #[error("the request was refused by the rule `{rule}`")]
    Guarded {
        /// The rule.
        rule: String,
    },
    /// A key for something else.
    #[error("the API key may not do this; it needs the scope `{needed}`")]
    MissingScope {
        /// The scope that would do.
        needed: &'static str,
    },
    /// The queue is full.
    #[error("too many requests are waiting ({n_waiting}); try again in {} s", retry_after_ms.div_ceil(1000))]
    Busy {
        /// Requests that wait.
        n_waiting: usize,
        /// About when there will be room.
        retry_after_ms: u64,
    },
    /// The model is not in memory.
    #[error("the model `{model}` is not loaded")]
    NotLoaded {
        /// The version.
        model: ModelRef,
    },
    /// The weights do not fit beside those that are answering.
    #[error(
        "the model `{model}` takes about {wanted_mib} MiB; of {most_mib} MiB for models {used_mib} are taken by models that are answering"
    )]
    NoRoom {
        /// The version.
        model: ModelRef,
        /// What it takes.
        wanted_mib: u64,
        /// What others take.
        used_mib: u64,
        /// What all may take.
        most_mib: u64,
    },
    /// The model's files cannot be used.
    #[error("failed to load the model `{model}`")]
    Load {
        /// The version.
        model: ModelRef,
        /// What is wrong with them.
        source: loopwright_lm::Error,
    },
    /// The model failed while it computed.
    #[error("the model `{model}` failed while answering")]
    Compute {
        /// The version.
        model: ModelRef,
        /// What went wrong.
        source: loopwright_lm::Error,
    },
    /// The model computed something that is not a number.
    #[error("the model `{model}` is damaged: its scores are infinite or not numbers")]
    NotFinite {
        /// The version.
        model: ModelRef,
    },
    /// The form that an answer is held to failed on the way.
    #[error("failed to hold the answer to its form: {0}")]
    Grammar(String),
    /// The engine was stopped.
    #[error("the engine is stopped")]
    Stopped,
    /// A thread could not be started, or one died.
    #[error("failed to run the engine: {0}")]
    Thread(String),
}

/// `100 requests per minute`, `$5.000000 per month`, `$1.000000 in total`.
fn limit_text(limit: &Limit) -> String {
    let much = match limit.of {
        Measure::MicroUsd => format!("${}", price::usd(limit.at_most)),
        Measure::Requests | Measure::Tokens => format!("{} {}", limit.at_most, limit.of.as_str()),
    };
    match limit.window {
        Window::Total => format!("{much} in total"),
        window => format!("{much} per {}", window.as_str()),
    }
}

fn when(retry_after_ms: Option<u64>) -> String {
    retry_after_ms.map(|ms| format!("; try again in {} s", ms.div_ceil(1000))).unwrap_or_default()
}

fn quoted(names: &[String]) -> String {
    names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}

fn list_of_routes(names: &[String]) -> String {
    if names.is_empty() {
        return "no route is deployed yet".into();
    }
    format!("there is {}", quoted(names))
}

impl Error {
    /// A wrong field.
    pub(crate) fn invalid(param: &str, code: &'static str, message: impl Into<String>) -> Self {
        Self::Invalid { param: Some(param.into()), code, message: message.into() }
    }

    /// Who has to act.
    pub fn kind(&self) -> Kind {
        match self {
            Self::Invalid { .. } | Self::ContextTooLong { .. } | Self::Guarded { .. } => Kind::Invalid,
            Self::RouteNotFound { .. } => Kind::NotFound,
            Self::NoKey | Self::UnknownKey | Self::RevokedKey | Self::ExpiredKey { .. } => Kind::Unauthenticated,
            Self::MissingScope { .. } | Self::RouteNotAllowed { .. } => Kind::Forbidden,
            Self::Busy { .. } | Self::OverLimit { .. } | Self::OverBudget { .. } => Kind::Busy,
            Self::RouteNotReady { .. } | Self::NotLoaded { .. } | Self::NoRoom { .. } | Self::Stopped => {
                Kind::Unavailable
            }
            Self::Load { .. } | Self::Compute { .. } | Self::NotFinite { .. } | Self::Grammar(_) | Self::Thread(_) => {
                Kind::Internal
            }
        }
    }

    /// The word that OpenAI's clients match on.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Invalid { code, .. } => code,
            Self::ContextTooLong { .. } => "context_length_exceeded",
            Self::RouteNotFound { .. } => "model_not_found",
            Self::RouteNotReady { .. } | Self::NotLoaded { .. } | Self::NoRoom { .. } => "model_not_ready",
            Self::NoKey | Self::UnknownKey | Self::RevokedKey => "invalid_api_key",
            Self::ExpiredKey { .. } => "expired_api_key",
            Self::MissingScope { .. } => "missing_scope",
            Self::RouteNotAllowed { .. } => "model_not_allowed",
            Self::Busy { .. } | Self::OverLimit { .. } => "rate_limit_exceeded",
            Self::OverBudget { .. } => "insufficient_quota",
            Self::Guarded { .. } => "content_filter",
            Self::Stopped => "stopping",
            Self::Load { .. } | Self::Compute { .. } | Self::NotFinite { .. } | Self::Grammar(_) | Self::Thread(_) => {
                "internal_error"
            }
        }
    }

    /// After how long to try again.
    pub fn retry_after_ms(&self) -> Option<u64> {
        match self {
            Self::Busy { retry_after_ms, .. } => Some(*retry_after_ms),
            Self::OverLimit { retry_after_ms, .. } | Self::OverBudget { retry_after_ms, .. } => *retry_after_ms,
            _ => None,
        }
    }

    /// The field of the request that is to blame.
    pub fn param(&self) -> Option<&str> {
        match self {
            Self::Invalid { param, .. } => param.as_deref(),
            Self::ContextTooLong { .. } => Some("messages"),
            Self::RouteNotFound { .. } | Self::RouteNotAllowed { .. } => Some("model"),
            _ => None,
        }
    }
}
