//! CMA-ES: a normal distribution that learns which steps were good.
//!
//! Hansen, "The CMA evolution strategy: a tutorial", 2016. The state is rebuilt from the history at each suggestion, so
//! that nothing but the history must be kept: finished points, in the order in which they finished, are cut into
//! generations, whoever chose them (Hansen 2011, injection of external solutions; their steps are cut to a usual length).
//! Whole numbers keep a margin (Hamano et al. 2022): the chance to leave the current value never falls below
//! 1 / (d · λ). Choices have no steps; the Parzen estimator draws them. A distribution that has collapsed is begun anew
//! elsewhere with twice the generation (Auger and Hansen 2005).

mod state;

use super::{Draw, History, Outcome, TpeSettings, tpe};
use crate::{Error, Result};
use serde::{Deserialize, Serialize};
use state::{Distribution, Member};

/// Settings of CMA-ES.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct CmaSettings {
    /// Width of the first distribution, as a share of each parameter's range. Default: 0.25.
    pub width: f64,
    /// Points of a generation. Default: 4 + 3 ln d, rounded down.
    pub n_generation: Option<usize>,
}

impl Default for CmaSettings {
    fn default() -> Self {
        Self { width: 0.25, n_generation: None }
    }
}

impl CmaSettings {
    pub(super) fn check(&self) -> Result<()> {
        if !(self.width > 0.0 && self.width <= 1.0) {
            return Err(Error::setting("cma.width", "above 0, at most 1", self.width));
        }
        match self.n_generation {
            Some(n) if !(4..=1000).contains(&n) => Err(Error::setting("cma.n_generation", "4 to 1000", n)),
            _ => Ok(()),
        }
    }
}

pub(super) fn suggest(settings: &CmaSettings, history: &History<'_>, draw: &mut Draw) -> Vec<f64> {
    let space = history.space;
    let numbers: Vec<usize> = (0..space.len()).filter(|&index| !space.axes()[index].is_choice()).collect();
    let mut point = if numbers.len() == space.len() {
        vec![0.5; space.len()]
    } else {
        tpe::suggest(&TpeSettings::default(), history, draw)
    };
    if !numbers.is_empty() {
        let sampled = distribution(settings, history, &numbers, draw.seed).draw(draw);
        for (&index, at) in numbers.iter().zip(sampled) {
            point[index] = at;
        }
    }
    space.snap(&mut point);
    point
}

/// The distribution after all whole generations of the history.
fn distribution<'a>(settings: &CmaSettings, history: &History<'a>, numbers: &[usize], seed: u64) -> Distribution<'a> {
    let axes = numbers.iter().map(|&index| &history.space.axes()[index]).collect::<Vec<_>>();
    let mut distribution = Distribution::new(axes, settings.width, settings.n_generation);
    let finished = history.seen.iter().filter(|seen| seen.outcome != Outcome::Running);
    let mut generation = Vec::new();
    let mut n_restarts = 0;
    for (seen, loss) in finished.zip(history.losses()) {
        generation.push(Member { point: numbers.iter().map(|&index| seen.point[index]).collect(), loss });
        if generation.len() == distribution.n_generation() {
            distribution.learn(std::mem::take(&mut generation));
            if distribution.has_collapsed() {
                n_restarts += 1;
                // A stream of its own, which no trial uses.
                distribution.restart(settings.width, &mut Draw::new(seed, u64::MAX - n_restarts));
            }
        }
    }
    distribution
}
