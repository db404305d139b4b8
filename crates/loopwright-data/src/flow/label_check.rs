//! The label check with two witnesses, on as many rows as fit: it compares each row with all others that share a word.

use super::{
    labels::Labels,
    set_phase::{Judging, Looking, Scratch},
};
use crate::{
    Result,
    clean::label_check::{self, Settings, is_judged},
    draft::{Draft, Reason, Verdict},
    linear::{Features, Linear},
};
use rayon::prelude::*;
use std::vec;

/// Bytes per word or pair of words of a row: in its features, its weighted features, and the list of the word's rows.
const PLACE_BYTES: u64 = 24;
/// Bytes per row beside those: its label, its judgement and its reason.
const ROW_BYTES: u64 = 256;
/// Bytes per row and label: both witnesses' probabilities.
const PROBABILITY_BYTES: u64 = 12;

/// The step in its first pass.
pub(crate) struct LabelCheck {
    settings: Settings,
    seed: u64,
    features: Vec<Features>,
    labels: Labels,
    n_places: u64,
    scratch: Scratch,
}

impl LabelCheck {
    pub(crate) fn new(settings: &Settings, seed: u64, scratch: Scratch) -> Self {
        let settings = settings.clone();
        Self { settings, seed, features: Vec::new(), labels: Labels::default(), n_places: 0, scratch }
    }

    fn check_fits(&self, n_labels: u64) -> Result<()> {
        let n_rows = self.features.len() as u64;
        let models = self.settings.folds as u64 * Linear::size_bytes(n_labels as usize);
        let of_rows = n_rows * (ROW_BYTES + PROBABILITY_BYTES * n_labels);
        let what = || format!("the words of {n_rows} rows and {n_labels} labels");
        self.scratch.check_fits(what, self.n_places * PLACE_BYTES + of_rows + models)
    }
}

impl Looking for LabelCheck {
    fn look(&mut self, drafts: &[Draft]) -> Result<()> {
        let labelled: Vec<&Draft> = drafts.iter().filter(|draft| is_judged(draft)).collect();
        let features: Vec<Features> = labelled.par_iter().map(|draft| Features::of(&draft.row.text)).collect();
        labelled.iter().for_each(|draft| self.labels.note(draft.label()));
        self.n_places += features.iter().map(|features| features.places().len() as u64).sum::<u64>();
        self.features.extend(features);
        self.check_fits(0)
    }

    fn decide(mut self: Box<Self>) -> Result<Box<dyn Judging>> {
        let (names, of_rows) = std::mem::take(&mut self.labels).ranked();
        self.check_fits(names.len() as u64)?;
        let names = names.into_iter().map(|(name, _)| name).collect();
        let labels: Vec<usize> = of_rows.into_iter().map(|label| label as usize).collect();
        let reasons = label_check::reasons(&self.features, names, &labels, &self.settings, self.seed);
        Ok(Box::new(Suspects { reasons: reasons.into_iter() }))
    }
}

/// The step in its second pass.
struct Suspects {
    /// Of the labelled rows.
    reasons: vec::IntoIter<Option<Reason>>,
}

impl Judging for Suspects {
    fn judge(&mut self, drafts: &mut [Draft]) -> Result<Vec<Verdict>> {
        let mut next = |draft: &Draft| if is_judged(draft) { self.reasons.next().flatten() } else { None };
        Ok(drafts.iter().map(|draft| Verdict::dropped(next(draft))).collect())
    }
}
