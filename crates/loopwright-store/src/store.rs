//! The store: everything a project keeps, behind typed methods.

use crate::{
    ChainReport, Change, Error, Kind, Objects, Records, Result, Tables,
    change::Write,
    clock::Clock,
    error::Doing,
    events,
    journal::{Journal, JournalMark, JournalSync},
    key::Layout,
    lineage, lock, objects,
    query::{Direction, FeedbackQuery, ListQuery, TraceQuery},
    secret,
    sqlite::{Durability, SqliteRecords},
};
use loopwright_types::{
    Entity, EntityRef, Timestamp,
    event::{Event, NewEvent},
    feedback::Feedback,
    id::{JobId, KeyId, RunId, SubjectId, TraceId},
    job::{Job, JobState},
    key::Spending,
    lineage::Edge,
    run::MetricPoint,
    trace::Trace,
};
use std::{
    path::{Path, PathBuf},
    sync::Arc,
};
use tokio::sync::watch;

/// A project's store. Cheap to clone: all clones are the same store.
#[derive(Clone, Debug)]
pub struct Store {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    layout: Layout,
    clock: Clock,
    subjects: [u8; secret::SECRET_BYTES],
    records: Arc<dyn Records>,
    objects: Objects,
    tables: Tables,
    last_seq: watch::Sender<u64>,
    /// Dropped last: the folder goes when nothing uses it any more.
    _scratch: Option<ScratchDir>,
}

/// A folder that is removed with its owner.
#[derive(Debug)]
struct ScratchDir(PathBuf);

impl Drop for ScratchDir {
    fn drop(&mut self) {
        // Nobody is left to tell; the operating system clears its temporary folder in time.
        objects::remove_dir(&self.0).ok();
    }
}

impl Store {
    /// Opens the project in this folder, making its `.loopwright` folder first if there is none.
    pub async fn create_or_open(project_dir: &Path) -> Result<Self> {
        let layout = Layout::new(project_dir);
        std::fs::create_dir_all(layout.state()).doing(|| format!("make folder `{}`", layout.state().display()))?;
        if !has_content(&layout.records()) && !layout.secret(secret::SUBJECTS).exists() {
            secret::read_or_make(&layout, secret::SUBJECTS)?;
        }
        Self::build(layout, Durability::Disk, None).await
    }

    /// Opens the project in this folder.
    pub async fn open(project_dir: &Path) -> Result<Self> {
        let layout = Layout::new(project_dir);
        if !layout.records().exists() {
            let message = format!("`{}` is not a Loopwright project", project_dir.display());
            return Err(Error::new(Kind::NotAProject, message).with_hint("run `loopwright init` there first"));
        }
        if !has_content(&layout.records()) {
            let message = format!("database `{}` is damaged: it is empty", layout.records().display());
            return Err(Error::new(Kind::Damaged, message).with_hint("restore it from a backup"));
        }
        Self::build(layout, Durability::Disk, None).await
    }

    /// A new store in a temporary folder that lives as long as it: for tests.
    pub async fn in_memory() -> Result<Self> {
        let dir = std::env::temp_dir().join(Clock::new().new_id("loopwright"));
        let scratch = ScratchDir(dir.clone());
        let layout = Layout::new(dir);
        std::fs::create_dir_all(layout.state()).doing(|| format!("make folder `{}`", layout.state().display()))?;
        secret::read_or_make(&layout, secret::SUBJECTS)?;
        Self::build(layout, Durability::Process, Some(scratch)).await
    }

