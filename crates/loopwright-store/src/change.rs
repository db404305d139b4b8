//! What can be changed in the records. There is one way to write: a list of changes and the event that tells of them,
//! in one transaction.

use crate::journal::JournalMark;
use loopwright_types::{
    Entity, EntityRef, Timestamp,
    event::NewEvent,
    feedback::Feedback,
    id::{JobId, RunId, SubjectId},
    job::NewJob,
    key::Spending,
    lineage::Edge,
    run::MetricPoint,
    trace::Trace,
};

/// A document as it is stored.
#[derive(Clone, Debug, PartialEq)]
pub struct EntityRow {
    /// The record's kind.
    pub kind: String,
    /// Its id within the kind.
    pub id: String,
    /// Its state word, empty where the kind has none.
    pub state: String,
    /// The record itself.
    pub body: serde_json::Value,
}

/// One change. All changes of a write happen, or none.
#[derive(Clone, Debug, PartialEq)]
pub enum Change {
    /// Writes a document, replacing the one with the same kind and id.
    Put(EntityRow),
    /// Removes a document (for a run: with its metrics). Its edges stay until [`Change::Unlink`].
    Delete(EntityRef),
    /// Adds an edge; the same edge twice is one edge.
    Link(Edge),
    /// Removes every edge that touches this record.
    Unlink(EntityRef),
    /// Adds metric points; a point of the same run, name and step is replaced, so a resumed run may repeat steps.
    Metrics {
        /// The run.
        run: RunId,
        /// The points.
        points: Vec<MetricPoint>,
    },
    /// Writes traces, replacing those with the same id.
    Traces(Vec<Trace>),
    /// Writes feedback, replacing that with the same id. The traces must exist.
    Feedback(Vec<Feedback>),
    /// Removes a person's traces together with their feedback.
    DeleteTracesOf(SubjectId),
    /// Adds what keys used, as a journal tells up to a place. The place is kept with it; one that is not later than the
    /// last is refused, so that nothing is counted twice. Minutes older than a month are forgotten, totals never.
    Spend {
        /// Up to where the journal is told with this.
        mark: JournalMark,
        /// What was used, by minute; totals follow from it.
        spendings: Vec<Spending>,
    },
    /// Queues a job, unless one with its idempotency key is waiting, leased or done.
    Enqueue(NewJob),
}

impl Change {
    /// Writes this record.
    pub fn put<E: Entity>(entity: &E) -> Self {
        let body = serde_json::to_value(entity).expect("domain records have text keys only");
        Self::Put(EntityRow { kind: E::KIND.into(), id: entity.id(), state: entity.state().into(), body })
    }
}

/// A whole write, as the implementations of [`Records`](crate::Records) get it.
#[derive(Clone, Debug, PartialEq)]
pub struct Write {
    /// When.
    pub at: Timestamp,
    /// The link to add to the event log.
    pub event: NewEvent,
    /// What changes, in this order.
    pub changes: Vec<Change>,
    /// The leased job that this write finishes, if it does.
    pub finishes: Option<JobId>,
}
