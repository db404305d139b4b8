//! Reading the body of `POST /v1/responses`.

use crate::{
    Error, Result,
    ask::{Ask, Format, Message, Part, Prompt, Role, ToolCall},
    wire::{
        chat::{check_messages, read_part},
        fields::{About, SamplingFields, asks, at_least_one, read_json, schema_format, unserved},
        tools::ToolFields,
    },
};
use serde::Deserialize;
use serde_json::{Value, json};
use std::collections::BTreeMap;

const N_TOP_LOGPROBS_MAX: u32 = 20;

/// A request that was found good.
#[derive(Clone, Debug, PartialEq)]
pub struct ResponseAsk {
    /// What is asked.
    pub ask: Ask,
    /// The request's own settings, which the answer gives back.
    pub settings: Value,
}

#[derive(Deserialize)]
struct Body {
    model: String,
    input: Value,
    instructions: Option<String>,
    max_output_tokens: Option<u32>,
    top_logprobs: Option<u32>,
    include: Option<Vec<String>>,
    text: Option<Value>,
    tools: Option<Vec<Value>>,
    tool_choice: Option<Value>,
    parallel_tool_calls: Option<bool>,
    stream: Option<bool>,
    temperature: Option<f32>,
    top_p: Option<f32>,
    presence_penalty: Option<f32>,
    frequency_penalty: Option<f32>,
    reasoning: Option<Value>,
    metadata: Option<BTreeMap<String, Value>>,
    user: Option<String>,
    safety_identifier: Option<String>,
    prompt_cache_key: Option<String>,
    truncation: Option<String>,
    // What changes an answer and is not served.
    previous_response_id: Option<Value>,
    conversation: Option<Value>,
    background: Option<Value>,
    prompt: Option<Value>,
    max_tool_calls: Option<Value>,
}

/// Reads and checks the body of `POST /v1/responses`.
pub fn read_response(body: &[u8]) -> Result<ResponseAsk> {
    let fields: Body = read_json(body)?;
    refuse_unserved(&fields)?;
    let tools = read_json::<ToolFields>(body)?.read(|tool| tool)?;
    let about = About::read(fields.user.clone().or(fields.safety_identifier.clone()), fields.metadata.clone())?;
    let format = match fields.text.as_ref().map_or(&Value::Null, |text| &text["format"]) {
        Value::Null => Format::Text,
        format => match format["type"].as_str() {
            Some("text") => Format::Text,
            Some("json_object") => Format::Json,
            Some("json_schema") => schema_format(format, "text.format")?,
            _ => {
                let message = "`text.format.type` must be text, json_object or json_schema";
                return Err(Error::invalid("text.format.type", "invalid_value", message));
            }
        },
    };
    if let Some(n) = fields.top_logprobs.filter(|n| *n > N_TOP_LOGPROBS_MAX) {
        let message = format!("`top_logprobs` must be at most {N_TOP_LOGPROBS_MAX}, got {n}");
        return Err(Error::invalid("top_logprobs", "invalid_value", message));
    }
    let includes = fields.include.iter().flatten().any(|what| what == "message.output_text.logprobs");
    let top = fields.top_logprobs.filter(|n| *n > 0);
    let ask = Ask {
        route: fields.model.clone(),
        prompt: Prompt::Chat(read_input(fields.instructions.as_deref(), &fields.input)?),
        n: 1,
        max_tokens: at_least_one("max_output_tokens", fields.max_output_tokens)?,
        stop: Vec::new(),
        sampling: read_json::<SamplingFields>(body)?.read()?,
        logprobs: if includes { Some(top.unwrap_or_default()) } else { top },
        format,
        tools: tools.tools,
        tool_choice: tools.choice,
        parallel_tool_calls: tools.parallel,
        stream: fields.stream.unwrap_or_default(),
        user: about.user,
        session: about.session,
        tag: about.tag,
    };
    Ok(ResponseAsk { settings: settings(&fields), ask })
}

