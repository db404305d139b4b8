//! Records in one SQLite file that several processes share.
//!
//! Write-ahead log, so readers never wait for the writer; foreign keys on; deleted content overwritten with zeros
//! (`secure_delete`); one connection for writing, whose transactions begin with `BEGIN IMMEDIATE`, so two writers
//! queue instead of failing halfway; a few connections for reading. A commit that was acknowledged is on the disk
//! (`synchronous = FULL`).

mod erase;
mod queue;
mod read;
mod rows;
mod write;

use crate::{
    Error, Kind, Result,
    change::{EntityRow, Write},
    error::Doing,
    journal::JournalMark,
    query::{Direction, FeedbackQuery, ListQuery, TraceQuery},
    records::{Records, TextSink},
};
use async_trait::async_trait;
use loopwright_types::{
    EntityRef, Timestamp,
    event::Event,
    feedback::Feedback,
    id::{JobId, KeyId, RunId},
    job::{Job, JobState},
    key::Spending,
    lineage::Edge,
    run::MetricPoint,
    trace::Trace,
};
use sqlx::{
    ConnectOptions, Sqlite, SqlitePool, Transaction,
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous},
};
use std::{
    path::{Path, PathBuf},
    time::Duration,
};

/// How long a connection waits for another process's transaction.
const BUSY_TIMEOUT: Duration = Duration::from_secs(20);
/// Connections for reading, opened when needed.
const READERS_MAX: u32 = 4;
/// Unused connections for reading are closed after this.
const READER_IDLE: Duration = Duration::from_secs(60);

static MIGRATIONS: sqlx::migrate::Migrator = sqlx::migrate!("./migrations");

/// Records in a SQLite file.
#[derive(Clone, Debug)]
pub struct SqliteRecords {
    path: PathBuf,
    writer: SqlitePool,
    readers: SqlitePool,
}

/// Must a commit survive a power failure?
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// Yes: an acknowledged commit is on the disk.
    Disk,
    /// No: for tests, many times faster.
    Process,
}

impl SqliteRecords {
    /// Opens the file and brings its schema up to date. The caller holds a lock, so that two processes do not migrate
    /// at once.
    pub async fn open(path: &Path, durability: Durability) -> Result<Self> {
        refuse_what_is_no_database(path)?;
        let synchronous = match durability {
            Durability::Disk => SqliteSynchronous::Full,
            Durability::Process => SqliteSynchronous::Off,
        };
        let options = SqliteConnectOptions::new()
            .filename(path)
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(synchronous)
            .foreign_keys(true)
            .busy_timeout(BUSY_TIMEOUT)
            .pragma("secure_delete", "ON")
            .disable_statement_logging();
        let opening = || format!("open database `{}`", path.display());
        let writer = SqlitePoolOptions::new().max_connections(1).min_connections(0).idle_timeout(None);
        let writer = writer.max_lifetime(None).acquire_timeout(BUSY_TIMEOUT * 3);
        let writer = writer.connect_with(options.clone()).await.doing(opening)?;
        MIGRATIONS.run(&writer).await.doing(opening)?;
        let readers = SqlitePoolOptions::new().max_connections(READERS_MAX).min_connections(0);
        let readers = readers.idle_timeout(READER_IDLE).acquire_timeout(BUSY_TIMEOUT * 3);
        let readers = readers.connect_lazy_with(options.create_if_missing(false).pragma("query_only", "ON"));
        Ok(Self { path: path.to_path_buf(), writer, readers })
    }

    /// Closes all connections; the last one folds the write-ahead log into the file.
    pub async fn close(&self) {
        self.readers.close().await;
        self.writer.close().await;
    }

    async fn apply_in_transaction(&self, write: Write) -> Result<Event> {
        let mut tx = self.begin().await?;
        let event = write::apply(&mut tx, write).await?;
        tx.commit().await.doing(|| format!("commit event {}", event.seq))?;
        Ok(event)
    }

    /// On a full disk SQLite rolls the transaction back by itself, and the connection still believes that it is in one:
    /// a fresh connection takes its place.
    async fn renew_writer(&self) {
        if let Ok(stale) = self.writer.acquire().await {
            // Nothing is lost with it, and the next write opens another or says why it cannot.
            stale.close().await.ok();
        }
    }

    async fn begin(&self) -> Result<Transaction<'static, Sqlite>> {
        self.writer.begin_with("BEGIN IMMEDIATE").await.doing(|| "begin a transaction".into())
    }
}

/// SQLite files start with this (<https://sqlite.org/fileformat.html>, section 1.3).
const MAGIC: &[u8; 16] = b"SQLite format 3\0";

