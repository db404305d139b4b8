//! Reading the body of `POST /v1/chat/completions`: what is wrong is refused by name, what is not served is never
//! silently ignored.

use crate::{
    Error, Result,
    ask::{Ask, Message, Part, Prompt, Role, ToolCall},
    wire::{
        fields::{
            About, FormatFields, N_MESSAGES_MAX, OneOrMany, SamplingFields, answers, asks, at_least_one, read_json,
            stops, unserved,
        },
        tools::ToolFields,
    },
};
use serde::Deserialize;
use serde_json::Value;
use std::collections::BTreeMap;

/// Alternatives to a token that may be asked for.
const N_TOP_LOGPROBS_MAX: u32 = 20;

/// A request that was found good.
#[derive(Clone, Debug, PartialEq)]
pub struct ChatAsk {
    /// What is asked.
    pub ask: Ask,
    /// With a last chunk that tells the usage?
    pub include_usage: bool,
}

#[derive(Deserialize)]
struct Body {
    model: String,
    messages: Vec<WireMessage>,
    max_tokens: Option<u32>,
    max_completion_tokens: Option<u32>,
    n: Option<u32>,
    stop: Option<OneOrMany>,
    logprobs: Option<bool>,
    top_logprobs: Option<u32>,
    stream: Option<bool>,
    stream_options: Option<StreamOptions>,
    user: Option<String>,
    metadata: Option<BTreeMap<String, Value>>,
    // What changes an answer and is not served.
    functions: Option<Value>,
    audio: Option<Value>,
    web_search_options: Option<Value>,
    modalities: Option<Vec<String>>,
}

/// OpenAI's settings of a stream.
#[derive(Debug, Default, Deserialize)]
pub(crate) struct StreamOptions {
    pub(crate) include_usage: Option<bool>,
}

