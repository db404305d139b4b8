//! Writing a response: an object with output items, or the events that build it up.

use crate::{
    Error,
    ask::ToolCall,
    event::{Event, FinishReason, TokenLogprob, Used},
    gathered::{Gathered, GatheredChoice},
    wire::{
        chat::logprob_json,
        writer::{Head, Writer, named_frame},
    },
};
use serde_json::{Value, json};

/// Writes OpenAI's responses.
#[derive(Debug)]
pub struct ResponseWriter {
    head: Head,
    /// The request's own settings.
    settings: Value,
    sequence: u64,
    /// Items that are complete.
    output: Vec<Value>,
    open: Option<Open>,
    reason: FinishReason,
    used: Used,
}

/// The item that is being written.
#[derive(Clone, Debug)]
enum Open {
    Text(String, Vec<TokenLogprob>),
    Call(u32, ToolCall),
}

impl ResponseWriter {
    /// A writer for one answer to a request with these settings.
    pub fn new(head: Head, settings: Value) -> Self {
        let (output, reason, used) = (Vec::new(), FinishReason::Stop, Used::default());
        Self { head, settings, sequence: 0, output, open: None, reason, used }
    }

    fn response(&self, status: &str, output: &[Value], used: Option<Used>) -> Value {
        let mut response = json!({
            "id": self.head.id,
            "object": "response",
            "created_at": self.head.created,
            "completed_at": (status == "completed").then_some(self.head.created),
            "status": status,
            "error": null,
            "incomplete_details": null,
            "model": self.head.model,
            "output": output,
            "usage": used.map(usage),
        });
        if let (Some(response), Some(settings)) = (response.as_object_mut(), self.settings.as_object()) {
            response.extend(settings.iter().map(|(key, value)| (key.clone(), value.clone())));
        }
        response
    }

    /// The response at its end.
    fn ended(&self, reason: FinishReason, output: &[Value], used: Used) -> Value {
        let why = match reason {
            FinishReason::Stop | FinishReason::StopText(_) | FinishReason::ToolCalls => {
                return self.response("completed", output, Some(used));
            }
            FinishReason::Length => "max_output_tokens",
            FinishReason::ContentFilter => "content_filter",
        };
        let mut response = self.response("incomplete", output, Some(used));
        response["incomplete_details"] = json!({"reason": why});
        response
    }

    fn frame(&mut self, name: &str, mut fields: Value) -> String {
        fields["type"] = json!(name);
        fields["sequence_number"] = json!(self.sequence);
        self.sequence += 1;
        named_frame(name, &fields)
    }

    fn item_id(&self, prefix: &str, index: usize) -> String {
        format!("{prefix}_{}_{index}", self.head.id)
    }

    /// Begins an item, after the one before was ended.
    fn enter(&mut self, open: Open) -> String {
        let mut frames = self.leave("completed");
        let index = self.output.len();
        let item = self.item(&open, index, "in_progress");
        frames.push_str(&self.frame("response.output_item.added", json!({"output_index": index, "item": item})));
        if matches!(open, Open::Text(..)) {
            let part = json!({"type": "output_text", "text": "", "annotations": [], "logprobs": []});
            let place = json!({"item_id": item["id"], "output_index": index, "content_index": 0, "part": part});
            frames.push_str(&self.frame("response.content_part.added", place));
        }
        self.open = Some(open);
        frames
    }

    /// Ends the item that is being written.
    fn leave(&mut self, status: &str) -> String {
        let Some(open) = self.open.take() else { return String::new() };
        let index = self.output.len();
        let item = self.item(&open, index, status);
        let mut frames = String::new();
        match &open {
            Open::Text(text, logprobs) => {
                let place = |key: &str, value: Value| json!({"item_id": item["id"], "output_index": index, "content_index": 0, key: value});
                let mut done = place("text", json!(text));
                done["logprobs"] = logprobs.iter().map(logprob_json).collect();
                frames.push_str(&self.frame("response.output_text.done", done));
                frames.push_str(&self.frame("response.content_part.done", place("part", item["content"][0].clone())));
            }
            Open::Call(_, call) => {
                let done = json!({"item_id": item["id"], "output_index": index, "name": call.name, "arguments": call.arguments});
                frames.push_str(&self.frame("response.function_call_arguments.done", done));
            }
        }
        frames.push_str(&self.frame("response.output_item.done", json!({"output_index": index, "item": item})));
        self.output.push(item);
        frames
    }

