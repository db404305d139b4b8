//! The phases of a flow, one after another, each done once.

use super::{
    FlowInput, FlowSettings, FlowSinks, Flowed, Progress,
    boilerplate::Boilerplate,
    embedding_dedup::EmbeddingDedup,
    emit::{self, PhaseDone},
    exact::ExactDedup,
    label_check::LabelCheck,
    label_conflict::LabelConflict,
    line_dedup::LineDedup,
    minhash::MinHash,
    near::NearDedup,
    part::{self, Rows},
    progress::Meter,
    quota::Quota,
    row_phase::RowPhase,
    set_phase::{self, Looking, Pass, Scratch},
    split::{AllTrain, Splitting},
    work_folder::WorkFolder,
};
use crate::{
    Result,
    book::Book,
    profile::Profile,
    recipe::{CurateContext, Recipe, StepSettings, groups},
    rows::RowSteps,
};
use loopwright_types::{SourceRow, dataset::DataCard};
use std::path::{Path, PathBuf};

type Tell<'t> = &'t mut dyn FnMut(&Progress) -> Result<()>;

/// A flow on its way.
pub(super) struct Phases<'a> {
    folder: WorkFolder,
    ctx: &'a CurateContext<'a>,
    settings: &'a FlowSettings,
    /// The rows that are left after the phases so far.
    rows: Rows,
    n_rows: u64,
    done: Vec<PhaseDone>,
    card: DataCard,
}

impl<'a> Phases<'a> {
    pub(super) fn new(folder: WorkFolder, ctx: &'a CurateContext<'a>, settings: &'a FlowSettings) -> Self {
        Self { folder, ctx, settings, rows: Rows::default(), n_rows: 0, done: Vec::new(), card: DataCard::default() }
    }

    /// The row steps that a recipe begins with, if it does.
    fn first_group(recipe: &Recipe) -> &[StepSettings] {
        groups(&recipe.steps).next().filter(|group| !group[0].sees_all_rows()).unwrap_or_default()
    }