#[derive(Deserialize)]
struct WireMessage {
    role: String,
    content: Option<Content>,
    tool_calls: Option<Vec<WireCall>>,
    tool_call_id: Option<String>,
    name: Option<String>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Content {
    Text(String),
    Parts(Vec<Value>),
}

#[derive(Deserialize)]
struct WireCall {
    id: Option<String>,
    function: WireFunction,
}

#[derive(Deserialize)]
struct WireFunction {
    name: String,
    arguments: Option<Value>,
}

/// Reads and checks the body of `POST /v1/chat/completions`.
pub fn read_chat(body: &[u8]) -> Result<ChatAsk> {
    let fields: Body = read_json(body)?;
    refuse_unserved(&fields)?;
    let tools = read_json::<ToolFields>(body)?.read(|tool| &tool["function"])?;
    let about = About::read(fields.user, fields.metadata)?;
    let stream = fields.stream.unwrap_or_default();
    let ask = Ask {
        route: fields.model,
        prompt: Prompt::Chat(read_messages(fields.messages)?),
        n: answers(fields.n)?,
        max_tokens: match fields.max_completion_tokens {
            given @ Some(_) => at_least_one("max_completion_tokens", given)?,
            None => at_least_one("max_tokens", fields.max_tokens)?,
        },
        stop: stops(fields.stop, "stop")?,
        sampling: read_json::<SamplingFields>(body)?.read()?,
        logprobs: read_logprobs(fields.logprobs, fields.top_logprobs)?,
        format: read_json::<FormatFields>(body)?.read()?,
        tools: tools.tools,
        tool_choice: tools.choice,
        parallel_tool_calls: tools.parallel,
        stream,
        user: about.user,
        session: about.session,
        tag: about.tag,
    };
    let include_usage = fields.stream_options.and_then(|options| options.include_usage).unwrap_or_default();
    Ok(ChatAsk { ask, include_usage: stream && include_usage })
}

fn refuse_unserved(fields: &Body) -> Result<()> {
    let speaks = fields.modalities.as_ref().is_some_and(|kinds| kinds.iter().any(|kind| kind != "text"));
    let asked = [
        ("functions", asks(fields.functions.as_ref())),
        ("audio", asks(fields.audio.as_ref())),
        ("web_search_options", asks(fields.web_search_options.as_ref())),
        ("modalities", speaks),
    ];
    match asked.iter().find(|(_, asked)| *asked) {
        Some((name, _)) => Err(unserved(name)),
        None => Ok(()),
    }
}

fn read_logprobs(wanted: Option<bool>, top: Option<u32>) -> Result<Option<u32>> {
    match (wanted.unwrap_or_default(), top) {
        (_, Some(n)) if n > N_TOP_LOGPROBS_MAX => {
            let message = format!("`top_logprobs` must be at most {N_TOP_LOGPROBS_MAX}, got {n}");
            Err(Error::invalid("top_logprobs", "invalid_value", message))
        }
        (false, Some(1..)) => {
            Err(Error::invalid("top_logprobs", "invalid_value", "`top_logprobs` needs `logprobs` to be true"))
        }
        (false, _) => Ok(None),
        (true, n) => Ok(Some(n.unwrap_or_default())),
    }
}

fn read_messages(messages: Vec<WireMessage>) -> Result<Vec<Message>> {
    let messages: Vec<Message> =
        messages.into_iter().enumerate().map(|(i, message)| read_message(i, message)).collect::<Result<_>>()?;
    check_messages(&messages, "messages")?;
    Ok(messages)
}

/// A conversation must have some length and say something.
pub(crate) fn check_messages(messages: &[Message], param: &str) -> Result<()> {
    let problem = match messages.len() {
        0 => format!("`{param}` must hold at least one message"),
        n if n > N_MESSAGES_MAX => format!("`{param}` must hold at most {N_MESSAGES_MAX} messages, got {n}"),
        _ if messages.iter().all(is_empty) => format!("`{param}` must hold some text; every message is empty"),
        _ => return Ok(()),
    };
    Err(Error::invalid(param, "invalid_value", problem))
}

fn is_empty(message: &Message) -> bool {
    let says = |part: &Part| part.text().is_none_or(|text| !text.trim().is_empty());
    message.tool_calls.is_empty() && !message.parts.iter().any(says)
}

fn read_message(i: usize, message: WireMessage) -> Result<Message> {
    let role = match message.role.as_str() {
        "system" | "developer" => Role::System,
        "user" => Role::User,
        "assistant" => Role::Assistant,
        "tool" | "function" => Role::Tool,
        other => {
            let param = format!("messages[{i}].role");
            let message = format!("`{param}` must be one of system, developer, user, assistant, tool, got `{other}`");
            return Err(Error::invalid(&param, "invalid_value", message));
        }
    };
    let parts = match message.content {
        None => Vec::new(),
        Some(Content::Text(text)) => vec![Part::Text(text)],
        Some(Content::Parts(parts)) => {
            parts.iter().map(|part| read_part(&format!("messages[{i}].content"), part)).collect::<Result<_>>()?
        }
    };
    let calls = message.tool_calls.unwrap_or_default().into_iter().enumerate();
    let tool_calls = calls.map(|(k, call)| ToolCall {
        id: call.id.unwrap_or_else(|| format!("call_{i}_{k}")),
        name: call.function.name,
        arguments: match call.function.arguments {
            None | Some(Value::Null) => "{}".into(),
            Some(Value::String(text)) => text,
            Some(other) => other.to_string(),
        },
    });
    Ok(Message {
        role,
        parts,
        tool_calls: tool_calls.collect(),
        tool_call_id: message.tool_call_id,
        name: message.name,
    })
}

/// One part of a message, whichever of OpenAI's APIs writes it.
pub(crate) fn read_part(param: &str, part: &Value) -> Result<Part> {
    let text = |name: &str| part[name].as_str().map(str::to_owned);
    let read = match part["type"].as_str() {
        Some("text" | "input_text" | "output_text") => text("text").map(Part::Text),
        Some("refusal") => text("refusal").map(Part::Text),
        Some("image_url") => part["image_url"]["url"].as_str().map(str::to_owned).map(Part::Image),
        Some("input_image") => text("image_url").map(Part::Image),
        _ => {
            let message = format!("`{param}` holds a part of type {}; text and images are read", part["type"]);
            return Err(Error::invalid(param, "unsupported_value", message));
        }
    };
    read.ok_or_else(|| {
        Error::invalid(param, "invalid_value", format!("`{param}` holds a part of type {} without it", part["type"]))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ask::{Format, ToolChoice};
    use serde_json::json;

    fn with(fields: Value) -> Result<ChatAsk> {
        let mut body = json!({"model": "support", "messages": [{"role": "user", "content": "hello"}]});
        for (name, value) in fields.as_object().unwrap() {
            body[name] = value.clone();
        }
        read_chat(body.to_string().as_bytes())
    }

    #[test]
    fn a_plain_request_leaves_everything_to_the_route() {
        let read = with(json!({"parallel_tool_calls": true, "functions": [], "unknown": {"a": 1}})).unwrap();
        let ask = read.ask;
        assert_eq!((ask.route.as_str(), ask.n, ask.max_tokens, ask.stream), ("support", 1, None, false));
        assert_eq!(ask.prompt, Prompt::Chat(vec![Message::text_of(Role::User, "hello")]));
        assert_eq!((ask.sampling, ask.logprobs, ask.format), (Default::default(), None, Format::Text));
        assert_eq!((ask.tools, ask.tool_choice, read.include_usage), (vec![], ToolChoice::None, false));
    }

    #[test]
    fn every_field_is_read() {
        let read = with(json!({
            "messages": [
                {"role": "developer", "content": [{"type": "text", "text": "be brief"}]},
                {"role": "user", "content": [{"type": "text", "text": "see"}, {"type": "image_url", "image_url": {"url": "data:x"}}]},
                {"role": "assistant", "content": null, "tool_calls": [
                    {"id": "call_1", "type": "function", "function": {"name": "weather", "arguments": "{\"a\": 1}"}}]},
                {"role": "tool", "tool_call_id": "call_1", "content": "rain"},
            ],
            "tools": [{"type": "function", "function": {"name": "weather"}}],
            "n": 2, "max_tokens": 5, "max_completion_tokens": 6, "stop": "x", "logprobs": true, "top_logprobs": 3,
            "stream": true, "stream_options": {"include_usage": true}, "user": "customer-1",
            "metadata": {"tag": "month-1", "session_id": "s-1", "other": 4}, "response_format": {"type": "json_object"},
            "frequency_penalty": 0.5,
        }));
        let ChatAsk { ask, include_usage } = read.unwrap();
        let Prompt::Chat(messages) = &ask.prompt else { panic!("{:?}", ask.prompt) };
        assert_eq!(messages[1].parts, [Part::Text("see".into()), Part::Image("data:x".into())]);
        assert_eq!(messages[2].tool_calls[0].arguments, "{\"a\": 1}");
        assert_eq!((messages[3].role, messages[3].tool_call_id.as_deref()), (Role::Tool, Some("call_1")));
        assert_eq!((ask.n, ask.max_tokens, ask.logprobs, include_usage), (2, Some(6), Some(3), true));
        assert_eq!((ask.tool_choice, ask.format), (ToolChoice::Auto, Format::Json));
        assert_eq!((ask.user.as_deref(), ask.tag.as_deref()), (Some("customer-1"), Some("month-1")));
        assert_eq!((ask.session.as_deref(), ask.sampling.frequency_penalty), (Some("s-1"), Some(0.5)));
    }

    #[test]
    fn what_is_wrong_is_named() {
        let long = "x".repeat(513);
        for (fields, param, code) in [
            (json!({"messages": []}), "messages", "invalid_value"),
            (json!({"messages": [{"role": "user", "content": " "}]}), "messages", "invalid_value"),
            (json!({"messages": [{"role": "robot", "content": "x"}]}), "messages[0].role", "invalid_value"),
            (
                json!({"messages": [{"role": "user", "content": [{"type": "input_audio"}]}]}),
                "messages[0].content",
                "unsupported_value",
            ),
            (json!({"temperature": 2.5}), "temperature", "invalid_value"),
            (json!({"n": 0}), "n", "invalid_value"),
            (json!({"n": 1000}), "n", "invalid_value"),
            (json!({"max_tokens": 0}), "max_tokens", "invalid_value"),
            (json!({"max_completion_tokens": 0}), "max_completion_tokens", "invalid_value"),
            (json!({"stop": vec!["a"; 17]}), "stop", "invalid_value"),
            (json!({"stop": ""}), "stop", "invalid_value"),
            (json!({"user": long}), "user", "invalid_value"),
            (json!({"top_logprobs": 2}), "top_logprobs", "invalid_value"),
            (json!({"logprobs": true, "top_logprobs": 21}), "top_logprobs", "invalid_value"),
            (json!({"functions": [{"name": "f"}]}), "functions", "unsupported_parameter"),
            (json!({"modalities": ["text", "audio"]}), "modalities", "unsupported_parameter"),
        ] {
            let error = with(fields.clone()).unwrap_err();
            assert_eq!((error.param(), error.code()), (Some(param), code), "{fields}");
        }
    }

    #[test]
    fn broken_json_is_placed_and_told_from_a_wrong_shape() {
        let read = |text: &str| read_chat(text.as_bytes()).unwrap_err();
        let broken = read("{\"model\": \"support\",\n \"messages\": [}");
        assert_eq!(broken.code(), "invalid_json");
        assert!(broken.to_string().ends_with("at line 2 column 15"), "{broken}");
        let wrong = read("{\"model\": \"support\"}");
        assert_eq!(wrong.code(), "invalid_body");
        assert!(wrong.to_string().contains("missing field `messages`"), "{wrong}");
        assert_eq!(read("").code(), "invalid_json");
    }
}
