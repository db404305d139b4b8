//! Deals rows into train, validation and test.
//!
//! Whole clusters of look-alikes go to one split, at a lower similarity than near-duplicates are removed at, so that no
//! row is judged on a text whose twin was learned from. Within each label the splits get their shares.

use crate::{
    Error, Result,
    dedup::{NearSettings, clusters},
    draft::{Draft, StepOutput, drop_rows},
};
use loopwright_types::Split;
use rand::{SeedableRng, seq::SliceRandom};
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The step's name.
pub const STEP: &str = "split";

/// Shares of the splits, and when rows belong together.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// Share to learn from.
    pub train: f64,
    /// Share to watch while training.
    pub validation: f64,
    /// Share held out for judging.
    pub test: f64,
    /// Jaccard similarity from which rows stay together.
    pub cluster_threshold: f64,
}

impl Default for Settings {
    fn default() -> Self {
        Self { train: 0.8, validation: 0.1, test: 0.1, cluster_threshold: 0.6 }
    }
}

impl Settings {
    /// Refuses shares that do not add up to 1.
    pub fn check(&self) -> Result<()> {
        let shares = [self.train, self.validation, self.test];
        let got = format!("{} + {} + {}", self.train, self.validation, self.test);
        if shares.iter().any(|share| share.is_nan() || *share < 0.0) || (shares.iter().sum::<f64>() - 1.0).abs() > 1e-6
        {
            return Err(Error::setting("split.train + validation + test", got, "shares from 0 that add up to 1"));
        }
        if self.train <= 0.0 {
            return Err(Error::setting("split.train", self.train, "more than 0"));
        }
        NearSettings::looser(self.cluster_threshold).check(STEP)
    }

    /// The splits with their shares.
    pub(crate) fn shares(&self) -> [(Split, f64); 3] {
        [(Split::Train, self.train), (Split::Validation, self.validation), (Split::Test, self.test)]
    }
}

/// Gives every row its cluster and its split; drops none. Clusters are numbered from 1 in the order of their first rows.
pub fn apply(mut drafts: Vec<Draft>, settings: &Settings, seed: u64) -> StepOutput {
    let texts: Vec<&str> = drafts.iter().map(|draft| draft.row.text.as_str()).collect();
    let found = clusters(&texts, &NearSettings::looser(settings.cluster_threshold));
    let mut numbers: BTreeMap<usize, u64> = BTreeMap::new();
    for (draft, first) in drafts.iter_mut().zip(&found.first) {
        let next = numbers.len() as u64 + 1;
        draft.cluster = *numbers.entry(*first).or_insert(next);
    }
    let rows: Vec<(u64, &str)> = drafts.iter().map(|draft| (draft.cluster, draft.label())).collect();
    let splits = deal(&rows, &settings.shares(), seed);
    for draft in &mut drafts {
        draft.split = splits.get(&draft.cluster).copied();
    }
    drop_rows(STEP, drafts, |_, _| None)
}

/// Deals clusters (of rows given as cluster and label) into splits. A cluster counts for the label that most of its
/// rows carry. Label by label, larger clusters first and equal ones in seeded order, each goes where the split is
/// furthest below its share.
pub fn deal(rows: &[(u64, &str)], shares: &[(Split, f64)], seed: u64) -> BTreeMap<u64, Split> {
    let mut labels_of: BTreeMap<u64, BTreeMap<&str, usize>> = BTreeMap::new();
    for (cluster, label) in rows {
        *labels_of.entry(*cluster).or_default().entry(label).or_default() += 1;
    }
    let mut by_label: BTreeMap<&str, Vec<ClusterSize>> = BTreeMap::new();
    for (cluster, labels) in &labels_of {
        // Among equally frequent labels the first in name order, so that the choice is always the same.
        let label = labels.iter().max_by(|a, b| a.1.cmp(b.1).then(b.0.cmp(a.0))).map_or("", |(label, _)| *label);
        by_label.entry(label).or_default().push((labels.values().sum::<usize>() as u64, *cluster));
    }
    let mut splits = BTreeMap::new();
    deal_sized(by_label.into_values(), shares, seed, |cluster, split| {
        splits.insert(cluster, split);
    });
    splits
}

/// A cluster with its number of rows before it.
pub(crate) type ClusterSize = (u64, u64);

/// Deals clusters that come label by label (in order of the labels' names, and within a label by rising number), and
/// tells the split of each.
pub(crate) fn deal_sized(
    by_label: impl Iterator<Item = Vec<ClusterSize>>,
    shares: &[(Split, f64)],
    seed: u64,
    mut tell: impl FnMut(u64, Split),
) {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    for mut clusters in by_label {
        clusters.shuffle(&mut rng);
        clusters.sort_by_key(|(size, _)| std::cmp::Reverse(*size));
        let total: u64 = clusters.iter().map(|(size, _)| size).sum();
        let mut missing: Vec<f64> = shares.iter().map(|(_, share)| share * total as f64).collect();
        for (size, cluster) in clusters {
            // The first of equals: train comes before the others.
            let neediest = (0..shares.len()).rev().max_by(|a, b| missing[*a].total_cmp(&missing[*b])).unwrap_or(0);
            missing[neediest] -= size as f64;
            tell(cluster, shares[neediest].0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SHARES: [(Split, f64); 3] = [(Split::Train, 0.8), (Split::Validation, 0.1), (Split::Test, 0.1)];

    #[test]
    fn shares_that_do_not_add_up_are_refused() {
        assert!(Settings::default().check().is_ok());
        assert!(Settings { test: 0.3, ..Settings::default() }.check().is_err());
        assert!(Settings { train: 0.0, validation: 0.5, test: 0.5, ..Settings::default() }.check().is_err());
    }

    proptest! {
        #[test]
        fn no_cluster_is_in_two_splits_and_the_shares_are_near(
            sizes in prop::collection::vec((1usize..6, 0usize..4), 60..200), seed in any::<u64>()
        ) {
            let names = ["a", "b", "c", "d"];
            let rows: Vec<(u64, &str)> = sizes.iter().enumerate()
                .flat_map(|(cluster, (size, label))| std::iter::repeat_n((cluster as u64, names[*label]), *size))
                .collect();
            let splits = deal(&rows, &SHARES, seed);
            prop_assert_eq!(splits.len(), sizes.len());
            prop_assert_eq!(&splits, &deal(&rows, &SHARES, seed));
            for label in names {
                let of_label: Vec<u64> = rows.iter().filter(|row| row.1 == label).map(|row| row.0).collect();
                for (split, share) in SHARES {
                    let n = of_label.iter().filter(|cluster| splits[cluster] == split).count() as f64;
                    // A split may miss or exceed its share by less than one largest cluster.
                    prop_assert!((n - share * of_label.len() as f64).abs() <= 5.0, "{label} {split:?} {n} of {}", of_label.len());
                }
            }
        }
    }
}
