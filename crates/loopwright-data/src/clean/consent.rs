//! Leaves out the words of people who opted out of training.

use crate::draft::{Draft, Reason, StepOutput, drop_rows};
use loopwright_types::id::SubjectId;
use std::collections::BTreeSet;

/// The step's name.
pub const STEP: &str = "consent";
/// The reason class of its dropped rows.
pub const OPTED_OUT: &str = "opted_out";

/// Drops the rows of these subjects.
pub fn apply(drafts: Vec<Draft>, opted_out: &BTreeSet<SubjectId>) -> StepOutput {
    drop_rows(STEP, drafts, |_, draft| {
        let subject = draft.row.subject.as_ref()?;
        opted_out.contains(subject).then(|| Reason::new(OPTED_OUT, "the author opted out of training"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use loopwright_types::SourceRow;

    #[test]
    fn only_rows_of_those_people_go() {
        let row =
            |subject: Option<&str>| Draft::new(SourceRow { subject: subject.map(Into::into), ..SourceRow::default() });
        let out = apply(vec![row(Some("a")), row(Some("b")), row(None)], &BTreeSet::from(["a".into()]));
        assert_eq!(
            (out.drafts.len(), out.count.dropped[OPTED_OUT], out.dropped[0].subject.clone()),
            (2, 1, Some("a".into()))
        );
    }
}
