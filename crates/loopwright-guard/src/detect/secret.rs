//! Secrets: the prefixes that services give their keys, values after "password is", and long strings of high entropy.

use super::pattern;
use crate::{Finding, PiiKind};
use regex::Regex;
use std::{collections::BTreeMap, sync::LazyLock};

/// Shortest string that is judged by its entropy alone, in characters.
const ENTROPY_CHARS_MIN: usize = 24;
/// Entropy from which such a string counts as random, in bits per character (words are near 3, random base64 near 4.6).
const ENTROPY_BITS_MIN: f64 = 4.0;
/// Shortest value after "password is", in characters.
const VALUE_CHARS_MIN: usize = 6;

static PREFIXED: LazyLock<Regex> = LazyLock::new(|| {
    pattern(concat!(
        r"\b(?:sk|pk|rk)[-_](?:live|test|ant|proj|or)?[-_]?[A-Za-z0-9_-]{16,}",
        r"|\bgh[pousr]_[A-Za-z0-9]{20,}|\bgithub_pat_[A-Za-z0-9_]{20,}|\bglpat-[A-Za-z0-9_-]{16,}",
        r"|\b(?:AKIA|ASIA)[A-Z0-9]{16}\b|\bAIza[A-Za-z0-9_-]{35}|\bxox[abeprs]-[A-Za-z0-9-]{10,}",
        r"|\bhf_[A-Za-z0-9]{20,}|\bnpm_[A-Za-z0-9]{30,}|\bpypi-[A-Za-z0-9_-]{30,}|\bSG\.[A-Za-z0-9_-]{16,}\.[A-Za-z0-9_-]{16,}",
        r"|\bwhsec_[A-Za-z0-9]{20,}|\blw_[A-Za-z0-9_]{20,}",
        r"|\beyJ[A-Za-z0-9_-]{8,}\.eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}",
        r"|-----BEGIN [A-Z ]*PRIVATE KEY-----(?:[A-Za-z0-9+/=\s]*-----END [A-Z ]*PRIVATE KEY-----)?",
    ))
});
static NAMED: LazyLock<Regex> = LazyLock::new(|| {
    pattern(
        r#"(?i)\b(?:password|passwort|passcode|passwd|pwd|contraseña|mot de passe|api[ _-]?key|access[ _-]?token|secret(?:[ _-]?key)?)["']?\s*(?:is|was|ist|es|est|:|=)\s*["'`]?([^\s"'`<>,;]+)"#,
    )
});
static LONG: LazyLock<Regex> = LazyLock::new(|| pattern(r"[A-Za-z0-9_+/=-]{24,}"));

pub(super) fn find(text: &str, found: &mut Vec<Finding>) {
    found.extend(spans(text).into_iter().map(|(start, end)| Finding { kind: PiiKind::Secret, start, end }));
}

/// Where secrets stand, as byte ranges that may overlap.
pub(crate) fn spans(text: &str) -> Vec<(usize, usize)> {
    let mut spans: Vec<(usize, usize)> = PREFIXED.find_iter(text).map(|m| (m.start(), m.end())).collect();
    for value in NAMED.captures_iter(text).filter_map(|c| c.get(1)) {
        let word = value.as_str().trim_end_matches(['.', '!', '?', ')']);
        if looks_chosen(word) {
            spans.push((value.start(), value.start() + word.len()));
        }
    }
    spans.extend(LONG.find_iter(text).filter(|m| looks_random(m.as_str())).map(|m| (m.start(), m.end())));
    spans
}

/// A value that a person would choose as a password: letters with digits or signs, not a plain word.
fn looks_chosen(word: &str) -> bool {
    word.chars().count() >= VALUE_CHARS_MIN
        && word.chars().any(char::is_alphabetic)
        && word.chars().any(|c| !c.is_alphabetic() && !matches!(c, '-' | '\'' | '’' | '.' | '/'))
}

fn looks_random(word: &str) -> bool {
    word.len() >= ENTROPY_CHARS_MIN
        && word.bytes().any(|b| b.is_ascii_digit())
        && word.bytes().any(|b| b.is_ascii_uppercase())
        && word.bytes().any(|b| b.is_ascii_lowercase())
        && entropy_bits(word) >= ENTROPY_BITS_MIN
}

/// Shannon entropy of the characters' frequencies, in bits per character.
fn entropy_bits(word: &str) -> f64 {
    let mut counts: BTreeMap<u8, f64> = BTreeMap::new();
    word.bytes().for_each(|byte| *counts.entry(byte).or_default() += 1.0);
    let total = word.len() as f64;
    counts.values().map(|n| -(n / total) * (n / total).log2()).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::detect::check;

    #[test]
    fn keys_and_passwords_are_found() {
        check(
            find,
            &[
                ("key sk-abcdefghij0123456789 ok", &["sk-abcdefghij0123456789"]),
                (
                    "ghp_ABCDEFGHIJKLMNOPQRSTuvwx, AKIAIOSFODNN7EXAMPLE",
                    &["ghp_ABCDEFGHIJKLMNOPQRSTuvwx", "AKIAIOSFODNN7EXAMPLE"],
                ),
                ("my password is hunter22!", &["hunter22"]),
                (r#"{"api_key": "abc123xyz"}"#, &["abc123xyz"]),
                ("token kJ8s0PqLm2Xv7RtYw4ZbN6cD9fGh1", &["kJ8s0PqLm2Xv7RtYw4ZbN6cD9fGh1"]),
                (
                    "-----BEGIN PRIVATE KEY-----\nMIIB\n-----END PRIVATE KEY-----",
                    &["-----BEGIN PRIVATE KEY-----\nMIIB\n-----END PRIVATE KEY-----"],
                ),
            ],
        );
    }

    #[test]
    fn words_numbers_and_identifiers_are_not_secrets() {
        check(
            find,
            &[
                ("my password is not working, the password is wrong-again", &[]),
                ("ORD-20481-2026-01-15-0000000000000000", &[]),
                ("pneumonoultramicroscopicsilicovolcanoconiosis", &[]),
                ("550e8400-e29b-41d4-a716-446655440000", &[]),
                ("a-very-long-product-name-with-words-in-it", &[]),
            ],
        );
    }

    #[test]
    fn entropy_is_shannons() {
        assert!((entropy_bits("aabb") - 1.0).abs() < 1e-12);
        assert!((entropy_bits("abcdefgh") - 3.0).abs() < 1e-12);
    }
}
