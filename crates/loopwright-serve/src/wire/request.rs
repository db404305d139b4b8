//! Reading a request: what is wrong is refused by name, what is not served is never silently ignored.

use crate::{Error, Result};
use loopwright_types::openai::{ChatMessage, ChatRequest, Content, Stop};
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::Value;

/// What a request gets that does not say otherwise.
#[derive(Clone, Debug, PartialEq)]
pub struct ChatDefaults {
    /// 0 is greedy: a model tuned to one task answers best without chance.
    pub temperature: f32,
    /// Nucleus sampling; 1 is off.
    pub top_p: f32,
    /// Answer tokens.
    pub max_tokens: u32,
}

impl Default for ChatDefaults {
    fn default() -> Self {
        Self { temperature: 0.0, top_p: 1.0, max_tokens: 256 }
    }
}

/// A request that was found good.
#[derive(Clone, Debug)]
pub struct ChatPlan {
    /// The route asked for.
    pub route: String,
    /// The conversation, oldest first.
    pub messages: Vec<ChatMessage>,
    /// Answer tokens asked for; the context may allow fewer.
    pub max_tokens: u32,
    /// Texts at which the answer ends.
    pub stop: Vec<String>,
    /// 0 is greedy.
    pub temperature: f32,
    /// Nucleus sampling.
    pub top_p: f32,
    /// Seed of the sampling, if the client gave one.
    pub seed: Option<u64>,
    /// As server-sent events?
    pub stream: bool,
    /// With a last chunk that tells the usage?
    pub include_usage: bool,
    /// The end user, as the client names them.
    pub user: Option<String>,
    /// The client's tag (`metadata.tag`).
    pub tag: Option<String>,
}

impl ChatPlan {
    /// The last user message: what a trace keeps as the input.
    pub fn last_user_text(&self) -> String {
        self.messages.iter().rev().find(|message| message.role == "user").map(ChatMessage::text).unwrap_or_default()
    }
}

/// Fields of the API that change an answer and that we do not serve.
#[derive(Deserialize)]
struct Unserved {
    tools: Option<Value>,
    functions: Option<Value>,
    logprobs: Option<Value>,
    logit_bias: Option<Value>,
    presence_penalty: Option<Value>,
    frequency_penalty: Option<Value>,
    response_format: Option<Value>,
    audio: Option<Value>,
}

const N_STOPS_MAX: usize = 4;
const N_MESSAGES_MAX: usize = 2048;
const N_USER_CHARS_MAX: usize = 512;
const N_TAG_CHARS_MAX: usize = 128;
/// The roles of the chat format that models here are tuned on.
const ROLES: [&str; 4] = ["system", "developer", "user", "assistant"];

/// Reads JSON; an error names the line and the column, as OpenAI's body.
pub fn read_json<T: DeserializeOwned>(body: &[u8]) -> Result<T> {
    serde_json::from_slice(body).map_err(|e| {
        let what =
            if e.is_data() { "the body is not what this endpoint expects" } else { "the body is not valid JSON" };
        let code = if e.is_data() { "invalid_body" } else { "invalid_json" };
        Error::Invalid { param: None, code, message: format!("{what}: {e}") }
    })
}

/// Reads and checks the body of `POST /v1/chat/completions`.
pub fn read_chat(body: &[u8], defaults: &ChatDefaults) -> Result<ChatPlan> {
    let request: ChatRequest = read_json(body)?;
    refuse_unserved(&read_json(body)?)?;
    check_messages(&request.messages)?;
    let temperature = in_range("temperature", request.temperature, defaults.temperature, 0.0..=2.0)?;
    let top_p = in_range("top_p", request.top_p, defaults.top_p, 0.0..=1.0)?;
    if request.n.unwrap_or(1) != 1 {
        return Err(Error::invalid("n", "unsupported_value", "`n` must be 1: one answer is served per request"));
    }
    let tag = request.metadata.and_then(|metadata| metadata.get("tag").cloned());
    Ok(ChatPlan {
        route: request.model,
        messages: request.messages,
        max_tokens: max_tokens(request.max_tokens, request.max_completion_tokens, defaults.max_tokens)?,
        stop: stops(request.stop)?,
        temperature,
        top_p,
        seed: request.seed,
        stream: request.stream,
        include_usage: request.stream_options.is_some_and(|options| options.include_usage),
        user: at_most("user", request.user, N_USER_CHARS_MAX)?,
        tag: at_most("metadata.tag", tag, N_TAG_CHARS_MAX)?,
    })
}

