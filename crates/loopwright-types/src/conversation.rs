//! Rows that are conversations: turns, and pairs of answers of which one was preferred.

use serde::{Deserialize, Serialize};

/// A structured row.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Conversation {
    /// What was said, in order.
    Turns(Vec<Turn>),
    /// Two answers, one of which somebody liked better.
    Preference {
        /// What both answer; empty if the source does not part it from the answers.
        prompt: Vec<Turn>,
        /// The better answer.
        chosen: Vec<Turn>,
        /// The other one.
        rejected: Vec<Turn>,
    },
}

/// One contribution to a conversation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Turn {
    /// Who speaks.
    pub role: Role,
    /// The words.
    pub content: String,
}

/// Who speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// The instructions that hold for the whole conversation.
    System,
    /// The person.
    User,
    /// The model.
    Assistant,
    /// What a tool gave back.
    Tool,
}

impl Role {
    /// The word that renders it, as in OpenAI's API.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::System => "system",
            Self::User => "user",
            Self::Assistant => "assistant",
            Self::Tool => "tool",
        }
    }

    /// Reads the words in use: OpenAI's (`developer` is `system`), ShareGPT's (`human`, `gpt`), and names of models
    /// that public sets use for the assistant.
    pub fn from_word(word: &str) -> Option<Self> {
        Some(match word.trim().to_ascii_lowercase().as_str() {
            "system" | "developer" => Self::System,
            "user" | "human" | "prompter" => Self::User,
            "assistant" | "gpt" | "chatgpt" | "model" | "bot" | "bing" | "bard" => Self::Assistant,
            "tool" | "function" | "observation" | "function_response" => Self::Tool,
            _ => return None,
        })
    }
}

impl Turn {
    /// A turn.
    pub fn new(role: Role, content: impl Into<String>) -> Self {
        Self { role, content: content.into() }
    }
}

impl Conversation {
    /// The canonical text of a structured row: each turn as `role: content`, an empty line between turns. A preference
    /// is its prompt, then a line `[chosen]` and the better answer, then `[rejected]` and the other.
    ///
    /// ```
    /// use loopwright_types::conversation::{Conversation, Role, Turn};
    ///
    /// let turns = vec![Turn::new(Role::User, "Where is it?"), Turn::new(Role::Assistant, "On its way.")];
    /// assert_eq!(Conversation::Turns(turns).render(), "user: Where is it?\n\nassistant: On its way.");
    /// ```
    pub fn render(&self) -> String {
        let turns = |turns: &[Turn]| {
            turns.iter().map(|turn| format!("{}: {}", turn.role.as_str(), turn.content)).collect::<Vec<_>>()
        };
        let parts = match self {
            Self::Turns(all) => turns(all),
            Self::Preference { prompt, chosen, rejected } => [
                turns(prompt),
                vec!["[chosen]".to_string()],
                turns(chosen),
                vec!["[rejected]".to_string()],
                turns(rejected),
            ]
            .concat(),
        };
        parts.join("\n\n")
    }

    /// Every turn, in the order of the rendering.
    pub fn turns(&self) -> impl Iterator<Item = &Turn> {
        let parts: [&[Turn]; 3] = match self {
            Self::Turns(all) => [all, &[], &[]],
            Self::Preference { prompt, chosen, rejected } => [prompt, chosen, rejected],
        };
        parts.into_iter().flatten()
    }

    /// Every turn, to be changed.
    pub fn turns_mut(&mut self) -> impl Iterator<Item = &mut Turn> {
        let parts: [&mut [Turn]; 3] = match self {
            Self::Turns(all) => [all, &mut [], &mut []],
            Self::Preference { prompt, chosen, rejected } => [prompt, chosen, rejected],
        };
        parts.into_iter().flatten()
    }
}
