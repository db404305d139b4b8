//! A trial: one point of the space, and what came of it.

use crate::space::Params;
use serde::{Deserialize, Serialize};

/// One point of the space, and what came of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Trial {
    /// Its number: the first one asked for is 0.
    pub number: u64,
    /// The values of its parameters.
    pub params: Params,
    /// Where it stands.
    pub state: State,
    /// What it reported on its way, in order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub reports: Vec<Report>,
    /// Why it should be given up whatever its pruner says: a report was not a finite number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub diverged: Option<String>,
    /// How many trials had finished before it; none while it runs. Samplers read results in this order.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub finished_index: Option<u64>,
}

/// Where a trial stands.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", deny_unknown_fields)]
pub enum State {
    /// It was asked for, and has not come back.
    Running,
    /// It came back with a finite value.
    Complete {
        /// The value of the objective.
        value: f64,
    },
    /// It was given up, because others were better at the same step.
    Pruned,
    /// It has no value.
    Failed {
        /// Why.
        reason: String,
        /// Whether the point itself is to blame (its value was not finite): samplers then keep away from it.
        is_bad_point: bool,
    },
}

/// A value reported on the way.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Report {
    /// How far it was: epochs, batches, rows; any count that grows.
    pub step: u64,
    /// The objective there.
    pub value: f64,
}

/// Which values are good.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Direction {
    /// Small ones.
    #[serde(alias = "minimize")]
    Minimise,
    /// Great ones.
    #[serde(alias = "maximize")]
    Maximise,
}

impl Direction {
    /// The value as a loss: smaller is better.
    pub fn loss(self, value: f64) -> f64 {
        match self {
            Self::Minimise => value,
            Self::Maximise => -value,
        }
    }
}

impl State {
    /// The word for it.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Complete { .. } => "complete",
            Self::Pruned => "pruned",
            Self::Failed { .. } => "failed",
        }
    }
}

impl Trial {
    /// The value of a complete trial.
    pub fn value(&self) -> Option<f64> {
        match self.state {
            State::Complete { value } => Some(value),
            _ => None,
        }
    }

    /// Whether it has not come back yet.
    pub fn is_running(&self) -> bool {
        self.state == State::Running
    }
}
