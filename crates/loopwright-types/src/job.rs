//! Queued work.

use crate::{Timestamp, id::JobId};
use serde::{Deserialize, Serialize};

/// Work to be done once.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct NewJob {
    /// Which job, e.g. `retrain`.
    pub kind: String,
    /// A second job with the same key is not queued while the first is waiting, leased or done.
    pub idempotency_key: String,
    /// The job's own arguments.
    pub payload: serde_json::Value,
}

/// Where a job stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum JobState {
    /// Waiting for a worker.
    Queued,
    /// A worker holds its lease.
    Leased,
    /// Done.
    Done,
    /// Failed as often as allowed.
    Failed,
}

impl JobState {
    /// The stored word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Leased => "leased",
            Self::Done => "done",
            Self::Failed => "failed",
        }
    }
}

/// A job in the queue.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Job {
    /// Its id.
    pub id: JobId,
    /// What to do.
    #[serde(flatten)]
    pub job: NewJob,
    /// Where it stands.
    pub state: JobState,
    /// How often it was leased.
    pub attempts: u32,
    /// Until when the lease holds.
    pub leased_until: Option<Timestamp>,
    /// The last error.
    pub error: Option<String>,
    /// When it was queued.
    pub created_at: Timestamp,
}
