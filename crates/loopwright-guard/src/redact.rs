//! Finding and masking.

use crate::{
    Finding, RedactPolicy, Redacted,
    detect::{
        self,
        known::{Literal, Literals},
        marks::{Marks, REACH_BYTES},
    },
    overlap,
};
use std::ops::Range;

/// Passes over one text. Each pass but the last masks at least one more span; real texts need two or three.
const PASSES_MAX: usize = 32;
/// Around a new mask the text is searched again to the next new line, if that is no farther than this.
const LINE_BYTES_MAX: usize = 4096;

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
        self.redact_with(text, &mut Literals::of(known))
    }

    /// Masks every finding in `text`, the literals among them, and adds what it found to the literals.
    pub(crate) fn redact_with(&self, text: &str, literals: &mut Literals) -> Redacted {
        let mut search = Search { redactor: self, text, marks: Marks::default(), walls: Wall::of_masks(text) };
        let mut findings = Vec::new();
        let mut look_everywhere = !literals.is_empty();
        for pass in 0..PASSES_MAX {
            let found = search.pass(pass == 0, look_everywhere, literals);
            if found.is_empty() {
                break;
            }
            look_everywhere = false;
            for finding in &found {
                look_everywhere |= literals.add(Literal::found(finding.kind, &text[finding.start..finding.end]));
            }
            search.build_walls(&found);
            findings.extend(found);
        }
        findings.sort_by_key(|finding| finding.start);
        Redacted { text: apply(text, &findings), findings }
    }
}

/// A span that nothing is found in or across: a mask, or a finding that will become one.
#[derive(Clone, Copy)]
struct Wall {
    start: usize,
    end: usize,
    /// Built after the last pass.
    is_new: bool,
}

impl Wall {
    fn of_masks(text: &str) -> Vec<Self> {
        detect::masks(text).into_iter().map(|(start, end)| Self { start, end, is_new: false }).collect()
    }
}

/// The state between passes: a text, cut by walls into pieces that know nothing of each other.
struct Search<'a> {
    redactor: &'a Redactor,
    text: &'a str,
    marks: Marks,
    walls: Vec<Wall>,
}

impl Search<'_> {
    /// What is to be masked, in order, without overlaps. The first pass searches everything; a later one only near new
    /// walls, because nothing has changed elsewhere, and everywhere for literals if there are new ones.
    fn pass(&mut self, is_first: bool, look_everywhere: bool, literals: &Literals) -> Vec<Finding> {
        let mut found = Vec::new();
        let mut start = 0;
        let mut after_new = false;
        for index in 0..=self.walls.len() {
            let (end, next, before_new) = match self.walls.get(index) {
                Some(wall) => (wall.start, wall.end, wall.is_new),
                None => (self.text.len(), self.text.len(), false),
            };
            let is_touched = is_first || after_new || before_new;
            if start < end && (is_touched || look_everywhere) {
                let ranges = if is_first {
                    std::iter::once(0..end - start).collect()
                } else {
                    touched(&self.text[start..end], after_new, before_new)
                };
                self.search_piece(start..end, &ranges, (look_everywhere || is_touched).then_some(literals), &mut found);
            }
            (start, after_new) = (next, before_new);
        }
        found.retain(|finding| self.redactor.policy.kinds.contains(&finding.kind));
        overlap::resolve(found)
    }

    fn search_piece(
        &mut self,
        piece: Range<usize>,
        ranges: &[Range<usize>],
        literals: Option<&Literals>,
        found: &mut Vec<Finding>,
    ) {
        let text = &self.text[piece.clone()];
        let n_before = found.len();
        for range in ranges {
            detect::scan(text, range.clone(), &self.redactor.policy.kinds, &mut self.marks, found);
        }
        if let Some(literals) = literals {
            literals.find(text, found);
        }
        for finding in &mut found[n_before..] {
            finding.start += piece.start;
            finding.end += piece.start;
        }
    }

    fn build_walls(&mut self, found: &[Finding]) {
        self.walls.iter_mut().for_each(|wall| wall.is_new = false);
        self.walls.extend(found.iter().map(|it| Wall { start: it.start, end: it.end, is_new: true }));
        self.walls.sort_by_key(|wall| wall.start);
    }
}

/// The parts of a piece that lie near a new wall at its beginning or end.
fn touched(piece: &str, at_start: bool, at_end: bool) -> Vec<Range<usize>> {
    let head = if at_start { line_end(piece, REACH_BYTES) } else { 0 };
    let tail = if at_end { line_start(piece, piece.len().saturating_sub(REACH_BYTES)) } else { piece.len() };
    if head >= tail {
        return std::iter::once(0..piece.len()).collect();
    }
    [0..head, tail..piece.len()].into_iter().filter(|range| !range.is_empty()).collect()
}

fn line_end(piece: &str, at: usize) -> usize {
    let rest = piece.as_bytes().get(at..).unwrap_or_default();
    let newline = rest.iter().take(LINE_BYTES_MAX).position(|byte| *byte == b'\n');
    let end = (at + newline.map_or(LINE_BYTES_MAX, |index| index + 1)).min(piece.len());
    (end..=piece.len()).find(|end| piece.is_char_boundary(*end)).unwrap_or(piece.len())
}

fn line_start(piece: &str, at: usize) -> usize {
    let newline = piece.as_bytes()[..at].iter().rev().take(LINE_BYTES_MAX).position(|byte| *byte == b'\n');
    let start = at.saturating_sub(newline.unwrap_or(LINE_BYTES_MAX));
    (0..=start).rev().find(|start| piece.is_char_boundary(*start)).unwrap_or(0)
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
