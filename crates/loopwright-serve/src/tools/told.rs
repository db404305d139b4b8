//! How a model is told what was called and what it may call.

use super::{BEGINS, CallFormat, ENDS};
use crate::{
    Error, Result,
    ask::{Message, Part, Role, Tool, ToolCall},
};
use loopwright_types::{
    Digest,
    openai::{ChatMessage, Content},
};
use serde_json::{Value, json};

/// A conversation in the words of a model's format.
#[derive(Clone, Debug)]
pub enum Told {
    /// Messages of a role and a text each.
    Plain(Vec<ChatMessage>),
    /// Messages and tools for a template that knows of tools.
    Template {
        /// As the transformers library hands them to templates.
        messages: Vec<Value>,
        /// The same.
        tools: Vec<Value>,
    },
}

/// Puts a conversation in the words of a model. `in_template`: its template knows of tools. Images are refused: our models
/// read text.
pub fn told(messages: &[Message], tools: &[Tool], format: CallFormat, in_template: bool) -> Result<Told> {
    for (i, message) in messages.iter().enumerate() {
        if message.parts.iter().any(|part| matches!(part, Part::Image(_))) {
            let param = format!("messages[{i}].content");
            let text = format!("`{param}` holds an image; the model behind this route reads text only");
            return Err(Error::invalid(&param, "unsupported_value", text));
        }
    }
    let knows_calls = messages.iter().any(|message| !message.tool_calls.is_empty() || message.role == Role::Tool);
    if in_template && (knows_calls || !tools.is_empty()) {
        let messages = messages.iter().map(|message| templated(message, format)).collect();
        return Ok(Told::Template { messages, tools: tools.iter().map(tool_json).collect() });
    }
    let mut plain: Vec<ChatMessage> = messages.iter().map(spoken).collect();
    if !tools.is_empty() {
        introduce(&mut plain, tools);
    }
    Ok(Told::Plain(plain))
}

fn word(role: Role) -> &'static str {
    match role {
        Role::System => "system",
        Role::User => "user",
        Role::Assistant => "assistant",
        Role::Tool => "tool",
    }
}

fn said(role: &str, text: String) -> ChatMessage {
    ChatMessage { role: role.into(), content: Some(Content::Text(text)) }
}

/// A message of a format that knows no tools: calls and their results become text, as Hermes writes it.
fn spoken(message: &Message) -> ChatMessage {
    let mut text = message.text();
    for call in &message.tool_calls {
        if !text.is_empty() {
            text.push('\n');
        }
        let call = json!({"name": call.name, "arguments": arguments(call)});
        text.push_str(&format!("{BEGINS}\n{call}\n{ENDS}"));
    }
    match message.role {
        Role::Tool => said("user", format!("<tool_response>\n{text}\n</tool_response>")),
        role => said(word(role), text),
    }
}

/// The tools become instructions.
fn introduce(messages: &mut Vec<ChatMessage>, tools: &[Tool]) {
    let list: Vec<String> = tools.iter().map(|tool| tool_json(tool).to_string()).collect();
    let text = format!(
        "You may call these functions:\n<tools>\n{}\n</tools>\nTo call one, answer with \
         {BEGINS}\n{{\"name\": \"…\", \"arguments\": {{…}}}}\n{ENDS}",
        list.join("\n")
    );
    match messages.first_mut().filter(|message| message.role == "system") {
        Some(system) => *system = said("system", format!("{}\n\n{text}", system.text())),
        None => messages.insert(0, said("system", text)),
    }
}

fn templated(message: &Message, format: CallFormat) -> Value {
    let mut value = json!({"role": word(message.role), "content": message.text()});
    if !message.tool_calls.is_empty() {
        let calls = message.tool_calls.iter().map(|call| {
            let function = json!({"name": call.name, "arguments": arguments(call)});
            json!({"id": fitting(&call.id, format), "type": "function", "function": function})
        });
        value["tool_calls"] = calls.collect();
    }
    if let Some(id) = &message.tool_call_id {
        value["tool_call_id"] = json!(fitting(id, format));
    }
    if let Some(name) = &message.name {
        value["name"] = json!(name);
    }
    value
}

