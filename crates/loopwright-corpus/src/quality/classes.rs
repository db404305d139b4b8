//! What kind of character is this? One table look-up per character, for every rule that asks.
//!
//! The reference implementation of the rules is written in Python, so the classes are Python's: white space is
//! `str.isspace`, a letter is `str.isalpha` (Unicode's categories L*), a digit is `\d` (category Nd), and a line ends where
//! `str.splitlines` ends it. They differ from Rust's `char` methods in small ways: U+001C to U+001F are white space in
//! Python, and Rust's `is_alphabetic` counts combining vowel signs and Roman numerals as letters.
//!
//! Letters and digits come from the Unicode tables of `regex-syntax`. Two lists are of datatrove's own making: the marks
//! that end a sentence, which are Unicode's `Sentence_Terminal` of version 15 but for a few, and the marks that make no
//! word by themselves, which come down from CCNet (Wenzek et al. 2020).

use regex_syntax::hir::{Class, HirKind};
use std::{collections::HashMap, sync::LazyLock};

/// White space, also between words.
pub(super) const SPACE: u8 = 1;
/// A letter of any script.
pub(super) const LETTER: u8 = 1 << 1;
/// A character that makes a word: anything but the marks that count as symbols.
pub(super) const WORDY: u8 = 1 << 2;
/// A decimal digit of any script.
pub(super) const DIGIT: u8 = 1 << 3;
/// The end of a line, other than `\n`.
pub(super) const OTHER_BREAK: u8 = 1 << 4;
/// A mark that ends a sentence.
pub(super) const TERMINAL: u8 = 1 << 5;

/// How many characters share a page of the table.
const PAGE: usize = 256;

/// The class bits of every character. Equal pages are kept once, so the whole takes some 50 KiB.
pub(super) struct Classes {
    /// The first page again, for characters of one byte.
    pub(super) low: [u8; PAGE],
    page_of: Vec<u16>,
    bits: Vec<u8>,
}

/// The table, built at first use in about a millisecond.
pub(super) static CLASSES: LazyLock<Classes> = LazyLock::new(Classes::build);

impl Classes {
    /// The class bits of a character.
    #[inline]
    pub(super) fn of(&self, c: char) -> u8 {
        let code = c as usize;
        self.bits[usize::from(self.page_of[code / PAGE]) * PAGE + code % PAGE]
    }

    /// Whether a character is of one of the given classes.
    #[inline]
    pub(super) fn is(&self, c: char, classes: u8) -> bool {
        self.of(c) & classes != 0
    }

    fn build() -> Self {
        let mut all = vec![WORDY; char::MAX as usize + 1];
        for c in (0..=char::MAX as u32).filter_map(char::from_u32).filter(|c| c.is_whitespace()) {
            all[c as usize] |= SPACE;
        }
        set(&mut all, &[(0x1c, 0x1f)], SPACE);
        set(&mut all, &unicode_class(r"\p{L}"), LETTER);
        set(&mut all, &unicode_class(r"\p{Nd}"), DIGIT);
        set(&mut all, &OTHER_BREAKS, OTHER_BREAK);
        set(&mut all, &TERMINALS, TERMINAL);
        for &(first, last) in TERMINALS.iter().chain(&SYMBOLS) {
            all[first as usize..=last as usize].iter_mut().for_each(|bits| *bits &= !WORDY);
        }
        Self::in_pages(&all)
    }

    fn in_pages(all: &[u8]) -> Self {
        let (mut page_of, mut bits, mut known) = (Vec::new(), Vec::new(), HashMap::new());
        for page in all.chunks(PAGE) {
            let next = known.len() as u16;
            let index = *known.entry(page).or_insert_with(|| {
                bits.extend_from_slice(page);
                next
            });
            page_of.push(index);
        }
        let mut low = [0; PAGE];
        low.copy_from_slice(&all[..PAGE]);
        Self { low, page_of, bits }
    }
}

fn set(all: &mut [u8], ranges: &[(u32, u32)], class: u8) {
    for &(first, last) in ranges {
        all[first as usize..=last as usize].iter_mut().for_each(|bits| *bits |= class);
    }
}

fn unicode_class(pattern: &str) -> Vec<(u32, u32)> {
    let class = regex_syntax::parse(pattern).expect("the pattern is one of the two above");
    match class.kind() {
        HirKind::Class(Class::Unicode(class)) => {
            class.ranges().iter().map(|range| (u32::from(range.start()), u32::from(range.end()))).collect()
        }
        _ => unreachable!("a Unicode property parses to a Unicode class"),
    }
}

/// Ends of lines beside `\n`: `\v`, `\f`, `\r`, three separators, next line, line and paragraph separator.
const OTHER_BREAKS: [(u32, u32); 4] = [(0x0b, 0x0d), (0x1c, 0x1e), (0x85, 0x85), (0x2028, 0x2029)];

