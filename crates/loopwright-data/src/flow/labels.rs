//! Labels as small numbers: four bytes a row instead of a word.

use crate::draft::Draft;
use std::collections::BTreeMap;

/// The label of each row seen.
#[derive(Clone, Debug, Default)]
pub(crate) struct Labels {
    numbers: BTreeMap<String, u32>,
    of_rows: Vec<u32>,
}

impl Labels {
    /// Bytes in memory per row.
    pub(crate) const ROW_BYTES: u64 = 4;

    /// Notes the labels of the next rows.
    pub(crate) fn look(&mut self, drafts: &[Draft]) {
        drafts.iter().for_each(|draft| self.note(draft.label()));
    }

    /// Notes the label, or whatever else is counted, of the next row.
    pub(crate) fn note(&mut self, label: &str) {
        let number = match self.numbers.get(label) {
            Some(number) => *number,
            None => {
                let number = self.numbers.len() as u32;
                self.numbers.insert(label.to_string(), number);
                number
            }
        };
        self.of_rows.push(number);
    }

    /// How many rows were noted.
    pub(crate) fn n_rows(&self) -> u64 {
        self.of_rows.len() as u64
    }

    /// The labels in order of their names with their numbers of rows, and for each row its label's place in that order.
    pub(crate) fn ranked(self) -> (Vec<(String, u64)>, Vec<u32>) {
        let mut places = vec![0; self.numbers.len()];
        self.numbers.values().enumerate().for_each(|(place, number)| places[*number as usize] = place as u32);
        let mut labels: Vec<(String, u64)> = self.numbers.into_keys().map(|name| (name, 0)).collect();
        let mut of_rows = self.of_rows;
        for label in &mut of_rows {
            *label = places[*label as usize];
            labels[*label as usize].1 += 1;
        }
        (labels, of_rows)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use loopwright_types::SourceRow;

    #[test]
    fn labels_are_ranked_by_name() {
        let draft = |label: &str| Draft::new(SourceRow { label: Some(label.into()), ..SourceRow::default() });
        let mut labels = Labels::default();
        labels.look(&[draft("b"), draft("c")]);
        labels.look(&[draft("a"), draft("c"), Draft::new(SourceRow::default())]);
        let named = |names: &[(&str, u64)]| names.iter().map(|(name, n)| (name.to_string(), *n)).collect::<Vec<_>>();
        assert_eq!(labels.ranked(), (named(&[("", 1), ("a", 1), ("b", 1), ("c", 2)]), vec![2, 3, 1, 3, 0]));
    }
}
