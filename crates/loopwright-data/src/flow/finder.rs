//! What will have to be replaced: the values that a recipe's `redact` step finds in a row.

use crate::{
    Result,
    clean::redact::findings,
    draft::{Draft, Verdict},
    recipe::{CurateContext, Recipe, StepSettings},
    rows::{RowContext, step::RowStep, view::View},
};
use loopwright_guard::{PiiKind, Surrogates};
use loopwright_types::SourceRow;

/// Finds the values of rows as the recipe's reversible `redact` step will see them, with the steps before it applied.
///
/// Steps before it that compare rows with each other are passed over: what they leave out is found here and not missed there.
pub struct Finder<'a> {
    steps: Vec<RowStep<'a>>,
    ctx: &'a CurateContext<'a>,
}

/// A value that was found.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Found {
    /// What it is.
    pub kind: PiiKind,
    /// As it stands in the text.
    pub value: String,
    /// It stands inside a longer word.
    pub is_joined: bool,
}

impl<'a> Finder<'a> {
    /// Makes the steps before the reversible `redact` ready; nothing, if the recipe has none such.
    pub fn of(recipe: &'a Recipe, ctx: &'a CurateContext<'a>) -> Result<Option<Self>> {
        let is_it = |step: &StepSettings| matches!(step, StepSettings::Redact(settings) if settings.reversible);
        let Some(place) = recipe.steps.iter().position(is_it) else { return Ok(None) };
        let before = recipe.steps[..place].iter();
        let steps =
            before.filter_map(|step| RowStep::prepare(step, ctx.resources).transpose()).collect::<Result<_>>()?;
        Ok(Some(Self { steps, ctx }))
    }

    /// The values of a row, in order; none, if an earlier step leaves it out.
    pub fn find(&self, row: SourceRow) -> Result<Vec<Found>> {
        let mut draft = Draft::new(row);
        let context = RowContext::new(true, std::slice::from_ref(&draft), self.ctx);
        for step in &self.steps {
            match step.judge(&View::new(&draft.row), &context, &mut Vec::new())? {
                Verdict::Drop(_) => return Ok(Vec::new()),
                Verdict::Change(rewritten) => drop(rewritten.put_into(&mut draft.row)),
                Verdict::Keep => {}
            }
        }
        let known = context.known(draft.row.subject.as_ref());
        let found = findings(&draft.row, context.redactor, known).into_iter().flat_map(|(part, findings)| {
            findings.into_iter().map(|finding| Found {
                kind: finding.kind,
                value: part[finding.start..finding.end].to_string(),
                is_joined: Surrogates::is_joined(part, &finding),
            })
        });
        Ok(found.collect())
    }
}