    /// The groups of steps after those.
    pub(super) fn later_groups<'r>(&self, recipe: &'r Recipe) -> impl Iterator<Item = &'r [StepSettings]> + use<'r> {
        groups(&recipe.steps[Self::first_group(recipe).len()..])
    }

    /// The first phase: reads the input and runs the first row steps.
    pub(super) fn read<I: Iterator<Item = Result<Vec<SourceRow>>>>(
        &mut self,
        input: FlowInput<I>,
        recipe: &Recipe,
        tell: Tell<'_>,
    ) -> Result<()> {
        let steps = Self::first_group(recipe);
        let name = self.next_name("rows");
        let path = self.folder.phase(&name)?;
        if !self.folder.is_done(&name) {
            let mut meter = Meter::new("read", input.rows_total, tell);
            let tell = &mut |n_rows, n_bytes| meter.add(n_rows, n_bytes);
            let steps = &RowSteps::prepare(steps, self.ctx.resources)?;
            let mut phase = RowPhase { folder: &path, steps, ctx: self.ctx, tell };
            phase.read_input(input.batches, self.settings.batch_rows, self.settings.batch_bytes())?;
            self.folder.finish(&name)?;
        }
        let sum = part::book(&path)?.unwrap_or_default();
        self.rows = Rows::of(path.clone());
        self.n_rows = sum.n_source_rows;
        self.close(path, steps)
    }

    /// A later phase: one step that sees all rows, or row steps behind one.
    pub(super) fn group(&mut self, steps: &[StepSettings], tell: Tell<'_>) -> Result<()> {
        let is_set = steps[0].sees_all_rows();
        let name = self.next_name(if is_set { steps[0].name() } else { "rows" });
        let path = self.folder.phase(&name)?;
        if !self.folder.is_done(&name) {
            match self.looking(&steps[0], &name)? {
                Some(looking) => self.see_all_rows(steps[0].name(), looking, &path, tell)?,
                None => {
                    let mut meter = Meter::new("rows", Some(self.n_rows), tell);
                    let tell = &mut |n_rows, n_bytes| meter.add(n_rows, n_bytes);
                    let steps = &RowSteps::prepare(steps, self.ctx.resources)?;
                    RowPhase { folder: &path, steps, ctx: self.ctx, tell }.read_rows(&self.rows)?;
                }
            }
            self.folder.finish(&name)?;
        }
        let rows = std::mem::take(&mut self.rows);
        self.rows = if is_set { rows.through(path.clone()) } else { Rows::of(path.clone()) };
        self.close(path, steps)
    }

    fn see_all_rows(
        &self,
        step: &'static str,
        looking: Box<dyn Looking + '_>,
        path: &Path,
        tell: Tell<'_>,
    ) -> Result<()> {
        let mut meter = Meter::new("", Some(self.n_rows), tell);
        let tell = &mut |pass: Pass, n_rows, n_bytes| {
            meter.enter(&format!("{step}: {}", pass.word()));
            meter.add(n_rows, n_bytes)
        };
        set_phase::run(step, looking, &self.rows, path, tell)
    }

    /// A step that sees all rows, ready for its first pass; nothing for a row step.
    fn looking(&self, step: &StepSettings, phase: &str) -> Result<Option<Box<dyn Looking + 'a>>> {
        if !step.sees_all_rows() {
            return Ok(None);
        }
        let folder = self.folder.scratch(phase)?;
        let scratch = Scratch { folder, memory_bytes: self.settings.memory_bytes, step: step.name() };
        let (seed, resources) = (self.ctx.seed, self.ctx.resources);
        Ok(Some(match step {
            StepSettings::Boilerplate(settings) => Box::new(Boilerplate::new(settings, scratch)),
            StepSettings::LineDedup(settings) => Box::new(LineDedup::new(settings, scratch)),
            StepSettings::ExactDedup => Box::new(ExactDedup::new(scratch)?),
            StepSettings::NearDedup(settings) => Box::new(NearDedup::new(settings, scratch)?),
            StepSettings::MinHash(settings) => Box::new(MinHash::new(settings, scratch)?),
            StepSettings::EmbeddingDedup(settings) => {
                Box::new(EmbeddingDedup::new(settings, resources, seed, scratch)?)
            }
            StepSettings::LabelConflict(settings) => Box::new(LabelConflict::new(settings, seed, scratch)?),
            StepSettings::LabelCheck(settings) => Box::new(LabelCheck::new(settings, seed, scratch)),
            StepSettings::Balance(settings) => {
                let (by, settings) = (settings.by, settings.clone());
                Box::new(Quota::new(by, Box::new(move |kinds| settings.counts(kinds)), seed, scratch))
            }
            StepSettings::Mix(settings) => {
                let (by, settings) = (settings.by, settings.clone());
                Box::new(Quota::new(by, Box::new(move |kinds| settings.counts(kinds)), seed, scratch))
            }
            StepSettings::Split(settings) if !settings.holds_out() => Box::new(AllTrain),
            StepSettings::Split(settings) => Box::new(Splitting::new(settings, seed, scratch)?),
            _ => return Ok(None),
        }))
    }

    /// The last phase: the rows go out.
    pub(super) fn write(mut self, sinks: &mut FlowSinks<'_>) -> Result<Flowed> {
        let mut meter = Meter::new("write", Some(self.n_rows), sinks.progress);
        let profile = Profile::new(self.ctx.resources);
        let (n_examples, digest) = emit::examples(&self.rows, &mut self.card, profile, sinks.examples, &mut meter)?;
        let n_dropped = emit::dropped(&self.done, sinks.dropped)?;
        let n_changed = emit::changed(&self.done, sinks.changed)?;
        Ok(Flowed { card: self.card, digest, n_examples, n_dropped, n_changed })
    }

    fn next_name(&self, what: &str) -> String {
        format!("{:02}-{what}", self.done.len())
    }

    /// Enters the books of a finished phase.
    fn close(&mut self, path: PathBuf, steps: &[StepSettings]) -> Result<()> {
        let mut book = Book::new(steps.iter().map(StepSettings::name));
        if let Some(sum) = part::book(&path)? {
            book.add(sum.book);
        }
        if let Some(last) = book.steps.last() {
            self.n_rows = last.n_out;
        }
        book.close(&mut self.card);
        self.done.push((path, steps.len()));
        Ok(())
    }
}
