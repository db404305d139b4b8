//! The figures of a data card, gathered row by row.

use loopwright_guard::PiiKind;
use loopwright_types::{
    Example,
    dataset::{DataCard, LengthBin, Origin},
};
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
    sources: BTreeMap<String, u64>,
    licences: BTreeMap<String, u64>,
    tags: BTreeMap<String, u64>,
    generators: BTreeMap<String, u64>,
    months: BTreeMap<String, BTreeMap<String, u64>>,
    n_words: u64,
    n_bytes: u64,
}

impl Profile {
    /// Takes a row into the figures.
    pub fn add(&mut self, row: &Example) {
        *self.splits.entry(row.split.as_str()).or_default() += 1;
        if !row.label.is_empty() {
            count(&mut self.labels, &row.label);
        }
        count(&mut self.sources, &row.source);
        row.licence.iter().for_each(|licence| count(&mut self.licences, licence));
        row.tags.iter().for_each(|tag| count(&mut self.tags, tag));
        if let Origin::Augmented { generator, .. } = &row.origin {
            count(&mut self.generators, generator);
        }
        if let Some(at) = row.at {
            // RFC 3339 begins with year and month.
            let month = at.to_string().chars().take(7).collect();
            count(self.months.entry(month).or_default(), &row.source);
        }
        self.n_words += row.text.split_whitespace().count() as u64;
        self.n_bytes += row.text.len() as u64;
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
        card.lengths = self.bins();
        card.splits = owned(self.splits);
        card.labels = self.labels;
        card.groups = self.groups;
        card.pii = owned(self.pii);
        card.sources = self.sources;
        card.licences = self.licences;
        card.tags = self.tags;
        card.n_augmented = self.generators;
        card.months = self.months;
        card.n_words = self.n_words;
        card.n_bytes = self.n_bytes;
    }

    /// Rows by length, in bins that end at 1, 2 and 5 times a power of ten: from the first that holds a row to the last.
    fn bins(&self) -> Vec<LengthBin> {
        let Some(longest) = self.lengths.keys().next_back().copied() else { return Vec::new() };
        let ends = (0..).flat_map(|power| [1, 2, 5].map(|factor| factor * 10_u64.saturating_pow(power)));
        let mut bins: Vec<LengthBin> = Vec::new();
        let mut from = 0;
        for chars_max in ends {
            let n_rows = self.lengths.range(from..=chars_max).map(|(_, n)| n).sum();
            if n_rows > 0 || !bins.is_empty() {
                bins.push(LengthBin { chars_max, n_rows });
            }
            if chars_max >= longest {
                break;
            }
            from = chars_max + 1;
        }
        bins
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
    use loopwright_types::Split;

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
            ..Example::default()
        };
        let rows = [
            row("<EMAIL> é", "a", Split::Train),
            row("12", "a", Split::Test),
            Example {
                origin: Origin::Augmented { parent: "r".into(), generator: "noise".into() },
                ..row("<EMAIL> or <EMAIL>", "b", Split::Train)
            },
        ];
        let mut card = DataCard::default();
        fill(&mut card, &rows);
        assert_eq!(card.length_chars, [2, 9, 18, 18]);
        let bins: Vec<(u64, u64)> = card.lengths.iter().map(|bin| (bin.chars_max, bin.n_rows)).collect();
        assert_eq!(bins, [(2, 1), (5, 0), (10, 1), (20, 1)]);
        assert_eq!((card.n_words, card.n_bytes, card.sources["s"]), (6, 30, 3));
        assert_eq!((card.splits["train"], card.labels["a"], card.pii["email"]), (2, 2, 3));
        assert_eq!(card.n_augmented, BTreeMap::from([("noise".to_string(), 1)]));
        fill(&mut card, &[]);
        assert_eq!(card.length_chars, [0; 4]);
    }

    #[test]
    fn every_mask_begins_with_the_sign_that_is_looked_for_first() {
        assert!(PiiKind::ALL.iter().all(|kind| kind.mask().starts_with('<')));
    }
}
