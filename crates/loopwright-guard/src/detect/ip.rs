//! IP addresses, versions 4 and 6 (RFC 4291 section 2.2 for the text form), and hardware addresses (EUI-48).

use super::{char_at, char_before, digits::Group};
use crate::{Finding, PiiKind};
use std::{
    net::{Ipv4Addr, Ipv6Addr},
    ops::Range,
};

/// Longest text of an address: eight groups of four, or six and a dotted version 4 address.
const V6_BYTES_MAX: usize = 46;
/// Six pairs of hexadecimal digits and what joins them.
const MAC_BYTES: usize = 17;

/// Finds version 4 addresses in a run of digit groups.
pub(super) fn find_v4(text: &str, run: &[Group], found: &mut Vec<Finding>) {
    for four in run.windows(4) {
        let (start, end) = (four[0].start, four[3].end);
        let joined = four.windows(2).all(|pair| pair[1].start - pair[0].end == 1);
        if joined
            && text[start..end].parse::<Ipv4Addr>().is_ok()
            && is_free(text, start, end, '.')
            && !is_version(&text[..start])
        {
            found.push(Finding { kind: PiiKind::Ip, start, end });
        }
    }
}

/// Finds version 6 addresses, and hardware addresses written with colons.
pub(super) fn find_at_colons(text: &str, colons: &[usize], found: &mut Vec<Finding>) {
    let mut done = 0;
    for &colon in colons.iter() {
        if colon < done {
            continue;
        }
        let stretch = hex_stretch(text.as_bytes(), colon);
        done = stretch.end;
        found.extend(mac(text, &stretch).or_else(|| v6(text, &stretch)));
    }
}

/// The unbroken hexadecimal digits, colons and dots around this colon.
fn hex_stretch(bytes: &[u8], colon: usize) -> Range<usize> {
    let fits = |byte: &&u8| byte.is_ascii_hexdigit() || matches!(byte, b':' | b'.');
    let before = bytes[colon.saturating_sub(V6_BYTES_MAX)..colon].iter().rev();
    let n_before = before.take_while(|byte| byte.is_ascii_hexdigit()).count();
    let after = bytes[colon..(colon + V6_BYTES_MAX).min(bytes.len())].iter().take_while(fits).count();
    colon - n_before..colon + after
}

fn mac(text: &str, stretch: &Range<usize>) -> Option<Finding> {
    let end = stretch.start + MAC_BYTES;
    let address = text.as_bytes().get(stretch.start..end)?;
    (is_mac(address, b':') && is_free(text, stretch.start, end, ':')).then_some(Finding {
        kind: PiiKind::Mac,
        start: stretch.start,
        end,
    })
}

/// Six pairs, and neither the empty address nor the one that means everybody.
fn is_mac(address: &[u8], joint: u8) -> bool {
    let shaped = address.iter().enumerate().all(|(i, b)| if i % 3 == 2 { *b == joint } else { b.is_ascii_hexdigit() });
    let digits = || address.iter().filter(|byte| **byte != joint);
    shaped && !digits().all(|byte| *byte == b'0') && !digits().all(|byte| byte.eq_ignore_ascii_case(&b'f'))
}

fn v6(text: &str, stretch: &Range<usize>) -> Option<Finding> {
    let mut address = text[stretch.clone()].trim_end_matches('.');
    if address.ends_with(':') && !address.ends_with("::") {
        address = &address[..address.len() - 1];
    }
    let end = stretch.start + address.len();
    let is_found =
        says_enough(address) && address.parse::<Ipv6Addr>().is_ok() && is_free(text, stretch.start, end, ':');
    is_found.then_some(Finding { kind: PiiKind::Ip, start: stretch.start, end })
}

/// `a::b` may be a path in a program: the first of just two groups must show a digit and be long.
fn says_enough(address: &str) -> bool {
    let mut groups = address.split(':').filter(|group| !group.is_empty());
    match groups.clone().count() {
        0 | 1 => false,
        2 if address.contains('.') => true,
        2 => groups.next().is_some_and(|first| first.len() >= 3 && first.bytes().any(|byte| byte.is_ascii_digit())),
        _ => true,
    }
}

