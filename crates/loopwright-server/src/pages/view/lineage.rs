//! Lineage as nested lists: what a record came from, and what came from it.

use super::{figures, link};
use loopwright_types::{EntityRef, lineage::Edge};
use maud::{Markup, html};
use std::collections::{BTreeMap, BTreeSet};

/// Records shown under one record and relation before the rest is only counted.
const MOST_CHILDREN: usize = 8;
/// Kinds that come in crowds: only their number is shown.
const CROWDS: [&str; 3] = ["feedback", "subject", "trace"];
/// Levels shown.
const MOST_LEVELS: usize = 8;

/// A record with the edges around it, both ways, as far as they were read.
pub struct Lineage {
    /// The record in the middle.
    pub root: EntityRef,
    /// Edges that lead to it, near and far.
    pub upstream: Vec<Edge>,
    /// Edges that lead from it, near and far.
    pub downstream: Vec<Edge>,
}

/// Both directions, each with its heading.
pub fn both_ways(lineage: &Lineage) -> Markup {
    html! {
        div.two {
            section.panel {
                h3 { "What it came from" }
                (tree(&lineage.root, &lineage.upstream, Direction::Up, "It came from nothing that is recorded."))
            }
            section.panel {
                h3 { "What came from it" }
                (tree(&lineage.root, &lineage.downstream, Direction::Down, "Nothing came from it so far."))
            }
        }
    }
}

#[derive(Clone, Copy)]
enum Direction {
    Up,
    Down,
}

impl Direction {
    /// The near end and the far end of an edge, as seen on the way from the root.
    fn ends(self, edge: &Edge) -> (&EntityRef, &EntityRef) {
        match self {
            Self::Up => (&edge.to, &edge.from),
            Self::Down => (&edge.from, &edge.to),
        }
    }
}

fn tree(root: &EntityRef, edges: &[Edge], direction: Direction, if_empty: &str) -> Markup {
    let mut children: BTreeMap<&EntityRef, BTreeSet<(&EntityRef, &str)>> = BTreeMap::new();
    for edge in edges {
        let (near, far) = direction.ends(edge);
        children.entry(near).or_default().insert((far, edge.relation.as_str()));
    }
    let mut shown = BTreeSet::from([root]);
    html! {
        @if children.contains_key(root) { (branch(root, &children, &mut shown, MOST_LEVELS)) } @else { p.quiet { (if_empty) } }
    }
}

/// The records next to `at`, and under each the records next to that one, each record once.
fn branch<'a>(
    at: &EntityRef,
    children: &BTreeMap<&'a EntityRef, BTreeSet<(&'a EntityRef, &'a str)>>,
    shown: &mut BTreeSet<&'a EntityRef>,
    levels: usize,
) -> Markup {
    let Some(next) = children.get(at) else { return html! {} };
    let mut by_kind: BTreeMap<&str, Vec<(&'a EntityRef, &'a str)>> = BTreeMap::new();
    for (entity, relation) in next {
        by_kind.entry(&entity.kind).or_default().push((entity, relation));
    }
    html! {
        ul.tree {
            @for (kind, entities) in by_kind {
                @let n_shown = if CROWDS.contains(&kind) { 0 } else { MOST_CHILDREN };
                @for (entity, relation) in entities.iter().take(n_shown) {
                    li {
                        (link::kind_words(kind)) " " (link::to(entity)) " " span.quiet { "(" (relation) ")" }
                        @if levels > 1 && shown.insert(entity) { (branch(entity, children, shown, levels - 1)) }
                    }
                }
                @if n_shown == 0 {
                    li { (figures::plural(entities.len() as u64, &crowd_words(kind))) }
                } @else if entities.len() > n_shown {
                    li.quiet { "and " (entities.len() - n_shown) " more of this kind" }
                }
            }
        }
    }
}

/// One of a crowd, in words.
fn crowd_words(kind: &str) -> String {
    match kind {
        "feedback" => "correction".into(),
        "subject" => "author".into(),
        other => link::kind_words(other),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn edge(from: &str, relation: &str, to: &str) -> Edge {
        let entity = |text: &str| {
            let (kind, id) = text.split_once(':').unwrap();
            EntityRef::new(kind, id)
        };
        Edge::new(entity(from), relation, entity(to))
    }

    fn root() -> EntityRef {
        EntityRef::new("model_version", "m@1")
    }

    #[test]
    fn trees_nest_and_read_both_ways() {
        let lineage = Lineage {
            root: root(),
            upstream: vec![
                edge("dataset_version:d@1", "trained", "model_version:m@1"),
                edge("source:a.csv", "curated", "dataset_version:d@1"),
            ],
            downstream: vec![edge("model_version:m@1", "served", "route:support")],
        };
        let html = both_ways(&lineage).into_string();
        let at = |text: &str| html.find(text).unwrap_or_else(|| panic!("{text} in {html}"));
        assert!(at("/datasets/d@1") < at("a.csv") && at("a.csv") < at("/routes/support"));
        assert!(html.contains("<span class=\"quiet\">(trained)</span><ul class=\"tree\">"));
    }

    #[test]
    fn circles_end_and_crowds_are_counted() {
        let mut edges =
            vec![edge("model_version:m@1", "served", "route:r"), edge("route:r", "used", "model_version:m@1")];
        edges.extend((0..20).map(|i| edge("model_version:m@1", "answered", &format!("trace:t{i:02}"))));
        edges.extend((0..20).map(|i| edge("model_version:m@1", "evaluated", &format!("evaluation:e{i:02}"))));
        let html = tree(&root(), &edges, Direction::Down, "").into_string();
        assert!(html.contains("and 12 more of this kind") && html.contains("<li>20 traces</li>"), "{html}");
        assert_eq!(html.matches("/routes/r").count(), 1);
    }

    #[test]
    fn nothing_is_said_to_be_nothing() {
        assert_eq!(tree(&root(), &[], Direction::Up, "none").into_string(), "<p class=\"quiet\">none</p>");
    }
}
