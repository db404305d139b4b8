//! Strings that are known to identify the text's author, in whatever spelling they appear.

use crate::{
    Finding, PiiKind,
    detect::card,
    fold::{Folded, fold, is_whole_word},
};

/// Shortest part of a name that is looked for on its own, in letters.
const PART_LETTERS_MIN: usize = 3;
/// A full name of at least so many letters is found inside longer words too (`maralindqvist77`).
const JOINED_LETTERS_MIN: usize = 8;
/// Fewest digits of a phone number.
const PHONE_DIGITS_MIN: usize = 7;
/// Digits of a country code, at most: a number is found by what follows.
const COUNTRY_DIGITS: usize = 3;

/// Names that are everyday words: alone and in lower case they are left in the text.
const COMMON_WORDS: [&str; 38] = [
    "art", "bill", "bob", "chance", "chase", "cook", "day", "dean", "drew", "faith", "frank", "grace", "grant",
    "green", "hope", "jack", "joy", "june", "king", "lane", "long", "mark", "may", "miles", "page", "pat", "penny",
    "rich", "rob", "rose", "sales", "short", "sue", "summer", "wade", "ward", "will", "young",
];

/// Small words of a name that are never looked for on their own.
const PARTICLES: [&str; 12] = ["and", "bin", "das", "del", "della", "den", "der", "dos", "las", "los", "van", "von"];

/// One string to look for.
#[derive(Clone, Debug)]
pub(crate) struct Literal {
    kind: PiiKind,
    /// Folded as the text is.
    folded: String,
    /// Must it stand as a word of its own?
    whole_word: bool,
    /// A phone number's own digits: what precedes them in the same number belongs to it.
    extends_left: bool,
    /// For a part of a name: as it is written, when a lower-case occurrence may be an everyday word.
    common_word: Option<String>,
}

impl Literal {
    fn new(kind: PiiKind, text: &str) -> Self {
        Self { kind, folded: fold(text), whole_word: true, extends_left: false, common_word: None }
    }

    /// A string that was found in the text itself and is to be masked wherever it stands again.
    pub(crate) fn found(kind: PiiKind, text: &str) -> Self {
        let common = kind == PiiKind::Person && COMMON_WORDS.contains(&fold(text).as_str());
        Self { common_word: common.then(|| text.to_string()), ..Self::new(kind, text) }
    }
}

/// What to look for, given the author's identifying strings.
pub(crate) fn literals(known: &[String]) -> Vec<Literal> {
    let mut literals = Vec::new();
    for text in known.iter().map(|text| text.trim()) {
        let n_digits = text.chars().filter(char::is_ascii_digit).count();
        let has_letters = text.chars().any(char::is_alphabetic);
        if text.contains('@') {
            literals.push(Literal::new(PiiKind::Email, text));
        } else if has_letters && n_digits == 0 {
            push_name(text, &mut literals);
        } else if !has_letters && n_digits >= PHONE_DIGITS_MIN {
            push_number(text, &mut literals);
        } else {
            literals.push(Literal::new(PiiKind::Id, text));
        }
    }
    literals.retain(|literal| literal.folded.chars().count() >= PART_LETTERS_MIN);
    literals
}

fn push_name(name: &str, literals: &mut Vec<Literal>) {
    let words: Vec<&str> = name.split([' ', '-', '.', ',']).filter(|word| !word.is_empty()).collect();
    let whole = Literal::new(PiiKind::Person, name);
    let is_long = words.len() > 1 && whole.folded.chars().count() >= JOINED_LETTERS_MIN;
    if words.len() > 1 {
        literals.push(Literal { whole_word: !is_long, ..whole });
    }
    for word in words {
        let part = Literal::found(PiiKind::Person, word);
        if !PARTICLES.contains(&part.folded.as_str()) {
            literals.push(part);
        }
    }
}

