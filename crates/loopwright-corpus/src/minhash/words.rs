//! A text's words after simplification, so that case, punctuation, accents and figures do not hide a likeness.
//!
//! In this order, as datatrove's `simplify_text` has it: lower case; every number becomes `0`; names of weekdays and
//! months become one word each (off by default, English only); punctuation becomes a space; each word is decomposed
//! (Unicode NFD) and loses its nonspacing marks. Words are what stands between white space. That is the one difference
//! in meaning from datatrove, whose words come from a tokenizer of the text's language unless another one is put in.
//!
//! Digits, marks, case and decompositions follow the Unicode version of the crates we build with; a character that was
//! added after the Unicode version of another program may be treated otherwise there.

use super::punctuation::{is_punctuation, is_space};
use serde::{Deserialize, Serialize};
use unicode_normalization::UnicodeNormalization;
use unicode_properties::{GeneralCategory, UnicodeGeneralCategory};

/// Which parts of the simplification take place.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Simplify {
    /// Upper case becomes lower case.
    pub lowercase: bool,
    /// Punctuation becomes a space.
    pub remove_punctuation: bool,
    /// `é` becomes `e`: Unicode NFD without nonspacing marks.
    pub strip_diacritics: bool,
    /// Every number, with a decimal part if it has one, becomes `0`.
    pub replace_numbers: bool,
    /// English names of weekdays in lower case become `WEEKDAY`.
    pub replace_weekdays: bool,
    /// English names of months in lower case become `MONTH`.
    pub replace_months: bool,
}

impl Default for Simplify {
    fn default() -> Self {
        Self {
            lowercase: true,
            remove_punctuation: true,
            strip_diacritics: true,
            replace_numbers: true,
            replace_weekdays: false,
            replace_months: false,
        }
    }
}

const WEEKDAYS: [&str; 7] = ["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"];
const MONTHS: [&str; 12] = [
    "january",
    "february",
    "march",
    "april",
    "may",
    "june",
    "july",
    "august",
    "september",
    "october",
    "november",
    "december",
];

/// The words of one text, joined by single spaces. Filled again and again, so that no text needs memory of its own.
#[derive(Debug, Default)]
pub struct Words {
    joined: String,
    starts: Vec<usize>,
    word_start: usize,
    has_wide: bool,
    spare: String,
}

impl Words {
    /// Takes in the words of `text`.
    pub fn fill(&mut self, text: &str, simplify: &Simplify) {
        self.joined.clear();
        self.starts.clear();
        self.word_start = 0;
        self.has_wide = false;
        if simplify.replace_weekdays || simplify.replace_months {
            let mut plain = String::with_capacity(text.len());
            lowered_and_numbered(text, simplify, |c| plain.push(c));
            with_names_replaced(plain, simplify).chars().for_each(|c| self.take(c, simplify));
        } else {
            lowered_and_numbered(text, simplify, |c| self.take(c, simplify));
        }
        self.end_word(simplify);
        self.joined.truncate(self.word_start.saturating_sub(1));
    }

    /// How many words there are.
    pub fn len(&self) -> usize {
        self.starts.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.starts.is_empty()
    }

    /// All words, joined by single spaces.
    pub fn joined(&self) -> &str {
        &self.joined
    }

    /// Every run of `n` words, joined by single spaces, from left to right; nothing if there are fewer words.
    pub fn ngrams(&self, n: usize) -> impl Iterator<Item = &str> {
        let count = (self.len() + 1).saturating_sub(n);
        (0..count).map(move |i| {
            let end = self.starts.get(i + n).map_or(self.joined.len(), |next| next - 1);
            &self.joined[self.starts[i]..end]
        })
    }

    #[inline(always)]
    fn take(&mut self, c: char, simplify: &Simplify) {
        if is_space(c) || (simplify.remove_punctuation && is_punctuation(c)) {
            self.end_word(simplify);
        } else {
            self.has_wide |= !c.is_ascii();
            self.joined.push(c);
        }
    }

    #[inline(always)]
    fn end_word(&mut self, simplify: &Simplify) {
        if self.has_wide && simplify.strip_diacritics {
            self.strip_word();
        }
        if self.joined.len() > self.word_start {
            self.starts.push(self.word_start);
            self.joined.push(' ');
            self.word_start = self.joined.len();
        }
    }

    /// Takes the marks off the last word. White space neither takes part in a decomposition nor comes out of one.
    #[cold]
    fn strip_word(&mut self) {
        self.spare.clear();
        self.spare.push_str(&self.joined[self.word_start..]);
        self.joined.truncate(self.word_start);
        let bare = self.spare.nfd().filter(|c| c.is_ascii() || c.general_category() != GeneralCategory::NonspacingMark);
        self.joined.extend(bare);
        self.has_wide = false;
    }
}

/// The text in lower case with its numbers replaced, character by character.
#[inline(always)]
fn lowered_and_numbered(text: &str, simplify: &Simplify, mut sink: impl FnMut(char)) {
    let mut numbers = Numbers::Outside;
    let mut take = |c: char| if simplify.replace_numbers { numbers.take(c, &mut sink) } else { sink(c) };
    if !simplify.lowercase {
        text.chars().for_each(&mut take);
    } else if text.contains('Σ') {
        // Its lower case depends on its place in the word, so the whole text is needed.
        text.to_lowercase().chars().for_each(&mut take);
    } else {
        for c in text.chars() {
            if c.is_ascii() { take(c.to_ascii_lowercase()) } else { c.to_lowercase().for_each(&mut take) }
        }
    }
    numbers.end(&mut sink);
}

