//! Leaves out rows whose label is very likely wrong.
//!
//! Confident learning (Northcutt, Jiang and Chuang 2021): a classifier judges every row by rows of other folds only. The
//! mean probability it gives to a label, over the rows that carry that label, is the threshold from which it counts as
//! confident. A row is suspected when the classifier is confident of exactly another label, by a wide margin over the
//! label that the row carries. The margin keeps the check conservative: a hard row is worth more than a wrong one costs.

use crate::{
    Error, Result,
    draft::{Draft, Reason, StepOutput, drop_rows},
    linear::{Features, Linear},
};
use rand::{SeedableRng, seq::SliceRandom};
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The step's name.
pub const STEP: &str = "label_conflict";
/// The reason class of its dropped rows.
pub const CLASS: &str = "label_conflict";

/// How sure the check must be.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// Folds of the cross-validation.
    pub folds: usize,
    /// By how much the other label's probability must exceed the given one's, from 0 to 1.
    pub margin: f64,
    /// Labels with fewer rows than this are not judged.
    pub rows_min: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Self { folds: 4, margin: 0.7, rows_min: 12 }
    }
}

impl Settings {
    /// Refuses settings that make no sense.
    pub fn check(&self) -> Result<()> {
        if !(2..=20).contains(&self.folds) {
            return Err(Error::setting("label_conflict.folds", self.folds, "2 to 20"));
        }
        if !(0.0..=1.0).contains(&self.margin) {
            return Err(Error::setting("label_conflict.margin", self.margin, "0 to 1"));
        }
        Ok(())
    }
}

/// Drops rows whose label the other rows contradict. The seed deals the folds.
pub fn apply(drafts: Vec<Draft>, settings: &Settings, seed: u64) -> StepOutput {
    let mut n_rows: BTreeMap<&str, usize> = BTreeMap::new();
    drafts.iter().for_each(|draft| *n_rows.entry(draft.label()).or_default() += 1);
    let names: Vec<String> = n_rows.keys().map(|name| name.to_string()).collect();
    let is_judged: Vec<bool> = n_rows.values().map(|n| *n >= settings.rows_min).collect();
    let labels: Vec<usize> = drafts
        .iter()
        .map(|draft| names.binary_search_by(|name| name.as_str().cmp(draft.label())).unwrap_or(0))
        .collect();
    if names.len() < 2 || drafts.len() < settings.folds {
        return drop_rows(STEP, drafts, |_, _| None);
    }
    let probabilities = cross_validated(&drafts, &labels, names.len(), settings.folds, seed);
    let thresholds = confidence_thresholds(&probabilities, &labels, names.len());
    drop_rows(STEP, drafts, |index, _| {
        let given = labels[index];
        let row = &probabilities[index];
        let confident = |label: &usize| is_judged[*label] && row[*label] >= thresholds[*label];
        let other = (0..names.len()).filter(confident).max_by(|a, b| row[*a].total_cmp(&row[*b]))?;
        let suspected = other != given && is_judged[given] && f64::from(row[other] - row[given]) >= settings.margin;
        suspected.then(|| {
            let reason = format!(
                "labelled `{}` ({:.2}) but reads like `{}` ({:.2})",
                names[given], row[given], names[other], row[other]
            );
            Reason::new(CLASS, reason)
        })
    })
}

/// Each row's class probabilities from a classifier that learned from the other folds.
fn cross_validated(drafts: &[Draft], labels: &[usize], n_labels: usize, folds: usize, seed: u64) -> Vec<Vec<f32>> {
    let features: Vec<Features> = drafts.par_iter().map(|draft| Features::of(&draft.row.text)).collect();
    let mut dealt: Vec<usize> = (0..drafts.len()).collect();
    dealt.shuffle(&mut ChaCha8Rng::seed_from_u64(seed));
    let mut fold_of = vec![0; drafts.len()];
    dealt.iter().enumerate().for_each(|(position, row)| fold_of[*row] = position % folds);
    let models: Vec<Linear> = (0..folds)
        .into_par_iter()
        .map(|fold| {
            let others: Vec<(&Features, usize)> = (0..drafts.len())
                .filter(|row| fold_of[*row] != fold)
                .map(|row| (&features[row], labels[row]))
                .collect();
            Linear::train(&others, n_labels, seed ^ fold as u64)
        })
        .collect();
    (0..drafts.len()).into_par_iter().map(|row| models[fold_of[row]].probabilities(&features[row])).collect()
}

/// Per label, the mean probability of that label over the rows that carry it.
fn confidence_thresholds(probabilities: &[Vec<f32>], labels: &[usize], n_labels: usize) -> Vec<f32> {
    let mut sums = vec![(0.0_f32, 0.0_f32); n_labels];
    for (row, label) in probabilities.iter().zip(labels) {
        sums[*label].0 += row[*label];
        sums[*label].1 += 1.0;
    }
    sums.into_iter().map(|(sum, n)| if n > 0.0 { sum / n } else { f32::INFINITY }).collect()
}
