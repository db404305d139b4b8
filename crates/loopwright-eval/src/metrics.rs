//! Accuracy, precision, recall, F1 and confusion, from labels and answers.

use crate::{answer::NO_ANSWER, interval::Share};
use loopwright_types::score::ConfusedPair;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// One row's right label and the one that was answered, if any was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outcome<'a> {
    /// The right label.
    pub expected: &'a str,
    /// The answered label; `None` for an answer that is none.
    pub got: Option<&'a str>,
}

impl<'a> Outcome<'a> {
    /// A row with an answer.
    pub fn new(expected: &'a str, got: &'a str) -> Self {
        Self { expected, got: Some(got) }
    }

    /// Was the answer right?
    pub fn is_right(self) -> bool {
        self.got == Some(self.expected)
    }
}

/// How one label fared against all others.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LabelCounts {
    /// Rows with this label.
    pub n_rows: u64,
    /// Rows with this answer.
    pub n_answered: u64,
    /// Rows with both.
    pub n_right: u64,
}

impl LabelCounts {
    /// Share of the answers with this label that are right; 0 if there are none.
    pub fn precision(self) -> f64 {
        ratio(self.n_right, self.n_answered)
    }

    /// Share of the rows with this label that were recognised; 0 if there are none.
    pub fn recall(self) -> f64 {
        ratio(self.n_right, self.n_rows)
    }

    /// Harmonic mean of precision and recall: 2·right / (rows + answers).
    pub fn f1(self) -> f64 {
        ratio(2 * self.n_right, self.n_rows + self.n_answered)
    }
}

fn ratio(part: u64, whole: u64) -> f64 {
    if whole == 0 { 0.0 } else { part as f64 / whole as f64 }
}

/// Right answers out of all rows.
pub fn accuracy(outcomes: &[Outcome<'_>]) -> Share {
    Share::of(outcomes.iter().map(|o| o.is_right()))
}

/// Counts for every label that some row carries. An answered label that no row carries has no entry: it shows as a
/// miss of the right label.
pub fn by_label(outcomes: &[Outcome<'_>]) -> BTreeMap<String, LabelCounts> {
    let mut counts: BTreeMap<&str, LabelCounts> = BTreeMap::new();
    for outcome in outcomes {
        let entry = counts.entry(outcome.expected).or_default();
        entry.n_rows += 1;
        entry.n_right += u64::from(outcome.is_right());
    }
    for got in outcomes.iter().filter_map(|o| o.got) {
        if let Some(entry) = counts.get_mut(got) {
            entry.n_answered += 1;
        }
    }
    counts.into_iter().map(|(label, count)| (label.to_string(), count)).collect()
}

/// Unweighted mean of the labels' F1 over the labels that rows carry; 0 without rows.
///
/// ```
/// use loopwright_eval::metrics::{Outcome, macro_f1};
/// // a: precision 2/3, recall 2/2, F1 4/5. b: precision 1/1, recall 1/2, F1 2/3.
/// let rows = [("a", "a"), ("a", "a"), ("b", "a"), ("b", "b")].map(|(e, g)| Outcome::new(e, g));
/// assert!((macro_f1(&rows) - (0.8 + 2.0 / 3.0) / 2.0).abs() < 1e-12);
/// ```
pub fn macro_f1(outcomes: &[Outcome<'_>]) -> f64 {
    let counts = by_label(outcomes);
    if counts.is_empty() { 0.0 } else { counts.values().map(|c| c.f1()).sum::<f64>() / counts.len() as f64 }
}

/// The pairs of labels most often taken for each other, most frequent first, ties by name; at most `n_max`.
pub fn confused_pairs(outcomes: &[Outcome<'_>], n_max: usize) -> Vec<ConfusedPair> {
    let mut counts: BTreeMap<(&str, &str), u64> = BTreeMap::new();
    for outcome in outcomes.iter().filter(|o| !o.is_right()) {
        *counts.entry((outcome.expected, outcome.got.unwrap_or(NO_ANSWER))).or_default() += 1;
    }
    let mut pairs: Vec<_> = counts.into_iter().collect();
    pairs.sort_by_key(|(_, n)| std::cmp::Reverse(*n));
    pairs
        .into_iter()
        .take(n_max)
        .map(|((expected, got), n_rows)| ConfusedPair { expected: expected.to_string(), got: got.to_string(), n_rows })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Worked by hand: a 2 of 3 (one answered b), b 1 of 2 (one without answer), c 0 of 1 (answered z, no row's label).
    fn rows() -> Vec<Outcome<'static>> {
        vec![
            Outcome::new("a", "a"),
            Outcome::new("a", "a"),
            Outcome::new("a", "b"),
            Outcome::new("b", "b"),
            Outcome { expected: "b", got: None },
            Outcome::new("c", "z"),
        ]
    }

    #[test]
    fn counts_by_hand() {
        let counts = by_label(&rows());
        assert_eq!(counts["a"], LabelCounts { n_rows: 3, n_answered: 2, n_right: 2 });
        assert_eq!(counts["b"], LabelCounts { n_rows: 2, n_answered: 2, n_right: 1 });
        assert_eq!(counts["c"], LabelCounts { n_rows: 1, n_answered: 0, n_right: 0 });
        assert!(!counts.contains_key("z"));
        assert_eq!((counts["a"].precision(), counts["b"].precision(), counts["c"].precision()), (1.0, 0.5, 0.0));
        assert_eq!((counts["b"].recall(), counts["c"].f1()), (0.5, 0.0));
        assert_eq!(accuracy(&rows()), Share::new(3, 6));
        assert!((macro_f1(&rows()) - (0.8 + 0.5 + 0.0) / 3.0).abs() < 1e-12);
    }

    #[test]
    fn confusion_is_ordered_and_names_missing_answers() {
        let mut rows = rows();
        rows.push(Outcome::new("c", "z"));
        let pairs = confused_pairs(&rows, 2);
        let pair = |e: &str, g: &str, n| ConfusedPair { expected: e.into(), got: g.into(), n_rows: n };
        assert_eq!(pairs, [pair("c", "z", 2), pair("a", "b", 1)]);
        assert_eq!(confused_pairs(&rows, 9)[2], pair("b", NO_ANSWER, 1));
    }
}