/// Where we stand in a number: digits, then perhaps one separator and more digits.
enum Numbers {
    Outside,
    Whole,
    /// The separator is part of the number only if a digit follows.
    Separator(char),
    Fraction,
}

impl Numbers {
    #[inline(always)]
    fn take(&mut self, c: char, sink: &mut impl FnMut(char)) {
        if is_digit(c) {
            match self {
                Self::Outside => {
                    sink('0');
                    *self = Self::Whole;
                }
                Self::Separator(_) => *self = Self::Fraction,
                Self::Whole | Self::Fraction => {}
            }
            return;
        }
        match self {
            Self::Outside => sink(c),
            Self::Whole if matches!(c, '.' | ',' | '،' | '٫' | '⎖' | '⎗' | '⎘') => *self = Self::Separator(c),
            _ => {
                self.end(sink);
                sink(c);
            }
        }
    }

    fn end(&mut self, sink: &mut impl FnMut(char)) {
        if let Self::Separator(separator) = self {
            sink(*separator);
        }
        *self = Self::Outside;
    }
}

fn is_digit(c: char) -> bool {
    c.is_ascii_digit() || (!c.is_ascii() && c.general_category() == GeneralCategory::DecimalNumber)
}

fn with_names_replaced(mut text: String, simplify: &Simplify) -> String {
    if simplify.replace_weekdays {
        text = replace_any(&text, &WEEKDAYS, "WEEKDAY");
    }
    if simplify.replace_months {
        text = replace_any(&text, &MONTHS, "MONTH");
    }
    text
}

fn replace_any(text: &str, names: &[&str], replacement: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        match names.iter().find(|name| rest.starts_with(**name)) {
            Some(name) => {
                out.push_str(replacement);
                rest = &rest[name.len()..];
            }
            None => {
                out.push(c);
                rest = &rest[c.len_utf8()..];
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn words(text: &str, simplify: &Simplify) -> String {
        let mut words = Words::default();
        words.fill("left over", simplify);
        words.fill(text, simplify);
        words.joined().to_string()
    }

    #[test]
    fn simplification_cases() {
        // Expected values are `" ".join(simplify_text(text).split())` of datatrove 0.10.1.
        let check = |text: &str, expected: &str| assert_eq!(words(text, &Simplify::default()), expected, "{text:?}");
        check("", "");
        check("  ?!  ", "");
        check("Hello,   World!\n", "hello world");
        check("it's 3.14, or 1,234,567.89 – no?", "it s 0 or 0 0 no");
        check("12.", "0");
        check("1.2.3 1..2", "0 0 0 0");
        check("v12b", "v0b");
        check("١٢٫٥ kg", "0 kg");
        check("Café ÉCOLE naïve", "cafe ecole naive");
        check("ΟΔΟΣ ΣΑΣ", "οδος σας");
        check("İstanbul", "istanbul");
        check("a \u{301} b", "a b");
        check("≠ \u{1c}x\u{85}y\u{a0}z\u{200b}", "= x y z\u{200b}");
        check("한국어", "\u{1112}\u{1161}\u{11ab}\u{1100}\u{116e}\u{11a8}\u{110b}\u{1165}");
    }

    #[test]
    fn each_part_can_be_turned_off() {
        let none = Simplify {
            lowercase: false,
            remove_punctuation: false,
            strip_diacritics: false,
            replace_numbers: false,
            ..Simplify::default()
        };
        assert_eq!(words("Né  le 5.6 MAY!", &none), "Né le 5.6 MAY!");
        let names = Simplify { replace_weekdays: true, replace_months: true, ..Simplify::default() };
        assert_eq!(words("Monday, 4 May; mondays maybe", &names), "WEEKDAY 0 MONTH WEEKDAYs MONTHbe");
    }

    #[test]
    fn ngrams_slide_by_one_word() {
        let mut words = Words::default();
        words.fill("a b c d", &Simplify::default());
        assert_eq!(words.ngrams(3).collect::<Vec<_>>(), ["a b c", "b c d"]);
        assert_eq!(words.ngrams(4).collect::<Vec<_>>(), ["a b c d"]);
        assert_eq!(words.ngrams(5).count(), 0);
        assert_eq!((words.len(), words.is_empty()), (4, false));
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn words_are_never_empty_and_stand_between_single_spaces(text in any::<String>(), n in 1usize..4) {
            let mut words = Words::default();
            words.fill(&text, &Simplify::default());
            let split: Vec<&str> = words.joined().split_whitespace().collect();
            prop_assert_eq!(split.join(" "), words.joined());
            prop_assert_eq!(split.len(), words.len());
            let ngrams: Vec<String> = split.windows(n).map(|window| window.join(" ")).collect();
            prop_assert_eq!(words.ngrams(n).collect::<Vec<_>>(), ngrams);
        }
    }
}
