//! Row steps, fused: each row goes through all of them in one go, rows in parallel.
//!
//! A row step is a pure function of one row: it keeps the row, changes its text or drops it with a reason. Because no
//! row step looks at another row, a run of them needs one pass over the rows, in pieces of any size, and the outcome is
//! the same. What each step did is kept beside the rows: a [`Book`] of counts, the rows left out, and for each changed
//! row which step changed it ([`ChangedRow`]).

use crate::{
    book::Book,
    draft::{Draft, Reason, Verdict, dropped_row},
    recipe::{CurateContext, StepSettings},
};
use loopwright_guard::Redactor;
use loopwright_types::{
    dataset::DroppedRow,
    id::{RowId, SubjectId},
};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use xxhash_rust::xxh3::xxh3_64;

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
    /// The context of these rows. Each of their subjects is asked about once, and only if a step needs to know.
    pub(crate) fn new(steps: &[StepSettings], drafts: &[Draft], ctx: &CurateContext<'a>) -> Self {
        let mut identifiers = BTreeMap::new();
        if steps.contains(&StepSettings::Redact) {
            for subject in drafts.iter().filter_map(|draft| draft.row.subject.as_ref()) {
                if !identifiers.contains_key(subject) {
                    identifiers.insert(subject.clone(), (ctx.known)(subject));
                }
            }
        }
        Self { redactor: ctx.redactor, opted_out: ctx.opted_out, identifiers }
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

/// Sends rows through row steps.
pub(crate) fn run(steps: &[StepSettings], drafts: Vec<Draft>, ctx: &CurateContext<'_>) -> RowOutput {
    let row_ctx = RowContext::new(steps, &drafts, ctx);
    let passages: Vec<Passage> = drafts.into_par_iter().map(|draft| Passage::of(steps, draft, &row_ctx)).collect();
    let mut out = RowOutput {
        drafts: Vec::with_capacity(passages.len()),
        dropped: Vec::new(),
        changed: Vec::new(),
        book: Book::new(steps.iter().map(StepSettings::name)),
    };
    passages.into_iter().for_each(|passage| passage.enter(steps, &mut out));
    out
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
    fn of(steps: &[StepSettings], draft: Draft, ctx: &RowContext<'_>) -> Self {
        let mut passage = Self { draft, dropped: None, changes: Vec::new(), languages: Vec::new() };
        for (index, step) in steps.iter().enumerate() {
            let verdict = step.judge(&mut passage.draft, ctx);
            if matches!(step, StepSettings::Language(_)) {
                passage.languages.push(passage.draft.language.clone());
            }
            match verdict {
                None | Some(Verdict::Keep) => {}
                Some(Verdict::Change(text)) => {
                    let hashes = (xxh3_64(passage.draft.row.text.as_bytes()), xxh3_64(text.as_bytes()));
                    passage.changes.push((index, hashes.0, hashes.1));
                    passage.draft.row.text = text;
                }
                Some(Verdict::Drop(reason)) => {
                    passage.dropped = Some((index, reason));
                    break;
                }
            }
        }
        passage
    }

    /// Puts the row and what is to be said of it where they belong.
    fn enter(self, steps: &[StepSettings], out: &mut RowOutput) {
        for (index, before, after) in self.changes {
            let row_id = RowId::new(self.draft.row.row_id.clone());
            out.changed
                .push((index as u16, ChangedRow { row_id, step: steps[index].name().to_string(), before, after }));
            out.book.steps[index].n_changed += 1;
        }
        for language in self.languages {
            *out.book.languages.entry(language).or_default() += 1;
        }
        match self.dropped {
            None => {
                out.book.count_through(steps.len(), None);
                out.drafts.push(self.draft);
            }
            Some((index, reason)) => {
                out.book.count_through(index, Some(reason.class));
                out.dropped.push((index as u16, dropped_row(steps[index].name(), reason.text, self.draft.row)));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clean::{language, length};
    use loopwright_guard::{RedactPolicy, Redactor};
    use loopwright_types::SourceRow;

    fn steps() -> Vec<StepSettings> {
        vec![
            StepSettings::StripHtml,
            StepSettings::Whitespace,
            StepSettings::Length(length::Settings::default()),
            StepSettings::Language(language::Settings::default()),
        ]
    }

    fn run_on(texts: &[&str]) -> RowOutput {
        let draft = |(index, text): (usize, &&str)| {
            let (row_id, label) = (format!("r{index}"), Some("x".into()));
            Draft::new(SourceRow { row_id, text: text.to_string(), label, ..SourceRow::default() })
        };
        let redactor = Redactor::new(&RedactPolicy::default());
        let opted_out = BTreeSet::new();
        let ctx = CurateContext { redactor: &redactor, known: &|_| Vec::new(), opted_out: &opted_out, seed: 1 };
        run(&steps(), texts.iter().enumerate().map(draft).collect(), &ctx)
    }

    #[test]
    fn each_row_leaves_its_trail() {
        let spanish = "Hola, mi pedido todavía no ha llegado y quiero saber dónde está.";
        let out = run_on(&["<b>where</b>  is it?", "<p> </p>", "where is my order", spanish]);
        assert_eq!(
            out.drafts.iter().map(|draft| draft.row.text.as_str()).collect::<Vec<_>>(),
            ["where is it?", "where is my order"]
        );
        let dropped: Vec<(u16, &str, &str)> =
            out.dropped.iter().map(|(step, row)| (*step, row.row_id.as_str(), row.step.as_str())).collect();
        assert_eq!(dropped, [(2, "r1", "length"), (3, "r3", "language")]);
        let changed: Vec<(&str, &str)> =
            out.changed.iter().map(|(_, row)| (row.row_id.as_str(), row.step.as_str())).collect();
        assert_eq!(changed, [("r0", "strip_html"), ("r0", "whitespace"), ("r1", "strip_html"), ("r1", "whitespace")]);
        assert_eq!(out.changed[0].1.after, out.changed[1].1.before, "changes of one row chain");
        let counts: Vec<(u64, u64, u64)> =
            out.book.steps.iter().map(|count| (count.n_in, count.n_out, count.n_changed)).collect();
        assert_eq!(counts, [(4, 4, 2), (4, 4, 2), (4, 3, 0), (3, 2, 0)]);
        assert_eq!(out.book.languages, BTreeMap::from([("und".to_string(), 2), ("spa".to_string(), 1)]));
    }
}
