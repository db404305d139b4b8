//! Runs of digit groups: the common ground of every kind of number.

use std::ops::Range;

/// A group of directly adjacent digits, as a byte range.
pub(super) type Group = Range<usize>;

/// More separators than this between two groups end a run.
const SEPARATORS_MAX: usize = 3;
/// No number that we know has more digits.
const DIGITS_MAX: usize = 20;

/// Does what stands between two groups leave them in one run: at most three of space, `.`, `-`, `/`, parentheses?
pub(super) fn are_joined(between: &str) -> bool {
    let mut n = 0;
    between.chars().all(|c| {
        n += 1;
        n <= SEPARATORS_MAX
            && matches!(c, ' ' | '\u{a0}' | '\u{202f}' | '.' | '-' | '\u{2010}' | '\u{2011}' | '/' | '(' | ')')
    })
}

/// A number's digits, one after another.
#[derive(Clone, Copy)]
pub(super) struct Number {
    bytes: [u8; DIGITS_MAX],
    len: usize,
}

impl Number {
    /// The digits of these groups; nothing if there are too many for any number.
    pub(super) fn of(text: &str, groups: &[Group]) -> Option<Self> {
        let mut number = Self { bytes: [0; DIGITS_MAX], len: 0 };
        for group in groups {
            let end = number.len + group.len();
            number.bytes.get_mut(number.len..end)?.copy_from_slice(&text.as_bytes()[group.clone()]);
            number.len = end;
        }
        Some(number)
    }

    /// As ASCII digits.
    pub(super) fn as_str(&self) -> &str {
        std::str::from_utf8(&self.bytes[..self.len]).expect("digits are ASCII")
    }
}

/// The value of each digit of an ASCII number.
pub(super) fn values(number: &str) -> impl DoubleEndedIterator<Item = u32> + Clone + ExactSizeIterator {
    number.bytes().map(|byte| u32::from(byte - b'0'))
}

#[cfg(test)]
pub(super) fn runs(text: &str) -> Vec<Vec<Group>> {
    let marks = super::marks::Marks::of(text);
    marks.runs().map(<[Group]>::to_vec).collect()
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
