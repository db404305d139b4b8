//! One draw of a stand-in: random figures from HMAC-SHA-256, put into the shape of the value.

use super::names::{FIRST, LAST};
use crate::{
    PiiKind,
    detect::{luhn_sum, mod_97},
    fold::fold,
};
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use std::net::Ipv6Addr;

/// After so many draws a number is added, because the shape of the value is too small for the dataset.
const ATTEMPTS_IN_SHAPE: u32 = 64;
/// A name gets one more part after so many draws each.
const ATTEMPTS_PER_PART: u32 = 4;

/// The keyed source of a draw: HMAC of kind, folded value, attempt and a counter.
struct Source<'a> {
    key: &'a [u8; 32],
    message: Vec<u8>,
    block: [u8; 32],
    used: usize,
    counter: u32,
}

impl<'a> Source<'a> {
    fn new(key: &'a [u8; 32], kind: PiiKind, value: &str, attempt: u32) -> Self {
        let mut message = format!("surrogate 1\0{}\0{}\0", kind.as_str(), fold(value)).into_bytes();
        message.extend(attempt.to_be_bytes());
        Self { key, message, block: [0; 32], used: 32, counter: 0 }
    }

    /// The next two bytes below `limit` (at most 65,536; its slight preference for small numbers is below 1 in 50).
    fn below(&mut self, limit: u32) -> u32 {
        if self.used + 4 > self.block.len() {
            let mut mac = Hmac::<Sha256>::new_from_slice(self.key).expect("HMAC takes a key of any length");
            mac.update(&self.message);
            mac.update(&self.counter.to_be_bytes());
            self.block.copy_from_slice(&mac.finalize().into_bytes());
            self.counter += 1;
            self.used = 0;
        }
        let bytes = &self.block[self.used..self.used + 4];
        self.used += 4;
        u32::from_be_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]) % limit
    }

    fn digit(&mut self) -> char {
        char::from(b'0' + self.below(10) as u8)
    }

    fn of<'b>(&mut self, list: &[&'b str]) -> &'b str {
        list[self.below(list.len() as u32) as usize]
    }

    /// Another character of the same sort: digit, capital or small letter; others stay.
    fn like(&mut self, c: char) -> char {
        match c {
            '0'..='9' => self.digit(),
            'A'..='Z' => char::from(b'A' + self.below(26) as u8),
            'a'..='z' => char::from(b'a' + self.below(26) as u8),
            _ if c.is_alphabetic() => char::from(b'a' + self.below(26) as u8),
            _ => c,
        }
    }
}

/// The stand-in of this draw. Another attempt gives another.
pub(super) fn draw(key: &[u8; 32], kind: PiiKind, original: &str, attempt: u32) -> String {
    let mut source = Source::new(key, kind, original, attempt);
    let drawn = match kind {
        PiiKind::Card => card(&mut source, original),
        PiiKind::Iban => iban(&mut source, original),
        PiiKind::Email => email(&mut source),
        PiiKind::Person => person(&mut source, original, attempt),
        PiiKind::Ip => ip(&mut source, original, attempt),
        PiiKind::Mac => mac(&mut source, original),
        PiiKind::Phone => phone(&mut source, original),
        PiiKind::BirthDate => groups(original, |group| date_part(&mut source, group)),
        PiiKind::Coordinates => groups(original, |group| angle_part(&mut source, group)),
        _ => original.chars().map(|c| source.like(c)).collect(),
    };
    if attempt < ATTEMPTS_IN_SHAPE { drawn } else { format!("{drawn}-{attempt}") }
}

/// The test prefix, random digits and the check digit, in the grouping of the original.
fn card(source: &mut Source<'_>, original: &str) -> String {
    let n_digits = original.bytes().filter(u8::is_ascii_digit).count();
    let prefix = if n_digits == 15 { "378282" } else { "400000" };
    let mut number: String = prefix.chars().take(n_digits.saturating_sub(1)).collect();
    while number.len() + 1 < n_digits {
        number.push(source.digit());
    }
    let check = (10 - luhn_sum(&format!("{number}0")) % 10) % 10;
    number.push(char::from(b'0' + check as u8));
    in_shape_of(original, &number)
}

/// The digits of the original replaced by these, one after another.
fn in_shape_of(original: &str, digits: &str) -> String {
    let mut digits = digits.chars();
    original.chars().map(|c| if c.is_ascii_digit() { digits.next().unwrap_or(c) } else { c }).collect()
}

