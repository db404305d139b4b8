//! Shares of symbols, digits and words without letters: tables, serial numbers and broken markup have many.
//!
//! The same three figures stand in most corpus recipes since Gopher (Rae et al. 2021, appendix A.1.1); the bound on words
//! is Gopher's, turned round. The bounds on characters are our choice, near those that NVIDIA's NeMo Curator has for its
//! like filters (0.25 and 0.15). A symbol is a character that is no letter, number, vowel sign or white space.

use super::{
    bounds::{above, share},
    classes::{CLASSES, DIGIT, SPACE},
    text::Text,
};
use crate::Reason;
use serde::{Deserialize, Serialize};

/// The step's name.
pub const STEP: &str = "symbols";

/// The bounds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// Largest share of symbols among the characters that are not white space (ours: 0.25).
    pub symbols_max: f64,
    /// Largest share of digits among the characters that are not white space (ours: 0.15).
    pub digits_max: f64,
    /// Largest share of words without a letter (Gopher: 0.2).
    pub non_alphabetic_words_max: f64,
}

impl Default for Settings {
    fn default() -> Self {
        Self { symbols_max: 0.25, digits_max: 0.15, non_alphabetic_words_max: 0.2 }
    }
}

/// The first bound that a document breaks, if any.
pub fn check(text: &Text<'_>, settings: &Settings) -> Option<Reason> {
    let (mut n_filled, mut n_symbols, mut n_digits) = (0, 0, 0);
    for c in text.as_str().chars() {
        let class = CLASSES.of(c);
        n_filled += usize::from(class & SPACE == 0);
        n_digits += usize::from(class & DIGIT != 0);
        n_symbols += usize::from(class & SPACE == 0 && !c.is_alphanumeric());
    }
    let n_words = text.words().len();
    let without_letter = share(n_words - text.n_alphabetic_words(), n_words);
    above("many_symbols", "share of symbols", share(n_symbols, n_filled), settings.symbols_max)
        .or_else(|| above("many_digits", "share of digits", share(n_digits, n_filled), settings.digits_max))
        .or_else(|| {
            let what = "share of words without a letter";
            above("non_alphabetic_words", what, without_letter, settings.non_alphabetic_words_max)
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_bound_has_its_reason() {
        for (text, expected) in [
            ("", None),
            ("plain words, and a few marks.", None),
            ("abc###", Some("many_symbols")),
            ("abc#", None), // exactly a quarter
            ("abcdefg 12", Some("many_digits")),
            ("one two - three", Some("non_alphabetic_words")),
            ("one two three four -", None), // exactly a fifth
            ("हिन्दी में लिखा", None),
        ] {
            let class = check(&Text::new(text), &Settings::default()).map(|reason| reason.class);
            assert_eq!(class.as_deref(), expected, "{text}");
        }
    }
}
