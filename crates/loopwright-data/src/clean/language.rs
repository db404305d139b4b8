//! Keeps the languages that the model is to learn. A detector is unsure about short texts, so a text goes only if the
//! detector is sure.

use crate::draft::Reason;
use serde::{Deserialize, Serialize};
use whatlang::{Detector, Lang};

/// The step's name.
pub const STEP: &str = "language";
/// Reason classes are this and the code: `language:spa`.
pub const CLASS: &str = "language:";
/// The language of a text that is too short, or too mixed, to tell.
pub const UNDECIDED: &str = "und";

/// Texts with fewer letters than this are not judged.
const LETTERS_MIN: usize = 16;

/// Which languages are kept.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// ISO 639-3 codes, e.g. `eng`. Empty keeps all.
    pub keep: Vec<String>,
    /// A text goes only if the detector's confidence is at least this, from 0 to 1.
    pub confidence_min: f64,
}

impl Default for Settings {
    fn default() -> Self {
        Self { keep: vec!["eng".to_string()], confidence_min: 0.3 }
    }
}

/// Why a text in this language goes, if it does: it is surely not in a kept one.
pub(crate) fn check(language: &str, settings: &Settings) -> Option<Reason> {
    let is_kept = settings.keep.is_empty() || settings.keep.iter().any(|kept| kept == language);
    let goes = language != UNDECIDED && !is_kept;
    goes.then(|| {
        Reason::new(
            &format!("{CLASS}{language}"),
            format!("written in `{language}`, not in {}", settings.keep.join(", ")),
        )
    })
}

/// The ISO 639-3 code of a text's language, or `und`. Masks and words with digits are not looked at.
pub fn detect(text: &str, confidence_min: f64) -> String {
    let words =
        text.split_whitespace().filter(|w| !w.contains(['<', '>', '@']) && !w.contains(|c: char| c.is_ascii_digit()));
    let plain = words.collect::<Vec<_>>().join(" ");
    if plain.chars().filter(|c| c.is_alphabetic()).count() < LETTERS_MIN {
        return UNDECIDED.to_string();
    }
    let lower = plain.to_lowercase();
    let info = Detector::with_allowlist(LANGUAGES.to_vec()).detect(&lower);
    let n_english = n_english_words(&lower);
    let sure = info.filter(|info| match info.lang() {
        Lang::Eng => info.confidence() >= confidence_min,
        // Letters that English does not have, and no English word: the detector may waver between two other languages.
        _ if n_english == 0 && lower.contains(|c: char| c.is_alphabetic() && !c.is_ascii()) => true,
        // Letter statistics err on short and mistyped English; its frequent words do not.
        _ => info.confidence() >= confidence_min && n_english < ENGLISH_WORDS_MIN,
    });
    sure.map_or_else(|| UNDECIDED.to_string(), |info| info.lang().code().to_string())
}

/// So many frequent English words make a text English enough to stay.
const ENGLISH_WORDS_MIN: usize = 2;

/// How many frequent English words a text has.
fn n_english_words(lower: &str) -> usize {
    lower.split(|c: char| !c.is_alphabetic()).filter(|word| ENGLISH.contains(word)).count()
}

/// Frequent English words. Other languages have some of them (German has `was`), but hardly two in one message.
const ENGLISH: [&str; 44] = [
    "about", "after", "again", "and", "any", "are", "been", "but", "can", "could", "did", "does", "from", "get", "got",
    "how", "much", "my", "need", "never", "not", "order", "please", "send", "should", "still", "than", "thanks",
    "that", "the", "there", "they", "this", "want", "was", "what", "when", "where", "which", "why", "with", "would",
    "you", "your",
];

/// The languages that are told apart. Rare relatives (Dutch and Afrikaans, Danish and Bokmål, Spanish and Catalan) would
/// take short texts from each other.
const LANGUAGES: [Lang; 24] = [
    Lang::Eng,
    Lang::Spa,
    Lang::Deu,
    Lang::Fra,
    Lang::Ita,
    Lang::Por,
    Lang::Nld,
    Lang::Pol,
    Lang::Swe,
    Lang::Dan,
    Lang::Fin,
    Lang::Ces,
    Lang::Hun,
    Lang::Ron,
    Lang::Tur,
    Lang::Rus,
    Lang::Ukr,
    Lang::Ell,
    Lang::Ara,
    Lang::Heb,
    Lang::Cmn,
    Lang::Jpn,
    Lang::Kor,
    Lang::Hin,
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn languages_are_told_apart_when_it_is_clear() {
        for (text, expected) in [
            ("My parcel has not arrived and I would like to know where it is.", "eng"),
            ("Hola, mi pedido todavía no ha llegado y quiero saber dónde está.", "spa"),
            ("Guten Tag, meine Bestellung ist leider noch nicht angekommen.", "deu"),
            ("Bonjour, je voudrais recevoir une copie de ma facture.", "fra"),
            ("hey, my lumo lamp died, it must be under waranty. regards, katarzyna, thank you", "und"),
            ("where is it?", "und"),
            ("ORD-20481 <EMAIL> +44 7700 900123", "und"),
        ] {
            assert_eq!(detect(text, 0.3), expected, "{text}");
        }
    }

    #[test]
    fn only_a_language_that_is_surely_another_goes() {
        let class = |language: &str, keep: &[&str]| {
            let keep = keep.iter().map(|code| code.to_string()).collect();
            check(language, &Settings { keep, ..Settings::default() }).map(|reason| reason.class)
        };
        assert_eq!(class("spa", &["eng"]), Some("language:spa".to_string()));
        for (language, keep) in [("eng", vec!["eng"]), (UNDECIDED, vec!["eng"]), ("spa", vec![])] {
            assert_eq!(class(language, &keep), None, "{language}");
        }
    }
}
