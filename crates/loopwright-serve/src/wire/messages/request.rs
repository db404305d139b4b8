//! Reading the body of `POST /v1/messages`.

use crate::{
    Error, Result,
    ask::{Ask, Format, Message, Part, Prompt, Role, Sampling, Tool, ToolCall, ToolChoice},
    wire::{
        chat::check_messages,
        fields::{OneOrMany, asks, at_least_one, at_most, in_range, read_json, stops, unserved},
        tools::{Tools, checked, tool_of},
    },
};
use serde::Deserialize;
use serde_json::Value;

const N_USER_CHARS_MAX: usize = 512;

#[derive(Deserialize)]
struct Body {
    model: String,
    max_tokens: Option<u32>,
    messages: Vec<WireMessage>,
    system: Option<Content>,
    stop_sequences: Option<Vec<String>>,
    temperature: Option<f32>,
    top_p: Option<f32>,
    top_k: Option<i64>,
    stream: Option<bool>,
    tools: Option<Vec<Value>>,
    tool_choice: Option<Value>,
    metadata: Option<Metadata>,
    output_config: Option<OutputConfig>,
    output_format: Option<Value>,
    // What changes an answer and is not served.
    thinking: Option<Value>,
    mcp_servers: Option<Value>,
    container: Option<Value>,
}

#[derive(Deserialize)]
struct Metadata {
    user_id: Option<String>,
}

#[derive(Deserialize)]
struct OutputConfig {
    format: Option<Value>,
}

