//! Amazon Bedrock's `Converse` and `ConverseStream`, which speak one language for the models of all its makers.

use super::{
    anthropic::no_tokens,
    blocks::{self, Blocks},
    exchange::{Call, Reader, Target},
    openai::number,
    sign::encode,
    tally::{Complaint, Tally, bounded},
};
use crate::{
    Trouble,
    ask::{Ask, Message, Part, Prompt, Role, Tool, ToolChoice},
    event::Used,
};
use serde::Deserialize;
use serde_json::{Map, Value, json};

/// The request, without its signature.
pub(super) fn call(target: &Target<'_>, ask: &Ask) -> Result<Call, Complaint> {
    blocks::check(ask)?;
    if ask.sampling.top_k.is_some() {
        return Err(Complaint::new(Trouble::Unable, "`top_k` is not served by it; leave it out"));
    }
    let verb = if ask.stream { "converse-stream" } else { "converse" };
    Ok(Call {
        url: format!("{}/model/{}/{verb}", target.settings.base(), encode(target.model)),
        headers: target.key.clone().map(|key| ("authorization", format!("Bearer {key}"))).into_iter().collect(),
        body: body(ask)?.to_string(),
    })
}

fn body(ask: &Ask) -> Result<Value, Complaint> {
    let (system, messages) = conversation(&ask.prompt)?;
    let mut body = json!({"messages": messages});
    if !system.is_empty() {
        body["system"] = system.into();
    }
    let it = &ask.sampling;
    let all = [
        ("maxTokens", ask.max_tokens.map(Value::from)),
        ("temperature", it.temperature.map(number)),
        ("topP", it.top_p.map(number)),
        ("stopSequences", (!ask.stop.is_empty()).then(|| ask.stop.clone().into())),
    ];
    let settings: Map<String, Value> = all.into_iter().filter_map(|(n, value)| Some((n.to_string(), value?))).collect();
    if !settings.is_empty() {
        body["inferenceConfig"] = settings.into();
    }
    let tools = blocks::tools(ask)?;
    let choice = match &tools.choice {
        ToolChoice::Auto => Some(json!({"auto": {}})),
        ToolChoice::Required => Some(json!({"any": {}})),
        ToolChoice::Named(name) => Some(json!({"tool": {"name": name}})),
        // There is no word for it: the tools are left out.
        ToolChoice::None => None,
    };
    if let Some(choice) = choice.filter(|_| !tools.tools.is_empty()) {
        let tools: Vec<Value> = tools.tools.iter().map(tool).collect();
        body["toolConfig"] = json!({"tools": tools, "toolChoice": choice});
    }
    Ok(body)
}

fn tool(tool: &Tool) -> Value {
    let mut spec = json!({"name": tool.name, "inputSchema": {"json": tool.parameters}});
    if let Some(description) = &tool.description {
        spec["description"] = description.clone().into();
    }
    json!({"toolSpec": spec})
}

fn conversation(prompt: &Prompt) -> Result<(Vec<Value>, Vec<Value>), Complaint> {
    let messages = match prompt {
        Prompt::Chat(messages) => messages,
        Prompt::Text(text) => return Ok((Vec::new(), vec![json!({"role": "user", "content": [{"text": text}]})])),
        Prompt::Tokens(_) => return Err(no_tokens()),
    };
    let (mut system, mut turns): (Vec<Value>, Vec<(&str, Vec<Value>)>) = (Vec::new(), Vec::new());
    for message in messages {
        let role = match message.role {
            Role::System => {
                system.push(json!({"text": message.text()}));
                continue;
            }
            Role::User | Role::Tool => "user",
            Role::Assistant => "assistant",
        };
        let content = content(message)?;
        match turns.last_mut() {
            Some((last, had)) if *last == role => had.extend(content),
            _ => turns.push((role, content)),
        }
    }
    let turns = turns.into_iter().filter(|(_, content)| !content.is_empty());
    Ok((system, turns.map(|(role, content)| json!({"role": role, "content": content})).collect()))
}

fn content(message: &Message) -> Result<Vec<Value>, Complaint> {
    if message.role == Role::Tool {
        let id = message.tool_call_id.as_deref().unwrap_or_default();
        return Ok(vec![json!({"toolResult": {"toolUseId": id, "content": [{"text": message.text()}]}})]);
    }
    let mut content = Vec::new();
    for part in &message.parts {
        match part {
            Part::Text(text) if text.is_empty() => {}
            Part::Text(text) => content.push(json!({"text": text})),
            Part::Image(url) => content.push(image(url)?),
        }
    }
    for call in &message.tool_calls {
        let input = blocks::arguments(&call.arguments)?;
        content.push(json!({"toolUse": {"toolUseId": call.id, "name": call.name, "input": input}}));
    }
    Ok(content)
}

