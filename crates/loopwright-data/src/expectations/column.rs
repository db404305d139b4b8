//! The columns of a version's rows, and what can be measured on their texts.

use loopwright_types::Example;
use serde::{Deserialize, Serialize};
use std::{borrow::Cow, fmt};

/// A column of a dataset version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Column {
    /// The row's id.
    RowId,
    /// The text.
    Text,
    /// The label.
    Label,
    /// The split.
    Split,
    /// Whose words these are.
    Subject,
    /// The group attribute.
    Group,
    /// The language; `und` counts as missing.
    Language,
    /// The source's name.
    Source,
}

impl Column {
    /// The stored word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::RowId => "row_id",
            Self::Text => "text",
            Self::Label => "label",
            Self::Split => "split",
            Self::Subject => "subject",
            Self::Group => "group",
            Self::Language => "language",
            Self::Source => "source",
        }
    }

    /// The row's value, or none if it has none: nothing, or white space only.
    pub fn value(self, row: &Example) -> Option<Cow<'_, str>> {
        let value = match self {
            Self::RowId => Some(row.row_id.as_str()),
            Self::Text => Some(row.text.as_str()),
            Self::Label => Some(row.label.as_str()),
            Self::Split => Some(row.split.as_str()),
            Self::Subject => row.subject.as_ref().map(|subject| subject.as_str()),
            Self::Group => row.group.as_deref(),
            Self::Language => Some(row.language.as_str()).filter(|code| *code != crate::clean::language::UNDECIDED),
            Self::Source => Some(row.source.as_str()),
        };
        value.filter(|value| !value.trim().is_empty()).map(Cow::Borrowed)
    }

    /// May a value of this column be shown in a report? Texts and people are not.
    pub(super) fn may_be_shown(self) -> bool {
        !matches!(self, Self::Text | Self::Subject)
    }
}

impl fmt::Display for Column {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What can be measured on a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Measure {
    /// Characters.
    Chars,
    /// Words, cut at white space.
    Words,
    /// Letters for each character that is no white space, from 0 to 1.
    LetterShare,
}

impl Measure {
    /// The value for this text.
    pub fn of(self, text: &str) -> f64 {
        match self {
            Self::Chars => text.chars().count() as f64,
            Self::Words => text.split_whitespace().count() as f64,
            Self::LetterShare => {
                let n = text.chars().filter(|c| !c.is_whitespace()).count();
                super::share(text.chars().filter(|c| c.is_alphabetic()).count() as u64, n)
            }
        }
    }
}

impl fmt::Display for Measure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Chars => "chars",
            Self::Words => "words",
            Self::LetterShare => "letter_share",
        })
    }
}
