//! Payment cards: a network's first digits and lengths, and the Luhn check (ISO/IEC 7812-1, annex B).

use super::{
    char_at, char_before,
    digits::{Group, Number, values},
};
use crate::{Finding, PiiKind};
use std::ops::RangeInclusive;

const DIGITS_MIN: usize = 13;
const DIGITS_MAX: usize = 19;

/// The networks' ranges of the first four digits, with the lengths of their numbers (the networks' published ranges).
const NETWORKS: [(RangeInclusive<u32>, RangeInclusive<usize>); 14] = [
    (2200..=2204, 16..=19), // Mir
    (2221..=2720, 16..=16), // Mastercard
    (3000..=3059, 14..=19), // Diners Club
    (3095..=3095, 14..=19), // Diners Club
    (3400..=3499, 15..=15), // American Express
    (3528..=3589, 16..=19), // JCB
    (3600..=3699, 14..=19), // Diners Club
    (3700..=3799, 15..=15), // American Express
    (3800..=3999, 14..=19), // Diners Club
    (4000..=4999, 13..=19), // Visa
    (5000..=5099, 13..=19), // Maestro, Elo, Verve
    (5100..=5599, 16..=16), // Mastercard
    (5600..=6999, 13..=19), // Maestro, Discover, UnionPay, RuPay
    (8100..=8171, 16..=19), // UnionPay
];

pub(super) fn find(text: &str, run: &[Group], found: &mut Vec<Finding>) {
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

/// How many of these groups, from the first, make the longest card number.
fn longest_card(text: &str, groups: &[Group]) -> Option<usize> {
    let mut best = None;
    let mut n_digits = 0;
    for n in 1..=groups.len() {
        if n > 1 && !is_card_gap(&text[groups[n - 2].end..groups[n - 1].start]) {
            break;
        }
        n_digits += groups[n - 1].len();
        if n_digits > DIGITS_MAX {
            break;
        }
        let possible = n_digits >= DIGITS_MIN && Number::of(text, &groups[..n]).is_some_and(|it| is_card(it.as_str()));
        if possible && stands_free(text, groups[0].start, groups[n - 1].end) {
            best = Some(n);
        }
        if groups[n - 1].len() < 3 {
            break;
        }
    }
    best
}

fn stands_free(text: &str, start: usize, end: usize) -> bool {
    !char_before(text, start).is_some_and(|c| c.is_alphanumeric() || c == '_' || c == '#')
        && !char_at(text, end).is_some_and(|c| c.is_alphanumeric() || c == '_')
}

fn is_card_gap(gap: &str) -> bool {
    matches!(gap, " " | "-" | "." | "\u{a0}" | "\u{202f}" | "\u{2011}")
}

/// Is this a possible card number: a network's first digits and length, and the check digit?
pub(super) fn is_card(number: &str) -> bool {
    number.len() >= DIGITS_MIN
        && NETWORKS.iter().any(|(firsts, lengths)| {
            lengths.contains(&number.len()) && number[..4].parse().is_ok_and(|first| firsts.contains(&first))
        })
        && luhn_sum(number).is_multiple_of(10)
}

/// The sum of the digits, every second one from the right doubled (and 9 taken off where that passes 9).
pub(crate) fn luhn_sum(number: &str) -> u32 {
    let digit = |(index, value): (usize, u32)| {
        let value = value * if index % 2 == 1 { 2 } else { 1 };
        if value > 9 { value - 9 } else { value }
    };
    values(number).rev().enumerate().map(digit).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::detect::{check, digits::runs};

    #[test]
    fn cards_are_found_in_their_groupings() {
        check(
            |text, found| runs(text).iter().for_each(|run| find(text, run, found)),
            &[
                ("pay with 4111 1111 1111 1111 please", &["4111 1111 1111 1111"]),
                ("4111-1111-1111-1111.", &["4111-1111-1111-1111"]),
                ("amex 3782 822463 10005, thanks", &["3782 822463 10005"]),
                ("(4111111111111111)", &["4111111111111111"]),
                ("2 items, 4111 1111 1111 1111", &["4111 1111 1111 1111"]),
                ("4111 1111 1111 1112", &[]),
                ("1111 1111 1111 1117", &[]),
                ("5105 1051 0510 5100 and 6011000990139424", &["5105 1051 0510 5100", "6011000990139424"]),
                ("3782 8224 6310 0050, 378282246310005", &["378282246310005"]),
                ("2100 0000 0000 0005", &[]),
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
