//! Google's `generateContent` and `streamGenerateContent`: one shape for a whole answer and for each part of a stream.

use super::{
    anthropic::no_tokens,
    blocks,
    exchange::{Call, Reader, Target},
    openai::{number, only_ours},
    sign::encode,
    tally::{CallPart, Complaint, Tally, message_of},
};
use crate::{
    Trouble,
    ask::{Ask, Format, Message, Part, Prompt, Role, Tool, ToolChoice},
    event::{FinishReason, Used},
};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

/// The request.
pub(super) fn call(target: &Target<'_>, ask: &Ask) -> Result<Call, Complaint> {
    let (verb, query) = if ask.stream { ("streamGenerateContent", "?alt=sse") } else { ("generateContent", "") };
    Ok(Call {
        url: format!("{}/models/{}:{verb}{query}", target.settings.base(), encode(target.model)),
        headers: target.key.clone().map(|key| ("x-goog-api-key", key)).into_iter().collect(),
        body: body(ask)?.to_string(),
    })
}

fn body(ask: &Ask) -> Result<Value, Complaint> {
    let (system, contents) = conversation(&ask.prompt)?;
    let mut body = json!({"contents": contents, "generationConfig": settings(ask)?});
    if !system.is_empty() {
        body["systemInstruction"] = json!({"parts": [{"text": system}]});
    }
    if !ask.tools.is_empty() {
        let tools: Vec<Value> = ask.tools.iter().map(tool).collect();
        body["tools"] = json!([{"functionDeclarations": tools}]);
        body["toolConfig"] = json!({"functionCallingConfig": choice(&ask.tool_choice)});
    }
    Ok(body)
}

fn settings(ask: &Ask) -> Result<Map<String, Value>, Complaint> {
    let it = &ask.sampling;
    let asked = [
        ("logprobs", ask.logprobs.is_some()),
        ("logit_bias", !it.logit_bias.is_empty()),
        ("repetition_penalty", it.repetition_penalty.is_some_and(|x| x != 1.0)),
        ("min_p", it.min_p.is_some_and(|x| x != 0.0)),
        ("min_tokens", it.min_tokens > 0),
        ("ignore_eos", it.ignore_eos),
    ];
    if let Some((name, _)) = asked.iter().find(|(_, is_asked)| *is_asked) {
        return Err(Complaint::new(Trouble::Unable, format!("`{name}` is not served by it; leave it out")));
    }
    let (media, schema) = match &ask.format {
        Format::Text => (None, None),
        Format::Json => (Some("application/json".into()), None),
        Format::Schema { schema, .. } => (Some("application/json".into()), Some(schema.clone())),
        Format::Regex(_) | Format::Grammar(_) => return Err(only_ours()),
    };
    let all = [
        ("maxOutputTokens", ask.max_tokens.map(Value::from)),
        ("stopSequences", (!ask.stop.is_empty()).then(|| ask.stop.clone().into())),
        ("candidateCount", (ask.n != 1).then(|| ask.n.into())),
        ("temperature", it.temperature.map(number)),
        ("topP", it.top_p.map(number)),
        ("topK", it.top_k.map(Value::from)),
        ("presencePenalty", it.presence_penalty.map(number)),
        ("frequencyPenalty", it.frequency_penalty.map(number)),
        // The API takes 32 signed bits.
        ("seed", it.seed.map(|seed| (seed & 0x7fff_ffff).into())),
        ("responseMimeType", media),
        ("responseJsonSchema", schema),
    ];
    Ok(all.into_iter().filter_map(|(name, value)| Some((name.to_string(), value?))).collect())
}

fn tool(tool: &Tool) -> Value {
    let mut value = json!({"name": tool.name, "parametersJsonSchema": tool.parameters});
    if let Some(description) = &tool.description {
        value["description"] = description.clone().into();
    }
    value
}

fn choice(choice: &ToolChoice) -> Value {
    match choice {
        ToolChoice::Auto => json!({"mode": "AUTO"}),
        ToolChoice::None => json!({"mode": "NONE"}),
        ToolChoice::Required => json!({"mode": "ANY"}),
        ToolChoice::Named(name) => json!({"mode": "ANY", "allowedFunctionNames": [name]}),
    }
}

fn conversation(prompt: &Prompt) -> Result<(String, Vec<Value>), Complaint> {
    let messages = match prompt {
        Prompt::Chat(messages) => messages,
        Prompt::Text(text) => return Ok((String::new(), vec![json!({"role": "user", "parts": [{"text": text}]})])),
        Prompt::Tokens(_) => return Err(no_tokens()),
    };
    let names: BTreeMap<&str, &str> =
        messages.iter().flat_map(|it| &it.tool_calls).map(|call| (call.id.as_str(), call.name.as_str())).collect();
    let mut system: Vec<String> = Vec::new();
    let mut turns: Vec<(&str, Vec<Value>)> = Vec::new();
    for message in messages {
        let role = match message.role {
            Role::System => {
                system.push(message.text());
                continue;
            }
            Role::User | Role::Tool => "user",
            Role::Assistant => "model",
        };
        let parts = parts(message, &names)?;
        match turns.last_mut() {
            Some((last, had)) if *last == role => had.extend(parts),
            _ => turns.push((role, parts)),
        }
    }
    let turns = turns.into_iter().filter(|(_, parts)| !parts.is_empty());
    Ok((system.join("\n\n"), turns.map(|(role, parts)| json!({"role": role, "parts": parts})).collect()))
}