    async fn build(layout: Layout, durability: Durability, scratch: Option<ScratchDir>) -> Result<Self> {
        let lost = "restore it from a backup; without it, people's pseudonyms would change";
        let subjects = secret::read(&layout, secret::SUBJECTS);
        let subjects = subjects.map_err(|error| error.with_kind(Kind::Damaged).with_hint(lost))?;
        let opening = lock::exclusive(layout.open_lock()).await?;
        let records = SqliteRecords::open(&layout.records(), durability).await?;
        drop(opening);
        let last_seq = watch::Sender::new(records.last_seq().await?);
        let inner = Inner {
            clock: Clock::new(),
            subjects,
            records: Arc::new(records),
            objects: Objects::on_disk(&layout.objects())?,
            tables: Tables::on_disk(&layout)?,
            last_seq,
            layout,
            _scratch: scratch,
        };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// The project folder.
    pub fn dir(&self) -> &Path {
        self.inner.layout.project()
    }

    /// The project's folders and files.
    pub fn layout(&self) -> &Layout {
        &self.inner.layout
    }

    /// The time now; within this process it never runs backwards.
    pub fn now(&self) -> Timestamp {
        self.inner.clock.now()
    }

    /// A new id, e.g. `run_01H…`: a prefix and a ULID. Each is greater than the one before.
    pub fn new_id(&self, prefix: &str) -> String {
        self.inner.clock.new_id(prefix)
    }

    /// The pseudonym of a person, by the name the organisation uses for them.
    pub fn subject_id(&self, external_id: &str) -> SubjectId {
        secret::pseudonym(&self.inner.subjects, external_id)
    }

    /// A secret of the project (such as a signing key's seed), made on first use and kept in `.loopwright/secrets/`.
    pub fn secret(&self, name: &str) -> Result<[u8; secret::SECRET_BYTES]> {
        secret::read_or_make(&self.inner.layout, name)
    }

    /// Files: models, checkpoints, packages, receipts, reports.
    pub fn objects(&self) -> &Objects {
        &self.inner.objects
    }

    /// Rows: sources and dataset versions.
    pub fn tables(&self) -> &Tables {
        &self.inner.tables
    }
}

/// Writing.
impl Store {
    /// Applies all changes and records the event, in one transaction: the only way to write records.
    pub async fn apply(&self, event: NewEvent, changes: Vec<Change>) -> Result<Event> {
        self.write(Write { at: self.now(), event, changes, finishes: None }).await
    }

    /// Marks a leased job as done, with the changes that are its outcome and the event, in one transaction.
    pub async fn finish_job(&self, id: &JobId, event: NewEvent, changes: Vec<Change>) -> Result<()> {
        self.write(Write { at: self.now(), event, changes, finishes: Some(id.clone()) }).await.map(|_| ())
    }

    async fn write(&self, write: Write) -> Result<Event> {
        let event = self.inner.records.apply(write).await?;
        self.inner.last_seq.send_modify(|seq| *seq = event.seq.max(*seq));
        Ok(event)
    }
}

/// Documents, metrics, traces and feedback.
impl Store {
    /// A record.
    pub async fn get<E: Entity>(&self, id: &str) -> Result<Option<E>> {
        let row = self.inner.records.entity(E::KIND, id).await?;
        row.map(|row| from_body(id, row.body)).transpose()
    }

    /// A record that must be there.
    pub async fn require<E: Entity>(&self, id: &str) -> Result<E> {
        self.get(id).await?.ok_or_else(|| Error::not_found(E::KIND, id))
    }

    /// Records of a kind.
    pub async fn list<E: Entity>(&self, query: &ListQuery) -> Result<Vec<E>> {
        let rows = self.inner.records.entities(E::KIND, query).await?;
        rows.into_iter().map(|row| from_body(&row.id, row.body)).collect()
    }

    /// How many records of a kind there are.
    pub async fn count(&self, kind: &str) -> Result<u64> {
        self.inner.records.count(kind).await
    }

    /// A run's metric points by name and step; all names if none is given.
    pub async fn run_metrics(&self, run: &RunId, name: Option<&str>) -> Result<Vec<MetricPoint>> {
        self.inner.records.run_metrics(run, name).await
    }

    /// Traces.
    pub async fn traces(&self, query: &TraceQuery) -> Result<Vec<Trace>> {
        self.inner.records.traces(query).await
    }

    /// One trace.
    pub async fn trace(&self, id: &TraceId) -> Result<Option<Trace>> {
        let query = TraceQuery { ids: Some(vec![id.clone()]), limit: 1, ..TraceQuery::default() };
        Ok(self.traces(&query).await?.pop())
    }

    /// How many traces there are, whatever the query's limit and offset.
    pub async fn count_traces(&self, query: &TraceQuery) -> Result<u64> {
        self.inner.records.count_traces(query).await
    }

    /// What a key used, or every key: by minute from this time on, and in total.
    pub async fn spendings(&self, key: Option<&KeyId>, since: Timestamp) -> Result<Vec<Spending>> {
        self.inner.records.spendings(key, since.0.div_euclid(60_000)).await
    }

    /// A journal to write into, with the place up to which it was folded in.
    pub async fn open_journal(&self, sync: JournalSync, bytes_max: u64) -> Result<(Journal, Option<JournalMark>)> {
        let marks = self.inner.records.journal_marks().await?;
        let journal = Journal::open(&self.inner.layout, &marks, sync, bytes_max)?;
        let mark = marks.into_iter().find(|mark| mark.slot == journal.slot());
        Ok((journal, mark))
    }

