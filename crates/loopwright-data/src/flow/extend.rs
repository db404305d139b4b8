//! Corrections on top of more rows than fit in memory: the same as [`crate::extend::extend`] makes of rows in memory.
//!
//! The base rows come once and are put aside ([`Spool`]); then they are read three times. Whether a correction and a row
//! are alike is decided on disk ([`clusters`](super::clusters)). In the first reading each correction meets the rows that
//! it may be like, of which it keeps the closest; now it is known which corrections stay and which rows they put right. The
//! second reading looks for likeness again without what goes. The third sends the rows out, and the corrections behind
//! them. Memory holds the corrections, eight bytes for each base row, and a batch.

use super::{
    FlowInput, FlowSettings, FlowSinks, Flowed,
    clusters::ClusterFinder,
    progress::Meter,
    run,
    set_phase::{Pass, Scratch},
    spool::Spool,
};
use crate::{
    Error, Result,
    draft::{Draft, StepOutput},
    extend::{
        Correction, Homes, Meeting, STEP, Superseded, cleaned, enter_base, enter_superseded, loose, opted_out, settled,
    },
    profile::Profile,
    recipe::{CurateContext, Curated, Recipe, card_of_both},
    version::Running,
};
use loopwright_types::{Example, SourceRow, dataset::DroppedRow};
use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

/// The folder beside those of the phases.
const FOLDER: &str = "98-merge";

/// A version's rows on their way to the next version.
pub struct Extending<'a> {
    recipe: &'a Recipe,
    ctx: &'a CurateContext<'a>,
    folder: PathBuf,
    memory_bytes: u64,
    /// The rows of people who did not opt out, and the records of the others.
    base: Spool<Example>,
    out: Spool<DroppedRow>,
    finder: ClusterFinder,
    n_in: u64,
    n_kept: u64,
    /// Rows per language, those of everybody.
    languages: BTreeMap<String, u64>,
}

/// A version with corrections on top.
#[derive(Clone, Debug, PartialEq)]
pub struct Extended {
    flowed: Flowed,
    base_languages: BTreeMap<String, u64>,
}

impl Extended {
    /// The figures of the extension alone: its base was a version.
    pub fn alone(self) -> Flowed {
        self.flowed
    }

    /// The figures of the flow that made the base, and of the extension.
    fn after(self, base: Flowed) -> Flowed {
        Flowed {
            card: card_of_both(base.card, &self.base_languages, self.flowed.card),
            n_dropped: base.n_dropped + self.flowed.n_dropped,
            n_changed: base.n_changed + self.flowed.n_changed,
            ..self.flowed
        }
    }
}

/// Makes the rows of a version from source rows, as [`run`] does, with corrections on top.
pub fn run_with_corrections<I: Iterator<Item = Result<Vec<SourceRow>>>>(
    input: FlowInput<I>,
    corrections: Vec<Correction>,
    recipe: &Recipe,
    ctx: &CurateContext<'_>,
    settings: &FlowSettings,
    sinks: &mut FlowSinks<'_>,
) -> Result<Flowed> {
    let mut extending = Extending::begin(recipe, ctx, settings)?;
    let mut own = FlowSinks {
        examples: &mut |rows| extending.push(rows),
        dropped: &mut *sinks.dropped,
        changed: &mut *sinks.changed,
        progress: &mut *sinks.progress,
    };
    let base = run(input, recipe, ctx, settings, &mut own)?;
    Ok(extending.finish(corrections, sinks)?.after(base))
}

impl<'a> Extending<'a> {
    /// Begins in a folder of the work folder's; what an earlier start left there goes.
    pub fn begin(recipe: &'a Recipe, ctx: &'a CurateContext<'a>, settings: &FlowSettings) -> Result<Self> {
        super::check(recipe, ctx, settings)?;
        let (folder, memory_bytes) = (settings.dir.join(FOLDER), settings.memory_bytes);
        let (base, out) = (Spool::create(folder.join("base"))?, Spool::create(folder.join("out"))?);
        let finder = finder(&folder, "first", memory_bytes, recipe)?;
        let (n_in, n_kept, languages) = (0, 0, BTreeMap::new());
        Ok(Self { recipe, ctx, folder, memory_bytes, base, out, finder, n_in, n_kept, languages })
    }

    /// The next rows of the base.
    pub fn push(&mut self, rows: &[Example]) -> Result<()> {
        self.n_in += rows.len() as u64;
        for row in rows {
            *self.languages.entry(row.language.clone()).or_default() += 1;
        }
        let gone: Vec<DroppedRow> = rows.iter().filter_map(|row| opted_out(row, self.ctx)).collect();
        if gone.is_empty() {
            return self.keep(rows);
        }
        self.out.push(&gone)?;
        let kept: Vec<Example> = rows.iter().filter(|row| opted_out(row, self.ctx).is_none()).cloned().collect();
        self.keep(&kept)
    }

    fn keep(&mut self, rows: &[Example]) -> Result<()> {
        self.n_kept += rows.len() as u64;
        let texts: Vec<&str> = rows.iter().map(|row| row.text.as_str()).collect();
        self.finder.look(&texts)?;
        self.base.push(rows)
    }

