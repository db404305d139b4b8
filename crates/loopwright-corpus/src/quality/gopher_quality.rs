//! Gopher's quality rules: is this a text of words and sentences at all?
//!
//! Source: Rae et al. 2021, "Scaling Language Models: Methods, Analysis & Insights from Training Gopher", appendix A.1.1,
//! "Quality filtering". A document goes if it has fewer than 50 or more than 100,000 words, a mean word length outside 3
//! to 10 characters, more than 0.1 hash signs or ellipses per word, more than 90% of lines that start with a bullet point or
//! more than 30% that end with an ellipsis, less than 80% of words with a letter, or fewer than two of the stop words
//! *the, be, to, of, and, that, have, with*.
//!
//! Read as datatrove's `GopherQualityFilter` reads it: words that are only punctuation do not count for the number and
//! the mean length of words, but do for the other shares; bullets are `•` and `-`; a stop word counts in lower case only, and
//! each at most once.

use super::{
    bounds::{above, below, fewer, more, share},
    classes::{CLASSES, SPACE},
    text::Text,
};
use crate::Reason;
use serde::{Deserialize, Serialize};

/// The step's name.
pub const STEP: &str = "gopher_quality";

/// The bounds; the default is the paper's.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// Fewest words (Gopher: 50).
    pub words_min: usize,
    /// Most words (Gopher: 100,000).
    pub words_max: usize,
    /// Shortest mean length of words, in characters (Gopher: 3).
    pub mean_word_chars_min: f64,
    /// Longest mean length of words, in characters (Gopher: 10).
    pub mean_word_chars_max: f64,
    /// Most hash signs per word, and most ellipses per word (Gopher: 0.1).
    pub symbols_per_word_max: f64,
    /// Largest share of lines that start with a bullet point (Gopher: 0.9).
    pub bullet_lines_max: f64,
    /// Largest share of lines that end with an ellipsis (Gopher: 0.3).
    pub ellipsis_lines_max: f64,
    /// Smallest share of words with a letter (Gopher: 0.8).
    pub alphabetic_words_min: f64,
    /// Fewest different stop words (Gopher: 2).
    pub stop_words_min: usize,
    /// The stop words (Gopher's eight, which are English).
    pub stop_words: Vec<String>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            words_min: 50,
            words_max: 100_000,
            mean_word_chars_min: 3.0,
            mean_word_chars_max: 10.0,
            symbols_per_word_max: 0.1,
            bullet_lines_max: 0.9,
            ellipsis_lines_max: 0.3,
            alphabetic_words_min: 0.8,
            stop_words_min: 2,
            stop_words: ["the", "be", "to", "of", "and", "that", "have", "with"].map(String::from).to_vec(),
        }
    }
}

/// The first rule that a document breaks, if any.
pub fn check(text: &Text<'_>, settings: &Settings) -> Option<Reason> {
    let n_words = text.n_wordy_words();
    fewer("few_words", "words", n_words, settings.words_min)
        .or_else(|| more("many_words", "words", n_words, settings.words_max))
        .or_else(|| mean_length(text, settings))
        .or_else(|| symbols(text, settings))
        .or_else(|| lines(text, settings))
        .or_else(|| {
            let alphabetic = share(text.n_alphabetic_words(), text.words().len());
            let bound = if text.words().is_empty() { 0.0 } else { settings.alphabetic_words_min };
            below("few_alphabetic_words", "share of words with a letter", alphabetic, bound)
        })
        .or_else(|| stop_words(text, settings))
}

fn mean_length(text: &Text<'_>, settings: &Settings) -> Option<Reason> {
    if text.n_wordy_words() == 0 {
        return None;
    }
    let mean = text.n_wordy_chars() as f64 / text.n_wordy_words() as f64;
    let what = "mean length of words";
    below("short_words", what, mean, settings.mean_word_chars_min)
        .or_else(|| above("long_words", what, mean, settings.mean_word_chars_max))
}

