//! Collect: sources in, raw rows and rejected rows kept as they came.
//!
//! Rows stream from the readers into the raw table, batch by batch, so that a source may be larger than memory. Readers
//! block; so they have a thread of their own, and the table's writer waits on the runtime.

use super::{customers, found::FoundSources, reading};
use crate::{
    context::Context,
    error::{Doing, Error, Result},
    project::{DataSettings, LoopSettings},
};
use loopwright_sources::{Read, Reads};
use loopwright_store::{Change, TableKey, TableWriter};
use loopwright_types::{
    EntityRef, SourceRow, Timestamp,
    dataset::{CollectedFile, Collection, RejectedRow},
    event::NewEvent,
    id::SubjectId,
    subject::Subject,
};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// Rejected rows that are kept; further ones are only counted.
const REJECTED_KEPT_MAX: u64 = 100_000;
/// Between two reports of progress, in rows.
const PROGRESS_ROWS: u64 = 20_000;
/// Progress is told in these, in bytes.
const MEGABYTE: u64 = 1_000_000;

/// What collecting came to.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Collected {
    /// Rows in the raw table.
    pub n_rows: u64,
    /// Of these, rows that were not there before.
    #[serde(default)]
    pub n_new: u64,
    /// Files read.
    #[serde(default)]
    pub n_files: u64,
    /// Files that were passed over because they are as they were.
    #[serde(default)]
    pub n_files_unchanged: u64,
    /// Rows that could not be read, kept aside.
    pub n_rejected: u64,
    /// Rejected rows by reason.
    pub rejected: BTreeMap<String, u64>,
    /// Rows of erased people that were not let in again.
    pub n_erased: u64,
    /// People newly registered or changed.
    pub n_subjects: u64,
}

/// Reads every source of the loop into its raw table.
pub async fn collect(ctx: &Context, it: &LoopSettings) -> Result<Collected> {
    run(ctx, it, &FoundSources::of(ctx, it).await?, Mode::Everything).await
}

/// The same for sources that somebody has looked at already.
pub async fn collect_found(ctx: &Context, it: &LoopSettings, found: &FoundSources) -> Result<Collected> {
    run(ctx, it, found, Mode::Everything).await
}

/// Reads only files that are new or have changed since they were last read; rows of files that are gone stay.
pub async fn collect_new(ctx: &Context, it: &LoopSettings) -> Result<Collected> {
    run(ctx, it, &FoundSources::of(ctx, it).await?, Mode::OnlyNew).await
}

#[derive(Clone, Copy, PartialEq)]
enum Mode {
    Everything,
    OnlyNew,
}

async fn run(ctx: &Context, it: &LoopSettings, found: &FoundSources, mode: Mode) -> Result<Collected> {
    let n_subjects = customers::register(ctx, &it.data).await?;
    let (raw, rejected) = (TableKey::Raw { dataset: it.name.clone() }, TableKey::Rejected { dataset: it.name.clone() });
    let before: Option<Collection> = ctx.store.get(&it.name).await?;
    let plan = Plan::make(found, before.filter(|_| mode == Mode::OnlyNew));
    // From here on nobody else writes tables: whoever is erased meanwhile is erased after these rows came in.
    let writing = ctx.store.tables().writing().await?;
    let mut intake = Intake {
        rows: writing.source_rows(&raw).await?,
        rejected: writing.rejected(&rejected).await?,
        erased: customers::erased(ctx).await?,
        known: customers::all(ctx).await?.into_iter().flat_map(all_names).collect(),
        collected: Collected { n_subjects, ..Collected::default() },
        told: Told { at: ctx.store.now(), rows: 0, bytes: 0, bytes_total: plan.bytes_total() },
    };
    let filled = intake.fill(ctx, it, &plan, &raw, &rejected).await;
    let Intake { rows, rejected, mut collected, .. } = intake;
    match filled {
        Ok(()) if collected.n_rows > 0 => {
            rejected.finish().await?;
            rows.finish().await?;
        }
        outcome => {
            rejected.abandon().await?;
            rows.abandon().await?;
            outcome?;
            return Err(Error::user(format!("no row of the sources of `{}` could be read", it.name)).hint(format!(
                "{} row(s) were refused{}; `loopwright data schema SOURCE` shows how a source is read",
                collected.n_rejected,
                collected
                    .rejected
                    .keys()
                    .next()
                    .map_or(String::new(), |reason| format!(", the first because {reason}"))
            )));
        }
    }
    collected.n_files = plan.to_read.len() as u64;
    collected.n_files_unchanged = plan.unchanged.len() as u64;
    let collection = Collection { dataset: it.name.clone(), files: plan.all_files(), at: ctx.store.now() };
    let event = NewEvent::new(ctx.actor, "source.collected", EntityRef::new("dataset", &*it.name));
    let body = serde_json::json!({"n_rows": collected.n_rows, "n_rejected": collected.n_rejected, "n_files": collected.n_files});
    ctx.store.apply(event.with_body(body), vec![Change::put(&collection)]).await?;
    Ok(collected)
}

