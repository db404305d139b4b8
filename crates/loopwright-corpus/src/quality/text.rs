//! A document as the quality rules see it: split into words once, counted once, shared by all filters.
//!
//! **Our word splitter.** A word is a run of characters that are not white space, white space being what Python's
//! `str.split` splits at (see `classes`). This is the splitter of the Gopher and C4 papers' spirit (words are what stands
//! between spaces), and the fastest. datatrove by default uses spaCy's tokenizer, which makes words of punctuation marks
//! and cuts `don't` in two, so it finds more and shorter words in the same text; `docs/quality.md` tells how often that
//! changes a verdict.
//!
//! Building a [`Text`] costs one pass over the bytes. It allocates one vector, for the words.

use super::classes::{CLASSES, Classes, LETTER, OTHER_BREAK, SPACE, WORDY};
use std::{cell::OnceCell, collections::HashSet};

/// A set with the fast, deterministic hash function that all quality rules use.
pub(super) type FastSet<T> = HashSet<T, foldhash::fast::FixedState>;
/// A map with the same hash function.
pub(super) type FastMap<K, V> = std::collections::HashMap<K, V, foldhash::fast::FixedState>;

/// An empty set with room for `n` elements.
pub(super) fn fast_set<T>(n: usize) -> FastSet<T> {
    FastSet::with_capacity_and_hasher(n, foldhash::fast::FixedState::default())
}

/// An empty map with room for `n` elements.
pub(super) fn fast_map<K, V>(n: usize) -> FastMap<K, V> {
    FastMap::with_capacity_and_hasher(n, foldhash::fast::FixedState::default())
}

/// A word's place in its text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Word {
    /// First byte.
    pub start: usize,
    /// One past the last byte.
    pub end: usize,
    /// Length in characters.
    pub n_chars: usize,
}

/// A document, its words and its counts.
#[derive(Debug)]
pub struct Text<'a> {
    text: &'a str,
    words: Vec<Word>,
    n_chars: usize,
    n_alphabetic_words: usize,
    n_wordy_words: usize,
    n_wordy_chars: usize,
    word_chars_max: usize,
    only_newlines: bool,
    repeats: OnceCell<LineRepeats>,
}

/// How much of a document's lines was there before. Lines are what stands between `\n`; empty ones are left out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LineRepeats {
    /// Lines that are not empty.
    pub n_lines: usize,
    /// Those that hold more than white space.
    pub n_filled_lines: usize,
    /// Lines equal to an earlier one.
    pub n_repeated: usize,
    /// Characters in repeated lines.
    pub n_repeated_chars: usize,
    /// Characters in repeated lines that hold more than white space.
    pub n_repeated_filled_chars: usize,
}

impl<'a> Text<'a> {
    /// Splits a document into words and counts what the rules ask for.
    pub fn new(text: &'a str) -> Self {
        let n_chars = if text.is_ascii() { text.len() } else { text.chars().count() };
        let mut view = Self {
            text,
            words: Vec::with_capacity(text.len() / 5 + 1),
            n_chars,
            n_alphabetic_words: 0,
            n_wordy_words: 0,
            n_wordy_chars: 0,
            word_chars_max: 0,
            only_newlines: true,
            repeats: OnceCell::new(),
        };
        view.split_words(&CLASSES);
        view
    }

    /// The document itself.
    pub fn as_str(&self) -> &'a str {
        self.text
    }

    /// Its words, in order.
    pub fn words(&self) -> &[Word] {
        &self.words
    }

    /// A word's characters.
    pub fn word(&self, word: Word) -> &'a str {
        &self.text[word.start..word.end]
    }

    /// Length in characters (code points).
    pub fn n_chars(&self) -> usize {
        self.n_chars
    }

    /// Length of a part of this document, in characters.
    pub fn n_chars_of(&self, part: &str) -> usize {
        if self.n_chars == self.text.len() { part.len() } else { part.chars().count() }
    }

    /// Words with at least one letter.
    pub fn n_alphabetic_words(&self) -> usize {
        self.n_alphabetic_words
    }

    /// Words that are more than punctuation marks and symbols.
    pub fn n_wordy_words(&self) -> usize {
        self.n_wordy_words
    }

    /// Characters in words that are more than punctuation marks and symbols.
    pub fn n_wordy_chars(&self) -> usize {
        self.n_wordy_chars
    }

    /// Length of the longest word, in characters.
    pub fn word_chars_max(&self) -> usize {
        self.word_chars_max
    }

    /// Its lines as Python's `str.splitlines` has them: ended by `\n`, `\r\n` and eight rarer characters; no line follows
    /// the last end.
    pub fn lines(&self) -> Lines<'a> {
        Lines { rest: self.text, only_newlines: self.only_newlines }
    }

    /// How much of its lines was there before; counted at the first call.
    pub fn line_repeats(&self) -> LineRepeats {
        *self.repeats.get_or_init(|| self.count_repeats())
    }

    fn split_words(&mut self, classes: &Classes) {
        let bytes = self.text.as_bytes();
        let mut at = 0;
        while at < bytes.len() {
            let (start, mut n_chars, mut seen) = (at, 0, 0);
            while at < bytes.len() {
                let (class, width) = class_at(self.text, bytes[at], at, classes);
                at += width;
                if class & SPACE != 0 {
                    self.only_newlines &= class & OTHER_BREAK == 0;
                    if n_chars > 0 {
                        self.push(Word { start, end: at - width, n_chars }, seen);
                    }
                    n_chars = 0;
                    break;
                }
                seen |= class;
                n_chars += 1;
            }
            if n_chars > 0 {
                self.push(Word { start, end: at, n_chars }, seen);
            }
        }
    }

    #[inline]
    fn push(&mut self, word: Word, seen: u8) {
        self.n_alphabetic_words += usize::from(seen & LETTER != 0);
        if seen & WORDY != 0 {
            self.n_wordy_words += 1;
            self.n_wordy_chars += word.n_chars;
        }
        self.word_chars_max = self.word_chars_max.max(word.n_chars);
        self.words.push(word);
    }

    fn count_repeats(&self) -> LineRepeats {
        let mut repeats = LineRepeats::default();
        let mut seen = fast_set(memchr::memchr_iter(b'\n', self.text.as_bytes()).count() + 1);
        for line in self.text.split('\n').filter(|line| !line.is_empty()) {
            let filled = is_filled(line);
            repeats.n_lines += 1;
            repeats.n_filled_lines += usize::from(filled);
            if !seen.insert(line) {
                let n_chars = self.n_chars_of(line);
                repeats.n_repeated += 1;
                repeats.n_repeated_chars += n_chars;
                repeats.n_repeated_filled_chars += if filled { n_chars } else { 0 };
            }
        }
        repeats
    }
}

