//! A recipe: the ordered list of steps that makes a dataset version from source rows.

use crate::{
    Error, Result,
    book::Book,
    clean::{
        consent, exact_dedup, html, label_conflict, language, length, near_dedup, redact, repair, split, whitespace,
    },
    dedup::NearSettings,
    draft::{Draft, StepOutput, Verdict},
    profile,
    rows::{self, ChangedRow, OfStep, RowContext, RowOutput},
};
use loopwright_guard::Redactor;
use loopwright_types::{
    Example, SourceRow,
    dataset::{DataCard, DroppedRow, Origin},
    id::{RowId, SubjectId},
};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// One step with its settings.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "step", rename_all = "snake_case", deny_unknown_fields)]
pub enum StepSettings {
    /// Leaves out the rows of people who opted out.
    Consent,
    /// Undoes wrong decoding, takes out control characters, normalises to NFC.
    RepairText,
    /// Takes HTML out.
    StripHtml,
    /// Normalises white space.
    Whitespace,
    /// Leaves out empty, short, long and unlabelled rows.
    Length(length::Settings),
    /// Leaves out other languages.
    Language(language::Settings),
    /// Masks personal data and secrets.
    Redact,
    /// Leaves out equal texts.
    ExactDedup,
    /// Leaves out near-duplicates.
    NearDedup(NearSettings),
    /// Leaves out rows that are very likely mislabelled.
    LabelConflict(label_conflict::Settings),
    /// Deals rows into splits; always the last step.
    Split(split::Settings),
}

impl StepSettings {
    /// The step's name, as in cards and dropped rows.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Consent => consent::STEP,
            Self::RepairText => repair::STEP,
            Self::StripHtml => html::STEP,
            Self::Whitespace => whitespace::STEP,
            Self::Length(_) => length::STEP,
            Self::Language(_) => language::STEP,
            Self::Redact => redact::STEP,
            Self::ExactDedup => exact_dedup::STEP,
            Self::NearDedup(_) => near_dedup::STEP,
            Self::LabelConflict(_) => label_conflict::STEP,
            Self::Split(_) => split::STEP,
        }
    }

    fn check(&self) -> Result<()> {
        match self {
            Self::NearDedup(settings) => settings.check(near_dedup::STEP),
            Self::LabelConflict(settings) => settings.check(),
            Self::Split(settings) => settings.check(),
            _ => Ok(()),
        }
    }

    /// Whether the step must see all rows before it can say anything about one. The others look at one row at a time.
    pub fn sees_all_rows(&self) -> bool {
        matches!(self, Self::ExactDedup | Self::NearDedup(_) | Self::LabelConflict(_) | Self::Split(_))
    }

    /// What the step makes of one row; nothing, if it must see all rows first. Only a language step touches the draft
    /// itself: it notes the language.
    pub(crate) fn judge(&self, draft: &mut Draft, ctx: &RowContext<'_>) -> Option<Verdict> {
        let text = draft.row.text.as_str();
        Some(match self {
            Self::Consent => Verdict::dropped(consent::check(&draft.row, ctx.opted_out)),
            Self::RepairText => Verdict::changed(text, repair::repair(text)),
            Self::StripHtml => Verdict::changed(text, html::strip(text)),
            Self::Whitespace => Verdict::changed(text, whitespace::normalise(text)),
            Self::Length(settings) => Verdict::dropped(length::check(text, draft.label(), settings)),
            Self::Language(settings) => {
                draft.language = language::detect(text, settings.confidence_min);
                Verdict::dropped(language::check(&draft.language, settings))
            }
            Self::Redact => {
                let known = ctx.known(draft.row.subject.as_ref());
                Verdict::changed(text, redact::mask(text, ctx.redactor, known))
            }
            Self::ExactDedup | Self::NearDedup(_) | Self::LabelConflict(_) | Self::Split(_) => return None,
        })
    }
}

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
                StepSettings::Redact,
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
    /// Seed of everything random: folds and splits.
    pub seed: u64,
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
        let mut card = extension.card;
        // The extension counts the languages of every row that it started from, this one those before its filter.
        for row in &self.examples {
            card.languages.entry(row.language.clone()).and_modify(|n| *n = n.saturating_sub(1));
        }
        for (language, n) in self.card.languages {
            *card.languages.entry(language).or_default() += n;
        }
        card.languages.retain(|_, n| *n > 0);
        card.steps.splice(0..0, self.card.steps);
        card.n_rejected += self.card.n_rejected;
        card.n_exact_duplicates += self.card.n_exact_duplicates;
        card.n_near_duplicates += self.card.n_near_duplicates;
        card.n_label_conflicts += self.card.n_label_conflicts;
        card.n_opted_out += self.card.n_opted_out;
        card.n_erased += self.card.n_erased;
        let dropped = self.dropped.into_iter().chain(extension.dropped).collect();
        let changed = self.changed.into_iter().chain(extension.changed).collect();
        Self { examples: extension.examples, dropped, changed, card }
    }
}

/// The records of rows that went through several steps at once, in the order of the steps.
fn by_step<T>(mut records: Vec<OfStep<T>>) -> impl Iterator<Item = T> {
    records.sort_by_key(|(step, _)| *step);
    records.into_iter().map(|(_, record)| record)
}

/// Makes the rows of a dataset version from source rows. Fails only on a recipe that makes no sense.
///
/// All rows are in memory; [`crate::flow::run`] does the same for more rows than fit.
pub fn curate(rows: Vec<SourceRow>, recipe: &Recipe, ctx: &CurateContext<'_>) -> Result<Curated> {
    recipe.check()?;
    let mut curated = Curated::default();
    let drafts = run_steps(&recipe.steps, rows.into_iter().map(Draft::new).collect(), ctx, &mut curated);
    curated.examples = drafts.into_iter().filter_map(|draft| example(draft, Origin::Source)).collect();
    profile::fill(&mut curated.card, &curated.examples);
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
) -> Vec<Draft> {
    for group in groups(steps) {
        drafts = match group {
            [StepSettings::ExactDedup] => curated.enter(exact_dedup::apply(drafts)),
            [StepSettings::NearDedup(settings)] => curated.enter(near_dedup::apply(drafts, settings)),
            [StepSettings::LabelConflict(settings)] => curated.enter(label_conflict::apply(drafts, settings, ctx.seed)),
            [StepSettings::Split(settings)] => curated.enter(split::apply(drafts, settings, ctx.seed)),
            row_steps => curated.enter_rows(rows::run(row_steps, drafts, ctx)),
        };
    }
    drafts
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
        for steps in [vec![], vec![StepSettings::Split(Default::default()), StepSettings::Redact]] {
            let error = Recipe { steps }.check().unwrap_err();
            assert!(error.to_string().contains("`split`"), "{error}");
        }
    }

    #[test]
    fn a_step_judges_one_row_or_sees_them_all() {
        let redactor = Redactor::new(&Default::default());
        let opted_out = BTreeSet::new();
        let ctx = CurateContext { redactor: &redactor, known: &|_| Vec::new(), opted_out: &opted_out, seed: 1 };
        let row_ctx = RowContext::new(&[], &[], &ctx);
        let steps = Recipe::default().steps;
        for step in &steps {
            let verdict = step.judge(&mut Draft::new(SourceRow::default()), &row_ctx);
            assert_eq!(verdict.is_none(), step.sees_all_rows(), "{}", step.name());
        }
        let groups: Vec<usize> = groups(&steps).map(<[StepSettings]>::len).collect();
        assert_eq!(groups, [7, 1, 1, 1, 1]);
    }
}
