//! International bank account numbers (ISO 13616): the country's length and the mod-97 check of ISO 7064.

use super::char_before;
use crate::{Finding, PiiKind};

/// Country code and length of its IBANs, in code order (SWIFT's IBAN registry, release 99).
const LENGTHS: [(&str, usize); 45] = [
    ("AD", 24),
    ("AE", 23),
    ("AL", 28),
    ("AT", 20),
    ("BA", 20),
    ("BE", 16),
    ("BG", 22),
    ("BR", 29),
    ("CH", 21),
    ("CY", 28),
    ("CZ", 24),
    ("DE", 22),
    ("DK", 18),
    ("EE", 20),
    ("EG", 29),
    ("ES", 24),
    ("FI", 18),
    ("FR", 27),
    ("GB", 22),
    ("GE", 22),
    ("GI", 23),
    ("GR", 27),
    ("HR", 21),
    ("HU", 28),
    ("IE", 22),
    ("IL", 23),
    ("IS", 26),
    ("IT", 27),
    ("LI", 21),
    ("LT", 20),
    ("LU", 20),
    ("LV", 21),
    ("MC", 27),
    ("MD", 24),
    ("ME", 22),
    ("MK", 19),
    ("MT", 31),
    ("NL", 18),
    ("NO", 15),
    ("PL", 28),
    ("PT", 25),
    ("RO", 24),
    ("RS", 22),
    ("SA", 24),
    ("SE", 24),
];

pub(super) fn find(text: &str, found: &mut Vec<Finding>) {
    let bytes = text.as_bytes();
    for start in 0..bytes.len().saturating_sub(14) {
        let begins = bytes[start].is_ascii_alphabetic()
            && bytes[start + 1].is_ascii_alphabetic()
            && bytes[start + 2].is_ascii_digit()
            && !char_before_is_word(text, start);
        if begins && let Some(end) = iban_end(bytes, start) {
            found.push(Finding { kind: PiiKind::Iban, start, end });
        }
    }
}

fn char_before_is_word(text: &str, at: usize) -> bool {
    text.is_char_boundary(at) && char_before(text, at).is_some_and(char::is_alphanumeric)
}

/// One past the last byte of the IBAN that begins here, single spaces or hyphens between its characters allowed.
fn iban_end(bytes: &[u8], start: usize) -> Option<usize> {
    let country = std::str::from_utf8(&bytes[start..start + 2]).ok()?.to_ascii_uppercase();
    let (_, length) = LENGTHS.iter().find(|(code, _)| *code == country)?;
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
fn mod_97(characters: &[u8]) -> u32 {
    characters[4..].iter().chain(&characters[..4]).fold(0, |rest, byte| match byte {
        b'0'..=b'9' => (rest * 10 + u32::from(byte - b'0')) % 97,
        _ => (rest * 100 + u32::from(byte - b'A') + 10) % 97,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::detect::check;

    #[test]
    fn ibans_are_checked() {
        // Examples of the IBAN registry.
        check(
            find,
            &[
                ("DE89 3704 0044 0532 0130 00 is mine", &["DE89 3704 0044 0532 0130 00"]),
                ("to gb29nwbk60161331926819,", &["gb29nwbk60161331926819"]),
                ("FR14-2004-1010-0505-0001-3M02-606", &["FR14-2004-1010-0505-0001-3M02-606"]),
                ("DE88 3704 0044 0532 0130 00", &[]),
                ("XX89370400440532013000", &[]),
                ("DE893704004405320130001", &[]),
                ("aDE89370400440532013000", &[]),
                ("éDE89370400440532013000", &[]),
            ],
        );
    }
}
