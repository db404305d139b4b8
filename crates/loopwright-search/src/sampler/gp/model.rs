//! A fitted Gaussian process: mean, deviation and log expected improvement at a point, with their gradients.

use super::{
    features::Features,
    fit::{Hyper, JITTER, matern, matern_slope},
};
use crate::sampler::{
    linalg::{Cholesky, dot},
    normal,
};

/// Deviations below this are rounding.
const DEVIATION_MIN: f64 = 1e-7;

/// A fitted Gaussian process over features.
pub(super) struct Model<'a> {
    pub(super) features: &'a Features,
    /// 1 / ℓ² of each feature.
    weights: Vec<f64>,
    signal: f64,
    noise: f64,
    /// `[n, features]`.
    x: Vec<f64>,
    factor: Cholesky,
    /// (K + σ² I)⁻¹ y
    alpha: Vec<f64>,
    y: Vec<f64>,
}

/// Buffers of a prediction.
#[derive(Default)]
pub(super) struct Scratch {
    kernel: Vec<f64>,
    slopes: Vec<f64>,
    solved: Vec<f64>,
}

impl<'a> Model<'a> {
    /// Conditions on data; none if the matrix has no factor.
    pub(super) fn of(features: &'a Features, hyper: &Hyper, x: Vec<f64>, y: Vec<f64>) -> Option<Self> {
        let mut weights = vec![0.0; features.width()];
        for param in 0..features.n_params() {
            weights[features.range(param)].fill(hyper.length(param).powi(-2));
        }
        let (signal, noise, n, width) = (hyper.signal(), hyper.noise(), y.len(), features.width());
        let mut matrix = vec![0.0; n * n];
        for i in 0..n {
            for j in 0..i {
                let squared = distance(&x[i * width..(i + 1) * width], &x[j * width..(j + 1) * width], &weights);
                matrix[i * n + j] = signal * matern(squared);
            }
            matrix[i * n + i] = signal * (1.0 + JITTER) + noise;
        }
        let factor = Cholesky::of(matrix, n)?;
        let mut alpha = y.clone();
        factor.solve(&mut alpha);
        Some(Self { features, weights, signal, noise, x, factor, alpha, y })
    }

    /// The same model with further points, whose values are believed to be its own means (Ginsbourger et al. 2010).
    pub(super) fn believing(self, hyper: &Hyper, further: &[f64]) -> Option<Self> {
        if further.is_empty() {
            return Some(self);
        }
        let width = self.features.width();
        let mut scratch = Scratch::default();
        let means: Vec<f64> = further.chunks_exact(width).map(|at| self.mean(at, &mut scratch)).collect();
        let Self { features, mut x, mut y, .. } = self;
        x.extend_from_slice(further);
        y.extend(means);
        Self::of(features, hyper, x, y)
    }

    /// The mean at each point of the data.
    pub(super) fn means_at_data(&self) -> Vec<f64> {
        // K α = y − σ² α
        self.y.iter().zip(&self.alpha).map(|(y, alpha)| y - (self.noise + self.signal * JITTER) * alpha).collect()
    }

    /// The mean at a point.
    pub(super) fn mean(&self, at: &[f64], scratch: &mut Scratch) -> f64 {
        self.fill_kernel(at, scratch);
        dot(&scratch.kernel, &self.alpha)
    }

    fn fill_kernel(&self, at: &[f64], scratch: &mut Scratch) {
        let width = self.features.width();
        scratch.kernel.clear();
        let rows = self.x.chunks_exact(width);
        scratch.kernel.extend(rows.map(|row| self.signal * matern(distance(row, at, &self.weights))));
    }

    /// log of the expected improvement on `best`.
    pub(super) fn log_improvement(&self, at: &[f64], best: f64, scratch: &mut Scratch) -> f64 {
        let mean = self.mean(at, scratch);
        scratch.solved.clone_from(&scratch.kernel);
        self.factor.solve_lower(&mut scratch.solved);
        let deviation = (self.signal - dot(&scratch.solved, &scratch.solved)).max(0.0).sqrt().max(DEVIATION_MIN);
        normal::log_improvement((best - mean) / deviation) + deviation.ln()
    }

