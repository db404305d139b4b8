//! Which labels are probably wrong? Two witnesses that never saw the row's own label.
//!
//! [`confident`] is confident learning (Northcutt, Jiang and Chuang 2021, "Confident Learning: Estimating Uncertainty in
//! Dataset Labels", JAIR 70): a linear classifier judges every row by the rows of other folds only, a label's threshold is
//! the mean probability that its own rows get for it, and the confident joint counts rows by given label and by the
//! label that they are confidently thought to have. [`neighbours`] asks the most alike rows instead (Wilson 1972 edits
//! a set that way). The two err differently: the classifier on rows with unusual words, the neighbours on rows that say
//! the same in other words. So [`judge`] takes the mean of both probabilities,
//!
//! p = ½ · p(classifier) + ½ · p(neighbours),
//!
//! and ranks the rows by the normalised margin p(given) − max over the others of p(other), from −1 (surely wrong) to 1.
//!
//! ```
//! use loopwright_data::label_check::{self, Settings};
//!
//! let texts = ["where is my parcel", "where is the parcel now", "parcel is where", "my parcel where"].repeat(4);
//! let bills = ["send the bill", "the bill please", "bill for june", "bill again please"].repeat(4);
//! let rows: Vec<&str> = texts.iter().chain(&bills).copied().collect();
//! let mut labels = [vec!["track"; 16], vec!["bill"; 16]].concat();
//! labels[3] = "bill";
//! let found = label_check::judge(&rows, &labels, &Settings::default(), 7)?;
//! assert_eq!(found.ranked[0].row, 3);
//! assert_eq!(found.names[found.ranked[0].suggested], "track");
//! # Ok::<(), loopwright_data::Error>(())
//! ```

pub mod confident;
mod folds;
pub mod neighbours;

use crate::{Error, Result, linear::Features};
use confident::ConfidentJoint;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

pub use folds::cross_validated;

/// How rows are judged.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// Folds of the cross-validation. More folds learn from more rows and take longer.
    pub folds: usize,
    /// Most alike rows that are asked; 0 leaves the judging to the classifier alone.
    pub neighbours: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Self { folds: 5, neighbours: 10 }
    }
}

impl Settings {
    /// Refuses settings that make no sense.
    pub fn check(&self) -> Result<()> {
        if !(2..=20).contains(&self.folds) {
            return Err(Error::setting("label_check.folds", self.folds, "2 to 20"));
        }
        if self.neighbours > 200 {
            return Err(Error::setting("label_check.neighbours", self.neighbours, "0 to 200"));
        }
        Ok(())
    }
}

/// One row and what the two witnesses say of its label.
#[derive(Clone, Debug, PartialEq)]
pub struct JudgedRow {
    /// Its position in the input.
    pub row: usize,
    /// Its label, as a position in [`Judgement::names`].
    pub given: usize,
    /// The likeliest other label.
    pub suggested: usize,
    /// p(given) − p(suggested), from −1 to 1; the lower, the more suspect.
    pub margin: f64,
    /// The probability of the given label.
    pub p_given: f64,
    /// The probability of the suggested label.
    pub p_suggested: f64,
    /// True if the row is off the diagonal of the confident joint: some other label passes its own threshold, and no
    /// label that passes is likelier.
    pub is_confident: bool,
}

/// All rows, the most suspect first, and what they say of the set as a whole.
#[derive(Clone, Debug, PartialEq)]
pub struct Judgement {
    /// The labels in order of name.
    pub names: Vec<String>,
    /// Every row once, by rising margin (equal ones in the order of the input).
    pub ranked: Vec<JudgedRow>,
    /// The confident joint.
    pub joint: ConfidentJoint,
}

impl Judgement {
    /// The rows off the diagonal of the confident joint, most suspect first.
    pub fn suspects(&self) -> impl Iterator<Item = &JudgedRow> {
        self.ranked.iter().filter(|row| row.is_confident)
    }

    /// The rows in the order of the input.
    pub fn by_row(&self) -> Vec<&JudgedRow> {
        let mut rows: Vec<&JudgedRow> = self.ranked.iter().collect();
        rows.sort_by_key(|row| row.row);
        rows
    }
}

/// Judges the label of every row. The seed deals the folds and orders the learning. Fails only on settings out of range;
/// with fewer than two labels, or fewer rows than folds, nobody can be suspected and every margin is 1.
pub fn judge(texts: &[&str], labels: &[&str], settings: &Settings, seed: u64) -> Result<Judgement> {
    settings.check()?;
    Ok(judged_rows(texts, labels, settings, seed))
}

/// The same for settings that were checked before.
pub(crate) fn judged_rows(texts: &[&str], labels: &[&str], settings: &Settings, seed: u64) -> Judgement {
    let (names, labels) = numbered(labels);
    let features: Vec<Features> = texts.par_iter().map(|text| Features::of(text)).collect();
    judged(&features, names, &labels, settings, seed)
}

