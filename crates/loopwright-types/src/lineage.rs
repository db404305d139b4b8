//! What came from what: a graph from a person to a deployment, readable both ways.

use crate::EntityRef;
use serde::{Deserialize, Serialize};

/// `to` came from `from`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Edge {
    /// The source.
    pub from: EntityRef,
    /// What was made of it.
    pub to: EntityRef,
    /// How, as a verb: `trained`, `adapted`, `evaluated`, `packaged`, `served`, `corrected`, `curated`.
    pub relation: String,
}

impl Edge {
    /// An edge from its parts.
    pub fn new(from: EntityRef, relation: &str, to: EntityRef) -> Self {
        Self { from, to, relation: relation.to_string() }
    }
}
