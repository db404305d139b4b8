//! Gopher's repetition rules: a text that repeats itself teaches a model to repeat itself.
//!
//! Source: Rae et al. 2021, appendix A.1.1, "Repetition removal", Table A1. A document goes if too large a share of it is
//! in repeated lines or paragraphs, in the most frequent 2-, 3- or 4-gram, or in duplicated 5- to 10-grams. Shares are of
//! lines, of paragraphs, or of characters; the bounds are in [`Settings`].
//!
//! Read as datatrove's `GopherRepetitionFilter` reads it: paragraphs are what stands between two or more `\n`, lines what
//! stands between one or more, so a document that begins and ends with `\n` has two empty lines, one of them repeated;
//! shares of characters are of all characters, white space included; the most frequent n-gram counts with its first
//! occurrence, even if it stands in the text only once. [`super::ngrams`] says how n-grams are counted.

use super::{
    bounds::{above, share},
    classes::{CLASSES, SPACE},
    ngrams::{DuplicateGrams, TopGrams},
    text::{Text, fast_set},
};
use crate::Reason;
use serde::{Deserialize, Serialize};

/// The step's name.
pub const STEP: &str = "gopher_repetition";

/// A bound for n-grams of one length.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GramBound {
    /// Length of the n-grams, in words.
    pub n: usize,
    /// Largest share of characters.
    pub share_max: f64,
}

/// The bounds; the default is the paper's Table A1.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// Largest share of lines that repeat an earlier one (Table A1: 0.30).
    pub duplicate_lines_max: f64,
    /// Largest share of paragraphs that repeat an earlier one (Table A1: 0.30).
    pub duplicate_paragraphs_max: f64,
    /// Largest share of characters in repeated lines (Table A1: 0.20).
    pub duplicate_line_chars_max: f64,
    /// Largest share of characters in repeated paragraphs (Table A1: 0.20).
    pub duplicate_paragraph_chars_max: f64,
    /// Largest share of characters in the most frequent n-gram (Table A1: 2 words 0.20, 3 words 0.18, 4 words 0.16).
    pub top_grams: Vec<GramBound>,
    /// Largest share of characters in duplicated n-grams (Table A1: 0.15 for 5 words, 0.01 less for each further one).
    pub duplicate_grams: Vec<GramBound>,
}

impl Default for Settings {
    fn default() -> Self {
        let bounds = |list: &[(usize, f64)]| list.iter().map(|&(n, share_max)| GramBound { n, share_max }).collect();
        Self {
            duplicate_lines_max: 0.30,
            duplicate_paragraphs_max: 0.30,
            duplicate_line_chars_max: 0.20,
            duplicate_paragraph_chars_max: 0.20,
            top_grams: bounds(&[(2, 0.20), (3, 0.18), (4, 0.16)]),
            duplicate_grams: bounds(&[(5, 0.15), (6, 0.14), (7, 0.13), (8, 0.12), (9, 0.11), (10, 0.10)]),
        }
    }
}

/// The first rule that a document breaks, if any: paragraphs, lines, frequent n-grams from short to long, duplicated
/// n-grams in the settings' order.
pub fn check(text: &Text<'_>, settings: &Settings) -> Option<Reason> {
    if text.as_str().is_empty() {
        return Some(Reason::new("empty", "the text is empty"));
    }
    paragraphs(text, settings)
        .or_else(|| lines(text, settings))
        .or_else(|| top_grams(text, settings))
        .or_else(|| duplicate_grams(text, settings))
}

fn paragraphs(text: &Text<'_>, settings: &Settings) -> Option<Reason> {
    let stripped = text.as_str().trim_matches(|c| CLASSES.is(c, SPACE));
    memchr::memmem::find(stripped.as_bytes(), b"\n\n")?;
    let (mut seen, mut n, mut n_repeated, mut n_chars) = (fast_set(8), 0, 0, 0);
    // What stands between two line ends and more; a third one would start the next part.
    for part in stripped.split("\n\n").map(|part| part.trim_start_matches('\n')).filter(|part| !part.is_empty()) {
        n += 1;
        if !seen.insert(part) {
            n_repeated += 1;
            n_chars += text.n_chars_of(part);
        }
    }
    let max = settings.duplicate_paragraphs_max;
    above("duplicate_paragraphs", "share of repeated paragraphs", share(n_repeated, n), max).or_else(|| {
        let (what, max) = ("share of characters in repeated paragraphs", settings.duplicate_paragraph_chars_max);
        above("duplicate_paragraph_chars", what, share(n_chars, text.n_chars()), max)
    })
}