fn refuse_unserved(fields: &Body) -> Result<()> {
    if asks(fields.previous_response_id.as_ref()) {
        let message = "answers are not kept for later requests; send the whole conversation as `input`";
        return Err(Error::invalid("previous_response_id", "unsupported_parameter", message));
    }
    let asked = [
        ("conversation", &fields.conversation),
        ("background", &fields.background),
        ("prompt", &fields.prompt),
        ("max_tool_calls", &fields.max_tool_calls),
    ];
    match asked.iter().find(|(_, value)| asks(value.as_ref())) {
        Some((name, _)) => Err(unserved(name)),
        None => Ok(()),
    }
}

/// The fields that an answer repeats from its request, all of them present.
fn settings(fields: &Body) -> Value {
    let tools = fields.tools.iter().flatten().map(|tool| {
        json!({
            "type": "function",
            "name": tool["name"],
            "description": tool["description"],
            "parameters": tool["parameters"],
            "strict": tool["strict"].as_bool().unwrap_or_default(),
        })
    });
    let mut format = fields.text.as_ref().map_or(Value::Null, |text| text["format"].clone());
    if format.is_null() {
        format = json!({"type": "text"});
    }
    if format["type"] == "json_schema" {
        format["description"] = format["description"].clone();
        format["strict"] = json!(format["strict"].as_bool().unwrap_or_default());
    }
    let reasoning = fields.reasoning.clone().unwrap_or_default();
    json!({
        "instructions": fields.instructions,
        "max_output_tokens": fields.max_output_tokens,
        "max_tool_calls": null,
        "tools": tools.collect::<Vec<_>>(),
        "tool_choice": fields.tool_choice.clone().unwrap_or_else(|| json!("auto")),
        "parallel_tool_calls": fields.parallel_tool_calls.unwrap_or(true),
        "text": {"format": format},
        "temperature": fields.temperature.unwrap_or_default(),
        "top_p": fields.top_p.unwrap_or(1.0),
        "presence_penalty": fields.presence_penalty.unwrap_or_default(),
        "frequency_penalty": fields.frequency_penalty.unwrap_or_default(),
        "top_logprobs": fields.top_logprobs.unwrap_or_default(),
        "reasoning": {"effort": reasoning["effort"], "summary": reasoning["summary"]},
        "truncation": fields.truncation.as_deref().unwrap_or("disabled"),
        "metadata": fields.metadata.clone().unwrap_or_default(),
        "previous_response_id": null,
        "safety_identifier": fields.safety_identifier,
        "prompt_cache_key": fields.prompt_cache_key,
        "store": false,
        "background": false,
        "service_tier": "default",
    })
}

fn read_input(instructions: Option<&str>, input: &Value) -> Result<Vec<Message>> {
    let mut messages: Vec<Message> = instructions
        .filter(|text| !text.is_empty())
        .map(|text| Message::text_of(Role::System, text))
        .into_iter()
        .collect();
    match input {
        Value::String(text) => messages.push(Message::text_of(Role::User, text.as_str())),
        Value::Array(items) => {
            for (i, item) in items.iter().enumerate() {
                read_item(i, item, &mut messages)?;
            }
        }
        _ => return Err(Error::invalid("input", "invalid_value", "`input` must be a text or a list of items")),
    }
    check_messages(&messages, "input")?;
    Ok(messages)
}

fn read_item(i: usize, item: &Value, messages: &mut Vec<Message>) -> Result<()> {
    let param = format!("input[{i}]");
    let text = |name: &str| {
        let missing = || Error::invalid(&param, "missing_required_parameter", format!("`{param}.{name}` is missing"));
        item[name].as_str().map(str::to_owned).ok_or_else(missing)
    };
    match item["type"].as_str() {
        None | Some("message") => messages.push(Message {
            role: read_role(&param, item)?,
            parts: read_parts(&format!("{param}.content"), &item["content"])?,
            ..Message::text_of(Role::User, "")
        }),
        Some("function_call") => {
            let call = ToolCall { id: text("call_id")?, name: text("name")?, arguments: text("arguments")? };
            // Calls of one turn stand in one message.
            match messages.last_mut().filter(|last| last.role == Role::Assistant) {
                Some(last) => last.tool_calls.push(call),
                None => messages.push(Message {
                    parts: Vec::new(),
                    tool_calls: vec![call],
                    ..Message::text_of(Role::Assistant, "")
                }),
            }
        }
        Some("function_call_output") => messages.push(Message {
            parts: read_parts(&format!("{param}.output"), &item["output"])?,
            tool_call_id: Some(text("call_id")?),
            ..Message::text_of(Role::Tool, "")
        }),
        // What a model thought before is not told to it again.
        Some("reasoning") => {}
        Some(other) => {
            let message =
                format!("`{param}` is of type `{other}`; messages, function calls and their outputs are read");
            return Err(Error::invalid(&param, "unsupported_value", message));
        }
    }
    Ok(())
}

