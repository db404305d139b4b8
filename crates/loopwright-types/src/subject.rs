//! People whose words we hold, their consent, and what happens when they ask to be forgotten.

use crate::{
    DatasetRef, Digest, Entity, Timestamp,
    id::{ErasureId, SubjectId},
    model::ModelRef,
};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// A person, as the project knows them. Deleted whole by an erasure.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Subject {
    /// Pseudonym: the only thing about the person that other records carry.
    pub id: SubjectId,
    /// The name the organisation uses for them, e.g. a customer number; what a person types into `erase`.
    pub external_id: String,
    /// Identifying strings by kind (`name`, `email`, `phone`, `card` …), in clear: what redaction and the final scan look for.
    pub identifiers: BTreeMap<String, String>,
    /// May their words be learned from?
    pub training_allowed: bool,
    /// When this was last changed.
    pub updated_at: Timestamp,
}

impl Entity for Subject {
    const KIND: &'static str = "subject";

    fn id(&self) -> String {
        self.id.0.clone()
    }

    fn state(&self) -> &str {
        if self.training_allowed { "allowed" } else { "opted_out" }
    }
}

/// How far an erasure has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ErasureState {
    /// Rows are being removed, or a retraining is queued.
    Running,
    /// Nothing is left; the receipt is signed.
    Done,
}

/// An erasure and, once it is true, its receipt. Holds no personal data.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Erasure {
    /// Its id.
    pub id: ErasureId,
    /// The pseudonym.
    pub subject: SubjectId,
    /// Where it stands.
    pub state: ErasureState,
    /// Removed rows by place, e.g. `traces`, `dataset support@1`.
    pub removed: BTreeMap<String, u64>,
    /// Model versions that learned from the person's rows.
    pub models: Vec<ModelRef>,
    /// The version that replaced them, trained without those rows.
    pub retrained: Option<ModelRef>,
    /// Dataset versions rewritten.
    pub datasets: Vec<DatasetRef>,
    /// Files read in the closing scan.
    pub n_files_scanned: u64,
    /// Bytes read in the closing scan (compressed contents counted unpacked).
    pub n_bytes_scanned: u64,
    /// Strings looked for in the closing scan.
    pub n_strings: u64,
    /// When it was asked for.
    pub requested_at: Timestamp,
    /// When the receipt was signed.
    pub done_at: Option<Timestamp>,
    /// Digest of the signed receipt.
    pub receipt: Option<Digest>,
}

impl Entity for Erasure {
    const KIND: &'static str = "erasure";

    fn id(&self) -> String {
        self.id.0.clone()
    }

    fn state(&self) -> &str {
        match self.state {
            ErasureState::Running => "running",
            ErasureState::Done => "done",
        }
    }
}
