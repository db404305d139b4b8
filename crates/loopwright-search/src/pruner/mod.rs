//! Pruners: which trials to give up early.
//!
//! A pruner decides at each report of a running trial, from what all trials reported so far. It keeps nothing, so that a
//! study that was stored and read decides as before.

mod asha;
mod median;

pub use asha::AshaSettings;
pub use median::MedianSettings;

use crate::{
    Result,
    trial::{Direction, Trial},
};
use serde::{Deserialize, Serialize};

/// How trials without a prospect are found.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(tag = "name", rename_all = "lowercase")]
pub enum Pruner {
    /// Not at all: each trial runs to its end.
    #[default]
    None,
    /// Asynchronous successive halving: of those that come to a rung, the best go on (Li et al. 2020).
    Asha(AshaSettings),
    /// A trial that is worse than the median of the complete ones at the same step is given up (Golovin et al. 2017).
    Median(MedianSettings),
}

impl Pruner {
    pub(crate) fn check(&self) -> Result<()> {
        match self {
            Self::None => Ok(()),
            Self::Asha(settings) => settings.check(),
            Self::Median(settings) => settings.check(),
        }
    }

    /// Whether the trial at `index`, which has just reported, should be given up.
    pub(crate) fn should_prune(&self, trials: &[Trial], index: usize, direction: Direction) -> bool {
        match self {
            Self::None => false,
            Self::Asha(settings) => settings.should_prune(trials, index, direction),
            Self::Median(settings) => settings.should_prune(trials, index, direction),
        }
    }
}
