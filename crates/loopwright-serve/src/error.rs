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
    /// A provider failed, or gave an answer that nobody can read.
    BadGateway,
    /// A provider, or a route's own bound, took too long.
    TimedOut,
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
    /// A provider did not answer as it should.
    #[error("{} `{provider}`{}: {message}", trouble.as_str(), status.map(|status| format!(" ({status})")).unwrap_or_default())]
    Upstream {
        /// Its name in the project file.
        provider: String,
        /// What happened.
        trouble: Trouble,
        /// The HTTP status, where there was one.
        status: Option<u16>,
        /// In the provider's words where it has some, cut to a bound.
        message: String,
        /// When to come back, where the provider says so.
        retry_after_ms: Option<u64>,
    },
    /// A route's bound on time was reached.
    #[error("the route `{route}` did not answer within {limit_ms} ms ({bound})")]
    Late {
        /// The route.
        route: String,
        /// The bound's key in the project file.
        bound: &'static str,
        /// The bound.
        limit_ms: u64,
    },
    /// Every target of the route failed so often that it is being left alone.
    #[error("every target of the route `{route}` is being left alone after failures; try again in {} s", retry_after_ms.div_ceil(1000))]
    AllOpen {
        /// The route.
        route: String,
        /// When the first of them is tried again.
        retry_after_ms: u64,
    },
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

/// What happened between us and a provider.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// It says that the request is wrong.
    Refused,
    /// The request asks for what this provider cannot do.
    Unable,
    /// It does not take our key, or there is none.
    Key,
    /// It does not know the model.
    Missing,
    /// It has too much to do, or we reached our own bound on requests to it.
    Busy,
    /// It failed.
    Failed,
    /// It was silent for too long.
    Silent,
    /// No connection came about.
    Unreachable,
    /// Its address is one that must not be asked.
    Address,
    /// Its answer cannot be read.
    Garbled,
    /// Its answer ended before its end.
    BrokenOff,
}

impl Trouble {
    /// How a message begins.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Refused => "the request was refused by the provider",
            Self::Unable => "the request asks for what cannot be had from the provider",
            Self::Key => "the key of this server is not accepted by the provider",
            Self::Missing => "there is no such model at the provider",
            Self::Busy => "too many requests for the provider",
            Self::Failed => "failure at the provider",
            Self::Silent => "no sign of life from the provider",
            Self::Unreachable => "no connection to the provider",
            Self::Address => "refused to connect to the provider",
            Self::Garbled => "unreadable answer of the provider",
            Self::BrokenOff => "broken-off answer of the provider",
        }
    }

    fn kind(self) -> Kind {
        match self {
            Self::Refused | Self::Unable => Kind::Invalid,
            Self::Busy => Kind::Busy,
            Self::Silent => Kind::TimedOut,
            _ => Kind::BadGateway,
        }
    }

    fn code(self) -> &'static str {
        match self {
            Self::Refused => "provider_refused",
            Self::Unable => "unsupported_by_provider",
            Self::Key => "provider_key",
            Self::Missing => "provider_model_not_found",
            Self::Busy => "rate_limit_exceeded",
            Self::Failed => "provider_failed",
            Self::Silent => "provider_timeout",
            Self::Unreachable => "provider_unreachable",
            Self::Address => "provider_address_refused",
            Self::Garbled => "provider_garbled",
            Self::BrokenOff => "provider_broken_off",
        }
    }
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
            Self::RouteNotReady { .. }
            | Self::NotLoaded { .. }
            | Self::NoRoom { .. }
            | Self::AllOpen { .. }
            | Self::Stopped => Kind::Unavailable,
            Self::Upstream { trouble, .. } => trouble.kind(),
            Self::Late { .. } => Kind::TimedOut,
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
            Self::Upstream { trouble, .. } => trouble.code(),
            Self::Late { .. } => "timeout",
            Self::AllOpen { .. } => "no_target_available",
            Self::Load { .. } | Self::Compute { .. } | Self::NotFinite { .. } | Self::Grammar(_) | Self::Thread(_) => {
                "internal_error"
            }
        }
    }

    /// When it may be worth trying again, where that is known.
    pub fn retry_after_ms(&self) -> Option<u64> {
        match self {
            Self::Busy { retry_after_ms, .. } | Self::AllOpen { retry_after_ms, .. } => Some(*retry_after_ms),
            Self::Upstream { retry_after_ms, .. }
            | Self::OverLimit { retry_after_ms, .. }
            | Self::OverBudget { retry_after_ms, .. } => *retry_after_ms,
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

/// An error and its causes in one line.
pub fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}
