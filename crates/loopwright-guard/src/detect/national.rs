//! Numbers that a state gives a person. Where the number carries a check, the check decides; where its shape is common,
//! a word before it must say what it is.
//!
//! | number | grammar | check | a word needed? |
//! |---|---|---|---|
//! | US SSN | 3-2-4, area not 000, 666, 9xx (SSA, randomised since 2011) | – | without hyphens |
//! | US ITIN | 9xx-yy-zzzz, yy 50–65, 70–88, 90–92, 94–99 (IRS) | – | without hyphens |
//! | UK NHS number | 3-3-4 | mod 11 (NHS data dictionary) | yes |
//! | UK NINO | 2 letters, 6 digits, A–D; some prefixes never given (HMRC NIM39110) | – | no |
//! | German tax id | 11 digits, one digit of the first ten two or three times | ISO 7064 mod 11,10 | if not grouped 2-3-3-3 |
//! | French NIR | sex, year, month, place, order, key (INSEE) | 97 − n mod 97 | no |
//! | Spanish DNI, NIE | 8 digits and a letter; X, Y, Z in front for foreigners | letter = n mod 23 | no |
//! | Italian codice fiscale | 6 letters, 2 digits, letter, 2 digits, letter, 3 digits, letter (D.M. 12/3/1974) | letter = sum mod 26 | no |
//! | Dutch BSN | 9 digits | 11-test | yes |

use super::{
    char_at, char_before,
    cue::{self, Cue, Hit},
    digits::{Group, Number, values},
};
use crate::{Finding, PiiKind};
use std::ops::Range;

/// How far before a number the word that names it may end, in bytes.
const CUE_GAP_BYTES: usize = 32;

/// Finds the numbers that are digits only, in a run of digit groups.
pub(super) fn find_numbers(text: &str, run: &[Group], hits: &[Hit], found: &mut Vec<Finding>) {
    let mut first = 0;
    while first < run.len() {
        match longest_number(text, &run[first..], hits) {
            Some(n) => {
                let (start, end) = (run[first].start, run[first + n - 1].end);
                found.push(Finding { kind: PiiKind::NationalId, start, end });
                first += n;
            }
            None => first += 1,
        }
    }
}

/// How many groups, from the first, make a number of one of the kinds: one group, or one of the usual groupings.
fn longest_number(text: &str, groups: &[Group], hits: &[Hit]) -> Option<usize> {
    const SIZES: [usize; 5] = [7, 4, 3, 2, 1];
    SIZES.into_iter().filter(|n| *n <= groups.len()).find(|&n| is_number(text, &groups[..n], hits))
}

fn is_number(text: &str, groups: &[Group], hits: &[Hit]) -> bool {
    let n_digits: usize = groups.iter().map(ExactSizeIterator::len).sum();
    if !matches!(n_digits, 9..=11 | 15) || !stands_free(text, groups[0].start, groups[groups.len() - 1].end) {
        return false;
    }
    let Some(number) = Number::of(text, groups) else { return false };
    let number = number.as_str();
    let joint = (groups.len() > 1).then(|| &text[groups[0].end..groups[1].start]);
    let one_joint = groups.windows(2).all(|pair| Some(&text[pair[0].end..pair[1].start]) == joint);
    let is_cued = |cue| cue::precedes(text, hits, cue, groups[0].start, CUE_GAP_BYTES);
    let is_whole = groups.len() == 1;
    one_joint
        && match n_digits {
            9 => {
                let hyphened = has_lens(groups, &[3, 2, 4]) && joint == Some("-");
                ((is_ssn(number) || is_itin(number))
                    && (hyphened || ((is_whole || has_lens(groups, &[3, 2, 4])) && is_cued(Cue::Ssn))))
                    || (is_bsn(number) && is_cued(Cue::Bsn))
            }
            10 => (is_whole || has_lens(groups, &[3, 3, 4])) && is_nhs(number) && is_cued(Cue::Nhs),
            11 => is_tax_de(number) && (has_lens(groups, &[2, 3, 3, 3]) || (is_whole && is_cued(Cue::TaxDe))),
            _ => (is_whole || has_lens(groups, &[1, 2, 2, 2, 3, 3, 2]) || has_lens(groups, &[13, 2])) && is_nir(number),
        }
}

