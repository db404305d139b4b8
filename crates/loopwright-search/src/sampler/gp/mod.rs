//! Bayesian optimisation: a Gaussian process of the loss, and the point of greatest expected improvement.
//!
//! Mockus 1978; Jones, Schonlau and Welch 1998; for hyperparameters Snoek, Larochelle and Adams 2012. The first points are
//! the middle of the space and a scrambled Sobol sequence. Then a model is fitted ([`fit`]) to the losses, scaled as the
//! likelihood likes best ([`warp`]), and asked ([`acquire`]) within a trust region ([`trust`], [`region`]). Every fourth
//! suggestion comes from the Parzen estimator, which looks at the whole space and does not believe in smoothness: on
//! rugged functions it finds the next valley. Running trials are believed to come out at the model's mean, so that parallel
//! suggestions differ.

mod acquire;
mod features;
mod fit;
mod model;
mod region;
mod trust;
mod warp;

use super::{Draw, History, Outcome, TpeSettings, random, sobol, tpe};
use crate::{Error, Result};
use acquire::Search;
use features::Features;
use model::{Model, Scratch};
use region::Region;
use serde::{Deserialize, Serialize};
use trust::trust;

/// Of so many suggestions, one comes from the Parzen estimator.
const ELSEWHERE_EVERY: u64 = 4;

/// Settings of the Gaussian process sampler.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct GpSettings {
    /// Points before the model is asked. Default: 10.
    pub n_startup_trials: usize,
    /// Points that the model is made of at most: the nearest to the best one. Default: 60.
    pub n_points_max: usize,
}

impl Default for GpSettings {
    fn default() -> Self {
        Self { n_startup_trials: 10, n_points_max: 60 }
    }
}

impl GpSettings {
    pub(super) fn check(&self) -> Result<()> {
        if !(2..=10_000).contains(&self.n_startup_trials) {
            return Err(Error::setting("gp.n_startup_trials", "2 to 10000", self.n_startup_trials));
        }
        if !(10..=1000).contains(&self.n_points_max) {
            return Err(Error::setting("gp.n_points_max", "10 to 1000", self.n_points_max));
        }
        Ok(())
    }
}

pub(super) fn suggest(settings: &GpSettings, history: &History<'_>, draw: &mut Draw) -> Vec<f64> {
    if draw.number == 0 {
        let mut middle = vec![0.5; history.space.len()];
        history.space.snap(&mut middle);
        return middle;
    }
    if history.n_finished() < settings.n_startup_trials {
        return sobol::point(history.space, draw.number, draw.seed, draw);
    }
    if !is_local(draw.number) {
        return tpe::suggest(&TpeSettings::default(), history, draw);
    }
    by_model(settings, history, draw).unwrap_or_else(|| random(history.space, draw))
}

/// Whether a trial is suggested by the model, within the trust region.
fn is_local(number: u64) -> bool {
    !number.is_multiple_of(ELSEWHERE_EVERY)
}

/// The suggestion of the model; none if no model can be made.
fn by_model(settings: &GpSettings, history: &History<'_>, draw: &mut Draw) -> Option<Vec<f64>> {
    let losses = history.losses();
    let trust = trust(history, &losses, settings.n_startup_trials)?;
    let kept = nearest(history, trust.centre, settings.n_points_max);
    let features = Features::of(history.space);
    let mut scalings = warp::scalings(&kept.iter().map(|&index| losses[index]).collect::<Vec<f64>>());
    let known = matrix(&features, history, &kept);
    let (hyper, scaling) = fit::fit(&features, &known, &scalings);
    let model = Model::of(&features, &hyper, known, scalings.swap_remove(scaling).y)?;
    // The points that the region may stand around, by what the model takes them for.
    let means = model.means_at_data();
    let mut order: Vec<usize> = (0..kept.len()).filter(|&at| trust.members.contains(&kept[at])).collect();
    order.sort_by(|&a, &b| means[a].total_cmp(&means[b]));
    let centres: Vec<Vec<f64>> = order.iter().map(|&at| history.seen[kept[at]].point.clone()).collect();
    let running: Vec<usize> =
        (0..history.seen.len()).filter(|&index| history.seen[index].outcome == Outcome::Running).collect();
    let model = model.believing(&hyper, &matrix(&features, history, &running))?;
    let lengths: Vec<f64> = (0..features.n_params()).map(|param| hyper.length(param)).collect();
    let mut search = Search {
        space: history.space,
        model: &model,
        best: means[*order.first()?],
        region: Region::around(history.space, centres.first()?, &lengths, trust.side),
        centres,
        lengths,
        tried: &history.seen,
        scratch: Scratch::default(),
    };
    Some(search.run(draw))
}

/// The features of some points of the history: `[points, features]`.
fn matrix(features: &Features, history: &History<'_>, indices: &[usize]) -> Vec<f64> {
    let mut x = vec![0.0; indices.len() * features.width()];
    for (row, &index) in x.chunks_exact_mut(features.width()).zip(indices) {
        features.write(&history.seen[index].point, &history.seen[index].active, row);
    }
    x
}

/// Which finished points the model is made of: those nearest to the centre, and of equally near ones the latest.
fn nearest(history: &History<'_>, centre: usize, n_max: usize) -> Vec<usize> {
    let mut distances: Vec<(f64, usize)> =
        (0..history.n_finished()).map(|index| (trust::distance(history, centre, index), index)).collect();
    distances.sort_by(|a, b| a.0.total_cmp(&b.0).then(b.1.cmp(&a.1)));
    let mut indices: Vec<usize> = distances.into_iter().take(n_max).map(|(_, index)| index).collect();
    indices.sort_unstable();
    indices
}
