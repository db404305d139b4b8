//! Samplers: where to try next.
//!
//! A sampler is a function of the seed, the number of the trial, and the history: it keeps nothing between calls. It
//! works on points, a coordinate per parameter ([`Axis`](crate::space::Axis)), and gives one for parameters that take no
//! part, too; the study leaves those out.

pub(crate) mod cma;
pub(crate) mod gp;
mod history;
mod linalg;
mod normal;
pub(crate) mod sobol;
pub(crate) mod tpe;

pub use cma::CmaSettings;
pub use gp::GpSettings;
pub(crate) use history::{History, Outcome, Seen};
pub use tpe::TpeSettings;

use crate::{
    Result,
    space::Space,
    trial::{Direction, Trial},
};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

/// How points are chosen. `docs/search.md` says which one fits when.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "name", rename_all = "lowercase")]
pub enum Sampler {
    /// Uniform and independent draws (Bergstra and Bengio 2012).
    Random,
    /// A scrambled Sobol sequence: uniform, but even (Sobol 1967; Owen 1995).
    Sobol,
    /// A multivariate tree-structured Parzen estimator (Bergstra et al. 2011; Falkner et al. 2018).
    Tpe(TpeSettings),
    /// Covariance matrix adaptation with a margin for whole numbers (Hansen 2016; Hamano et al. 2022).
    Cma(CmaSettings),
    /// A Gaussian process and expected improvement (Jones et al. 1998; Snoek et al. 2012).
    Gp(GpSettings),
}

impl Default for Sampler {
    /// The Gaussian process, the sampler that is measured beside another one: see `bench/RESULTS.md`.
    fn default() -> Self {
        Self::Gp(GpSettings::default())
    }
}

impl Sampler {
    pub(crate) fn check(&self) -> Result<()> {
        match self {
            Self::Random | Self::Sobol => Ok(()),
            Self::Tpe(settings) => settings.check(),
            Self::Cma(settings) => settings.check(),
            Self::Gp(settings) => settings.check(),
        }
    }
}

/// The next point.
pub(crate) fn suggest(sampler: &Sampler, space: &Space, direction: Direction, trials: &[Trial], seed: u64) -> Vec<f64> {
    let number = trials.len() as u64;
    let mut draw = Draw::new(seed, number);
    let history = || History::of(space, direction, trials);
    match sampler {
        Sampler::Random => random(space, &mut draw),
        Sampler::Sobol => sobol::point(space, number, seed, &mut draw),
        Sampler::Tpe(settings) => tpe::suggest(settings, &history(), &mut draw),
        Sampler::Cma(settings) => cma::suggest(settings, &history(), &mut draw),
        Sampler::Gp(settings) => gp::suggest(settings, &history(), &mut draw),
    }
}

/// A uniform point.
pub(crate) fn random(space: &Space, draw: &mut Draw) -> Vec<f64> {
    space.axes().iter().map(|axis| axis.place(draw.uniform())).collect()
}

/// The random numbers of one trial: a stream of its own, so that no trial depends on how many another one used.
pub(crate) struct Draw {
    rng: ChaCha8Rng,
    pub(crate) seed: u64,
    pub(crate) number: u64,
}

impl Draw {
    pub(crate) fn new(seed: u64, number: u64) -> Self {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        rng.set_stream(number);
        Self { rng, seed, number }
    }

    /// Uniform in `[0, 1)`.
    pub(crate) fn uniform(&mut self) -> f64 {
        self.rng.random()
    }

    /// Uniform below `n`.
    pub(crate) fn below(&mut self, n: usize) -> usize {
        ((self.uniform() * n as f64) as usize).min(n.saturating_sub(1))
    }

    /// Standard normal (Box and Muller 1958).
    pub(crate) fn normal(&mut self) -> f64 {
        let radius = (-2.0 * (1.0 - self.uniform()).ln()).sqrt();
        radius * (std::f64::consts::TAU * self.uniform()).cos()
    }

    /// An index, each with the chance of its weight.
    pub(crate) fn weighted(&mut self, weights: &[f64]) -> usize {
        let mut rest = self.uniform() * weights.iter().sum::<f64>();
        for (index, weight) in weights.iter().enumerate() {
            rest -= weight;
            if rest < 0.0 {
                return index;
            }
        }
        weights.len().saturating_sub(1)
    }
}