fn iban(source: &mut Source<'_>, original: &str) -> String {
    let mut n = 0;
    let drawn: String = original
        .chars()
        .map(|c| {
            n += usize::from(c.is_ascii_alphanumeric());
            match n {
                1 | 2 => c,
                3 | 4 if c.is_ascii_digit() => '0',
                _ => source.like(c),
            }
        })
        .collect();
    let bytes: Vec<u8> =
        drawn.bytes().filter(u8::is_ascii_alphanumeric).map(|byte| byte.to_ascii_uppercase()).collect();
    if bytes.len() < 5 {
        return drawn;
    }
    let check = format!("{:02}", 98 - mod_97(&bytes));
    let rest: String = drawn.chars().filter(char::is_ascii_digit).skip(2).collect();
    in_shape_of(&drawn, &format!("{check}{rest}"))
}

fn email(source: &mut Source<'_>) -> String {
    let (first, last) = (source.of(&FIRST).to_lowercase(), source.of(&LAST).to_lowercase());
    let number = 10 + source.below(9990);
    let top = source.of(&["com", "net", "org"]);
    format!("{first}.{last}{number}@example.{top}")
}

fn person(source: &mut Source<'_>, original: &str, attempt: u32) -> String {
    let extra = attempt / ATTEMPTS_PER_PART;
    let mut name = source.of(&FIRST).to_string();
    (0..extra).for_each(|_| name = format!("{name}-{}", source.of(&FIRST)));
    if original.trim().contains(char::is_whitespace) {
        name = format!("{name} {}", source.of(&LAST));
    }
    match (original.contains(char::is_uppercase), original.contains(char::is_lowercase)) {
        (true, false) if original.chars().count() > 1 => name.to_uppercase(),
        (false, true) => name.to_lowercase(),
        _ => name,
    }
}

fn ip(source: &mut Source<'_>, original: &str, attempt: u32) -> String {
    if original.contains(':') {
        let mut segments = [0; 8];
        segments[..2].copy_from_slice(&[0x2001, 0x0db8]);
        segments[2..].iter_mut().for_each(|segment| *segment = 1 + source.below(0xffff) as u16);
        return Ipv6Addr::from(segments).to_string();
    }
    let (c, d) = (source.below(256), source.below(256));
    if attempt < ATTEMPTS_PER_PART {
        return format!("198.{}.{c}.{d}", 18 + source.below(2));
    }
    format!("{}.{}.{c}.{d}", 240 + source.below(15), source.below(256))
}

fn mac(source: &mut Source<'_>, original: &str) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut n = 0;
    let drawn = original.chars().map(|c| {
        if !c.is_ascii_hexdigit() {
            return c;
        }
        n += 1;
        let drawn = match n {
            1 => '0',
            2 => '2',
            _ => char::from(DIGITS[source.below(16) as usize]),
        };
        if c.is_ascii_uppercase() { drawn.to_ascii_uppercase() } else { drawn }
    });
    drawn.collect()
}

/// Other digits, the lead left: `+` and two digits, or a first `0` and the digit behind it.
fn phone(source: &mut Source<'_>, original: &str) -> String {
    let kept = if original.contains('+') || original.contains('0') { 2 } else { 0 };
    let mut n = 0;
    let drawn = original.chars().map(|c| {
        n += usize::from(c.is_ascii_digit());
        match c {
            '0'..='9' if n <= kept => c,
            '0'..='9' => char::from(b'2' + source.below(8) as u8),
            _ => c,
        }
    });
    drawn.collect()
}

/// The text with each group of digits replaced.
fn groups(text: &str, mut replace: impl FnMut(&str) -> String) -> String {
    let mut replaced = String::with_capacity(text.len());
    let mut group = String::new();
    for c in text.chars().map(Some).chain([None]) {
        if let Some(digit) = c.filter(char::is_ascii_digit) {
            group.push(digit);
            continue;
        }
        if !group.is_empty() {
            replaced.push_str(&replace(&std::mem::take(&mut group)));
        }
        replaced.extend(c);
    }
    replaced
}

/// A year for four digits; else what can be a day and a month.
fn date_part(source: &mut Source<'_>, group: &str) -> String {
    match group.len() {
        4 => (1940 + source.below(66)).to_string(),
        2 => format!("{:02}", 1 + source.below(12)),
        1 => (1 + source.below(9)).to_string(),
        _ => group.chars().map(|c| source.like(c)).collect(),
    }
}

/// A latitude for two digits, a longitude for three; fractions are any digits.
fn angle_part(source: &mut Source<'_>, group: &str) -> String {
    match group.len() {
        2 => (10 + source.below(50)).to_string(),
        3 => (100 + source.below(80)).to_string(),
        _ => group.chars().map(|c| source.like(c)).collect(),
    }
}
