//! A curation larger than memory: rows stream through the recipe into a version's tables.
//!
//! They are the raw rows, or the rows of the newest version, with corrections on top. The flow blocks and takes the
//! processor, so it has a thread of its own; rows come to it through a bounded channel and leave it through the tables'
//! writers. It keeps its place in `.loopwright/curation/`: killed, the next curation of the same rows goes on from there.

use super::{
    customers,
    memory::{self, Shares},
    recipe::Prepared,
};
use crate::{
    context::Context,
    error::{Doing, Error, Result},
    project::LoopSettings,
};
use futures::{Stream, TryStreamExt};
use loopwright_data::{
    expectations::{Broken, Checker, Expectations},
    extend::Correction,
    flow::{self, Extending, FlowInput, FlowSettings, FlowSinks, Flowed, Progress},
    recipe::{CurateContext, Recipe},
};
use loopwright_store::{TableKey, TableWriter, Tables};
use loopwright_types::{
    DatasetRef, Digest, Example, SourceRow, Timestamp,
    dataset::{Collection, DroppedRow},
    id::SubjectId,
};
use std::{collections::BTreeSet, thread, time::Duration};
use tokio::{runtime::Handle, sync::mpsc};

/// Batches of rows on their way to the flow.
const WAITING_MAX: usize = 2;
/// What the expectations put aside, beside the phases of the flow.
const EXPECTATIONS: &str = "99-expectations";

/// A curated version whose tables are written but not yet there.
pub struct Written {
    /// The figures.
    pub flowed: Flowed,
    /// What the project file expects and the rows do not hold.
    pub broken: Vec<Broken>,
    /// Everybody whose rows they are.
    pub subjects: BTreeSet<SubjectId>,
    examples: TableWriter<Example>,
    dropped: TableWriter<DroppedRow>,
}

impl Written {
    /// Makes the tables of the version.
    pub async fn keep(self) -> Result<()> {
        self.dropped.finish().await?;
        self.examples.finish().await?;
        Ok(())
    }

    /// Leaves nothing behind.
    pub async fn forget(self) -> Result<()> {
        self.dropped.abandon().await?;
        Ok(self.examples.abandon().await?)
    }
}

/// What a version is made of, beside corrections.
#[derive(Clone, Debug)]
pub enum Base {
    /// The raw rows, which go through the recipe.
    Raw,
    /// The rows of a version, which stay as they are.
    Version(DatasetRef),
}

/// Makes the rows of this version, in the memory that the settings allow.
pub async fn curate(
    ctx: &Context,
    it: &LoopSettings,
    base: Base,
    corrections: Vec<Correction>,
    version: &DatasetRef,
) -> Result<Written> {
    let (flow, feed) = Flow::prepare(ctx, it, base, corrections).await?;
    let writing = ctx.store.tables().held_to(flow.shares.tables).writing().await?;
    let writers = (writing.examples(version).await?, writing.dropped(version).await?);
    let running = tokio::task::spawn_blocking(move || flow.run(writers));
    let fed = feed.await;
    let ((examples, dropped), flowed) =
        running.await.map_err(|error| Error::bug("the curation ended by a panic").because(error))?;
    match (fed, flowed) {
        (Ok(()), Ok(Seen { flowed, broken, subjects })) => Ok(Written { flowed, broken, subjects, examples, dropped }),
        (fed, flowed) => {
            dropped.abandon().await?;
            examples.abandon().await?;
            fed?;
            Err(flowed.err().unwrap_or_else(|| Error::bug("a curation failed without a reason")))
        }
    }
}

/// The work folder of a finished curation is of no more use.
pub fn clear(ctx: &Context, it: &LoopSettings) -> Result<()> {
    let folder = ctx.store.layout().curation(&it.name);
    match std::fs::remove_dir_all(&folder) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).outside(|| format!("failed to delete `{}`", folder.display()))
        }
        _ => Ok(()),
    }
}

