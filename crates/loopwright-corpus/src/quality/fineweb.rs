//! FineWeb's own rules: what remains of menus, lists and templates after Gopher's and C4's.
//!
//! Source: Penedo et al. 2024, "The FineWeb Datasets: Decanting the Web for the Finest Text Data at Scale", section 3.6,
//! with the bounds that the dataset was made with (datatrove's `FineWebQualityFilter`). A document goes if less than 12% of
//! its lines end with a mark that ends a sentence, more than 67% of them have 30 characters or fewer, more than 1% of its
//! characters are in repeated lines, or it has more than 0.3 line ends per word. Lines are what stands between `\n` and
//! holds more than white space; a line that ends with a space does not end with a mark.

use super::{
    bounds::{above, below, share},
    classes::{CLASSES, TERMINAL},
    text::{Text, is_filled},
};
use crate::Reason;
use serde::{Deserialize, Serialize};

/// The step's name.
pub const STEP: &str = "fineweb";

/// The bounds; the default is what FineWeb was made with.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// Smallest share of lines that end with a mark that ends a sentence, in any script (FineWeb: 0.12).
    pub punctuated_lines_min: f64,
    /// Whether a document without any such line may stay (FineWeb: no).
    pub unpunctuated_may_stay: bool,
    /// Largest share of short lines (FineWeb: 0.67).
    pub short_lines_max: f64,
    /// A line is short up to this length, in characters (FineWeb: 30).
    pub short_line_chars: usize,
    /// Largest share of characters in repeated lines (FineWeb: 0.01).
    pub duplicate_line_chars_max: f64,
    /// Most line ends per word (FineWeb: 0.3).
    pub newlines_per_word_max: f64,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            punctuated_lines_min: 0.12,
            unpunctuated_may_stay: false,
            short_lines_max: 0.67,
            short_line_chars: 30,
            duplicate_line_chars_max: 0.01,
            newlines_per_word_max: 0.3,
        }
    }
}

/// The first rule that a document breaks, if any.
pub fn check(text: &Text<'_>, settings: &Settings) -> Option<Reason> {
    let (mut n_lines, mut n_punctuated, mut n_short) = (0, 0, 0);
    for line in text.as_str().split('\n').filter(|line| is_filled(line)) {
        n_lines += 1;
        n_punctuated += usize::from(line.ends_with(|c| CLASSES.is(c, TERMINAL)));
        n_short += usize::from(is_short(text, line, settings.short_line_chars));
    }
    if n_lines == 0 {
        return Some(Reason::new("empty", "no line holds more than white space"));
    }
    let what = "share of short lines";
    punctuation(share(n_punctuated, n_lines), settings)
        .or_else(|| above("short_lines", what, share(n_short, n_lines), settings.short_lines_max))
        .or_else(|| repeats(text, settings))
}

fn is_short(text: &Text<'_>, line: &str, n_chars_max: usize) -> bool {
    // A character has one to four bytes, so most lines need no counting.
    line.len() <= n_chars_max || line.len() <= n_chars_max.saturating_mul(4) && text.n_chars_of(line) <= n_chars_max
}

fn punctuation(measured: f64, settings: &Settings) -> Option<Reason> {
    if measured == 0.0 && settings.unpunctuated_may_stay {
        return None;
    }
    let what = "share of lines that end a sentence";
    below("unpunctuated_lines", what, measured, settings.punctuated_lines_min)
}

fn repeats(text: &Text<'_>, settings: &Settings) -> Option<Reason> {
    let n_newlines = memchr::memchr_iter(b'\n', text.as_str().as_bytes()).count();
    let repeated = share(text.line_repeats().n_repeated_filled_chars, text.n_chars() - n_newlines);
    let what = "share of characters in repeated lines";
    above("duplicate_line_chars", what, repeated, settings.duplicate_line_chars_max).or_else(|| {
        let measured = share(n_newlines, text.words().len());
        above("many_newlines", "line ends per word", measured, settings.newlines_per_word_max)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check_all(settings: &Settings, cases: &[(&str, Option<&str>)]) {
        for (text, expected) in cases {
            let class = check(&Text::new(text), settings).map(|reason| reason.class);
            assert_eq!(class.as_deref(), *expected, "{text}");
        }
    }

    #[test]
    fn each_rule_has_its_reason() {
        let long = "This line is long enough to be no short one at all.";
        check_all(
            &Settings::default(),
            &[
                ("", Some("empty")),
                (" \n\t\n", Some("empty")),
                (long, None),
                (&format!("{long} "), Some("unpunctuated_lines")),
                (&long.replace('.', "。"), None),
                ("Exactly thirty characters her.", Some("short_lines")),
                ("Exactly thirty-one characters .", None),
                ("Genau dreißig Zeichen sind da.", Some("short_lines")),
                (&format!("{long}\n{long}"), Some("duplicate_line_chars")),
                (&format!("{long}\n   \n   "), None),
                (&format!("{long}\n\n\n\n"), Some("many_newlines")),
            ],
        );
    }

    #[test]
    fn a_text_without_punctuation_may_be_let_through() {
        let settings = Settings { unpunctuated_may_stay: true, ..Settings::default() };
        check_all(&settings, &[("A headline of more than thirty characters", None)]);
    }
}
