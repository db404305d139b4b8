//! The label check on any number of rows: features lie on disk and are fetched in the order that learning wants them.
//!
//! Stochastic gradient descent visits rows in a seeded order, several times. To give the very classifiers that
//! [`crate::clean::label_conflict`] gives in memory, that order is kept, and each row's features are read from disk when
//! their turn comes. Probabilities are not kept: they are computed once for the thresholds and once for the verdict.
//! More rows than [`ROWS_MAX`] are refused.

use super::{
    labels::Labels,
    set_phase::{Judging, Looking, Scratch},
    shelf::{Shelf, ShelfWriter},
};
use crate::{
    Result,
    clean::label_conflict::{Settings, Suspicion, deal_folds, fold_seed},
    draft::{Draft, Verdict},
    linear::{Features, Linear},
};
use rayon::prelude::*;
use std::borrow::Cow;

/// Most rows that the check takes, because a row's position takes four bytes: about 4.3 thousand million.
pub(crate) const ROWS_MAX: u64 = u32::MAX as u64;
/// Rows whose probabilities are computed at once, in parallel.
const ROWS_PREDICTED: usize = 4096;

/// The step in its first pass.
pub(crate) struct LabelConflict {
    settings: Settings,
    seed: u64,
    labels: Labels,
    features: ShelfWriter,
    scratch: Scratch,
}

impl LabelConflict {
    pub(crate) fn new(settings: &Settings, seed: u64, scratch: Scratch) -> Result<Self> {
        let features = ShelfWriter::create(&scratch.folder, "features")?;
        Ok(Self { settings: settings.clone(), seed, labels: Labels::default(), features, scratch })
    }

    /// Refuses what does not fit: for each row a label, a fold and a position while folds are dealt; for each fold its
    /// rows with their order, and a classifier.
    fn check_fits(&self, n_rows: u64, n_labels: usize) -> Result<()> {
        let folds = self.settings.folds as u64;
        let per_row = Labels::ROW_BYTES + 1 + 8 * (folds - 1);
        let needed = if n_rows > ROWS_MAX { u64::MAX } else { n_rows * per_row + folds * Linear::size_bytes(n_labels) };
        self.scratch.check_fits(|| format!("{n_rows} rows of {n_labels} labels in {folds} folds"), needed)
    }
}

impl Looking for LabelConflict {
    fn look(&mut self, drafts: &[Draft]) -> Result<()> {
        self.labels.look(drafts);
        let features: Vec<Vec<u8>> = drafts.par_iter().map(|draft| Features::of(&draft.row.text).to_bytes()).collect();
        features.iter().try_for_each(|features| self.features.push(features))
    }

    fn decide(mut self: Box<Self>) -> Result<Box<dyn Judging>> {
        let (labels, of_rows) = std::mem::take(&mut self.labels).ranked();
        let (n_rows, n_labels) = (of_rows.len(), labels.len());
        let (folds, seed) = (self.settings.folds, self.seed);
        if n_labels < 2 || n_rows < folds {
            return Ok(Box::new(Nothing));
        }
        self.check_fits(n_rows as u64, n_labels)?;
        let suspicion = Suspicion::new(labels, &self.settings);
        let fold_of = deal_folds(n_rows, folds, seed);
        let data = Data { features: self.features.finish()?, of_rows, fold_of, n_labels };
        let models: Result<Vec<Linear>> =
            (0..folds).into_par_iter().map(|fold| data.train_without(fold, fold_seed(seed, fold))).collect();
        let mut suspects = Suspects { models: models?, data, suspicion, row: 0 };
        suspects.gather_thresholds()?;
        Ok(Box::new(suspects))
    }
}

/// The rows as the classifiers see them.
struct Data {
    features: Shelf,
    of_rows: Vec<u32>,
    fold_of: Vec<u8>,
    n_labels: usize,
}

impl Data {
    fn train_without(&self, fold: usize, seed: u64) -> Result<Linear> {
        let is_other = |row: &u32| usize::from(self.fold_of[*row as usize]) != fold;
        let others: Vec<u32> = (0..self.of_rows.len() as u32).filter(is_other).collect();
        let row = |index: usize| -> Result<(Cow<'static, Features>, usize)> {
            let row = others[index];
            let features = Features::from_bytes(&self.features.read(u64::from(row))?);
            Ok((Cow::Owned(features), self.of_rows[row as usize] as usize))
        };
        Linear::train_on(others.len(), self.n_labels, seed, row)
    }
}

/// The step in its second pass.
struct Suspects {
    models: Vec<Linear>,
    data: Data,
    suspicion: Suspicion,
    /// The next row.
    row: usize,
}

impl Suspects {
    fn probabilities(&self, row: usize) -> Result<Vec<f32>> {
        let features = Features::from_bytes(&self.data.features.read(row as u64)?);
        Ok(self.models[usize::from(self.data.fold_of[row])].probabilities(&features))
    }

    fn gather_thresholds(&mut self) -> Result<()> {
        let n_rows = self.data.of_rows.len();
        for start in (0..n_rows).step_by(ROWS_PREDICTED) {
            let rows = start..(start + ROWS_PREDICTED).min(n_rows);
            let predicted: Result<Vec<Vec<f32>>> =
                rows.clone().into_par_iter().map(|row| self.probabilities(row)).collect();
            for (row, probabilities) in rows.zip(predicted?) {
                self.suspicion.add(self.data.of_rows[row] as usize, &probabilities);
            }
        }
        Ok(())
    }
}

impl Judging for Suspects {
    fn judge(&mut self, drafts: &mut [Draft]) -> Result<Vec<Verdict>> {
        let rows = self.row..self.row + drafts.len();
        self.row = rows.end;
        let verdict = |row: usize| -> Result<Verdict> {
            Ok(Verdict::dropped(self.suspicion.reason(self.data.of_rows[row] as usize, &self.probabilities(row)?)))
        };
        rows.into_par_iter().map(verdict).collect()
    }
}

/// Too few rows or labels to judge by.
struct Nothing;

impl Judging for Nothing {
    fn judge(&mut self, drafts: &mut [Draft]) -> Result<Vec<Verdict>> {
        Ok(vec![Verdict::Keep; drafts.len()])
    }
}