/// Marks that end a sentence.
#[rustfmt::skip]
const TERMINALS: [(u32, u32); 82] = [
    (0x21, 0x21), (0x2e, 0x2e), (0x3f, 0x3f), (0x589, 0x589), (0x61d, 0x61f), (0x6d4, 0x6d4), (0x700, 0x702),
    (0x7f9, 0x7f9), (0x837, 0x837), (0x839, 0x839), (0x83d, 0x83e), (0x964, 0x965), (0x104a, 0x104b), (0x1362, 0x1362),
    (0x1367, 0x1368), (0x166e, 0x166e), (0x1735, 0x1736), (0x17d4, 0x17d6), (0x17d9, 0x17da), (0x1803, 0x1803),
    (0x1809, 0x1809), (0x1944, 0x1945), (0x1aa8, 0x1aab), (0x1b5a, 0x1b5b), (0x1b5e, 0x1b5f), (0x1b7d, 0x1b7e),
    (0x1c3b, 0x1c3c), (0x1c7e, 0x1c7f), (0x203c, 0x203d), (0x2047, 0x2049), (0x2e2e, 0x2e2e), (0x2e3c, 0x2e3c),
    (0x2e53, 0x2e54), (0x3002, 0x3002), (0xa4ff, 0xa4ff), (0xa60e, 0xa60f), (0xa6f3, 0xa6f3), (0xa6f7, 0xa6f7),
    (0xa876, 0xa877), (0xa8ce, 0xa8cf), (0xa92f, 0xa92f), (0xa9c8, 0xa9c9), (0xaa5d, 0xaa5f), (0xaaf0, 0xaaf1),
    (0xabeb, 0xabeb), (0xfe52, 0xfe52), (0xfe56, 0xfe57), (0xff01, 0xff01), (0xff0e, 0xff0e), (0xff1f, 0xff1f),
    (0xff61, 0xff61), (0x10a56, 0x10a57), (0x10f55, 0x10f59), (0x10f86, 0x10f89), (0x11047, 0x11048),
    (0x110be, 0x110c1), (0x11141, 0x11143), (0x111c5, 0x111c6), (0x111cd, 0x111cd), (0x111de, 0x111df),
    (0x11238, 0x11239), (0x1123b, 0x1123c), (0x112a9, 0x112a9), (0x1144b, 0x1144c), (0x115c2, 0x115c3),
    (0x115c9, 0x115d7), (0x11641, 0x11642), (0x1173c, 0x1173e), (0x11944, 0x11944), (0x11946, 0x11946),
    (0x11a42, 0x11a43), (0x11a9b, 0x11a9c), (0x11c41, 0x11c42), (0x11ef7, 0x11ef8), (0x11f43, 0x11f44),
    (0x16a6e, 0x16a6f), (0x16af5, 0x16af5), (0x16b37, 0x16b38), (0x16b44, 0x16b44), (0x16e98, 0x16e98),
    (0x1bc9f, 0x1bc9f), (0x1da88, 0x1da88),
];

/// Further marks that make no word: control characters, ASCII punctuation, quotes, dashes, full-width marks (and, in the
/// list as handed down, the full-width digit one).
#[rustfmt::skip]
const SYMBOLS: [(u32, u32); 27] = [
    (0x0, 0x8), (0xb, 0x1f), (0x22, 0x2d), (0x2f, 0x2f), (0x3a, 0x3e), (0x40, 0x40), (0x5b, 0x60), (0x7b, 0x9f),
    (0xab, 0xab), (0xb4, 0xb4), (0xbb, 0xbb), (0x2013, 0x2014), (0x2019, 0x2019), (0x201c, 0x201e), (0x2026, 0x2026),
    (0x2236, 0x2236), (0x2501, 0x2501), (0x25ba, 0x25ba), (0x3001, 0x3001), (0x3008, 0x300d), (0x3010, 0x3011),
    (0xff05, 0xff05), (0xff08, 0xff09), (0xff0c, 0xff0c), (0xff11, 0xff11), (0xff1a, 0xff1b), (0xff5e, 0xff5e),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn characters_have_the_classes_that_python_gives_them() {
        for (c, expected) in [
            ('a', LETTER | WORDY),
            ('é', LETTER | WORDY),
            ('中', LETTER | WORDY),
            ('7', DIGIT | WORDY),
            ('٣', DIGIT | WORDY),
            ('²', WORDY),
            ('Ⅳ', WORDY),
            ('\u{93f}', WORDY),
            ('😀', WORDY),
            ('.', TERMINAL),
            ('。', TERMINAL),
            ('#', 0),
            ('…', 0),
            ('•', WORDY),
            ('１', DIGIT),
            (' ', SPACE | WORDY),
            ('\n', SPACE | WORDY),
            ('\r', SPACE | OTHER_BREAK),
            ('\u{1c}', SPACE | OTHER_BREAK),
            ('\u{1f}', SPACE),
            ('\u{85}', SPACE | OTHER_BREAK),
            ('\u{a0}', SPACE | WORDY),
            ('\u{200b}', WORDY),
            ('\u{2029}', SPACE | OTHER_BREAK | WORDY),
            ('\u{3000}', SPACE | WORDY),
        ] {
            assert_eq!(CLASSES.of(c), expected, "{c:?}");
        }
    }

    #[test]
    fn the_fast_page_is_the_first_page() {
        for code in 0..=0xff_u8 {
            assert_eq!(CLASSES.low[usize::from(code)], CLASSES.of(char::from(code)));
        }
    }
}
