//! Phone numbers: international (E.164) and the national shapes of the US, the UK, Germany and their neighbours.
//!
//! A number is not a phone number because it is long: without a `+` it must have a national shape or stand after a word
//! such as "phone" or "call", must not look like a date, and must not follow "order", "invoice" and the like.

use super::{
    char_at, char_before,
    digits::{Group, digits},
    pattern, tail_before,
};
use crate::{Finding, PiiKind};
use regex::Regex;
use std::sync::LazyLock;

/// Digits of an international number with its country code (E.164 allows 15).
const INTERNATIONAL: std::ops::RangeInclusive<usize> = 8..=15;
/// Digits of a national number with its leading zero.
const NATIONAL: std::ops::RangeInclusive<usize> = 9..=12;
/// Digits that a word such as "phone" turns into a number.
const AFTER_CUE: std::ops::RangeInclusive<usize> = 7..=15;
/// How far before a number its cue may stand, in characters.
const CUE_CHARS: usize = 40;

/// Country codes whose numbers have a known greatest length, with the code (ITU-T E.164 and the national plans).
const LENGTHS_MAX: [(&str, usize); 9] =
    [("1", 11), ("31", 11), ("33", 11), ("34", 11), ("41", 11), ("44", 12), ("48", 11), ("49", 13), ("61", 11)];

static CUE: LazyLock<Regex> = LazyLock::new(|| {
    pattern(
        r"(?i)(?:phone|mobile|\btel|\bcell|\bcall|\bfax|whats ?app|\bsms|\btext me|\breach me|\bring|telef|móvil|llám|handy|anruf|portable|appel)[^0-9<>]{0,24}$",
    )
});
static OTHER_NUMBER: LazyLock<Regex> = LazyLock::new(|| {
    pattern(
        r"(?i)\b(?:orders?|invoice|bill|ref|reference|ticket|tracking|parcel|case|po|sku|serial|account|acct|customer|item|article|code|bestellung|rechnung|pedido|factura|commande|facture)\b[ .:#-]*(?:numbers?|num|no|nr|id|is|was)?[ .:#-]*$",
    )
});

pub(super) fn find(text: &str, runs: &[Vec<Group>], found: &mut Vec<Finding>) {
    for run in runs {
        let mut first = 0;
        while first < run.len() {
            match longest_phone(text, &run[first..]) {
                Some((n, start)) => {
                    let end = run[first + n - 1].end;
                    found.push(Finding { kind: PiiKind::Phone, start, end });
                    first += n;
                }
                None => first += 1,
            }
        }
    }
}

/// How many of these groups, from the first, make the longest phone number, and where it starts (with `+` or `(`).
fn longest_phone(text: &str, groups: &[Group]) -> Option<(usize, usize)> {
    let (start, plus) = lead(text, groups[0].start);
    let before = char_before(text, start);
    if before.is_some_and(|c| c.is_alphanumeric() || matches!(c, '#' | '_' | '$' | '€' | '£' | ',' | ':')) {
        return None;
    }
    let dashed = !plus && before.is_some_and(|c| matches!(c, '-' | '/' | '.'));
    let numbered = || OTHER_NUMBER.is_match(tail_before(text, start, CUE_CHARS));
    if !plus && (dashed || groups_are_date(text, groups) || numbered()) {
        return None;
    }
    let cued = !plus && CUE.is_match(tail_before(text, start, CUE_CHARS));
    (1..=groups.len().min(8))
        .rev()
        .find(|&n| ends_free(text, groups[n - 1].end) && is_phone(text, &groups[..n], plus, cued))
        .map(|n| (n, start))
}

/// Where the number starts when its `+` and opening parenthesis are counted in, and whether there is a `+`.
fn lead(text: &str, digits_start: usize) -> (usize, bool) {
    let mut start = digits_start;
    if char_before(text, start) == Some('(') {
        start -= 1;
    }
    if char_before(text, start) == Some('+') {
        return (start - 1, true);
    }
    (start, false)
}

fn ends_free(text: &str, end: usize) -> bool {
    !char_at(text, end).is_some_and(|c| c.is_alphanumeric() || matches!(c, '%' | '_' | '€' | '£' | '$'))
}

