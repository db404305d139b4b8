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
    let mut n_rows: BTreeMap<&str, u64> = BTreeMap::new();
    drafts.iter().for_each(|draft| *n_rows.entry(draft.label()).or_default() += 1);
    let n_rows: Vec<(String, u64)> = n_rows.into_iter().map(|(name, n)| (name.to_string(), n)).collect();
    if n_rows.len() < 2 || drafts.len() < settings.folds {
        return drop_rows(STEP, drafts, |_, _| None);
    }
    let labels: Vec<usize> = drafts
        .iter()
        .map(|draft| n_rows.binary_search_by(|(name, _)| name.as_str().cmp(draft.label())).unwrap_or(0))
        .collect();
    let probabilities = cross_validated(&drafts, &labels, n_rows.len(), settings.folds, seed);
    let mut suspicion = Suspicion::new(n_rows, settings);
    labels.iter().zip(&probabilities).for_each(|(label, row)| suspicion.add(*label, row));
    drop_rows(STEP, drafts, |index, _| suspicion.reason(labels[index], &probabilities[index]))
}

/// Each row's class probabilities from a classifier that learned from the other folds.
fn cross_validated(drafts: &[Draft], labels: &[usize], n_labels: usize, folds: usize, seed: u64) -> Vec<Vec<f32>> {
    let features: Vec<Features> = drafts.par_iter().map(|draft| Features::of(&draft.row.text)).collect();
    let fold_of = deal_folds(drafts.len(), folds, seed);
    let models: Vec<Linear> = (0..folds)
        .into_par_iter()
        .map(|fold| {
            let others: Vec<(&Features, usize)> = (0..drafts.len())
                .filter(|row| usize::from(fold_of[*row]) != fold)
                .map(|row| (&features[row], labels[row]))
                .collect();
            Linear::train(&others, n_labels, fold_seed(seed, fold))
        })
        .collect();
    (0..drafts.len())
        .into_par_iter()
        .map(|row| models[usize::from(fold_of[row])].probabilities(&features[row]))
        .collect()
}

/// The fold of each row. [`Settings::check`] keeps their number small.
pub(crate) fn deal_folds(n_rows: usize, folds: usize, seed: u64) -> Vec<u8> {
    // A row's position takes four bytes, half a `usize`: sets of billions of rows are refused before they come here.
    let mut dealt: Vec<u32> = (0..n_rows as u32).collect();
    dealt.shuffle(&mut ChaCha8Rng::seed_from_u64(seed));
    let mut fold_of = vec![0; n_rows];
    dealt.iter().enumerate().for_each(|(position, row)| fold_of[*row as usize] = (position % folds) as u8);
    fold_of
}

/// The seed that orders the rows which one fold's classifier learns from.
pub(crate) fn fold_seed(seed: u64, fold: usize) -> u64 {
    seed ^ fold as u64
}

/// What makes a row suspected: each label's confidence threshold, gathered from all rows and then asked row by row.
pub(crate) struct Suspicion {
    /// Labels in order of their names, with their rows.
    labels: Vec<(String, u64)>,
    /// Per label, the sum of its probability over the rows that carry it, and their number.
    sums: Vec<(f32, f32)>,
    rows_min: u64,
    margin: f64,
}

impl Suspicion {
    pub(crate) fn new(labels: Vec<(String, u64)>, settings: &Settings) -> Self {
        let sums = vec![(0.0, 0.0); labels.len()];
        Self { labels, sums, rows_min: settings.rows_min as u64, margin: settings.margin }
    }

    /// Takes a row's label and class probabilities into the thresholds; rows come in their order.
    pub(crate) fn add(&mut self, label: usize, probabilities: &[f32]) {
        self.sums[label].0 += probabilities[label];
        self.sums[label].1 += 1.0;
    }

    /// The mean probability of a label over the rows that carry it.
    fn threshold(&self, label: usize) -> f32 {
        let (sum, n) = self.sums[label];
        if n > 0.0 { sum / n } else { f32::INFINITY }
    }

    /// Why a row with this label goes, if it does. Asked only once every row was added.
    pub(crate) fn reason(&self, given: usize, row: &[f32]) -> Option<Reason> {
        let is_judged = |label: usize| self.labels[label].1 >= self.rows_min;
        let confident = |label: &usize| is_judged(*label) && row[*label] >= self.threshold(*label);
        let other = (0..self.labels.len()).filter(confident).max_by(|a, b| row[*a].total_cmp(&row[*b]))?;
        let suspected = other != given && is_judged(given) && f64::from(row[other] - row[given]) >= self.margin;
        suspected.then(|| {
            let (given_name, other_name) = (&self.labels[given].0, &self.labels[other].0);
            let reason = format!(
                "labelled `{given_name}` ({:.2}) but reads like `{other_name}` ({:.2})",
                row[given], row[other]
            );
            Reason::new(CLASS, reason)
        })
    }
}