/// Names everything that decides the result and that the flow cannot see.
async fn input_name(ctx: &Context, it: &LoopSettings, prepared: &Prepared) -> Result<String> {
    let collection: Option<Collection> = ctx.store.get(&it.name).await?;
    let asked = (&it.data.evaluation, &it.data.curation_model);
    let known = (&collection, &ctx.project.policy, &prepared.identifiers, customers::erased(ctx).await?, asked);
    let json = serde_json::to_vec(&known).outside(|| "failed to name the rows of a curation".into())?;
    Ok(Digest::of(&json).to_string())
}

/// Rows on their way to the flow.
enum Source {
    Raw(mpsc::Receiver<Vec<SourceRow>>),
    Version(mpsc::Receiver<Vec<Example>>),
}

/// The end of the channel that the flow reads, and the work of filling the other one.
fn source(tables: &Tables, base: Base, it: &LoopSettings) -> (Source, impl Future<Output = Result<()>> + use<>) {
    let (tables, name) = (tables.clone(), it.name.clone());
    let (raw, raw_receiver) = mpsc::channel(WAITING_MAX);
    let (examples, examples_receiver) = mpsc::channel(WAITING_MAX);
    let source = match base {
        Base::Raw => Source::Raw(raw_receiver),
        Base::Version(_) => Source::Version(examples_receiver),
    };
    let feed = async move {
        match base {
            Base::Raw => feed(tables.stream_source_rows(&TableKey::Raw { dataset: name }).await?, raw).await,
            Base::Version(version) => feed(tables.stream_examples(&version).await?, examples).await,
        }
    };
    (source, feed)
}

/// Sends rows into the channel.
async fn feed<T>(
    batches: impl Stream<Item = loopwright_store::Result<Vec<T>>>,
    sender: mpsc::Sender<Vec<T>>,
) -> Result<()> {
    let mut batches = std::pin::pin!(batches);
    while let Some(rows) = batches.try_next().await? {
        // A flow that wants no more rows has failed, or has read them before it was killed.
        if sender.send(rows).await.is_err() {
            break;
        }
    }
    Ok(())
}

struct Flow {
    ctx: Context,
    prepared: Prepared,
    settings: FlowSettings,
    name: String,
    rows_total: u64,
    source: Source,
    corrections: Vec<Correction>,
    /// Looks at the rows as they go by.
    checker: Option<Checker>,
    shares: Shares,
}

/// What a flow came to.
struct Seen {
    flowed: Flowed,
    broken: Vec<Broken>,
    subjects: BTreeSet<SubjectId>,
}

type Writers = (TableWriter<Example>, TableWriter<DroppedRow>);

impl Flow {
    /// Makes everything ready, and the work of sending the rows.
    async fn prepare(
        ctx: &Context,
        it: &LoopSettings,
        base: Base,
        corrections: Vec<Correction>,
    ) -> Result<(Self, impl Future<Output = Result<()>> + use<>)> {
        let key = match &base {
            Base::Raw => TableKey::Raw { dataset: it.name.clone() },
            Base::Version(version) => TableKey::Examples(version.clone()),
        };
        let tables = ctx.store.tables();
        let (rows_total, size_bytes) = (tables.count_rows(&key).await?, tables.size_bytes(&key).await?);
        let before = memory::resident_bytes();
        let prepared = Prepared::of(ctx, it).await?;
        let loaded = memory::resident_bytes().saturating_sub(before);
        let n_threads = thread::available_parallelism().map_or(1, |n| n.get() as u64);
        let shares = Shares::of(it.data.memory_mb << 20, loaded, n_threads, size_bytes / rows_total.max(1))?;
        let dir = ctx.store.layout().curation(&it.name);
        let expected = &it.data.expectations;
        let checker = (*expected != Expectations::default())
            .then(|| Checker::new(expected, &dir.join(EXPECTATIONS), shares.flow_bytes))
            .transpose()
            .doing(|| format!("[data.{}] expectations", it.name))?;
        let settings = FlowSettings { memory_bytes: shares.flow_bytes, ..FlowSettings::new(dir) };
        let name = input_name(ctx, it, &prepared).await?;
        let (source, feed) = source(&tables.held_to(shares.tables), base, it);
        let flow =
            Self { ctx: ctx.clone(), prepared, settings, name, rows_total, source, corrections, checker, shares };
        Ok((flow, feed))
    }