fn read_role(param: &str, item: &Value) -> Result<Role> {
    match item["role"].as_str() {
        Some("user") => Ok(Role::User),
        Some("assistant") => Ok(Role::Assistant),
        Some("system" | "developer") => Ok(Role::System),
        _ => {
            let param = format!("{param}.role");
            let message = format!("`{param}` must be user, assistant, system or developer, got {}", item["role"]);
            Err(Error::invalid(&param, "invalid_value", message))
        }
    }
}

fn read_parts(param: &str, content: &Value) -> Result<Vec<Part>> {
    match content {
        Value::String(text) => Ok(vec![Part::Text(text.clone())]),
        Value::Array(parts) => parts.iter().map(|part| read_part(param, part)).collect(),
        _ => Err(Error::invalid(param, "invalid_value", format!("`{param}` must be a text or a list of parts"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ask::ToolChoice;

    fn with(fields: Value) -> Result<ResponseAsk> {
        let mut body = json!({"model": "support", "input": "hello"});
        for (name, value) in fields.as_object().unwrap() {
            body[name] = value.clone();
        }
        read_response(body.to_string().as_bytes())
    }

    #[test]
    fn items_become_messages() {
        let read = with(json!({
            "instructions": "Be brief.",
            "input": [
                {"role": "user", "content": [{"type": "input_text", "text": "Weather?"}]},
                {"type": "reasoning", "summary": []},
                {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "I look."}]},
                {"type": "function_call", "call_id": "c1", "name": "weather", "arguments": "{}"},
                {"type": "function_call_output", "call_id": "c1", "output": "rain"},
            ],
            "tools": [{"type": "function", "name": "weather", "parameters": {"type": "object"}, "strict": true}],
            "tool_choice": {"type": "function", "name": "weather"},
            "text": {"format": {"type": "json_schema", "name": "a", "schema": {"type": "object"}}},
            "include": ["message.output_text.logprobs"], "top_logprobs": 2, "max_output_tokens": 7,
        }));
        let ResponseAsk { ask, settings } = read.unwrap();
        let Prompt::Chat(messages) = &ask.prompt else { panic!() };
        let roles: Vec<Role> = messages.iter().map(|message| message.role).collect();
        assert_eq!(roles, [Role::System, Role::User, Role::Assistant, Role::Tool]);
        assert_eq!(messages[2].tool_calls[0].name, "weather");
        assert_eq!((ask.tool_choice, ask.logprobs), (ToolChoice::Named("weather".into()), Some(2)));
        assert!(matches!(ask.format, Format::Schema { .. }));
        assert_eq!(settings["tools"][0]["description"], Value::Null);
        assert_eq!(settings["max_output_tokens"], 7);
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (fields, param) in [
            (json!({"input": []}), "input"),
            (json!({"input": 7}), "input"),
            (json!({"input": [{"type": "item_reference", "id": "x"}]}), "input[0]"),
            (json!({"input": [{"role": "robot", "content": "x"}]}), "input[0].role"),
            (json!({"previous_response_id": "resp_1"}), "previous_response_id"),
            (json!({"background": true}), "background"),
            (json!({"max_output_tokens": 0}), "max_output_tokens"),
            (json!({"text": {"format": {"type": "xml"}}}), "text.format.type"),
            (json!({"tools": [{"type": "web_search"}]}), "tools[0].type"),
        ] {
            assert_eq!(with(fields.clone()).unwrap_err().param(), Some(param), "{fields}");
        }
    }
}
