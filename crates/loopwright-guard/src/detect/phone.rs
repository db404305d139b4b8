//! Phone numbers: international (E.164) and the national shapes of the US, the UK, Germany and their neighbours, Spain,
//! India and Brazil.
//!
//! A number is not a phone number because it is long: without a `+` it must have a national shape or stand after a word
//! such as "phone" or "call", must not look like a date, and must not follow "order", "invoice" and the like.

use super::{
    char_at, char_before,
    cue::{self, Cue, Hit},
    digits::{Group, Number},
};
use crate::{Finding, PiiKind};

/// Digits of an international number with its country code (E.164 allows 15).
const INTERNATIONAL: std::ops::RangeInclusive<usize> = 8..=15;
/// Digits of a national number with its leading zero.
const NATIONAL: std::ops::RangeInclusive<usize> = 9..=12;
/// Digits that a word such as "phone" turns into a number.
const AFTER_CUE: std::ops::RangeInclusive<usize> = 7..=15;
/// Digits of the longest number with its `00`.
const DIGITS_MAX: usize = 17;
/// How far before a number its cue may end, in bytes.
const CUE_GAP_BYTES: usize = 24;
/// Groups of a number, at most.
const GROUPS_MAX: usize = 8;

/// Country codes whose numbers have a known greatest length, with the code (ITU-T E.164 and the national plans).
const LENGTHS_MAX: [(&str, usize); 9] =
    [("1", 11), ("31", 11), ("33", 11), ("34", 11), ("41", 11), ("44", 12), ("48", 11), ("49", 13), ("61", 11)];

/// Words after which a number is the number of something else, sorted.
const OTHER_NUMBERS: [&str; 27] = [
    "account",
    "acct",
    "article",
    "bestellung",
    "bill",
    "case",
    "code",
    "commande",
    "customer",
    "factura",
    "facture",
    "invoice",
    "item",
    "order",
    "orders",
    "parcel",
    "pedido",
    "po",
    "rechnung",
    "ref",
    "reference",
    "serial",
    "sku",
    "ticket",
    "tracking",
    "trackings",
    "vat",
];
/// Words that may stand between them and the number.
const CONNECTIVES: [&str; 7] = ["no", "nr", "num", "number", "numbers", "id", "is"];

pub(super) fn find(text: &str, run: &[Group], hits: &[Hit], found: &mut Vec<Finding>) {
    let mut first = 0;
    while first < run.len() {
        match longest_phone(text, &run[first..], hits) {
            Some((n, start)) => {
                found.push(Finding { kind: PiiKind::Phone, start, end: run[first + n - 1].end });
                first += n;
            }
            None => first += 1,
        }
    }
}

/// How many of these groups, from the first, make the longest phone number, and where it starts (with `+` or `(`).
fn longest_phone(text: &str, groups: &[Group], hits: &[Hit]) -> Option<(usize, usize)> {
    let (start, plus) = lead(text, groups[0].start);
    let before = char_before(text, start);
    if before.is_some_and(|c| c.is_alphanumeric() || matches!(c, '#' | '_' | '$' | '€' | '£' | ',' | ':')) {
        return None;
    }
    let n = shaped(text, groups, plus, || cue::precedes(text, hits, Cue::Phone, start, CUE_GAP_BYTES))?;
    let dashed = before.is_some_and(|c| matches!(c, '-' | '/' | '.'));
    let other = !plus && (dashed || groups_are_date(text, groups) || is_other_number(text, start));
    (!other).then_some((n, start))
}

/// How many groups make the longest number that has a phone number's shape.
fn shaped(text: &str, groups: &[Group], plus: bool, is_cued: impl Fn() -> bool) -> Option<usize> {
    let mut n_digits: usize = groups.iter().take(GROUPS_MAX).map(ExactSizeIterator::len).sum();
    let mut cued = None;
    for n in (1..=groups.len().min(GROUPS_MAX)).rev() {
        if n_digits < *AFTER_CUE.start() {
            break;
        }
        if n_digits <= DIGITS_MAX
            && ends_free(text, groups[n - 1].end)
            && let Some(number) = Number::of(text, &groups[..n])
        {
            let number = number.as_str();
            let may_be_cued = !plus && AFTER_CUE.contains(&number.len()) && !number.starts_with('0');
            if is_phone(text, &groups[..n], number, plus) || (may_be_cued && *cued.get_or_insert_with(&is_cued)) {
                return Some(n);
            }
        }
        n_digits -= groups[n - 1].len();
    }
    None
}

