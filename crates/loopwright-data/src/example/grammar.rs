//! Templates: `[a|b|c]` stands for one of its parts (which may hold brackets themselves), `{name}` for a slot.

use rand::RngExt;
use rand_chacha::ChaCha8Rng;

/// Writes one text out of the many that a template stands for. `slot` gives the words for a slot's name.
pub(super) fn expand(
    template: &str,
    rng: &mut ChaCha8Rng,
    slot: &mut dyn FnMut(&str, &mut ChaCha8Rng) -> String,
) -> String {
    let mut text = String::new();
    let mut rest = template;
    while let Some(at) = rest.find(['[', '{']) {
        text.push_str(&rest[..at]);
        let end = closing(rest, at);
        let inner = &rest[at + 1..end];
        if rest.as_bytes()[at] == b'[' {
            let parts = alternatives(inner);
            let part = parts[rng.random_range(0..parts.len())];
            text.push_str(&expand(part, rng, slot));
        } else {
            text.push_str(&slot(inner, rng));
        }
        rest = &rest[end + 1..];
    }
    text.push_str(rest);
    text
}

/// Where the bracket that opens at `at` closes.
fn closing(template: &str, at: usize) -> usize {
    let mut depth = 0;
    for (index, byte) in template.bytes().enumerate().skip(at) {
        match byte {
            b'[' | b'{' => depth += 1,
            b']' | b'}' => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return index;
        }
    }
    unreachable!("a template of the program closes its brackets: a test expands every one")
}

/// The parts between the bars of the outermost level.
fn alternatives(inner: &str) -> Vec<&str> {
    let mut parts = Vec::new();
    let (mut depth, mut start) = (0, 0);
    for (index, byte) in inner.bytes().enumerate() {
        match byte {
            b'[' => depth += 1,
            b']' => depth -= 1,
            b'|' if depth == 0 => {
                parts.push(&inner[start..index]);
                start = index + 1;
            }
            _ => {}
        }
    }
    parts.push(&inner[start..]);
    parts
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng;
    use std::collections::BTreeSet;

    #[test]
    fn every_alternative_is_reached_and_slots_are_filled() {
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        let mut draw = || expand("a[ b| c[1|2]|]{x}.", &mut rng, &mut |name, _| name.to_uppercase());
        let texts: BTreeSet<String> = (0..200).map(|_| draw()).collect();
        assert_eq!(texts, ["a bX.", "a c1X.", "a c2X.", "aX."].map(String::from).into());
    }
}
