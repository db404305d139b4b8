//! Writing a message.

use crate::{
    Error, Kind,
    event::{Event, FinishReason, Used},
    gathered::{Gathered, GatheredChoice},
    wire::writer::{Head, Writer, named_frame},
};
use serde_json::{Value, json};

/// Writes Anthropic's messages.
#[derive(Debug)]
pub struct MessageWriter {
    head: Head,
    /// The request's stop texts.
    stops: Vec<String>,
    /// Number of the block that is being written, and what it is.
    block: u32,
    open: Option<Open>,
    reason: FinishReason,
    used: Used,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Open {
    Text,
    Thinking,
    /// The answer's call of this number.
    Call(u32),
}

impl MessageWriter {
    /// A writer for one answer.
    ///
    /// `stops` are the request's stop texts.
    pub fn new(head: Head, stops: Vec<String>) -> Self {
        Self { head, stops, block: 0, open: None, reason: FinishReason::Stop, used: Used::default() }
    }

    /// The stop text that ended it, if one did.
    fn stop_sequence(&self, reason: FinishReason) -> Option<&str> {
        match reason {
            FinishReason::StopText(index) => self.stops.get(index as usize).map(String::as_str),
            _ => None,
        }
    }

    fn message(&self, content: Value, reason: Option<FinishReason>, used: Used) -> Value {
        json!({
            "id": self.head.id,
            "type": "message",
            "role": "assistant",
            "model": self.head.model,
            "content": content,
            "stop_reason": reason.map(stop_reason),
            "stop_sequence": reason.and_then(|reason| self.stop_sequence(reason)),
            "stop_details": null,
            "container": null,
            "usage": usage(used),
        })
    }

    /// Goes to a block of this kind: the same, or a new one.
    fn enter(&mut self, kind: Open, block: Value) -> String {
        if self.open == Some(kind) {
            return String::new();
        }
        let mut frames = self.leave();
        self.open = Some(kind);
        let start = json!({"type": "content_block_start", "index": self.block, "content_block": block});
        frames.push_str(&named_frame("content_block_start", &start));
        frames
    }

    fn leave(&mut self) -> String {
        if self.open.take().is_none() {
            return String::new();
        }
        let stop = json!({"type": "content_block_stop", "index": self.block});
        self.block += 1;
        named_frame("content_block_stop", &stop)
    }

    fn delta(&self, delta: Value) -> String {
        named_frame("content_block_delta", &json!({"type": "content_block_delta", "index": self.block, "delta": delta}))
    }
}

impl Writer for MessageWriter {
    fn begin(&mut self, used: Used) -> String {
        let start = json!({"type": "message_start", "message": self.message(json!([]), None, used)});
        named_frame("message_start", &start) + &named_frame("ping", &json!({"type": "ping"}))
    }

    fn event(&mut self, event: &Event) -> String {
        match event {
            Event::Text { choice: 0, text, .. } if !text.is_empty() => {
                let frames = self.enter(Open::Text, text_block(""));
                frames + &self.delta(json!({"type": "text_delta", "text": text}))
            }
            Event::Reasoning { choice: 0, text } if !text.is_empty() => {
                let frames = self.enter(Open::Thinking, json!({"type": "thinking", "thinking": "", "signature": ""}));
                frames + &self.delta(json!({"type": "thinking_delta", "thinking": text}))
            }
            Event::ToolCall { choice: 0, index, id, name, arguments } => {
                let block =
                    call_block(id.as_deref().unwrap_or_default(), name.as_deref().unwrap_or_default(), json!({}));
                let mut frames = self.enter(Open::Call(*index), block);
                if !arguments.is_empty() {
                    frames.push_str(&self.delta(json!({"type": "input_json_delta", "partial_json": arguments})));
                }
                frames
            }
            Event::Finish { choice: 0, reason } => {
                self.reason = *reason;
                String::new()
            }
            Event::Usage(used) => {
                self.used = *used;
                String::new()
            }
            _ => String::new(),
        }
    }

    fn end(&mut self) -> String {
        let mut frames = self.leave();
        let delta = json!({
            "stop_reason": stop_reason(self.reason), "stop_sequence": self.stop_sequence(self.reason),
        });
        let usage = json!({"type": "message_delta", "delta": delta, "usage": usage(self.used)});
        frames.push_str(&named_frame("message_delta", &usage));
        frames.push_str(&named_frame("message_stop", &json!({"type": "message_stop"})));
        frames
    }

    fn failed(&mut self, error: &Error) -> String {
        named_frame("error", &anthropic_error(kind_of(error), &error.to_string()))
    }

    fn whole(&self, answer: &Gathered) -> Value {
        let nothing = GatheredChoice::default();
        let choice = answer.choices.first().unwrap_or(&nothing);
        let mut content = Vec::new();
        if !choice.reasoning.is_empty() {
            content.push(json!({"type": "thinking", "thinking": choice.reasoning, "signature": ""}));
        }
        if !choice.text.is_empty() || choice.tool_calls.is_empty() {
            content.push(text_block(&choice.text));
        }
        content.extend(choice.tool_calls.iter().map(|call| {
            // Cut short, arguments may be no JSON; the API wants an object all the same.
            let input =
                serde_json::from_str(&call.arguments).ok().filter(Value::is_object).unwrap_or_else(|| json!({}));
            call_block(&call.id, &call.name, input)
        }));
        self.message(content.into(), Some(choice.reason()), answer.used)
    }
}

fn text_block(text: &str) -> Value {
    json!({"type": "text", "text": text, "citations": null})
}

fn call_block(id: &str, name: &str, input: Value) -> Value {
    json!({"type": "tool_use", "id": id, "name": name, "input": input, "caller": {"type": "direct"}})
}

fn stop_reason(reason: FinishReason) -> &'static str {
    match reason {
        FinishReason::Stop => "end_turn",
        FinishReason::StopText(_) => "stop_sequence",
        FinishReason::Length => "max_tokens",
        FinishReason::ToolCalls => "tool_use",
        FinishReason::ContentFilter => "refusal",
    }
}

