//! The store from outside: one program, so that it is linked once.
#![allow(clippy::unwrap_used, reason = "a test all through: its functions stop where it should stop")]

mod damage;
mod erasure;
mod faulty;
mod full;
mod implementations;
mod processes;

use loopwright_store::Store;
use loopwright_types::{Entity, event::NewEvent, id::SubjectId, subject::Subject};

/// A person with this name.
fn subject(store: &Store, name: &str) -> Subject {
    Subject {
        id: store.subject_id(name),
        external_id: name.into(),
        identifiers: [("name".to_string(), name.to_string())].into(),
        training_allowed: true,
        updated_at: store.now(),
    }
}

/// An event about this record.
fn about(entity: &impl Entity, kind: &str) -> NewEvent {
    NewEvent::new("test", kind, entity.entity_ref())
}

/// A source row with this text.
fn source_row(id: usize, subject: &SubjectId, text: &str) -> loopwright_types::SourceRow {
    loopwright_types::SourceRow {
        row_id: format!("row-{id}"),
        source: "a.csv".into(),
        row_index: id as u64,
        text: text.into(),
        subject: Some(subject.clone()),
        ..Default::default()
    }
}
