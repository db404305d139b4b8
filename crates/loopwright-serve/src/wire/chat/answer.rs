//! Writing a chat completion.

use crate::{
    Error,
    event::{Event, TokenLogprob, Used},
    gathered::{Gathered, GatheredChoice},
    wire::writer::{DONE_FRAME, Head, Writer, error_body, sse_frame},
};
use serde::Serialize;
use serde_json::{Value, json};
use std::collections::BTreeSet;

/// Writes chat completions.
#[derive(Debug)]
pub struct ChatWriter {
    head: Head,
    /// Was the usage asked for in a stream?
    include_usage: bool,
    /// Were log-probabilities asked for?
    logprobs: bool,
    n: u32,
    /// Choices that have said something.
    begun: BTreeSet<u32>,
    used: Used,
}

#[derive(Serialize)]
struct Chunk<'a> {
    id: &'a str,
    object: &'static str,
    created: i64,
    model: &'a str,
    system_fingerprint: &'a str,
    choices: &'a [ChunkChoice<'a>],
    /// `null` in every chunk but the last, and only where it was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    usage: Option<Option<Value>>,
}

#[derive(Serialize)]
struct ChunkChoice<'a> {
    index: u32,
    delta: Delta<'a>,
    logprobs: Option<Value>,
    finish_reason: Option<&'static str>,
}

#[derive(Default, Serialize)]
struct Delta<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    role: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    content: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reasoning_content: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tool_calls: Option<Value>,
}

impl ChatWriter {
    /// A writer for one answer of `n` choices.
    pub fn new(head: Head, n: u32, include_usage: bool, logprobs: bool) -> Self {
        Self { head, include_usage, logprobs, n, begun: BTreeSet::new(), used: Used::default() }
    }

    fn chunk(&self, choices: &[ChunkChoice<'_>], usage: Option<Value>) -> String {
        sse_frame(&Chunk {
            id: &self.head.id,
            object: "chat.completion.chunk",
            created: self.head.created,
            model: &self.head.model,
            system_fingerprint: &self.head.fingerprint,
            choices,
            usage: self.include_usage.then_some(usage),
        })
    }

    fn delta(&mut self, index: u32, delta: Delta<'_>, logprobs: Option<Value>) -> String {
        let mut frames = self.opened(index);
        frames.push_str(&self.chunk(&[ChunkChoice { index, delta, logprobs, finish_reason: None }], None));
        frames
    }

    /// The first chunk of a choice says whose turn it is.
    fn opened(&mut self, index: u32) -> String {
        if !self.begun.insert(index) {
            return String::new();
        }
        let delta = Delta { role: Some("assistant"), content: Some(""), ..Delta::default() };
        self.chunk(&[ChunkChoice { index, delta, logprobs: None, finish_reason: None }], None)
    }
}

impl Writer for ChatWriter {
    fn begin(&mut self) -> String {
        (0..self.n).map(|index| self.opened(index)).collect()
    }

    fn event(&mut self, event: &Event) -> String {
        match event {
            Event::Text { text, logprobs, .. } if text.is_empty() && logprobs.is_empty() => String::new(),
            Event::Text { choice, text, logprobs } => {
                let logprobs = (self.logprobs && !logprobs.is_empty()).then(|| logprobs_json(logprobs));
                self.delta(*choice, Delta { content: Some(text), ..Delta::default() }, logprobs)
            }
            Event::Reasoning { choice, text } => {
                self.delta(*choice, Delta { reasoning_content: Some(text), ..Delta::default() }, None)
            }
            Event::ToolCall { choice, index, id, name, arguments } => {
                let mut call = json!({"index": index});
                if let Some(id) = id {
                    call["id"] = json!(id);
                    call["type"] = json!("function");
                }
                call["function"] = match name {
                    Some(name) => json!({"name": name, "arguments": arguments}),
                    None => json!({"arguments": arguments}),
                };
                self.delta(*choice, Delta { tool_calls: Some(json!([call])), ..Delta::default() }, None)
            }
            Event::Finish { choice, reason } => {
                let mut frames = self.opened(*choice);
                let (index, finish_reason) = (*choice, Some(reason.as_str()));
                let last = ChunkChoice { index, delta: Delta::default(), logprobs: None, finish_reason };
                frames.push_str(&self.chunk(&[last], None));
                frames
            }
            Event::Usage(used) => {
                self.used = *used;
                String::new()
            }
        }
    }

