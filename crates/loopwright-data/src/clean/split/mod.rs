//! Deals rows into train, validation and test.
//!
//! No row is judged on a text whose twin was learned from: look-alikes, found at a lower similarity than near-duplicates
//! are removed at, never stand in two splits. Beyond that, `by` says what a held-out row stands for:
//!
//! | by | a held-out row is | how |
//! |---|---|---|
//! | `stratified` | another message of the same kind | whole clusters are dealt, and each label gets its shares; no row is dropped |
//! | `time` | a later message | the oldest rows are train, then validation, then test; rows of one moment stay together |
//! | `group` | another person's message (or another group's, or source's) | whole groups are dealt, and the labels get about their shares |
//!
//! With nothing held out (`train = 1`), all rows are train and look-alikes are not searched.
//!
//! By time and by group the boundary is given, so a cluster may straddle it. Then its rows in the earliest split (train
//! before validation before test) stay and the others are dropped with a reason: to move them would put the future, or
//! the person, into train. By time, rows without a time are dropped too.

mod group;
pub(crate) mod time;

use crate::{
    Error, Result,
    dedup::{NearSettings, clusters},
    draft::{Draft, Reason, StepOutput, drop_rows},
};
use loopwright_types::Split;
use rand::{SeedableRng, seq::SliceRandom};
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

pub use group::GroupBy;

/// The step's name.
pub const STEP: &str = "split";
/// The reason class of rows dropped because a look-alike is in an earlier split.
pub const LEAK: &str = "like_earlier_split";
/// The reason class of rows without a time.
pub const NO_TIME: &str = "no_time";

/// What a held-out row stands for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum By {
    /// Another message of the same kind.
    #[default]
    Stratified,
    /// A later message.
    Time,
    /// Another group's message.
    Group,
}

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
    /// What a held-out row stands for.
    pub by: By,
    /// What makes a group, where rows are split by group.
    pub group_by: GroupBy,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            train: 0.8,
            validation: 0.1,
            test: 0.1,
            cluster_threshold: 0.6,
            by: By::Stratified,
            group_by: GroupBy::Subject,
        }
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

    /// Is anything held out? If not, all rows are there to learn from, and nobody needs to know which are alike.
    pub(crate) fn holds_out(&self) -> bool {
        self.validation > 0.0 || self.test > 0.0
    }

    /// The splits with their shares.
    pub(crate) fn shares(&self) -> [(Split, f64); 3] {
        [(Split::Train, self.train), (Split::Validation, self.validation), (Split::Test, self.test)]
    }
}

/// Gives every row its cluster and its split. Clusters are numbered from 1 in the order of their first rows. A stratified
/// split drops no row; the others drop what the module's docs say.
pub fn apply(mut drafts: Vec<Draft>, settings: &Settings, seed: u64) -> StepOutput {
    if !settings.holds_out() {
        drafts.iter_mut().for_each(|draft| draft.split = Some(Split::Train));
        return drop_rows(STEP, drafts, |_, _| None);
    }
    number_clusters(&mut drafts, settings.cluster_threshold);
    let shares = settings.shares();
    let splits: Vec<Option<Split>> = match settings.by {
        By::Stratified => {
            let rows: Vec<(u64, &str)> = drafts.iter().map(|draft| (draft.cluster, draft.label())).collect();
            let splits = deal(&rows, &shares, seed);
            drafts.iter().map(|draft| splits.get(&draft.cluster).copied()).collect()
        }
        By::Time => time::splits(&drafts.iter().map(|draft| draft.row.at).collect::<Vec<_>>(), &shares),
        By::Group => group::splits(&drafts, settings.group_by, &shares, seed),
    };
    drafts.iter_mut().zip(splits).for_each(|(draft, split)| draft.split = split);
    let firsts = earliest(&drafts);
    drop_rows(STEP, drafts, |_, draft| {
        let Some(split) = draft.split else { return Some(no_time()) };
        let (earliest, row_id) = firsts.get(&draft.cluster)?;
        (split != *earliest).then(|| leak(row_id, *earliest))
    })
}

/// Why a row without a time goes.
pub(crate) fn no_time() -> Reason {
    Reason::new(NO_TIME, "its source gives no time")
}

/// Why a row goes that is like one of an earlier split.
pub(crate) fn leak(row_id: &str, earliest: Split) -> Reason {
    Reason::new(LEAK, format!("like {row_id} of the {} split", earliest.as_str()))
}

fn number_clusters(drafts: &mut [Draft], threshold: f64) {
    let texts: Vec<&str> = drafts.iter().map(|draft| draft.row.text.as_str()).collect();
    let found = clusters(&texts, &NearSettings::looser(threshold));
    let mut numbers: BTreeMap<usize, u64> = BTreeMap::new();
    for (draft, first) in drafts.iter_mut().zip(&found.first) {
        let next = numbers.len() as u64 + 1;
        draft.cluster = *numbers.entry(*first).or_insert(next);
    }
}