fn has_lens(groups: &[Group], lens: &[usize]) -> bool {
    groups.len() == lens.len() && groups.iter().zip(lens).all(|(group, len)| group.len() == *len)
}

fn stands_free(text: &str, start: usize, end: usize) -> bool {
    let joins = |c: char| c.is_alphanumeric() || matches!(c, '_' | '-' | '#');
    !char_before(text, start).is_some_and(|c| joins(c) || matches!(c, '.' | '$' | '€' | '£'))
        && !char_at(text, end).is_some_and(joins)
}

fn is_ssn(number: &str) -> bool {
    !matches!(&number[..3], "000" | "666")
        && !number.starts_with('9')
        && &number[3..5] != "00"
        && &number[5..] != "0000"
}

fn is_itin(number: &str) -> bool {
    number.starts_with('9') && matches!(number[3..5].parse(), Ok(50..=65u8 | 70..=88 | 90..=92 | 94..=99))
}

/// Weights 10 to 2 over the first nine digits; the tenth is 11 less the remainder by 11, where 11 counts as 0.
fn is_nhs(number: &str) -> bool {
    let sum: u32 = values(number).zip((2..=10).rev()).map(|(value, weight)| value * weight).sum();
    let check = (11 - sum % 11) % 11;
    values(number).next_back() == Some(check) && number != "0000000000"
}

/// Weights 9 to 2 over the first eight digits, −1 for the last: divisible by 11.
fn is_bsn(number: &str) -> bool {
    let sum: u32 = values(number).zip((2..=9).rev()).map(|(value, weight)| value * weight).sum();
    values(number).next_back().is_some_and(|last| sum % 11 == last) && number != "000000000"
}

fn is_tax_de(number: &str) -> bool {
    let mut counts = [0; 10];
    values(&number[..10]).for_each(|value| counts[value as usize] += 1);
    let repeated = counts.iter().filter(|count| **count > 1).count();
    let is_shaped = !number.starts_with('0') && repeated == 1 && counts.iter().all(|count| *count <= 3);
    is_shaped && values(number).next_back() == Some(mod_11_10(&number[..10]))
}

/// The check digit of ISO 7064, system mod 11,10.
fn mod_11_10(number: &str) -> u32 {
    let product = values(number).fold(10, |product, value| match (product + value) % 10 {
        0 => 20 % 11,
        sum => sum * 2 % 11,
    });
    (11 - product) % 10
}

fn is_nir(number: &str) -> bool {
    let month: u32 = number[3..5].parse().unwrap_or(0);
    let known = matches!(month, 1..=12 | 20..=42 | 50..=99);
    let key: Option<u64> = number[13..].parse().ok();
    let n: Option<u64> = number[..13].parse().ok();
    matches!(number.as_bytes()[0], b'1'..=b'4' | b'7' | b'8') && known && n.map(|n| 97 - n % 97) == key
}

/// Finds the numbers that mix letters and digits, by their words that hold a digit.
pub(super) fn find_words(text: &str, words: &[Range<usize>], found: &mut Vec<Finding>) {
    for word in words {
        let is_free = !char_before(text, word.start).is_some_and(|c| c.is_alphanumeric() || c == '_')
            && !char_at(text, word.end).is_some_and(|c| c.is_alphanumeric() || c == '_');
        let span = match word.len() {
            _ if !is_free => None,
            9 if is_dni(&text[word.clone()]) || is_nino(text[word.clone()].bytes()) => Some(word.clone()),
            16 if is_fiscal_code(&text[word.clone()]) => Some(word.clone()),
            15 if is_corsican(&text[word.clone()]) => Some(word.clone()),
            2 => spaced_nino(text, word.start),
            8 => hyphened_dni(text, word),
            _ => None,
        };
        found.extend(span.map(|span| Finding { kind: PiiKind::NationalId, start: span.start, end: span.end }));
    }
}

