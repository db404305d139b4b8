//! A density over a space: a mixture of one kernel per point, and one that covers the whole space.
//!
//! A kernel is a product over the parameters: a normal density cut to `[0, 1]` for a real number, its integral over the
//! cell for a whole one, and for a choice the chance of each value, of which the point's own has most. A parameter that
//! takes no part in a point is uniform in its kernel. The width of the normal densities falls with the number of points n
//! as n^(−1/(d + 4)) (Scott 2015), and the covering kernel is a normal one of width 1 around the middle, as in Optuna.

use crate::{
    sampler::{Draw, Seen, normal},
    space::{Axis, Space},
};

/// Width of a kernel of a single point.
const WIDTH: f64 = 0.2;
/// A kernel is no narrower than the space's width divided by this, or by the number of points plus one.
const NARROWEST: f64 = 100.0;
/// Cells wider than this share of a kernel's width are integrated, others taken as flat.
const FLAT: f64 = 0.5;

/// A density over a space.
pub(super) struct Parzen<'a> {
    space: &'a Space,
    kernels: Vec<Kernel>,
    /// For wide cells: the integral over cell c of the kernel at cell k, at `k · n + c`, by parameter and by kernel width.
    tables: Vec<[Option<Vec<f64>>; 2]>,
}

struct Kernel {
    point: Vec<f64>,
    active: Vec<bool>,
    width: f64,
    /// Which of the two widths it has: 0 for a point, 1 for the covering one.
    width_index: usize,
    /// What the exponential of each parameter is multiplied with, where it is a normal density.
    scale: Vec<f64>,
}

impl<'a> Parzen<'a> {
    pub(super) fn of(space: &'a Space, seen: &[&Seen]) -> Self {
        let n = seen.len() as f64;
        let width = (WIDTH * n.max(1.0).powf(-1.0 / (space.len() as f64 + 4.0))).max(1.0 / NARROWEST.min(n + 1.0));
        let covering: Vec<f64> =
            space.axes().iter().map(|axis| if axis.is_choice() { f64::NAN } else { 0.5 }).collect();
        let mut kernels: Vec<Kernel> =
            seen.iter().map(|seen| Kernel::at(space, seen.point.clone(), seen.active.clone(), (width, 0))).collect();
        kernels.push(Kernel::at(space, covering, vec![true; space.len()], (1.0, 1)));
        let tables = space.axes().iter().map(|axis| [table(axis, width), table(axis, 1.0)]).collect();
        Self { space, kernels, tables }
    }

    /// log of the density at a point, over the parameters that take part.
    pub(super) fn log_density(&self, point: &[f64], active: &[bool]) -> f64 {
        let sum: f64 = self.kernels.iter().map(|kernel| self.kernel_density(kernel, point, active)).sum();
        (sum / self.kernels.len() as f64).max(f64::MIN_POSITIVE).ln()
    }

    fn kernel_density(&self, kernel: &Kernel, point: &[f64], active: &[bool]) -> f64 {
        let (mut product, mut exponent) = (1.0, 0.0);
        for (index, axis) in self.space.axes().iter().enumerate().filter(|(index, _)| active[*index]) {
            let (at, mean) = (point[index], kernel.point[index]);
            match axis {
                Axis::Choice { choices } => product *= self.choice_chance(kernel, index, at, choices.len()),
                _ if !kernel.active[index] => {
                    let (low, high) = axis.cell_bounds(at);
                    product *= if high > low { high - low } else { 1.0 };
                }
                _ => {
                    if let Some(table) = &self.tables[index][kernel.width_index] {
                        product *= table
                            [axis.cell(mean) as usize * axis.n_values().unwrap_or(1) as usize + axis.cell(at) as usize];
                    } else {
                        let (low, high) = axis.cell_bounds(at);
                        let z = (at - mean) / kernel.width;
                        exponent -= 0.5 * z * z;
                        product *= kernel.scale[index] * if high > low { high - low } else { 1.0 };
                    }
                }
            }
        }
        product * exponent.exp()
    }