/// For each cluster the earliest split of its rows, and the first row there.
fn earliest(drafts: &[Draft]) -> BTreeMap<u64, (Split, String)> {
    let mut firsts: BTreeMap<u64, (Split, String)> = BTreeMap::new();
    for draft in drafts {
        let Some(split) = draft.split else { continue };
        if firsts.get(&draft.cluster).is_none_or(|(earliest, _)| split < *earliest) {
            firsts.insert(draft.cluster, (split, draft.row.row_id.clone()));
        }
    }
    firsts
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
    use loopwright_types::{SourceRow, Timestamp};
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    const SHARES: [(Split, f64); 3] = [(Split::Train, 0.8), (Split::Validation, 0.1), (Split::Test, 0.1)];

    #[test]
    fn shares_that_do_not_add_up_are_refused() {
        assert!(Settings::default().check().is_ok());
        assert!(Settings { test: 0.3, ..Settings::default() }.check().is_err());
        assert!(Settings { train: 0.0, validation: 0.5, test: 0.5, ..Settings::default() }.check().is_err());
    }

    fn draft(id: usize, text: &str, at: Option<i64>, subject: &str) -> Draft {
        Draft::new(SourceRow {
            row_id: format!("r{id}"),
            text: text.to_string(),
            label: Some(["x", "y"][id % 2].to_string()),
            subject: Some(subject.into()),
            at: at.map(Timestamp),
            ..SourceRow::default()
        })
    }

    /// Texts that share no five characters in a row.
    fn unlike(n: usize) -> String {
        let word = |k: usize| char::from(b'a' + ((n / 26_usize.pow(k as u32)) % 26) as u8).to_string().repeat(6 + k);
        format!("{} {} {}", word(0), word(1), n * 7919)
    }

    fn split_of(out: &StepOutput, id: &str) -> Option<Split> {
        out.drafts.iter().find(|draft| draft.row.row_id == id).and_then(|draft| draft.split)
    }

    #[test]
    fn by_time_train_is_before_validation_before_test() {
        let mut drafts: Vec<Draft> = (0..50).map(|n| draft(n, &unlike(n), Some(1000 - n as i64), "s")).collect();
        drafts.push(draft(50, &unlike(50), None, "s"));
        let out = apply(drafts, &Settings { by: By::Time, ..Settings::default() }, 1);
        assert_eq!((out.drafts.len(), out.count.dropped[NO_TIME]), (50, 1));
        let times = |split| out.drafts.iter().filter(move |it| it.split == Some(split)).filter_map(|it| it.row.at);
        assert_eq!(times(Split::Train).count(), 40);
        assert!(times(Split::Train).max() < times(Split::Validation).min());
        assert!(times(Split::Validation).max() < times(Split::Test).min());
    }

    #[test]
    fn a_look_alike_in_a_later_split_is_dropped_with_its_reason() {
        let twin = "my kettle arrived with a broken lid on monday";
        let mut drafts: Vec<Draft> = (0..20).map(|n| draft(n, &unlike(n), Some(n as i64), "s")).collect();
        drafts[2].row.text = twin.to_string();
        drafts[19].row.text = format!("{twin}!");
        let out = apply(drafts, &Settings { by: By::Time, ..Settings::default() }, 1);
        assert_eq!(split_of(&out, "r2"), Some(Split::Train));
        assert_eq!((out.dropped.len(), out.dropped[0].row_id.as_str()), (1, "r19"));
        assert_eq!(out.dropped[0].reason, "like r2 of the train split");
    }

    #[test]
    fn by_group_no_person_is_in_two_splits() {
        let drafts: Vec<Draft> = (0..200).map(|n| draft(n, &unlike(n), None, &format!("s{}", n % 37))).collect();
        let out = apply(drafts, &Settings { by: By::Group, ..Settings::default() }, 5);
        let mut splits: BTreeMap<String, BTreeSet<Split>> = BTreeMap::new();
        for draft in &out.drafts {
            let subject = draft.row.subject.as_ref().unwrap().as_str().to_string();
            splits.entry(subject).or_default().insert(draft.split.unwrap());
        }
        assert!(splits.len() == 37 && splits.values().all(|splits| splits.len() == 1));
        let n_test = out.drafts.iter().filter(|draft| draft.split == Some(Split::Test)).count();
        assert!((14..=26).contains(&n_test), "{n_test}");
    }

    #[test]
    fn settings_as_they_were_still_read_as_stratified() {
        let settings: Settings = serde_json::from_str(r#"{"train": 0.7, "validation": 0.2, "test": 0.1}"#).unwrap();
        assert_eq!((settings.by, settings.group_by), (By::Stratified, GroupBy::Subject));
        let by_source: Settings = serde_json::from_str(r#"{"by": "group", "group_by": "source"}"#).unwrap();
        assert_eq!((by_source.by, by_source.group_by), (By::Group, GroupBy::Source));
        assert!(serde_json::from_str::<Settings>(r#"{"by": "chance"}"#).is_err());
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 32, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn no_cluster_straddles_whatever_the_split_is_by(
            rows in prop::collection::vec((0usize..12, 0i64..30, 0usize..6), 1..60), seed in any::<u64>(),
            by in prop::sample::select(vec![By::Stratified, By::Time, By::Group])
        ) {
            let drafts: Vec<Draft> = rows.iter().enumerate()
                .map(|(id, (text, at, subject))| draft(id, &unlike(*text), Some(*at), &format!("s{subject}")))
                .collect();
            let out = apply(drafts, &Settings { by, ..Settings::default() }, seed);
            prop_assert_eq!(out.drafts.len() + out.dropped.len(), rows.len());
            let mut of_text: BTreeMap<&str, Split> = BTreeMap::new();
            for draft in &out.drafts {
                let split = draft.split.unwrap();
                prop_assert_eq!(*of_text.entry(&draft.row.text).or_insert(split), split);
            }
        }
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
