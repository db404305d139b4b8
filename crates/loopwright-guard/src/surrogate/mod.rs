//! Stand-ins: each found value is replaced by another of the same kind, the same one each time, and can be put back.
//!
//! A mask takes a value away; a stand-in keeps the text natural, so that a model trained on it sees e-mail addresses and
//! names rather than `<EMAIL>`. The stand-in is drawn by HMAC-SHA-256 under a secret, of the kind and the value in its
//! folded form, so that without the secret nobody can tell which value it stands for by trying values. [`Mapping`] knows
//! the way back; [`Mapping::seal`] encrypts it for keeping.
//!
//! | kind | stand-in |
//! |---|---|
//! | card | a number under the test prefixes 400000 (378282 with 15 digits), same grouping, Luhn-valid |
//! | IBAN | same country and shape, valid check digits |
//! | e-mail | a made-up name at example.com, .net or .org (RFC 2606) |
//! | person | names from our own list, in the case of the original |
//! | IP | 198.18.0.0/15 (RFC 2544), then 240.0.0.0/4; 2001:db8::/32 (RFC 3849) |
//! | MAC | a locally administered address |
//! | phone | other digits; the lead (`+` and two digits, or `0`) stays |
//! | date of birth, coordinates | other figures in their ranges; a month's name stays |
//! | the others | other digits and letters in the same places; a check digit is *not* made valid, so that nobody's number is hit |
//!
//! **Limits.** A stand-in may by chance be somebody's real value. Two spellings of a value have stand-ins of the same
//! draw, but where those would be the same string the second is drawn again. [`Surrogates::restore`] puts back every
//! occurrence of a stand-in that stands free, also one that someone wrote by themselves. Texts are one dataset as long
//! as they go through one [`Surrogates`], or one resumed from its mapping.

mod draw;
mod mapping;
mod names;

use crate::{Finding, PiiKind, detect};
use aho_corasick::{AhoCorasick, MatchKind};
pub use mapping::{Mapping, MappingError, SealedMapping};

/// Replaces findings by stand-ins, consistently over a dataset.
///
/// ```
/// use loopwright_guard::{RedactPolicy, Redactor, Surrogates};
///
/// let text = "Ana wrote from ana@mail.example, then ana@mail.example wrote again.";
/// let found = Redactor::new(&RedactPolicy::default()).redact(text, &[]).findings;
/// let mut surrogates = Surrogates::new(&[7; 32]);
/// let replaced = surrogates.replace(text, &found);
/// assert!(!replaced.contains("ana@mail") && replaced.contains("@example."));
/// assert_eq!(Surrogates::restore(&replaced, surrogates.mapping()), text);
/// ```
pub struct Surrogates {
    key: [u8; 32],
    mapping: Mapping,
}

impl Surrogates {
    /// Begins a dataset under a secret of 32 random bytes.
    pub fn new(key: &[u8; 32]) -> Self {
        Self::resume(key, Mapping::default())
    }

    /// Goes on with a dataset whose mapping was kept.
    pub fn resume(key: &[u8; 32], mapping: Mapping) -> Self {
        Self { key: *key, mapping }
    }

    /// The way back, as far as it is needed for what was replaced up to now.
    pub fn mapping(&self) -> &Mapping {
        &self.mapping
    }

    /// The text with each finding (sorted, disjoint, as [`crate::Redacted::findings`] are) replaced by its stand-in.
    pub fn replace(&mut self, text: &str, findings: &[Finding]) -> String {
        let mut replaced = String::with_capacity(text.len());
        let mut done = 0;
        for finding in findings {
            replaced.push_str(&text[done..finding.start]);
            let is_joined = Self::is_joined(text, finding);
            replaced.push_str(&self.stand_in(finding.kind, &text[finding.start..finding.end], is_joined));
            done = finding.end;
        }
        replaced.push_str(&text[done..]);
        replaced
    }

    /// Gives a value its stand-in before any text holds it. `is_joined`: it is found inside a longer word.
    pub fn assign(&mut self, kind: PiiKind, original: &str, is_joined: bool) {
        self.stand_in(kind, original, is_joined);
    }

    /// The text with each finding replaced by the stand-in that a mapping has for it, or masked if it has none.
    pub fn replace_known(text: &str, findings: &[Finding], mapping: &Mapping) -> String {
        let mut replaced = String::with_capacity(text.len());
        let mut done = 0;
        for finding in findings {
            let stand_in = mapping.stand_in(finding.kind, &text[finding.start..finding.end]);
            replaced.push_str(&text[done..finding.start]);
            replaced.push_str(stand_in.unwrap_or(finding.kind.mask()));
            done = finding.end;
        }
        replaced.push_str(&text[done..]);
        replaced
    }

    /// Does a finding stand inside a longer word, so that its stand-in will, too?
    pub fn is_joined(text: &str, finding: &Finding) -> bool {
        !is_free(text, finding.start, finding.end)
    }

    /// The text with every stand-in of this mapping replaced by the value it stands for.
    pub fn restore(text: &str, mapping: &Mapping) -> String {
        let entries: Vec<_> = mapping.by_stand_in.iter().collect();
        let automaton = AhoCorasick::builder()
            .match_kind(MatchKind::LeftmostLongest)
            .build(entries.iter().map(|(stand_in, _)| stand_in.as_str()))
            .expect("stand-ins are short and fewer than the automaton's limit");
        let mut restored = String::with_capacity(text.len());
        let mut done = 0;
        for m in automaton.find_iter(text) {
            let (_, value) = entries[m.pattern().as_usize()];
            if value.is_joined || is_free(text, m.start(), m.end()) {
                restored.push_str(&text[done..m.start()]);
                restored.push_str(&value.original);
                done = m.end();
            }
        }
        restored.push_str(&text[done..]);
        restored
    }