/// Which files are read, and which are as they were.
struct Plan<'f> {
    found: &'f FoundSources,
    /// By the files' names in their source: the source and the file as it is now.
    to_read: BTreeMap<String, (String, CollectedFile)>,
    unchanged: BTreeMap<String, CollectedFile>,
    /// Files whose rows stay although no source names them any more.
    gone: BTreeMap<String, CollectedFile>,
    /// Is there anything to keep of the raw table?
    keeps: bool,
}

impl<'f> Plan<'f> {
    fn make(found: &'f FoundSources, before: Option<Collection>) -> Self {
        let keeps = before.is_some();
        let mut gone = before.map(|collection| collection.files).unwrap_or_default();
        let (mut to_read, mut unchanged) = (BTreeMap::new(), BTreeMap::new());
        for (source, parts) in &found.parts {
            for (name, (size_bytes, digest)) in parts {
                let now = CollectedFile { size_bytes: *size_bytes, digest: digest.clone() };
                match gone.remove(name) {
                    Some(then) if then == now => drop(unchanged.insert(name.clone(), now)),
                    _ => drop(to_read.insert(name.clone(), (source.clone(), now))),
                }
            }
        }
        Self { found, to_read, unchanged, gone, keeps }
    }

    /// The names of a source's files that are to be read.
    fn to_read_of<'a>(&'a self, source: &'a str) -> impl Iterator<Item = &'a str> {
        let files = self.to_read.iter().filter(move |(_, (from, _))| from == source);
        files.map(|(name, _)| name.as_str())
    }

    fn bytes_total(&self) -> u64 {
        self.to_read.values().map(|(_, file)| file.size_bytes).sum()
    }

    fn all_files(&self) -> BTreeMap<String, CollectedFile> {
        let read = self.to_read.iter().map(|(name, (_, file))| (name.clone(), file.clone()));
        read.chain(self.unchanged.clone()).chain(self.gone.clone()).collect()
    }
}

/// Rows on their way into the tables.
struct Intake {
    rows: TableWriter<SourceRow>,
    rejected: TableWriter<RejectedRow>,
    erased: BTreeSet<SubjectId>,
    known: Vec<String>,
    collected: Collected,
    told: Told,
}

/// How far reading has come.
struct Told {
    /// When it began.
    at: Timestamp,
    /// Rows when it was last told.
    rows: u64,
    /// Bytes of the files that are done.
    bytes: u64,
    bytes_total: u64,
}

impl Intake {
    async fn fill(
        &mut self,
        ctx: &Context,
        it: &LoopSettings,
        plan: &Plan<'_>,
        raw: &TableKey,
        rejected: &TableKey,
    ) -> Result<()> {
        if plan.keeps {
            self.keep(ctx, plan, raw, rejected).await?;
        }
        for source in &it.data.sources {
            if plan.to_read_of(source).next().is_none() {
                continue;
            }
            if let Some(rows) = plan.found.traffic.get(source) {
                self.take(rows.clone()).await?;
            } else if let Some(elsewhere) = plan.found.elsewhere.get(source) {
                for part in plan.to_read_of(source).filter_map(|name| elsewhere.part(name)) {
                    self.read(ctx, elsewhere.open(ctx, &it.data, part).await?).await?;
                }
            } else {
                let skip = plan.unchanged.keys().cloned().collect();
                self.read(ctx, reading::open(ctx, &it.data, source, skip)).await?;
            }
        }
        Ok(())
    }

    /// Rows of files that are as they were, or gone.
    async fn keep(&mut self, ctx: &Context, plan: &Plan<'_>, raw: &TableKey, rejected: &TableKey) -> Result<()> {
        use futures::TryStreamExt;
        let stays = |source: &str| plan.unchanged.contains_key(source) || plan.gone.contains_key(source);
        let mut batches = std::pin::pin!(ctx.store.tables().stream_source_rows(raw).await?);
        while let Some(mut rows) = batches.try_next().await? {
            rows.retain(|row| stays(&row.source) && !self.is_erased(row));
            self.collected.n_rows += rows.len() as u64;
            self.rows.push(&rows).await?;
        }
        let mut kept = ctx.store.tables().read_rejected(rejected).await?;
        kept.retain(|row| stays(&row.source));
        self.reject(ctx, kept).await
    }

