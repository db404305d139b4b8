//! A row on its way from a source to a dataset version, and the book that each step keeps.

pub use loopwright_corpus::Reason;
use loopwright_types::{
    SourceRow, Split,
    dataset::{DroppedRow, StepCount},
    id::RowId,
};
use serde::{Deserialize, Serialize};
use std::{borrow::Cow, collections::BTreeMap};

/// A source row with what the steps have found out about it so far.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
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

/// What a step that sees all rows made of them.
#[derive(Clone, Debug, PartialEq)]
pub struct StepOutput {
    /// The rows that stay, in their order.
    pub drafts: Vec<Draft>,
    /// Rows in, out, changed, dropped.
    pub count: StepCount,
    /// The rows that do not stay.
    pub dropped: Vec<DroppedRow>,
}

/// What a step that looks at one row at a time makes of it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Verdict {
    /// The text stays as it is.
    Keep,
    /// The text becomes this one.
    Change(String),
    /// The row goes.
    Drop(Reason),
}

impl Verdict {
    /// The verdict of a step that only changes texts.
    pub(crate) fn changed<'a>(before: &str, after: impl Into<Cow<'a, str>>) -> Self {
        match after.into() {
            after if after == before => Self::Keep,
            after => Self::Change(after.into_owned()),
        }
    }

    /// The verdict of a step that only drops rows.
    pub(crate) fn dropped(reason: Option<Reason>) -> Self {
        reason.map_or(Self::Keep, Self::Drop)
    }
}

/// The record of a row that a step left out.
pub(crate) fn dropped_row(step: &str, reason: String, row: SourceRow) -> DroppedRow {
    DroppedRow { row_id: RowId::new(row.row_id), step: step.to_string(), reason, subject: row.subject }
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
                dropped.push(dropped_row(step, reason.text, draft.row));
            }
        }
    }
    let count = StepCount { step: step.to_string(), n_in, n_out: kept.len() as u64, n_changed: 0, dropped: classes };
    StepOutput { drafts: kept, count, dropped }
}
