//! Runs of digit groups: the common ground of card and phone numbers.

use std::ops::Range;

/// A group of directly adjacent digits, as a byte range.
pub(super) type Group = Range<usize>;

/// More separators than this between two groups end a run.
const SEPARATORS_MAX: usize = 3;

/// Runs of digit groups with at most three separators (space, `.`, `-`, `/`, parentheses) between neighbours.
pub(super) fn runs(text: &str) -> Vec<Vec<Group>> {
    let bytes = text.as_bytes();
    let mut runs: Vec<Vec<Group>> = Vec::new();
    let mut at = 0;
    while at < bytes.len() {
        if !bytes[at].is_ascii_digit() {
            at += 1;
            continue;
        }
        let start = at;
        while at < bytes.len() && bytes[at].is_ascii_digit() {
            at += 1;
        }
        match runs.last_mut() {
            Some(run) if run.last().is_some_and(|last| are_joined(&text[last.end..start])) => run.push(start..at),
            _ => {
                let group = start..at;
                runs.push(vec![group]);
            }
        }
    }
    runs
}

fn are_joined(between: &str) -> bool {
    let mut n = 0;
    between.chars().all(|c| {
        n += 1;
        n <= SEPARATORS_MAX
            && matches!(c, ' ' | '\u{a0}' | '\u{202f}' | '.' | '-' | '\u{2010}' | '\u{2011}' | '/' | '(' | ')')
    })
}

/// The digits of these groups, one after another.
pub(super) fn digits(text: &str, groups: &[Group]) -> String {
    groups.iter().map(|group| &text[group.clone()]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_end_at_words_and_wide_gaps() {
        let lens = |text: &str| -> Vec<Vec<usize>> {
            runs(text).iter().map(|run| run.iter().map(|g| g.len()).collect()).collect()
        };
        assert_eq!(lens("(020) 79 - 46 and 1,5    7"), [vec![3, 2, 2], vec![1], vec![1], vec![1]]);
        assert!(lens("none").is_empty());
    }
}
