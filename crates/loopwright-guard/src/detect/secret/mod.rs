//! Secrets: the shapes that services give their keys ([`rules`]), private key blocks, passwords in addresses, values
//! after "password is" or `token =`, and long strings of high entropy.

mod named;
pub(crate) mod pem;
pub(crate) mod rules;

use super::{
    cue::Cue,
    marks::{Marks, TOKEN_BYTES_MIN},
};
use crate::{Finding, PiiKind};
use std::ops::Range;

/// Entropy from which a long string counts as random, in bits per character (words are near 3, random base64 near 4.6).
const ENTROPY_BITS_MIN: f64 = 4.0;

/// A secret and the rule that saw it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Secret {
    /// The rule's name, e.g. `github_personal`.
    pub rule: &'static str,
    /// First byte.
    pub start: usize,
    /// One past the last byte.
    pub end: usize,
}

/// Every secret in a text with the rule that saw it, by position; a place may be seen by several rules.
///
/// ```
/// let found = loopwright_guard::secrets("key: AKIAIOSFODNN7ABCDEFG");
/// assert_eq!(found[0].rule, "aws_access_key_id");
/// ```
pub fn secrets(text: &str) -> Vec<Secret> {
    let mut found = Vec::new();
    let mut marks = Marks::default();
    super::in_blocks(text, 0..text.len(), |block| {
        marks.fill(text, block);
        collect(text, &marks, &mut found);
    });
    found.sort_by_key(|it| (it.start, it.end, it.rule));
    found.dedup();
    found
}

/// Names of the classes of secrets that have a row of their own.
pub fn secret_rules() -> impl Iterator<Item = &'static str> {
    rules::RULES.iter().map(|rule| rule.id)
}

pub(super) fn find(text: &str, marks: &Marks, found: &mut Vec<Finding>) {
    let mut secrets = Vec::new();
    collect(text, marks, &mut secrets);
    found.extend(secrets.iter().map(|it| Finding { kind: PiiKind::Secret, start: it.start, end: it.end }));
}

fn collect(text: &str, marks: &Marks, found: &mut Vec<Secret>) {
    for hit in &marks.hits {
        let (rule, span) = match hit.cue {
            Cue::Secret(row) => {
                let rule = &rules::RULES[usize::from(row)];
                (rule.id, rule.find(text, hit.start, hit.end))
            }
            Cue::Pem => ("private_key", pem::find(text, hit.start)),
            Cue::Password => ("named_password", named::password(text, hit.end)),
            Cue::Key => ("assigned_key", named::key(text, hit.end)),
            Cue::Scheme => ("password_in_url", named::userinfo(text, hit.end)),
            _ => continue,
        };
        found.extend(span.map(|(start, end)| Secret { rule, start, end }));
    }
    let random = marks.tokens.iter().filter(|token| looks_random(&text[Range::clone(token)]));
    found.extend(random.map(|token| Secret { rule: "high_entropy", start: token.start, end: token.end }));
}

fn looks_random(word: &str) -> bool {
    let has = |fits: fn(&u8) -> bool| word.as_bytes().iter().any(fits);
    word.len() >= TOKEN_BYTES_MIN
        && has(u8::is_ascii_digit)
        && has(u8::is_ascii_uppercase)
        && has(u8::is_ascii_lowercase)
        && entropy_bits(word) >= ENTROPY_BITS_MIN
}

/// Shannon entropy of the bytes' frequencies, in bits per byte.
fn entropy_bits(word: &str) -> f64 {
    let mut counts = [0_u32; 256];
    word.bytes().for_each(|byte| counts[usize::from(byte)] += 1);
    let total = word.len() as f64;
    counts.iter().filter(|n| **n > 0).map(|n| f64::from(*n) / total).map(|share| -share * share.log2()).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::detect::check;

    fn search(text: &str, found: &mut Vec<Finding>) {
        find(text, &Marks::of(text), found);
    }

    #[test]
    fn keys_and_passwords_are_found() {
        check(
            search,
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
            search,
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
