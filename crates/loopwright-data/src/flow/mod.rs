//! Curation of more rows than fit in memory.
//!
//! [`crate::recipe::curate`] takes all rows at once and gives all rows back. [`run`] does the same with an iterator of
//! batches and three sinks: for any size of the batches and any memory it gives the same rows, the same dropped rows, the
//! same changes, the same card and the same digest. Both run the same steps; only where rows lie in between differs.
//!
//! # Two kinds of steps
//! A *row step* is a function of one row: it keeps the row, changes its text or drops it ([`crate::rows`]). Neighbouring
//! row steps are fused, so that rows are read and written once for all of them, batch by batch, in parallel.
//!
//! A *set step* must see all rows before it can say anything about one: exact and near-duplicates, repeated lines,
//! contradicted labels, the split. It reads the rows twice (`set_phase`): first it notes of each row what it needs, then
//! it judges row by row. Rows are not written again for that, only their fates, and the texts that it changes.
//!
//! ```text
//! batches ─→ 00-rows ─→ 01-exact_dedup ─→ 02-near_dedup ─→ 03-label_conflict ─→ 04-split ─→ sinks
//!            segments    fates             fates            fates                fates       card, digest
//! ```
//!
//! A recipe with row steps behind a set step has a further `rows` phase there. How much a set step takes per row is in
//! the table of `set_phase`; what does not fit into [`FlowSettings::memory_bytes`] is refused with
//! [`Kind::Memory`](crate::Kind::Memory) and the figure that would do, before anything goes wrong.
//!
//! # Killed is not lost
//! Segments appear whole or not at all, and a manifest says which phases are done. [`run`] with the same arguments goes
//! on behind the last finished segment of a row phase, or at the beginning of an unfinished set phase. The manifest holds
//! a digest of recipe, seed, opted-out people, evaluation texts and the input's name: a folder of something else is refused, and
//! [`clear`] empties it. Batch size and memory may change in between. Sinks are called in the last phase only. If that is
//! cut short, the next run sends everything again from its first row; so a sink begins its table anew with each run.
//!
//! # Why is this row gone?
//! Dropped rows come with step and reason, changed rows with the step and two hashes. [`why`] sends one source row
//! through the row steps again and shows the texts.
//!
//! ```
//! use loopwright_data::{flow::{self, FlowInput, FlowSettings, FlowSinks}, recipe::{CurateContext, Recipe, Resources}};
//! use loopwright_guard::{RedactPolicy, Redactor};
//! use loopwright_types::SourceRow;
//!
//! let row = |n: u64| SourceRow { row_id: format!("r{n}"), text: format!("where is order {n}?"), label: Some("track".into()), ..SourceRow::default() };
//! let batches = (0..4).map(|batch| Ok((0..3).map(|n| row((batch * 3 + n) % 10)).collect()));
//! let redactor = Redactor::new(&RedactPolicy::default());
//! let (opted_out, resources) = (Default::default(), Resources::none());
//! let ctx = CurateContext { redactor: &redactor, known: &|_| vec![], opted_out: &opted_out, seed: 1, resources };
//!
//! let dir = tempfile::tempdir()?;
//! let (mut n_rows, mut reasons) = (0, vec![]);
//! let mut sinks = FlowSinks {
//!     examples: &mut |rows| Ok(n_rows += rows.len()),
//!     dropped: &mut |rows| Ok(reasons.extend(rows.iter().map(|row| row.reason.clone()))),
//!     changed: &mut |_| Ok(()),
//!     progress: &mut |_| Ok(()),
//! };
//! let input = FlowInput { name: "orders".into(), batches, rows_total: Some(12) };
//! let settings = FlowSettings::new(dir.path());
//! let done = flow::run(input, &Recipe::default(), &ctx, &settings, &mut sinks)?;
//! assert_eq!(done.n_examples, n_rows as u64);
//! assert_eq!(reasons[0], "same text as r0");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod boilerplate;
mod chunks;
mod clusters;
mod embedding_dedup;
mod emit;
mod exact;
mod extend;
mod finder;
mod label_check;
mod label_conflict;
mod labels;
mod line_dedup;
mod minhash;
mod near;
mod part;
mod phases;
mod progress;
mod quota;
mod row_phase;
mod segment;
mod set_phase;
mod shelf;
mod sorter;
mod split;
mod spool;
#[cfg(test)]
mod tests;
mod why;
mod work_folder;

pub use emit::Sink;
pub use extend::{Extended, Extending, run_with_corrections};
pub use finder::{Finder, Found};
pub(crate) use near::{Near, NearFound};
pub use progress::{Progress, Rate};
pub use why::{Outcome, StepOutcome, why};
pub use work_folder::clear;

use crate::{
    Error, Result,
    recipe::{CurateContext, Recipe},
    rows::ChangedRow,
};
use loopwright_types::{
    Digest, Example, SourceRow,
    dataset::{DataCard, DroppedRow},
};
use phases::Phases;
use std::path::PathBuf;
use work_folder::WorkFolder;

/// Least memory that a curation may be held to, in bytes (1 MiB).
pub const MEMORY_BYTES_MIN: u64 = 1 << 20;

