//! A recipe: the ordered list of steps that makes a dataset version from source rows.
//!
//! [`StepSettings`] are the steps there are, [`operators()`] lists them with their sources, and [`Recipe::named`] has whole
//! recipes by name. [`curate`] runs one over rows in memory, [`run_one`] one step over one text.

mod named;
mod one;
mod operators;
mod resources;
mod step;

pub use named::NAMES;
pub use one::{OneStep, run_one};
pub use operators::{Operator, operators};
pub use resources::{EmbedFunction, PerplexityFunction, Resources};
pub use step::StepSettings;

use crate::{
    Error, Result,
    book::Book,
    clean::{
        balance, boilerplate, embedding_dedup, exact_dedup, label_check, label_conflict, language, length, line_dedup,
        minhash, mix, near_dedup, redact, split,
    },
    dedup::NearSettings,
    draft::{Draft, StepOutput},
    profile,
    rows::{self, ChangedRow, OfStep, RowOutput, RowSteps},
};
use loopwright_guard::Redactor;
use loopwright_types::{
    Example, SourceRow,
    dataset::{DataCard, DroppedRow, Origin},
    id::{RowId, SubjectId},
};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// The steps of a curation, in order.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Recipe {
    /// The steps. `split` comes once, at the end.
    pub steps: Vec<StepSettings>,
}

impl Default for Recipe {
    fn default() -> Self {
        Self {
            steps: vec![
                StepSettings::Consent,
                StepSettings::RepairText,
                StepSettings::StripHtml,
                StepSettings::Whitespace,
                StepSettings::Length(length::Settings::default()),
                StepSettings::Language(language::Settings::default()),
                StepSettings::Redact(redact::Settings::default()),
                StepSettings::ExactDedup,
                StepSettings::NearDedup(NearSettings::default()),
                StepSettings::LabelConflict(label_conflict::Settings::default()),
                StepSettings::Split(split::Settings::default()),
            ],
        }
    }
}

impl Recipe {
    /// Refuses settings out of range, and a recipe whose last step is not its only `split`.
    pub fn check(&self) -> Result<()> {
        self.steps.iter().try_for_each(StepSettings::check)?;
        let names: Vec<&str> = self.steps.iter().map(StepSettings::name).collect();
        match names.iter().position(|name| *name == split::STEP) {
            Some(first) if first + 1 == names.len() => Ok(()),
            _ => Err(Error::setting("steps", names.join(", "), "a list whose last step, and no other, is `split`")),
        }
    }

    /// Refuses a step that needs what is not there.
    pub fn check_resources(&self, resources: &Resources<'_>) -> Result<()> {
        self.steps.iter().try_for_each(|step| resources.check_for(step))
    }

    /// The settings of the split.
    pub fn split(&self) -> split::Settings {
        let found =
            self.steps.iter().find_map(|step| if let StepSettings::Split(it) = step { Some(it.clone()) } else { None });
        found.unwrap_or_default()
    }

    /// The settings of the near-duplicate removal (the default's, if the recipe has none).
    pub fn near_dedup(&self) -> NearSettings {
        let found = self
            .steps
            .iter()
            .find_map(|step| if let StepSettings::NearDedup(it) = step { Some(it.clone()) } else { None });
        found.unwrap_or_default()
    }
}

/// What a curation knows beside its rows.
#[derive(Clone, Copy)]
pub struct CurateContext<'a> {
    /// Masks personal data.
    pub redactor: &'a Redactor,
    /// The identifying strings of a subject.
    pub known: &'a dyn Fn(&SubjectId) -> Vec<String>,
    /// Who opted out of training.
    pub opted_out: &'a BTreeSet<SubjectId>,
    /// Seed of everything random: folds, choices and splits.
    pub seed: u64,
    /// What some steps need; [`Resources::none`] is enough for the others.
    pub resources: &'a Resources<'a>,
}

/// The outcome of a curation.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Curated {
    /// The rows of the version, in the order of their sources.
    pub examples: Vec<Example>,
    /// The rows left out, each with its step and reason.
    pub dropped: Vec<DroppedRow>,
    /// Which step changed which row, in the order of the steps and then of the rows.
    pub changed: Vec<ChangedRow>,
    /// The figures.
    pub card: DataCard,
}

