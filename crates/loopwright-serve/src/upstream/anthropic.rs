//! Anthropic's Messages.

use super::{
    blocks::{self, Blocks},
    exchange::{Call, Reader, Target},
    openai::number,
    tally::{Complaint, Tally, bounded},
};
use crate::{
    Trouble,
    ask::{Ask, Message, Part, Prompt, Role, Tool, ToolChoice},
    event::Used,
};
use serde::Deserialize;
use serde_json::{Value, json};

/// The version of the API that we speak.
const VERSION: &str = "2023-06-01";
/// The API wants a bound on the answer; this one where the client gives none.
const MAX_TOKENS: u32 = 4_096;

/// The request.
pub(super) fn call(target: &Target<'_>, ask: &Ask) -> Result<Call, Complaint> {
    blocks::check(ask)?;
    let version = &target.settings.api_version;
    let version = if version.is_empty() { VERSION.into() } else { version.clone() };
    let key = target.key.clone().map(|key| ("x-api-key", key));
    Ok(Call {
        url: format!("{}/v1/messages", target.settings.base()),
        headers: key.into_iter().chain([("anthropic-version", version)]).collect(),
        body: body(target, ask)?.to_string(),
    })
}

fn body(target: &Target<'_>, ask: &Ask) -> Result<Value, Complaint> {
    let (system, messages) = conversation(&ask.prompt)?;
    let mut body = json!({
        "model": target.model,
        "max_tokens": ask.max_tokens.unwrap_or(MAX_TOKENS),
        "messages": messages,
    });
    if !system.is_empty() {
        body["system"] = system.into();
    }
    if !ask.stop.is_empty() {
        body["stop_sequences"] = ask.stop.clone().into();
    }
    let it = &ask.sampling;
    for (name, value) in [("temperature", it.temperature), ("top_p", it.top_p)] {
        if let Some(value) = value {
            body[name] = number(value);
        }
    }
    if let Some(top_k) = it.top_k {
        body["top_k"] = top_k.into();
    }
    let tools = blocks::tools(ask)?;
    if !tools.tools.is_empty() {
        body["tools"] = tools.tools.iter().map(tool).collect();
        body["tool_choice"] = choice(&tools.choice, ask.parallel_tool_calls);
    }
    if let Some(user) = &ask.user {
        body["metadata"] = json!({"user_id": user});
    }
    if ask.stream {
        body["stream"] = true.into();
    }
    Ok(body)
}

fn tool(tool: &Tool) -> Value {
    let mut value = json!({"name": tool.name, "input_schema": tool.parameters});
    if let Some(description) = &tool.description {
        value["description"] = description.clone().into();
    }
    value
}

fn choice(choice: &ToolChoice, is_parallel: bool) -> Value {
    let mut value = match choice {
        ToolChoice::Auto => json!({"type": "auto"}),
        ToolChoice::None => return json!({"type": "none"}),
        ToolChoice::Required => json!({"type": "any"}),
        ToolChoice::Named(name) => json!({"type": "tool", "name": name}),
    };
    if !is_parallel {
        value["disable_parallel_tool_use"] = true.into();
    }
    value
}

/// The system's text, and the messages in turns of user and assistant.
fn conversation(prompt: &Prompt) -> Result<(String, Vec<Value>), Complaint> {
    let messages = match prompt {
        Prompt::Chat(messages) => messages,
        Prompt::Text(text) => return Ok((String::new(), vec![json!({"role": "user", "content": text})])),
        Prompt::Tokens(_) => return Err(no_tokens()),
    };
    let mut system: Vec<String> = Vec::new();
    let mut turns: Vec<(&str, Vec<Value>)> = Vec::new();
    for message in messages {
        let role = match message.role {
            Role::System => {
                system.push(message.text());
                continue;
            }
            Role::User | Role::Tool => "user",
            Role::Assistant => "assistant",
        };
        let content = content(message)?;
        match turns.last_mut() {
            // The results of parallel calls come in one turn.
            Some((last, blocks)) if *last == role => blocks.extend(content),
            _ => turns.push((role, content)),
        }
    }
    let turns = turns.into_iter().filter(|(_, content)| !content.is_empty());
    Ok((system.join("\n\n"), turns.map(|(role, content)| json!({"role": role, "content": content})).collect()))
}

/// Token ids mean something to the model that made them only.
pub(super) fn no_tokens() -> Complaint {
    Complaint::new(Trouble::Unable, "a prompt of token ids is not served by it; send its text")
}

fn content(message: &Message) -> Result<Vec<Value>, Complaint> {
    if message.role == Role::Tool {
        let id = message.tool_call_id.as_deref().unwrap_or_default();
        return Ok(vec![json!({"type": "tool_result", "tool_use_id": id, "content": message.text()})]);
    }
    let mut blocks: Vec<Value> = message.parts.iter().filter_map(part).collect();
    for call in &message.tool_calls {
        let input = blocks::arguments(&call.arguments)?;
        blocks.push(json!({"type": "tool_use", "id": call.id, "name": call.name, "input": input}));
    }
    Ok(blocks)
}

fn part(part: &Part) -> Option<Value> {
    match part {
        // The API refuses empty texts.
        Part::Text(text) if text.is_empty() => None,
        Part::Text(text) => Some(json!({"type": "text", "text": text})),
        Part::Image(url) => {
            let source = match blocks::data_url(url) {
                Some((media, data)) => json!({"type": "base64", "media_type": media, "data": data}),
                None => json!({"type": "url", "url": url}),
            };
            Some(json!({"type": "image", "source": source}))
        }
    }
}