/// Prefixes that are never given: some letters in either place, and seven pairs.
fn is_nino(mut characters: impl Iterator<Item = u8>) -> bool {
    let mut next = || characters.next().map_or(0, |byte| byte.to_ascii_uppercase());
    let (first, second) = (next(), next());
    let first_fits = first.is_ascii_uppercase() && !b"DFIQUV".contains(&first);
    let second_fits = second.is_ascii_uppercase() && !b"DFIOQUV".contains(&second);
    let taken = [b"BG", b"GB", b"KN", b"NK", b"NT", b"TN", b"ZZ"].contains(&&[first, second]);
    first_fits && second_fits && !taken && (0..6).all(|_| next().is_ascii_digit()) && matches!(next(), b'A'..=b'D')
}

/// `AB 12 34 56 C`, by its first pair of digits.
fn spaced_nino(text: &str, first_pair: usize) -> Option<Range<usize>> {
    const LENGTH: usize = 13;
    let start = first_pair.checked_sub(3)?;
    let bytes = text.as_bytes().get(start..start + LENGTH)?;
    let is_spaced = [2, 5, 8, 11].iter().all(|at| bytes[*at] == b' ');
    let is_found = is_spaced && is_nino(bytes.iter().copied().filter(|byte| *byte != b' ')) && {
        !char_before(text, start).is_some_and(char::is_alphanumeric)
            && !char_at(text, start + LENGTH).is_some_and(char::is_alphanumeric)
    };
    is_found.then_some(start..start + LENGTH)
}

/// The check letters of DNI and NIE by remainder of 23.
const DNI_LETTERS: &[u8; 23] = b"TRWAGMYFPDXBNJZSQVHLCKE";

fn is_dni(word: &str) -> bool {
    let bytes = word.as_bytes();
    let first = match bytes[0].to_ascii_uppercase() {
        b'X' => '0',
        b'Y' => '1',
        b'Z' => '2',
        digit @ b'0'..=b'9' => char::from(digit),
        _ => return false,
    };
    let digits_only = bytes[1..8].iter().all(u8::is_ascii_digit);
    let number: usize =
        if digits_only { format!("{first}{}", &word[1..8]).parse().unwrap_or(0) } else { return false };
    bytes[8].to_ascii_uppercase() == DNI_LETTERS[number % 23]
}

/// `12345678-Z`, or a space for the hyphen, by the part before it.
fn hyphened_dni(text: &str, word: &Range<usize>) -> Option<Range<usize>> {
    let [b'-' | b' ', letter, rest @ ..] = &text.as_bytes()[word.end..] else { return None };
    let is_last = letter.is_ascii_uppercase() && !rest.first().is_some_and(|b| b.is_ascii_alphanumeric() || *b >= 0x80);
    let whole = format!("{}{}", &text[word.clone()], char::from(*letter));
    (is_last && is_dni(&whole)).then_some(word.start..word.end + 2)
}

/// A NIR of someone born in Corsica: 2A counts as 19, 2B as 18 (INSEE).
fn is_corsican(word: &str) -> bool {
    let place = &word[5..7];
    let number = match place.to_ascii_uppercase().as_str() {
        "2A" => format!("{}19{}", &word[..5], &word[7..]),
        "2B" => format!("{}18{}", &word[..5], &word[7..]),
        _ => return false,
    };
    number.bytes().all(|byte| byte.is_ascii_digit()) && is_nir(&number)
}

/// What a character in an odd place counts, digits first; in an even place it counts its value.
const ODD: [u32; 36] = [
    1, 0, 5, 7, 9, 13, 15, 17, 19, 21, 1, 0, 5, 7, 9, 13, 15, 17, 19, 21, 2, 4, 18, 20, 11, 3, 6, 8, 12, 14, 16, 10,
    22, 25, 24, 23,
];

fn is_fiscal_code(word: &str) -> bool {
    let bytes = word.as_bytes();
    // L stands for a letter, D for a digit, which is a letter where two people would share a code (omocodia).
    let fits = |(byte, shape): (&u8, &u8)| match shape {
        b'L' => byte.is_ascii_alphabetic(),
        _ => byte.is_ascii_digit() || b"LMNPQRSTUV".contains(&byte.to_ascii_uppercase()),
    };
    bytes.iter().zip(b"LLLLLLDDLDDLDDDL").all(fits) && bytes[15].to_ascii_uppercase() == fiscal_check(&bytes[..15])
}

