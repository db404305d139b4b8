//! The hyperparameters of a Gaussian process, by their most probable value.
//!
//! The kernel is Matérn's with smoothness 5/2 and a length for each parameter: k(r) = s² (1 + √5 r + 5/3 r²) exp(−√5 r),
//! r² = Σ (Δₖ / ℓₖ)², and σ² is added on the diagonal (Rasmussen and Williams 2006, chapters 4 and 5). Each length has a
//! log-normal prior whose median grows with the root of the dimension (Hvarfner et al. 2024), so that few points do not
//! talk the model into a rough function. The log posterior is climbed by iRprop (Igel and Hüsken 2003), which needs
//! nothing but the signs of the gradient.

use super::{features::Features, warp::Warped};
use crate::sampler::linalg::{Cholesky, dot};

/// Steps of the ascent with the chosen scaling, and with each one before it is chosen.
const STEPS: usize = 20;
const TRIAL_STEPS: usize = 10;
const SQRT_5: f64 = 2.236_067_977_499_79;
/// Added to the diagonal in units of the signal, for the sake of the factor.
pub(super) const JITTER: f64 = 1e-9;

/// What is believed of the log of a hyperparameter before any data.
#[derive(Clone, Copy)]
struct Prior {
    mean: f64,
    deviation: f64,
    low: f64,
    high: f64,
}

/// Of a length in a space of one dimension, of the noise variance, and of the signal variance. The signal is free to be
/// great, so that a smooth function can be told from its small part within a trust region.
const LENGTH: Prior = Prior { mean: -0.7, deviation: 1.0, low: -4.0, high: 4.0 };
const NOISE: Prior = Prior { mean: -9.0, deviation: 2.0, low: -14.0, high: 0.5 };
const SIGNAL: Prior = Prior { mean: 0.0, deviation: 3.0, low: -3.0, high: 12.0 };

/// The prior of each log.
fn priors(n_params: usize) -> Vec<Prior> {
    let mut priors = vec![Prior { mean: LENGTH.mean + 0.5 * (n_params as f64).ln(), ..LENGTH }; n_params];
    priors.extend([NOISE, SIGNAL]);
    priors
}

/// Logs of the lengths (one per parameter), of the noise variance and of the signal variance, in this order.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Hyper {
    pub(super) logs: Vec<f64>,
}

impl Hyper {
    /// The prior's centre.
    pub(super) fn prior(n_params: usize) -> Self {
        Self { logs: priors(n_params).iter().map(|prior| prior.mean).collect() }
    }

    pub(super) fn length(&self, param: usize) -> f64 {
        self.logs[param].exp()
    }

    pub(super) fn noise(&self) -> f64 {
        self.logs[self.logs.len() - 2].exp()
    }

    pub(super) fn signal(&self) -> f64 {
        self.logs[self.logs.len() - 1].exp()
    }
}

/// Matérn's kernel 5/2 without its variance, at a squared distance.
pub(super) fn matern(squared: f64) -> f64 {
    let r = (5.0 * squared).sqrt();
    (1.0 + r + r * r / 3.0) * (-r).exp()
}

/// −2 times its derivative by the squared distance.
pub(super) fn matern_slope(squared: f64) -> f64 {
    let r = SQRT_5 * squared.sqrt();
    5.0 / 3.0 * (1.0 + r) * (-r).exp()
}

/// Points and values to fit to: `x` is `[n, features]`, `y` has mean 0 and deviation 1.
pub(super) struct Data<'a> {
    pub(super) features: &'a Features,
    pub(super) x: &'a [f64],
    pub(super) y: &'a [f64],
}

/// The most probable hyperparameters, and which of several scalings of the values is the most probable one: a few steps
/// are taken for each, then the rest with the best.
pub(super) fn fit(features: &Features, x: &[f64], scalings: &[Warped]) -> (Hyper, usize) {
    let prior = Hyper::prior(features.n_params());
    let data = |index: usize| Data { features, x, y: &scalings[index].y };
    let squares = squares(&data(0));
    let trials = (0..scalings.len()).map(|index| {
        let (value, hyper) = climb(&data(index), &squares, prior.clone(), TRIAL_STEPS);
        (value + scalings[index].log_jacobian, index, hyper)
    });
    let Some((_, index, hyper)) = trials.max_by(|a, b| a.0.total_cmp(&b.0)) else { return (prior, 0) };
    (climb(&data(index), &squares, hyper, STEPS).1, index)
}

/// Log posterior and hyperparameters after some steps uphill.
fn climb(data: &Data<'_>, squares: &[f64], mut hyper: Hyper, n_steps: usize) -> (f64, Hyper) {
    let priors = priors(data.features.n_params());
    let mut best = (f64::NEG_INFINITY, hyper.clone());
    let mut steps = vec![0.3f64; hyper.logs.len()];
    let mut before = vec![0.0; hyper.logs.len()];
    for _ in 0..n_steps {
        let Some((value, mut gradient)) = posterior(data, squares, &priors, &hyper) else { break };
        if value > best.0 {
            best = (value, hyper.clone());
        }
        for (k, slope) in gradient.iter_mut().enumerate() {
            let agreement = *slope * before[k];
            if agreement > 0.0 {
                steps[k] = (steps[k] * 1.2).min(1.0);
            } else if agreement < 0.0 {
                steps[k] = (steps[k] * 0.5).max(1e-3);
                *slope = 0.0;
            }
            if *slope != 0.0 {
                hyper.logs[k] = (hyper.logs[k] + steps[k] * slope.signum()).clamp(priors[k].low, priors[k].high);
            }
        }
        before = gradient;
    }
    best
}