    fn item(&self, open: &Open, index: usize, status: &str) -> Value {
        match open {
            Open::Text(text, logprobs) => {
                let logprobs: Vec<Value> = logprobs.iter().map(logprob_json).collect();
                let part = json!({"type": "output_text", "text": text, "annotations": [], "logprobs": logprobs});
                let content = if status == "in_progress" { json!([]) } else { json!([part]) };
                let id = self.item_id("msg", index);
                json!({"id": id, "type": "message", "role": "assistant", "status": status, "content": content})
            }
            Open::Call(_, call) => json!({
                "id": self.item_id("fc", index),
                "type": "function_call",
                "call_id": call.id,
                "name": call.name,
                "arguments": call.arguments,
                "status": status,
            }),
        }
    }

    fn text(&mut self, new: &str, logprobs: &[TokenLogprob]) -> String {
        let mut frames = String::new();
        if !matches!(self.open, Some(Open::Text(..))) {
            frames = self.enter(Open::Text(String::new(), Vec::new()));
        }
        if let Some(Open::Text(text, tokens)) = &mut self.open {
            text.push_str(new);
            tokens.extend_from_slice(logprobs);
        }
        let index = self.output.len();
        let logprobs: Vec<Value> = logprobs.iter().map(logprob_json).collect();
        let id = self.item_id("msg", index);
        let delta =
            json!({"item_id": id, "output_index": index, "content_index": 0, "delta": new, "logprobs": logprobs});
        frames + &self.frame("response.output_text.delta", delta)
    }

    fn call(&mut self, index: u32, begun: ToolCall) -> String {
        let mut frames = String::new();
        let delta = begun.arguments.clone();
        match &mut self.open {
            Some(Open::Call(open, call)) if *open == index => call.arguments.push_str(&delta),
            _ => {
                frames = self.enter(Open::Call(index, ToolCall { arguments: String::new(), ..begun }));
                if let Some(Open::Call(_, call)) = &mut self.open {
                    call.arguments.push_str(&delta);
                }
            }
        }
        if !delta.is_empty() {
            let place = self.output.len();
            let delta = json!({"item_id": self.item_id("fc", place), "output_index": place, "delta": delta});
            frames.push_str(&self.frame("response.function_call_arguments.delta", delta));
        }
        frames
    }
}

impl Writer for ResponseWriter {
    fn begin(&mut self, _: Used) -> String {
        let response = self.response("in_progress", &[], None);
        let created = self.frame("response.created", json!({"response": response}));
        created + &self.frame("response.in_progress", json!({"response": response}))
    }

