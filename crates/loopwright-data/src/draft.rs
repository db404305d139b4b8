//! A row on its way from a source to a dataset version, and the book that each step keeps.

use crate::rows::{ChangedRow, rewrite::Rewritten};
pub use loopwright_corpus::Reason;
use loopwright_types::{
    SourceRow, Split,
    dataset::{DroppedRow, StepCount},
    id::RowId,
};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

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
    /// A row that no step has seen yet. The text of a conversation is the rendering of its turns, whatever its source
    /// says.
    pub fn new(mut row: SourceRow) -> Self {
        if let Some(conversation) = &row.conversation {
            row.text = conversation.render();
        }
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
    /// The rows whose text was changed, in their order.
    pub changed: Vec<ChangedRow>,
}

/// What a step makes of a row.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Verdict {
    /// The text stays as it is.
    Keep,
    /// The text becomes this one.
    Change(Rewritten),
    /// The row goes.
    Drop(Reason),
}

impl Verdict {
    /// The verdict of a step that only changes texts.
    pub(crate) fn changed(rewritten: Option<Rewritten>) -> Self {
        rewritten.map_or(Self::Keep, Self::Change)
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
    judge_rows(step, drafts, |index, draft| Verdict::dropped(reason(index, draft)))
}

/// Runs a step that drops and changes rows, by its verdict on each position.
pub(crate) fn judge_rows(
    step: &str,
    drafts: Vec<Draft>,
    mut verdict: impl FnMut(usize, &Draft) -> Verdict,
) -> StepOutput {
    let n_in = drafts.len() as u64;
    let mut kept = Vec::with_capacity(drafts.len());
    let (mut dropped, mut changed) = (Vec::new(), Vec::new());
    let mut classes: BTreeMap<String, u64> = BTreeMap::new();
    for (index, mut draft) in drafts.into_iter().enumerate() {
        match verdict(index, &draft) {
            Verdict::Keep => kept.push(draft),
            Verdict::Change(rewritten) => {
                changed.push(changed_row(step, rewritten, &mut draft.row));
                kept.push(draft);
            }
            Verdict::Drop(reason) => {
                *classes.entry(reason.class).or_default() += 1;
                dropped.push(dropped_row(step, reason.text, draft.row));
            }
        }
    }
    let (n_out, n_changed) = (kept.len() as u64, changed.len() as u64);
    let count = StepCount { step: step.to_string(), n_in, n_out, n_changed, dropped: classes };
    StepOutput { drafts: kept, count, dropped, changed }
}

/// Changes a row, and gives the record of it.
pub(crate) fn changed_row(step: &str, rewritten: Rewritten, row: &mut SourceRow) -> ChangedRow {
    let (before, after) = rewritten.put_into(row);
    ChangedRow { row_id: RowId::new(row.row_id.clone()), step: step.to_string(), before, after }
}