/// Looks before SQLite does, because SQLite takes an empty file for a new database.
fn refuse_what_is_no_database(path: &Path) -> Result<()> {
    use std::io::Read;
    let mut start = Vec::new();
    match std::fs::File::open(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        file => file
            .and_then(|file| file.take(MAGIC.len() as u64).read_to_end(&mut start))
            .doing(|| format!("read database `{}`", path.display()))?,
    };
    if start.is_empty() || start == MAGIC {
        return Ok(());
    }
    let message = format!("`{}` is damaged: it does not start like a SQLite database", path.display());
    Err(Error::new(Kind::Damaged, message)
        .with_hint("nothing was changed; restore the file from a backup, or move it away and start afresh"))
}

#[async_trait]
impl Records for SqliteRecords {
    async fn apply(&self, write: Write) -> Result<Event> {
        let applied = self.apply_in_transaction(write).await;
        if applied.as_ref().is_err_and(|error| error.kind() == Kind::Full) {
            self.renew_writer().await;
        }
        applied
    }

    async fn entity(&self, kind: &str, id: &str) -> Result<Option<EntityRow>> {
        read::entity(&self.readers, kind, id).await
    }

    async fn entities(&self, kind: &str, query: &ListQuery) -> Result<Vec<EntityRow>> {
        read::entities(&self.readers, kind, query).await
    }

    async fn count(&self, kind: &str) -> Result<u64> {
        read::count(&self.readers, kind).await
    }

    async fn run_metrics(&self, run: &RunId, name: Option<&str>) -> Result<Vec<MetricPoint>> {
        read::run_metrics(&self.readers, run, name).await
    }

    async fn traces(&self, query: &TraceQuery) -> Result<Vec<Trace>> {
        read::traces(&self.readers, query).await
    }

    async fn count_traces(&self, query: &TraceQuery) -> Result<u64> {
        read::count_traces(&self.readers, query).await
    }

    async fn feedback(&self, query: &FeedbackQuery) -> Result<Vec<Feedback>> {
        read::feedback(&self.readers, query).await
    }

    async fn spendings(&self, key: Option<&KeyId>, since_minute: i64) -> Result<Vec<Spending>> {
        read::spendings(&self.readers, key, since_minute).await
    }

    async fn journal_marks(&self) -> Result<Vec<JournalMark>> {
        read::journal_marks(&self.readers).await
    }

    async fn events(&self, after_seq: u64, limit: u32) -> Result<Vec<Event>> {
        read::events(&self.readers, after_seq, limit).await
    }

    async fn last_event(&self) -> Result<Option<Event>> {
        read::last_event(&self.readers).await
    }

    async fn last_seq(&self) -> Result<u64> {
        read::last_seq(&self.readers).await
    }

    async fn edges(&self, of: &EntityRef, direction: Direction) -> Result<Vec<Edge>> {
        read::edges(&self.readers, of, direction).await
    }

    async fn lease_job(&self, kinds: &[&str], now: Timestamp, until: Timestamp) -> Result<Option<Job>> {
        queue::lease(&self.writer, kinds, now, until).await
    }

    async fn renew_job(&self, id: &JobId, until: Timestamp) -> Result<bool> {
        queue::renew(&self.writer, id, until).await
    }

    async fn fail_job(&self, id: &JobId, error: &str, max_attempts: u32) -> Result<JobState> {
        queue::fail(&self.writer, id, error, max_attempts).await
    }

    async fn jobs(&self, state: Option<JobState>, limit: u32) -> Result<Vec<Job>> {
        queue::jobs(&self.readers, state, limit).await
    }

    async fn erase_free_pages(&self) -> Result<()> {
        erase::erase_free_pages(&self.writer, &self.path).await
    }

    async fn dump_text(&self, sink: &mut TextSink<'_>) -> Result<u64> {
        erase::dump_text(&self.readers, sink).await
    }

    async fn check(&self) -> Result<Vec<String>> {
        erase::check(&self.readers).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Change;
    use loopwright_types::event::NewEvent;

    #[tokio::test]
    async fn a_full_disk_is_said_so_and_changes_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let records = SqliteRecords::open(&dir.path().join("records.db"), Durability::Process).await.unwrap();
        let write = |id: &str, n_bytes: usize| {
            let body = serde_json::Value::from("x".repeat(n_bytes));
            let row = EntityRow { kind: "thing".into(), id: id.into(), state: String::new(), body };
            let event = NewEvent::new("test", "thing.created", EntityRef::new("thing", id));
            Write { at: Timestamp(1), event, changes: vec![Change::Put(row)], finishes: None }
        };
        records.apply(write("a", 10)).await.unwrap();
        // SQLite answers a full disk and this limit in the same way.
        sqlx::query("PRAGMA max_page_count = 40").execute(&records.writer).await.unwrap();
        let error = records.apply(write("b", 400_000)).await.unwrap_err();
        assert_eq!(error.kind(), Kind::Full, "{error:?}");
        assert!(error.to_string().contains("\nhint: free some space"), "{error}");
        assert_eq!((records.count("thing").await.unwrap(), records.last_seq().await.unwrap()), (1, 1));
        records.apply(write("b", 400_000)).await.unwrap();
        assert_eq!((records.count("thing").await.unwrap(), records.last_seq().await.unwrap()), (2, 2));
    }
}
