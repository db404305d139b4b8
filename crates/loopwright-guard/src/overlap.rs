//! One finding per place: overlapping candidates become one span, named after the longest of them.

use crate::{Finding, PiiKind};

/// Joins candidates that overlap. The joined span covers all of them, so that no part of any stays readable; its kind
/// is the kind of the longest member, and among equally long ones the kind that comes first in [`PiiKind::ALL`].
pub(crate) fn resolve(mut candidates: Vec<Finding>) -> Vec<Finding> {
    candidates.retain(|c| c.start < c.end);
    candidates.sort_by_key(|c| (c.start, c.end, c.kind));
    let mut joined: Vec<(Finding, Finding)> = Vec::with_capacity(candidates.len());
    for next in candidates {
        match joined.last_mut() {
            Some((span, longest)) if next.start < span.end => {
                span.end = span.end.max(next.end);
                if rank(&next) < rank(longest) {
                    *longest = next;
                }
            }
            _ => joined.push((next, next)),
        }
    }
    joined.into_iter().map(|(span, longest)| Finding { kind: longest.kind, ..span }).collect()
}

fn rank(finding: &Finding) -> (std::cmp::Reverse<usize>, PiiKind) {
    (std::cmp::Reverse(finding.end - finding.start), finding.kind)
}

#[cfg(test)]
mod tests {
    use super::*;
    use PiiKind::{Card, Email, Person, Phone};

    fn check(candidates: &[(PiiKind, usize, usize)], expected: &[(PiiKind, usize, usize)]) {
        let list = |it: &[(PiiKind, usize, usize)]| -> Vec<Finding> {
            it.iter().map(|&(kind, start, end)| Finding { kind, start, end }).collect()
        };
        assert_eq!(resolve(list(candidates)), list(expected));
        let mut reversed = list(candidates);
        reversed.reverse();
        assert_eq!(resolve(reversed), list(expected), "the order of candidates must not matter");
    }

    #[test]
    fn the_longest_names_the_span_and_kinds_break_ties() {
        check(&[(Person, 0, 4), (Email, 0, 14)], &[(Email, 0, 14)]);
        check(&[(Phone, 0, 16), (Card, 0, 16)], &[(Card, 0, 16)]);
        check(&[(Person, 0, 6), (Email, 4, 14)], &[(Email, 0, 14)]);
        check(&[(Person, 0, 4), (Person, 4, 8)], &[(Person, 0, 4), (Person, 4, 8)]);
        check(&[(Person, 3, 3)], &[]);
    }
}