fn refuse_unserved(fields: &Unserved) -> Result<()> {
    let asks = |value: &Option<Value>| match value {
        None | Some(Value::Null | Value::Bool(false)) => false,
        Some(Value::Number(number)) => number.as_f64() != Some(0.0),
        Some(Value::Array(items)) => !items.is_empty(),
        Some(Value::Object(fields)) => !fields.is_empty(),
        Some(_) => true,
    };
    let is_text_format = fields.response_format.as_ref().is_some_and(|format| format["type"] == "text");
    let asked = [
        ("tools", asks(&fields.tools)),
        ("functions", asks(&fields.functions)),
        ("logprobs", asks(&fields.logprobs)),
        ("logit_bias", asks(&fields.logit_bias)),
        ("presence_penalty", asks(&fields.presence_penalty)),
        ("frequency_penalty", asks(&fields.frequency_penalty)),
        ("response_format", asks(&fields.response_format) && !is_text_format),
        ("audio", asks(&fields.audio)),
    ];
    match asked.iter().find(|(_, asked)| *asked) {
        Some((name, _)) => {
            Err(Error::invalid(name, "unsupported_parameter", format!("`{name}` is not served here; leave it out")))
        }
        None => Ok(()),
    }
}

fn check_messages(messages: &[ChatMessage]) -> Result<()> {
    if messages.is_empty() {
        return Err(Error::invalid("messages", "invalid_value", "`messages` must hold at least one message"));
    }
    if messages.len() > N_MESSAGES_MAX {
        let message = format!("`messages` must hold at most {N_MESSAGES_MAX} messages, got {}", messages.len());
        return Err(Error::invalid("messages", "invalid_value", message));
    }
    for (i, message) in messages.iter().enumerate() {
        if !ROLES.contains(&message.role.as_str()) {
            let param = format!("messages[{i}].role");
            let message = format!("`{param}` must be one of {}, got `{}`", ROLES.join(", "), message.role);
            return Err(Error::invalid(&param, "invalid_value", message));
        }
        if let Some(Content::Parts(parts)) = &message.content
            && let Some(part) = parts.iter().find(|part| part.kind != "text")
        {
            let param = format!("messages[{i}].content");
            let message = format!("`{param}` holds a part of type `{}`; only `text` is served", part.kind);
            return Err(Error::invalid(&param, "unsupported_value", message));
        }
    }
    if messages.iter().all(|message| message.text().trim().is_empty()) {
        return Err(Error::invalid(
            "messages",
            "invalid_value",
            "`messages` must hold some text; every message is empty",
        ));
    }
    Ok(())
}

fn in_range(name: &str, given: Option<f32>, default: f32, range: std::ops::RangeInclusive<f32>) -> Result<f32> {
    let value = given.unwrap_or(default);
    if range.contains(&value) {
        return Ok(value);
    }
    let message = format!("`{name}` must lie between {} and {}, got {value}", range.start(), range.end());
    Err(Error::invalid(name, "invalid_value", message))
}

fn max_tokens(old_name: Option<u32>, new_name: Option<u32>, default: u32) -> Result<u32> {
    let (name, asked) = match (new_name, old_name) {
        (Some(n), _) => ("max_completion_tokens", n),
        (None, Some(n)) => ("max_tokens", n),
        (None, None) => ("max_tokens", default),
    };
    if asked == 0 {
        Err(Error::invalid(name, "invalid_value", format!("`{name}` must be at least 1")))
    } else {
        Ok(asked)
    }
}

fn stops(stop: Option<Stop>) -> Result<Vec<String>> {
    let stops = match stop {
        None => Vec::new(),
        Some(Stop::One(text)) => vec![text],
        Some(Stop::Many(texts)) => texts,
    };
    if stops.len() > N_STOPS_MAX {
        let message = format!("`stop` must hold at most {N_STOPS_MAX} texts, got {}", stops.len());
        return Err(Error::invalid("stop", "invalid_value", message));
    }
    if stops.iter().any(String::is_empty) {
        return Err(Error::invalid("stop", "invalid_value", "`stop` must not hold an empty text"));
    }
    Ok(stops)
}