/// Where and how a flow works. None of it changes the result.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FlowSettings {
    /// The work folder. It takes about as much as the input's text compressed, and up to twice the text while a set step
    /// runs.
    pub dir: PathBuf,
    /// How much memory rows and tables may take, in bytes; the program itself is not counted. At least
    /// [`MEMORY_BYTES_MIN`].
    pub memory_bytes: u64,
    /// Most rows of a batch, which is also what is lost at most when the program is killed while it reads.
    pub batch_rows: usize,
}

impl FlowSettings {
    /// The usual settings: 256 MiB, 8,192 rows a batch.
    pub fn new(dir: impl Into<PathBuf>) -> Self {
        Self { dir: dir.into(), memory_bytes: 256 << 20, batch_rows: 8192 }
    }

    /// Refuses settings that make no sense.
    pub fn check(&self) -> Result<()> {
        if self.memory_bytes < MEMORY_BYTES_MIN {
            return Err(Error::setting("memory_bytes", self.memory_bytes, &format!("at least {MEMORY_BYTES_MIN}")));
        }
        if self.batch_rows == 0 {
            return Err(Error::setting("batch_rows", 0, "at least 1"));
        }
        Ok(())
    }

    /// When a batch is full whatever its number of rows: it is in memory some four times over while it is written.
    fn batch_bytes(&self) -> usize {
        (self.memory_bytes / 16) as usize
    }
}

/// Rows that come in.
pub struct FlowInput<I> {
    /// Names the input and everything else that decides the result but that the flow cannot see: the version of the
    /// source, what is masked, what is known of people, the models among the [`crate::recipe::Resources`]. A finished folder under the same name is not computed again.
    pub name: String,
    /// The rows, in batches of any size. An error ends the run; the next one begins with the first batch again.
    pub batches: I,
    /// How many rows there are, if it is known, for the time left.
    pub rows_total: Option<u64>,
}

/// Where everything goes. An error of any of them ends the run, which can go on later.
pub struct FlowSinks<'a> {
    /// The rows of the version, in the order of their sources.
    pub examples: Sink<'a, Example>,
    /// The rows left out, in the order of the steps and then of the rows.
    pub dropped: Sink<'a, DroppedRow>,
    /// Which step changed which row, in the order of the steps and then of the rows.
    pub changed: Sink<'a, ChangedRow>,
    /// Called after each batch; an error stops the flow.
    pub progress: &'a mut dyn FnMut(&Progress) -> Result<()>,
}

/// The outcome of a flow, beside what went through the sinks.
#[derive(Clone, Debug, PartialEq)]
pub struct Flowed {
    /// The figures.
    pub card: DataCard,
    /// The digest of the rows, as [`crate::version::digest`] gives it.
    pub digest: Digest,
    /// Rows of the version.
    pub n_examples: u64,
    /// Rows left out.
    pub n_dropped: u64,
    /// Changes of rows.
    pub n_changed: u64,
}

/// Makes the rows of a dataset version from source rows that come in batches.
///
/// Fails on a recipe or settings that make no sense, a work folder that belongs to something else, more rows than a step
/// can take in the memory that it may have, and trouble with the disk, the input or a sink.
pub fn run<I: Iterator<Item = Result<Vec<SourceRow>>>>(
    input: FlowInput<I>,
    recipe: &Recipe,
    ctx: &CurateContext<'_>,
    settings: &FlowSettings,
    sinks: &mut FlowSinks<'_>,
) -> Result<Flowed> {
    check(recipe, ctx, settings)?;
    let folder = WorkFolder::open(&settings.dir, identity(&input.name, recipe, ctx)?)?;
    let mut phases = Phases::new(folder, ctx, settings);
    phases.read(input, recipe, sinks.progress)?;
    for group in phases.later_groups(recipe) {
        phases.group(group, sinks.progress)?;
    }
    phases.write(sinks)
}

/// Refuses a recipe or settings that make no sense.
fn check(recipe: &Recipe, ctx: &CurateContext<'_>, settings: &FlowSettings) -> Result<()> {
    recipe.check()?;
    recipe.check_resources(ctx.resources)?;
    settings.check()
}

/// What the result depends on.
fn identity(name: &str, recipe: &Recipe, ctx: &CurateContext<'_>) -> Result<Digest> {
    let recipe = serde_json::to_string(recipe).map_err(|error| Error::outside("write a recipe", error))?;
    let seed = ctx.seed.to_le_bytes();
    let key = ctx.resources.surrogate_key.as_ref().map_or(&[][..], |key| &key[..]);
    let sealed = ctx.resources.mapping.as_ref().map(|mapping| mapping.seal(&[0; 32]).seal);
    let stand_ins = sealed.as_ref().map_or(&[][..], |seal| &seal[..]);
    let parts: [&[u8]; 5] = [name.as_bytes(), recipe.as_bytes(), &seed, key, stand_ins];
    let people = ctx.opted_out.iter().map(|subject| subject.as_str().as_bytes());
    let evaluation = ctx.resources.evaluation_texts.iter().flat_map(|(set, rows)| {
        let rows = rows.iter().flat_map(|(id, text)| [id.as_bytes(), text.as_bytes()]);
        [set.as_bytes(), b"rows"].into_iter().chain(rows)
    });
    Ok(Digest::of_parts(parts.into_iter().chain(people).chain([&b"evaluation"[..]]).chain(evaluation)))
}