impl Curated {
    /// Keeps the books of a step that saw all rows, and gives the rows that stay.
    pub(crate) fn enter(&mut self, out: StepOutput) -> Vec<Draft> {
        self.dropped.extend(out.dropped);
        self.changed.extend(out.changed);
        Book { steps: vec![out.count], ..Book::default() }.close(&mut self.card);
        out.drafts
    }

    /// Keeps the books of row steps, and gives the rows that stay.
    fn enter_rows(&mut self, out: RowOutput) -> Vec<Draft> {
        self.dropped.extend(by_step(out.dropped));
        self.changed.extend(by_step(out.changed));
        out.book.close(&mut self.card);
        out.drafts
    }

    /// This curation and an extension of its rows as one: the extension's rows, the books of both.
    pub fn then(self, extension: Self) -> Self {
        let mut languages = BTreeMap::new();
        for row in &self.examples {
            *languages.entry(row.language.clone()).or_default() += 1;
        }
        let card = card_of_both(self.card, &languages, extension.card);
        let dropped = self.dropped.into_iter().chain(extension.dropped).collect();
        let changed = self.changed.into_iter().chain(extension.changed).collect();
        Self { examples: extension.examples, dropped, changed, card }
    }
}

/// The card of a curation, whose rows have these languages, and of an extension of its rows.
pub(crate) fn card_of_both(base: DataCard, languages: &BTreeMap<String, u64>, extension: DataCard) -> DataCard {
    let mut card = extension;
    // The extension counts the languages of every row that it started from, the curation those before its filter.
    for (language, n_rows) in languages {
        card.languages.entry(language.clone()).and_modify(|n| *n = n.saturating_sub(*n_rows));
    }
    for (language, n) in base.languages {
        *card.languages.entry(language).or_default() += n;
    }
    card.languages.retain(|_, n| *n > 0);
    card.steps.splice(0..0, base.steps);
    card.n_rejected += base.n_rejected;
    card.n_exact_duplicates += base.n_exact_duplicates;
    card.n_near_duplicates += base.n_near_duplicates;
    card.n_label_conflicts += base.n_label_conflicts;
    card.n_opted_out += base.n_opted_out;
    card.n_erased += base.n_erased;
    card
}

/// The records of rows that went through several steps at once, in the order of the steps.
fn by_step<T>(mut records: Vec<OfStep<T>>) -> impl Iterator<Item = T> {
    records.sort_by_key(|(step, _)| *step);
    records.into_iter().map(|(_, record)| record)
}

/// Makes the rows of a dataset version from source rows. Fails only on a recipe that makes no sense, or that needs
/// [`Resources`] which are not there or do not answer.
///
/// All rows are in memory; [`crate::flow::run`] does the same for more rows than fit.
pub fn curate(rows: Vec<SourceRow>, recipe: &Recipe, ctx: &CurateContext<'_>) -> Result<Curated> {
    recipe.check()?;
    recipe.check_resources(ctx.resources)?;
    let mut curated = Curated::default();
    let drafts = run_steps(&recipe.steps, rows.into_iter().map(Draft::new).collect(), ctx, &mut curated)?;
    curated.examples = drafts.into_iter().filter_map(|draft| example(draft, Origin::Source)).collect();
    profile::fill(&mut curated.card, &curated.examples, ctx.resources);
    Ok(curated)
}

/// The steps in groups: neighbours that look at one row at a time go together, a step that sees all rows goes alone.
pub(crate) fn groups(steps: &[StepSettings]) -> impl Iterator<Item = &[StepSettings]> {
    steps.chunk_by(|a, b| !a.sees_all_rows() && !b.sees_all_rows())
}

/// Runs steps one after another and keeps their books.
pub(crate) fn run_steps(
    steps: &[StepSettings],
    mut drafts: Vec<Draft>,
    ctx: &CurateContext<'_>,
    curated: &mut Curated,
) -> Result<Vec<Draft>> {
    for group in groups(steps) {
        drafts = match group {
            [step] if step.sees_all_rows() => curated.enter(over_all_rows(step, drafts, ctx)?),
            row_steps => {
                let steps = RowSteps::prepare(row_steps, ctx.resources)?;
                curated.enter_rows(rows::run(&steps, drafts, ctx)?)
            }
        };
    }
    Ok(drafts)
}

