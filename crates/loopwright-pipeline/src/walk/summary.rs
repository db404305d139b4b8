//! Everything that a demo found, for machines.

use super::{close::HandedOver, learn, people, serve, turn};
use crate::jobs::collect::Collected;
use loopwright_types::{DatasetVersion, explain::Explanation, score::Evaluation};
use serde::Serialize;
use std::path::PathBuf;

/// The summary that `loopwright demo --json` prints.
#[derive(Debug, Serialize)]
pub struct Summary {
    /// The project folder.
    pub project: PathBuf,
    /// How long each stage took in this process.
    pub stages: Vec<StageTime>,
    /// 1
    pub collected: Collected,
    /// 2
    pub curated: DatasetVersion,
    /// 3
    pub trained: learn::Trained,
    /// 4
    pub judged: Evaluation,
    /// 5
    pub packaged: learn::Packaged,
    /// 6
    pub served: serve::Served,
    /// 7
    pub watched: serve::Watched,
    /// 8
    pub drift: turn::Drifted,
    /// 9
    pub retrained: turn::Turned,
    /// 10; absent once an erasure removed what it quotes.
    pub explained: Option<Explanation>,
    /// 11
    pub erased: people::Erased,
    /// 12
    pub handed_over: HandedOver,
}

/// A stage's time.
#[derive(Debug, Serialize)]
pub struct StageTime {
    /// From 1.
    pub number: usize,
    /// Its title.
    pub title: String,
    /// True if it was done by an earlier process.
    pub cached: bool,
    /// Wall-clock seconds in this process.
    pub seconds: f64,
}
