//! Finding and masking.

use crate::{
    Finding, RedactPolicy, Redacted,
    detect::{self, known::Literal},
    overlap,
};

/// Passes over one text. Each pass but the last masks at least one more span; real texts need two or three.
const PASSES_MAX: usize = 32;

/// Masks personal data and secrets under a policy. Cheap to make and to clone; its patterns are compiled once for all.
#[derive(Clone, Debug)]
pub struct Redactor {
    policy: RedactPolicy,
}

impl Redactor {
    /// A redactor that masks the kinds of this policy.
    pub fn new(policy: &RedactPolicy) -> Self {
        Self { policy: policy.clone() }
    }

    /// Masks every finding in `text`.
    ///
    /// `known` are identifying strings of the text's author (name, e-mail, phone, card, customer number): they are
    /// masked wherever they appear, in any case, spacing or digit grouping, and the parts of a name on their own too.
    /// What one pass finds, the next looks for everywhere: a name given away by "my name is …" is masked in the
    /// sign-off as well.
    pub fn redact(&self, text: &str, known: &[String]) -> Redacted {
        let mut literals = detect::known::literals(known);
        let mut masked = Redacted { text: text.to_string(), findings: Vec::new() };
        for _ in 0..PASSES_MAX {
            let found = self.find(&masked.text, &literals);
            if found.is_empty() {
                break;
            }
            literals.extend(found.iter().map(|f| Literal::found(f.kind, &masked.text[f.start..f.end])));
            let mut findings: Vec<Finding> = found.iter().map(|f| to_original(f, &masked.findings)).collect();
            findings.append(&mut masked.findings);
            findings.sort_by_key(|f| f.start);
            masked = Redacted { text: apply(text, &findings), findings };
        }
        masked
    }

    /// What is to be masked in `text`, in order, without overlaps; masks that stand in it already are left alone.
    fn find(&self, text: &str, literals: &[Literal]) -> Vec<Finding> {
        let masks = detect::masks(text);
        let mut candidates = detect::candidates(text, literals, &masks);
        candidates.retain(|c| {
            self.policy.kinds.contains(&c.kind) && !masks.iter().any(|&(start, end)| c.start < end && start < c.end)
        });
        overlap::resolve(candidates)
    }
}

/// The text with each finding (sorted, disjoint) replaced by its mask.
fn apply(text: &str, findings: &[Finding]) -> String {
    let mut masked = String::with_capacity(text.len());
    let mut done = 0;
    for finding in findings {
        masked.push_str(&text[done..finding.start]);
        masked.push_str(finding.kind.mask());
        done = finding.end;
    }
    masked.push_str(&text[done..]);
    masked
}

/// Moves a finding of the masked text back to the original text, given what was masked in it. The finding touches no mask.
fn to_original(finding: &Finding, masked: &[Finding]) -> Finding {
    let (mut removed, mut added) = (0, 0);
    for earlier in masked {
        let mask_end = earlier.start - removed + added + earlier.kind.mask().len();
        if mask_end > finding.start {
            break;
        }
        removed += earlier.end - earlier.start;
        added += earlier.kind.mask().len();
    }
    Finding { kind: finding.kind, start: finding.start - added + removed, end: finding.end - added + removed }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::PiiKind;

    fn check(text: &str, known: &[&str], expected: &str) {
        let redactor = Redactor::new(&RedactPolicy::default());
        let known: Vec<String> = known.iter().map(|k| k.to_string()).collect();
        let masked = redactor.redact(text, &known);
        assert_eq!(masked.text, expected);
        assert_eq!(apply(text, &masked.findings), masked.text, "positions are those of the original");
    }

    #[test]
    fn a_name_found_once_is_masked_everywhere() {
        check(
            "Hi, my name is Ilse Brandt. It is late.\nThanks, Ilse Brandt",
            &[],
            "Hi, my name is <PERSON>. It is late.\nThanks, <PERSON>",
        );
    }

    #[test]
    fn known_identifiers_are_masked_in_any_spelling() {
        let known = ["José Núñez", "jose.nunez@mail.example", "+44 7700 900123", "4000 0012 3456 7899", "C-0042"];
        for (text, expected) in [
            ("I, JOSE NUNEZ, ask", "I, <PERSON>, ask"),
            ("nunez, jose", "<PERSON>, <PERSON>"),
            ("user josenunez77", "user <PERSON>77"),
            ("ring 07700 900 123 now", "ring <PHONE> now"),
            ("ring (0044) 7700900123.", "ring <PHONE>."),
            ("card 4000-00123456 7899", "card <CARD>"),
            ("Jose.Nunez @ MAIL.example", "<EMAIL>"),
            ("customer c0042 or C 0042", "customer <ID> or <ID>"),
            ("a nunezian c00421", "a nunezian c00421"),
        ] {
            check(text, &known, expected);
        }
    }

    #[test]
    fn a_part_of_a_name_that_is_a_common_word_needs_its_capital() {
        check("I will write. Will", &["Will Marsh"], "I will write. <PERSON>");
    }

    #[test]
    fn masks_in_the_text_are_left_alone() {
        check("<EMAIL> and <PERSON>, email me", &["Email Person"], "<EMAIL> and <PERSON>, <PERSON> me");
    }

    #[test]
    fn only_the_kinds_of_the_policy_are_masked() {
        let policy = RedactPolicy { kinds: [PiiKind::Email].into() };
        let masked = Redactor::new(&policy).redact("a@b.example +44 7700 900123", &[]);
        assert_eq!(masked.text, "<EMAIL> +44 7700 900123");
    }

    #[test]
    fn positions_stay_right_over_several_passes() {
        check(
            "x@y.example, my name is Ana Ruiz, x@y.example. Ana Ruiz",
            &[],
            "<EMAIL>, my name is <PERSON>, <EMAIL>. <PERSON>",
        );
    }
}
