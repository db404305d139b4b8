//! The few distribution functions that intervals and tests rest on: normal, gamma, beta.
//!
//! They are short rather than fast: a gate evaluates them some thousand times. Accuracy is about 1e-12, checked
//! against SciPy 1.17 in the tests.

use std::f64::consts::{LN_2, PI};

/// Steps of a bisection: halving the unit interval this often exhausts the 53 bits of a double.
const N_BISECTIONS: u32 = 64;

/// The standard normal distribution function, by its Taylor series (Marsaglia 2004, "Evaluating the normal
/// distribution", J. Stat. Softw. 11(4)). The absolute error is below 1e-15.
///
/// ```
/// use loopwright_eval::distribution::normal_cdf;
/// assert!((normal_cdf(1.959963984540054) - 0.975).abs() < 1e-14);
/// ```
pub fn normal_cdf(x: f64) -> f64 {
    if x < -8.0 {
        return 0.0;
    }
    if x > 8.0 {
        return 1.0;
    }
    let (mut term, mut sum, mut i) = (x, x, 1.0);
    while term.abs() > 1e-18 {
        i += 2.0;
        term *= x * x / i;
        sum += term;
    }
    0.5 + sum * (-0.5 * x * x).exp() / (2.0 * PI).sqrt()
}

/// The standard normal quantile: the z with P(Z ≤ z) = `p`, for `p` between 1e-12 and 1 − 1e-12 (clamped to it).
///
/// ```
/// use loopwright_eval::distribution::normal_quantile;
/// assert!((normal_quantile(0.95) - 1.6448536269514722).abs() < 1e-12);
/// ```
pub fn normal_quantile(p: f64) -> f64 {
    let p = p.clamp(1e-12, 1.0 - 1e-12);
    bisect(-8.0, 8.0, |z| normal_cdf(z) < p)
}

/// Natural logarithm of the gamma function for `x` > 0 (Stirling's series after a shift to `x` ≥ 12).
pub fn ln_gamma(mut x: f64) -> f64 {
    let mut shift = 0.0;
    while x < 12.0 {
        shift += x.ln();
        x += 1.0;
    }
    let r = 1.0 / (x * x);
    let series = (1.0 / 12.0 - r * (1.0 / 360.0 - r * (1.0 / 1260.0 - r * (1.0 / 1680.0 - r / 1188.0)))) / x;
    (x - 0.5) * x.ln() - x + 0.5 * (2.0 * PI).ln() + series - shift
}

/// Natural logarithm of the binomial coefficient "n over k"; `n` ≥ `k` ≥ 0.
pub fn ln_choose(n: f64, k: f64) -> f64 {
    ln_gamma(n + 1.0) - ln_gamma(k + 1.0) - ln_gamma(n - k + 1.0)
}

/// The regularised incomplete beta function I_x(a, b), which is the distribution function of Beta(a, b) at `x`
/// (continued fraction 26.5.8 of Abramowitz & Stegun 1964, evaluated by Lentz's method).
pub fn beta_cdf(x: f64, a: f64, b: f64) -> f64 {
    if x <= 0.0 {
        return 0.0;
    }
    if x >= 1.0 {
        return 1.0;
    }
    let ln_front = ln_gamma(a + b) - ln_gamma(a) - ln_gamma(b) + a * x.ln() + b * (-x).ln_1p();
    if x < (a + 1.0) / (a + b + 2.0) {
        ln_front.exp() * beta_fraction(x, a, b) / a
    } else {
        1.0 - ln_front.exp() * beta_fraction(1.0 - x, b, a) / b
    }
}

fn beta_fraction(x: f64, a: f64, b: f64) -> f64 {
    const TINY: f64 = 1e-300;
    // The fraction converges within a few times the square root of max(a, b) steps.
    const MAX_STEPS: u32 = 100_000;
    let away_from_zero = |v: f64| if v.abs() < TINY { TINY } else { v };
    let mut c = 1.0;
    let mut d = 1.0 / away_from_zero(1.0 - (a + b) * x / (a + 1.0));
    let mut fraction = d;
    for step in 1..=MAX_STEPS {
        let m = f64::from(step);
        let even = m * (b - m) * x / ((a + 2.0 * m - 1.0) * (a + 2.0 * m));
        d = 1.0 / away_from_zero(1.0 + even * d);
        c = away_from_zero(1.0 + even / c);
        fraction *= d * c;
        let odd = -(a + m) * (a + b + m) * x / ((a + 2.0 * m) * (a + 2.0 * m + 1.0));
        d = 1.0 / away_from_zero(1.0 + odd * d);
        c = away_from_zero(1.0 + odd / c);
        fraction *= d * c;
        if (d * c - 1.0).abs() < 1e-15 {
            break;
        }
    }
    fraction
}

/// The quantile of Beta(a, b) at `p`.
pub fn beta_quantile(p: f64, a: f64, b: f64) -> f64 {
    bisect(0.0, 1.0, |x| beta_cdf(x, a, b) < p)
}

/// P(X ≥ k) for X ~ Binomial(n, 1/2), summed exactly in logarithms.
pub fn fair_coin_tail(k: u64, n: u64) -> f64 {
    let n_float = n as f64;
    (k..=n).map(|j| (ln_choose(n_float, j as f64) - n_float * LN_2).exp()).sum::<f64>().min(1.0)
}

/// The point between `low` and `high` at which `is_below` turns from true to false.
pub(crate) fn bisect(mut low: f64, mut high: f64, is_below: impl Fn(f64) -> bool) -> f64 {
    for _ in 0..N_BISECTIONS {
        let middle = 0.5 * (low + high);
        if is_below(middle) {
            low = middle;
        } else {
            high = middle;
        }
    }
    0.5 * (low + high)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(got: f64, expected: f64) {
        assert!((got - expected).abs() <= 1e-12 * expected.abs().max(1.0), "got {got}, expected {expected}");
    }

    #[test]
    fn agrees_with_scipy() {
        check(normal_cdf(-2.5), 0.006209665325776132);
        check(normal_quantile(0.999), 3.090232306167813);
        check(ln_gamma(0.5), PI.sqrt().ln());
        check(ln_gamma(123.4), 469.3360974421906);
        check(beta_cdf(0.3, 2.5, 7.0), 0.6412224629717214);
        check(beta_cdf(0.93, 900.0, 80.0), 0.9130535427927098);
        check(beta_quantile(0.05, 8.0, 3.0), 0.4930986989367976);
        check(fair_coin_tail(59, 100), 0.04431304005703379);
    }

    #[test]
    fn ln_choose_counts() {
        check(ln_choose(10.0, 3.0).exp(), 120.0);
        check(ln_choose(5.0, 0.0), 0.0);
    }
}