    /// Puts the corrections on top and sends everything out.
    pub fn finish(self, corrections: Vec<Correction>, sinks: &mut FlowSinks<'_>) -> Result<Extended> {
        let Self { recipe, ctx, folder, memory_bytes, base, out, finder: first, n_in, n_kept, languages } = self;
        let mut extended = Curated::default();
        enter_base(&mut extended.card, n_in, n_kept);
        let drafts = cleaned(corrections, recipe, ctx, &mut extended)?;
        let mut reading = Reading { base: &base, n_rows: n_kept, sinks };

        let found = all_firsts(first, &drafts)?;
        let n_base = n_kept as usize;
        let mut meeting = Meeting::new(&drafts, &found[n_base..], recipe);
        reading.each(Pass::Look, |first, rows| {
            let rows = rows.iter().enumerate();
            rows.for_each(|(index, example)| meeting.see(first + index, found[first + index], example));
            Ok(())
        })?;
        drop(found);
        let (mut merged, superseded) = meeting.judge(drafts);

        let mut again = finder(&folder, "again", memory_bytes, recipe)?;
        reading.each(Pass::Judge, |first, rows| {
            let is_gone = |(index, example): &(usize, &Example)| superseded.has(first + index, example);
            let (gone, kept): (Vec<_>, Vec<_>) = rows.iter().enumerate().partition(is_gone);
            gone.into_iter().for_each(|(_, example)| enter_superseded(&mut merged, example));
            again.look(&kept.into_iter().map(|(_, example)| example.text.as_str()).collect::<Vec<_>>())
        })?;
        let found = all_firsts(again, &merged.drafts)?;
        let flowed = Last { found, superseded, merged, extended, out }.send(reading, recipe, ctx)?;
        fs::remove_dir_all(&folder).map_err(|error| Error::file("remove", &folder, error))?;
        Ok(Extended { flowed, base_languages: languages })
    }
}

fn finder(folder: &Path, name: &str, memory_bytes: u64, recipe: &Recipe) -> Result<ClusterFinder> {
    let folder = folder.join(name);
    fs::create_dir_all(&folder).map_err(|error| Error::file("create", &folder, error))?;
    ClusterFinder::new(&loose(recipe), Scratch { folder, memory_bytes, step: STEP })
}

/// For each base row and then each correction the first row of its cluster.
fn all_firsts(mut finder: ClusterFinder, drafts: &[Draft]) -> Result<Vec<usize>> {
    let texts: Vec<&str> = drafts.iter().map(|draft| draft.row.text.as_str()).collect();
    finder.look(&texts)?;
    Ok(finder.finish()?.first)
}

/// The base, read from its first row on.
struct Reading<'r, 's> {
    base: &'r Spool<Example>,
    n_rows: u64,
    sinks: &'r mut FlowSinks<'s>,
}

impl Reading<'_, '_> {
    /// Shows the rows, batch by batch, each with the place of its first row.
    fn each(&mut self, pass: Pass, mut see: impl FnMut(usize, &[Example]) -> Result<()>) -> Result<()> {
        let mut meter = Meter::new(format!("{STEP}: {}", pass.word()), Some(self.n_rows), &mut *self.sinks.progress);
        let mut first = 0;
        for index in 0..self.base.n_parts {
            let rows = self.base.part(index)?;
            see(first, &rows)?;
            first += rows.len();
            meter.add(rows.len() as u64, text_bytes(&rows))?;
        }
        Ok(())
    }
}

/// What the last reading needs.
struct Last {
    /// The clusters without what goes.
    found: Vec<usize>,
    superseded: Superseded,
    merged: StepOutput,
    extended: Curated,
    out: Spool<DroppedRow>,
}

impl Last {
    fn send(mut self, reading: Reading<'_, '_>, recipe: &Recipe, ctx: &CurateContext<'_>) -> Result<Flowed> {
        let Reading { base, n_rows, sinks } = reading;
        let FlowSinks { examples, dropped: dropped_sink, changed: changed_sink, progress } = sinks;
        let mut meter = Meter::new("write", Some(n_rows), &mut **progress);
        let mut sent = Sent { profile: Profile::new(ctx.resources), digest: Running::default(), n_examples: 0 };
        let mut homes = Homes::new(&self.found[self.found.len() - self.merged.drafts.len()..]);
        let (mut row, mut kept) = (0, 0);
        for index in 0..base.n_parts {
            let mut rows = base.part(index)?;
            let (n_read, n_bytes) = (rows.len() as u64, text_bytes(&rows));
            rows.retain(|example| {
                row += 1;
                !self.superseded.has(row - 1, example)
            });
            for example in &rows {
                homes.see(self.found[kept], example);
                kept += 1;
                *self.extended.card.languages.entry(example.language.clone()).or_default() += 1;
            }
            sent.send(&rows, examples)?;
            meter.add(n_read, n_bytes)?;
        }
        sent.send(&settled(self.merged, homes, &mut self.extended, recipe, ctx.seed), examples)?;
        let Curated { dropped, changed, mut card, .. } = self.extended;
        for index in 0..self.out.n_parts {
            dropped_sink(&self.out.part(index)?)?;
        }
        if !dropped.is_empty() {
            dropped_sink(&dropped)?;
        }
        if !changed.is_empty() {
            changed_sink(&changed)?;
        }
        let n_dropped = card.steps[0].dropped.values().sum::<u64>() + dropped.len() as u64;
        sent.profile.fill(&mut card);
        let (digest, n_changed) = (sent.digest.finish(), changed.len() as u64);
        Ok(Flowed { card, digest, n_examples: sent.n_examples, n_dropped, n_changed })
    }
}

/// The rows that went out so far.
struct Sent<'a> {
    profile: Profile<'a>,
    digest: Running,
    n_examples: u64,
}

impl Sent<'_> {
    fn send(&mut self, rows: &[Example], sink: &mut dyn FnMut(&[Example]) -> Result<()>) -> Result<()> {
        if rows.is_empty() {
            return Ok(());
        }
        self.profile.add(rows);
        rows.iter().for_each(|row| self.digest.add(row));
        self.n_examples += rows.len() as u64;
        sink(rows)
    }
}

fn text_bytes(rows: &[Example]) -> u64 {
    rows.iter().map(|row| row.text.len() as u64).sum()
}
