//! Why is this row gone, or changed? One row, step by step.

use crate::{
    Result,
    draft::Draft,
    recipe::{CurateContext, Recipe},
    rows::{RowContext, step::RowStep, view::View},
};
use loopwright_types::SourceRow;
use serde::{Deserialize, Serialize};

/// What one step makes of a row.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StepOutcome {
    /// The step.
    pub step: String,
    /// Its outcome.
    pub outcome: Outcome,
}

/// The outcome of a step for one row.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Outcome {
    /// The row stays as it is.
    Kept,
    /// The text is changed. Both texts are whole, the earlier one in clear: they are for the eyes of those who may see
    /// the source, and not to be stored.
    Changed {
        /// The text before the step.
        before: String,
        /// The text after it.
        after: String,
    },
    /// The row is left out here; no later step sees it.
    Dropped {
        /// Reason class, as counted in the card.
        class: String,
        /// The reason, as in the record of the dropped row.
        reason: String,
    },
    /// The step compares rows with each other, so one row does not tell. If it dropped this one, a record of the
    /// version's dropped rows says so; if there is none, the row stayed.
    SeesAllRows,
}

/// Sends one source row through a recipe and tells what each step makes of it, up to the step that drops it.
///
/// Steps that see all rows are passed over as if they kept the row ([`Outcome::SeesAllRows`]). Fails on settings out of
/// range and on what a step needs and does not find.
pub fn why(row: SourceRow, recipe: &Recipe, ctx: &CurateContext<'_>) -> Result<Vec<StepOutcome>> {
    let mut draft = Draft::new(row);
    let row_ctx = RowContext::new(true, std::slice::from_ref(&draft), ctx);
    let mut told = Vec::new();
    for step in &recipe.steps {
        let outcome = match RowStep::prepare(step, ctx.resources)? {
            None => Outcome::SeesAllRows,
            Some(ready) => {
                let verdict = ready.judge(&View::new(&draft.row), &row_ctx, &mut Vec::new())?;
                Outcome::of(verdict, &mut draft)
            }
        };
        let is_over = matches!(outcome, Outcome::Dropped { .. });
        told.push(StepOutcome { step: step.name().to_string(), outcome });
        if is_over {
            break;
        }
    }
    Ok(told)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::recipe::Resources;
    use loopwright_guard::Redactor;
    use std::collections::BTreeSet;

    fn told(text: &str, label: Option<&str>) -> Vec<(String, Outcome)> {
        let redactor = Redactor::new(&Default::default());
        let opted_out = BTreeSet::new();
        let ctx = CurateContext {
            redactor: &redactor,
            known: &|_| Vec::new(),
            opted_out: &opted_out,
            seed: 1,
            resources: Resources::none(),
        };
        let row = SourceRow { text: text.into(), label: label.map(Into::into), ..SourceRow::default() };
        why(row, &Recipe::default(), &ctx).unwrap().into_iter().map(|told| (told.step, told.outcome)).collect()
    }

    #[test]
    fn a_row_is_followed_to_its_end() {
        let steps = told("<b>write</b> to a@b.example please", Some("contact"));
        assert_eq!(steps.len(), Recipe::default().steps.len());
        let changed = |before: &str, after: &str| Outcome::Changed { before: before.into(), after: after.into() };
        let html = changed("<b>write</b> to a@b.example please", "write to a@b.example please");
        assert!(steps.contains(&("strip_html".into(), html)));
        assert!(steps.contains(&("redact".into(), changed("write to a@b.example please", "write to <EMAIL> please"))));
        assert!(steps.contains(&("near_dedup".into(), Outcome::SeesAllRows)));
        let steps = told("where is it?", None);
        let reason = "the row has no label".to_string();
        assert_eq!(steps.last(), Some(&("length".into(), Outcome::Dropped { class: "no_label".into(), reason })));
    }
}
