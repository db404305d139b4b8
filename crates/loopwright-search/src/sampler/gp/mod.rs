//! Bayesian optimisation: a Gaussian process of the loss, and the point of greatest expected improvement.
//!
//! Mockus 1978; Jones, Schonlau and Welch 1998; for hyperparameters Snoek, Larochelle and Adams 2012. The first points are
//! the middle of the space and a scrambled Sobol sequence. Then losses are warped ([`warp`]), a model is fitted ([`fit`])
//! and asked ([`acquire`]). Running trials are believed to come out at the model's mean, so that parallel suggestions
//! differ. A long history is cut to the points that matter most, so that a suggestion has a bounded cost.

mod acquire;
mod features;
mod fit;
mod model;
mod region;
mod warp;

use super::{Draw, History, Outcome, random, sobol};
use crate::{Error, Result};
use acquire::Search;
use features::Features;
use model::{Model, Scratch};
use region::Region;
use serde::{Deserialize, Serialize};

/// Settings of the Gaussian process sampler.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct GpSettings {
    /// Points before the model is asked. Default: 10.
    pub n_startup_trials: usize,
    /// Points that the model is made of at most. Default: 60.
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
    by_model(settings, history, draw).unwrap_or_else(|| random(history.space, draw))
}

/// Every so many suggestions, one looks at the whole space.
const GLOBAL_EVERY: u64 = 4;

/// Whether a trial is suggested within the trust region.
fn is_local(number: u64) -> bool {
    number % GLOBAL_EVERY != 0
}

/// The suggestion of the model; none if no model can be made.
fn by_model(settings: &GpSettings, history: &History<'_>, draw: &mut Draw) -> Option<Vec<f64>> {
    let losses = history.losses();
    let is_local = is_local(draw.number);
    let kept = if is_local {
        nearest(history, &losses, settings.n_points_max)
    } else {
        best_and_latest(&losses, settings.n_points_max)
    };
    let features = Features::of(history.space);
    let x = |indices: &[usize]| {
        let mut x = vec![0.0; indices.len() * features.width()];
        for (row, &index) in x.chunks_exact_mut(features.width()).zip(indices) {
            features.write(&history.seen[index].point, &history.seen[index].active, row);
        }
        x
    };
    let mut scalings = warp::scalings(&kept.iter().map(|&index| losses[index]).collect::<Vec<f64>>());
    let known = x(&kept);
    let (hyper, scaling) = fit::fit(&features, &known, &scalings);
    let model = Model::of(&features, &hyper, known, scalings.swap_remove(scaling).y)?;
    let means = model.means_at_data();
    let mut order: Vec<usize> = (0..kept.len()).collect();
    order.sort_by(|&a, &b| means[a].total_cmp(&means[b]));
    let running: Vec<usize> =
        (0..history.seen.len()).filter(|&index| history.seen[index].outcome == Outcome::Running).collect();
    let model = model.believing(&hyper, &x(&running))?;
    let lengths: Vec<f64> = (0..features.n_params()).map(|param| hyper.length(param)).collect();
    let centre = &history.seen[kept[order[0]]].point;
    let side = side(settings, history, &losses);
    let region =
        if is_local { Region::around(history.space, centre, &lengths, side) } else { Region::whole(history.space) };
    let mut search = Search {
        space: history.space,
        model: &model,
        best: means[order[0]],
        centres: order.iter().map(|&at| history.seen[kept[at]].point.clone()).collect(),
        lengths,
        region,
        tried: history.seen.iter().map(|seen| seen.point.as_slice()).collect(),
        scratch: Scratch::default(),
    };
    let p = search.run(draw);
    if std::env::var("GP_DEBUG").is_ok() && draw.number % 10 == 1 {
        let near = history
            .seen
            .iter()
            .map(|seen| seen.point.iter().zip(&p).map(|(a, b)| (a - b) * (a - b)).sum::<f64>().sqrt())
            .fold(9.0, f64::min);
        let d = centre.iter().zip(&p).map(|(a, b)| (a - b) * (a - b)).sum::<f64>().sqrt();
        eprintln!(
            "{} best {:.3e} side {side:.1e} warp {scaling} near {near:.2e} to_inc {d:.2e} logs {:.1?}",
            draw.number,
            losses.iter().copied().fold(9e99, f64::min),
            hyper.logs
        );
    }
    Some(p)
}

/// The side of the trust region.
fn side(settings: &GpSettings, history: &History<'_>, losses: &[f64]) -> f64 {
    let mut best = f64::INFINITY;
    let was_better = losses.iter().map(|&loss| {
        let was_better = loss < best;
        best = best.min(loss);
        was_better
    });
    let came = was_better.zip(&history.seen).skip(settings.n_startup_trials);
    region::side(came.filter(|(_, seen)| is_local(seen.number)).map(|(was_better, _)| was_better), history.space.len())
}

/// Which finished points a model of the whole space is made of: all, or the best half of `n_max` and the latest ones.
fn best_and_latest(losses: &[f64], n_max: usize) -> Vec<usize> {
    let mut order: Vec<usize> = (0..losses.len()).collect();
    if losses.len() <= n_max {
        return order;
    }
    order.sort_by(|&a, &b| losses[a].total_cmp(&losses[b]));
    let mut kept = order[..n_max / 2].to_vec();
    let mut rest = order[n_max / 2..].to_vec();
    rest.sort_unstable();
    kept.extend(&rest[rest.len() - (n_max - n_max / 2)..]);
    kept.sort_unstable();
    kept
}

/// Which finished points a model of the trust region is made of: those nearest to the best one.
fn nearest(history: &History<'_>, losses: &[f64], n_max: usize) -> Vec<usize> {
    let mut order: Vec<usize> = (0..losses.len()).collect();
    let Some(best) = order.iter().copied().min_by(|&a, &b| losses[a].total_cmp(&losses[b])) else { return order };
    let distance = |index: usize| {
        let axes = history.space.axes().iter().zip(&history.seen[best].point).zip(&history.seen[index].point);
        axes.map(|((axis, a), b)| if axis.is_choice() { f64::from(u8::from(a != b)) } else { (a - b).powi(2) })
            .sum::<f64>()
    };
    let mut distances: Vec<(f64, usize)> = order.iter().map(|&index| (distance(index), index)).collect();
    distances.sort_by(|a, b| a.0.total_cmp(&b.0).then(b.1.cmp(&a.1)));
    order = distances.into_iter().take(n_max).map(|(_, index)| index).collect();
    order.sort_unstable();
    order
}
