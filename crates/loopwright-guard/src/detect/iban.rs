//! International bank account numbers (ISO 13616): the country's length and the mod-97 check of ISO 7064.

use super::char_before;
use crate::{Finding, PiiKind};
use std::ops::Range;

/// Country code and length of its IBANs, in code order (the IBAN registry that SWIFT keeps for ISO).
pub(crate) const LENGTHS: [(&str, usize); 89] = [
    ("AD", 24),
    ("AE", 23),
    ("AL", 28),
    ("AT", 20),
    ("AZ", 28),
    ("BA", 20),
    ("BE", 16),
    ("BG", 22),
    ("BH", 22),
    ("BI", 27),
    ("BR", 29),
    ("BY", 28),
    ("CH", 21),
    ("CR", 22),
    ("CY", 28),
    ("CZ", 24),
    ("DE", 22),
    ("DJ", 27),
    ("DK", 18),
    ("DO", 28),
    ("EE", 20),
    ("EG", 29),
    ("ES", 24),
    ("FI", 18),
    ("FK", 18),
    ("FO", 18),
    ("FR", 27),
    ("GB", 22),
    ("GE", 22),
    ("GI", 23),
    ("GL", 18),
    ("GR", 27),
    ("GT", 28),
    ("HN", 28),
    ("HR", 21),
    ("HU", 28),
    ("IE", 22),
    ("IL", 23),
    ("IQ", 23),
    ("IS", 26),
    ("IT", 27),
    ("JO", 30),
    ("KW", 30),
    ("KZ", 20),
    ("LB", 28),
    ("LC", 32),
    ("LI", 21),
    ("LT", 20),
    ("LU", 20),
    ("LV", 21),
    ("LY", 25),
    ("MC", 27),
    ("MD", 24),
    ("ME", 22),
    ("MK", 19),
    ("MN", 20),
    ("MR", 27),
    ("MT", 31),
    ("MU", 30),
    ("NI", 28),
    ("NL", 18),
    ("NO", 15),
    ("OM", 23),
    ("PK", 24),
    ("PL", 28),
    ("PS", 29),
    ("PT", 25),
    ("QA", 29),
    ("RO", 24),
    ("RS", 22),
    ("RU", 33),
    ("SA", 24),
    ("SC", 31),
    ("SD", 18),
    ("SE", 24),
    ("SI", 19),
    ("SK", 24),
    ("SM", 27),
    ("SO", 23),
    ("ST", 25),
    ("SV", 28),
    ("TL", 23),
    ("TN", 24),
    ("TR", 26),
    ("UA", 29),
    ("VA", 22),
    ("VG", 24),
    ("XK", 20),
    ("YE", 30),
];

pub(super) fn find(text: &str, words: &[Range<usize>], found: &mut Vec<Finding>) {
    let bytes = text.as_bytes();
    for word in words {
        let begins = matches!(bytes[word.clone()], [a, b, c, _, ..]
            if a.is_ascii_alphabetic() && b.is_ascii_alphabetic() && c.is_ascii_digit());
        if begins
            && !char_before(text, word.start).is_some_and(char::is_alphanumeric)
            && let Some(end) = iban_end(bytes, word.start)
        {
            found.push(Finding { kind: PiiKind::Iban, start: word.start, end });
        }
    }
}

/// One past the last byte of the IBAN that begins here, single spaces or hyphens between its characters allowed.
fn iban_end(bytes: &[u8], start: usize) -> Option<usize> {
    let country = [bytes[start].to_ascii_uppercase(), bytes[start + 1].to_ascii_uppercase()];
    let index = LENGTHS.binary_search_by(|(code, _)| code.as_bytes().cmp(&country)).ok()?;
    let (_, length) = &LENGTHS[index];
    let mut characters = Vec::with_capacity(*length);
    let mut at = start;
    while characters.len() < *length {
        match *bytes.get(at)? {
            byte if byte.is_ascii_alphanumeric() => characters.push(byte.to_ascii_uppercase()),
            b' ' | b'-' if bytes[at - 1].is_ascii_alphanumeric() => {}
            _ => return None,
        }
        at += 1;
    }
    let ends = !bytes.get(at).is_some_and(|byte| byte.is_ascii_alphanumeric() || *byte >= 0x80);
    (ends && mod_97(&characters) == 1).then_some(at)
}

/// The remainder of the number that an IBAN spells when its first four characters go last and A to Z count 10 to 35.
pub(crate) fn mod_97(characters: &[u8]) -> u32 {
    characters[4..].iter().chain(&characters[..4]).fold(0, |rest, byte| match byte {
        b'0'..=b'9' => (rest * 10 + u32::from(byte - b'0')) % 97,
        _ => (rest * 100 + u32::from(byte - b'A') + 10) % 97,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::detect::{check, marks::Marks};

    #[test]
    fn the_list_is_sorted() {
        assert!(LENGTHS.is_sorted());
    }

    #[test]
    fn ibans_are_checked() {
        // Examples of the IBAN registry.
        check(
            |text, found| find(text, &Marks::of(text).words, found),
            &[
                ("DE89 3704 0044 0532 0130 00 is mine", &["DE89 3704 0044 0532 0130 00"]),
                ("to gb29nwbk60161331926819,", &["gb29nwbk60161331926819"]),
                ("FR14-2004-1010-0505-0001-3M02-606", &["FR14-2004-1010-0505-0001-3M02-606"]),
                ("NO93 8601 1117 947 XK051212012345678906", &["NO93 8601 1117 947", "XK051212012345678906"]),
                ("DE88 3704 0044 0532 0130 00", &[]),
                ("XX89370400440532013000", &[]),
                ("DE893704004405320130001", &[]),
                ("aDE89370400440532013000", &[]),
                ("éDE89370400440532013000", &[]),
            ],
        );
    }
}
