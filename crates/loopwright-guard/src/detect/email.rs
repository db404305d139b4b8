//! E-mail addresses (RFC 5321 in its everyday part), and the "name (at) host (dot) com" spelling.

use super::{cue::Cue, cue::Hit};
use crate::{Finding, PiiKind};
use unicode_normalization::char::is_combining_mark;

/// Bytes of a part before the `@` that are looked at. RFC 5321 section 4.5.3.1.1 allows 64 octets.
const LOCAL_BYTES_MAX: usize = 160;
/// Bytes of a domain (RFC 5321 section 4.5.3.1.2).
const DOMAIN_BYTES_MAX: usize = 255;
/// Letters of a top-level domain.
const TOP_LETTERS: std::ops::RangeInclusive<usize> = 2..=24;

pub(super) fn find(text: &str, ats: &[usize], hits: &[Hit], found: &mut Vec<Finding>) {
    let found_at = ats.iter().filter_map(|&at| Some((local_start(text, at)?, domain_end(text, at + 1)?)));
    let spelt = hits.iter().filter(|hit| hit.cue == Cue::Dot).filter_map(|hit| spelt(text, hit));
    found.extend(found_at.chain(spelt).map(|(start, end)| Finding { kind: PiiKind::Email, start, end }));
}

/// Where the part before the `@` begins.
fn local_start(text: &str, at: usize) -> Option<usize> {
    let mut start = at;
    for (index, c) in text[..at].char_indices().rev() {
        let fits = c.is_alphanumeric() || is_combining_mark(c) || matches!(c, '_' | '%' | '+' | '.' | '\'' | '-');
        if !fits || at - index > LOCAL_BYTES_MAX || (start == at && matches!(c, '.' | '\'')) {
            break;
        }
        start = index;
    }
    let local = text[start..at].trim_start_matches(['.', '\'']);
    (!local.is_empty() && !is_password(&text[..start])).then_some(at - local.len())
}

/// Does `://user:` stand before this? Then what follows is a password, and the detector of secrets has it.
fn is_password(before: &str) -> bool {
    let Some(rest) = before.strip_suffix(':') else { return false };
    let from = rest.len() - rest.bytes().rev().take(64).take_while(|b| !b.is_ascii_whitespace() && *b != b'/').count();
    rest.as_bytes()[..from].ends_with(b"://")
}

/// Where the domain that begins here ends; nothing if it is none.
fn domain_end(text: &str, start: usize) -> Option<usize> {
    let mut end = None;
    let mut label = start;
    while label - start <= DOMAIN_BYTES_MAX {
        let length = length_of(&text[label..], |c| c.is_alphanumeric() || c == '-');
        let whole = &text[label..label + length];
        if whole.is_empty()
            || whole.starts_with('-')
            || whole.ends_with('-')
            || !text[label + length..].starts_with('.')
        {
            break;
        }
        label += length + 1;
        end = top_end(text, label).or(end);
    }
    end
}

/// Where the top-level domain that begins here ends: letters, or the `xn--` spelling of others.
fn top_end(text: &str, start: usize) -> Option<usize> {
    let rest = &text[start..];
    if rest.starts_with("xn--") {
        return Some(start + length_of(rest, |c| c.is_ascii_alphanumeric() || c == '-'));
    }
    let letters = rest.chars().take(*TOP_LETTERS.end()).take_while(|c| c.is_alphabetic());
    let (n, length) = letters.fold((0, 0), |(n, length), c| (n + 1, length + c.len_utf8()));
    TOP_LETTERS.contains(&n).then_some(start + length)
}

/// Bytes of the characters from the start that fit, at most a domain's worth.
fn length_of(text: &str, fits: impl Fn(char) -> bool) -> usize {
    let mut length = 0;
    for c in text.chars().take_while(|c| fits(*c)) {
        length += c.len_utf8();
        if length > DOMAIN_BYTES_MAX {
            break;
        }
    }
    length
}

