//! The baseline that always says the same.

use super::LabelledText;
use crate::error::{Error, Result};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Answers the most frequent label of its training rows, whatever the text.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Majority {
    label: String,
}

impl Majority {
    /// Counts the labels; ties go to the first in alphabetical order.
    pub fn fit(train: &[LabelledText<'_>]) -> Result<Self> {
        let mut counts: BTreeMap<&str, u64> = BTreeMap::new();
        for row in train {
            *counts.entry(row.label).or_default() += 1;
        }
        let label = counts.iter().rev().max_by_key(|(_, n)| **n).map(|(label, _)| (*label).to_string());
        label.map(|label| Self { label }).ok_or_else(|| Error::Input("expected training rows, got none".into()))
    }

    /// The answer.
    pub fn label(&self) -> &str {
        &self.label
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(labels: &[&str], expected: &str) {
        let rows: Vec<_> = labels.iter().map(|label| LabelledText { text: "", label }).collect();
        assert_eq!(Majority::fit(&rows).unwrap().label(), expected);
    }

    #[test]
    fn the_most_frequent_label_wins_and_ties_go_by_name() {
        check(&["b", "a", "b"], "b");
        check(&["c", "b", "a", "b", "c"], "b");
        assert!(Majority::fit(&[]).is_err());
    }
}