    fn event(&mut self, event: &Event) -> String {
        match event {
            Event::Text { choice: 0, text, logprobs } if !text.is_empty() || !logprobs.is_empty() => {
                self.text(text, logprobs)
            }
            Event::ToolCall { choice: 0, index, id, name, arguments } => {
                let (id, name) = (id.clone().unwrap_or_default(), name.clone().unwrap_or_default());
                self.call(*index, ToolCall { id, name, arguments: arguments.clone() })
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
        let mut frames = String::new();
        if self.output.is_empty() && self.open.is_none() {
            frames = self.enter(Open::Text(String::new(), Vec::new()));
        }
        let is_complete = self.reason.is_whole();
        frames.push_str(&self.leave(if is_complete { "completed" } else { "incomplete" }));
        let response = self.ended(self.reason, &self.output, self.used);
        let name = if is_complete { "response.completed" } else { "response.incomplete" };
        frames + &self.frame(name, json!({"response": response}))
    }

    fn failed(&mut self, error: &Error) -> String {
        let mut response = self.response("failed", &self.output, None);
        response["error"] = json!({"code": "server_error", "message": error.to_string()});
        self.frame("response.failed", json!({"response": response}))
    }

    fn whole(&self, answer: &Gathered) -> Value {
        let nothing = GatheredChoice::default();
        let choice = answer.choices.first().unwrap_or(&nothing);
        let is_complete = choice.reason().is_whole();
        let mut items = Vec::new();
        if !choice.text.is_empty() || choice.tool_calls.is_empty() {
            items.push(Open::Text(choice.text.clone(), choice.logprobs.clone()));
        }
        items.extend((0u32..).zip(&choice.tool_calls).map(|(i, call)| Open::Call(i, call.clone())));
        let last = items.len().saturating_sub(1);
        let status = |i: usize| if is_complete || i < last { "completed" } else { "incomplete" };
        let output: Vec<Value> = items.iter().enumerate().map(|(i, item)| self.item(item, i, status(i))).collect();
        self.ended(choice.reason(), &output, answer.used)
    }
}

fn usage(used: Used) -> Value {
    json!({
        "input_tokens": used.prompt_tokens,
        "input_tokens_details": {"cached_tokens": used.cached_tokens},
        "output_tokens": used.completion_tokens,
        "output_tokens_details": {"reasoning_tokens": used.reasoning_tokens},
        "total_tokens": used.prompt_tokens.saturating_add(used.completion_tokens),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::responses::read_response;

    fn writer() -> ResponseWriter {
        let head = Head { id: "trace_1".into(), created: 7, model: "support".into(), fingerprint: "support@2".into() };
        let asked = read_response(br#"{"model": "support", "input": "hello"}"#).unwrap();
        ResponseWriter::new(head, asked.settings)
    }

    fn events(reason: FinishReason) -> Vec<Event> {
        let call = |id: Option<&str>, arguments: &str| Event::ToolCall {
            choice: 0,
            index: 0,
            id: id.map(str::to_owned),
            name: id.map(|_| "weather".into()),
            arguments: arguments.into(),
        };
        vec![
            Event::Text { choice: 0, text: "I ".into(), logprobs: vec![] },
            Event::Text { choice: 0, text: "look.".into(), logprobs: vec![] },
            call(Some("call_1"), ""),
            call(None, "{}"),
            Event::Finish { choice: 0, reason },
            Event::Usage(Used { prompt_tokens: 3, completion_tokens: 2, ..Used::default() }),
        ]
    }

    fn stream(reason: FinishReason) -> (Vec<String>, Vec<Value>) {
        let mut writer = writer();
        let mut stream = writer.begin(Used::default());
        events(reason).iter().for_each(|event| stream.push_str(&writer.event(event)));
        stream.push_str(&writer.end());
        let of = |prefix: &'static str| stream.lines().filter_map(move |line| line.strip_prefix(prefix));
        let data = of("data: ").map(|json| serde_json::from_str(json).unwrap());
        (of("event: ").map(str::to_owned).collect(), data.collect())
    }

    #[test]
    fn a_stream_builds_up_what_a_whole_answer_holds() {
        let (names, data) = stream(FinishReason::ToolCalls);
        let expected = [
            "response.created",
            "response.in_progress",
            "response.output_item.added",
            "response.content_part.added",
            "response.output_text.delta",
            "response.output_text.delta",
            "response.output_text.done",
            "response.content_part.done",
            "response.output_item.done",
            "response.output_item.added",
            "response.function_call_arguments.delta",
            "response.function_call_arguments.done",
            "response.output_item.done",
            "response.completed",
        ];
        assert_eq!(names, expected);
        assert!(
            data.iter()
                .enumerate()
                .all(|(i, event)| event["sequence_number"] == i && event["type"] == names[i].as_str())
        );
        let mut answer = Gathered::default();
        events(FinishReason::ToolCalls).iter().for_each(|event| answer.add(event));
        let whole = writer().whole(&answer);
        assert_eq!(data.last().unwrap()["response"], whole);
        assert_eq!(
            (&whole["status"], &whole["output"][0]["content"][0]["text"]),
            (&json!("completed"), &json!("I look."))
        );
        assert_eq!(
            (&whole["output"][1]["call_id"], &whole["output"][1]["arguments"]),
            (&json!("call_1"), &json!("{}"))
        );
        assert_eq!(whole["usage"]["total_tokens"], 5);
    }

    #[test]
    fn a_cut_answer_is_incomplete_and_a_broken_one_failed() {
        let (names, data) = stream(FinishReason::Length);
        assert_eq!(names.last().unwrap(), "response.incomplete");
        let response = &data.last().unwrap()["response"];
        assert_eq!(response["incomplete_details"], json!({"reason": "max_output_tokens"}));
        assert_eq!(response["output"][1]["status"], "incomplete");
        let failed = writer().failed(&Error::Stopped);
        assert!(
            failed.starts_with("event: response.failed\n") && failed.contains("\"code\":\"server_error\""),
            "{failed}"
        );
    }
}