fn is_phone(text: &str, groups: &[Group], plus: bool, cued: bool) -> bool {
    let number = digits(text, groups);
    let lens: Vec<usize> = groups.iter().map(|group| group.len()).collect();
    if plus {
        return is_international(&number);
    }
    if let Some(rest) = number.strip_prefix("00") {
        return lens[0] >= 3 && is_international(rest);
    }
    if number.starts_with('0') {
        return is_national(&number, &lens);
    }
    let us = match lens.as_slice() {
        [3, 3, 4] => is_us(&number),
        [1, 3, 3, 4] => number.starts_with('1') && is_us(&number[1..]),
        _ => false,
    };
    us || (cued && AFTER_CUE.contains(&number.len()))
}

fn is_international(number: &str) -> bool {
    let length_max = LENGTHS_MAX.iter().find(|(code, _)| number.starts_with(code)).map_or(15, |(_, length)| *length);
    !number.starts_with('0') && INTERNATIONAL.contains(&number.len()) && number.len() <= length_max
}

/// A trunk `0`, an area code of two to five digits, and groups of at least two.
fn is_national(number: &str, lens: &[usize]) -> bool {
    let grouped = match lens {
        [_] => number.len() >= 10,
        [area, rest @ ..] => (2..=5).contains(area) && rest.iter().all(|len| *len >= 2),
        [] => false,
    };
    grouped && NATIONAL.contains(&number.len()) && !number.starts_with("00")
}

/// Area code and exchange of the North American plan both begin with 2 to 9.
fn is_us(number: &str) -> bool {
    matches!(number.as_bytes()[0], b'2'..=b'9') && matches!(number.as_bytes()[3], b'2'..=b'9')
}

/// `15.01.2026`, `01/15/26`, `2026-01-15`, perhaps with an hour behind.
fn groups_are_date(text: &str, groups: &[Group]) -> bool {
    let [a, b, c, ..] = groups else { return false };
    let joint = &text[a.end..b.start];
    let same = joint == &text[b.end..c.start] && matches!(joint, "." | "/" | "-");
    let shape = [a.len(), b.len(), c.len()];
    let year_first = shape[0] == 4 && shape[1] <= 2 && shape[2] <= 2;
    let year_last = shape[0] <= 2 && shape[1] <= 2 && (shape[2] == 4 || (shape[2] == 2 && groups.len() == 3));
    same && (year_first || year_last)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::detect::{check, digits::runs};

    #[test]
    fn phones_are_found_in_their_shapes() {
        check(
            |text, found| find(text, &runs(text), found),
            &[
                ("call +44 7700 900123 today", &["+44 7700 900123"]),
                ("+49 (0)30 23125 017, or +1 (212) 555-0142", &["+49 (0)30 23125 017", "+1 (212) 555-0142"]),
                ("+4930231250", &["+4930231250"]),
                ("0044 20 7946 0958", &["0044 20 7946 0958"]),
                ("(212) 555-0142 or 1-212-555-0142", &["(212) 555-0142", "1-212-555-0142"]),
                ("212.555.0142", &["212.555.0142"]),
                ("020 7946 0958; 07700900123; 030/23125017", &["020 7946 0958", "07700900123", "030/23125017"]),
                ("06 12 34 56 78", &["06 12 34 56 78"]),
                ("my mobile: 612 345 678", &["612 345 678"]),
                ("phone number is 2125550142.", &["2125550142"]),
                ("+44 7700 900123 20481", &["+44 7700 900123"]),
            ],
        );
    }

    #[test]
    fn other_numbers_are_not_phones() {
        check(
            |text, found| find(text, &runs(text), found),
            &[
                ("order ORD-20481 and ORD-2125550142", &[]),
                ("order 212 555 0142, invoice no. 0301234567", &[]),
                ("on 01.02.2026 10 or 2026-01-15 or 01/15/26", &[]),
                ("it cost 1,299.00 or 49.90 EUR or $2125550142", &[]),
                ("1Z9992125550142, 2125550142", &[]),
                ("call me at 10:30, the 12th", &[]),
                ("2020 2021 2022", &[]),
            ],
        );
    }
}