    /// log of the expected improvement on `best`, and its gradient by each feature.
    pub(super) fn log_improvement_gradient(
        &self,
        at: &[f64],
        best: f64,
        scratch: &mut Scratch,
        gradient: &mut [f64],
    ) -> f64 {
        let width = self.features.width();
        scratch.kernel.clear();
        scratch.slopes.clear();
        for row in self.x.chunks_exact(width) {
            let squared = distance(row, at, &self.weights);
            scratch.kernel.push(self.signal * matern(squared));
            scratch.slopes.push(self.signal * matern_slope(squared));
        }
        let mean = dot(&scratch.kernel, &self.alpha);
        scratch.solved.clone_from(&scratch.kernel);
        self.factor.solve(&mut scratch.solved);
        let deviation = (self.signal - dot(&scratch.kernel, &scratch.solved)).max(0.0).sqrt().max(DEVIATION_MIN);
        let z = (best - mean) / deviation;
        let log = normal::log_improvement(z);
        // d log h(z) / dz = Φ(z) / h(z), with h = φ + z Φ.
        let slope = (normal::log_erfc(-z * std::f64::consts::FRAC_1_SQRT_2) - std::f64::consts::LN_2 - log).exp();
        gradient.fill(0.0);
        // log EI = log s + log h((best − m) / s): by the mean −slope / s, by the variance (1 − z · slope) / (2 s²).
        let (by_mean, by_variance) = (-slope / deviation, (1.0 - z * slope) / (2.0 * deviation * deviation));
        for (i, row) in self.x.chunks_exact(width).enumerate() {
            // dk/dx = −slope (x − xᵢ) / ℓ²
            let factor = -scratch.slopes[i] * (by_mean * self.alpha[i] - 2.0 * by_variance * scratch.solved[i]);
            for ((gradient, at), x) in gradient.iter_mut().zip(at).zip(row) {
                *gradient += factor * (at - x);
            }
        }
        for (gradient, weight) in gradient.iter_mut().zip(&self.weights) {
            *gradient *= weight;
        }
        log + deviation.ln()
    }
}

fn distance(a: &[f64], b: &[f64], weights: &[f64]) -> f64 {
    a.iter().zip(b).zip(weights).map(|((a, b), weight)| (a - b) * (a - b) * weight).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::space::{Param, Space};

    fn with_model(check: impl Fn(&Model<'_>)) {
        let space = Space::new([("a", Param::float(0.0, 1.0)), ("b", Param::float(0.0, 1.0))]).unwrap();
        let features = Features::of(&space);
        let x: Vec<f64> = (0..8).flat_map(|i| [i as f64 / 8.0, (i * 3 % 8) as f64 / 8.0]).collect();
        let y: Vec<f64> = x.chunks(2).map(|x| (3.0 * x[0]).sin() + x[1]).collect();
        let hyper = Hyper { logs: vec![-0.7, -0.3, -9.0, 0.0] };
        check(&Model::of(&features, &hyper, x, y).unwrap());
    }

    #[test]
    fn the_mean_goes_through_the_data() {
        with_model(|model| {
            let mut scratch = Scratch::default();
            for (i, at) in model.x.chunks(2).enumerate() {
                let mean = model.mean(at, &mut scratch);
                assert!((mean - model.y[i]).abs() < 1e-2);
                assert!((mean - model.means_at_data()[i]).abs() < 1e-9);
            }
        });
    }

    #[test]
    fn the_gradient_is_that_of_the_value() {
        with_model(|model| {
            let mut scratch = Scratch::default();
            for at in [[0.3, 0.35], [0.9, 0.1], [0.02, 0.4]] {
                for best in [-0.5, 0.3, 0.9] {
                    let mut gradient = [0.0; 2];
                    let value = model.log_improvement_gradient(&at, best, &mut scratch, &mut gradient);
                    assert!((value - model.log_improvement(&at, best, &mut scratch)).abs() < 1e-6);
                    for k in 0..2 {
                        let mut moved = [at; 2];
                        moved[0][k] += 1e-5;
                        moved[1][k] -= 1e-5;
                        let [up, down] = moved.map(|at| model.log_improvement(&at, best, &mut scratch));
                        let slope = (up - down) / 2e-5;
                        assert!((slope - gradient[k]).abs() < 1e-4 * (1.0 + slope.abs()), "{slope} {}", gradient[k]);
                    }
                }
            }
        });
    }
}
