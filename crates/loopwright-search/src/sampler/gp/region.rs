//! The trust region: a box around the best point.
//!
//! A Gaussian process of the whole space is never sure of its corners, and expected improvement keeps visiting them long
//! after the rest is settled. So it is asked only within a box (Eriksson et al. 2019, TuRBO), whose sides follow the
//! lengths of the model.

use crate::{
    sampler::Draw,
    space::{Axis, Space},
};

/// Side of the first box, as a share of the space.
pub(super) const FIRST: f64 = 0.8;
/// New points keep this share of the box's side away from all others.
const APART: f64 = 0.02;

/// A box of coordinates. Choices are free in every box.
#[derive(Clone, Debug)]
pub(super) struct Region {
    low: Vec<f64>,
    high: Vec<f64>,
    side: f64,
}

impl Region {
    /// A box around a point. A whole number can always move to its neighbours.
    pub(super) fn around(space: &Space, centre: &[f64], lengths: &[f64], side: f64) -> Self {
        let mean = lengths.iter().map(|length| length.ln()).sum::<f64>() / lengths.len() as f64;
        let bounds = |(index, axis): (usize, &Axis)| {
            let (at, half) = (centre[index], 0.5 * side * lengths[index] / mean.exp());
            let (low, high) = axis.cell_bounds(at);
            ((at - half).min(axis.snap(low - BEYOND)).max(0.0), (at + half).max(axis.snap(high + BEYOND)).min(1.0))
        };
        let (low, high) = space.axes().iter().enumerate().map(bounds).unzip();
        Self { low, high, side }
    }

    /// A uniform point of the box.
    pub(super) fn random(&self, space: &Space, draw: &mut Draw) -> Vec<f64> {
        let coordinate = |(index, axis): (usize, &Axis)| {
            let uniform = draw.uniform();
            let inside = self.low[index] + uniform * (self.high[index] - self.low[index]);
            if axis.is_choice() { axis.place(uniform) } else { axis.snap(inside) }
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

    /// The nearest coordinate of the box.
    pub(super) fn clamp_one(&self, index: usize, at: f64) -> f64 {
        at.clamp(self.low[index], self.high[index])
    }

    /// How far new points keep away from all others.
    pub(super) fn apart(&self) -> f64 {
        APART * self.side
    }

    /// Whether a coordinate is in the box.
    pub(super) fn holds(&self, index: usize, at: f64) -> bool {
        self.low[index] <= at && at <= self.high[index]
    }

    /// Whether a coordinate stands at the lower, and at the upper end.
    pub(super) fn ends(&self, index: usize, at: f64) -> (bool, bool) {
        (at <= self.low[index], at >= self.high[index])
    }
}

/// So far beyond the edge of its cell a coordinate belongs to the next one.
pub(super) const BEYOND: f64 = 1e-9;
