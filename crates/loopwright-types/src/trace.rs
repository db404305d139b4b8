//! One answered request, as it is kept.

use crate::{
    Timestamp,
    id::{KeyId, SubjectId, TraceId},
    model::ModelRef,
};
use serde::{Deserialize, Serialize};

/// One answered (or refused) request. Texts are masked before they get here.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Trace {
    /// Also sent to the client, as the completion's id and in the `x-trace-id` header.
    pub id: TraceId,
    /// When the request arrived.
    pub at: Timestamp,
    /// The route asked for.
    pub route: String,
    /// The variant that answered: `live` or `canary`.
    pub variant: String,
    /// The version that answered.
    pub model: ModelRef,
    /// The key that paid.
    pub key: Option<KeyId>,
    /// Whose words (from the request's `user` field), as a pseudonym.
    pub subject: Option<SubjectId>,
    /// The last user message, personal data masked.
    pub input: String,
    /// The answer, personal data masked.
    pub output: String,
    /// Prompt tokens.
    pub tokens_in: u32,
    /// Answer tokens.
    pub tokens_out: u32,
    /// From arrival to the last token, in milliseconds.
    pub latency_ms: f64,
    /// From arrival to the first token, in milliseconds.
    pub first_token_ms: f64,
    /// HTTP status.
    pub status: u16,
    /// `stop`, `length`, or the error's code.
    pub finish: String,
    /// Client-given tag, such as the replay it belongs to.
    pub tag: Option<String>,
}