/// An address that is spelt out, by its first "dot".
fn spelt(text: &str, dot: &Hit) -> Option<(usize, usize)> {
    let host = trim_chars(text[..dot.start].strip_suffix(' ').unwrap_or(&text[..dot.start]), is_label);
    if host.len() == dot.start {
        return None;
    }
    let tight = host.strip_suffix(char::is_whitespace).unwrap_or(host);
    let is_spaced = tight.len() < host.len();
    let local = strip_suffix_any_case(tight, "(at)")
        .or_else(|| strip_suffix_any_case(tight, "[at]"))
        .or_else(|| strip_suffix_any_case(tight, " at").filter(|_| is_spaced))?;
    let local = local.strip_suffix(' ').unwrap_or(local);
    let start = trim_chars(local, |c| is_label(c) || matches!(c, '_' | '%' | '+' | '.')).len();
    (start < local.len()).then(|| (start, spelt_end(text, dot.start)))
}

fn is_label(c: char) -> bool {
    c.is_alphanumeric() || c == '-'
}

/// The text without the fitting characters at its end, at most so many as a local part has.
fn trim_chars(text: &str, fits: impl Fn(char) -> bool) -> &str {
    let mut start = text.len();
    for (index, c) in text.char_indices().rev() {
        if !fits(c) || text.len() - index > LOCAL_BYTES_MAX {
            break;
        }
        start = index;
    }
    &text[..start]
}

fn strip_suffix_any_case<'a>(text: &'a str, suffix: &str) -> Option<&'a str> {
    let start = text.len().checked_sub(suffix.len())?;
    let tail = text.get(start..)?;
    tail.eq_ignore_ascii_case(suffix).then(|| &text[..start])
}

/// Where the labels that follow "dot" end, the first of which begins the walk.
fn spelt_end(text: &str, first_dot: usize) -> usize {
    let mut end = first_dot;
    while end - first_dot <= DOMAIN_BYTES_MAX {
        let rest = &text[end..];
        let rest = rest.strip_prefix(' ').unwrap_or(rest);
        let dot = ["(dot)", "[dot]", "dot "].into_iter().find(|dot| {
            rest.get(..dot.len()).is_some_and(|it| it.eq_ignore_ascii_case(dot))
                && (*dot != "dot " || text[end..].starts_with(' '))
        });
        let Some(dot) = dot else { break };
        let label = rest[dot.len()..].strip_prefix(' ').unwrap_or(&rest[dot.len()..]);
        let length = length_of(label, is_label);
        if length == 0 {
            break;
        }
        end = text.len() - label.len() + length;
    }
    end
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::detect::{check, marks::Marks};

    fn search(text: &str, found: &mut Vec<Finding>) {
        let marks = Marks::of(text);
        find(text, &marks.ats, &marks.hits, found);
    }

    #[test]
    fn addresses_are_found_whole() {
        check(
            search,
            &[
                ("write to ana.ruiz+shop@mail.example.org.", &["ana.ruiz+shop@mail.example.org"]),
                ("<a_b@c-d.example>", &["a_b@c-d.example"]),
                ("'o'neil@x.example'", &["o'neil@x.example"]),
                ("müller@straße.example", &["müller@straße.example"]),
                ("ana (at) mail (dot) com", &["ana (at) mail (dot) com"]),
                ("ana at mail dot co dot uk ok", &["ana at mail dot co dot uk"]),
                ("Ana[at]mail[dot]example, ok", &["Ana[at]mail[dot]example"]),
                ("x@b.xn--p1ai y@sub.c2.example!", &["x@b.xn--p1ai", "y@sub.c2.example"]),
                ("meet me at noon, a dot com boom", &[]),
                ("a@b, @home, x@localhost, a@-b.com, a@b-.com, a@b..com, a.@b.com", &[]),
                ("ftp://ana:pass@host.example/x", &[]),
            ],
        );
    }
}
