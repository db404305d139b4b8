//! Strings that are known to identify the text's author, in whatever spelling they appear.

use crate::{
    Finding, PiiKind,
    detect::card,
    fold::{Folded, Folding, fold, is_whole_word},
};
use std::{collections::HashMap, ops::Range};

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

/// Folded bytes by which a literal is looked up: its first ones, or all of them if it has fewer.
const KEY_BYTES: usize = 8;
/// Bits of the tables that say for most words at once that no literal begins so: for few literals, which most texts have, and
/// for many.
const TABLE_BITS: [usize; 2] = [1 << 10, 1 << 16];
/// So many literals are few.
const FEW: usize = 32;
/// Bytes of a text that are folded in one go, and how far two such parts overlap.
const PART_BYTES: usize = 64 * 1024;
const OVERLAP_BYTES: usize = 2048;

/// One string to look for.
#[derive(Clone, Debug, PartialEq)]
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
fn literals(known: &[String]) -> Vec<Literal> {
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

/// Literals by their first folded bytes, so that a pass over the text costs the same for ten of them as for a million.
///
/// Whole words are looked up where a word begins. The few literals that may stand inside a word (the author's phone, card
/// and joined name) are searched for in the folded text.
#[derive(Default)]
pub(crate) struct Literals {
    words: Vec<Literal>,
    by_key: HashMap<u64, Vec<u32>>,
    /// Bit `n` is set if some key has `n` bytes.
    key_lengths: u16,
    /// Of the hashes of all keys.
    filter: Bits,
    /// Of the first two bytes of all keys.
    pairs: Bits,
    anywhere: Vec<Literal>,
    /// How many there may be.
    limit: usize,
}

impl Literals {
    pub(crate) fn of(known: &[String]) -> Self {
        Self::with_limit(known, usize::MAX)
    }

    /// Literals that grow to so many and no further.
    pub(crate) fn with_limit(known: &[String], limit: usize) -> Self {
        let mut all = Self { limit, ..Self::default() };
        literals(known).into_iter().for_each(|literal| {
            all.add(literal);
        });
        all
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.words.is_empty() && self.anywhere.is_empty()
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.words.len() + self.anywhere.len()
    }

    /// Adds one; false if it is there already, or there is no room.
    pub(crate) fn add(&mut self, literal: Literal) -> bool {
        if literal.folded.is_empty() || self.len() >= self.limit {
            return false;
        }
        if !literal.whole_word {
            let is_new = !self.anywhere.contains(&literal);
            self.anywhere.extend(is_new.then_some(literal));
            return is_new;
        }
        let first = &literal.folded.as_bytes()[..literal.folded.len().min(KEY_BYTES)];
        let same_key = self.by_key.entry(key_of(first)).or_default();
        if same_key.iter().any(|index| self.words[*index as usize] == literal) {
            return false;
        }
        same_key.push(self.words.len() as u32);
        self.key_lengths |= 1 << first.len();
        self.words.push(literal);
        // The tables are made with the first literal, and larger ones when there are many.
        if self.words.len() == 1 || self.words.len() == FEW + 1 {
            let bits = TABLE_BITS[usize::from(self.words.len() > FEW)];
            (self.filter, self.pairs) = (Bits::new(bits), Bits::new(bits));
            (0..self.words.len()).for_each(|index| self.note(index));
        } else {
            self.note(self.words.len() - 1);
        }
        true
    }

    /// Notes how a literal begins.
    fn note(&mut self, index: usize) {
        let folded = self.words[index].folded.as_bytes();
        let first = &folded[..folded.len().min(KEY_BYTES)];
        self.filter.set(filter_bit(key_of(first)));
        let second = first.get(1).copied();
        (0..=u8::MAX)
            .filter(|it| second.is_none_or(|second| second == *it))
            .for_each(|second| self.pairs.set(pair_bit(first[0], second)));
    }

    /// Finds the literals in a text without masks.
    pub(crate) fn find(&self, text: &str, found: &mut Vec<Finding>) {
        if !self.words.is_empty() {
            self.find_words(text, found);
        }
        if !self.anywhere.is_empty() {
            parts(text).for_each(|part| self.find_anywhere(text, part, found));
        }
    }

    fn find_words(&self, text: &str, found: &mut Vec<Finding>) {
        let bytes = text.as_bytes();
        let mut is_inside = false;
        let mut at = 0;
        while at < bytes.len() {
            let byte = bytes[at];
            let (is_word, begins, length) = if byte.is_ascii() {
                let is_word = byte.is_ascii_alphanumeric();
                (is_word, is_word || byte == b'@', 1)
            } else {
                let c = super::char_at(text, at).unwrap_or(' ');
                (c.is_alphanumeric(), c.is_alphanumeric(), c.len_utf8())
            };
            if begins && !is_inside && self.may_begin(&bytes[at..]) {
                self.find_at(text, at, found);
            }
            is_inside = is_word;
            at += length;
        }
    }

    /// Can a literal begin with these two bytes? Where the second is no letter or digit, the first alone does not tell.
    fn may_begin(&self, bytes: &[u8]) -> bool {
        match bytes {
            [first, second, ..] if first.is_ascii() && second.is_ascii_alphanumeric() => {
                self.pairs.has(pair_bit(first.to_ascii_lowercase(), second.to_ascii_lowercase()))
            }
            _ => true,
        }
    }

    /// Finds the literals that begin with the word here.
    fn find_at(&self, text: &str, start: usize, found: &mut Vec<Finding>) {
        let mut folding = Folding::new(text, start);
        let mut first = [0; KEY_BYTES];
        let mut length = 0;
        while length < KEY_BYTES
            && folding.advance(|byte| {
                if let Some(slot) = first.get_mut(length) {
                    *slot = byte;
                    length += 1;
                }
                true
            })
        {
            if self.key_lengths >> length & 1 == 1 {
                self.look_up(text, start, &first[..length], found);
            }
        }
    }

    fn look_up(&self, text: &str, start: usize, first: &[u8], found: &mut Vec<Finding>) {
        let key = key_of(first);
        if !self.filter.has(filter_bit(key)) {
            return;
        }
        for literal in self.by_key.get(&key).into_iter().flatten().map(|index| &self.words[*index as usize]) {
            let end = Folding::new(text, start).end_of(&literal.folded).filter(|end| is_whole_word(text, start, *end));
            let end = end.filter(|end| is_meant(literal, &text[start..*end]));
            found.extend(end.map(|end| Finding { kind: literal.kind, start, end }));
        }
    }

    fn find_anywhere(&self, text: &str, part: Range<usize>, found: &mut Vec<Finding>) {
        let folded = Folded::new(&text[part.clone()]);
        for literal in &self.anywhere {
            for place in folded.places(&literal.folded) {
                let (start, end) = (part.start + place.start, part.start + place.end);
                let start = if literal.extends_left { number_start(text, start) } else { start };
                if is_meant(literal, &text[start..end]) {
                    found.push(Finding { kind: literal.kind, start, end });
                }
            }
        }
    }
}

/// Overlapping parts of a text.
fn parts(text: &str) -> impl Iterator<Item = Range<usize>> {
    let floor = |at: usize| (0..=at.min(text.len())).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
    (0..text.len()).step_by(PART_BYTES).map(move |start| floor(start)..floor(start + PART_BYTES + OVERLAP_BYTES))
}

/// At most eight bytes as one number. Folded bytes are never zero, so that no two keys are the same number.
fn key_of(first: &[u8]) -> u64 {
    let mut bytes = [0; KEY_BYTES];
    bytes[..first.len()].copy_from_slice(first);
    u64::from_le_bytes(bytes)
}

/// The lowest bits tell letters apart.
fn pair_bit(first: u8, second: u8) -> usize {
    usize::from(first) << 5 ^ usize::from(second)
}

fn filter_bit(key: u64) -> usize {
    (key.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 48) as usize
}

/// A table of bits; places beyond it are those within it again.
#[derive(Clone, Debug, Default)]
struct Bits(Vec<u64>);

impl Bits {
    fn new(n_bits: usize) -> Self {
        Self(vec![0; n_bits / 64])
    }

    fn set(&mut self, bit: usize) {
        let bit = bit & (self.0.len() * 64 - 1);
        self.0[bit / 64] |= 1 << (bit % 64);
    }

    fn has(&self, bit: usize) -> bool {
        let bit = bit & (self.0.len() * 64 - 1);
        self.0[bit / 64] >> (bit % 64) & 1 == 1
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
        Literals::of(&[known.to_string()]).find(text, &mut found);
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
