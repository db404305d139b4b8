//! Wire types of the OpenAI chat completions API, as its clients send and expect them.

use serde::{Deserialize, Serialize};

/// Body of `POST /v1/chat/completions`. Unknown fields are ignored, as clients send many.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct ChatRequest {
    /// A route's name.
    pub model: String,
    /// The conversation, oldest first.
    pub messages: Vec<ChatMessage>,
    /// 0 is greedy.
    pub temperature: Option<f32>,
    /// Nucleus sampling.
    pub top_p: Option<f32>,
    /// Seed of the sampling.
    pub seed: Option<u64>,
    /// At most so many answer tokens (old name).
    pub max_tokens: Option<u32>,
    /// At most so many answer tokens.
    pub max_completion_tokens: Option<u32>,
    /// Number of answers; only 1 is served.
    pub n: Option<u32>,
    /// Send the answer as server-sent events.
    #[serde(default)]
    pub stream: bool,
    /// Stream settings.
    pub stream_options: Option<StreamOptions>,
    /// Up to four texts at which to stop.
    pub stop: Option<Stop>,
    /// The end user, as the client names them.
    pub user: Option<String>,
    /// Client's own tags.
    pub metadata: Option<std::collections::BTreeMap<String, String>>,
}

/// Stream settings.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct StreamOptions {
    /// Send a last chunk with usage and no choices.
    #[serde(default)]
    pub include_usage: bool,
}

/// One text or several.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(untagged)]
pub enum Stop {
    /// One.
    One(String),
    /// Several.
    Many(Vec<String>),
}

/// One message of a conversation.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct ChatMessage {
    /// `system`, `developer`, `user`, `assistant` or `tool`.
    pub role: String,
    /// Text, or parts of which the text parts are read.
    pub content: Option<Content>,
}

impl ChatMessage {
    /// The text of the message; parts are joined by line ends.
    pub fn text(&self) -> String {
        match &self.content {
            None => String::new(),
            Some(Content::Text(text)) => text.clone(),
            Some(Content::Parts(parts)) => {
                parts.iter().filter_map(|p| p.text.as_deref()).collect::<Vec<_>>().join("\n")
            }
        }
    }
}

/// Content of a message.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(untagged)]
pub enum Content {
    /// Plain text.
    Text(String),
    /// Typed parts.
    Parts(Vec<ContentPart>),
}

/// One part of a message.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct ContentPart {
    /// `text`, `image_url` …
    #[serde(rename = "type")]
    pub kind: String,
    /// For text parts.
    pub text: Option<String>,
}

/// Tokens used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Deserialize, Serialize)]
pub struct Usage {
    /// In the prompt.
    pub prompt_tokens: u32,
    /// In the answer.
    pub completion_tokens: u32,
    /// Both.
    pub total_tokens: u32,
}

/// Answer to a request without `stream`.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct ChatResponse {
    /// The trace's id.
    pub id: String,
    /// `chat.completion`.
    pub object: String,
    /// Unix seconds.
    pub created: i64,
    /// The route.
    pub model: String,
    /// The answers.
    pub choices: Vec<Choice>,
    /// Tokens used.
    pub usage: Usage,
    /// The model version that answered.
    pub system_fingerprint: String,
}

/// One answer.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Choice {
    /// 0.
    pub index: u32,
    /// The message.
    pub message: AssistantMessage,
    /// Not served; present as `null`.
    pub logprobs: Option<serde_json::Value>,
    /// `stop` or `length`.
    pub finish_reason: String,
}

/// The assistant's message. Clients read `refusal` and `annotations` and break where they are missing.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct AssistantMessage {
    /// `assistant`.
    pub role: String,
    /// The text.
    pub content: Option<String>,
    /// Always `null`.
    pub refusal: Option<String>,
    /// Always empty.
    #[serde(default)]
    pub annotations: Vec<serde_json::Value>,
}

/// One event of a streamed answer.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct ChatChunk {
    /// The trace's id.
    pub id: String,
    /// `chat.completion.chunk`.
    pub object: String,
    /// Unix seconds.
    pub created: i64,
    /// The route.
    pub model: String,
    /// The model version that answers.
    pub system_fingerprint: String,
    /// Empty in the usage chunk.
    pub choices: Vec<ChunkChoice>,
    /// Only when asked for: `null` in every chunk but the last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub usage: Option<Option<Usage>>,
}

/// The new part of one answer.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct ChunkChoice {
    /// 0.
    pub index: u32,
    /// What is new.
    pub delta: Delta,
    /// Not served; present as `null`.
    pub logprobs: Option<serde_json::Value>,
    /// In the last chunk.
    pub finish_reason: Option<String>,
}

/// New text.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub struct Delta {
    /// Only in the first chunk.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub role: Option<String>,
    /// Text to append.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub content: Option<String>,
}

/// `{"error": …}`
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
pub struct ErrorBody {
    /// The error.
    pub error: ErrorDetail,
}

/// What went wrong, in OpenAI's shape.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
pub struct ErrorDetail {
    /// For people.
    pub message: String,
    /// `invalid_request_error`, `authentication_error`, `not_found_error`, `rate_limit_error`, `server_error`.
    #[serde(rename = "type")]
    pub kind: String,
    /// The offending field.
    pub param: Option<String>,
    /// For programs, e.g. `context_length_exceeded`.
    pub code: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn content_parts_and_unknown_fields_are_read() {
        let json = r#"{"model":"support","parallel_tool_calls":true,"messages":[
            {"role":"user","content":[{"type":"text","text":"a"},{"type":"image_url","image_url":{}},{"type":"text","text":"b"}]}]}"#;
        let request: ChatRequest = serde_json::from_str(json).unwrap();
        assert_eq!(request.messages[0].text(), "a\nb");
        assert!(!request.stream);
    }
}