/// Squared distances of all pairs i > j by parameter: `[pairs, parameters]`.
fn squares(data: &Data<'_>) -> Vec<f64> {
    let (width, n) = (data.features.width(), data.y.len());
    let mut squares = Vec::with_capacity(n * n / 2 * data.features.n_params());
    for i in 0..n {
        for j in 0..i {
            let (a, b) = (&data.x[i * width..(i + 1) * width], &data.x[j * width..(j + 1) * width]);
            for param in 0..data.features.n_params() {
                let range = data.features.range(param);
                squares.push(a[range.clone()].iter().zip(&b[range]).map(|(a, b)| (a - b) * (a - b)).sum());
            }
        }
    }
    squares
}

/// Log posterior and its gradient; none where the matrix has no factor.
fn posterior(data: &Data<'_>, squares: &[f64], priors: &[Prior], hyper: &Hyper) -> Option<(f64, Vec<f64>)> {
    let (n, n_params) = (data.y.len(), data.features.n_params());
    let weights: Vec<f64> = (0..n_params).map(|param| hyper.length(param).powi(-2)).collect();
    let (signal, noise) = (hyper.signal(), hyper.noise());
    let mut matrix = vec![0.0; n * n];
    let mut slopes = Vec::with_capacity(n * n / 2);
    let mut pairs = squares.chunks_exact(n_params);
    for i in 0..n {
        for (j, pair) in (0..i).zip(&mut pairs) {
            let squared = dot(pair, &weights);
            let r = SQRT_5 * squared.sqrt();
            let decay = signal * (-r).exp();
            matrix[i * n + j] = (1.0 + r + r * r / 3.0) * decay;
            slopes.push(5.0 / 3.0 * (1.0 + r) * decay);
        }
        matrix[i * n + i] = signal * (1.0 + JITTER) + noise;
    }
    let kernel = matrix.clone();
    let factor = Cholesky::of(matrix, n)?;
    let mut alpha = data.y.to_vec();
    factor.solve(&mut alpha);
    let inverse = factor.inverse();
    let mut value = -0.5 * dot(data.y, &alpha) - 0.5 * factor.log_determinant();
    let mut gradient = vec![0.0; n_params + 2];
    let mut pairs = squares.chunks_exact(n_params);
    let mut slopes = slopes.iter();
    for i in 0..n {
        for ((j, pair), slope) in (0..i).zip(&mut pairs).zip(&mut slopes) {
            let weight = alpha[i] * alpha[j] - inverse[i * n + j];
            let scaled = weight * slope;
            for (gradient, square) in gradient.iter_mut().zip(pair) {
                *gradient += scaled * square;
            }
            gradient[n_params + 1] += weight * kernel[i * n + j];
        }
        let weight = 0.5 * (alpha[i] * alpha[i] - inverse[i * n + i]);
        gradient[n_params] += weight * noise;
        gradient[n_params + 1] += weight * signal * (1.0 + JITTER);
    }
    for (gradient, weight) in gradient.iter_mut().zip(&weights) {
        *gradient *= weight;
    }
    for (k, prior) in priors.iter().enumerate() {
        let off = (hyper.logs[k] - prior.mean) / prior.deviation;
        value -= 0.5 * off * off;
        gradient[k] -= off / prior.deviation;
    }
    Some((value, gradient))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::space::{Param, Space};

    #[test]
    fn the_gradient_is_that_of_the_value() {
        let space = Space::new([("a", Param::float(0.0, 1.0)), ("b", Param::categorical([1, 2, 3]))]).unwrap();
        let features = Features::of(&space);
        let n = 9;
        let mut x = vec![0.0; n * features.width()];
        for (i, row) in x.chunks_exact_mut(features.width()).enumerate() {
            features.write(&[i as f64 / 9.0, (i % 3) as f64], &[true, true], row);
        }
        let y: Vec<f64> = (0..n).map(|i| (i as f64).sin()).collect();
        let data = Data { features: &features, x: &x, y: &y };
        let (squares, priors) = (squares(&data), priors(2));
        let hyper = Hyper { logs: vec![-1.0, 0.3, -3.0, 0.2] };
        let (_, gradient) = posterior(&data, &squares, &priors, &hyper).unwrap();
        for (k, known) in gradient.iter().enumerate() {
            let at = |shift: f64| {
                let mut moved = hyper.clone();
                moved.logs[k] += shift;
                posterior(&data, &squares, &priors, &moved).unwrap().0
            };
            let slope = (at(1e-5) - at(-1e-5)) / 2e-5;
            assert!((slope - known).abs() < 1e-5, "{k}: {slope} {known}");
        }
    }
}