    /// The value's stand-in: the one it has, or the first draw that nothing else has.
    fn stand_in(&mut self, kind: PiiKind, original: &str, is_joined: bool) -> String {
        if let Some(known) = self.mapping.stand_in(kind, original) {
            let known = known.to_string();
            self.mapping.add(kind, original, &known, is_joined);
            return known;
        }
        let mut attempt = 0;
        loop {
            let drawn = draw::draw(&self.key, kind, original, attempt);
            if drawn != original && self.mapping.is_free(&drawn) {
                self.mapping.add(kind, original, &drawn, is_joined);
                return drawn;
            }
            attempt += 1;
        }
    }
}

/// No letter or digit directly before or after?
fn is_free(text: &str, start: usize, end: usize) -> bool {
    !detect::char_before(text, start).is_some_and(char::is_alphanumeric)
        && !detect::char_at(text, end).is_some_and(char::is_alphanumeric)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{RedactPolicy, Redactor};
    use proptest::prelude::*;
    use std::collections::{BTreeMap, BTreeSet};

    fn of(kind: PiiKind, value: &str) -> String {
        Surrogates::new(&[1; 32]).stand_in(kind, value, false)
    }

    #[test]
    fn stand_ins_are_found_as_the_same_kind() {
        let redactor = Redactor::new(&RedactPolicy::default());
        for (kind, value) in [
            (PiiKind::Card, "4111 1111 1111 1111"),
            (PiiKind::Card, "378282246310005"),
            (PiiKind::Iban, "GB29 NWBK 6016 1331 9268 19"),
            (PiiKind::Email, "ana@mail.example"),
            (PiiKind::Ip, "203.0.113.7"),
            (PiiKind::Ip, "2001:db8::ff00:42:8329"),
            (PiiKind::Mac, "02-42-AC-11-00-02"),
            (PiiKind::Phone, "+44 7700 900123"),
        ] {
            let stand_in = of(kind, value);
            let found = redactor.redact(&stand_in, &[]).findings;
            assert_eq!((found[0].kind, found[0].end), (kind, stand_in.len()), "{value} -> {stand_in}");
            assert_ne!(stand_in, value);
        }
    }

    #[test]
    fn the_same_secret_gives_the_same_and_another_another() {
        let other = Surrogates::new(&[2; 32]).stand_in(PiiKind::Email, "ana@mail.example", false);
        assert_eq!(of(PiiKind::Email, "ana@mail.example"), of(PiiKind::Email, "ana@mail.example"));
        assert_ne!(of(PiiKind::Email, "ana@mail.example"), other);
        let digits = |text: &str| text.chars().filter(char::is_ascii_digit).collect::<String>();
        assert_eq!(digits(&of(PiiKind::Card, "4111111111111111")), digits(&of(PiiKind::Card, "4111-1111-1111-1111")));
    }

    #[test]
    fn names_keep_their_case() {
        assert!(of(PiiKind::Person, "ANA RUIZ").chars().all(|c| !c.is_lowercase()));
        assert!(of(PiiKind::Person, "ana ruiz").chars().all(|c| !c.is_uppercase()));
        assert!(of(PiiKind::Person, "Ana").starts_with(char::is_uppercase));
    }

    #[test]
    fn a_name_inside_a_longer_word_is_put_back_and_a_word_that_holds_a_stand_in_is_left() {
        let mut surrogates = Surrogates::new(&[1; 32]);
        let finding = Finding { kind: PiiKind::Person, start: 5, end: 8 };
        let replaced = surrogates.replace("user ana77", &[finding]);
        assert_eq!(Surrogates::restore(&replaced, surrogates.mapping()), "user ana77");
        let mut surrogates = Surrogates::new(&[1; 32]);
        let stand_in = surrogates.stand_in(PiiKind::Person, "Ana", false);
        let longer = format!("{stand_in}bel");
        assert_eq!(Surrogates::restore(&longer, surrogates.mapping()), longer);
    }

    fn value() -> impl Strategy<Value = (PiiKind, String)> {
        let kind = prop::sample::select(PiiKind::ALL.to_vec());
        let value = "[A-Z][a-z]{1,5}( [A-Z][a-z]{1,4})?|[0-9]{1,6}|[0-9]{4} [0-9]{4}|[a-c]{1,2}@[a-c]\\.example|DE[0-9]{2} [0-9]{4}|é{1,2}";
        (kind, value)
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn stand_ins_never_collide_and_go_back(values in prop::collection::vec(value(), 1..60)) {
            let mut surrogates = Surrogates::new(&[3; 32]);
            let mut text = String::new();
            let mut findings = Vec::new();
            for (kind, value) in &values {
                text.push_str("| ");
                findings.push(Finding { kind: *kind, start: text.len(), end: text.len() + value.len() });
                text.push_str(value);
                text.push_str(" |");
            }
            let replaced = surrogates.replace(&text, &findings);
            let distinct: BTreeSet<_> = values.iter().collect();
            let stand_ins: BTreeMap<_, _> =
                distinct.iter().map(|(kind, value)| (surrogates.mapping().stand_in(*kind, value).unwrap(), (kind, value))).collect();
            prop_assert_eq!(stand_ins.len(), distinct.len(), "two values share a stand-in");
            prop_assert_eq!(Surrogates::restore(&replaced, surrogates.mapping()), text);
        }
    }
}
