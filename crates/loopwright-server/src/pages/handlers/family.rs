//! Reads the lineage around a record.

use crate::pages::view::lineage::Lineage;
use loopwright_store::{Result, Store};
use loopwright_types::{EntityRef, lineage::Edge};
use std::collections::{BTreeSet, VecDeque};

/// Records whose edges are read, per direction: a page shows no more.
const MOST_RECORDS: usize = 60;
/// Kinds that come in crowds and whose own edges say little on a page.
const CROWDS: [&str; 3] = ["subject", "trace", "feedback"];

/// The edges around a record, near and far, both ways.
pub async fn of(store: &Store, root: EntityRef) -> Result<Lineage> {
    let upstream = edges(store, &root, Way::Up).await?;
    let downstream = edges(store, &root, Way::Down).await?;
    Ok(Lineage { root, upstream, downstream })
}

#[derive(Clone, Copy)]
enum Way {
    Up,
    Down,
}

/// Edges in the order in which they are met, nearest first.
async fn edges(store: &Store, root: &EntityRef, way: Way) -> Result<Vec<Edge>> {
    let mut found = Vec::new();
    let mut seen = BTreeSet::from([root.clone()]);
    let mut waiting = VecDeque::from([root.clone()]);
    for _ in 0..MOST_RECORDS {
        let Some(at) = waiting.pop_front() else { break };
        let next = match way {
            Way::Up => store.edges_to(&at).await?,
            Way::Down => store.edges_from(&at).await?,
        };
        for edge in &next {
            let far = match way {
                Way::Up => &edge.from,
                Way::Down => &edge.to,
            };
            if !CROWDS.contains(&far.kind.as_str()) && seen.insert(far.clone()) {
                waiting.push_back(far.clone());
            }
        }
        found.extend(next);
    }
    Ok(found)
}