fn usage(used: Used) -> Value {
    json!({
        "input_tokens": used.prompt_tokens.saturating_sub(used.cached_tokens),
        "output_tokens": used.completion_tokens,
        "cache_read_input_tokens": used.cached_tokens,
        "cache_creation_input_tokens": 0,
        "cache_creation": null,
        "inference_geo": null,
        "output_tokens_details": null,
        "server_tool_use": null,
        "service_tier": "standard",
    })
}

/// An error in Anthropic's shape.
pub fn anthropic_error(kind: &str, message: &str) -> Value {
    json!({"type": "error", "error": {"type": kind, "message": message}})
}

fn kind_of(error: &Error) -> &'static str {
    match error.kind() {
        Kind::Invalid => "invalid_request_error",
        Kind::NotFound => "not_found_error",
        Kind::Unauthenticated => "authentication_error",
        Kind::Forbidden => "permission_error",
        Kind::Busy => "rate_limit_error",
        Kind::Unavailable => "overloaded_error",
        Kind::TimedOut => "timeout_error",
        Kind::BadGateway => "api_error",
        Kind::Internal => "api_error",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn writer() -> MessageWriter {
        let head = Head { id: "trace_1".into(), created: 7, model: "support".into(), fingerprint: "support@2".into() };
        MessageWriter::new(head, vec!["\n\n".into(), "END".into()])
    }

    const USED: Used = Used { prompt_tokens: 9, cached_tokens: 4, completion_tokens: 2, reasoning_tokens: 0 };

    fn events() -> Vec<Event> {
        let call = |id: Option<&str>, arguments: &str| Event::ToolCall {
            choice: 0,
            index: 0,
            id: id.map(str::to_owned),
            name: id.map(|_| "weather".into()),
            arguments: arguments.into(),
        };
        vec![
            Event::Text { choice: 0, text: "I look.".into(), logprobs: vec![] },
            call(Some("call_1"), ""),
            call(None, "{\"city\": "),
            call(None, "\"Oslo\"}"),
            Event::Finish { choice: 0, reason: FinishReason::ToolCalls },
            Event::Usage(USED),
        ]
    }

    #[test]
    fn a_whole_message_has_blocks() {
        let mut answer = Gathered::default();
        events().iter().for_each(|event| answer.add(event));
        let body = writer().whole(&answer);
        assert_eq!(body["content"][0]["text"], "I look.");
        assert_eq!(
            (&body["content"][1]["type"], &body["content"][1]["input"]),
            (&json!("tool_use"), &json!({"city": "Oslo"}))
        );
        assert_eq!((&body["stop_reason"], &body["role"]), (&json!("tool_use"), &json!("assistant")));
        assert_eq!((&body["usage"]["input_tokens"], &body["usage"]["cache_read_input_tokens"]), (&json!(5), &json!(4)));
        let empty = writer().whole(&Gathered::default());
        assert_eq!(empty["content"][0]["type"], "text", "an empty answer still has a block");
    }

    #[test]
    fn a_stream_opens_and_closes_each_block_once() {
        let mut writer = writer();
        let mut stream = writer.begin(Used::default());
        events().iter().for_each(|event| stream.push_str(&writer.event(event)));
        stream.push_str(&writer.end());
        let names: Vec<&str> = stream.lines().filter_map(|line| line.strip_prefix("event: ")).collect();
        let expected = [
            "message_start",
            "ping",
            "content_block_start",
            "content_block_delta",
            "content_block_stop",
            "content_block_start",
            "content_block_delta",
            "content_block_delta",
            "content_block_stop",
            "message_delta",
            "message_stop",
        ];
        assert_eq!(names, expected);
        assert!(
            stream.contains(r#""content_block":{"type":"tool_use","id":"call_1","name":"weather","input":{}"#),
            "{stream}"
        );
        assert!(stream.contains(r#""delta":{"stop_reason":"tool_use","stop_sequence":null}"#));
        assert!(stream.contains(r#""partial_json":"\"Oslo\"}""#));
    }

    #[test]
    fn the_stop_text_that_ended_it_is_named() {
        let end = Event::Finish { choice: 0, reason: FinishReason::StopText(1) };
        let mut answer = Gathered::default();
        answer.add(&end);
        let body = writer().whole(&answer);
        assert_eq!((&body["stop_reason"], &body["stop_sequence"]), (&json!("stop_sequence"), &json!("END")));
        let mut writer = writer();
        writer.event(&end);
        assert!(writer.end().contains(r#""delta":{"stop_reason":"stop_sequence","stop_sequence":"END"}"#));
    }

    #[test]
    fn errors_have_anthropics_shape() {
        let frame = writer().failed(&Error::Busy { n_waiting: 1, retry_after_ms: 10 });
        assert!(
            frame.starts_with("event: error\ndata: {\"type\":\"error\",\"error\":{\"type\":\"rate_limit_error\""),
            "{frame}"
        );
    }
}