/// Where the number starts when its `+` and opening parenthesis are counted in, and whether there is a `+`.
fn lead(text: &str, digits_start: usize) -> (usize, bool) {
    let before = &text.as_bytes()[..digits_start];
    match before {
        [.., b'+', b'('] => (digits_start - 2, true),
        [.., b'+'] => (digits_start - 1, true),
        [.., b'('] => (digits_start - 1, false),
        _ => (digits_start, false),
    }
}

fn ends_free(text: &str, end: usize) -> bool {
    !char_at(text, end).is_some_and(|c| c.is_alphanumeric() || matches!(c, '%' | '_' | '€' | '£' | '$'))
}

fn is_phone(text: &str, groups: &[Group], number: &str, plus: bool) -> bool {
    if plus {
        return is_international(number);
    }
    if let Some(rest) = number.strip_prefix("00") {
        return groups[0].len() >= 3 && is_international(rest);
    }
    let mut lens = [0; GROUPS_MAX];
    groups.iter().zip(&mut lens).for_each(|(group, len)| *len = group.len());
    let lens = &lens[..groups.len()];
    if number.starts_with('0') {
        return is_national(number, lens);
    }
    let first = number.as_bytes()[0];
    match lens {
        [3, 3, 4] => is_us(number),
        [1, 3, 3, 4] => first == b'1' && is_us(&number[1..]),
        // Spain: nine digits from 6 to 9, written in twos after the first three.
        [3, 2, 2, 2] => first >= b'6' && is_spaced(text, groups),
        // India: ten digits from 6 to 9, written in fives.
        [5, 5] => first >= b'6' && is_spaced(text, groups),
        // Brazil: (11) 98765-4321.
        [2, 4..=5, 4] => char_before(text, groups[0].start) == Some('(') && char_at(text, groups[0].end) == Some(')'),
        _ => false,
    }
}

/// Is there just a space between any two groups?
fn is_spaced(text: &str, groups: &[Group]) -> bool {
    groups.windows(2).all(|pair| &text[pair[0].end..pair[1].start] == " ")
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

/// Do the words before this place say that the number is an order's, an invoice's or the like?
fn is_other_number(text: &str, start: usize) -> bool {
    let (word, before) = last_word(&text[..start]);
    let is_listed = |word: &str| {
        let mut lower = [0; 12];
        let Some(lower) = lower.get_mut(..word.len()) else { return false };
        lower.copy_from_slice(word.as_bytes());
        lower.make_ascii_lowercase();
        OTHER_NUMBERS.binary_search_by(|other| other.as_bytes().cmp(lower)).is_ok()
    };
    let is_connective = |word: &str| word.is_empty() || CONNECTIVES.iter().any(|it| it.eq_ignore_ascii_case(word));
    is_listed(word) || ((is_connective(word) || word.eq_ignore_ascii_case("was")) && is_listed(last_word(before).0))
}

/// May a number that follows this text belong to something that its last words name? What the stream asks.
pub(crate) fn ends_with_number_word(text: &str) -> bool {
    let word = last_word(text).0;
    let is = |it: &str| it.eq_ignore_ascii_case(word);
    OTHER_NUMBERS.iter().any(|it| is(it)) || CONNECTIVES.iter().any(|it| is(it)) || word.eq_ignore_ascii_case("was")
}

/// The ASCII word at the end of this text, signs after it left out, and what stands before it.
fn last_word(text: &str) -> (&str, &str) {
    let text = text.trim_end_matches([' ', '.', ':', '#', '-']);
    let bytes = text.as_bytes();
    let tail = &bytes[bytes.len().saturating_sub(16)..];
    let length = tail.iter().rev().take_while(|byte| byte.is_ascii_alphabetic()).count();
    let start = bytes.len() - length;
    match char_before(text, start) {
        Some(c) if c.is_alphanumeric() || c == '_' => ("-", &text[..start]),
        _ => (&text[start..], &text[..start]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::detect::{check, marks::Marks};

    fn search(text: &str, found: &mut Vec<Finding>) {
        let marks = Marks::of(text);
        marks.runs().for_each(|run| find(text, run, &marks.hits, found));
    }

    #[test]
    fn the_list_is_sorted() {
        assert!(OTHER_NUMBERS.is_sorted());
    }

    #[test]
    fn phones_are_found_in_their_shapes() {
        check(
            search,
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
                ("612 34 56 78, 98765 43210", &["612 34 56 78", "98765 43210"]),
                ("(11) 98765-4321", &["(11) 98765-4321"]),
                ("+44 7700 900123 20481", &["+44 7700 900123"]),
            ],
        );
    }

    #[test]
    fn other_numbers_are_not_phones() {
        check(
            search,
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
