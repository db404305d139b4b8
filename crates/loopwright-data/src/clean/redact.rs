//! Masks personal data and secrets, the author's own identifiers with them.

use crate::draft::{Draft, StepOutput, map_texts};
use loopwright_guard::Redactor;
use loopwright_types::id::SubjectId;
use std::collections::BTreeMap;

/// The step's name.
pub const STEP: &str = "redact";

/// Masks every text. `known` gives the identifying strings of a subject; it is asked once for each.
pub fn apply(drafts: Vec<Draft>, redactor: &Redactor, known: &dyn Fn(&SubjectId) -> Vec<String>) -> StepOutput {
    let mut identifiers: BTreeMap<SubjectId, Vec<String>> = BTreeMap::new();
    for subject in drafts.iter().filter_map(|draft| draft.row.subject.as_ref()) {
        if !identifiers.contains_key(subject) {
            identifiers.insert(subject.clone(), known(subject));
        }
    }
    map_texts(STEP, drafts, |draft| {
        let known = draft.row.subject.as_ref().and_then(|subject| identifiers.get(subject));
        redactor.redact(&draft.row.text, known.map_or(&[], Vec::as_slice)).text
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use loopwright_guard::RedactPolicy;
    use loopwright_types::SourceRow;

    #[test]
    fn the_authors_own_identifiers_are_masked() {
        let row = |subject: &str| SourceRow {
            text: "ana ruiz, a@b.example".into(),
            subject: Some(subject.into()),
            ..SourceRow::default()
        };
        let redactor = Redactor::new(&RedactPolicy::default());
        let known = |subject: &SubjectId| if subject.as_str() == "s1" { vec!["Ana Ruiz".to_string()] } else { vec![] };
        let out = apply(vec![Draft::new(row("s1")), Draft::new(row("s2"))], &redactor, &known);
        let texts: Vec<&str> = out.drafts.iter().map(|draft| draft.row.text.as_str()).collect();
        assert_eq!(texts, ["<PERSON>, <EMAIL>", "ana ruiz, <EMAIL>"]);
        assert_eq!(out.count.n_changed, 2);
    }
}
