//! Leaves out near-duplicates: of each cluster the first row stays.

use crate::{
    dedup::{NearSettings, clusters},
    draft::{Draft, Reason, StepOutput, drop_rows},
};

/// The step's name.
pub const STEP: &str = "near_dedup";

/// Keeps the first row of each cluster of near-duplicates.
pub fn apply(drafts: Vec<Draft>, settings: &NearSettings) -> StepOutput {
    let texts: Vec<&str> = drafts.iter().map(|draft| draft.row.text.as_str()).collect();
    let clusters = clusters(&texts, settings);
    let ids: Vec<String> = drafts.iter().map(|draft| draft.row.row_id.clone()).collect();
    drop_rows(STEP, drafts, |index, _| {
        let first = clusters.first[index];
        let similarity = clusters.similarity[index];
        (first != index).then(|| reason(&ids[first], similarity))
    })
}

/// Why a near-duplicate of this row goes.
pub(crate) fn reason(first_id: &str, similarity: f64) -> Reason {
    Reason::new("near_duplicate", format!("near-duplicate of {first_id} (similarity {similarity:.2})"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use loopwright_types::SourceRow;

    #[test]
    fn the_reason_names_the_row_that_stays() {
        let row = |id: &str, text: &str| {
            Draft::new(SourceRow { row_id: id.into(), text: text.into(), ..SourceRow::default() })
        };
        let rows = vec![
            row("a", "please send me the invoice for my order of last week"),
            row("b", "Please send me the invoice for my order of last week, ok"),
            row("c", "where is my order"),
        ];
        let out = apply(rows, &NearSettings::default());
        assert_eq!(out.drafts.len(), 2);
        assert_eq!(out.dropped[0].reason, "near-duplicate of a (similarity 0.94)");
    }
}
