//! The distribution of CMA-ES and its update; names and equations are those of the tutorial (Hansen 2016, figure 6).

use crate::{
    sampler::{
        Draw,
        linalg::{dot, eigen},
        normal,
    },
    space::Axis,
};

/// A distribution narrower than this, in shares of the ranges, has nothing more to find.
const COLLAPSED: f64 = 1e-7;
/// Generations do not grow beyond this.
const GENERATION_MAX: usize = 256;

/// A point with its loss.
pub(super) struct Member {
    pub(super) point: Vec<f64>,
    pub(super) loss: f64,
}

/// A normal distribution with mean m, step size σ and covariance matrix C = B D² Bᵀ, and what its update needs.
pub(super) struct Distribution<'a> {
    axes: Vec<&'a Axis>,
    lambda: usize,
    mean: Vec<f64>,
    sigma: f64,
    covariance: Vec<f64>,
    /// B, and the diagonal of D.
    rotation: Vec<f64>,
    scales: Vec<f64>,
    path_sigma: Vec<f64>,
    path_c: Vec<f64>,
    n_generations: u32,
}

/// Learning rates, functions of d and λ (tutorial, table 1, without negative weights).
struct Rates {
    weights: Vec<f64>,
    mu_eff: f64,
    c_sigma: f64,
    d_sigma: f64,
    c_c: f64,
    c_1: f64,
    c_mu: f64,
    /// E‖N(0, I)‖
    chi: f64,
}

impl Rates {
    fn of(n_params: usize, lambda: usize) -> Self {
        let d = n_params as f64;
        let raw: Vec<f64> =
            (1..=lambda / 2).map(|rank| ((lambda as f64 + 1.0) / 2.0).ln() - (rank as f64).ln()).collect();
        let sum: f64 = raw.iter().sum();
        let weights: Vec<f64> = raw.iter().map(|weight| weight / sum).collect();
        let mu_eff = 1.0 / dot(&weights, &weights);
        let c_sigma = (mu_eff + 2.0) / (d + mu_eff + 5.0);
        let c_1 = 2.0 / ((d + 1.3).powi(2) + mu_eff);
        Self {
            d_sigma: 1.0 + 2.0 * (((mu_eff - 1.0) / (d + 1.0)).sqrt() - 1.0).max(0.0) + c_sigma,
            c_c: (4.0 + mu_eff / d) / (d + 4.0 + 2.0 * mu_eff / d),
            c_mu: (1.0 - c_1).min(2.0 * (0.25 + mu_eff + 1.0 / mu_eff - 2.0) / ((d + 2.0).powi(2) + mu_eff)),
            chi: d.sqrt() * (1.0 - 1.0 / (4.0 * d) + 1.0 / (21.0 * d * d)),
            weights,
            mu_eff,
            c_sigma,
            c_1,
        }
    }
}

impl<'a> Distribution<'a> {
    pub(super) fn new(axes: Vec<&'a Axis>, width: f64, n_generation: Option<usize>) -> Self {
        let n = axes.len();
        let lambda = n_generation.unwrap_or(4 + (3.0 * (n as f64).ln()) as usize);
        let unit: Vec<f64> = (0..n * n).map(|at| if at / n == at % n { 1.0 } else { 0.0 }).collect();
        Self {
            axes,
            lambda,
            mean: vec![0.5; n],
            sigma: width,
            covariance: unit.clone(),
            rotation: unit,
            scales: vec![1.0; n],
            path_sigma: vec![0.0; n],
            path_c: vec![0.0; n],
            n_generations: 0,
        }
    }

    pub(super) fn n_generation(&self) -> usize {
        self.lambda
    }

    /// Begins anew at a random mean, with a generation twice as large.
    pub(super) fn restart(&mut self, width: f64, draw: &mut Draw) {
        let mut fresh = Self::new(self.axes.clone(), width, Some((2 * self.lambda).min(GENERATION_MAX)));
        fresh.mean.iter_mut().for_each(|mean| *mean = draw.uniform());
        *self = fresh;
    }

    /// Whether no parameter can move any more.
    pub(super) fn has_collapsed(&self) -> bool {
        self.scales.iter().all(|scale| self.sigma * scale < COLLAPSED)
    }

    /// A point of the distribution, in the unit cube.
    pub(super) fn draw(&self, draw: &mut Draw) -> Vec<f64> {
        let n = self.mean.len();
        let scaled: Vec<f64> = self.scales.iter().map(|scale| scale * draw.normal()).collect();
        let step = |i: usize| self.sigma * dot(&self.rotation[i * n..(i + 1) * n], &scaled);
        (0..n).map(|i| (self.mean[i] + self.widening(i) * step(i)).clamp(0.0, 1.0)).collect()
    }

