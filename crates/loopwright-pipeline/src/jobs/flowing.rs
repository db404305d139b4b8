//! A curation larger than memory: rows stream from the raw table through the recipe into a version's tables.
//!
//! The flow blocks and takes the processor, so it has a thread of its own; rows come to it through a bounded channel and
//! leave it through the tables' writers. It keeps its place in `.loopwright/curation/`: killed, the next curation of the
//! same rows goes on from there.

use super::{collect::in_background, customers, recipe::Prepared};
use crate::{
    context::Context,
    error::{Doing, Error, Result},
    project::LoopSettings,
};
use futures::TryStreamExt;
use loopwright_data::{
    expectations::{Broken, Checker, Expectations},
    flow::{self, FlowInput, FlowSettings, FlowSinks, Flowed, Progress},
};
use loopwright_store::{TableKey, TableWriter};
use loopwright_types::{
    DatasetRef, Digest, Example, SourceRow, Timestamp,
    dataset::{Collection, DroppedRow},
    id::SubjectId,
};
use std::{collections::BTreeSet, time::Duration};
use tokio::{runtime::Handle, sync::mpsc};

/// Batches of rows on their way to the flow.
const WAITING_MAX: usize = 2;

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

/// Sends the raw rows of a loop through a recipe, towards this version.
pub async fn curate(ctx: &Context, it: &LoopSettings, prepared: Prepared, version: &DatasetRef) -> Result<Written> {
    let raw = TableKey::Raw { dataset: it.name.clone() };
    let rows_total = ctx.store.tables().count_rows(&raw).await?;
    let name = input_name(ctx, it, &prepared).await?;
    let settings = FlowSettings {
        memory_bytes: it.data.memory_mb << 20,
        ..FlowSettings::new(ctx.store.layout().curation(&it.name))
    };
    let writing = ctx.store.tables().writing().await?;
    let writers = (writing.examples(version).await?, writing.dropped(version).await?);
    let (sender, receiver) = mpsc::channel(WAITING_MAX);
    let expected = &it.data.expectations;
    let checker = (*expected != Expectations::default()).then(|| Checker::new(expected)).transpose();
    let checker = checker.doing(|| format!("[data.{}] expectations", it.name))?;
    let flow = Flow { ctx: ctx.clone(), prepared, settings, name, rows_total, receiver, checker };
    let running = tokio::task::spawn_blocking(move || flow.run(writers));
    let fed = feed(ctx, &raw, sender).await;
    let ((examples, dropped), seen, flowed) =
        running.await.map_err(|error| Error::bug("the curation ended by a panic").because(error))?;
    match (fed, flowed) {
        (Ok(()), Ok(flowed)) => {
            let broken = match seen.checker {
                Some(checker) => in_background(move || Ok(checker.finish())).await?,
                None => Vec::new(),
            };
            Ok(Written { flowed, broken, subjects: seen.subjects, examples, dropped })
        }
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

/// Reads the raw rows into the channel.
async fn feed(ctx: &Context, raw: &TableKey, sender: mpsc::Sender<Vec<SourceRow>>) -> Result<()> {
    let mut batches = std::pin::pin!(ctx.store.tables().stream_source_rows(raw).await?);
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
    receiver: mpsc::Receiver<Vec<SourceRow>>,
    /// Looks at the rows as they go by.
    checker: Option<Checker>,
}

/// What is noted of rows as they go by.
#[derive(Default)]
struct Seen {
    checker: Option<Checker>,
    subjects: BTreeSet<SubjectId>,
}

type Writers = (TableWriter<Example>, TableWriter<DroppedRow>);

impl Flow {
    fn run(self, writers: Writers) -> (Writers, Seen, Result<Flowed>) {
        let Self { ctx, prepared, settings, name, rows_total, mut receiver, checker } = self;
        let runtime = Handle::current();
        let (mut examples, mut dropped) = writers;
        let mut seen = Seen { checker, ..Seen::default() };
        let outside = |error: loopwright_store::Error| loopwright_data::Error::outside("write the version", error);
        let batches = std::iter::from_fn(|| receiver.blocking_recv().map(Ok));
        let input = FlowInput { name, batches, rows_total: Some(rows_total) };
        let mut teller = Teller { phase: String::new(), since: ctx.store.now() };
        let mut sinks = FlowSinks {
            examples: &mut |rows| {
                if let Some(checker) = &mut seen.checker {
                    checker.see(rows, &ctx.redactor);
                }
                for subject in rows.iter().filter_map(|row| row.subject.as_ref()) {
                    if !seen.subjects.contains(subject) {
                        seen.subjects.insert(subject.clone());
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
        let flowed = prepared.with(|context| flow::run(input, &prepared.recipe, context, &settings, &mut sinks));
        ((examples, dropped), seen, flowed.doing(|| "failed to curate".into()))
    }
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