/// Mistral's templates insist on ids of nine letters and digits.
fn fitting(id: &str, format: CallFormat) -> String {
    match format {
        CallFormat::Mistral => Digest::of(id.as_bytes()).hex()[..9].to_owned(),
        CallFormat::Hermes | CallFormat::Llama => id.to_owned(),
    }
}

/// Templates want arguments as a value; what is no JSON stays the text that it is.
fn arguments(call: &ToolCall) -> Value {
    serde_json::from_str(&call.arguments).unwrap_or_else(|_| json!(call.arguments))
}

fn tool_json(tool: &Tool) -> Value {
    let function = json!({"name": tool.name, "description": tool.description.as_deref().unwrap_or_default(), "parameters": tool.parameters});
    json!({"type": "function", "function": function})
}

#[cfg(test)]
mod tests {
    use super::*;

    fn conversation() -> Vec<Message> {
        let call = ToolCall { id: "call_1".into(), name: "weather".into(), arguments: "{\"city\": \"Oslo\"}".into() };
        vec![
            Message::text_of(Role::System, "Be brief."),
            Message::text_of(Role::User, "Weather?"),
            Message { tool_calls: vec![call], parts: vec![], ..Message::text_of(Role::Assistant, "") },
            Message { tool_call_id: Some("call_1".into()), ..Message::text_of(Role::Tool, "rain") },
        ]
    }

    fn tool() -> Tool {
        Tool {
            name: "weather".into(),
            description: Some("Tells it.".into()),
            parameters: json!({"type": "object"}),
            strict: false,
        }
    }

    #[test]
    fn a_format_without_tools_is_told_in_words() {
        let Told::Plain(plain) = told(&conversation(), &[tool()], CallFormat::Hermes, false).unwrap() else { panic!() };
        let texts: Vec<(&str, String)> = plain.iter().map(|message| (message.role.as_str(), message.text())).collect();
        assert!(texts[0].1.starts_with("Be brief.\n\nYou may call") && texts[0].1.contains("\"name\":\"weather\""));
        let call = "<tool_call>\n{\"name\":\"weather\",\"arguments\":{\"city\":\"Oslo\"}}\n</tool_call>";
        assert_eq!(texts[2], ("assistant", call.into()));
        assert_eq!(texts[3], ("user", "<tool_response>\nrain\n</tool_response>".into()));
        let Told::Plain(alone) = told(&conversation()[1..2], &[tool()], CallFormat::Hermes, false).unwrap() else {
            panic!()
        };
        assert_eq!((alone.len(), alone[0].role.as_str()), (2, "system"));
    }

    #[test]
    fn a_template_gets_calls_as_values() {
        let told_as = |format| told(&conversation(), &[tool()], format, true).unwrap();
        let Told::Template { messages, tools } = told_as(CallFormat::Llama) else { panic!() };
        assert_eq!(messages[2]["tool_calls"][0]["function"]["arguments"], json!({"city": "Oslo"}));
        assert_eq!((&messages[3]["role"], &messages[3]["tool_call_id"]), (&json!("tool"), &json!("call_1")));
        assert_eq!(tools[0]["function"]["description"], "Tells it.");
        let Told::Template { messages, .. } = told_as(CallFormat::Mistral) else { panic!() };
        let id = messages[2]["tool_calls"][0]["id"].as_str().unwrap();
        assert_eq!((id.len(), &messages[3]["tool_call_id"]), (9, &json!(id)));
        let plain = told(&conversation()[..2], &[], CallFormat::Llama, true).unwrap();
        assert!(matches!(plain, Told::Plain(_)), "without tools the template runs as it always did");
    }

    #[test]
    fn images_are_refused_by_place() {
        let image = Message { parts: vec![Part::Image("data:x".into())], ..Message::text_of(Role::User, "") };
        let error = told(&[image], &[], CallFormat::Hermes, false).unwrap_err();
        assert_eq!((error.param(), error.code()), (Some("messages[0].content"), "unsupported_value"));
    }
}
