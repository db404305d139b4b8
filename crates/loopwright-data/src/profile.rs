//! The figures of a data card.

use crate::{
    clean::{consent, language},
    draft::Draft,
    recipe::StepSettings,
};
use loopwright_guard::PiiKind;
use loopwright_types::{
    Example,
    dataset::{DataCard, StepCount},
};
use std::collections::BTreeMap;

/// Adds what a step's count says to the card's totals.
pub(crate) fn count_step(card: &mut DataCard, step: &StepSettings, count: &StepCount, kept: &[Draft]) {
    let n_dropped = count.dropped.values().sum::<u64>();
    match step {
        StepSettings::Consent => card.n_opted_out += count.dropped.get(consent::OPTED_OUT).copied().unwrap_or(0),
        StepSettings::ExactDedup => card.n_exact_duplicates += n_dropped,
        StepSettings::NearDedup(_) => card.n_near_duplicates += n_dropped,
        StepSettings::LabelConflict(_) => card.n_label_conflicts += n_dropped,
        StepSettings::Language(_) => {
            kept.iter().for_each(|draft| *card.languages.entry(draft.language.clone()).or_default() += 1);
            for (class, n) in &count.dropped {
                let code = class.strip_prefix(language::CLASS).unwrap_or(class);
                *card.languages.entry(code.to_string()).or_default() += n;
            }
        }
        _ => {}
    }
}

/// Fills in what the kept rows show: splits, labels, groups, lengths, masks.
pub fn fill(card: &mut DataCard, examples: &[Example]) {
    card.splits = counted(examples.iter().map(|row| row.split.as_str()));
    card.labels = counted(examples.iter().map(|row| row.label.as_str()));
    card.groups = counted(examples.iter().filter_map(|row| row.group.as_deref()));
    card.length_chars = length_chars(examples);
    card.pii = BTreeMap::new();
    for kind in PiiKind::ALL {
        let n: usize = examples.iter().map(|row| row.text.matches(kind.mask()).count()).sum();
        if n > 0 {
            card.pii.insert(kind.as_str().to_string(), n as u64);
        }
    }
}

fn counted<'a>(words: impl Iterator<Item = &'a str>) -> BTreeMap<String, u64> {
    let mut counts = BTreeMap::new();
    words.for_each(|word| *counts.entry(word.to_string()).or_default() += 1);
    counts
}

/// Minimum, median, 95th percentile (both by nearest rank) and maximum, in characters.
fn length_chars(examples: &[Example]) -> [u64; 4] {
    let mut lengths: Vec<u64> = examples.iter().map(|row| row.text.chars().count() as u64).collect();
    lengths.sort_unstable();
    let rank = |percent: usize| lengths.get((lengths.len() * percent).div_ceil(100).max(1) - 1).copied().unwrap_or(0);
    [rank(0), rank(50), rank(95), rank(100)]
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
}