/// The last letter of a codice fiscale.
fn fiscal_check(first_15: &[u8]) -> u8 {
    let sum: u32 = first_15
        .iter()
        .enumerate()
        .map(|(index, byte)| {
            let value = if byte.is_ascii_digit() { byte - b'0' } else { byte.to_ascii_uppercase() - b'A' };
            let column = usize::from(value) + if byte.is_ascii_digit() { 0 } else { 10 };
            if index % 2 == 0 { ODD[column] } else { u32::from(value) }
        })
        .sum();
    b'A' + (sum % 26) as u8
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::detect::{check, marks::Marks};
    use proptest::prelude::*;

    fn search(text: &str, found: &mut Vec<Finding>) {
        let marks = Marks::of(text);
        marks.runs().for_each(|run| find_numbers(text, run, &marks.hits, found));
        find_words(text, &marks.words, found);
    }

    #[test]
    fn published_examples_are_found() {
        check(
            search,
            &[
                ("SSN 536-90-4399, itin: 912-70-1234", &["536-90-4399", "912-70-1234"]),
                ("my social security number is 536904399", &["536904399"]),
                ("NHS number 943 476 5919 or nhs 9434765919", &["943 476 5919", "9434765919"]),
                ("QQ123456C is not given, AB123456C is, and ab 12 34 56 d", &["AB123456C", "ab 12 34 56 d"]),
                // Of the German tax office's own test numbers.
                ("Steuer-ID 86095742719, 47 036 892 816", &["86095742719", "47 036 892 816"]),
                ("NIR 2 55 08 14 168 025 38 or 255081416802538", &["2 55 08 14 168 025 38", "255081416802538"]),
                ("DNI 12345678Z, 12345678-Z, NIE X1234567L", &["12345678Z", "12345678-Z", "X1234567L"]),
                ("CF RSSMRA85T10A562S", &["RSSMRA85T10A562S"]),
                ("BSN: 111222333", &["111222333"]),
            ],
        );
    }

    #[test]
    fn near_misses_are_left() {
        check(
            search,
            &[
                ("000-12-3456 666-12-3456 536-00-4399 536-90-0000 536904399 536 90 4399", &[]),
                ("912-49-1234 1536-90-4399 536-90-43991", &[]),
                ("943 476 5919, nhs 943 476 5918", &[]),
                ("BG123456A AB123456E AB12345C AB1234567C", &[]),
                ("Steuer-ID 86095742718, 86095742719x, tax id 11111111111", &[]),
                ("255081416802539 2 55 08 14 168 025 39 255151416802538", &[]),
                ("12345678A X1234567A 1234567Z", &[]),
                ("RSSMRA85T10A562T", &[]),
                ("111222333, bsn 111222334", &[]),
            ],
        );
    }

    /// The numbers of one kind that differ in their last character only: exactly one of them, or none, is right.
    fn check_characters(prefix: &str, cue: &str, last: &str, fits: impl Fn(&str) -> bool) {
        let right: Vec<String> = last.chars().map(|c| format!("{prefix}{c}")).filter(|number| fits(number)).collect();
        for c in last.chars() {
            let number = format!("{prefix}{c}");
            let mut found = Vec::new();
            search(&format!("{cue} {number}"), &mut found);
            assert_eq!(!found.is_empty(), right.contains(&number), "{cue} {number}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn a_check_character_decides(n in 10_000_000_u64..100_000_000, month in 1..13, letters in "[A-Z]{6}") {
            const DIGITS: &str = "0123456789";
            const LETTERS: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZ";
            check_characters(&format!("{n}"), "dni", LETTERS, |it| it.as_bytes()[8] == DNI_LETTERS[n as usize % 23]);
            check_characters(&format!("{n}"), "bsn", DIGITS, is_bsn);
            check_characters(&format!("{n}1"), "nhs", DIGITS, is_nhs);
            check_characters(&format!("{n}19"), "steuer", DIGITS, is_tax_de);
            let place = n % 100_000_000;
            let base: u64 = format!("2{:02}{month:02}{place:08}", n % 100).parse().unwrap();
            let key = format!("{:02}", 97 - base % 97);
            check_characters(&format!("{base}{}", &key[..1]), "", DIGITS, |it| it.ends_with(&key));
            let code = format!("{letters}85T10A{:03}", n % 1000);
            check_characters(&code, "", LETTERS, |it| it.as_bytes()[15] == fiscal_check(code.as_bytes()));
        }
    }
}
