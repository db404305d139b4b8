//! Weighted ridge regression with an intercept that is not penalised.
//!
//! With x̄ and ȳ the weighted means, the weights β solve (Xᵀ W X + λI) β = Xᵀ W y on centred X and y, by Cholesky's
//! decomposition; the intercept is ȳ − x̄·β.

use crate::error::{Error, Result};

pub(super) struct RidgeFit {
    pub weights: Vec<f64>,
    pub intercept: f64,
    pub r_squared: f64,
}

/// Fits `values` ([samples]) on `samples` ([samples, features]) with a weight per sample; `penalty` > 0.
pub(super) fn fit_ridge(
    samples: &[Vec<f64>],
    values: &[f64],
    sample_weights: &[f64],
    penalty: f64,
) -> Result<RidgeFit> {
    let n_features = samples.first().map_or(0, Vec::len);
    let total: f64 = sample_weights.iter().sum();
    let mean = |of: &dyn Fn(usize) -> f64| (0..samples.len()).map(|i| sample_weights[i] * of(i)).sum::<f64>() / total;
    let sample_means: Vec<f64> = (0..n_features).map(|j| mean(&|i| samples[i][j])).collect();
    let value_mean = mean(&|i| values[i]);
    let mut matrix = vec![vec![0.0; n_features]; n_features];
    let mut right = vec![0.0; n_features];
    for ((sample, value), weight) in samples.iter().zip(values).zip(sample_weights) {
        let centred: Vec<f64> = sample.iter().zip(&sample_means).map(|(x, mean)| x - mean).collect();
        for (j, row) in matrix.iter_mut().enumerate() {
            right[j] += weight * centred[j] * (value - value_mean);
            row[..=j].iter_mut().zip(&centred).for_each(|(cell, x)| *cell += weight * centred[j] * x);
        }
    }
    for (j, row) in matrix.iter_mut().enumerate() {
        row[j] += penalty;
    }
    let weights = solve(matrix, right)?;
    let intercept = value_mean - dot(&weights, &sample_means);
    let residual = mean(&|i| (values[i] - intercept - dot(&weights, &samples[i])).powi(2));
    let spread = mean(&|i| (values[i] - value_mean).powi(2));
    let r_squared = if spread > 0.0 { 1.0 - residual / spread } else { 1.0 };
    Ok(RidgeFit { weights, intercept, r_squared })
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

/// Solves a symmetric positive definite system of which the lower triangle is given.
fn solve(mut l: Vec<Vec<f64>>, mut x: Vec<f64>) -> Result<Vec<f64>> {
    let n = x.len();
    for j in 0..n {
        for k in 0..=j {
            let rest = l[j][k] - dot(&l[j][..k], &l[k][..k]);
            l[j][k] = if j == k { rest.sqrt() } else { rest / l[k][k] };
        }
        if !(l[j][j] > 0.0 && l[j][j].is_finite()) {
            return Err(Error::Input("expected values of moderate size: the regression has no solution".into()));
        }
    }
    for j in 0..n {
        x[j] = (x[j] - dot(&l[j][..j], &x[..j])) / l[j][j];
    }
    for j in (0..n).rev() {
        let known: f64 = (j + 1..n).map(|k| l[k][j] * x[k]).sum();
        x[j] = (x[j] - known) / l[j][j];
    }
    Ok(x)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Expected: the same problem as one augmented least-squares system, solved with NumPy's `lstsq`.
    #[test]
    fn agrees_with_a_reference() {
        let samples = [[1.0, 0.0], [0.0, 1.0], [1.0, 1.0], [0.0, 0.0], [2.0, 1.0]].map(|s| s.to_vec());
        let fit = fit_ridge(&samples, &[1.0, 2.0, 2.5, 0.5, 4.0], &[1.0, 0.5, 2.0, 1.0, 0.25], 0.5).unwrap();
        let got = [fit.weights[0], fit.weights[1], fit.intercept, fit.r_squared];
        for (got, expected) in
            got.iter().zip([0.6399999999999996, 1.0711111111111107, 0.6977777777777778, 0.9068897334049023])
        {
            assert!((got - expected).abs() < 1e-12, "got {got}, expected {expected}");
        }
    }

    #[test]
    fn a_system_by_hand() {
        // [[4, 2], [2, 3]] x = [2, 5] has x = [-1/2, 2].
        let x = solve(vec![vec![4.0, 0.0], vec![2.0, 3.0]], vec![2.0, 5.0]).unwrap();
        assert!((x[0] + 0.5).abs() < 1e-12 && (x[1] - 2.0).abs() < 1e-12, "{x:?}");
        assert!(solve(vec![vec![0.0]], vec![1.0]).is_err());
    }
}