    /// By how much the steps of a whole number are widened, so that it leaves its cell with the chance of the margin on at
    /// least one side (Hamano et al. 2022, in a simple form: the mean is not moved).
    fn widening(&self, index: usize) -> f64 {
        let (low, high) = self.axes[index].cell_bounds(self.mean[index]);
        if high <= low {
            return 1.0;
        }
        let margin = 1.0 / (self.mean.len() * self.lambda) as f64;
        let to_low = if low > 0.0 { self.mean[index] - low } else { f64::INFINITY };
        let to_high = if high < 1.0 { high - self.mean[index] } else { f64::INFINITY };
        let nearest = to_low.min(to_high);
        let n = self.mean.len();
        let deviation = self.sigma * self.covariance[index * n + index].sqrt();
        let needed = nearest / normal::quantile(1.0 - margin / 2.0);
        if needed.is_finite() { (needed / deviation.max(f64::MIN_POSITIVE)).max(1.0) } else { 1.0 }
    }

    /// One generation: the mean moves to the better half, σ and C follow the steps that led there.
    pub(super) fn learn(&mut self, mut members: Vec<Member>) {
        members.sort_by(|a, b| a.loss.total_cmp(&b.loss));
        let n = self.mean.len();
        let rates = Rates::of(n, self.lambda);
        let steps: Vec<Vec<f64>> =
            members.iter().take(rates.weights.len()).map(|member| self.step_to(&member.point, &rates)).collect();
        let weighted = |i: usize| steps.iter().zip(&rates.weights).map(|(step, weight)| weight * step[i]).sum();
        let mean_step: Vec<f64> = (0..n).map(weighted).collect();
        for (i, mean) in self.mean.iter_mut().enumerate() {
            *mean = (*mean + self.sigma * mean_step[i]).clamp(0.0, 1.0);
        }
        self.n_generations += 1;
        let white = self.whitened(&mean_step);
        let pull = (rates.c_sigma * (2.0 - rates.c_sigma) * rates.mu_eff).sqrt();
        for (path, white) in self.path_sigma.iter_mut().zip(&white) {
            *path = (1.0 - rates.c_sigma) * *path + pull * white;
        }
        let length = dot(&self.path_sigma, &self.path_sigma).sqrt();
        let settled = (1.0 - (1.0 - rates.c_sigma).powi(2 * self.n_generations as i32)).sqrt();
        let is_calm = length / settled < (1.4 + 2.0 / (n as f64 + 1.0)) * rates.chi;
        self.learn_covariance(&rates, &steps, &mean_step, is_calm);
        let rate = rates.c_sigma / rates.d_sigma * (length / rates.chi - 1.0);
        self.sigma = (self.sigma * rate.min(1.0).exp()).clamp(1e-12, 1.0);
    }

    fn learn_covariance(&mut self, rates: &Rates, steps: &[Vec<f64>], mean_step: &[f64], is_calm: bool) {
        let n = self.mean.len();
        let pull = if is_calm { (rates.c_c * (2.0 - rates.c_c) * rates.mu_eff).sqrt() } else { 0.0 };
        for (path, step) in self.path_c.iter_mut().zip(mean_step) {
            *path = (1.0 - rates.c_c) * *path + pull * step;
        }
        let missing = if is_calm { 0.0 } else { rates.c_c * (2.0 - rates.c_c) };
        let keep = 1.0 + rates.c_1 * missing - rates.c_1 - rates.c_mu;
        for i in 0..n {
            for j in 0..=i {
                let rank_mu: f64 =
                    steps.iter().zip(&rates.weights).map(|(step, weight)| weight * step[i] * step[j]).sum();
                let old = self.covariance[i * n + j];
                let new = keep * old + rates.c_1 * self.path_c[i] * self.path_c[j] + rates.c_mu * rank_mu;
                self.covariance[i * n + j] = new;
                self.covariance[j * n + i] = new;
            }
        }
        let (values, vectors) = eigen(self.covariance.clone(), n);
        self.scales = values.iter().map(|value| value.max(1e-20).sqrt()).collect();
        self.rotation = vectors;
    }

    /// (x − m) / σ, cut to the length that steps usually have: a point from elsewhere must not throw the distribution.
    fn step_to(&self, point: &[f64], rates: &Rates) -> Vec<f64> {
        let step: Vec<f64> = point.iter().zip(&self.mean).map(|(at, mean)| (at - mean) / self.sigma).collect();
        let white = self.whitened(&step);
        let n = self.mean.len() as f64;
        let usual = rates.chi + 2.0 * n.sqrt() / (n + 2.0) * n.sqrt();
        let factor = (usual / dot(&white, &white).sqrt().max(1e-12)).min(1.0);
        step.into_iter().map(|part| factor * part).collect()
    }

    /// C^(−1/2) times a step, up to a rotation for lengths: B D⁻¹ Bᵀ step.
    fn whitened(&self, step: &[f64]) -> Vec<f64> {
        let n = step.len();
        let along = |j: usize| (0..n).map(|i| self.rotation[i * n + j] * step[i]).sum::<f64>() / self.scales[j];
        let turned: Vec<f64> = (0..n).map(along).collect();
        (0..n).map(|i| dot(&self.rotation[i * n..(i + 1) * n], &turned)).collect()
    }
}
