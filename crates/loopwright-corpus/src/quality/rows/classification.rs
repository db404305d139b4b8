//! A text and its label: both there, the label a known one.

use crate::{
    Reason,
    quality::bounds::{fewer, more},
};
use serde::{Deserialize, Serialize};

/// The step's name.
pub const STEP: &str = "classification_rows";

/// The bounds. All are our choice: they cut off what is broken, not what is good or bad.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// Shortest text, in characters (2: `no` can be a message).
    pub chars_min: usize,
    /// Longest text, in characters (10,000: classifiers read the beginning only).
    pub chars_max: usize,
    /// Fewest words with a letter or digit (1).
    pub words_min: usize,
    /// The labels that there are; empty allows any.
    pub labels: Vec<String>,
}

impl Default for Settings {
    fn default() -> Self {
        Self { chars_min: 2, chars_max: 10_000, words_min: 1, labels: Vec::new() }
    }
}

/// The first rule that a row breaks, if any.
pub fn check(text: &str, label: Option<&str>, settings: &Settings) -> Option<Reason> {
    let n_chars = text.trim().chars().count();
    let n_words = text.split_whitespace().filter(|word| word.contains(char::is_alphanumeric)).count();
    fewer("too_short", "characters", n_chars, settings.chars_min)
        .or_else(|| more("too_long", "characters", n_chars, settings.chars_max))
        .or_else(|| fewer("too_short", "words", n_words, settings.words_min))
        .or_else(|| known_label(label.unwrap_or_default().trim(), &settings.labels))
}

fn known_label(label: &str, labels: &[String]) -> Option<Reason> {
    if label.is_empty() {
        return Some(Reason::new("no_label", "the row has no label"));
    }
    let known = labels.is_empty() || labels.iter().any(|it| it == label);
    (!known)
        .then(|| Reason::new("unknown_label", format!("the label `{label}` is not one of the {} known", labels.len())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_rule_has_its_reason() {
        let settings = Settings { chars_max: 20, labels: vec!["refund".into()], ..Settings::default() };
        for (text, label, expected) in [
            ("My money back!", Some("refund"), None),
            ("", Some("refund"), Some("too_short")),
            ("?!?!", Some("refund"), Some("too_short")),
            ("xxxxxxxxxxxxxxxxxxxxx", Some("refund"), Some("too_long")),
            ("My money back!", None, Some("no_label")),
            ("My money back!", Some(" "), Some("no_label")),
            ("My money back!", Some("other"), Some("unknown_label")),
        ] {
            assert_eq!(check(text, label, &settings).map(|it| it.class).as_deref(), expected, "{text} {label:?}");
        }
        assert_eq!(check("fine", Some("any"), &Settings::default()), None);
    }
}
