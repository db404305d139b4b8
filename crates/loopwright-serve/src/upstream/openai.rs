//! OpenAI's chat completions, completions and embeddings, as many servers and Azure speak them.

use super::{
    exchange::{Call, Reader, Target},
    settings::ProviderKind,
    sign::encode,
    tally::{CallPart, Complaint, Tally, message_of},
};
use crate::{
    Trouble,
    ask::{Ask, Format, Message, Part, Prompt, Role, Tool, ToolChoice},
    event::{FinishReason, TokenLogprob, Used},
};
use serde::Deserialize;
use serde_json::{Map, Value, json};

/// The request.
pub(super) fn call(target: &Target<'_>, ask: &Ask) -> Result<Call, Complaint> {
    let door = match ask.prompt {
        Prompt::Chat(_) => "chat/completions",
        Prompt::Text(_) | Prompt::Tokens(_) => "completions",
    };
    Ok(Call { url: address(target, door), headers: key_headers(target), body: body(target, ask)?.to_string() })
}

/// The request for embeddings of texts.
pub(super) fn embedding_call(target: &Target<'_>, inputs: &[String], dimensions: Option<u32>) -> Call {
    let mut body = json!({"input": inputs, "encoding_format": "float"});
    if target.settings.kind != ProviderKind::Azure {
        body["model"] = target.model.into();
    }
    if let Some(dimensions) = dimensions {
        body["dimensions"] = dimensions.into();
    }
    Call { url: address(target, "embeddings"), headers: key_headers(target), body: body.to_string() }
}

fn address(target: &Target<'_>, door: &str) -> String {
    let (settings, base) = (target.settings, target.settings.base());
    if settings.kind != ProviderKind::Azure {
        return format!("{base}/{door}");
    }
    let deployment = if settings.deployment.is_empty() { target.model } else { &settings.deployment };
    let version = if settings.api_version.is_empty() { "2024-10-21" } else { &settings.api_version };
    format!("{base}/openai/deployments/{}/{door}?api-version={}", encode(deployment), encode(version))
}

fn key_headers(target: &Target<'_>) -> Vec<(&'static str, String)> {
    match (&target.key, target.settings.kind) {
        (None, _) => Vec::new(),
        (Some(key), ProviderKind::Azure) => vec![("api-key", key.clone())],
        (Some(key), _) => vec![("authorization", format!("Bearer {key}"))],
    }
}

fn body(target: &Target<'_>, ask: &Ask) -> Result<Value, Complaint> {
    let mut body = Map::new();
    let mut set = |name: &str, value: Option<Value>| {
        if let Some(value) = value {
            body.insert(name.into(), value);
        }
    };
    set("model", Some(target.model.into()));
    let is_chat = matches!(ask.prompt, Prompt::Chat(_));
    match &ask.prompt {
        Prompt::Chat(messages) => set("messages", Some(messages.iter().map(message).collect())),
        Prompt::Text(text) => set("prompt", Some(text.clone().into())),
        Prompt::Tokens(tokens) => set("prompt", Some(tokens.clone().into())),
    }
    set("n", (ask.n != 1).then(|| ask.n.into()));
    set(tokens_name(target, is_chat), ask.max_tokens.map(Value::from));
    set("stop", (!ask.stop.is_empty()).then(|| ask.stop.clone().into()));
    let it = &ask.sampling;
    set("temperature", it.temperature.map(number));
    set("top_p", it.top_p.map(number));
    set("top_k", it.top_k.map(Value::from));
    set("min_p", it.min_p.map(number));
    set("presence_penalty", it.presence_penalty.map(number));
    set("frequency_penalty", it.frequency_penalty.map(number));
    set("repetition_penalty", it.repetition_penalty.map(number));
    set("seed", it.seed.map(Value::from));
    set("ignore_eos", it.ignore_eos.then(|| true.into()));
    set("min_tokens", (it.min_tokens > 0).then(|| it.min_tokens.into()));
    let bias = || it.logit_bias.iter().map(|(token, bias)| (token.to_string(), number(*bias))).collect();
    set("logit_bias", (!it.logit_bias.is_empty()).then(|| Value::Object(bias())));
    match (ask.logprobs, is_chat) {
        (Some(n), true) => {
            set("logprobs", Some(true.into()));
            set("top_logprobs", (n > 0).then(|| n.into()));
        }
        (n, _) => set("logprobs", n.map(Value::from)),
    }
    set("response_format", format(&ask.format)?);
    if !ask.tools.is_empty() {
        set("tools", Some(ask.tools.iter().map(tool).collect()));
        set("tool_choice", Some(tool_choice(&ask.tool_choice)));
        set("parallel_tool_calls", (!ask.parallel_tool_calls).then(|| false.into()));
    }
    set("user", ask.user.clone().map(Value::from));
    if ask.stream {
        set("stream", Some(true.into()));
        set("stream_options", Some(json!({"include_usage": true})));
    }
    Ok(Value::Object(body))
}