/// Finds hardware addresses written with hyphens, by their words that hold a digit.
pub(super) fn find_hyphened_mac(text: &str, words: &[Range<usize>], found: &mut Vec<Finding>) {
    let bytes = text.as_bytes();
    for word in words.iter().filter(|word| word.len() == 2) {
        let is_pair = |at: usize| bytes[at..at + 2].iter().all(u8::is_ascii_hexdigit);
        let mut start = word.start;
        while start >= 3 && word.start - start < MAC_BYTES && bytes[start - 1] == b'-' && is_pair(start - 3) {
            start -= 3;
        }
        if let Some(address) = bytes.get(start..start + MAC_BYTES)
            && is_mac(address, b'-')
            && is_free(text, start, start + MAC_BYTES, '-')
        {
            found.push(Finding { kind: PiiKind::Mac, start, end: start + MAC_BYTES });
        }
    }
}

/// `firmware 2.0.1.14` is no address.
fn is_version(before: &str) -> bool {
    let bytes = before.as_bytes();
    let bytes = bytes.strip_suffix(b" ").unwrap_or(bytes);
    let ends = |word: &[u8]| bytes.len() >= word.len() && bytes[bytes.len() - word.len()..].eq_ignore_ascii_case(word);
    let is_v = ends(b"v") && !bytes.iter().rev().nth(1).is_some_and(|b| b.is_ascii_alphanumeric() || *b >= 0x80);
    is_v || [&b"version"[..], b"firmware", b"release", b"build"].into_iter().any(ends)
}

/// Nothing before or after that would make this a part of something longer.
fn is_free(text: &str, start: usize, end: usize, joint: char) -> bool {
    let before = char_before(text, start).is_some_and(|c| c.is_alphanumeric() || c == joint || c == '-');
    let mut after = text[end..].chars();
    let joined = match after.next() {
        Some(c) if c == joint => after.next().is_some_and(char::is_alphanumeric),
        Some(c) => c.is_alphanumeric(),
        None => false,
    };
    !before && !joined && char_at(text, end) != Some('%')
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::detect::{check, marks::Marks};

    fn search(text: &str, found: &mut Vec<Finding>) {
        let marks = Marks::of(text);
        marks.runs().for_each(|run| find_v4(text, run, found));
        find_at_colons(text, &marks.colons, found);
        find_hyphened_mac(text, &marks.words, found);
    }

    #[test]
    fn addresses_are_found_and_versions_and_times_are_not() {
        check(
            search,
            &[
                ("from 203.0.113.7.", &["203.0.113.7"]),
                ("[2001:db8::ff00:42:8329]", &["2001:db8::ff00:42:8329"]),
                ("at fe80:0:0:0:1:2:3:4: no", &["fe80:0:0:0:1:2:3:4"]),
                ("at fe80::1, ::ffff:203.0.113.7.", &["fe80::1", "::ffff:203.0.113.7"]),
                ("300.1.1.1 and 1.2.3.4.5", &[]),
                ("firmware 2.0.1.14, v1.2.3.4", &[]),
                ("at 10:30:15, std::io::a, be::ad, ::1", &[]),
            ],
        );
    }

    #[test]
    fn hardware_addresses_have_six_pairs() {
        check(
            search,
            &[
                ("eth0 02:42:ac:11:00:02 up", &["02:42:ac:11:00:02"]),
                ("02-42-AC-11-00-02, ab-cd-ef-ab-cd-01", &["02-42-AC-11-00-02", "ab-cd-ef-ab-cd-01"]),
                ("02:42:ac:11:00, 02:42:ac:11:00:02:", &["02:42:ac:11:00:02"]),
                ("00:00:00:00:00:00 ff:ff:ff:ff:ff:ff", &[]),
                ("02-42-AC-11-00-02-03", &[]),
            ],
        );
    }
}