    /// Journals of servers that are gone, with something left in them.
    pub async fn abandoned_journals(&self) -> Result<Vec<(Journal, Option<JournalMark>)>> {
        let marks = self.inner.records.journal_marks().await?;
        let journals = Journal::abandoned(&self.inner.layout, &marks)?;
        let with_mark = |journal: Journal| {
            let mark = marks.iter().find(|mark| mark.slot == journal.slot()).copied();
            (journal, mark)
        };
        Ok(journals.into_iter().map(with_mark).collect())
    }

    /// Feedback, in the order it was given.
    pub async fn feedback(&self, query: &FeedbackQuery) -> Result<Vec<Feedback>> {
        self.inner.records.feedback(query).await
    }
}

fn from_body<E: Entity>(id: &str, body: serde_json::Value) -> Result<E> {
    serde_json::from_value(body)
        .doing(|| format!("read {} `{id}`", E::KIND))
        .map_err(|error| error.with_kind(Kind::Damaged))
}

/// Events and lineage.
impl Store {
    /// Links of the event log after this one, in order.
    pub async fn events(&self, after_seq: u64, limit: u32) -> Result<Vec<Event>> {
        self.inner.records.events(after_seq, limit).await
    }

    /// The last link of the event log.
    pub async fn last_event(&self) -> Result<Option<Event>> {
        self.inner.records.last_event().await
    }

    /// Changes whenever this process applied something: the link's position.
    pub fn subscribe(&self) -> watch::Receiver<u64> {
        self.inner.last_seq.subscribe()
    }

    /// Position of the last link, whoever wrote it: cheap to ask for, and new after every change.
    pub async fn data_version(&self) -> Result<u64> {
        self.inner.records.last_seq().await
    }

    /// Checks the event log from its first link to its last.
    pub async fn verify_events(&self) -> Result<ChainReport> {
        events::verify(&*self.inner.records).await
    }

    /// What was made of this record directly.
    pub async fn edges_from(&self, of: &EntityRef) -> Result<Vec<Edge>> {
        self.inner.records.edges(of, Direction::Down).await
    }

    /// What this record was made of directly.
    pub async fn edges_to(&self, of: &EntityRef) -> Result<Vec<Edge>> {
        self.inner.records.edges(of, Direction::Up).await
    }

    /// Everything that came from this record, nearest first.
    pub async fn downstream(&self, of: &EntityRef) -> Result<Vec<EntityRef>> {
        lineage::reach(&*self.inner.records, of, Direction::Down).await
    }

    /// Everything this record came from, nearest first.
    pub async fn upstream(&self, of: &EntityRef) -> Result<Vec<EntityRef>> {
        lineage::reach(&*self.inner.records, of, Direction::Up).await
    }
}

/// Jobs.
impl Store {
    /// Leases the oldest job of these kinds that waits or whose lease ran out.
    pub async fn lease_job(&self, kinds: &[&str], lease_ms: i64) -> Result<Option<Job>> {
        let now = self.now();
        self.inner.records.lease_job(kinds, now, now.plus_ms(lease_ms)).await
    }

    /// Prolongs a lease from now; false if the job is not leased any more.
    pub async fn renew_job(&self, id: &JobId, lease_ms: i64) -> Result<bool> {
        self.inner.records.renew_job(id, self.now().plus_ms(lease_ms)).await
    }

    /// Gives a leased job back with its error: to the queue, or for good after `max_attempts`.
    pub async fn fail_job(&self, id: &JobId, error: &str, max_attempts: u32) -> Result<JobState> {
        self.inner.records.fail_job(id, error, max_attempts).await
    }

    /// Jobs, newest first.
    pub async fn jobs(&self, state: Option<JobState>, limit: u32) -> Result<Vec<Job>> {
        self.inner.records.jobs(state, limit).await
    }
}

/// Erasure and health.
impl Store {
    /// Rewrites the database so that nothing deleted or replaced stays in its bytes.
    pub async fn erase_free_pages(&self) -> Result<()> {
        self.inner.records.erase_free_pages().await
    }

    /// Passes every text value of every database table to `sink` (table's name, value); returns how many there were.
    pub async fn dump_text(&self, mut sink: impl FnMut(&str, &str) + Send) -> Result<u64> {
        self.inner.records.dump_text(&mut sink).await
    }

    /// Checks the database's structure and references; returns what is wrong, in words.
    pub async fn check(&self) -> Result<Vec<String>> {
        self.inner.records.check().await
    }
}

fn has_content(file: &Path) -> bool {
    std::fs::metadata(file).is_ok_and(|file| file.len() > 0)
}