fn image(url: &str) -> Result<Value, Complaint> {
    let image = blocks::data_url(url).and_then(|(media, data)| Some((media.strip_prefix("image/")?, data)));
    let (format, bytes) = image.ok_or_else(|| {
        Complaint::new(Trouble::Unable, "images by address are not served by it; send them as `data:` URLs")
    })?;
    Ok(json!({"image": {"format": format, "source": {"bytes": bytes}}}))
}

/// A whole answer, or the payload of any event of a stream: their fields do not meet.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Body {
    output: Option<Output>,
    content_block_index: Option<u64>,
    start: Option<Block>,
    delta: Option<Block>,
    stop_reason: Option<String>,
    usage: Option<Usage>,
}

#[derive(Deserialize)]
struct Output {
    message: Content,
}

#[derive(Deserialize)]
struct Content {
    #[serde(default)]
    content: Vec<Block>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Block {
    text: Option<String>,
    tool_use: Option<ToolUse>,
    reasoning_content: Option<Reasoning>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ToolUse {
    tool_use_id: Option<String>,
    name: Option<String>,
    input: Option<Value>,
}

/// A stream has the text itself, a whole answer has it in `reasoningText`.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Reasoning {
    text: Option<String>,
    reasoning_text: Option<ReasoningText>,
}

#[derive(Deserialize)]
struct ReasoningText {
    text: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Usage {
    #[serde(default)]
    input_tokens: u32,
    #[serde(default)]
    output_tokens: u32,
    #[serde(default)]
    cache_read_input_tokens: u32,
    #[serde(default)]
    cache_write_input_tokens: u32,
}

impl From<Usage> for Used {
    fn from(it: Usage) -> Self {
        let prompt_tokens =
            it.input_tokens.saturating_add(it.cache_read_input_tokens).saturating_add(it.cache_write_input_tokens);
        Self {
            prompt_tokens,
            cached_tokens: it.cache_read_input_tokens,
            completion_tokens: it.output_tokens,
            reasoning_tokens: 0,
        }
    }
}

/// Reads Bedrock's answers.
#[derive(Debug)]
pub(super) struct Bedrock {
    blocks: Blocks,
    is_done: bool,
}

impl Bedrock {
    pub(super) fn new(ask: &Ask) -> Self {
        Self { blocks: Blocks::new(ask), is_done: false }
    }

    fn block(&mut self, index: u64, block: Block, tally: &mut Tally) -> Result<(), Complaint> {
        if let Some(it) = block.reasoning_content {
            tally.reasoning(0, it.text.or(it.reasoning_text.map(|it| it.text)).unwrap_or_default())?;
        }
        if let Some(text) = block.text {
            self.blocks.text(text, tally)?;
        }
        let Some(call) = block.tool_use else { return Ok(()) };
        if let (Some(id), Some(name)) = (call.tool_use_id, call.name) {
            self.blocks.begin_call(index, id, name, tally)?;
        }
        match call.input {
            None => Ok(()),
            // Pieces of a stream are texts, the input of a whole answer is an object.
            Some(Value::String(text)) => self.blocks.arguments(index, text, tally),
            Some(whole) => self.blocks.arguments(index, whole.to_string(), tally),
        }
    }
}

impl Reader for Bedrock {
    fn read(&mut self, kind: &str, data: &[u8], tally: &mut Tally) -> Result<(), Complaint> {
        if kind.ends_with("Exception") {
            return Err(exception(kind, data));
        }
        let body: Body = serde_json::from_slice(data).map_err(|error| Complaint::garbled(error.to_string()))?;
        let is_whole = body.output.is_some();
        for (index, block) in body.output.into_iter().flat_map(|output| output.message.content).enumerate() {
            self.block(index as u64, block, tally)?;
        }
        for block in [body.start, body.delta].into_iter().flatten() {
            self.block(body.content_block_index.unwrap_or_default(), block, tally)?;
        }
        if let Some(reason) = body.stop_reason {
            self.blocks.finish(&reason, None, tally)?;
        }
        if let Some(usage) = body.usage {
            tally.used(usage.into());
        }
        // What a stream used is said last.
        self.is_done |= is_whole || kind == "metadata";
        Ok(())
    }

    fn is_done(&self) -> bool {
        self.is_done
    }
}

/// An exception inside of a stream.
fn exception(kind: &str, data: &[u8]) -> Complaint {
    let trouble = match kind {
        "throttlingException" => Trouble::Busy,
        "validationException" => Trouble::Refused,
        _ => Trouble::Failed,
    };
    let body: Value = serde_json::from_slice(data).unwrap_or_default();
    let message = body.get("message").and_then(Value::as_str).unwrap_or_default();
    Complaint::new(trouble, bounded(&format!("{kind}: {message}")))
}