fn lines(text: &Text<'_>, settings: &Settings) -> Option<Reason> {
    let repeats = text.line_repeats();
    let n_empty = usize::from(text.as_str().starts_with('\n')) + usize::from(text.as_str().ends_with('\n'));
    let (n_lines, n_repeated) = (repeats.n_lines + n_empty, repeats.n_repeated + usize::from(n_empty == 2));
    let what = "share of repeated lines";
    above("duplicate_lines", what, share(n_repeated, n_lines), settings.duplicate_lines_max).or_else(|| {
        let (what, max) = ("share of characters in repeated lines", settings.duplicate_line_chars_max);
        above("duplicate_line_chars", what, share(repeats.n_repeated_chars, text.n_chars()), max)
    })
}

fn top_grams(text: &Text<'_>, settings: &Settings) -> Option<Reason> {
    let n_max = settings.top_grams.iter().map(|bound| bound.n).max()?.min(text.words().len());
    let mut grams = TopGrams::new(text);
    loop {
        for bound in settings.top_grams.iter().filter(|bound| bound.n == grams.n()) {
            let what = format!("share of characters in the most frequent {}-gram", bound.n);
            let broken =
                above(&format!("top_{}_gram", bound.n), &what, share(grams.n_chars(), text.n_chars()), bound.share_max);
            if broken.is_some() {
                return broken;
            }
        }
        if grams.n() >= n_max {
            return None;
        }
        grams.grow();
    }
}

fn duplicate_grams(text: &Text<'_>, settings: &Settings) -> Option<Reason> {
    if settings.duplicate_grams.is_empty() {
        return None;
    }
    let grams = DuplicateGrams::new(text);
    settings.duplicate_grams.iter().find_map(|bound| {
        let measured = share(grams.n_chars(bound.n), text.n_chars());
        // The words are only put together where they are needed.
        (measured > bound.share_max).then(|| {
            let what = format!("share of characters in duplicated {}-grams", bound.n);
            above(&format!("duplicate_{}_grams", bound.n), &what, measured, bound.share_max)
        })?
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn class(text: &str) -> Option<String> {
        check(&Text::new(text), &Settings::default()).map(|reason| reason.class)
    }

    fn numbered(n: usize, from: usize) -> String {
        (from..from + n).map(|i| format!("word{i}")).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn each_rule_has_its_reason() {
        let long = numbered(60, 0);
        for (text, expected) in [
            (String::new(), Some("empty")),
            (long.clone(), None),
            ("one a\n\none a\n\ntwo b".into(), Some("duplicate_paragraphs")),
            (format!("{0}\n\n{0}\n\na\n\nb\n\nc", numbered(9, 0)), Some("duplicate_paragraph_chars")),
            (format!("{long}\na\na\na"), Some("duplicate_lines")),
            (format!("{0}\n{0}\na\nb\nc", numbered(9, 0)), Some("duplicate_line_chars")),
            ("\nabc def ghi\n".into(), Some("duplicate_lines")),
            ("one two".into(), Some("top_2_gram")),
            (format!("{} {}", "very well ".repeat(20), long), Some("top_2_gram")),
            (format!("{long} {}", numbered(60, 0)), Some("duplicate_5_grams")),
        ] {
            assert_eq!(class(&text).as_deref(), expected, "{text:.80}");
        }
    }

    #[test]
    fn paragraphs_stand_between_two_line_ends_or_more() {
        let settings = Settings { duplicate_paragraphs_max: -1.0, ..Settings::default() };
        for (text, expected) in [
            ("\n\na\n\nb\n\n", "share of repeated paragraphs is 0.000, above -1"),
            ("a\n\n\na\n\n\n\nb\nb", "share of repeated paragraphs is 0.333, above -1"),
        ] {
            assert_eq!(check(&Text::new(text), &settings).unwrap().text, expected, "{text:?}");
        }
    }
}
