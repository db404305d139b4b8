//! What every API's answer has in common: it is written whole, or as server-sent events.

use crate::{
    Error, Kind,
    event::{Event, Used},
    gathered::Gathered,
};
use loopwright_types::openai::{ErrorBody, ErrorDetail};
use serde::Serialize;
use serde_json::Value;

/// The end of every stream of OpenAI's.
pub const DONE_FRAME: &str = "data: [DONE]\n\n";

/// How an API writes an answer: whole, or piece by piece in the order begin, events, end or failure.
pub trait Writer: Send {
    /// What a stream begins with, given the tokens used until then.
    fn begin(&mut self, used: Used) -> String;

    /// An event as frames of the stream; may be empty.
    fn event(&mut self, event: &Event) -> String;

    /// What a stream ends with.
    fn end(&mut self) -> String;

    /// What a stream ends with that failed on its way.
    fn failed(&mut self, error: &Error) -> String;

    /// The whole answer as one body.
    fn whole(&self, answer: &Gathered) -> Value;
}

/// What stays the same over all parts of one answer.
#[derive(Clone, Debug, PartialEq)]
pub struct Head {
    /// The trace's id.
    pub id: String,
    /// Unix seconds.
    pub created: i64,
    /// The name that the client asked for.
    pub model: String,
    /// The model version that answers.
    pub fingerprint: String,
}

/// One server-sent event (WHATWG HTML, section 9.2.6): JSON holds no line end, so one `data:` line is enough.
pub fn sse_frame(event: &impl Serialize) -> String {
    let json = serde_json::to_string(event).expect("wire types have text keys only");
    format!("data: {json}\n\n")
}

/// The same with a name.
pub(crate) fn named_frame(name: &str, event: &impl Serialize) -> String {
    format!("event: {name}\n{}", sse_frame(event))
}

/// An error as OpenAI's clients expect it.
pub fn error_body(error: &Error) -> ErrorBody {
    let kind = match error.kind() {
        Kind::Invalid | Kind::NotFound => "invalid_request_error",
        Kind::Unauthenticated => "authentication_error",
        Kind::Forbidden => "permission_error",
        Kind::Busy => "rate_limit_error",
        Kind::Unavailable | Kind::BadGateway | Kind::TimedOut | Kind::Internal => "server_error",
    };
    ErrorBody {
        error: ErrorDetail {
            message: error.to_string(),
            kind: kind.into(),
            param: error.param().map(str::to_string),
            code: Some(error.code().into()),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_carry_message_type_param_and_code() {
        let error = Error::RouteNotFound { name: "x".into(), available: vec!["support".into()] };
        assert_eq!(
            serde_json::to_string(&error_body(&error)).unwrap(),
            r#"{"error":{"message":"the model `x` does not exist; there is `support`","type":"invalid_request_error","param":"model","code":"model_not_found"}}"#
        );
        assert_eq!(error_body(&Error::NoKey).error.code.as_deref(), Some("invalid_api_key"));
    }
}