/// A whole answer, or an event of a stream.
#[derive(Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Body {
    Message(Whole),
    MessageStart {
        message: Start,
    },
    ContentBlockStart {
        index: u64,
        content_block: Block,
    },
    ContentBlockDelta {
        index: u64,
        delta: Delta,
    },
    MessageDelta {
        delta: Stop,
        usage: Option<Usage>,
    },
    MessageStop,
    Error {
        error: Refusal,
    },
    #[serde(other)]
    Other,
}

#[derive(Deserialize)]
struct Whole {
    content: Vec<Block>,
    stop_reason: Option<String>,
    stop_sequence: Option<String>,
    usage: Usage,
}

#[derive(Deserialize)]
struct Start {
    usage: Option<Usage>,
}

#[derive(Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Block {
    Text {
        #[serde(default)]
        text: String,
    },
    Thinking {
        #[serde(default)]
        thinking: String,
    },
    ToolUse {
        id: String,
        name: String,
        #[serde(default)]
        input: Value,
    },
    #[serde(other)]
    Other,
}

#[derive(Deserialize)]
#[serde(tag = "type")]
enum Delta {
    #[serde(rename = "text_delta")]
    Text { text: String },
    #[serde(rename = "thinking_delta")]
    Thinking { thinking: String },
    #[serde(rename = "input_json_delta")]
    InputJson { partial_json: String },
    #[serde(other)]
    Other,
}

#[derive(Deserialize)]
struct Stop {
    stop_reason: Option<String>,
    stop_sequence: Option<String>,
}

#[derive(Clone, Copy, Debug, Default, Deserialize)]
struct Usage {
    input_tokens: Option<u32>,
    cache_read_input_tokens: Option<u32>,
    cache_creation_input_tokens: Option<u32>,
    output_tokens: Option<u32>,
}

#[derive(Deserialize)]
struct Refusal {
    #[serde(rename = "type", default)]
    kind: String,
    #[serde(default)]
    message: String,
}

/// Reads Anthropic's answers.
#[derive(Debug)]
pub(super) struct Anthropic {
    blocks: Blocks,
    usage: Usage,
    is_done: bool,
}

impl Anthropic {
    pub(super) fn new(ask: &Ask) -> Self {
        Self { blocks: Blocks::new(ask), usage: Usage::default(), is_done: false }
    }

    fn count(&mut self, usage: Usage, tally: &mut Tally) {
        let it = &mut self.usage;
        it.input_tokens = usage.input_tokens.or(it.input_tokens);
        it.cache_read_input_tokens = usage.cache_read_input_tokens.or(it.cache_read_input_tokens);
        it.cache_creation_input_tokens = usage.cache_creation_input_tokens.or(it.cache_creation_input_tokens);
        it.output_tokens = usage.output_tokens.or(it.output_tokens);
        let cached = it.cache_read_input_tokens.unwrap_or_default();
        let others = [it.input_tokens, it.cache_creation_input_tokens].into_iter().flatten();
        tally.used(Used {
            prompt_tokens: others.fold(cached, u32::saturating_add),
            cached_tokens: cached,
            completion_tokens: it.output_tokens.unwrap_or_default(),
            reasoning_tokens: 0,
        });
    }

    fn block(&mut self, index: u64, block: Block, tally: &mut Tally) -> Result<(), Complaint> {
        match block {
            Block::Text { text } => self.blocks.text(text, tally),
            Block::Thinking { thinking } => tally.reasoning(0, thinking),
            Block::ToolUse { id, name, input } => {
                self.blocks.begin_call(index, id, name, tally)?;
                // A stream begins with an empty object and sends the arguments behind it.
                let is_empty = input.as_object().is_none_or(serde_json::Map::is_empty);
                if is_empty { Ok(()) } else { self.blocks.arguments(index, input.to_string(), tally) }
            }
            Block::Other => Ok(()),
        }
    }

    fn whole(&mut self, whole: Whole, tally: &mut Tally) -> Result<(), Complaint> {
        for (index, block) in whole.content.into_iter().enumerate() {
            self.block(index as u64, block, tally)?;
        }
        self.count(whole.usage, tally);
        self.is_done = true;
        let reason = whole.stop_reason.as_deref().unwrap_or_default();
        self.blocks.finish(reason, whole.stop_sequence.as_deref(), tally)
    }
}

impl Reader for Anthropic {
    fn read(&mut self, _kind: &str, data: &[u8], tally: &mut Tally) -> Result<(), Complaint> {
        let body: Body = serde_json::from_slice(data).map_err(|error| Complaint::garbled(error.to_string()))?;
        match body {
            Body::Message(whole) => self.whole(whole, tally)?,
            Body::MessageStart { message } => self.count(message.usage.unwrap_or_default(), tally),
            Body::ContentBlockStart { index, content_block } => self.block(index, content_block, tally)?,
            Body::ContentBlockDelta { index, delta } => match delta {
                Delta::Text { text } => self.blocks.text(text, tally)?,
                Delta::Thinking { thinking } => tally.reasoning(0, thinking)?,
                Delta::InputJson { partial_json } => self.blocks.arguments(index, partial_json, tally)?,
                Delta::Other => {}
            },
            Body::MessageDelta { delta, usage } => {
                self.count(usage.unwrap_or_default(), tally);
                if let Some(reason) = delta.stop_reason {
                    self.blocks.finish(&reason, delta.stop_sequence.as_deref(), tally)?;
                }
            }
            Body::MessageStop => self.is_done = true,
            Body::Error { error } => {
                let trouble = match error.kind.as_str() {
                    "overloaded_error" | "rate_limit_error" => Trouble::Busy,
                    "invalid_request_error" => Trouble::Refused,
                    _ => Trouble::Failed,
                };
                return Err(Complaint::new(trouble, bounded(&error.message)));
            }
            Body::Other => {}
        }
        Ok(())
    }

    fn is_done(&self) -> bool {
        self.is_done
    }
}