fn at_most(name: &str, text: Option<String>, n_chars_max: usize) -> Result<Option<String>> {
    match text {
        Some(text) if text.chars().count() > n_chars_max => {
            Err(Error::invalid(name, "invalid_value", format!("`{name}` must have at most {n_chars_max} characters")))
        }
        text => Ok(text.filter(|text| !text.is_empty())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn read(body: Value) -> Result<ChatPlan> {
        read_chat(body.to_string().as_bytes(), &ChatDefaults::default())
    }

    /// A good request with some fields replaced.
    fn with(fields: Value) -> Value {
        let mut body = json!({"model": "support", "messages": [{"role": "user", "content": "Where is my parcel?"}]});
        for (name, value) in fields.as_object().unwrap() {
            body[name] = value.clone();
        }
        body
    }

    #[test]
    fn a_plain_request_gets_the_defaults() {
        let plan = read(with(json!({}))).unwrap();
        assert_eq!((plan.temperature, plan.top_p, plan.max_tokens), (0.0, 1.0, 256));
        assert_eq!((plan.stream, plan.include_usage, plan.seed), (false, false, None));
        assert_eq!(plan.last_user_text(), "Where is my parcel?");
    }

    #[test]
    fn every_served_field_is_read() {
        let plan = read(with(json!({
            "temperature": 0.5, "top_p": 0.9, "seed": 7, "max_tokens": 5, "max_completion_tokens": 6, "n": 1, "stream": true,
            "stream_options": {"include_usage": true}, "stop": ["a", "b"], "user": "customer-1", "metadata": {"tag": "month-1"},
            "messages": [{"role": "system", "content": "s"}, {"role": "user", "content": "first"},
                {"role": "assistant", "content": null}, {"role": "user", "content": [{"type": "text", "text": "last"}]}],
            "tools": [], "logprobs": false, "presence_penalty": 0, "response_format": {"type": "text"}, "parallel_tool_calls": true,
        })))
        .unwrap();
        assert_eq!((plan.temperature, plan.top_p, plan.seed, plan.max_tokens), (0.5, 0.9, Some(7), 6));
        assert_eq!((plan.stream, plan.include_usage), (true, true));
        assert_eq!(plan.stop, ["a", "b"]);
        assert_eq!((plan.user.as_deref(), plan.tag.as_deref()), (Some("customer-1"), Some("month-1")));
        assert_eq!(plan.last_user_text(), "last");
        assert_eq!(read(with(json!({"stop": "x"}))).unwrap().stop, ["x"]);
    }

    #[test]
    fn what_is_wrong_is_named() {
        let long = "x".repeat(513);
        for (fields, param, code) in [
            (json!({"messages": []}), "messages", "invalid_value"),
            (json!({"messages": [{"role": "user", "content": " "}]}), "messages", "invalid_value"),
            (json!({"messages": [{"role": "robot", "content": "x"}]}), "messages[0].role", "invalid_value"),
            (
                json!({"messages": [{"role": "user", "content": [{"type": "image_url"}]}]}),
                "messages[0].content",
                "unsupported_value",
            ),
            (json!({"temperature": 2.5}), "temperature", "invalid_value"),
            (json!({"temperature": -0.1}), "temperature", "invalid_value"),
            (json!({"top_p": 1.5}), "top_p", "invalid_value"),
            (json!({"n": 2}), "n", "unsupported_value"),
            (json!({"n": 0}), "n", "unsupported_value"),
            (json!({"max_tokens": 0}), "max_tokens", "invalid_value"),
            (json!({"max_completion_tokens": 0}), "max_completion_tokens", "invalid_value"),
            (json!({"stop": ["a", "b", "c", "d", "e"]}), "stop", "invalid_value"),
            (json!({"stop": ""}), "stop", "invalid_value"),
            (json!({"user": long}), "user", "invalid_value"),
            (json!({"tools": [{"type": "function"}]}), "tools", "unsupported_parameter"),
            (json!({"logprobs": true}), "logprobs", "unsupported_parameter"),
            (json!({"frequency_penalty": 0.5}), "frequency_penalty", "unsupported_parameter"),
            (json!({"response_format": {"type": "json_object"}}), "response_format", "unsupported_parameter"),
        ] {
            let error = read(with(fields.clone())).unwrap_err();
            assert_eq!((error.param(), error.code()), (Some(param), code), "{fields}");
        }
    }

    #[test]
    fn broken_json_is_placed_and_told_from_a_wrong_shape() {
        let read = |text: &str| read_chat(text.as_bytes(), &ChatDefaults::default()).unwrap_err();
        let broken = read("{\"model\": \"support\",\n \"messages\": [}");
        assert_eq!(broken.code(), "invalid_json");
        assert!(broken.to_string().ends_with("at line 2 column 15"), "{broken}");
        let wrong = read("{\"model\": \"support\"}");
        assert_eq!(wrong.code(), "invalid_body");
        assert!(wrong.to_string().contains("missing field `messages`"), "{wrong}");
        assert_eq!(read("").code(), "invalid_json");
    }
}