fn push_number(number: &str, literals: &mut Vec<Literal>) {
    let digits: String = number.chars().filter(char::is_ascii_digit).collect();
    let any_place = |kind, digits: &str| Literal { whole_word: false, ..Literal::new(kind, digits) };
    if card::is_card(&digits) && !number.starts_with('+') {
        literals.push(any_place(PiiKind::Card, &digits));
        return;
    }
    let national = match number.starts_with('+') || digits.starts_with("00") {
        true => &digits[COUNTRY_DIGITS.min(digits.len() - PHONE_DIGITS_MIN)..],
        false => digits.trim_start_matches('0'),
    };
    let national = if national.len() < PHONE_DIGITS_MIN { &digits } else { national };
    literals.push(any_place(PiiKind::Phone, &digits));
    literals.push(Literal { extends_left: true, ..any_place(PiiKind::Phone, national) });
}

/// Finds the literals in a text; nothing is found inside its masks.
pub(super) fn find(text: &str, literals: &[Literal], masks: &[(usize, usize)], found: &mut Vec<Finding>) {
    if literals.is_empty() {
        return;
    }
    let folded = Folded::new(text, masks);
    for literal in literals {
        for place in folded.places(&literal.folded) {
            let (mut start, end) = (place.start, place.end);
            if literal.extends_left {
                start = number_start(text, start);
            }
            if (!literal.whole_word || is_whole_word(text, start, end)) && is_meant(literal, &text[start..end]) {
                found.push(Finding { kind: literal.kind, start, end });
            }
        }
    }
}

/// Is this occurrence of an everyday word the name? Only as it was written, or with a capital.
fn is_meant(literal: &Literal, occurrence: &str) -> bool {
    match &literal.common_word {
        Some(written) => occurrence == written || occurrence.starts_with(char::is_uppercase),
        None => true,
    }
}

/// Where a phone number begins whose national part starts at `start`: a country or trunk code before it (at most five
/// digits in all, nothing but separators between) belongs to it, and so do `+` and `(`.
fn number_start(text: &str, start: usize) -> usize {
    let mut begin = start;
    let (mut n_digits, mut gap) = (0, 0);
    for (at, c) in text[..start].char_indices().rev() {
        match c {
            '0'..='9' => {
                n_digits += 1;
                gap = 0;
                begin = at;
            }
            '+' | '(' if gap <= 1 => begin = at,
            ' ' | '.' | '-' | '/' | ')' | '(' | '\u{a0}' if gap < 2 => gap += 1,
            _ => {
                // A letter right before the digits: they are part of something else.
                if c.is_alphanumeric() && begin == at + c.len_utf8() {
                    return start;
                }
                break;
            }
        }
        if n_digits > 5 {
            return start;
        }
    }
    begin
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(known: &str, text: &str, expected: &[&str]) {
        let mut found = Vec::new();
        find(text, &literals(&[known.to_string()]), &[], &mut found);
        let found: Vec<&str> = crate::overlap::resolve(found).iter().map(|f| &text[f.start..f.end]).collect();
        assert_eq!(found, expected, "`{known}` in `{text}`");
    }

    #[test]
    fn phone_numbers_are_found_with_and_without_their_country() {
        let known = "+49 30 23125 017";
        check(known, "+493023125017", &["+493023125017"]);
        check(known, "tel. 030/23 125 017!", &["030/23 125 017"]);
        check(known, "+49 (0)30 23125017", &["+49 (0)30 23125017"]);
        check(known, "in 2026 at 99991234567890", &[]);
        check("07700 900123", "+44 7700 900123", &["+44 7700 900123"]);
    }

    #[test]
    fn names_are_found_whole_and_in_parts() {
        check("Ana de la Cruz", "ANA, la Cruz; anadelacruz", &["ANA", "Cruz", "anadelacruz"]);
        check("Jo Wu", "jo wu; jo and wu", &["jo wu"]);
        check("Anne-Marie Weiß", "marie weiß", &["marie", "weiß"]);
        check("Tom", "Tom's tomorrow", &["Tom"]);
    }

    #[test]
    fn short_and_empty_strings_are_not_looked_for() {
        check("", "anything", &[]);
        check("x", "x y", &[]);
        check("--", "--", &[]);
    }
}
