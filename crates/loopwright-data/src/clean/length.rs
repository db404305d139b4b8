//! Leaves out texts that are empty, too short or too long to learn from, and rows without a label.

use crate::draft::Reason;
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
    /// Whether a row without a label goes, too.
    pub labelled: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self { chars_min: 4, chars_max: 4000, words_min: 1, labelled: true }
    }
}

/// Why a row with this text and label goes, if it does: a text outside the bounds, or no label.
pub(crate) fn check(text: &str, label: &str, settings: &Settings) -> Option<Reason> {
    let n_chars = text.chars().count();
    let n_words = text.split_whitespace().filter(|word| word.contains(char::is_alphanumeric)).count();
    if n_chars == 0 {
        Some(Reason::new("empty", "the text is empty"))
    } else if n_chars < settings.chars_min {
        Some(Reason::new("too_short", format!("{n_chars} characters, fewer than {}", settings.chars_min)))
    } else if n_words < settings.words_min {
        Some(Reason::new("too_short", format!("{n_words} words, fewer than {}", settings.words_min)))
    } else if n_chars > settings.chars_max {
        Some(Reason::new("too_long", format!("{n_chars} characters, more than {}", settings.chars_max)))
    } else if settings.labelled && label.is_empty() {
        Some(Reason::new("no_label", "the row has no label"))
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_bound_has_its_reason() {
        let settings = Settings { chars_min: 3, chars_max: 8, ..Settings::default() };
        for (text, label, expected) in [
            ("", "x", Some("empty")),
            ("ab", "x", Some("too_short")),
            ("?!...", "x", Some("too_short")),
            ("abcdefghi", "x", Some("too_long")),
            ("fine", "", Some("no_label")),
            ("äöüßéñçø", "x", None),
        ] {
            assert_eq!(check(text, label, &settings).map(|reason| reason.class).as_deref(), expected, "{text}");
        }
    }
}
