//! Payment cards: 13 to 19 digits, a network's first digit, and the Luhn check (ISO/IEC 7812-1, annex B).

use super::{
    char_at, char_before,
    digits::{Group, digits},
};
use crate::{Finding, PiiKind};

const DIGITS_MIN: usize = 13;
const DIGITS_MAX: usize = 19;

pub(super) fn find(text: &str, runs: &[Vec<Group>], found: &mut Vec<Finding>) {
    for run in runs {
        let mut first = 0;
        while first < run.len() {
            match longest_card(text, &run[first..]) {
                Some(n) => {
                    found.push(Finding { kind: PiiKind::Card, start: run[first].start, end: run[first + n - 1].end });
                    first += n;
                }
                None => first += 1,
            }
        }
    }
}

/// How many of these groups, from the first, make the longest card number.
fn longest_card(text: &str, groups: &[Group]) -> Option<usize> {
    if char_before(text, groups[0].start).is_some_and(|c| c.is_alphanumeric() || c == '_' || c == '#') {
        return None;
    }
    let mut best = None;
    for n in 1..=groups.len() {
        if n > 1 && !is_card_gap(&text[groups[n - 2].end..groups[n - 1].start]) {
            break;
        }
        let number = digits(text, &groups[..n]);
        if number.len() > DIGITS_MAX {
            break;
        }
        let ends = !char_at(text, groups[n - 1].end).is_some_and(|c| c.is_alphanumeric() || c == '_');
        let grouped = groups[..n].iter().rev().skip(1).all(|group| group.len() >= 3);
        if ends && grouped && is_card(&number) {
            best = Some(n);
        }
    }
    best
}

fn is_card_gap(gap: &str) -> bool {
    matches!(gap, " " | "-" | "." | "\u{a0}" | "\u{202f}" | "\u{2011}")
}

/// Is this a possible card number: length, first digit of a payment network, check digit?
pub(super) fn is_card(number: &str) -> bool {
    (DIGITS_MIN..=DIGITS_MAX).contains(&number.len())
        && matches!(number.as_bytes()[0], b'2'..=b'6')
        && luhn_sum(number).is_multiple_of(10)
}

/// The sum of the digits, every second one from the right doubled (and 9 taken off where that passes 9).
fn luhn_sum(number: &str) -> u32 {
    let digit = |(index, byte): (usize, u8)| {
        let value = u32::from(byte - b'0') * if index % 2 == 1 { 2 } else { 1 };
        if value > 9 { value - 9 } else { value }
    };
    number.bytes().rev().enumerate().map(digit).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::detect::{check, digits::runs};

    #[test]
    fn cards_are_found_in_their_groupings() {
        check(
            |text, found| find(text, &runs(text), found),
            &[
                ("pay with 4111 1111 1111 1111 please", &["4111 1111 1111 1111"]),
                ("4111-1111-1111-1111.", &["4111-1111-1111-1111"]),
                ("amex 3782 822463 10005, thanks", &["3782 822463 10005"]),
                ("(4111111111111111)", &["4111111111111111"]),
                ("2 items, 4111 1111 1111 1111", &["4111 1111 1111 1111"]),
                ("4111 1111 1111 1112", &[]),
                ("1111 1111 1111 1117", &[]),
                ("x4111111111111111", &[]),
                ("4111111111111111a", &[]),
                ("1 2 3 4 5 6 7 8 9 10 11 12 13", &[]),
            ],
        );
    }

    #[test]
    fn luhn_follows_the_standards_example() {
        // 7992739871 with check digit 3 is the classic worked example.
        assert!(luhn_sum("79927398713").is_multiple_of(10));
        assert!(!luhn_sum("79927398710").is_multiple_of(10));
    }
}
