//! Writing an answer: one JSON body, or server-sent events in the order that OpenAI's clients expect.

use crate::{Error, Kind};
use loopwright_types::openai::{
    AssistantMessage, ChatChunk, ChatResponse, Choice, ChunkChoice, Delta, ErrorBody, ErrorDetail, Usage,
};
use serde::Serialize;

/// The end of every stream.
pub const DONE_FRAME: &str = "data: [DONE]\n\n";

/// One server-sent event (WHATWG HTML, section 9.2.6): JSON holds no line end, so one `data:` line is enough.
pub fn sse_frame(event: &impl Serialize) -> String {
    let json = serde_json::to_string(event).expect("wire types have text keys only");
    format!("data: {json}\n\n")
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

/// What stays the same over all parts of one answer.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The trace's id.
    pub id: String,
    /// Unix seconds.
    pub created: i64,
    /// The route.
    pub route: String,
    /// The model version that answers.
    pub fingerprint: String,
    /// Was the usage asked for in a stream?
    pub include_usage: bool,
}

impl Answer {
    /// The whole answer in one body.
    pub fn whole(&self, text: String, finish: &str, usage: Usage) -> ChatResponse {
        let message =
            AssistantMessage { role: "assistant".into(), content: Some(text), refusal: None, annotations: Vec::new() };
        ChatResponse {
            id: self.id.clone(),
            object: "chat.completion".into(),
            created: self.created,
            model: self.route.clone(),
            choices: vec![Choice { index: 0, message, logprobs: None, finish_reason: finish.into() }],
            usage,
            system_fingerprint: self.fingerprint.clone(),
        }
    }

    /// The first chunk of a stream: whose turn it is.
    pub fn first_chunk(&self) -> ChatChunk {
        self.chunk(Delta { role: Some("assistant".into()), content: Some(String::new()) }, None)
    }

    /// A chunk with new text.
    pub fn text_chunk(&self, text: String) -> ChatChunk {
        self.chunk(Delta { role: None, content: Some(text) }, None)
    }

    /// The chunk that says why the answer ended.
    pub fn finish_chunk(&self, finish: &str) -> ChatChunk {
        self.chunk(Delta::default(), Some(finish.into()))
    }

    /// The chunk with the usage and no choices, if it was asked for.
    pub fn usage_chunk(&self, usage: Usage) -> Option<ChatChunk> {
        let mut chunk = self.finish_chunk("");
        chunk.choices.clear();
        chunk.usage = Some(Some(usage));
        self.include_usage.then_some(chunk)
    }

    fn chunk(&self, delta: Delta, finish_reason: Option<String>) -> ChatChunk {
        ChatChunk {
            id: self.id.clone(),
            object: "chat.completion.chunk".into(),
            created: self.created,
            model: self.route.clone(),
            system_fingerprint: self.fingerprint.clone(),
            choices: vec![ChunkChoice { index: 0, delta, logprobs: None, finish_reason }],
            usage: self.include_usage.then_some(None),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(include_usage: bool) -> Answer {
        Answer {
            id: "trace_1".into(),
            created: 7,
            route: "support".into(),
            fingerprint: "support@2".into(),
            include_usage,
        }
    }

    const USAGE: Usage = Usage { prompt_tokens: 3, completion_tokens: 2, total_tokens: 5 };

    #[test]
    fn a_whole_answer_has_every_field_that_clients_read() {
        assert_eq!(
            serde_json::to_string(&answer(false).whole("hi".into(), "stop", USAGE)).unwrap(),
            r#"{"id":"trace_1","object":"chat.completion","created":7,"model":"support","choices":[{"index":0,"message":{"role":"assistant","content":"hi","refusal":null,"annotations":[]},"logprobs":null,"finish_reason":"stop"}],"usage":{"prompt_tokens":3,"completion_tokens":2,"total_tokens":5},"system_fingerprint":"support@2"}"#
        );
    }

    #[test]
    fn frames_without_usage() {
        let answer = answer(false);
        let head = r#"data: {"id":"trace_1","object":"chat.completion.chunk","created":7,"model":"support","system_fingerprint":"support@2","choices":["#;
        let check = |chunk: ChatChunk, tail: &str| assert_eq!(sse_frame(&chunk), format!("{head}{tail}\n\n"));
        check(
            answer.first_chunk(),
            r#"{"index":0,"delta":{"role":"assistant","content":""},"logprobs":null,"finish_reason":null}]}"#,
        );
        check(
            answer.text_chunk("a\nb".into()),
            r#"{"index":0,"delta":{"content":"a\nb"},"logprobs":null,"finish_reason":null}]}"#,
        );
        check(answer.finish_chunk("length"), r#"{"index":0,"delta":{},"logprobs":null,"finish_reason":"length"}]}"#);
        assert!(answer.usage_chunk(USAGE).is_none());
    }

    #[test]
    fn usage_is_null_until_the_last_chunk_when_it_was_asked_for() {
        let answer = answer(true);
        assert!(sse_frame(&answer.text_chunk("a".into())).contains(r#","usage":null}"#));
        let last = sse_frame(&answer.usage_chunk(USAGE).unwrap());
        assert!(last.contains(r#""choices":[],"usage":{"prompt_tokens":3,"#), "{last}");
    }

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
