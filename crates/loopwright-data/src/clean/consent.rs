//! Leaves out the words of people who opted out of training.

use crate::draft::Reason;
use loopwright_types::{SourceRow, id::SubjectId};
use std::collections::BTreeSet;

/// The step's name.
pub const STEP: &str = "consent";
/// The reason class of its dropped rows.
pub const OPTED_OUT: &str = "opted_out";

/// Why this row goes, if its author is one of these subjects.
pub(crate) fn check(row: &SourceRow, opted_out: &BTreeSet<SubjectId>) -> Option<Reason> {
    let subject = row.subject.as_ref()?;
    opted_out.contains(subject).then(|| Reason::new(OPTED_OUT, "the author opted out of training"))
}

#[cfg(test)]
mod tests {
    use super::*;
    #[test]
    fn only_rows_of_those_people_go() {
        let class = |subject: Option<&str>| {
            let row = SourceRow { subject: subject.map(Into::into), ..SourceRow::default() };
            check(&row, &BTreeSet::from(["a".into()])).map(|reason| reason.class)
        };
        assert_eq!((class(Some("a")), class(Some("b")), class(None)), (Some(OPTED_OUT.to_string()), None, None));
    }
}
