//! A row on its way from a source to a dataset version, and the book that each step keeps.

use loopwright_types::{
    SourceRow, Split,
    dataset::{DroppedRow, StepCount},
    id::RowId,
};
use std::collections::BTreeMap;

/// A source row with what the steps have found out about it so far.
#[derive(Clone, Debug, PartialEq)]
pub struct Draft {
    /// The row; steps change its text in place.
    pub row: SourceRow,
    /// ISO 639-3 code of the detected language, `und` until (or when not) detected.
    pub language: String,
    /// Near-duplicate cluster, 0 until the split.
    pub cluster: u64,
    /// Its part of the version, once split.
    pub split: Option<Split>,
}

impl Draft {
    /// A row that no step has seen yet.
    pub fn new(row: SourceRow) -> Self {
        Self { row, language: "und".to_string(), cluster: 0, split: None }
    }

    /// The label, empty where there is none.
    pub fn label(&self) -> &str {
        self.row.label.as_deref().unwrap_or("")
    }
}

/// What a step made of the rows it was given.
#[derive(Clone, Debug, PartialEq)]
pub struct StepOutput {
    /// The rows that stay, in their order.
    pub drafts: Vec<Draft>,
    /// Rows in, out, changed, dropped.
    pub count: StepCount,
    /// The rows that do not stay.
    pub dropped: Vec<DroppedRow>,
}

/// Why a row or a document is dropped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reason {
    /// Reason class, counted in the card.
    pub class: String,
    /// The reason for this row, with its figures.
    pub text: String,
}

impl Reason {
    /// A reason of a class, in words.
    pub fn new(class: &str, text: impl Into<String>) -> Self {
        Self { class: class.to_string(), text: text.into() }
    }
}

/// Runs a step that only changes texts.
pub(crate) fn map_texts(step: &str, mut drafts: Vec<Draft>, change: impl Fn(&Draft) -> String + Sync) -> StepOutput {
    use rayon::prelude::*;
    let n_changed = drafts
        .par_iter_mut()
        .map(|draft| {
            let text = change(draft);
            let changed = text != draft.row.text;
            draft.row.text = text;
            u64::from(changed)
        })
        .sum();
    let n = drafts.len() as u64;
    let count = StepCount { step: step.to_string(), n_in: n, n_out: n, n_changed, dropped: BTreeMap::new() };
    StepOutput { drafts, count, dropped: Vec::new() }
}

/// Runs a step that only drops rows: those with a reason, found by position.
pub(crate) fn drop_rows(
    step: &str,
    drafts: Vec<Draft>,
    mut reason: impl FnMut(usize, &Draft) -> Option<Reason>,
) -> StepOutput {
    let n_in = drafts.len() as u64;
    let mut kept = Vec::with_capacity(drafts.len());
    let mut dropped = Vec::new();
    let mut classes: BTreeMap<String, u64> = BTreeMap::new();
    for (index, draft) in drafts.into_iter().enumerate() {
        match reason(index, &draft) {
            None => kept.push(draft),
            Some(reason) => {
                *classes.entry(reason.class).or_default() += 1;
                dropped.push(DroppedRow {
                    row_id: RowId::new(draft.row.row_id),
                    step: step.to_string(),
                    reason: reason.text,
                    subject: draft.row.subject,
                });
            }
        }
    }
    let count = StepCount { step: step.to_string(), n_in, n_out: kept.len() as u64, n_changed: 0, dropped: classes };
    StepOutput { drafts: kept, count, dropped }
}