#[derive(Deserialize)]
struct WireMessage {
    role: String,
    content: Content,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Content {
    Text(String),
    Blocks(Vec<Value>),
}

/// Reads and checks the body of `POST /v1/messages`.
pub fn read_message(body: &[u8]) -> Result<Ask> {
    let ask = read(read_json(body)?)?;
    if ask.max_tokens.is_none() {
        return Err(Error::invalid("max_tokens", "missing_required_parameter", "`max_tokens` is missing"));
    }
    Ok(ask)
}

/// Reads the body of `POST /v1/messages/count_tokens`: the same without `max_tokens`.
pub fn read_count(body: &[u8]) -> Result<Ask> {
    read(read_json(body)?)
}

fn read(fields: Body) -> Result<Ask> {
    let thinks = fields.thinking.as_ref().is_some_and(|thinking| thinking["type"] != "disabled");
    let asked = [
        ("thinking", thinks),
        ("mcp_servers", asks(fields.mcp_servers.as_ref())),
        ("container", asks(fields.container.as_ref())),
    ];
    if let Some((name, _)) = asked.iter().find(|(_, asked)| *asked) {
        return Err(unserved(name));
    }
    let tools = read_tools(fields.tools.unwrap_or_default(), fields.tool_choice)?;
    let format = fields.output_config.and_then(|config| config.format).or(fields.output_format);
    Ok(Ask {
        route: fields.model,
        prompt: Prompt::Chat(read_messages(fields.system, fields.messages)?),
        n: 1,
        max_tokens: at_least_one("max_tokens", fields.max_tokens)?,
        stop: stops(fields.stop_sequences.map(OneOrMany::Many), "stop_sequences")?,
        sampling: Sampling {
            temperature: in_range("temperature", fields.temperature, 0.0..=1.0)?,
            top_p: in_range("top_p", fields.top_p, 0.0..=1.0)?,
            top_k: fields.top_k.and_then(|k| u32::try_from(k).ok()).filter(|k| *k > 0),
            ..Sampling::default()
        },
        logprobs: None,
        format: format.map(|format| read_format(&format)).transpose()?.unwrap_or_default(),
        tools: tools.tools,
        tool_choice: tools.choice,
        parallel_tool_calls: tools.parallel,
        stream: fields.stream.unwrap_or_default(),
        user: at_most("metadata.user_id", fields.metadata.and_then(|about| about.user_id), N_USER_CHARS_MAX)?,
        session: None,
        tag: None,
    })
}

fn read_format(format: &Value) -> Result<Format> {
    match (format["type"].as_str(), &format["schema"]) {
        (Some("json_schema"), schema @ Value::Object(_)) => {
            Ok(Format::Schema { name: "answer".into(), schema: schema.clone(), strict: true })
        }
        _ => {
            let message = "`output_config.format` must be of type `json_schema`, with a `schema`";
            Err(Error::invalid("output_config.format", "invalid_value", message))
        }
    }
}

fn read_tools(tools: Vec<Value>, choice: Option<Value>) -> Result<Tools> {
    let read = |(i, tool): (usize, &Value)| match tool["type"].as_str() {
        None | Some("custom") => tool_of(&format!("tools[{i}]"), tool, "input_schema"),
        Some(other) => {
            let param = format!("tools[{i}].type");
            let message = format!("`{param}` is `{other}`; only tools of the client's own are served");
            Err(Error::invalid(&param, "unsupported_value", message))
        }
    };
    let tools: Vec<Tool> = tools.iter().enumerate().map(read).collect::<Result<_>>()?;
    let choice = choice.unwrap_or_default();
    let parallel = choice["disable_parallel_tool_use"] != true;
    let choice = match (choice["type"].as_str(), choice["name"].as_str()) {
        (None, _) if choice.is_null() => ToolChoice::Auto,
        (Some("auto"), _) => ToolChoice::Auto,
        (Some("any"), _) => ToolChoice::Required,
        (Some("none"), _) => ToolChoice::None,
        (Some("tool"), Some(name)) => ToolChoice::Named(name.into()),
        _ => {
            let message = "`tool_choice` must be of type auto, any, none, or tool with a name";
            return Err(Error::invalid("tool_choice", "invalid_value", message));
        }
    };
    checked(Tools { tools, choice, parallel })
}

fn read_messages(system: Option<Content>, messages: Vec<WireMessage>) -> Result<Vec<Message>> {
    let mut read = Vec::new();
    if let Some(system) = system {
        let (parts, _, _) = read_content("system", system)?;
        read.push(Message { parts, ..Message::text_of(Role::System, "") });
    }
    for (i, message) in messages.into_iter().enumerate() {
        let role = match message.role.as_str() {
            "user" => Role::User,
            "assistant" => Role::Assistant,
            "system" => Role::System,
            other => {
                let param = format!("messages[{i}].role");
                let message = format!("`{param}` must be user or assistant, got `{other}`");
                return Err(Error::invalid(&param, "invalid_value", message));
            }
        };
        let (parts, tool_calls, results) = read_content(&format!("messages[{i}].content"), message.content)?;
        read.extend(results);
        if !parts.is_empty() || !tool_calls.is_empty() {
            read.push(Message { role, parts, tool_calls, tool_call_id: None, name: None });
        }
    }
    check_messages(&read, "messages")?;
    if read.last().is_some_and(|last| last.role == Role::Assistant) {
        let message = "the last message must be the user's; an answer that was begun cannot be continued here";
        return Err(Error::invalid("messages", "unsupported_value", message));
    }
    Ok(read)
}

/// Parts, calls, and the results of calls, each a message of its own.
fn read_content(param: &str, content: Content) -> Result<(Vec<Part>, Vec<ToolCall>, Vec<Message>)> {
    let blocks = match content {
        Content::Text(text) => return Ok((vec![Part::Text(text)], Vec::new(), Vec::new())),
        Content::Blocks(blocks) => blocks,
    };
    let (mut parts, mut calls, mut results) = (Vec::new(), Vec::new(), Vec::new());
    for (k, block) in blocks.into_iter().enumerate() {
        let param = format!("{param}[{k}]");
        match block["type"].as_str() {
            Some("text") => parts.push(Part::Text(text_field(&param, &block, "text")?)),
            Some("image") => parts.push(Part::Image(image_address(&param, &block["source"])?)),
            Some("tool_use") => calls.push(ToolCall {
                id: text_field(&param, &block, "id")?,
                name: text_field(&param, &block, "name")?,
                arguments: block["input"].to_string(),
            }),
            Some("tool_result") => results.push(read_result(&param, &block)?),
            // What a model thought before is not told to it again.
            Some("thinking" | "redacted_thinking") => {}
            _ => {
                let message =
                    format!("`{param}` is of type {}; text, images, calls and results are read", block["type"]);
                return Err(Error::invalid(&param, "unsupported_value", message));
            }
        }
    }
    Ok((parts, calls, results))
}

fn read_result(param: &str, block: &Value) -> Result<Message> {
    let parts = match &block["content"] {
        Value::Null => Vec::new(),
        Value::String(text) => vec![Part::Text(text.clone())],
        Value::Array(blocks) => read_content(&format!("{param}.content"), Content::Blocks(blocks.clone()))?.0,
        _ => {
            let message = format!("`{param}.content` must be a text or a list of blocks");
            return Err(Error::invalid(&format!("{param}.content"), "invalid_value", message));
        }
    };
    let id = text_field(param, block, "tool_use_id")?;
    Ok(Message { role: Role::Tool, parts, tool_calls: Vec::new(), tool_call_id: Some(id), name: None })
}

fn image_address(param: &str, source: &Value) -> Result<String> {
    match source["type"].as_str() {
        Some("base64") => {
            let (media, data) = (text_field(param, source, "media_type")?, text_field(param, source, "data")?);
            Ok(format!("data:{media};base64,{data}"))
        }
        Some("url") => text_field(param, source, "url"),
        _ => Err(Error::invalid(param, "unsupported_value", format!("`{param}.source` must be of type base64 or url"))),
    }
}

fn text_field(param: &str, fields: &Value, name: &str) -> Result<String> {
    let missing = || {
        let param = format!("{param}.{name}");
        Error::invalid(&param, "missing_required_parameter", format!("`{param}` is missing"))
    };
    fields[name].as_str().map(str::to_owned).ok_or_else(missing)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn with(fields: Value) -> Result<Ask> {
        let mut body = json!({"model": "support", "max_tokens": 9, "messages": [{"role": "user", "content": "hello"}]});
        for (name, value) in fields.as_object().unwrap() {
            body[name] = value.clone();
        }
        read_message(body.to_string().as_bytes())
    }

    #[test]
    fn a_conversation_with_calls_is_read_in_order() {
        let ask = with(json!({
            "system": [{"type": "text", "text": "Be brief."}],
            "messages": [
                {"role": "user", "content": [{"type": "text", "text": "Weather?"}, {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "AA=="}}]},
                {"role": "assistant", "content": [{"type": "thinking", "thinking": "x"}, {"type": "tool_use", "id": "t1", "name": "weather", "input": {"city": "Oslo"}}]},
                {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t1", "content": [{"type": "text", "text": "rain"}]}, {"type": "text", "text": "So?"}]},
            ],
            "tools": [{"name": "weather", "input_schema": {"type": "object"}}],
            "tool_choice": {"type": "any", "disable_parallel_tool_use": true},
            "stop_sequences": ["END"], "top_k": 5, "stream": true, "metadata": {"user_id": "u1"},
        }))
        .unwrap();
        let Prompt::Chat(messages) = &ask.prompt else { panic!() };
        let roles: Vec<Role> = messages.iter().map(|message| message.role).collect();
        assert_eq!(roles, [Role::System, Role::User, Role::Assistant, Role::Tool, Role::User]);
        assert_eq!(messages[1].parts[1], Part::Image("data:image/png;base64,AA==".into()));
        assert_eq!(messages[2].tool_calls[0].arguments, "{\"city\":\"Oslo\"}");
        assert_eq!((messages[3].text(), messages[3].tool_call_id.as_deref()), ("rain".into(), Some("t1")));
        assert_eq!((ask.tool_choice, ask.parallel_tool_calls, ask.stream), (ToolChoice::Required, false, true));
        assert_eq!((ask.stop, ask.sampling.top_k, ask.user), (vec!["END".into()], Some(5), Some("u1".into())));
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (fields, param) in [
            (json!({"max_tokens": null}), "max_tokens"),
            (json!({"max_tokens": 0}), "max_tokens"),
            (json!({"temperature": 1.5}), "temperature"),
            (json!({"messages": []}), "messages"),
            (json!({"messages": [{"role": "tool", "content": "x"}]}), "messages[0].role"),
            (json!({"messages": [{"role": "assistant", "content": "Once"}]}), "messages"),
            (json!({"messages": [{"role": "user", "content": [{"type": "document"}]}]}), "messages[0].content[0]"),
            (json!({"thinking": {"type": "enabled", "budget_tokens": 1024}}), "thinking"),
            (json!({"tools": [{"type": "web_search_20250305", "name": "w"}]}), "tools[0].type"),
            (json!({"tool_choice": {"type": "tool", "name": "x"}}), "tool_choice"),
            (json!({"output_config": {"format": {"type": "xml"}}}), "output_config.format"),
        ] {
            assert_eq!(with(fields.clone()).unwrap_err().param(), Some(param), "{fields}");
        }
    }
}