fn symbols(text: &Text<'_>, settings: &Settings) -> Option<Reason> {
    let (bytes, n_words) = (text.as_str().as_bytes(), text.words().len());
    let n_hashes = memchr::memchr_iter(b'#', bytes).count();
    above("many_hashes", "hash signs per word", share(n_hashes, n_words), settings.symbols_per_word_max).or_else(|| {
        let n_ellipses = n_three_dots(bytes) + memchr::memmem::find_iter(bytes, "…").count();
        above("many_ellipses", "ellipses per word", share(n_ellipses, n_words), settings.symbols_per_word_max)
    })
}

/// How often `...` stands in a text; four dots are one, six are two.
fn n_three_dots(bytes: &[u8]) -> usize {
    let (mut n, mut run, mut next) = (0, 0, 0);
    for at in memchr::memchr_iter(b'.', bytes) {
        run = if at == next { run + 1 } else { 1 };
        n += usize::from(run % 3 == 0);
        next = at + 1;
    }
    n
}

fn lines(text: &Text<'_>, settings: &Settings) -> Option<Reason> {
    let space = |c: char| CLASSES.is(c, SPACE);
    let (mut n_lines, mut n_bullets, mut n_ellipses) = (0, 0, 0);
    for line in text.lines() {
        n_lines += 1;
        n_bullets += usize::from(line.trim_start_matches(space).starts_with(['•', '-']));
        let end = line.trim_end_matches(space);
        n_ellipses += usize::from(end.ends_with("...") || end.ends_with('…'));
    }
    let what = "share of lines that start with a bullet point";
    above("bullet_lines", what, share(n_bullets, n_lines), settings.bullet_lines_max).or_else(|| {
        let what = "share of lines that end with an ellipsis";
        above("ellipsis_lines", what, share(n_ellipses, n_lines), settings.ellipsis_lines_max)
    })
}

fn stop_words(text: &Text<'_>, settings: &Settings) -> Option<Reason> {
    let mut missing: Vec<&str> = settings.stop_words.iter().map(String::as_str).collect();
    let (n_all, mut words) = (missing.len(), text.words().iter());
    while n_all - missing.len() < settings.stop_words_min {
        let Some(word) = words.next() else {
            return fewer("few_stop_words", "different stop words", n_all - missing.len(), settings.stop_words_min);
        };
        let word = text.word(*word);
        if let Some(at) = missing.iter().position(|stop| *stop == word) {
            missing.swap_remove(at);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn class(text: &str) -> Option<String> {
        check(&Text::new(text), &Settings::default()).map(|reason| reason.class)
    }

    #[test]
    fn each_rule_has_its_reason() {
        let prose = "the quick brown fox jumps over that lazy dog and runs ".repeat(5);
        for (text, expected) in [
            (String::new(), Some("few_words")),
            (prose.clone(), None),
            ("the ".repeat(100_001), Some("many_words")),
            ("a to ".repeat(30), Some("short_words")),
            (format!("{prose} {}", "incomprehensibilities ".repeat(80)), Some("long_words")),
            (format!("{prose}{}", "# ".repeat(7)), Some("many_hashes")),
            (format!("{prose}{}", "... ".repeat(7)), Some("many_ellipses")),
            (format!("- {prose}"), Some("bullet_lines")),
            (format!(" • {prose}"), Some("bullet_lines")),
            (format!("{prose}… "), Some("ellipsis_lines")),
            (format!("{prose}{}", "1234 ".repeat(20)), Some("few_alphabetic_words")),
            ("Beautiful sunny day The ".repeat(20), Some("few_stop_words")),
        ] {
            assert_eq!(class(&text).as_deref(), expected, "{text:.80}");
        }
    }

    #[test]
    fn a_reason_tells_figure_and_bound() {
        let reason = check(&Text::new("only five words are here"), &Settings::default()).unwrap();
        assert_eq!(reason, Reason::new("few_words", "5 words, fewer than 50"));
    }

    #[test]
    fn dots_are_counted_by_threes() {
        for (text, expected) in [("", 0), ("..", 0), ("...", 1), ("..... ...", 2), ("......", 2), (". . .", 0)] {
            assert_eq!(n_three_dots(text.as_bytes()), expected, "{text}");
        }
    }
}
