//! What a journal's record says: a request was begun, or it has ended.
//!
//! Records are JSON, because a journal may be read by a later version than the one that wrote it.

use crate::{Error, Kind, Result};
use loopwright_types::{
    Timestamp,
    id::{KeyId, SubjectId, TraceId},
    key::Amount,
    model::ModelRef,
    trace::Trace,
};
use serde::{Deserialize, Serialize};

/// A record of the journal.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "entry", rename_all = "snake_case")]
pub enum Entry {
    /// A request was let in and money reserved for it.
    Opened(Opened),
    /// Says again, in a newer file, that a request was let in; it may have ended before this.
    StillOpen(Opened),
    /// It has ended.
    Closed(Closed),
}

/// A request that was let in.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Opened {
    /// Its trace's id.
    pub id: TraceId,
    /// When it arrived.
    pub at: Timestamp,
    /// The route asked for.
    pub route: String,
    /// The variant that is to answer.
    pub variant: String,
    /// The version that is to answer.
    pub model: ModelRef,
    /// Who pays.
    pub key: Option<KeyId>,
    /// Whose words they are.
    pub subject: Option<SubjectId>,
    /// The client's tag.
    pub tag: Option<String>,
    /// What it can use at most.
    pub reserved: Amount,
}

/// A request that has ended.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Closed {
    /// When.
    pub ended_at: Timestamp,
    /// Its trace, masked.
    pub trace: Trace,
}

/// What becomes of the reservation of a request that was under way when the process was killed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Killed {
    /// It is given back: nobody had the whole answer.
    #[default]
    Release,
    /// It counts as used: a provider may ask for the money all the same.
    Settle,
}

/// The word in the trace of a request that was under way when the process was killed.
pub const KILLED: &str = "killed";

impl Entry {
    /// The record's bytes.
    pub fn encode(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("entries have text keys only")
    }

    /// The entry of these bytes.
    pub fn decode(bytes: &[u8]) -> Result<Self> {
        // What the tag says is known at once where it stands first, as we write it; serde would first gather all fields.
        let is = |tag: &[u8]| bytes.starts_with(tag);
        let decoded = match bytes {
            _ if is(br#"{"entry":"opened","#) => serde_json::from_slice(bytes).map(Self::Opened),
            _ if is(br#"{"entry":"closed","#) => serde_json::from_slice(bytes).map(Self::Closed),
            _ => serde_json::from_slice(bytes),
        };
        decoded.map_err(|problem| Error::new(Kind::Store, format!("a record of the journal cannot be read: {problem}")))
    }
}

impl Opened {
    /// How it ends if the process was killed before it did.
    pub fn killed(&self, policy: Killed) -> Closed {
        let reserved = match policy {
            Killed::Release => Amount::default(),
            Killed::Settle => self.reserved,
        };
        let mut trace = Trace {
            id: self.id.clone(),
            at: self.at,
            route: self.route.clone(),
            variant: self.variant.clone(),
            model: self.model.clone(),
            key: self.key.clone(),
            subject: self.subject.clone(),
            input: String::new(),
            output: String::new(),
            tokens_in: u32::try_from(reserved.tokens).unwrap_or(u32::MAX),
            tokens_out: 0,
            latency_ms: 0.0,
            first_token_ms: 0.0,
            status: 500,
            finish: KILLED.into(),
            tag: self.tag.clone(),
            detail: Default::default(),
        };
        trace.detail.cost_micro_usd = reserved.micro_usd;
        Closed { ended_at: self.at, trace }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_of_the_first_format_are_read_for_ever() {
        let opened = r#"{"entry":"opened","id":"t","at":1,"route":"r","variant":"live","model":"m@1","key":"k","subject":null,"tag":null,"reserved":{"requests":1,"tokens":9,"micro_usd":7}}"#;
        let Entry::Opened(it) = Entry::decode(opened.as_bytes()).unwrap() else { panic!("{opened}") };
        assert_eq!(it.killed(Killed::Release).trace.used(), Amount { requests: 1, tokens: 0, micro_usd: 0 });
        assert_eq!(it.killed(Killed::Settle).trace.used(), it.reserved);
        let closed = r#"{"entry":"closed","ended_at":5,"trace":{"id":"t","at":1,"route":"r","variant":"live","model":"m@1","key":"k","subject":null,"input":"a","output":"b","tokens_in":1,"tokens_out":1,"latency_ms":1.0,"first_token_ms":1.0,"status":200,"finish":"stop","tag":null,"detail":{"cost_micro_usd":3}}}"#;
        let entry = Entry::decode(closed.as_bytes()).unwrap();
        assert_eq!(String::from_utf8(entry.encode()).unwrap(), closed);
        assert_eq!(Entry::decode(b"{}").unwrap_err().kind(), Kind::Store);
    }
}
