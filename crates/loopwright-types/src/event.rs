//! The hash-chained event log: who changed what, when, in an order that cannot be altered unseen.

use crate::{Digest, EntityRef, Timestamp};
use serde::{Deserialize, Serialize};

/// What is about to be recorded. It must hold no personal data: events are never erased.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct NewEvent {
    /// Who: `cli`, `server`, `pipeline`, `reconciler`, or `key:<id>`.
    pub actor: String,
    /// What, as `noun.verb` in the past tense, e.g. `model_version.created`.
    pub kind: String,
    /// About which record.
    pub about: EntityRef,
    /// Figures and references.
    pub body: serde_json::Value,
}

impl NewEvent {
    /// An event with an empty body.
    pub fn new(actor: &str, kind: &str, about: EntityRef) -> Self {
        Self { actor: actor.into(), kind: kind.into(), about, body: serde_json::Value::Object(Default::default()) }
    }

    /// The same event with this body.
    pub fn with_body(mut self, body: serde_json::Value) -> Self {
        self.body = body;
        self
    }
}

/// A link of the chain.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Event {
    /// Position, from 1, without gaps.
    pub seq: u64,
    /// When.
    pub at: Timestamp,
    /// What.
    #[serde(flatten)]
    pub event: NewEvent,
    /// Hash of the link before (64 zeros for the first).
    pub prev: String,
    /// This link's hash.
    pub hash: String,
}

/// The `prev` of the first link.
pub const GENESIS: &str = "0000000000000000000000000000000000000000000000000000000000000000";

impl Event {
    /// Makes the next link after one with hash `prev`.
    pub fn link(seq: u64, at: Timestamp, event: NewEvent, prev: &str) -> Self {
        let hash = link_hash(seq, at, &event, prev);
        Self { seq, at, event, prev: prev.to_string(), hash }
    }

    /// Does this link's hash fit its content?
    pub fn is_intact(&self) -> bool {
        self.hash == link_hash(self.seq, self.at, &self.event, &self.prev)
    }
}

/// SHA-256 over the length-delimited fields: prev, seq, time, actor, kind, about, body (compact JSON, keys sorted).
fn link_hash(seq: u64, at: Timestamp, event: &NewEvent, prev: &str) -> String {
    let body = event.body.to_string();
    let about = event.about.to_string();
    Digest::of_parts([
        prev.as_bytes(),
        &seq.to_le_bytes(),
        &at.0.to_le_bytes(),
        event.actor.as_bytes(),
        event.kind.as_bytes(),
        about.as_bytes(),
        body.as_bytes(),
    ])
    .hex()
    .to_string()
}

/// Where a chain is broken.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct BrokenLink {
    /// The position at which the log stops being what was written.
    pub seq: u64,
    /// What is wrong there.
    pub problem: String,
}

/// Checks links one after another, as they are read.
#[derive(Debug)]
pub struct ChainCheck {
    next_seq: u64,
    prev: String,
}

impl Default for ChainCheck {
    fn default() -> Self {
        Self { next_seq: 1, prev: GENESIS.to_string() }
    }
}

impl ChainCheck {
    /// Checks the next link.
    pub fn next(&mut self, event: &Event) -> Result<(), BrokenLink> {
        let broken = |problem: String| Err(BrokenLink { seq: event.seq.min(self.next_seq), problem });
        if event.seq != self.next_seq {
            return broken(format!("expected link {}, got {}", self.next_seq, event.seq));
        }
        if event.prev != self.prev {
            return broken("its `prev` is not the hash of the link before".into());
        }
        if !event.is_intact() {
            return broken("its content does not fit its hash".into());
        }
        self.next_seq += 1;
        self.prev.clone_from(&event.hash);
        Ok(())
    }

    /// Links checked so far.
    pub fn n_checked(&self) -> u64 {
        self.next_seq - 1
    }

    /// Hash of the last link.
    pub fn head(&self) -> &str {
        &self.prev
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chain(n: u64) -> Vec<Event> {
        let mut links: Vec<Event> = Vec::new();
        for seq in 1..=n {
            let prev = links.last().map_or(GENESIS.to_string(), |link| link.hash.clone());
            let event = NewEvent::new("cli", "run.started", EntityRef::new("run", seq.to_string()));
            links.push(Event::link(
                seq,
                Timestamp(seq as i64),
                event.with_body(serde_json::json!({"b": 1, "a": seq})),
                &prev,
            ));
        }
        links
    }

    fn check(links: &[Event]) -> Result<u64, BrokenLink> {
        let mut check = ChainCheck::default();
        links.iter().try_for_each(|link| check.next(link))?;
        Ok(check.n_checked())
    }

    #[test]
    fn an_intact_chain_passes_and_survives_json() {
        let links = chain(4);
        assert_eq!(check(&links), Ok(4));
        let copy: Vec<Event> = serde_json::from_str(&serde_json::to_string(&links).unwrap()).unwrap();
        assert_eq!(check(&copy), Ok(4));
    }

    #[test]
    fn every_kind_of_tampering_is_placed() {
        let mut altered = chain(4);
        altered[2].event.body = serde_json::json!({"a": 9});
        assert_eq!(check(&altered).unwrap_err().seq, 3);
        let mut rehashed = chain(4);
        rehashed[1] = Event::link(2, Timestamp(7), rehashed[1].event.clone(), &rehashed[0].hash.clone());
        assert_eq!(check(&rehashed).unwrap_err().seq, 3);
        let mut removed = chain(4);
        removed.remove(1);
        assert_eq!(check(&removed).unwrap_err().seq, 2);
    }
}
