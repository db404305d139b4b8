//! A judged row: what was right, what the model answered, and whose row it was.

use crate::{
    answer::{Answer, parse},
    interval::Share,
    metrics::Outcome,
};
use loopwright_types::id::RowId;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// One held-out row with the model's answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct JudgedRow {
    /// The row.
    pub row_id: RowId,
    /// The right label.
    pub expected: String,
    /// What the model answered.
    pub answer: Answer,
    /// The group attribute for fairness figures, if the row carries one.
    pub group: Option<String>,
}

impl JudgedRow {
    /// A row from the raw text that the model answered.
    pub fn from_answer_text(row_id: RowId, expected: String, answer_text: &str, group: Option<String>) -> Self {
        Self { row_id, expected, answer: parse(answer_text), group }
    }

    /// Was the answer right?
    pub fn is_right(&self) -> bool {
        self.outcome().is_right()
    }

    /// Expected and answered label.
    pub fn outcome(&self) -> Outcome<'_> {
        Outcome { expected: &self.expected, got: self.answer.as_deref().ok() }
    }
}

/// Expected and answered labels of rows.
pub fn outcomes(rows: &[JudgedRow]) -> Vec<Outcome<'_>> {
    rows.iter().map(JudgedRow::outcome).collect()
}

/// Right answers per group, over the rows that carry one.
pub fn by_group(rows: &[JudgedRow]) -> BTreeMap<String, Share> {
    let mut groups: BTreeMap<String, Share> = BTreeMap::new();
    for row in rows {
        if let Some(group) = &row.group {
            let share = groups.entry(group.clone()).or_default();
            share.n += 1;
            share.n_right += u64::from(row.is_right());
        }
    }
    groups
}

/// Answers that were valid, out of all.
pub fn valid_answers(rows: &[JudgedRow]) -> Share {
    Share::of(rows.iter().map(|row| row.answer.is_ok()))
}
