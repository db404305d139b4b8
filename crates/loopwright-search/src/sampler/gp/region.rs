//! The trust region: a box around the best point, which shrinks while nothing better is found.
//!
//! A Gaussian process of the whole space is never sure of its corners, and expected improvement keeps visiting them long
//! after the rest is settled. So most suggestions are made within a box (Eriksson et al. 2019, TuRBO): it doubles after
//! some successes in a row and halves after some failures, and its sides follow the lengths of the model. Its size is
//! found again from the history at each suggestion.

use crate::{
    sampler::Draw,
    space::{Axis, Space},
};

/// Side of the box, as a share of the space: first, least, greatest.
const FIRST: f64 = 0.8;
const LEAST: f64 = 0.002;
const GREATEST: f64 = 1.6;
const SUCCESSES: usize = 3;

/// A box of coordinates. Choices are free in every box.
#[derive(Clone, Debug)]
pub(super) struct Region {
    low: Vec<f64>,
    high: Vec<f64>,
    side: f64,
}

/// New points keep this share of the box's side away from all others.
const APART: f64 = 0.02;

/// Side of the box after trials that came out in it: whether each one was better than all before.
pub(super) fn side(was_better: impl Iterator<Item = bool>, n_params: usize) -> f64 {
    let failures_max = n_params.max(4);
    let (mut side, mut successes, mut failures) = (FIRST, 0, 0);
    for was_better in was_better {
        (successes, failures) = if was_better { (successes + 1, 0) } else { (0, failures + 1) };
        if successes == SUCCESSES {
            (side, successes) = ((2.0 * side).min(GREATEST), 0);
        } else if failures == failures_max {
            (side, failures) = (0.5 * side, 0);
        }
        if side < LEAST {
            (side, successes, failures) = (FIRST, 0, 0);
        }
    }
    side
}

impl Region {
    /// The whole space.
    pub(super) fn whole(space: &Space) -> Self {
        Self { low: vec![0.0; space.len()], high: vec![1.0; space.len()], side: 0.1 }
    }

    /// A box around a point. A whole number can always move to its neighbours.
    pub(super) fn around(space: &Space, centre: &[f64], lengths: &[f64], side: f64) -> Self {
        let mean = lengths.iter().map(|length| length.ln()).sum::<f64>() / lengths.len() as f64;
        let mut region = Self { side, ..Self::whole(space) };
        for (index, axis) in space.axes().iter().enumerate() {
            let half = 0.5 * side * lengths[index] / mean.exp();
            let (low, high) = axis.cell_bounds(centre[index]);
            region.low[index] = (centre[index] - half).min(axis.snap(low - 1e-9)).max(0.0);
            region.high[index] = (centre[index] + half).max(axis.snap(high + 1e-9)).min(1.0);
        }
        region
    }

    /// A uniform point of the box.
    pub(super) fn random(&self, space: &Space, draw: &mut Draw) -> Vec<f64> {
        let coordinate = |(index, axis): (usize, &Axis)| {
            let uniform = draw.uniform();
            if axis.is_choice() {
                axis.place(uniform)
            } else {
                axis.snap(self.low[index] + uniform * (self.high[index] - self.low[index]))
            }
        };
        space.axes().iter().enumerate().map(coordinate).collect()
    }

    /// The nearest point of the box.
    pub(super) fn clamp(&self, space: &Space, mut point: Vec<f64>) -> Vec<f64> {
        for (index, axis) in space.axes().iter().enumerate().filter(|(_, axis)| !axis.is_choice()) {
            point[index] = axis.snap(self.clamp_one(index, point[index]));
        }
        point
    }

    pub(super) fn clamp_one(&self, index: usize, at: f64) -> f64 {
        at.clamp(self.low[index], self.high[index])
    }

    /// How far new points keep away from all others.
    pub(super) fn apart(&self) -> f64 {
        APART * self.side
    }

    pub(super) fn holds(&self, index: usize, at: f64) -> bool {
        self.low[index] <= at && at <= self.high[index]
    }

    /// Whether a coordinate stands at the lower, and at the upper end.
    pub(super) fn ends(&self, index: usize, at: f64) -> (bool, bool) {
        (at <= self.low[index], at >= self.high[index])
    }
}
