//! What changed between two versions of a dataset: rows added, removed and changed, each removal with its reason.
//!
//! Rows are matched by their id, which stays the same in every version. The reasons come from the list of dropped rows
//! that each curation keeps; a row that is gone without an entry there was erased, or came from a source that is no
//! longer read, and is counted under [`UNRECORDED`]. Counts cover every row; the rows shown are the first of each kind by
//! id, at most [`DiffSettings::rows_shown_max`], so that the difference of two large versions stays a page.
//!
//! ```
//! use loopwright_data::diff::{DiffSettings, diff};
//!
//! let difference = diff(&[], &[], &[], &DiffSettings::default());
//! assert!(difference.is_empty());
//! ```

use loopwright_types::{
    Example,
    dataset::{DroppedRow, Origin},
    id::RowId,
};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The step of removed rows that no list of dropped rows explains.
pub const UNRECORDED: &str = "unrecorded";

/// How much of a difference is shown.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct DiffSettings {
    /// Rows shown of each kind: added, removed, changed.
    pub rows_shown_max: usize,
    /// Characters shown of a text, of either side.
    pub chars_shown_max: usize,
}

impl Default for DiffSettings {
    fn default() -> Self {
        Self { rows_shown_max: 20, chars_shown_max: 200 }
    }
}

/// The difference of two versions.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Difference {
    /// Rows of the earlier version.
    pub n_before: u64,
    /// Rows of the later version.
    pub n_after: u64,
    /// Rows that only the later version has.
    pub n_added: u64,
    /// Rows that only the earlier version has.
    pub n_removed: u64,
    /// Rows that both have, with another value in some field.
    pub n_changed: u64,
    /// Rows that are the same in both.
    pub n_same: u64,
    /// Added rows per label.
    pub added_labels: BTreeMap<String, u64>,
    /// Removed rows per label.
    pub removed_labels: BTreeMap<String, u64>,
    /// Removed rows per step that dropped them, or [`UNRECORDED`].
    pub removed_steps: BTreeMap<String, u64>,
    /// Changed rows per field; a row counts for each field that changed.
    pub changed_fields: BTreeMap<String, u64>,
    /// The first added rows.
    pub added: Vec<ShownRow>,
    /// The first removed rows.
    pub removed: Vec<RemovedRow>,
    /// The first changed rows.
    pub changed: Vec<ChangedRow>,
}

impl Difference {
    /// True if both versions have the same rows, whatever their order.
    pub fn is_empty(&self) -> bool {
        self.n_added + self.n_removed + self.n_changed == 0
    }
}

/// A row as a report shows it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ShownRow {
    /// Its id.
    pub row_id: RowId,
    /// Its label.
    pub label: String,
    /// The start of its text.
    pub text: String,
}

/// A row that is gone, and why.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RemovedRow {
    /// The row as it was.
    pub row: ShownRow,
    /// The step that dropped it, or [`UNRECORDED`].
    pub step: String,
    /// The recorded reason; empty if none is.
    pub reason: String,
}

/// A row that is different.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ChangedRow {
    /// Its id.
    pub row_id: RowId,
    /// The fields that changed.
    pub fields: Vec<ChangedField>,
}

/// A field before and after.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ChangedField {
    /// The field's name.
    pub field: String,
    /// The earlier value, cut to [`DiffSettings::chars_shown_max`].
    pub before: String,
    /// The later value, cut likewise.
    pub after: String,
}

/// Compares two versions. `dropped` are the rows that the making of the later one left out. Cluster numbers are not
/// compared: each version counts its clusters anew. Rows that share an id are matched in their order.
pub fn diff(before: &[Example], after: &[Example], dropped: &[DroppedRow], settings: &DiffSettings) -> Difference {
    let (earlier, later) = (by_id(before), by_id(after));
    let reasons: BTreeMap<&str, &DroppedRow> = dropped.iter().rev().map(|row| (row.row_id.as_str(), row)).collect();
    let mut out = Difference { n_before: before.len() as u64, n_after: after.len() as u64, ..Difference::default() };
    for (key, row) in &earlier {
        match later.get(key) {
            Some(now) => compare(&mut out, row, now, settings),
            None => remove(&mut out, row, reasons.get(key.0).copied(), settings),
        }
    }
    for row in later.iter().filter(|(key, _)| !earlier.contains_key(*key)).map(|(_, row)| row) {
        out.n_added += 1;
        *out.added_labels.entry(row.label.clone()).or_default() += 1;
        if out.added.len() < settings.rows_shown_max {
            out.added.push(shown(row, settings));
        }
    }
    out
}

