//! One answered request, as it is kept.

use crate::{
    Timestamp,
    id::{KeyId, SubjectId, TraceId},
    key::Amount,
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
    /// What it cost, and what stood between question and answer.
    #[serde(default)]
    pub detail: TraceDetail,
}

impl Trace {
    /// What its key used with it. An answer from a cache is a request, and no tokens.
    pub fn used(&self) -> Amount {
        let is_cached = matches!(self.detail.cache, CacheState::Hit | CacheState::Semantic);
        let tokens = if is_cached { 0 } else { u64::from(self.tokens_in) + u64::from(self.tokens_out) };
        Amount { requests: 1, tokens, micro_usd: self.detail.cost_micro_usd }
    }
}

/// What a request cost, and what stood between question and answer.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct TraceDetail {
    /// Millionths of a dollar.
    #[serde(skip_serializing_if = "is_zero")]
    pub cost_micro_usd: u64,
    /// Prompt tokens that were read from a cache.
    #[serde(skip_serializing_if = "is_zero_u32")]
    pub tokens_cached: u32,
    /// Whether the answer came from the route's cache.
    #[serde(skip_serializing_if = "CacheState::is_off")]
    pub cache: CacheState,
    /// The conversation, as the client names it, personal data masked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub session: Option<String>,
    /// What each guardrail said.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub guard: Vec<GuardVerdict>,
    /// Who was asked, in order, where it was not one of our own models at once.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub attempts: Vec<Attempt>,
    /// Input or output is longer than what was kept of it.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub is_cut: bool,
}

fn is_zero(number: &u64) -> bool {
    *number == 0
}

fn is_zero_u32(number: &u32) -> bool {
    *number == 0
}

/// Whether an answer came from a cache.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CacheState {
    /// The route has none, or the request is none for a cache.
    #[default]
    Off,
    /// It was looked for and not found.
    Miss,
    /// The same question was answered before.
    Hit,
    /// One that means the same was answered before.
    Semantic,
}

impl CacheState {
    /// The word on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::Miss => "miss",
            Self::Hit => "hit",
            Self::Semantic => "semantic",
        }
    }

    fn is_off(&self) -> bool {
        *self == Self::Off
    }
}

/// What a guardrail said of one text. The text itself is not repeated here.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GuardVerdict {
    /// The rule, such as `pii` or `injection`.
    pub rule: String,
    /// What it looked at.
    pub stage: GuardStage,
    /// What it found.
    pub verdict: GuardFinding,
    /// What was done.
    pub done: GuardAction,
    /// What kind of thing it found, such as `email`; never the thing.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub found: Vec<String>,
}

/// What a guardrail looks at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GuardStage {
    /// What the client sent.
    Input,
    /// What is to be sent back.
    Output,
}

/// What a guardrail found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GuardFinding {
    /// Nothing.
    Pass,
    /// What it looks for.
    Hit,
    /// It could not be asked.
    Failed,
}

/// What a guardrail does about what it finds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GuardAction {
    /// Nothing.
    None,
    /// It is written into the trace.
    Flag,
    /// The place is covered.
    Mask,
    /// The request, or the rest of the answer, is refused.
    Block,
}

impl GuardAction {
    /// The stored word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Flag => "flag",
            Self::Mask => "mask",
            Self::Block => "block",
        }
    }
}

/// One try to have a request answered.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Attempt {
    /// Who was asked: a provider, or a model version of ours.
    pub target: String,
    /// `ok`, or the error's code.
    pub outcome: String,
    /// How long it took, in milliseconds.
    pub ms: f64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trace_of_the_first_format_is_read_without_details() {
        let old = r#"{"id":"t","at":1,"route":"r","variant":"live","model":"m@1","key":null,"subject":null,"input":"a","output":"b","tokens_in":1,"tokens_out":1,"latency_ms":1.0,"first_token_ms":1.0,"status":200,"finish":"stop","tag":null}"#;
        let trace: Trace = serde_json::from_str(old).unwrap();
        assert_eq!(trace.detail, TraceDetail::default());
    }

    #[test]
    fn details_come_back_and_empty_ones_take_no_room() {
        assert_eq!(serde_json::to_string(&TraceDetail::default()).unwrap(), "{}");
        let text = r#"{"cost_micro_usd":12,"cache":"hit","session":"s","guard":[{"rule":"pii","stage":"input","verdict":"hit","done":"mask","found":["email"]}],"attempts":[{"target":"p","outcome":"ok","ms":1.5}],"is_cut":true}"#;
        let detail: TraceDetail = serde_json::from_str(text).unwrap();
        assert_eq!(serde_json::to_string(&detail).unwrap(), text);
    }
}
