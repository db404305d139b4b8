//! What a client asks, whichever API it speaks. [`crate::wire`] makes an [`Ask`] of a body; the engine and every provider
//! answer it with [`crate::event::Event`]s.

pub use loopwright_types::conversation::Role;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::collections::BTreeMap;

/// A request for an answer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Ask {
    /// The route asked for.
    pub route: String,
    /// What is to be continued.
    pub prompt: Prompt,
    /// Answers wanted; their events carry the choices 0 to n − 1.
    pub n: u32,
    /// Answer tokens asked for; the route's default and the context decide without.
    pub max_tokens: Option<u32>,
    /// Texts at which the answer ends.
    pub stop: Vec<String>,
    /// How tokens are chosen.
    pub sampling: Sampling,
    /// Log-probabilities of the chosen tokens, with so many alternatives to each.
    pub logprobs: Option<u32>,
    /// The form that the answer must have.
    pub format: Format,
    /// What the model may call.
    pub tools: Vec<Tool>,
    /// Whether it may, or must.
    pub tool_choice: ToolChoice,
    /// May it call several in one answer?
    pub parallel_tool_calls: bool,
    /// As a stream?
    pub stream: bool,
    /// The end user, as the client names them.
    pub user: Option<String>,
    /// The conversation that this belongs to, as the client names it.
    pub session: Option<String>,
    /// The client's tag.
    pub tag: Option<String>,
}

/// What is to be continued.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Prompt {
    /// A conversation, oldest message first.
    Chat(Vec<Message>),
    /// A plain text, without any frame around it.
    Text(String),
    /// The same in tokens of the route's model.
    Tokens(Vec<u32>),
}

/// One message of a conversation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Message {
    /// Who speaks.
    pub role: Role,
    /// Text and other content, in order.
    pub parts: Vec<Part>,
    /// What the assistant called.
    pub tool_calls: Vec<ToolCall>,
    /// The call that a tool's message answers.
    pub tool_call_id: Option<String>,
    /// The speaker's or the tool's name.
    pub name: Option<String>,
}

impl Message {
    /// A message of text alone.
    pub fn text_of(role: Role, text: impl Into<String>) -> Self {
        let parts = vec![Part::Text(text.into())];
        Self { role, parts, tool_calls: Vec::new(), tool_call_id: None, name: None }
    }

    /// Its text; parts are joined by line ends.
    pub fn text(&self) -> String {
        let texts: Vec<&str> = self.parts.iter().filter_map(Part::text).collect();
        texts.join("\n")
    }
}

/// A part of a message.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Part {
    /// Text.
    Text(String),
    /// An image by its address, which may be a `data:` URL. Our own models read none; providers may.
    Image(String),
}

impl Part {
    /// The text of a text.
    pub fn text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            Self::Image(_) => None,
        }
    }
}

/// A call of a tool.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ToolCall {
    /// By which its result is matched.
    pub id: String,
    /// The tool.
    pub name: String,
    /// JSON, as the model wrote it.
    pub arguments: String,
}

/// A function that the model may call.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Tool {
    /// Its name.
    pub name: String,
    /// What it does.
    pub description: Option<String>,
    /// JSON Schema of its arguments.
    pub parameters: Value,
    /// Must the arguments keep to the schema?
    pub strict: bool,
}

/// Whether tools are called.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ToolChoice {
    /// The model decides.
    #[default]
    Auto,
    /// None is.
    None,
    /// At least one is.
    Required,
    /// This one is.
    Named(String),
}

/// The form of an answer.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Format {
    /// Any text.
    #[default]
    Text,
    /// A JSON object.
    Json,
    /// JSON that keeps to a schema.
    Schema {
        /// The client's name for it.
        name: String,
        /// JSON Schema.
        schema: Value,
        /// Is it to be held, rather than hoped for?
        strict: bool,
    },
    /// A text that matches a regular expression.
    Regex(String),
    /// A text of a grammar in Lark's notation.
    Grammar(String),
}

/// How tokens are chosen. What is not given is the route's default.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Sampling {
    /// 0 is greedy.
    pub temperature: Option<f32>,
    /// Nucleus: the likeliest tokens that together have this probability.
    pub top_p: Option<f32>,
    /// So many of the likeliest tokens.
    pub top_k: Option<u32>,
    /// Tokens at least this fraction as likely as the likeliest.
    pub min_p: Option<f32>,
    /// Taken off the logit of every token that the answer has already.
    pub presence_penalty: Option<f32>,
    /// Taken off the logit of a token for each time that the answer has it already.
    pub frequency_penalty: Option<f32>,
    /// Divides positive logits and multiplies negative ones of tokens in prompt or answer (Keskar et al. 2019).
    pub repetition_penalty: Option<f32>,
    /// The same seed and request give the same answer.
    pub seed: Option<u64>,
    /// Added to tokens' logits.
    pub logit_bias: BTreeMap<u32, f32>,
    /// Goes on past the end of the answer, as benchmarks ask for.
    pub ignore_eos: bool,
    /// The answer does not end before so many tokens.
    pub min_tokens: u32,
}

/// Fields of a request that only a provider understands, passed on as they came.
pub type Extra = Map<String, Value>;