    /// The chance of a choice: the point's own has the weight 1 and each value a share of a weight that falls with n.
    fn choice_chance(&self, kernel: &Kernel, index: usize, at: f64, n_choices: usize) -> f64 {
        let own = kernel.point[index];
        if own.is_nan() || !kernel.active[index] {
            return 1.0 / n_choices as f64;
        }
        let each = 1.0 / self.kernels.len() as f64;
        (each + if own == at { 1.0 } else { 0.0 }) / (1.0 + each * n_choices as f64)
    }

    /// A point drawn from the density.
    pub(super) fn draw(&self, draw: &mut Draw) -> Vec<f64> {
        let kernel = &self.kernels[draw.below(self.kernels.len())];
        let coordinate = |(index, axis): (usize, &Axis)| match axis {
            Axis::Choice { choices } => {
                let values = (0..choices.len()).map(|value| value as f64);
                let chances: Vec<f64> = values.map(|at| self.choice_chance(kernel, index, at, choices.len())).collect();
                draw.weighted(&chances) as f64
            }
            _ if !kernel.active[index] => axis.place(draw.uniform()),
            _ => {
                let ends = [0.0, 1.0].map(|end| normal::cdf((end - kernel.point[index]) / kernel.width));
                let share = ends[0] + draw.uniform() * (ends[1] - ends[0]);
                axis.snap(kernel.point[index] + kernel.width * normal::quantile(share))
            }
        };
        self.space.axes().iter().enumerate().map(coordinate).collect()
    }
}

impl Kernel {
    fn at(space: &Space, point: Vec<f64>, active: Vec<bool>, (width, width_index): (f64, usize)) -> Self {
        let scale = |(axis, mean): (&Axis, &f64)| {
            if axis.is_choice() {
                return 1.0;
            }
            let inside = normal::cdf((1.0 - mean) / width) - normal::cdf(-mean / width);
            normal::log_density(0.0).exp() / (width * inside)
        };
        let scale = space.axes().iter().zip(&point).map(scale).collect();
        Self { point, active, width, width_index, scale }
    }
}

/// The integrals of kernels of one width over wide cells; none where cells are narrow.
fn table(axis: &Axis, width: f64) -> Option<Vec<f64>> {
    let Axis::Grid { n, .. } = axis else { return None };
    let n = usize::try_from(*n).ok().filter(|n| 1.0 / *n as f64 > FLAT * width)?;
    let edges: Vec<f64> = (0..=n as u64).map(|cell| axis.edge(cell)).collect();
    let mut table = Vec::with_capacity(n * n);
    for mean in (0..n as u64).map(|cell| axis.middle(cell)) {
        let below: Vec<f64> = edges.iter().map(|edge| normal::cdf((edge - mean) / width)).collect();
        let inside = below[n] - below[0];
        table.extend(below.windows(2).map(|pair| (pair[1] - pair[0]) / inside));
    }
    Some(table)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{sampler::Outcome, space::Param};

    #[test]
    fn densities_integrate_to_one() {
        let space = Space::new([
            ("c", Param::categorical(["a", "b", "c"])),
            ("n", Param::int(1, 5)),
            ("x", Param::float(0.0, 1.0).when("c", ["a"])),
        ])
        .unwrap();
        let seen: Vec<Seen> = [[0.0, 0.1, 0.3], [1.0, 0.9, 0.5], [0.0, 0.5, 0.9]]
            .map(|mut point| {
                space.snap(&mut point);
                Seen { number: 0, active: space.active(&point), point: point.to_vec(), outcome: Outcome::Running }
            })
            .to_vec();
        let parzen = Parzen::of(&space, &seen.iter().collect::<Vec<_>>());
        let mut sum = 0.0;
        for c in 0..3 {
            for n in 0..5 {
                let steps = if c == 0 { 2000 } else { 1 };
                for x in 0..steps {
                    let point = [c as f64, (n as f64 + 0.5) / 5.0, (x as f64 + 0.5) / steps as f64];
                    sum += parzen.log_density(&point, &space.active(&point)).exp() / steps as f64;
                }
            }
        }
        // The covering kernel is taken as flat over a cell, which is off by less than a thousandth.
        assert!((sum - 1.0).abs() < 1e-3, "{sum}");
    }
}
