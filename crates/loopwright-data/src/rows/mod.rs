//! Row steps, fused: each row goes through all of them in one go, rows in parallel.
//!
//! A row step is a pure function of one row: it keeps the row, changes its text or drops it with a reason. Because no
//! row step looks at another row, a run of them needs one pass over the rows, in pieces of any size, and the outcome is
//! the same. What each step did is kept beside the rows: a [`Book`] of counts, the rows left out, and for each changed
//! row which step changed it ([`ChangedRow`]).
//!
//! Between two changes all steps look at one view of the row (`view`), so that neighbouring filters split its text into
//! words once. A change goes through `rewrite`, which keeps a conversation's turns and text the same.

pub(crate) mod rewrite;
pub(crate) mod step;
pub(crate) mod view;

use crate::{
    Result,
    book::Book,
    draft::{Draft, Reason, Verdict, dropped_row},
    recipe::{CurateContext, Resources, StepSettings},
};
use loopwright_guard::Redactor;
use loopwright_types::{
    dataset::DroppedRow,
    id::{RowId, SubjectId},
};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use step::RowStep;
use view::View;

/// A row whose text a step changed.
///
/// The texts themselves are not told, because the earlier one may hold what a later step masks; two hashes (XXH3, 64
/// bits) tell whether two changes chain. Whoever can guess a whole text can confirm the guess by its hash, so these
/// records are to be kept, and erased, with the rows.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ChangedRow {
    /// The row.
    pub row_id: RowId,
    /// The step that changed it.
    pub step: String,
    /// Hash of its text before the step.
    pub before: u64,
    /// Hash of its text after the step.
    pub after: u64,
}

/// What row steps know beside the row: a [`CurateContext`] whose questions about people were asked beforehand, so that
/// threads can share it.
pub(crate) struct RowContext<'a> {
    pub(crate) redactor: &'a Redactor,
    pub(crate) opted_out: &'a BTreeSet<SubjectId>,
    identifiers: BTreeMap<SubjectId, Vec<String>>,
}

impl<'a> RowContext<'a> {
    /// The context of these rows, if one of the steps masks: each of their subjects is asked about once.
    pub(crate) fn new(is_masking: bool, drafts: &[Draft], ctx: &CurateContext<'a>) -> Self {
        let mut identifiers = BTreeMap::new();
        if is_masking {
            for subject in drafts.iter().filter_map(|draft| draft.row.subject.as_ref()) {
                if !identifiers.contains_key(subject) {
                    identifiers.insert(subject.clone(), (ctx.known)(subject));
                }
            }
        }
        Self { redactor: ctx.redactor, opted_out: ctx.opted_out, identifiers }
    }

    /// A context that knows nobody.
    pub(crate) fn of_nobody(redactor: &'a Redactor, opted_out: &'a BTreeSet<SubjectId>) -> Self {
        Self { redactor, opted_out, identifiers: BTreeMap::new() }
    }

    /// The identifying strings of a row's author.
    pub(crate) fn known(&self, subject: Option<&SubjectId>) -> &[String] {
        subject.and_then(|subject| self.identifiers.get(subject)).map_or(&[], Vec::as_slice)
    }
}

/// A record of the step with this position in its run of steps.
pub(crate) type OfStep<T> = (u16, T);

/// What a run of row steps made of rows.
pub(crate) struct RowOutput {
    /// The rows that stay, in their order.
    pub(crate) drafts: Vec<Draft>,
    /// The rows that do not stay, in their order.
    pub(crate) dropped: Vec<OfStep<DroppedRow>>,
    /// What was changed, row by row, in the order of the steps.
    pub(crate) changed: Vec<OfStep<ChangedRow>>,
    /// The counts of each step.
    pub(crate) book: Book,
}

/// A run of row steps, made ready once.
pub(crate) struct RowSteps<'a> {
    names: Vec<&'static str>,
    steps: Vec<RowStep<'a>>,
}

