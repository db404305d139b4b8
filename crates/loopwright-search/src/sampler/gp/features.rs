//! Points as vectors in which a kernel can measure distances.
//!
//! A number is one feature, its coordinate. A choice of c values has c features, 1/√2 at its value and 0 elsewhere, so that
//! two different values are 1 apart. A parameter that takes no part stands in the middle (a number) or nowhere (a choice):
//! whether it takes part is told by the parameter that it depends on. Whole numbers stand on their grid, so that the model
//! is asked only where the objective can be (Garrido-Merchán and Hernández-Lobato 2020).

use crate::space::{Axis, Space};

/// Where each parameter's features begin.
#[derive(Clone, Debug)]
pub(super) struct Features {
    starts: Vec<usize>,
    is_choice: Vec<bool>,
}

impl Features {
    pub(super) fn of(space: &Space) -> Self {
        let mut starts = vec![0];
        for axis in space.axes() {
            let width = match axis {
                Axis::Choice { choices } => choices.len(),
                _ => 1,
            };
            starts.push(starts[starts.len() - 1] + width);
        }
        Self { starts, is_choice: space.axes().iter().map(Axis::is_choice).collect() }
    }

    /// How many features there are.
    pub(super) fn width(&self) -> usize {
        self.starts[self.is_choice.len()]
    }

    /// How many parameters.
    pub(super) fn n_params(&self) -> usize {
        self.is_choice.len()
    }

    /// The features of a parameter.
    pub(super) fn range(&self, param: usize) -> std::ops::Range<usize> {
        self.starts[param]..self.starts[param + 1]
    }

    /// Writes the features of a point that stands on its grid.
    pub(super) fn write(&self, point: &[f64], active: &[bool], out: &mut [f64]) {
        for (param, &at) in point.iter().enumerate() {
            let range = self.range(param);
            match (self.is_choice[param], active[param]) {
                (false, is_active) => out[range.start] = if is_active { at } else { 0.5 },
                (true, is_active) => {
                    out[range.clone()].fill(0.0);
                    if is_active {
                        out[range.start + at as usize] = std::f64::consts::FRAC_1_SQRT_2;
                    }
                }
            }
        }
    }
}
