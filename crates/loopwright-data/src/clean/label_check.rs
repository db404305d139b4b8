//! Leaves out rows whose label is probably wrong: confident learning with two witnesses ([`crate::label_check`]).
//!
//! [`super::label_conflict`] asks a classifier alone, by a wide margin, and works on any number of rows. Here the most
//! alike rows are asked as well, and a row goes if it is off the diagonal of the confident joint (Northcutt, Jiang and
//! Chuang 2021, section 3.2) and the suggested label is by `margin` more probable than its own. Rows without a label are
//! not judged and stay.

use crate::{
    Error, Result,
    draft::{Draft, Reason, StepOutput, drop_rows},
    label_check::{Judgement, Settings as Witnesses, judged, numbered},
    linear::Features,
};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

/// The step's name.
pub const STEP: &str = "label_check";
/// The reason class of its dropped rows.
pub const CLASS: &str = "probably_mislabelled";

/// How rows are judged, and from when on they go.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// Folds of the cross-validation.
    pub folds: usize,
    /// Most alike rows that are asked; 0 leaves the judging to the classifier alone.
    pub neighbours: usize,
    /// By how much the suggested label must be more probable than the given one, from 0 (the paper) to 1.
    pub margin: f64,
}

impl Default for Settings {
    fn default() -> Self {
        let Witnesses { folds, neighbours } = Witnesses::default();
        Self { folds, neighbours, margin: 0.0 }
    }
}

impl Settings {
    /// Refuses settings that make no sense.
    pub fn check(&self) -> Result<()> {
        if !(0.0..=1.0).contains(&self.margin) {
            return Err(Error::setting("label_check.margin", self.margin, "0 to 1"));
        }
        self.witnesses().check()
    }

    fn witnesses(&self) -> Witnesses {
        Witnesses { folds: self.folds, neighbours: self.neighbours }
    }
}

/// Whether a row is judged at all.
pub(crate) fn is_judged(draft: &Draft) -> bool {
    !draft.label().is_empty()
}

/// Drops rows that are probably mislabelled. The seed deals the folds.
pub fn apply(drafts: Vec<Draft>, settings: &Settings, seed: u64) -> StepOutput {
    let labelled: Vec<&Draft> = drafts.iter().filter(|draft| is_judged(draft)).collect();
    let features: Vec<Features> = labelled.par_iter().map(|draft| Features::of(&draft.row.text)).collect();
    let labels: Vec<&str> = labelled.iter().map(|draft| draft.label()).collect();
    let (names, labels) = numbered(&labels);
    let mut found = reasons(&features, names, &labels, settings, seed).into_iter();
    drop_rows(STEP, drafts, |_, draft| if is_judged(draft) { found.next().flatten() } else { None })
}

/// Why each labelled row goes, if it does. `names` are the labels in order, `labels` has each row's place among them.
pub(crate) fn reasons(
    features: &[Features],
    names: Vec<String>,
    labels: &[usize],
    settings: &Settings,
    seed: u64,
) -> Vec<Option<Reason>> {
    let found = judged(features, names, labels, &settings.witnesses(), seed);
    let mut reasons = vec![None; labels.len()];
    for row in found.suspects().filter(|row| -row.margin >= settings.margin) {
        reasons[row.row] = Some(Reason::new(CLASS, suggestion(&found, row.given, row.suggested, -row.margin)));
    }
    reasons
}

fn suggestion(found: &Judgement, given: usize, suggested: usize, by: f64) -> String {
    let (given, suggested) = (&found.names[given], &found.names[suggested]);
    format!("labelled `{given}`, probably `{suggested}` (by {by:.2})")
}

#[cfg(test)]
mod tests {
    use super::*;
    use loopwright_types::SourceRow;

    #[test]
    fn the_planted_label_goes_with_a_suggestion() {
        let row = |n: usize| {
            let (text, label) =
                if n.is_multiple_of(2) { ("where is parcel", "track") } else { ("refund money", "refund") };
            let label = if n == 10 { "refund" } else { label };
            let label = (n < 40).then(|| label.to_string());
            Draft::new(SourceRow { row_id: n.to_string(), text: format!("{text} {n}"), label, ..SourceRow::default() })
        };
        let rows: Vec<Draft> = (0..42).map(row).collect();
        let out = apply(rows.clone(), &Settings::default(), 3);
        assert_eq!((out.drafts.len(), out.dropped[0].row_id.as_str()), (41, "10"));
        assert!(out.dropped[0].reason.starts_with("labelled `refund`, probably `track` (by "), "{:?}", out.dropped);
        assert_eq!(apply(rows, &Settings { margin: 1.0, ..Settings::default() }, 3).drafts.len(), 42);
    }

    #[test]
    fn settings_out_of_range_are_named() {
        assert!(Settings::default().check().is_ok());
        assert!(Settings { margin: 1.5, ..Settings::default() }.check().is_err());
        assert!(Settings { folds: 1, ..Settings::default() }.check().is_err());
    }
}