    fn run(self, writers: Writers) -> (Writers, Result<Seen>) {
        let Self { ctx, prepared, settings, name, rows_total, source, corrections, mut checker, shares } = self;
        let runtime = Handle::current();
        let (mut examples, mut dropped) = writers;
        let mut subjects = BTreeSet::new();
        let outside = |error: loopwright_store::Error| loopwright_data::Error::outside("write the version", error);
        let mut teller = Teller { phase: String::new(), since: ctx.store.now() };
        let mut sinks = FlowSinks {
            examples: &mut |rows| {
                if let Some(checker) = &mut checker {
                    checker.see(rows, &ctx.redactor)?;
                }
                for subject in rows.iter().filter_map(|row| row.subject.as_ref()) {
                    if !subjects.contains(subject) {
                        subjects.insert(subject.clone());
                    }
                }
                runtime.block_on(examples.push(rows)).map_err(outside)
            },
            dropped: &mut |rows| runtime.block_on(dropped.push(rows)).map_err(outside),
            changed: &mut |_| Ok(()),
            progress: &mut |at| {
                teller.tell(&ctx, at);
                Ok(())
            },
        };
        let recipe = &prepared.recipe;
        let flowed = prepared.with(|context| match source {
            Source::Raw(mut receiver) => {
                let batches = std::iter::from_fn(move || receiver.blocking_recv().map(Ok));
                let input = FlowInput { name, batches, rows_total: Some(rows_total) };
                match corrections.is_empty() {
                    true => flow::run(input, recipe, context, &settings, &mut sinks),
                    false => flow::run_with_corrections(input, corrections, recipe, context, &settings, &mut sinks),
                }
            }
            Source::Version(receiver) => on_top(receiver, corrections, recipe, context, &settings, &mut sinks),
        });
        let seen = flowed.and_then(|flowed| {
            let broken = checker.map_or(Ok(Vec::new()), Checker::finish)?;
            Ok(Seen { flowed, broken, subjects })
        });
        ((examples, dropped), seen.map_err(|error| shares.explain(error)))
    }
}

/// Corrections on top of a version's rows.
fn on_top(
    mut rows: mpsc::Receiver<Vec<Example>>,
    corrections: Vec<Correction>,
    recipe: &Recipe,
    context: &CurateContext<'_>,
    settings: &FlowSettings,
    sinks: &mut FlowSinks<'_>,
) -> loopwright_data::Result<Flowed> {
    let mut extending = Extending::begin(recipe, context, settings)?;
    while let Some(rows) = rows.blocking_recv() {
        extending.push(&rows)?;
    }
    Ok(extending.finish(corrections, sinks)?.alone())
}

/// Says how far a phase is and how many bytes of text it takes per second.
struct Teller {
    phase: String,
    since: Timestamp,
}

impl Teller {
    fn tell(&mut self, ctx: &Context, at: &Progress) {
        let now = ctx.store.now();
        if self.phase != at.phase {
            (self.phase, self.since) = (at.phase.clone(), now);
        }
        let Some(total) = at.rows_total.filter(|total| *total > 0) else { return };
        let elapsed = Duration::from_millis(now.ms_since(self.since).max(1).cast_unsigned());
        let note = format!("{:.1} MB/s", at.rate(elapsed).bytes_per_s / 1e6);
        ctx.progress(&at.phase, at.n_rows.min(total), total, note);
    }
}