    async fn read(&mut self, ctx: &Context, reads: Reads) -> Result<()> {
        let mut reads = reads;
        loop {
            let (batch, rest) = reading::next_batch(reads).await?;
            reads = rest;
            let Some(batch) = batch else { break };
            let (mut rows, mut rejected) = (Vec::new(), Vec::new());
            for read in batch.doing(|| "failed to collect".into())? {
                match read {
                    Read::Row(record) => rows.push(record.into_source_row(&|id| ctx.store.subject_id(id))),
                    Read::Rejected(row) => rejected.push(row),
                }
            }
            self.take(rows).await?;
            self.reject(ctx, rejected).await?;
            self.tell(ctx, reads.bytes_taken());
        }
        self.told.bytes += reads.bytes_taken();
        Ok(())
    }

    /// Says how far reading is; the rows of a source are known at its end only, its bytes before.
    fn tell(&mut self, ctx: &Context, bytes_taken: u64) {
        let n_rows = self.collected.n_rows;
        if n_rows < self.told.rows + PROGRESS_ROWS {
            return;
        }
        self.told.rows = n_rows;
        let seconds = ctx.store.now().ms_since(self.told.at).max(1) as f64 / 1e3;
        let note = format!("{n_rows} rows, {:.0} rows/s", n_rows as f64 / seconds);
        let total = self.told.bytes_total / MEGABYTE;
        ctx.progress("collecting, in MB", ((self.told.bytes + bytes_taken) / MEGABYTE).min(total), total, note);
    }

    /// New rows, without those of erased people.
    async fn take(&mut self, mut rows: Vec<SourceRow>) -> Result<()> {
        let n_read = rows.len();
        rows.retain(|row| !self.is_erased(row));
        self.collected.n_erased += (n_read - rows.len()) as u64;
        self.collected.n_rows += rows.len() as u64;
        self.collected.n_new += rows.len() as u64;
        Ok(self.rows.push(&rows).await?)
    }

    fn is_erased(&self, row: &SourceRow) -> bool {
        row.subject.as_ref().is_some_and(|subject| self.erased.contains(subject))
    }

    /// Nobody knows whose words a broken row holds: what identifies anybody is masked.
    async fn reject(&mut self, ctx: &Context, mut rows: Vec<RejectedRow>) -> Result<()> {
        for row in &mut rows {
            *self.collected.rejected.entry(row.reason.clone()).or_default() += 1;
            row.excerpt = ctx.redactor.redact(&row.excerpt, &self.known).text;
        }
        let room = REJECTED_KEPT_MAX.saturating_sub(self.collected.n_rejected);
        self.collected.n_rejected += rows.len() as u64;
        rows.truncate(usize::try_from(room).unwrap_or(usize::MAX));
        Ok(self.rejected.push(&rows).await?)
    }
}

/// Every string that names a person.
fn all_names(person: Subject) -> Vec<String> {
    person.identifiers.into_values().chain([person.external_id]).collect()
}

/// The rows of a file of the project, all at once, those that cannot be read left out.
pub async fn read_rows(ctx: &Context, data: &DataSettings, source: &str) -> Result<Vec<SourceRow>> {
    let mut rows = Vec::new();
    if let (Some(elsewhere), _) = reading::parts(ctx, data, source).await? {
        for part in &elsewhere.parts {
            read_into(ctx, source, elsewhere.open(ctx, data, part).await?, &mut rows).await?;
        }
    } else {
        read_into(ctx, source, reading::open(ctx, data, source, BTreeSet::new()), &mut rows).await?;
    }
    Ok(rows)
}

async fn read_into(ctx: &Context, source: &str, mut reads: Reads, rows: &mut Vec<SourceRow>) -> Result<()> {
    loop {
        let (batch, rest) = reading::next_batch(reads).await?;
        reads = rest;
        let Some(batch) = batch else { return Ok(()) };
        for read in batch.doing(|| format!("failed to read `{source}`"))? {
            if let Read::Row(record) = read {
                rows.push(record.into_source_row(&|id| ctx.store.subject_id(id)));
            }
        }
    }
}

/// Runs work that takes the processor, away from the threads that answer requests.
pub async fn in_background<T: Send + 'static>(work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|error| Error::bug("background work ended by a panic").because(error))?
}
