//! The figures of a data card, gathered row by row.

use loopwright_guard::PiiKind;
use loopwright_types::{Example, dataset::DataCard};
use std::collections::BTreeMap;

/// What the rows seen so far show. It grows with the number of labels, groups and different lengths, not of rows.
#[derive(Clone, Debug, Default)]
pub struct Profile {
    splits: BTreeMap<&'static str, u64>,
    labels: BTreeMap<String, u64>,
    groups: BTreeMap<String, u64>,
    /// Rows per length in characters.
    lengths: BTreeMap<u64, u64>,
    pii: BTreeMap<&'static str, u64>,
}

impl Profile {
    /// Takes a row into the figures.
    pub fn add(&mut self, row: &Example) {
        *self.splits.entry(row.split.as_str()).or_default() += 1;
        count(&mut self.labels, &row.label);
        row.group.iter().for_each(|group| count(&mut self.groups, group));
        *self.lengths.entry(row.text.chars().count() as u64).or_default() += 1;
        // Every mask begins so; most texts have none and need not be searched for each kind.
        if !row.text.contains('<') {
            return;
        }
        for kind in PiiKind::ALL {
            let n = row.text.matches(kind.mask()).count() as u64;
            if n > 0 {
                *self.pii.entry(kind.as_str()).or_default() += n;
            }
        }
    }

    /// Writes the figures into a card.
    pub fn fill(self, card: &mut DataCard) {
        let owned = |counts: BTreeMap<&str, u64>| counts.into_iter().map(|(word, n)| (word.to_string(), n)).collect();
        card.length_chars = [0, 50, 95, 100].map(|percent| self.length_at(percent));
        card.splits = owned(self.splits);
        card.labels = self.labels;
        card.groups = self.groups;
        card.pii = owned(self.pii);
    }

    /// A percentile of the lengths by nearest rank; the 0th is the least.
    fn length_at(&self, percent: u64) -> u64 {
        let n_rows: u64 = self.lengths.values().sum();
        let rank = (n_rows * percent).div_ceil(100).max(1);
        let mut seen = 0;
        let mut at_rank = self.lengths.iter().skip_while(|(_, n)| {
            seen += **n;
            seen < rank
        });
        at_rank.next().map_or(0, |(length, _)| *length)
    }
}

fn count(counts: &mut BTreeMap<String, u64>, word: &str) {
    match counts.get_mut(word) {
        Some(n) => *n += 1,
        None => {
            counts.insert(word.to_string(), 1);
        }
    }
}

/// Fills in what the kept rows show: splits, labels, groups, lengths, masks.
pub fn fill(card: &mut DataCard, examples: &[Example]) {
    let mut profile = Profile::default();
    examples.iter().for_each(|row| profile.add(row));
    profile.fill(card);
}

#[cfg(test)]
mod tests {
    use super::*;
    use loopwright_types::{Split, dataset::Origin};

    #[test]
    fn figures_are_those_of_the_rows() {
        let row = |text: &str, label: &str, split| Example {
            row_id: "r".into(),
            text: text.into(),
            label: label.into(),
            split,
            subject: None,
            group: None,
            language: "eng".into(),
            cluster: 1,
            source: "s".into(),
            origin: Origin::Source,
        };
        let rows = [
            row("<EMAIL> é", "a", Split::Train),
            row("12", "a", Split::Test),
            row("<EMAIL> or <EMAIL>", "b", Split::Train),
        ];
        let mut card = DataCard::default();
        fill(&mut card, &rows);
        assert_eq!(card.length_chars, [2, 9, 18, 18]);
        assert_eq!((card.splits["train"], card.labels["a"], card.pii["email"]), (2, 2, 3));
        fill(&mut card, &[]);
        assert_eq!(card.length_chars, [0; 4]);
    }

    #[test]
    fn every_mask_begins_with_the_sign_that_is_looked_for_first() {
        assert!(PiiKind::ALL.iter().all(|kind| kind.mask().starts_with('<')));
    }
}
