//! Training runs and their metrics.

use crate::{DatasetRef, Entity, Timestamp, id::RunId, model::ModelRef};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// What a run does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RunKind {
    /// Next-token prediction on the project's text, from random weights.
    Pretrain,
    /// Low-rank adaptation (Hu et al. 2021) of a base.
    Lora,
    /// Training of a whole base.
    Full,
    /// An adapter from preference pairs (Rafailov et al. 2023).
    Dpo,
    /// Training of a whole base under a head of classes.
    Classify,
    /// Training of a whole base to embed texts that belong together near to each other.
    Embed,
}

/// Where a run stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RunState {
    /// In progress, or to be resumed.
    Running,
    /// Ended with a model version.
    Finished,
    /// Ended with an error.
    Failed,
}

impl RunState {
    /// The stored word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Finished => "finished",
            Self::Failed => "failed",
        }
    }
}

/// One training run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Run {
    /// Its id.
    pub id: RunId,
    /// What it does.
    pub kind: RunKind,
    /// Where it stands.
    pub state: RunState,
    /// The rows it learns from.
    pub dataset: DatasetRef,
    /// The base it adapts.
    pub base: Option<ModelRef>,
    /// The adapter it starts from.
    pub parent: Option<ModelRef>,
    /// What it made.
    pub model: Option<ModelRef>,
    /// Seed of everything random in it.
    pub seed: u64,
    /// Every resolved setting.
    pub params: BTreeMap<String, String>,
    /// Operating system, processor, threads, program version.
    pub environment: BTreeMap<String, String>,
    /// Last value per metric.
    pub metrics: BTreeMap<String, f64>,
    /// When it began.
    pub started_at: Timestamp,
    /// When it ended.
    pub ended_at: Option<Timestamp>,
    /// What went wrong.
    pub error: Option<String>,
}

impl Entity for Run {
    const KIND: &'static str = "run";

    fn id(&self) -> String {
        self.id.0.clone()
    }

    fn state(&self) -> &str {
        self.state.as_str()
    }
}

impl RunKind {
    /// Does the run make a whole model of another one, which needs no base to answer?
    pub fn makes_whole_model(self) -> bool {
        matches!(self, Self::Full | Self::Classify | Self::Embed)
    }
}

/// What a model answered to one prompt while it learned.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sample {
    /// Optimiser step.
    pub step: u64,
    /// What it was asked, as a person reads it.
    pub prompt: String,
    /// What it answered.
    pub answer: String,
}

/// One value of one metric at one step.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MetricPoint {
    /// Name, e.g. `train_loss`.
    pub name: String,
    /// Optimiser step, from 0.
    pub step: u64,
    /// Value.
    pub value: f64,
    /// When it was measured.
    pub at: Timestamp,
}