/// Whether a line holds more than white space.
pub(super) fn is_filled(line: &str) -> bool {
    line.chars().any(|c| !CLASSES.is(c, SPACE))
}

#[inline]
fn class_at(text: &str, byte: u8, at: usize, classes: &Classes) -> (u8, usize) {
    if byte < 0x80 {
        return (classes.low[usize::from(byte)], 1);
    }
    text[at..].chars().next().map_or((SPACE, 1), |c| (classes.of(c), c.len_utf8()))
}

/// The lines of a [`Text`].
#[derive(Clone, Debug)]
pub struct Lines<'a> {
    rest: &'a str,
    only_newlines: bool,
}

impl<'a> Iterator for Lines<'a> {
    type Item = &'a str;

    fn next(&mut self) -> Option<&'a str> {
        if self.rest.is_empty() {
            return None;
        }
        let end = if self.only_newlines {
            memchr::memchr(b'\n', self.rest.as_bytes())
        } else {
            self.rest.find(|c| c == '\n' || CLASSES.is(c, OTHER_BREAK))
        };
        let (line, rest) = self.rest.split_at(end.unwrap_or(self.rest.len()));
        let mut after = rest.chars();
        if after.next() == Some('\r') && after.as_str().starts_with('\n') {
            after.next();
        }
        self.rest = after.as_str();
        Some(line)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn words(text: &str) -> Vec<&str> {
        let view = Text::new(text);
        view.words().iter().map(|word| view.word(*word)).collect()
    }

    #[test]
    fn words_are_split_at_white_space() {
        for (text, expected) in [
            ("", vec![]),
            (" \n\t ", vec![]),
            ("one", vec!["one"]),
            ("  one two\n", vec!["one", "two"]),
            ("don't — stop…", vec!["don't", "—", "stop…"]),
            ("a\u{1c}b\u{a0}c\u{3000}d\u{200b}e", vec!["a", "b", "c", "d\u{200b}e"]),
        ] {
            assert_eq!(words(text), expected, "{text:?}");
        }
    }

    #[test]
    fn words_are_counted_by_kind() {
        let text = Text::new("Größe: 12 — # ½ ok");
        assert_eq!((text.n_chars(), text.words().len(), text.word_chars_max()), (18, 6, 6));
        assert_eq!((text.n_alphabetic_words(), text.n_wordy_words(), text.n_wordy_chars()), (2, 4, 11));
    }

    #[test]
    fn lines_end_where_python_ends_them() {
        for (text, expected) in [
            ("", vec![]),
            ("a", vec!["a"]),
            ("a\n", vec!["a"]),
            ("\n", vec![""]),
            ("a\n\nb", vec!["a", "", "b"]),
            ("a\r\nb\rc\n\rd", vec!["a", "b", "c", "", "d"]),
            ("a\u{b}b\u{c}c\u{85}d\u{2028}e\u{1e}", vec!["a", "b", "c", "d", "e"]),
            ("a\u{1f}b", vec!["a\u{1f}b"]),
        ] {
            assert_eq!(Text::new(text).lines().collect::<Vec<_>>(), expected, "{text:?}");
        }
    }

    #[test]
    fn repeated_lines_are_counted() {
        let repeats = Text::new("añ\nb\n\n  \nañ\n  \nb").line_repeats();
        let expected = LineRepeats {
            n_lines: 6,
            n_filled_lines: 4,
            n_repeated: 3,
            n_repeated_chars: 5,
            n_repeated_filled_chars: 3,
        };
        assert_eq!(repeats, expected);
    }

    proptest! {
        #[test]
        fn words_are_what_the_standard_library_finds(text in "[a-z.\\p{Han}é \n\t\u{a0}]{0,60}") {
            prop_assert_eq!(words(&text), text.split_whitespace().collect::<Vec<_>>());
            let view = Text::new(&text);
            for word in view.words() {
                prop_assert_eq!(word.n_chars, view.word(*word).chars().count());
            }
            prop_assert_eq!(view.lines().collect::<Vec<_>>(), text.lines().collect::<Vec<_>>());
        }
    }
}
