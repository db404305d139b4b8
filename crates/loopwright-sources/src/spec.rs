//! What to read and how, as somebody wrote it.

use super::{format::Format, limits::Limits};
use serde::{Deserialize, Serialize};
use std::{
    collections::{BTreeMap, BTreeSet},
    ffi::OsString,
    process::Command,
};

/// A source: where it lies and what its columns mean.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Spec {
    /// A file, a folder, or a pattern (`data/*.jsonl`, `**` for any depth).
    pub location: String,
    /// The source's name in records and messages; without it, the last part of the location.
    pub name: Option<String>,
    /// The format, where neither name nor bytes tell it.
    pub format: Option<Format>,
    /// The shape of rows; without it, it is recognised from the columns.
    pub shape: Option<Shape>,
    /// What the columns mean, where they do not have their usual names.
    pub mapping: Mapping,
    /// What one row of a plain text is.
    pub text_unit: TextUnit,
    /// Of a folder or archive, only files whose path in it matches this pattern.
    pub only: Option<String>,
    /// Of a Hugging Face dataset folder, this configuration.
    pub config: Option<String>,
    /// Only this part (`train`, `test`, …), where the files' names or the dataset's front matter tell it.
    pub split: Option<String>,
    /// Files that are passed over, by their names in the source.
    pub skip: BTreeSet<String>,
    /// The licence of rows that do not bring their own.
    pub licence: Option<String>,
    /// Tags of every row, besides its own.
    pub tags: Vec<String>,
}

/// How far to go, and who parses what cannot be trusted.
#[derive(Clone, Debug, Default)]
pub struct OpenSettings {
    /// The limits.
    pub limits: Limits,
    /// The program that reads Parquet, Arrow, packed files and archives in a process of its own, with a cap on its
    /// memory (see [`child`](super::child)). Without it they are read in this process: only for files you made yourself.
    pub child: Option<ChildCommand>,
}

/// How to start the reading child.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChildCommand {
    /// The program, usually the running one.
    pub program: OsString,
    /// Its arguments, usually the hidden subcommand.
    pub args: Vec<OsString>,
}

impl ChildCommand {
    /// The command. The child inherits no environment but the search paths: it needs no secret.
    pub fn command(&self) -> Command {
        let mut command = Command::new(&self.program);
        command.args(&self.args).env_clear();
        // mimalloc would reserve a gibibyte of addresses at once, which counts against the cap.
        command.env("MIMALLOC_ARENA_RESERVE", "0");
        let kept = ["PATH", "LD_LIBRARY_PATH", "TMPDIR"];
        command.envs(kept.into_iter().filter_map(|name| Some((name, std::env::var_os(name)?))));
        command
    }
}

/// What a row of a plain text is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TextUnit {
    /// The whole file.
    #[default]
    Document,
    /// A line; empty ones are none.
    Line,
    /// Lines up to an empty one.
    Paragraph,
}

/// How rows are built.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Shape {
    /// A text with a label and other columns.
    Flat,
    /// A text and nothing else.
    TextOnly,
    /// OpenAI's chat format: `messages`, each with `role` and `content`.
    Chat,
    /// ShareGPT's: `conversations`, each with `from` and `value`.
    ShareGpt,
    /// Alpaca's `instruction`, `input`, `output`, and its kin: a question and its answer.
    Instruction,
    /// Two answers to one prompt: `prompt`, `chosen`, `rejected`.
    Preference,
}

impl Shape {
    /// The word in settings and tables.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Flat => "flat",
            Self::TextOnly => "text_only",
            Self::Chat => "chat",
            Self::ShareGpt => "share_gpt",
            Self::Instruction => "instruction",
            Self::Preference => "preference",
        }
    }
}

/// Names of the columns to read. One that is not named is looked for under its usual names. A dot goes into an object:
/// `meta.language`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Mapping {
    /// The text.
    pub text: Option<String>,
    /// The label.
    pub label: Option<String>,
    /// The row's id.
    pub id: Option<String>,
    /// Whose words they are.
    pub subject: Option<String>,
    /// The group attribute.
    pub group: Option<String>,
    /// When it was written.
    pub at: Option<String>,
    /// The row's licence.
    pub licence: Option<String>,
    /// Consent or purposes: a list, or words between commas.
    pub tags: Option<String>,
    /// A list of turns.
    pub messages: Option<String>,
    /// The instructions before the conversation.
    pub system: Option<String>,
    /// The question.
    pub instruction: Option<String>,
    /// What the question is about.
    pub input: Option<String>,
    /// The answer.
    pub output: Option<String>,
    /// The prompt of a preference pair.
    pub prompt: Option<String>,
    /// The better answer.
    pub chosen: Option<String>,
    /// The other answer.
    pub rejected: Option<String>,
}

impl Mapping {
    /// What was named, by role.
    pub(super) fn named(&self) -> BTreeMap<&'static str, &str> {
        let all = [
            ("text", &self.text),
            ("label", &self.label),
            ("id", &self.id),
            ("subject", &self.subject),
            ("group", &self.group),
            ("at", &self.at),
            ("licence", &self.licence),
            ("tags", &self.tags),
            ("messages", &self.messages),
            ("system", &self.system),
            ("instruction", &self.instruction),
            ("input", &self.input),
            ("output", &self.output),
            ("prompt", &self.prompt),
            ("chosen", &self.chosen),
            ("rejected", &self.rejected),
        ];
        all.into_iter().filter_map(|(role, name)| Some((role, name.as_deref()?))).collect()
    }
}
