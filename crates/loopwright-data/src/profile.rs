//! The figures of a data card, gathered row by row.

use crate::{
    histogram::Histogram,
    recipe::Resources,
    tokens::{TokenCounter, pieces},
};
use loopwright_guard::PiiKind;
use loopwright_types::{
    Example,
    dataset::{DataCard, LengthBin, Origin, RowTokens, TokensBin},
};
use rayon::prelude::*;
use std::collections::BTreeMap;

/// What the rows seen so far show. It grows with the number of labels, groups and different lengths, not of rows.
#[derive(Clone, Debug, Default)]
pub struct Profile<'a> {
    /// Counts tokens; pieces are counted without it.
    counter: Option<TokenCounter<'a>>,
    splits: BTreeMap<&'static str, u64>,
    labels: BTreeMap<String, u64>,
    groups: BTreeMap<String, u64>,
    /// Lengths in characters, and in tokens.
    lengths: Histogram,
    tokens: Histogram,
    pii: BTreeMap<&'static str, u64>,
    sources: BTreeMap<String, u64>,
    licences: BTreeMap<String, u64>,
    tags: BTreeMap<String, u64>,
    generators: BTreeMap<String, u64>,
    months: BTreeMap<String, BTreeMap<String, u64>>,
    n_words: u64,
    n_bytes: u64,
}

impl<'a> Profile<'a> {
    /// Has seen no row yet.
    pub fn new(resources: &Resources<'a>) -> Self {
        Self { counter: resources.tokens.clone(), ..Self::default() }
    }

    /// Takes rows into the figures.
    pub fn add(&mut self, rows: &[Example]) {
        let n_tokens = |row: &Example| match &self.counter {
            Some(counter) => (counter.count)(&row.text),
            None => pieces(&row.text),
        };
        let n_tokens: Vec<u64> = rows.par_iter().map(n_tokens).collect();
        n_tokens.into_iter().for_each(|n| self.tokens.add(n));
        rows.iter().for_each(|row| self.add_row(row));
    }

    fn add_row(&mut self, row: &Example) {
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
        self.lengths.add(row.text.chars().count() as u64);
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
        card.length_chars = self.lengths.spread();
        let bin = |(chars_max, n_rows)| LengthBin { chars_max, n_rows };
        card.lengths = self.lengths.bins().into_iter().map(bin).collect();
        let bin = |(tokens_max, n_rows)| TokensBin { tokens_max, n_rows };
        card.tokens = Some(RowTokens {
            counted_by: self.counter.map_or_else(|| RowTokens::PIECES.to_string(), |counter| counter.name),
            n_tokens: self.tokens.total(),
            per_row: self.tokens.spread(),
            bins: self.tokens.bins().into_iter().map(bin).collect(),
        });
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
}

fn count(counts: &mut BTreeMap<String, u64>, word: &str) {
    match counts.get_mut(word) {
        Some(n) => *n += 1,
        None => {
            counts.insert(word.to_string(), 1);
        }
    }
}

/// Fills in what the kept rows show: splits, labels, groups, lengths, tokens, masks.
pub fn fill(card: &mut DataCard, examples: &[Example], resources: &Resources<'_>) {
    let mut profile = Profile::new(resources);
    profile.add(examples);
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
        fill(&mut card, &rows, Resources::none());
        assert_eq!(card.length_chars, [2, 9, 18, 18]);
        let bins: Vec<(u64, u64)> = card.lengths.iter().map(|bin| (bin.chars_max, bin.n_rows)).collect();
        assert_eq!(bins, [(2, 1), (5, 0), (10, 1), (20, 1)]);
        assert_eq!((card.n_words, card.n_bytes, card.sources["s"]), (6, 30, 3));
        assert_eq!((card.splits["train"], card.labels["a"], card.pii["email"]), (2, 2, 3));
        assert_eq!(card.n_augmented, BTreeMap::from([("noise".to_string(), 1)]));
        // `<`, `EMAIL`, `>`, ` é`; `12`; `<`, `EMAIL`, `>`, ` or`, ` <`, `EMAIL`, `>`.
        let tokens = card.tokens.clone().unwrap();
        assert_eq!((tokens.counted_by.as_str(), tokens.n_tokens, tokens.per_row), ("pieces", 12, [1, 4, 7, 7]));
        let bins: Vec<(u64, u64)> = tokens.bins.iter().map(|bin| (bin.tokens_max, bin.n_rows)).collect();
        assert_eq!(bins, [(1, 1), (2, 0), (5, 1), (10, 1)]);
        let letters = |text: &str| text.len() as u64;
        let counter = TokenCounter { name: "bytes@1".into(), count: &letters };
        fill(&mut card, &rows, &Resources { tokens: Some(counter), ..Resources::default() });
        let tokens = card.tokens.clone().unwrap();
        assert_eq!((tokens.counted_by.as_str(), tokens.n_tokens), ("bytes@1", card.n_bytes));
        fill(&mut card, &[], Resources::none());
        assert_eq!(card.length_chars, [0; 4]);
    }

    #[test]
    fn every_mask_begins_with_the_sign_that_is_looked_for_first() {
        assert!(PiiKind::ALL.iter().all(|kind| kind.mask().starts_with('<')));
    }
}
