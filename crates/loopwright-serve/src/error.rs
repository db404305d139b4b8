//! What can go wrong between a request and its answer.

use loopwright_types::model::ModelRef;

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

fn list_of_routes(names: &[String]) -> String {
    if names.is_empty() {
        return "no route is deployed yet".into();
    }
    let quoted: Vec<String> = names.iter().map(|name| format!("`{name}`")).collect();
    format!("there is {}", quoted.join(", "))
}

impl Error {
    /// A wrong field.
    pub(crate) fn invalid(param: &str, code: &'static str, message: impl Into<String>) -> Self {
        Self::Invalid { param: Some(param.into()), code, message: message.into() }
    }

    /// Who has to act.
    pub fn kind(&self) -> Kind {
        match self {
            Self::Invalid { .. } | Self::ContextTooLong { .. } => Kind::Invalid,
            Self::RouteNotFound { .. } => Kind::NotFound,
            Self::NoKey | Self::UnknownKey | Self::RevokedKey => Kind::Unauthenticated,
            Self::MissingScope { .. } => Kind::Forbidden,
            Self::Busy { .. } => Kind::Busy,
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
            Self::MissingScope { .. } => "missing_scope",
            Self::Busy { .. } => "rate_limit_exceeded",
            Self::Stopped => "stopping",
            Self::Load { .. } | Self::Compute { .. } | Self::NotFinite { .. } | Self::Grammar(_) | Self::Thread(_) => {
                "internal_error"
            }
        }
    }

    /// The field of the request that is to blame.
    pub fn param(&self) -> Option<&str> {
        match self {
            Self::Invalid { param, .. } => param.as_deref(),
            Self::ContextTooLong { .. } => Some("messages"),
            Self::RouteNotFound { .. } => Some("model"),
            _ => None,
        }
    }
}