/// The rows by id, and by how many rows of the same id came before.
fn by_id(rows: &[Example]) -> BTreeMap<(&str, u32), &Example> {
    let mut n_of: BTreeMap<&str, u32> = BTreeMap::new();
    rows.iter()
        .map(|row| {
            let n = n_of.entry(row.row_id.as_str()).or_default();
            *n += 1;
            ((row.row_id.as_str(), *n - 1), row)
        })
        .collect()
}

fn remove(out: &mut Difference, row: &Example, why: Option<&DroppedRow>, settings: &DiffSettings) {
    let step = why.map_or(UNRECORDED, |why| &why.step).to_string();
    out.n_removed += 1;
    *out.removed_labels.entry(row.label.clone()).or_default() += 1;
    *out.removed_steps.entry(step.clone()).or_default() += 1;
    if out.removed.len() < settings.rows_shown_max {
        let reason = why.map_or_else(String::new, |why| why.reason.clone());
        out.removed.push(RemovedRow { row: shown(row, settings), step, reason });
    }
}

fn compare(out: &mut Difference, before: &Example, after: &Example, settings: &DiffSettings) {
    let fields = changed_fields(before, after, settings.chars_shown_max);
    if fields.is_empty() {
        out.n_same += 1;
        return;
    }
    out.n_changed += 1;
    fields.iter().for_each(|field| *out.changed_fields.entry(field.field.clone()).or_default() += 1);
    if out.changed.len() < settings.rows_shown_max {
        out.changed.push(ChangedRow { row_id: before.row_id.clone(), fields });
    }
}

fn changed_fields(before: &Example, after: &Example, chars_max: usize) -> Vec<ChangedField> {
    let pairs = values(before).into_iter().zip(values(after));
    pairs
        .filter(|((_, before), (_, after))| before != after)
        .map(|((field, before), (_, after))| ChangedField {
            field: field.to_string(),
            before: start(&before, chars_max),
            after: start(&after, chars_max),
        })
        .collect()
}

