//! Walks along the edges of the lineage graph.

use crate::{Records, Result, query::Direction};
use loopwright_types::{EntityRef, lineage::Edge};
use std::collections::{BTreeSet, VecDeque};

/// Everything that can be reached from a record, nearest first, each once, the record itself left out. A cycle in the
/// graph ends where it began.
pub(crate) async fn reach(records: &dyn Records, from: &EntityRef, direction: Direction) -> Result<Vec<EntityRef>> {
    let mut seen = BTreeSet::from([from.clone()]);
    let mut waiting = VecDeque::from([from.clone()]);
    let mut reached = Vec::new();
    while let Some(next) = waiting.pop_front() {
        for edge in records.edges(&next, direction).await? {
            let other = far_end(edge, direction);
            if seen.insert(other.clone()) {
                reached.push(other.clone());
                waiting.push_back(other);
            }
        }
    }
    Ok(reached)
}

fn far_end(edge: Edge, direction: Direction) -> EntityRef {
    match direction {
        Direction::Down => edge.to,
        Direction::Up => edge.from,
    }
}
