//! IP addresses, versions 4 and 6 (RFC 4291 section 2.2 for the text form).

use super::{char_at, char_before, pattern, tail_before};
use crate::{Finding, PiiKind};
use regex::Regex;
use std::{
    net::{Ipv4Addr, Ipv6Addr},
    sync::LazyLock,
};

static V4: LazyLock<Regex> = LazyLock::new(|| pattern(r"\d{1,3}(?:\.\d{1,3}){3}"));
static V6: LazyLock<Regex> =
    LazyLock::new(|| pattern(r"[0-9A-Fa-f]{0,4}(?::[0-9A-Fa-f]{0,4}){2,8}(?:\d*(?:\.\d{1,3}){3})?"));
static VERSION: LazyLock<Regex> = LazyLock::new(|| pattern(r"(?i)(?:\bv|version|firmware|release|build) ?$"));

pub(super) fn find(text: &str, found: &mut Vec<Finding>) {
    for m in V4.find_iter(text) {
        let free = is_free(text, m.start(), m.end(), '.') && !VERSION.is_match(tail_before(text, m.start(), 12));
        if free && m.as_str().parse::<Ipv4Addr>().is_ok() {
            found.push(Finding { kind: PiiKind::Ip, start: m.start(), end: m.end() });
        }
    }
    if text.contains(':') {
        for m in V6.find_iter(text) {
            let address = m.as_str().strip_suffix(':').filter(|a| !a.ends_with(':')).unwrap_or(m.as_str());
            let end = m.start() + address.len();
            let groups = address.split(':').filter(|group| !group.is_empty()).count();
            if groups >= 3 && is_free(text, m.start(), end, ':') && address.parse::<Ipv6Addr>().is_ok() {
                found.push(Finding { kind: PiiKind::Ip, start: m.start(), end });
            }
        }
    }
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
    use crate::detect::check;

    #[test]
    fn addresses_are_found_and_versions_and_times_are_not() {
        check(
            find,
            &[
                ("from 203.0.113.7.", &["203.0.113.7"]),
                ("[2001:db8::ff00:42:8329]", &["2001:db8::ff00:42:8329"]),
                ("at fe80:0:0:0:1:2:3:4: no", &["fe80:0:0:0:1:2:3:4"]),
                ("300.1.1.1 and 1.2.3.4.5", &[]),
                ("firmware 2.0.1.14, v1.2.3.4", &[]),
                ("at 10:30:15, std::io::a", &[]),
            ],
        );
    }
}