impl<'a> RowSteps<'a> {
    /// Makes steps ready that look at one row at a time.
    pub(crate) fn prepare(steps: &'a [StepSettings], resources: &'a Resources<'a>) -> Result<Self> {
        let names = steps.iter().map(StepSettings::name).collect();
        let steps: Result<Vec<_>> =
            steps.iter().filter_map(|step| RowStep::prepare(step, resources).transpose()).collect();
        Ok(Self { names, steps: steps? })
    }

    fn are_masking(&self) -> bool {
        self.steps.iter().any(|step| matches!(step, RowStep::Redact(_)))
    }
}

/// Sends rows through row steps. Fails only if a step asks outside (a language model) and is not answered.
pub(crate) fn run(steps: &RowSteps<'_>, drafts: Vec<Draft>, ctx: &CurateContext<'_>) -> Result<RowOutput> {
    let row_ctx = RowContext::new(steps.are_masking(), &drafts, ctx);
    let passages: Result<Vec<Passage>> =
        drafts.into_par_iter().map(|draft| Passage::of(&steps.steps, draft, &row_ctx)).collect();
    let passages = passages?;
    let mut out = RowOutput {
        drafts: Vec::with_capacity(passages.len()),
        dropped: Vec::new(),
        changed: Vec::new(),
        book: Book::new(steps.names.iter().copied()),
    };
    passages.into_iter().for_each(|passage| passage.enter(&steps.names, &mut out));
    Ok(out)
}

/// The way of one row through the steps.
struct Passage {
    draft: Draft,
    /// The step that dropped it.
    dropped: Option<(usize, Reason)>,
    /// The steps that changed it, with the hashes before and after.
    changes: Vec<(usize, u64, u64)>,
    /// What the language steps found.
    languages: Vec<String>,
}

impl Passage {
    fn of(steps: &[RowStep<'_>], draft: Draft, ctx: &RowContext<'_>) -> Result<Self> {
        let mut passage = Self { draft, dropped: None, changes: Vec::new(), languages: Vec::new() };
        let mut next = 0;
        while let Some((index, verdict)) = passage.up_to_a_verdict(steps, next, ctx)? {
            match verdict {
                Verdict::Keep => {}
                Verdict::Change(rewritten) => {
                    let (before, after) = rewritten.put_into(&mut passage.draft.row);
                    passage.changes.push((index, before, after));
                }
                Verdict::Drop(reason) => {
                    passage.dropped = Some((index, reason));
                    break;
                }
            }
            next = index + 1;
        }
        if let Some(language) = passage.languages.last() {
            passage.draft.language.clone_from(language);
        }
        Ok(passage)
    }

    /// The first step from `next` on that changes or drops the row. All of them look at one view of it.
    fn up_to_a_verdict(
        &mut self,
        steps: &[RowStep<'_>],
        next: usize,
        ctx: &RowContext<'_>,
    ) -> Result<Option<(usize, Verdict)>> {
        let view = View::new(&self.draft.row);
        for (index, step) in steps.iter().enumerate().skip(next) {
            match step.judge(&view, ctx, &mut self.languages)? {
                Verdict::Keep => {}
                verdict => return Ok(Some((index, verdict))),
            }
        }
        Ok(None)
    }

    /// Puts the row and what is to be said of it where they belong.
    fn enter(self, names: &[&str], out: &mut RowOutput) {
        for (index, before, after) in self.changes {
            let row_id = RowId::new(self.draft.row.row_id.clone());
            out.changed.push((index as u16, ChangedRow { row_id, step: names[index].to_string(), before, after }));
            out.book.steps[index].n_changed += 1;
        }
        for language in self.languages {
            *out.book.languages.entry(language).or_default() += 1;
        }
        match self.dropped {
            None => {
                out.book.count_through(names.len(), None);
                out.drafts.push(self.draft);
            }
            Some((index, reason)) => {
                out.book.count_through(index, Some(reason.class));
                out.dropped.push((index as u16, dropped_row(names[index], reason.text, self.draft.row)));
            }
        }
    }
}

#[cfg(test)]
mod tests;
