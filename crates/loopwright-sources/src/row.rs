//! What a source gives, row by row, whatever its format.

use loopwright_types::{Timestamp, dataset::RejectedRow};
use serde::{Deserialize, Serialize};

/// One step of reading: a row, or a row kept aside. A file that cannot be read at all is an [`Error`](crate::Error).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Read {
    /// A readable row.
    Row(Box<Record>),
    /// A row that could not be read, with its place and the reason.
    Rejected(RejectedRow),
}

/// A row as the source has it: text in clear, nothing cleaned, people not yet pseudonyms.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// Stable across imports of the same source: the id column's value, or `{source}-{row_index}`.
    pub row_id: String,
    /// The file it came from: the source's name, and the path inside a folder or an archive.
    pub source: String,
    /// Position in the file, from 1, the header not counted, rejected rows counted.
    pub row_index: u64,
    /// The text; of a row with a conversation its rendering, see [`Conversation::render`].
    pub text: String,
    /// The label, if any.
    pub label: Option<String>,
    /// Whose words these are, as the source writes it. The caller turns it into a pseudonym and forgets it.
    pub subject_external: Option<String>,
    /// The group attribute for fairness figures.
    pub group: Option<String>,
    /// When it was written.
    pub at: Option<Timestamp>,
    /// The row's own licence, or that of the dataset.
    pub licence: Option<String>,
    /// What the person agreed to, or the purposes the row may serve.
    pub tags: Vec<String>,
    /// The part of the dataset that the source puts it in (`train`, `test`, …).
    pub split: Option<String>,
    /// The turns, if the row is a conversation or a preference.
    pub conversation: Option<Conversation>,
}

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
    pub(super) fn from_word(word: &str) -> Option<Self> {
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
    pub(super) fn new(role: Role, content: impl Into<String>) -> Self {
        Self { role, content: content.into() }
    }
}

impl Conversation {
    /// The canonical text of a structured row: each turn as `role: content`, an empty line between turns. A preference
    /// is its prompt, then a line `[chosen]` and the better answer, then `[rejected]` and the other.
    ///
    /// ```
    /// use loopwright_sources::{Conversation, Role, Turn};
    ///
    /// let turn = |role, content: &str| Turn { role, content: content.into() };
    /// let turns = vec![turn(Role::User, "Where is it?"), turn(Role::Assistant, "On its way.")];
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
}

impl Read {
    /// About how much memory it takes, in bytes; what batches are measured by.
    pub(super) fn size_bytes(&self) -> usize {
        match self {
            Self::Rejected(row) => size_of::<RejectedRow>() + row.reason.len() + row.excerpt.len() + row.source.len(),
            Self::Row(row) => row.size_bytes(),
        }
    }
}

impl Record {
    fn size_bytes(&self) -> usize {
        let optional = [&self.label, &self.subject_external, &self.group, &self.licence, &self.split];
        let strings: usize = optional.into_iter().flatten().map(String::len).sum();
        let turns = |turns: &[Turn]| turns.iter().map(|turn| size_of::<Turn>() + turn.content.len()).sum::<usize>();
        let conversation = match &self.conversation {
            None => 0,
            Some(Conversation::Turns(all)) => turns(all),
            Some(Conversation::Preference { prompt, chosen, rejected }) => {
                turns(prompt) + turns(chosen) + turns(rejected)
            }
        };
        let tags: usize = self.tags.iter().map(String::len).sum();
        size_of::<Self>() + self.row_id.len() + self.source.len() + self.text.len() + strings + tags + conversation
    }
}