/// Every field but id and cluster, as text; a conversation is compared by its rendering.
fn values(row: &Example) -> [(&'static str, String); 11] {
    // Taken apart in full, so that a new field cannot be forgotten here.
    let Example {
        row_id: _,
        text,
        label,
        split,
        subject,
        group,
        language,
        cluster: _,
        source,
        origin,
        at,
        licence,
        tags,
        conversation: _,
    } = row;
    let origin = match origin {
        Origin::Source => "source".to_string(),
        Origin::Correction { trace } => format!("correction of {trace}"),
        Origin::Augmented { parent, generator } => format!("{generator} of {parent}"),
    };
    [
        ("text", text.clone()),
        ("label", label.clone()),
        ("split", split.as_str().to_string()),
        ("subject", subject.as_ref().map_or_else(String::new, |subject| subject.as_str().to_string())),
        ("group", group.clone().unwrap_or_default()),
        ("language", language.clone()),
        ("source", source.clone()),
        ("origin", origin),
        ("at", at.map_or_else(String::new, |at| at.to_string())),
        ("licence", licence.clone().unwrap_or_default()),
        ("tags", tags.join(", ")),
    ]
}

fn shown(row: &Example, settings: &DiffSettings) -> ShownRow {
    let text = start(&row.text, settings.chars_shown_max);
    ShownRow { row_id: row.row_id.clone(), label: row.label.clone(), text }
}

/// The first characters of a text, and `…` where more follow.
fn start(text: &str, chars_max: usize) -> String {
    match text.char_indices().nth(chars_max) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use loopwright_types::Split;
    use proptest::prelude::*;

    fn row(id: &str, text: &str, label: &str) -> Example {
        Example {
            row_id: id.into(),
            text: text.into(),
            label: label.into(),
            split: Split::Train,
            subject: None,
            group: None,
            language: "eng".into(),
            cluster: 1,
            source: "s".into(),
            origin: Origin::Source,
            ..Example::default()
        }
    }

    fn dropped(id: &str, step: &str, reason: &str) -> DroppedRow {
        DroppedRow { row_id: id.into(), step: step.into(), reason: reason.into(), subject: None }
    }

    #[test]
    fn added_removed_changed_and_same_are_told_apart() {
        let before = [row("a", "one", "x"), row("b", "two", "x"), row("c", "three", "y"), row("d", "four", "y")];
        let mut moved = row("d", "four!", "y");
        moved.split = Split::Test;
        let mut renumbered = row("a", "one", "x");
        renumbered.cluster = 9;
        let after = [row("e", "five", "z"), moved, renumbered];
        let why =
            [dropped("b", "near_dedup", "near-duplicate of a (similarity 0.91)"), dropped("x", "length", "short")];
        let out = diff(&before, &after, &why, &DiffSettings::default());
        assert_eq!((out.n_before, out.n_after), (4, 3));
        assert_eq!((out.n_added, out.n_removed, out.n_changed, out.n_same), (1, 2, 1, 1));
        assert_eq!(out.added[0], ShownRow { row_id: "e".into(), label: "z".into(), text: "five".into() });
        let removed: Vec<(&str, &str, &str)> =
            out.removed.iter().map(|it| (it.row.row_id.as_str(), it.step.as_str(), it.reason.as_str())).collect();
        assert_eq!(removed, [("b", "near_dedup", "near-duplicate of a (similarity 0.91)"), ("c", UNRECORDED, "")]);
        assert_eq!(out.removed_steps, BTreeMap::from([("near_dedup".into(), 1), (UNRECORDED.into(), 1)]));
        assert_eq!(out.removed_labels, BTreeMap::from([("x".into(), 1), ("y".into(), 1)]));
        assert_eq!(out.changed_fields, BTreeMap::from([("split".into(), 1), ("text".into(), 1)]));
        let fields: Vec<(&str, &str, &str)> =
            out.changed[0].fields.iter().map(|it| (it.field.as_str(), it.before.as_str(), it.after.as_str())).collect();
        assert_eq!(fields, [("text", "four", "four!"), ("split", "train", "test")]);
    }

    #[test]
    fn what_is_shown_is_bounded_and_what_is_counted_is_not() {
        let after: Vec<Example> = (0..50).map(|n| row(&format!("r{n:02}"), "a long text", "x")).collect();
        let settings = DiffSettings { rows_shown_max: 3, chars_shown_max: 4 };
        let out = diff(&[], &after, &[], &settings);
        assert_eq!((out.n_added, out.added.len(), out.added[2].row_id.as_str()), (50, 3, "r02"));
        assert_eq!(out.added[0].text, "a lo…");
        let gone = diff(&after, &[], &[], &settings);
        assert_eq!((gone.n_removed, gone.removed.len()), (50, 3));
    }

    #[test]
    fn rows_that_share_an_id_are_matched_in_order() {
        let before = [row("a", "one", "x"), row("a", "two", "x")];
        assert!(diff(&before, &before, &[], &DiffSettings::default()).is_empty());
        let out = diff(&before, &before[..1], &[], &DiffSettings::default());
        assert_eq!((out.n_removed, out.removed[0].row.text.as_str()), (1, "two"));
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn every_row_is_counted_once_and_order_does_not_matter(
            before in prop::collection::vec((0u8..20, 0u8..3), 0..30),
            after in prop::collection::vec((0u8..20, 0u8..3), 0..30),
        ) {
            let unique = |rows: &[(u8, u8)]| -> Vec<Example> {
                let rows: BTreeMap<u8, u8> = rows.iter().copied().collect();
                rows.iter().map(|(id, text)| row(&id.to_string(), &text.to_string(), "x")).collect()
            };
            let (before, after) = (unique(&before), unique(&after));
            let out = diff(&before, &after, &[], &DiffSettings::default());
            prop_assert_eq!(out.n_removed + out.n_changed + out.n_same, before.len() as u64);
            prop_assert_eq!(out.n_added + out.n_changed + out.n_same, after.len() as u64);
            let turned: Vec<Example> = after.iter().rev().cloned().collect();
            prop_assert_eq!(&out, &diff(&before, &turned, &[], &DiffSettings::default()));
            let back = diff(&after, &before, &[], &DiffSettings::default());
            prop_assert_eq!((back.n_added, back.n_removed, back.n_changed), (out.n_removed, out.n_added, out.n_changed));
        }
    }
}
