//! The detectors, one file each. A detector returns candidates; overlaps are settled afterwards.

mod card;
mod digits;
mod email;
mod iban;
mod ip;
pub(crate) mod known;
mod person;
mod phone;
mod secret;

use crate::Finding;
use known::Literal;
use regex::Regex;
use std::sync::LazyLock;

pub(crate) use secret::spans as secret_spans;

static MASK: LazyLock<Regex> = LazyLock::new(|| pattern(r"<(?:SECRET|CARD|IBAN|EMAIL|PHONE|IP|PERSON|ID)>"));

/// Where masks stand in the text already, in order.
pub(crate) fn masks(text: &str) -> Vec<(usize, usize)> {
    MASK.find_iter(text).map(|m| (m.start(), m.end())).collect()
}

/// Every candidate of every detector.
pub(crate) fn candidates(text: &str, literals: &[Literal], masks: &[(usize, usize)]) -> Vec<Finding> {
    let mut found = Vec::new();
    email::find(text, &mut found);
    if text.bytes().any(|b| b.is_ascii_digit()) {
        let runs = digits::runs(text);
        card::find(text, &runs, &mut found);
        phone::find(text, &runs, &mut found);
        iban::find(text, &mut found);
    }
    ip::find(text, &mut found);
    secret::find(text, &mut found);
    person::find(text, &mut found);
    known::find(text, literals, masks, &mut found);
    found
}

/// Compiles a pattern that is part of the program.
pub(crate) fn pattern(text: &str) -> Regex {
    Regex::new(text).expect("a pattern of the program is valid: every one is compiled by a test")
}

/// The character before this position.
fn char_before(text: &str, at: usize) -> Option<char> {
    text[..at].chars().next_back()
}

/// The character at this position.
fn char_at(text: &str, at: usize) -> Option<char> {
    text[at..].chars().next()
}

/// The last `n` characters before this position.
fn tail_before(text: &str, at: usize, n: usize) -> &str {
    let start = text[..at].char_indices().rev().nth(n.saturating_sub(1)).map_or(0, |(i, _)| i);
    &text[start..at]
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