/// OpenAI itself wants the new name for chats; servers that speak its language know the old one.
fn tokens_name(target: &Target<'_>, is_chat: bool) -> &'static str {
    let is_openais = target.settings.kind == ProviderKind::Azure || target.settings.base().contains("api.openai.com");
    if is_openais && is_chat { "max_completion_tokens" } else { "max_tokens" }
}

/// `0.7`, not `0.699999988079071`: the number as the client wrote it.
pub(super) fn number(value: f32) -> Value {
    value.to_string().parse::<f64>().map_or(Value::Null, Value::from)
}

fn message(message: &Message) -> Value {
    let role = match message.role {
        Role::System => "system",
        Role::User => "user",
        Role::Assistant => "assistant",
        Role::Tool => "tool",
    };
    let is_plain = message.parts.iter().all(|part| part.text().is_some());
    let content = match is_plain {
        true if message.parts.is_empty() && !message.tool_calls.is_empty() => Value::Null,
        true => message.text().into(),
        false => message.parts.iter().map(part).collect(),
    };
    let mut value = json!({"role": role, "content": content});
    if !message.tool_calls.is_empty() {
        let call = |call: &crate::ask::ToolCall| {
            let function = json!({"name": call.name, "arguments": call.arguments});
            json!({"id": call.id, "type": "function", "function": function})
        };
        value["tool_calls"] = message.tool_calls.iter().map(call).collect();
    }
    if let Some(id) = &message.tool_call_id {
        value["tool_call_id"] = id.clone().into();
    }
    if let Some(name) = message.name.as_ref().filter(|_| message.role != Role::Tool) {
        value["name"] = name.clone().into();
    }
    value
}

fn part(part: &Part) -> Value {
    match part {
        Part::Text(text) => json!({"type": "text", "text": text}),
        Part::Image(url) => json!({"type": "image_url", "image_url": {"url": url}}),
    }
}

fn tool(tool: &Tool) -> Value {
    let mut function = json!({"name": tool.name, "parameters": tool.parameters});
    if let Some(description) = &tool.description {
        function["description"] = description.clone().into();
    }
    if tool.strict {
        function["strict"] = true.into();
    }
    json!({"type": "function", "function": function})
}

fn tool_choice(choice: &ToolChoice) -> Value {
    match choice {
        ToolChoice::Auto => "auto".into(),
        ToolChoice::None => "none".into(),
        ToolChoice::Required => "required".into(),
        ToolChoice::Named(name) => json!({"type": "function", "function": {"name": name}}),
    }
}

fn format(format: &Format) -> Result<Option<Value>, Complaint> {
    Ok(match format {
        Format::Text => None,
        Format::Json => Some(json!({"type": "json_object"})),
        Format::Schema { name, schema, strict } => {
            let schema = json!({"name": name, "schema": schema, "strict": strict});
            Some(json!({"type": "json_schema", "json_schema": schema}))
        }
        Format::Regex(_) | Format::Grammar(_) => return Err(only_ours()),
    })
}

/// Regular expressions and grammars hold our own models only.
pub(super) fn only_ours() -> Complaint {
    Complaint::new(Trouble::Unable, "regular expressions and grammars hold answers of this server's own models only")
}

/// A whole answer or one chunk of a stream: they differ in `message` and `delta` alone.
#[derive(Deserialize)]
struct Body {
    #[serde(default)]
    choices: Vec<Choice>,
    usage: Option<Usage>,
    error: Option<Value>,
}

#[derive(Deserialize)]
struct Choice {
    #[serde(default)]
    index: u32,
    #[serde(alias = "message")]
    delta: Option<Delta>,
    text: Option<String>,
    finish_reason: Option<String>,
    logprobs: Option<Logprobs>,
}

#[derive(Deserialize)]
struct Delta {
    content: Option<String>,
    refusal: Option<String>,
    // Servers say it under the one name or the other, or under both at once.
    reasoning: Option<String>,
    reasoning_content: Option<String>,
    tool_calls: Option<Vec<ToolDelta>>,
}

#[derive(Deserialize)]
struct ToolDelta {
    index: Option<u32>,
    id: Option<String>,
    function: Option<FunctionDelta>,
}

#[derive(Deserialize)]
struct FunctionDelta {
    name: Option<String>,
    #[serde(default)]
    arguments: Option<String>,
}

#[derive(Deserialize)]
struct Logprobs {
    #[serde(default)]
    content: Option<Vec<Logprob>>,
}

#[derive(Deserialize)]
struct Logprob {
    token: String,
    logprob: f32,
    bytes: Option<Vec<u8>>,
    top_logprobs: Option<Vec<Logprob>>,
}

impl From<Logprob> for TokenLogprob {
    fn from(it: Logprob) -> Self {
        let bytes = it.bytes.unwrap_or_else(|| it.token.clone().into_bytes());
        let top = it.top_logprobs.into_iter().flatten().map(Self::from).collect();
        // Providers do not tell their tokens' ids.
        Self { id: 0, token: it.token, bytes, logprob: it.logprob, top }
    }
}

#[derive(Deserialize)]
struct Usage {
    #[serde(default)]
    prompt_tokens: u32,
    #[serde(default)]
    completion_tokens: u32,
    prompt_tokens_details: Option<PromptDetails>,
    completion_tokens_details: Option<CompletionDetails>,
}

#[derive(Deserialize)]
struct PromptDetails {
    cached_tokens: Option<u32>,
}

#[derive(Deserialize)]
struct CompletionDetails {
    reasoning_tokens: Option<u32>,
}

impl From<Usage> for Used {
    fn from(it: Usage) -> Self {
        Self {
            prompt_tokens: it.prompt_tokens,
            cached_tokens: it.prompt_tokens_details.and_then(|details| details.cached_tokens).unwrap_or_default(),
            completion_tokens: it.completion_tokens,
            reasoning_tokens: it.completion_tokens_details.and_then(|it| it.reasoning_tokens).unwrap_or_default(),
        }
    }
}

/// Reads OpenAI's answers.
#[derive(Debug, Default)]
pub(super) struct OpenAi {
    is_done: bool,
}

impl Reader for OpenAi {
    fn read(&mut self, _kind: &str, data: &[u8], tally: &mut Tally) -> Result<(), Complaint> {
        if data == b"[DONE]" {
            self.is_done = true;
            return Ok(());
        }
        let body: Body = serde_json::from_slice(data).map_err(|error| Complaint::garbled(error.to_string()))?;
        if let Some(error) = body.error.filter(|error| !error.is_null()) {
            let message = message_of(&json!({"error": error})).unwrap_or_else(|| "it gave no reason".into());
            return Err(Complaint::new(Trouble::Failed, message));
        }
        for choice in body.choices {
            take_choice(choice, tally)?;
        }
        if let Some(usage) = body.usage {
            tally.used(usage.into());
        }
        Ok(())
    }

    fn is_done(&self) -> bool {
        self.is_done
    }
}

fn take_choice(choice: Choice, tally: &mut Tally) -> Result<(), Complaint> {
    let index = choice.index;
    let logprobs = choice.logprobs.and_then(|it| it.content).unwrap_or_default();
    let logprobs: Vec<TokenLogprob> = logprobs.into_iter().map(TokenLogprob::from).collect();
    if let Some(text) = choice.text {
        tally.text(index, text, Vec::new())?;
    }
    if let Some(delta) = choice.delta {
        tally.reasoning(index, delta.reasoning.or(delta.reasoning_content).unwrap_or_default())?;
        let text = delta.content.into_iter().chain(delta.refusal).collect();
        tally.text(index, text, logprobs)?;
        for (place, part) in delta.tool_calls.into_iter().flatten().enumerate() {
            let call = part.index.unwrap_or(place as u32);
            let (name, arguments) = part.function.map(|it| (it.name, it.arguments)).unwrap_or_default();
            tally.call((index, call), CallPart { id: part.id, name, arguments: arguments.unwrap_or_default() })?;
        }
    }
    match choice.finish_reason.as_deref() {
        None | Some("") => Ok(()),
        Some("length") => tally.finish(index, FinishReason::Length),
        Some("content_filter") => tally.finish(index, FinishReason::ContentFilter),
        Some("tool_calls" | "function_call") => tally.finish(index, FinishReason::ToolCalls),
        Some(_) if tally.has_calls(index) => tally.finish(index, FinishReason::ToolCalls),
        Some(_) => tally.finish(index, FinishReason::Stop),
    }
}

/// Embeddings in the order of their inputs, and the tokens that they took.
pub(super) fn read_embeddings(body: &[u8], n_inputs: usize) -> Result<(Vec<Vec<f32>>, Used), Complaint> {
    #[derive(Deserialize)]
    struct Embeddings {
        data: Vec<Embedding>,
        usage: Option<Usage>,
    }
    #[derive(Deserialize)]
    struct Embedding {
        index: usize,
        embedding: Vec<f32>,
    }
    let read: Embeddings = serde_json::from_slice(body).map_err(|error| Complaint::garbled(error.to_string()))?;
    let mut data = read.data;
    data.sort_by_key(|it| it.index);
    if !data.iter().map(|it| it.index).eq(0..n_inputs) {
        return Err(Complaint::garbled(format!("expected {n_inputs} embeddings, got {}", data.len())));
    }
    let used = read.usage.map(Used::from).unwrap_or_default();
    Ok((data.into_iter().map(|it| it.embedding).collect(), used))
}
