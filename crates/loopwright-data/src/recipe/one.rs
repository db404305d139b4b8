//! One step over one text, outside of a curation: for a query, a command, a look at a setting.

use super::{Resources, StepSettings};
use crate::{
    Result,
    draft::{Draft, Verdict},
    flow::Outcome,
    rows::{RowContext, step::RowStep, view::View},
};
use loopwright_guard::{RedactPolicy, Redactor};
use loopwright_types::{SourceRow, id::SubjectId};
use std::collections::BTreeSet;

/// What a step makes of a text that stands alone: without author, label, source or turns.
///
/// ```
/// use loopwright_data::{flow::Outcome, recipe::{Resources, StepSettings, run_one}};
///
/// let step: StepSettings = serde_json::from_str(r#"{"step": "gopher_quality", "words_min": 3}"#)?;
/// let Outcome::Dropped { class, reason } = run_one(&step, "too short", Resources::none())? else { panic!("it goes") };
/// assert_eq!((class.as_str(), reason.as_str()), ("few_words", "2 words, fewer than 3"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// Fails on settings out of range and on what the step needs and does not find. For many texts make an [`OneStep`] once.
pub fn run_one(step: &StepSettings, text: &str, resources: &Resources<'_>) -> Result<Outcome> {
    OneStep::new(step, &Redactor::new(&RedactPolicy::default()), resources)?.run(text)
}

/// A step made ready for many texts. Threads may share it.
pub struct OneStep<'a> {
    /// Nothing for a step that sees all rows.
    step: Option<RowStep<'a>>,
    redactor: &'a Redactor,
    opted_out: BTreeSet<SubjectId>,
}

impl<'a> OneStep<'a> {
    /// Makes a step ready. The redactor is for `redact` alone.
    pub fn new(step: &'a StepSettings, redactor: &'a Redactor, resources: &'a Resources<'a>) -> Result<Self> {
        step.check()?;
        Ok(Self { step: RowStep::prepare(step, resources)?, redactor, opted_out: BTreeSet::new() })
    }

    /// What the step makes of a text that stands alone.
    pub fn run(&self, text: &str) -> Result<Outcome> {
        self.run_row(SourceRow { text: text.to_string(), ..SourceRow::default() })
    }

    /// What the step makes of a row, whose author nothing is known of. A step that sees all rows says
    /// [`Outcome::SeesAllRows`].
    pub fn run_row(&self, row: SourceRow) -> Result<Outcome> {
        let Some(step) = &self.step else { return Ok(Outcome::SeesAllRows) };
        let ctx = RowContext::of_nobody(self.redactor, &self.opted_out);
        let mut draft = Draft::new(row);
        let verdict = step.judge(&View::new(&draft.row), &ctx, &mut Vec::new())?;
        Ok(Outcome::of(verdict, &mut draft))
    }
}

impl Outcome {
    /// The outcome of a verdict, which is carried out.
    pub(crate) fn of(verdict: Verdict, draft: &mut Draft) -> Self {
        match verdict {
            Verdict::Keep => Self::Kept,
            Verdict::Change(rewritten) => {
                let (before, after) = (draft.row.text.clone(), rewritten.text().to_string());
                rewritten.put_into(&mut draft.row);
                Self::Changed { before, after }
            }
            Verdict::Drop(reason) => Self::Dropped { class: reason.class, reason: reason.text },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::recipe::operators::tests::every_step;

    #[test]
    fn every_row_step_can_be_run_alone() {
        let resources = Resources {
            evaluation_texts: [("set".into(), vec![("q".into(), "one two three four five six seven".into())])].into(),
            perplexity: Some(&|text| Ok(text.len() as f64)),
            ..Resources::default()
        };
        for step in every_step() {
            let outcome = run_one(&step, "where is <b>my parcel</b>?", &resources).unwrap();
            assert_eq!(outcome == Outcome::SeesAllRows, step.sees_all_rows(), "{}", step.name());
        }
        let run = |json: &str, text: &str| run_one(&serde_json::from_str(json).unwrap(), text, &resources).unwrap();
        let class = |json: &str, text: &str| match run(json, text) {
            Outcome::Dropped { class, .. } => class,
            other => panic!("{json}: {other:?}"),
        };
        assert_eq!(class(r#"{"step":"perplexity","max":3.0}"#, "four"), "high_perplexity");
        assert_eq!(class(r#"{"step":"decontaminate"}"#, "one two three four five six seven eight"), "contaminated");
        assert_eq!(class(r#"{"step":"urls","hosts":["spam.example"]}"#, "see https://spam.example/"), "url_host");
        let changed = Outcome::Changed { before: "to a@b.example".into(), after: "to <EMAIL>".into() };
        assert_eq!(run(r#"{"step":"redact"}"#, "to a@b.example"), changed);
    }

    #[test]
    fn settings_and_resources_are_checked() {
        let run = |json: &str| run_one(&serde_json::from_str(json).unwrap(), "text", Resources::none());
        assert!(run(r#"{"step":"words_list","words":[""]}"#).is_err());
        assert!(run(r#"{"step":"perplexity","max":3.0}"#).is_err());
    }
}
