//! The stages of a loop as a graph: what `run` walks and what the exports describe.

use crate::error::{Error, Result};

/// A stage that `loopwright run` can bring up to date.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Node {
    /// Its name on the command line.
    pub name: &'static str,
    /// What it does, in a few words.
    pub title: &'static str,
    /// Stages that must be up to date before.
    pub after: &'static [&'static str],
    /// The command that brings it up to date, and that does nothing when it is: safe to repeat after a failure.
    pub argv: &'static [&'static str],
}

/// The stages in an order that respects `after`.
pub const NODES: [Node; 7] = [
    Node { name: "collect", title: "Collect the sources", after: &[], argv: &["run", "collect"] },
    Node { name: "curate", title: "Curate a dataset version", after: &["collect"], argv: &["run", "curate"] },
    Node { name: "train", title: "Train the base and its adapter", after: &["curate"], argv: &["run", "train"] },
    Node { name: "judge", title: "Judge the model on held-out rows", after: &["train"], argv: &["run", "judge"] },
    Node { name: "gate", title: "Let the gate decide", after: &["judge"], argv: &["run", "gate"] },
    Node { name: "package", title: "Package and sign the model", after: &["gate"], argv: &["run", "package"] },
    Node { name: "deploy", title: "Put the model behind its route", after: &["package"], argv: &["run", "deploy"] },
];

/// The stages needed for `target`, itself last.
pub fn needed_for(target: &str) -> Result<Vec<&'static Node>> {
    let node = NODES.iter().find(|node| node.name == target).ok_or_else(|| {
        let names: Vec<_> = NODES.iter().map(|node| node.name).collect();
        Error::user(format!("no stage is called `{target}`")).hint(format!("stages: {}", names.join(", ")))
    })?;
    let mut needed: Vec<&'static Node> = Vec::new();
    collect_needed(node, &mut needed);
    Ok(needed)
}

fn collect_needed(node: &'static Node, needed: &mut Vec<&'static Node>) {
    for name in node.after {
        let before =
            NODES.iter().find(|node| node.name == *name).expect("the table names only its own stages, as a test shows");
        collect_needed(before, needed);
    }
    if !needed.contains(&node) {
        needed.push(node);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_an_ordered_graph() {
        for (index, node) in NODES.iter().enumerate() {
            for before in node.after {
                assert!(
                    NODES[..index].iter().any(|node| node.name == *before),
                    "{} needs {before} before it",
                    node.name
                );
            }
        }
    }

    #[test]
    fn the_command_of_a_stage_names_the_stage() {
        for node in NODES {
            assert_eq!(node.argv, ["run", node.name]);
        }
    }

    #[test]
    fn a_target_pulls_in_what_it_needs() {
        let names = |target| needed_for(target).map(|nodes| nodes.iter().map(|n| n.name).collect::<Vec<_>>());
        assert_eq!(names("judge").unwrap(), ["collect", "curate", "train", "judge"]);
        assert!(names("jugde").unwrap_err().hint_text().unwrap().contains("judge"));
    }
}
