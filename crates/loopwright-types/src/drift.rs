//! Drift checks and alarms.

use crate::{DatasetRef, Entity, Timestamp, id::DriftCheckId};
use serde::{Deserialize, Serialize};

/// One comparison of recent inputs with the reference.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DriftCheck {
    /// Its id.
    pub id: DriftCheckId,
    /// The watched route.
    pub route: String,
    /// Where the reference rows come from.
    pub reference: DatasetRef,
    /// Which traffic was compared (a replay's tag, or a time range in words).
    pub window: String,
    /// Rows of the reference.
    pub n_reference: u64,
    /// Rows of the window.
    pub n_window: u64,
    /// The test, e.g. `mmd_permutation`.
    pub test: String,
    /// Its statistic.
    pub statistic: f64,
    /// Permutation p-value.
    pub p_value: f64,
    /// The check alarms when the p-value is at most this: the share of checks on unchanged traffic that may alarm.
    pub alpha: f64,
    /// Did it alarm?
    pub alarm: bool,
    /// Standardised effect: the statistic in standard deviations of its permutation distribution.
    pub effect: f64,
    /// What moved most: words more (positive) or less (negative) frequent than in the reference, in percentage points of rows.
    pub moved: Vec<MovedTerm>,
    /// When.
    pub at: Timestamp,
}

/// A word whose frequency changed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MovedTerm {
    /// The word.
    pub term: String,
    /// Share of reference rows with it, in percent.
    pub reference_percent: f64,
    /// Share of window rows with it, in percent.
    pub window_percent: f64,
}

impl Entity for DriftCheck {
    const KIND: &'static str = "drift_check";

    fn id(&self) -> String {
        self.id.0.clone()
    }

    fn state(&self) -> &str {
        if self.alarm { "alarm" } else { "quiet" }
    }
}