    fn end(&mut self) -> String {
        let usage = self.include_usage.then(|| self.chunk(&[], Some(usage_json(self.used))));
        usage.unwrap_or_default() + DONE_FRAME
    }

    fn failed(&mut self, error: &Error) -> String {
        sse_frame(&error_body(error))
    }

    fn whole(&self, answer: &Gathered) -> Value {
        let choices: Vec<Value> = answer.choices.iter().enumerate().map(|(i, choice)| self.choice(i, choice)).collect();
        json!({
            "id": self.head.id,
            "object": "chat.completion",
            "created": self.head.created,
            "model": self.head.model,
            "choices": choices,
            "usage": usage_json(answer.used),
            "system_fingerprint": self.head.fingerprint,
        })
    }
}

impl ChatWriter {
    fn choice(&self, index: usize, choice: &GatheredChoice) -> Value {
        let content = (!choice.text.is_empty() || choice.tool_calls.is_empty()).then_some(&choice.text);
        let mut message = json!({"role": "assistant", "content": content, "refusal": null, "annotations": []});
        if !choice.reasoning.is_empty() {
            message["reasoning_content"] = json!(choice.reasoning);
        }
        if !choice.tool_calls.is_empty() {
            let calls = choice.tool_calls.iter().map(|call| {
                let function = json!({"name": call.name, "arguments": call.arguments});
                json!({"id": call.id, "type": "function", "function": function})
            });
            message["tool_calls"] = calls.collect();
        }
        let logprobs = self.logprobs.then(|| logprobs_json(&choice.logprobs));
        json!({"index": index, "message": message, "logprobs": logprobs, "finish_reason": choice.reason().as_str()})
    }
}

/// Tokens used, as chat completions write them.
pub(crate) fn usage_json(used: Used) -> Value {
    json!({
        "prompt_tokens": used.prompt_tokens,
        "completion_tokens": used.completion_tokens,
        "total_tokens": used.prompt_tokens.saturating_add(used.completion_tokens),
        "prompt_tokens_details": {"cached_tokens": used.cached_tokens},
        "completion_tokens_details": {"reasoning_tokens": used.reasoning_tokens},
    })
}

fn logprobs_json(tokens: &[TokenLogprob]) -> Value {
    json!({"content": tokens.iter().map(logprob_json).collect::<Vec<_>>(), "refusal": null})
}

/// One token with its alternatives, as chat completions and responses write it.
pub(crate) fn logprob_json(token: &TokenLogprob) -> Value {
    let one = |token: &TokenLogprob| json!({"token": token.token, "logprob": token.logprob, "bytes": token.bytes});
    let mut all = one(token);
    all["top_logprobs"] = token.top.iter().map(one).collect();
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::FinishReason;

    fn head() -> Head {
        Head { id: "trace_1".into(), created: 7, model: "support".into(), fingerprint: "support@2".into() }
    }

    fn text(choice: u32, text: &str) -> Event {
        Event::Text { choice, text: text.into(), logprobs: vec![] }
    }

    fn call(index: u32, id: Option<&str>, arguments: &str) -> Event {
        let (id, name) = (id.map(str::to_owned), id.map(|_| "weather".to_owned()));
        Event::ToolCall { choice: 0, index, id, name, arguments: arguments.into() }
    }

    const USED: Used = Used { prompt_tokens: 3, cached_tokens: 1, completion_tokens: 2, reasoning_tokens: 0 };

    fn gathered(events: &[Event]) -> Gathered {
        let mut whole = Gathered::default();
        events.iter().for_each(|event| whole.add(event));
        whole
    }

    #[test]
    fn a_whole_answer_has_every_field_that_clients_read() {
        let finish = Event::Finish { choice: 0, reason: FinishReason::Stop };
        let answer = gathered(&[text(0, "hi"), finish, Event::Usage(USED)]);
        let body = ChatWriter::new(head(), 1, false, false).whole(&answer);
        let message = json!({"role": "assistant", "content": "hi", "refusal": null, "annotations": []});
        assert_eq!(
            body["choices"],
            json!([{"index": 0, "message": message, "logprobs": null, "finish_reason": "stop"}])
        );
        assert_eq!(body["usage"]["total_tokens"], 5);
        assert_eq!((&body["id"], &body["object"]), (&json!("trace_1"), &json!("chat.completion")));
        assert_eq!(body["system_fingerprint"], "support@2");
    }

    #[test]
    fn calls_are_whole_in_a_body_and_in_parts_in_a_stream() {
        let finish = Event::Finish { choice: 0, reason: FinishReason::ToolCalls };
        let events = [call(0, Some("call_1"), ""), call(0, None, "{\"a\""), call(0, None, ": 1}"), finish];
        let body = ChatWriter::new(head(), 1, false, false).whole(&gathered(&events));
        let choice = &body["choices"][0];
        assert_eq!((&choice["finish_reason"], &choice["message"]["content"]), (&json!("tool_calls"), &Value::Null));
        let function = json!({"name": "weather", "arguments": "{\"a\": 1}"});
        let expected = json!([{"id": "call_1", "type": "function", "function": function}]);
        assert_eq!(choice["message"]["tool_calls"], expected);

        let mut writer = ChatWriter::new(head(), 1, false, false);
        let stream: String = events.iter().map(|event| writer.event(event)).collect();
        assert_eq!(stream.matches("\"id\":\"call_1\",\"type\":\"function\"").count(), 1);
        assert_eq!(stream.matches("\"name\":\"weather\"").count(), 1);
        assert_eq!(stream.matches("\"tool_calls\":[{\"index\":0").count(), 3);
        assert!(stream.contains(r#""finish_reason":"tool_calls""#));
    }

    #[test]
    fn frames_without_usage() {
        let mut writer = ChatWriter::new(head(), 1, false, false);
        let head = r#"data: {"id":"trace_1","object":"chat.completion.chunk","created":7,"model":"support","system_fingerprint":"support@2","choices":["#;
        let check = |frame: String, tail: &str| assert_eq!(frame, format!("{head}{tail}\n\n"));
        check(
            writer.begin(),
            r#"{"index":0,"delta":{"role":"assistant","content":""},"logprobs":null,"finish_reason":null}]}"#,
        );
        check(
            writer.event(&text(0, "a\nb")),
            r#"{"index":0,"delta":{"content":"a\nb"},"logprobs":null,"finish_reason":null}]}"#,
        );
        check(
            writer.event(&Event::Finish { choice: 0, reason: FinishReason::Length }),
            r#"{"index":0,"delta":{},"logprobs":null,"finish_reason":"length"}]}"#,
        );
        assert_eq!(writer.event(&text(0, "")), "");
        assert_eq!(writer.end(), DONE_FRAME);
    }

    #[test]
    fn usage_is_null_until_the_last_chunk_when_it_was_asked_for() {
        let mut writer = ChatWriter::new(head(), 2, true, false);
        assert_eq!(writer.begin().matches("\"role\":\"assistant\"").count(), 2);
        assert!(writer.event(&text(0, "a")).contains(r#","usage":null}"#));
        assert_eq!(writer.event(&Event::Usage(USED)), "");
        let end = writer.end();
        assert!(end.contains(r#""choices":[],"usage":{"prompt_tokens":3,"#) && end.ends_with(DONE_FRAME), "{end}");
    }

    #[test]
    fn log_probabilities_have_alternatives() {
        let plain = |token: &str, logprob| TokenLogprob {
            id: 1,
            token: token.into(),
            bytes: token.as_bytes().to_vec(),
            logprob,
            top: vec![],
        };
        let token = TokenLogprob { top: vec![plain("a", -0.5), plain("b", -1.5)], ..plain("a", -0.5) };
        let event = Event::Text { choice: 0, text: "a".into(), logprobs: vec![token] };
        let body = ChatWriter::new(head(), 1, false, true).whole(&gathered(std::slice::from_ref(&event)));
        let content = &body["choices"][0]["logprobs"]["content"][0];
        assert_eq!((&content["token"], &content["bytes"]), (&json!("a"), &json!([97])));
        assert_eq!(content["top_logprobs"][1], json!({"token": "b", "logprob": -1.5, "bytes": [98]}));
        assert!(ChatWriter::new(head(), 1, false, true).event(&event).contains("\"top_logprobs\":[{\"token\":\"a\""));
    }
}
