//! The detectors, one file each. A detector returns candidates; overlaps are settled afterwards.
//!
//! [`marks`] passes over the text once and notes where anything may be; detectors look there and nowhere else.

mod card;
mod crypto;
pub(crate) mod cue;
mod digits;
mod email;
mod iban;
mod ip;
pub(crate) mod known;
pub(crate) mod marks;
mod national;
pub(crate) mod person;
pub(crate) mod phone;
pub(crate) mod secret;
mod stated;

use crate::{Finding, PiiKind};
use marks::Marks;
use regex::Regex;
use std::{collections::BTreeSet, ops::Range};

pub(crate) use card::luhn_sum;
pub(crate) use iban::mod_97;

/// Bytes of a text that are looked at in one go, so that their marks stay in the processor's cache.
const BLOCK_BYTES: usize = 64 * 1024;
/// How far past a block's end a better place to cut is looked for.
const CUT_BYTES: usize = 4096;

/// Where masks stand in the text already, in order.
pub(crate) fn masks(text: &str) -> Vec<(usize, usize)> {
    let mask_at = |at: usize| {
        let kind = PiiKind::ALL.into_iter().find(|kind| text[at..].starts_with(kind.mask()))?;
        Some((at, at + kind.mask().len()))
    };
    text.match_indices('<').filter_map(|(at, _)| mask_at(at)).collect()
}

/// Every candidate of the wanted kinds that begins in `range` of this text, which holds no mask.
pub(crate) fn scan(
    text: &str,
    range: Range<usize>,
    kinds: &BTreeSet<PiiKind>,
    marks: &mut Marks,
    found: &mut Vec<Finding>,
) {
    in_blocks(text, range, |block| {
        marks.fill(text, block);
        candidates(text, marks, kinds, found);
    });
}

fn candidates(text: &str, marks: &Marks, kinds: &BTreeSet<PiiKind>, found: &mut Vec<Finding>) {
    let wants = |kind: PiiKind| kinds.contains(&kind);
    let (card, phone, ip, national) =
        (wants(PiiKind::Card), wants(PiiKind::Phone), wants(PiiKind::Ip), wants(PiiKind::NationalId));
    for run in marks.runs() {
        if card {
            card::find(text, run, found);
        }
        if phone {
            phone::find(text, run, &marks.hits, found);
        }
        if ip {
            ip::find_v4(text, run, found);
        }
        if national {
            national::find_numbers(text, run, &marks.hits, found);
        }
    }
    if wants(PiiKind::Email) {
        email::find(text, &marks.ats, &marks.hits, found);
    }
    if wants(PiiKind::Iban) {
        iban::find(text, &marks.words, found);
    }
    if national {
        national::find_words(text, &marks.words, found);
    }
    if wants(PiiKind::Crypto) {
        crypto::find(text, &marks.words, found);
    }
    if ip || wants(PiiKind::Mac) {
        ip::find_at_colons(text, &marks.colons, found);
    }
    if wants(PiiKind::Mac) {
        ip::find_hyphened_mac(text, &marks.words, found);
    }
    if wants(PiiKind::Secret) {
        secret::find(text, marks, found);
    }
    if wants(PiiKind::Person) {
        person::find(text, &marks.hits, found);
    }
    stated::find(text, &marks.hits, found);
}

/// Calls `visit` for one block of the range after another. Blocks end behind a new line, else at a space between words,
/// if there is one near: only a string without either may be cut.
pub(crate) fn in_blocks(text: &str, range: Range<usize>, mut visit: impl FnMut(Range<usize>)) {
    let mut start = range.start;
    while start < range.end {
        let end = if range.end - start <= BLOCK_BYTES + CUT_BYTES { range.end } else { cut(text, start + BLOCK_BYTES) };
        visit(start..end);
        start = end;
    }
}

/// The best place to cut the text at or soon after `at`.
fn cut(text: &str, at: usize) -> usize {
    let bytes = &text.as_bytes()[at..(at + CUT_BYTES).min(text.len())];
    let is_between =
        |three: &[u8]| three[0].is_ascii_alphabetic() && three[1] == b' ' && three[2].is_ascii_alphabetic();
    let newline = bytes.iter().position(|byte| *byte == b'\n').map(|index| index + 1);
    let found = newline.or_else(|| bytes.windows(3).position(is_between).map(|index| index + 2));
    let end = at + found.unwrap_or(bytes.len());
    (end..=text.len()).find(|end| text.is_char_boundary(*end)).unwrap_or(text.len())
}

/// Compiles a pattern that is part of the program.
pub(crate) fn pattern(text: &str) -> Regex {
    Regex::new(text).expect("a pattern of the program is valid: every one is compiled by a test")
}

/// The character before this position.
pub(crate) fn char_before(text: &str, at: usize) -> Option<char> {
    text[..at].chars().next_back()
}

/// The character at this position.
pub(crate) fn char_at(text: &str, at: usize) -> Option<char> {
    text[at..].chars().next()
}

#[cfg(test)]
fn check(find: impl Fn(&str, &mut Vec<Finding>), cases: &[(&str, &[&str])]) {
    for (text, expected) in cases {
        let mut found = Vec::new();
        find(text, &mut found);
        let found: Vec<&str> = crate::overlap::resolve(found).iter().map(|f| &text[f.start..f.end]).collect();
        assert_eq!(&found, expected, "in `{text}`");
    }
}
