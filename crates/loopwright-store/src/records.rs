//! What a database of records must do. [`conformance`](crate::conformance) says it in tests; SQLite is the first
//! implementation.

use crate::{
    Result,
    change::{EntityRow, Write},
    journal::JournalMark,
    query::{Direction, FeedbackQuery, ListQuery, TraceQuery},
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

/// Gets every text value: the table's name, the value.
pub type TextSink<'a> = dyn FnMut(&str, &str) + Send + 'a;

/// A database of records, shared by all processes that have the project open.
///
/// Times come in as arguments; nothing here reads a clock.
#[async_trait]
pub trait Records: Send + Sync + std::fmt::Debug {
    /// Applies all changes and adds the event's link to the chain, in one transaction. If the write finishes a job
    /// that is not leased, it fails with [`Kind::Conflict`](crate::Kind) and changes nothing.
    async fn apply(&self, write: Write) -> Result<Event>;

    /// A document.
    async fn entity(&self, kind: &str, id: &str) -> Result<Option<EntityRow>>;
    /// Documents of a kind.
    async fn entities(&self, kind: &str, query: &ListQuery) -> Result<Vec<EntityRow>>;
    /// How many documents of a kind there are.
    async fn count(&self, kind: &str) -> Result<u64>;

    /// A run's metric points by name and step; all names if none is given.
    async fn run_metrics(&self, run: &RunId, name: Option<&str>) -> Result<Vec<MetricPoint>>;

    /// Traces.
    async fn traces(&self, query: &TraceQuery) -> Result<Vec<Trace>>;
    /// How many traces there are, whatever the query's limit and offset.
    async fn count_traces(&self, query: &TraceQuery) -> Result<u64>;
    /// Feedback.
    async fn feedback(&self, query: &FeedbackQuery) -> Result<Vec<Feedback>>;

    /// What a key used, or every key: by minute from this one on, and in total. Servers' shares are added up.
    async fn spendings(&self, key: Option<&KeyId>, since_minute: i64) -> Result<Vec<Spending>>;
    /// Up to where each journal was folded in.
    async fn journal_marks(&self) -> Result<Vec<JournalMark>>;

    /// Links after this one, in order.
    async fn events(&self, after_seq: u64, limit: u32) -> Result<Vec<Event>>;
    /// The last link.
    async fn last_event(&self) -> Result<Option<Event>>;
    /// Position of the last link, 0 if there is none.
    async fn last_seq(&self) -> Result<u64>;

    /// Edges that start at (`Down`) or lead to (`Up`) this record, in the order they were added.
    async fn edges(&self, of: &EntityRef, direction: Direction) -> Result<Vec<Edge>>;

    /// Leases the oldest job of these kinds that waits, or whose lease ran out before `now`; counts an attempt.
    async fn lease_job(&self, kinds: &[&str], now: Timestamp, until: Timestamp) -> Result<Option<Job>>;
    /// Prolongs a lease; false if the job is not leased any more.
    async fn renew_job(&self, id: &JobId, until: Timestamp) -> Result<bool>;
    /// Gives a leased job back with its error: to the queue, or for good after `max_attempts`.
    async fn fail_job(&self, id: &JobId, error: &str, max_attempts: u32) -> Result<JobState>;
    /// Jobs, newest first.
    async fn jobs(&self, state: Option<JobState>, limit: u32) -> Result<Vec<Job>>;

    /// Rewrites the files so that no deleted or replaced value stays in their bytes.
    async fn erase_free_pages(&self) -> Result<()>;
    /// Passes every stored text value to the sink and returns how many there were.
    async fn dump_text(&self, sink: &mut TextSink<'_>) -> Result<u64>;
    /// Checks the files' own structure and every reference; returns what is wrong in words.
    async fn check(&self) -> Result<Vec<String>>;
}