/// Runs a step that sees all rows. [`crate::flow`] has the same steps for rows that lie on disk.
fn over_all_rows(step: &StepSettings, drafts: Vec<Draft>, ctx: &CurateContext<'_>) -> Result<StepOutput> {
    Ok(match step {
        StepSettings::Boilerplate(settings) => boilerplate::apply(drafts, settings),
        StepSettings::LineDedup(settings) => line_dedup::apply(drafts, settings),
        StepSettings::ExactDedup => exact_dedup::apply(drafts),
        StepSettings::NearDedup(settings) => near_dedup::apply(drafts, settings),
        StepSettings::MinHash(settings) => minhash::apply(drafts, settings)?,
        StepSettings::EmbeddingDedup(settings) => embedding_dedup::apply(drafts, settings, ctx.resources, ctx.seed)?,
        StepSettings::LabelConflict(settings) => label_conflict::apply(drafts, settings, ctx.seed),
        StepSettings::LabelCheck(settings) => label_check::apply(drafts, settings, ctx.seed),
        StepSettings::Balance(settings) => balance::apply(drafts, settings, ctx.seed),
        StepSettings::Mix(settings) => mix::apply(drafts, settings, ctx.seed),
        StepSettings::Split(settings) => split::apply(drafts, settings, ctx.seed),
        _ => unreachable!("`sees_all_rows` names these steps and no others"),
    })
}

/// The finished row of a draft that has its split.
pub(crate) fn example(draft: Draft, origin: Origin) -> Option<Example> {
    Some(Example {
        split: draft.split?,
        row_id: RowId::new(draft.row.row_id),
        text: draft.row.text,
        label: draft.row.label.unwrap_or_default(),
        subject: draft.row.subject,
        group: draft.row.group,
        language: draft.language,
        cluster: draft.cluster,
        source: draft.row.source,
        origin,
        at: draft.row.at,
        licence: draft.row.licence,
        tags: draft.row.tags,
        conversation: draft.row.conversation,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_recipe_survives_json_and_refuses_unknown_keys() {
        let recipe = Recipe::default();
        let json = serde_json::to_string(&recipe).unwrap();
        assert_eq!(serde_json::from_str::<Recipe>(&json).unwrap(), recipe);
        let short = r#"{"steps": [{"step": "near_dedup", "threshold": 0.7}, {"step": "split"}]}"#;
        let read: Recipe = serde_json::from_str(short).unwrap();
        assert_eq!(read.near_dedup(), NearSettings { threshold: 0.7, ..NearSettings::default() });
        assert!(read.check().is_ok());
        for wrong in [r#"{"steps": [{"step": "near_dedup", "treshold": 0.7}]}"#, r#"{"steps": [{"step": "polish"}]}"#] {
            assert!(serde_json::from_str::<Recipe>(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn the_split_comes_last_and_once() {
        for steps in [vec![], vec![StepSettings::Split(Default::default()), StepSettings::Redact(Default::default())]] {
            let error = Recipe { steps }.check().unwrap_err();
            assert!(error.to_string().contains("`split`"), "{error}");
        }
    }

    #[test]
    fn neighbouring_row_steps_go_together() {
        let groups: Vec<usize> = groups(&Recipe::default().steps).map(<[StepSettings]>::len).collect();
        assert_eq!(groups, [7, 1, 1, 1, 1]);
    }

    #[test]
    fn a_step_that_lacks_something_is_refused_by_name_before_anything_runs() {
        for (step, expected) in [
            (r#"{"step":"decontaminate"}"#, "step `decontaminate` needs evaluation texts, and there is none"),
            (r#"{"step":"perplexity","max":9.0}"#, "step `perplexity` needs a language model, and there is none"),
            (
                r#"{"step":"redact","surrogates":true}"#,
                "step `redact` needs a secret for surrogates, and there is none",
            ),
            (
                r#"{"step":"embedding_dedup","vectors":"model"}"#,
                "step `embedding_dedup` needs an embedding model, and there is none",
            ),
        ] {
            let steps = vec![serde_json::from_str(step).unwrap(), StepSettings::Split(Default::default())];
            let error = Recipe { steps }.check_resources(Resources::none()).unwrap_err();
            assert_eq!((error.kind(), error.to_string().as_str()), (crate::Kind::Setting, expected));
        }
        assert!(Recipe::default().check_resources(Resources::none()).is_ok());
    }
}
