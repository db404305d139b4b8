//! The standard normal distribution.

use std::f64::consts::{FRAC_1_SQRT_2, SQRT_2};

const LOG_SQRT_TAU: f64 = 0.918_938_533_204_672_7;

/// log of the density at `z`.
pub(crate) fn log_density(z: f64) -> f64 {
    -0.5 * z * z - LOG_SQRT_TAU
}

/// The chance of a value below `z`.
pub(crate) fn cdf(z: f64) -> f64 {
    0.5 * erfc(-z * FRAC_1_SQRT_2)
}

/// The value below which a draw lies with chance `p`, by halving: exact enough for draws, and monotone.
pub(crate) fn quantile(p: f64) -> f64 {
    let (mut low, mut high) = (-9.0, 9.0);
    for _ in 0..60 {
        let middle = 0.5 * (low + high);
        if cdf(middle) < p { low = middle } else { high = middle }
    }
    0.5 * (low + high)
}

/// The complementary error function, to 1e-14 of its value: the series of erf near 0, else the continued fraction
/// (Abramowitz and Stegun 1964, 7.1.5 and 7.1.14).
pub(crate) fn erfc(x: f64) -> f64 {
    if x < 0.0 {
        return 2.0 - erfc(-x);
    }
    if x < 2.0 {
        return 1.0 - erf_series(x);
    }
    if x > 27.0 {
        return 0.0;
    }
    (-x * x).exp() * scaled_fraction(x)
}

/// log of the complementary error function, also where the function itself is too small for a number.
pub(crate) fn log_erfc(x: f64) -> f64 {
    if x < 2.0 { erfc(x).ln() } else { -x * x + scaled_fraction(x).ln() }
}

fn erf_series(x: f64) -> f64 {
    let (mut term, mut sum, mut n) = (x, x, 0.0);
    while term.abs() > 1e-17 * sum.abs() {
        n += 1.0;
        term *= -x * x / n;
        sum += term / (2.0 * n + 1.0);
    }
    2.0 / std::f64::consts::PI.sqrt() * sum
}

/// erfc(x) · exp(x²) for x of at least 2.
fn scaled_fraction(x: f64) -> f64 {
    // From far out inwards; 60 levels are enough at 2, where it converges slowest.
    let levels = if x < 4.0 { 60 } else { 20 };
    let fraction = (1..=levels).rev().fold(x, |below, k| x + 0.5 * k as f64 / below);
    1.0 / (fraction * std::f64::consts::PI.sqrt())
}

/// log of expected improvement divided by the standard deviation, at z = (best − mean) / deviation: log(φ(z) + z Φ(z)),
/// by the ratio of both where they cancel (Ament et al. 2023, "Unexpected improvements to expected improvement").
pub(crate) fn log_improvement(z: f64) -> f64 {
    if z > -1.0 {
        return (log_density(z).exp() + z * cdf(z)).ln();
    }
    // φ(z) (1 + z Φ(z)/φ(z)), and Φ(z)/φ(z) = √(π/2) erfc(−z/√2) exp(z²/2).
    let ratio = (log_erfc(-z / SQRT_2) + 0.5 * z * z).exp() * (std::f64::consts::PI / 2.0).sqrt();
    // Below −1e3 the difference is lost to rounding; its limit is 1/z².
    let rest = if z > -1e3 { 1.0 + z * ratio } else { 1.0 / (z * z) };
    log_density(z) + rest.max(f64::MIN_POSITIVE).ln()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_those_of_scipy() {
        // scipy.special.erfc and ndtr, scipy.stats.norm.ppf
        for (x, expected) in [
            (0.5, 0.4795001221869535),
            (1.9, 0.007209570764742524),
            (2.1, 0.002979466656333),
            (5.0, 1.5374597944280347e-12),
        ] {
            assert!((erfc(x) / expected - 1.0).abs() < 1e-12, "{x}: {} {expected}", erfc(x));
        }
        assert!((cdf(-3.0) / 0.0013498980316300933 - 1.0).abs() < 1e-12);
        assert!((quantile(0.975) - 1.959963984540054).abs() < 1e-12);
    }

    #[test]
    fn log_improvement_is_continuous_and_rises() {
        let exact = |z: f64| (log_density(z).exp() + z * cdf(z)).ln();
        for z in [-1.01, -1.5, -3.0] {
            assert!((log_improvement(z) - exact(z)).abs() < 1e-6, "{z}");
        }
        let values: Vec<f64> = (0..3000).map(|i| log_improvement(-1500.0 + i as f64 / 2.0)).collect();
        assert!(values.windows(2).all(|pair| pair[0] < pair[1]));
    }
}
