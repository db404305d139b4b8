//! Leaves out texts that are empty, too short or too long to learn from, and rows without a label.

use crate::draft::{Draft, Reason, StepOutput, drop_rows};
use serde::{Deserialize, Serialize};

/// The step's name.
pub const STEP: &str = "length";

/// Bounds on a text.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// Shortest text, in characters.
    pub chars_min: usize,
    /// Longest text, in characters.
    pub chars_max: usize,
    /// Fewest words that hold a letter or digit.
    pub words_min: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Self { chars_min: 4, chars_max: 4000, words_min: 1 }
    }
}

/// Drops texts outside the bounds, and rows without a label.
pub fn apply(drafts: Vec<Draft>, settings: &Settings) -> StepOutput {
    drop_rows(STEP, drafts, |_, draft| {
        let n_chars = draft.row.text.chars().count();
        let n_words = draft.row.text.split_whitespace().filter(|word| word.contains(char::is_alphanumeric)).count();
        if n_chars == 0 {
            Some(Reason::new("empty", "the text is empty"))
        } else if n_chars < settings.chars_min {
            Some(Reason::new("too_short", format!("{n_chars} characters, fewer than {}", settings.chars_min)))
        } else if n_words < settings.words_min {
            Some(Reason::new("too_short", format!("{n_words} words, fewer than {}", settings.words_min)))
        } else if n_chars > settings.chars_max {
            Some(Reason::new("too_long", format!("{n_chars} characters, more than {}", settings.chars_max)))
        } else if draft.label().is_empty() {
            Some(Reason::new("no_label", "the row has no label"))
        } else {
            None
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use loopwright_types::SourceRow;

    #[test]
    fn each_bound_has_its_reason() {
        let settings = Settings { chars_min: 3, chars_max: 8, words_min: 1 };
        for (text, label, expected) in [
            ("", "x", Some("empty")),
            ("ab", "x", Some("too_short")),
            ("?!...", "x", Some("too_short")),
            ("abcdefghi", "x", Some("too_long")),
            ("fine", "", Some("no_label")),
            ("äöüßéñçø", "x", None),
        ] {
            let row = SourceRow { text: text.into(), label: Some(label.into()), ..SourceRow::default() };
            let out = apply(vec![Draft::new(row)], &settings);
            assert_eq!(out.count.dropped.keys().next().map(String::as_str), expected, "{text}");
        }
    }
}
