//! E-mail addresses (RFC 5321 in its everyday part), and the "name (at) host (dot) com" spelling.

use super::pattern;
use crate::{Finding, PiiKind};
use regex::Regex;
use std::sync::LazyLock;

static ADDRESS: LazyLock<Regex> = LazyLock::new(|| {
    pattern(
        r"[\p{L}\p{M}\p{N}_%+.'-]*[\p{L}\p{M}\p{N}_%+-]@(?:[\p{L}\p{N}](?:[\p{L}\p{N}-]*[\p{L}\p{N}])?\.)+\p{L}{2,24}",
    )
});

static SPELT: LazyLock<Regex> = LazyLock::new(|| {
    pattern(
        r"(?i)[\p{L}\p{N}_%+.-]+ ?(?:\(at\)|\[at\]| at )\s?[\p{L}\p{N}-]+(?: ?(?:\(dot\)|\[dot\]| dot ) ?[\p{L}\p{N}-]+)+",
    )
});

pub(super) fn find(text: &str, found: &mut Vec<Finding>) {
    if text.contains('@') {
        for address in ADDRESS.find_iter(text) {
            let lead = address.as_str().len() - address.as_str().trim_start_matches(['.', '\'']).len();
            found.push(Finding { kind: PiiKind::Email, start: address.start() + lead, end: address.end() });
        }
    }
    let spelt = SPELT.find_iter(text).map(|m| Finding { kind: PiiKind::Email, start: m.start(), end: m.end() });
    found.extend(spelt);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::detect::check;

    #[test]
    fn addresses_are_found_whole() {
        check(
            find,
            &[
                ("write to ana.ruiz+shop@mail.example.org.", &["ana.ruiz+shop@mail.example.org"]),
                ("<a_b@c-d.example>", &["a_b@c-d.example"]),
                ("'o'neil@x.example'", &["o'neil@x.example"]),
                ("müller@straße.example", &["müller@straße.example"]),
                ("ana (at) mail (dot) com", &["ana (at) mail (dot) com"]),
                ("ana at mail dot co dot uk ok", &["ana at mail dot co dot uk"]),
                ("meet me at noon", &[]),
                ("a@b, @home, x@localhost", &[]),
            ],
        );
    }
}