/// The same for the features of texts, and labels as positions among their names in order.
pub(crate) fn judged(
    features: &[Features],
    names: Vec<String>,
    labels: &[usize],
    settings: &Settings,
    seed: u64,
) -> Judgement {
    let probabilities = if names.len() < 2 || features.len() < settings.folds {
        labels.iter().map(|given| one_hot(*given, names.len())).collect()
    } else {
        probabilities(features, labels, names.len(), settings, seed)
    };
    let joint = ConfidentJoint::of(&probabilities, labels, names.len());
    let mut ranked: Vec<JudgedRow> =
        (0..labels.len()).map(|row| judged_row(row, labels[row], &probabilities[row], &joint)).collect();
    ranked.sort_by(|a, b| a.margin.total_cmp(&b.margin).then(a.row.cmp(&b.row)));
    Judgement { names, ranked, joint }
}

/// The mean of both witnesses, as [row][label].
fn probabilities(
    features: &[Features],
    labels: &[usize],
    n_labels: usize,
    settings: &Settings,
    seed: u64,
) -> Vec<Vec<f32>> {
    let mut rows = cross_validated(features, labels, n_labels, settings.folds, seed);
    if settings.neighbours == 0 {
        return rows;
    }
    let votes = neighbours::votes(features, labels, n_labels, settings.neighbours);
    for (row, votes) in rows.iter_mut().zip(&votes) {
        row.iter_mut().zip(votes).for_each(|(p, vote)| *p = 0.5 * (*p + vote));
    }
    rows
}

fn judged_row(row: usize, given: usize, p: &[f32], joint: &ConfidentJoint) -> JudgedRow {
    let other = (0..p.len()).filter(|label| *label != given).max_by(|a, b| p[*a].total_cmp(&p[*b]).then(b.cmp(a)));
    let suggested = other.unwrap_or(given);
    let p_suggested = if suggested == given { 0.0 } else { f64::from(p[suggested]) };
    JudgedRow {
        row,
        given,
        suggested,
        margin: f64::from(p[given]) - p_suggested,
        p_given: f64::from(p[given]),
        p_suggested,
        is_confident: joint.thought(p).is_some_and(|label| label != given),
    }
}

fn one_hot(label: usize, n_labels: usize) -> Vec<f32> {
    (0..n_labels).map(|other| if other == label { 1.0 } else { 0.0 }).collect()
}

/// The labels in order of name, and each row's as a position among them.
pub(crate) fn numbered(labels: &[&str]) -> (Vec<String>, Vec<usize>) {
    let mut place: BTreeMap<&str, usize> = labels.iter().map(|label| (*label, 0)).collect();
    place.values_mut().enumerate().for_each(|(number, place)| *place = number);
    let numbers = labels.iter().map(|label| place[label]).collect();
    (place.keys().map(|name| name.to_string()).collect(), numbers)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_numbered_by_name() {
        assert_eq!(numbered(&["b", "a", "b"]), (vec!["a".to_string(), "b".to_string()], vec![1, 0, 1]));
    }

    #[test]
    fn nobody_is_suspected_where_nobody_can_be() {
        for (texts, labels) in [(vec!["one", "two", "three", "four", "five"], vec!["x"; 5]), (vec!["a"], vec!["x"])] {
            let found = judge(&texts, &labels, &Settings::default(), 1).unwrap();
            assert!(found.ranked.iter().all(|row| row.margin == 1.0 && !row.is_confident));
        }
        assert_eq!(judge(&[], &[], &Settings::default(), 1).unwrap().ranked.len(), 0);
    }

    #[test]
    fn settings_out_of_range_are_named() {
        let error = judge(&[], &[], &Settings { folds: 1, ..Settings::default() }, 1).unwrap_err();
        assert_eq!(error.to_string(), "`label_check.folds` is 1, expected 2 to 20");
        assert!(Settings { neighbours: 201, ..Settings::default() }.check().is_err());
    }

    #[test]
    fn the_planted_label_leads_the_ranking_and_the_seed_repeats_it() {
        let texts: Vec<String> = (0..40)
            .map(|n| if n % 2 == 0 { format!("where is parcel {n}") } else { format!("refund my money {n}") })
            .collect();
        let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
        let mut labels: Vec<&str> = (0..40).map(|n| if n % 2 == 0 { "track" } else { "refund" }).collect();
        labels[10] = "refund";
        let found = judge(&texts, &labels, &Settings::default(), 3).unwrap();
        let first = &found.ranked[0];
        assert_eq!((first.row, found.names[first.suggested].as_str(), first.is_confident), (10, "track", true));
        assert_eq!(found.suspects().count(), 1);
        assert_eq!(found, judge(&texts, &labels, &Settings::default(), 3).unwrap());
        assert!(found.by_row().iter().enumerate().all(|(row, judged)| judged.row == row));
    }
}