fn parts(message: &Message, names: &BTreeMap<&str, &str>) -> Result<Vec<Value>, Complaint> {
    if message.role == Role::Tool {
        let id = message.tool_call_id.as_deref().unwrap_or_default();
        let name = message.name.as_deref().or_else(|| names.get(id).copied()).unwrap_or_default();
        let text = message.text();
        let result = serde_json::from_str(&text).ok().filter(Value::is_object);
        let response = result.unwrap_or_else(|| json!({"result": text}));
        return Ok(vec![json!({"functionResponse": {"name": name, "response": response}})]);
    }
    let mut parts: Vec<Value> = message.parts.iter().map(part).collect();
    for call in &message.tool_calls {
        let args = blocks::arguments(&call.arguments)?;
        parts.push(json!({"functionCall": {"name": call.name, "args": args}}));
    }
    Ok(parts)
}

fn part(part: &Part) -> Value {
    match part {
        Part::Text(text) => json!({"text": text}),
        Part::Image(url) => match blocks::data_url(url) {
            Some((media, data)) => json!({"inlineData": {"mimeType": media, "data": data}}),
            None => json!({"fileData": {"fileUri": url}}),
        },
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Body {
    #[serde(default)]
    candidates: Vec<Candidate>,
    usage_metadata: Option<Usage>,
    prompt_feedback: Option<Feedback>,
    error: Option<Value>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Candidate {
    content: Option<Content>,
    finish_reason: Option<String>,
    #[serde(default)]
    index: u32,
}

#[derive(Deserialize)]
struct Content {
    #[serde(default)]
    parts: Vec<ContentPart>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ContentPart {
    text: Option<String>,
    #[serde(default)]
    thought: bool,
    function_call: Option<FunctionCall>,
}

#[derive(Deserialize)]
struct FunctionCall {
    id: Option<String>,
    name: String,
    args: Option<Value>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Usage {
    #[serde(default)]
    prompt_token_count: u32,
    #[serde(default)]
    cached_content_token_count: u32,
    #[serde(default)]
    candidates_token_count: u32,
    #[serde(default)]
    thoughts_token_count: u32,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Feedback {
    block_reason: Option<String>,
}

/// Reads Gemini's answers.
#[derive(Debug, Default)]
pub(super) struct Gemini {
    n_calls: u32,
}

impl Reader for Gemini {
    fn read(&mut self, _kind: &str, data: &[u8], tally: &mut Tally) -> Result<(), Complaint> {
        let body: Body = serde_json::from_slice(data).map_err(|error| Complaint::garbled(error.to_string()))?;
        if let Some(error) = body.error {
            let message = message_of(&json!({"error": error})).unwrap_or_else(|| "it gave no reason".into());
            return Err(Complaint::new(Trouble::Failed, message));
        }
        if let Some(it) = body.usage_metadata {
            tally.used(Used {
                prompt_tokens: it.prompt_token_count,
                cached_tokens: it.cached_content_token_count,
                completion_tokens: it.candidates_token_count.saturating_add(it.thoughts_token_count),
                reasoning_tokens: it.thoughts_token_count,
            });
        }
        if body.candidates.is_empty() && body.prompt_feedback.and_then(|it| it.block_reason).is_some() {
            return tally.finish(0, FinishReason::ContentFilter);
        }
        body.candidates.into_iter().try_for_each(|candidate| self.take(candidate, tally))
    }

    /// The stream has no mark at its end but each answer's reason to end.
    fn is_done(&self) -> bool {
        false
    }
}

impl Gemini {
    fn take(&mut self, candidate: Candidate, tally: &mut Tally) -> Result<(), Complaint> {
        let choice = candidate.index;
        for part in candidate.content.into_iter().flat_map(|content| content.parts) {
            match part.text {
                Some(text) if part.thought => tally.reasoning(choice, text)?,
                Some(text) => tally.text(choice, text, Vec::new())?,
                None => {}
            }
            if let Some(call) = part.function_call {
                let arguments = call.args.unwrap_or_else(|| json!({})).to_string();
                tally.call((choice, self.n_calls), CallPart { id: call.id, name: Some(call.name), arguments })?;
                self.n_calls += 1;
            }
        }
        match candidate.finish_reason.as_deref() {
            None | Some("") => Ok(()),
            Some("STOP") if tally.has_calls(choice) => tally.finish(choice, FinishReason::ToolCalls),
            Some("STOP") => tally.finish(choice, FinishReason::Stop),
            Some("MAX_TOKENS") => tally.finish(choice, FinishReason::Length),
            Some("MALFORMED_FUNCTION_CALL" | "UNEXPECTED_TOOL_CALL" | "OTHER") => {
                Err(Complaint::new(Trouble::Failed, "it ended its answer without a usable reason"))
            }
            Some(_) => tally.finish(choice, FinishReason::ContentFilter),
        }
    }
}
