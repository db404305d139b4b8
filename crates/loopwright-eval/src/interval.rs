//! Intervals for shares of right answers and for differences between them.
//!
//! | what | method | used for |
//! |---|---|---|
//! | one share | Wilson's score interval (1927) | figures that people read: coverage is near the level on average |
//! | one share | Clopper and Pearson (1934) | gates: coverage is never below the level |
//! | difference of two groups | Newcombe's hybrid score interval (1998, method 10 of "Interval estimation for the difference between independent proportions") | the fairness gap |
//! | difference on the same rows | Tango's score interval (1998), see [`crate::paired`] | model against model |

use crate::distribution::{beta_quantile, normal_quantile};
use loopwright_types::score::Interval;
use serde::{Deserialize, Serialize};

/// So many right answers out of so many.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Share {
    /// Right answers.
    pub n_right: u64,
    /// Answers in all.
    pub n: u64,
}

impl Share {
    /// `n_right` out of `n`.
    pub fn new(n_right: u64, n: u64) -> Self {
        Self { n_right: n_right.min(n), n }
    }

    /// Counts outcomes.
    pub fn of(outcomes: impl IntoIterator<Item = bool>) -> Self {
        let mut share = Self::default();
        for right in outcomes {
            share.n += 1;
            share.n_right += u64::from(right);
        }
        share
    }

    /// The share itself; one half when nothing was counted, since then nothing is known.
    pub fn value(self) -> f64 {
        if self.n == 0 { 0.5 } else { self.n_right as f64 / self.n as f64 }
    }
}

/// Wilson's score interval at a two-sided `level` such as 0.95. Without rows it is the whole range from 0 to 1.
///
/// ```
/// use loopwright_eval::interval::{Share, wilson};
/// let interval = wilson(Share::new(8, 10), 0.95);
/// assert_eq!(interval.to_string(), "0.800 [0.490, 0.943]");
/// ```
pub fn wilson(share: Share, level: f64) -> Interval {
    let (low, high) = wilson_limits(share.n_right as f64, share.n as f64, two_sided_z(level));
    Interval { low, point: share.value(), high, level }
}

/// Clopper and Pearson's exact interval at a two-sided `level`: each end errs with at most half of 1 − `level`.
pub fn clopper_pearson(share: Share, level: f64) -> Interval {
    let (low, high) = exact_limits(share.n_right as f64, share.n as f64, 0.5 * (1.0 - level));
    Interval { low, point: share.value(), high, level }
}

/// Newcombe's hybrid score interval for the share of `a` minus the share of `b`, two independent groups.
///
/// ```
/// use loopwright_eval::interval::{Share, newcombe_difference};
/// // Newcombe's own example: 56 of 70 against 48 of 80.
/// let gap = newcombe_difference(Share::new(56, 70), Share::new(48, 80), 0.95);
/// assert_eq!(gap.to_string(), "0.200 [0.052, 0.334]");
/// ```
pub fn newcombe_difference(a: Share, b: Share, level: f64) -> Interval {
    let z = two_sided_z(level);
    let limits = |s: Share| wilson_limits(s.n_right as f64, s.n as f64, z);
    let (low, high) = difference_limits((a.value(), limits(a)), (b.value(), limits(b)));
    Interval { low, point: a.value() - b.value(), high, level }
}

/// The z of a two-sided interval at this level.
pub(crate) fn two_sided_z(level: f64) -> f64 {
    normal_quantile(0.5 + 0.5 * level)
}

/// Wilson's limits. Counts are real numbers so that a gate can ask what more rows of the same kind would show.
pub(crate) fn wilson_limits(n_right: f64, n: f64, z: f64) -> (f64, f64) {
    if n <= 0.0 {
        return (0.0, 1.0);
    }
    let share = n_right / n;
    let z2 = z * z;
    let middle = (share + z2 / (2.0 * n)) / (1.0 + z2 / n);
    let half = z / (1.0 + z2 / n) * (share * (1.0 - share) / n + z2 / (4.0 * n * n)).sqrt();
    let low = if n_right <= 0.0 { 0.0 } else { (middle - half).max(0.0) };
    let high = if n_right >= n { 1.0 } else { (middle + half).min(1.0) };
    (low, high)
}

/// Clopper and Pearson's limits, each of which errs with probability at most `alpha`.
pub(crate) fn exact_limits(n_right: f64, n: f64, alpha: f64) -> (f64, f64) {
    let low = if n_right <= 0.0 { 0.0 } else { beta_quantile(alpha, n_right, n - n_right + 1.0) };
    let high = if n_right >= n { 1.0 } else { beta_quantile(1.0 - alpha, n_right + 1.0, n - n_right) };
    (low, high)
}

/// Newcombe's "square and add": the limits of a difference from the point and the limits of each part.
pub(crate) fn difference_limits(a: (f64, (f64, f64)), b: (f64, (f64, f64))) -> (f64, f64) {
    let ((point_a, (low_a, high_a)), (point_b, (low_b, high_b))) = (a, b);
    let point = point_a - point_b;
    (point - (point_a - low_a).hypot(high_b - point_b), point + (high_a - point_a).hypot(point_b - low_b))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::distribution::{bisect, ln_choose};

    fn check(got: Interval, low: f64, high: f64) {
        assert!((got.low - low).abs() < 1e-9 && (got.high - high).abs() < 1e-9, "{got:?}, expected [{low}, {high}]");
    }

    /// Expected ends: statsmodels 0.15, `proportion_confint` and `confint_proportions_2indep`.
    #[test]
    fn agrees_with_statsmodels() {
        check(wilson(Share::new(8, 10), 0.95), 0.49016247153664183, 0.9433178485456247);
        check(wilson(Share::new(0, 20), 0.95), 0.0, 0.1611251580528194);
        check(wilson(Share::new(912, 1000), 0.95), 0.8928277489502235, 0.9280190020576792);
        check(clopper_pearson(Share::new(8, 10), 0.90), 0.4930986989367976, 0.9632285621125349);
        check(clopper_pearson(Share::new(10, 10), 0.90), 0.7411344491069477, 1.0);
        check(clopper_pearson(Share::new(0, 10), 0.90), 0.0, 0.2588655508930523);
        let gap = newcombe_difference(Share::new(9, 10), Share::new(3, 10), 0.95);
        check(gap, 0.1705227239345029, 0.809017973535488);
    }

    #[test]
    fn without_rows_nothing_is_known() {
        check(wilson(Share::new(0, 0), 0.95), 0.0, 1.0);
        check(clopper_pearson(Share::new(0, 0), 0.95), 0.0, 1.0);
    }

    /// The exact interval's lower end lies above a true share with probability at most alpha: summed over all
    /// outcomes, not simulated.
    #[test]
    fn the_exact_lower_end_errs_at_most_alpha() {
        for (n, truth) in [(10_u64, 0.5), (30, 0.8), (30, 0.95), (200, 0.9), (200, 0.6)] {
            let low_is_above = |k: u64| clopper_pearson(Share::new(k, n), 0.90).low > truth;
            let probability = |k: u64| {
                let (k, n) = (k as f64, n as f64);
                (ln_choose(n, k) + k * f64::ln(truth) + (n - k) * f64::ln_1p(-truth)).exp()
            };
            let error: f64 = (0..=n).filter(|k| low_is_above(*k)).map(probability).sum();
            assert!(error <= 0.05, "n {n}, true share {truth}: {error}");
        }
    }

    #[test]
    fn real_counts_interpolate() {
        let n = bisect(10.0, 1000.0, |n| wilson_limits(0.9 * n, n, two_sided_z(0.95)).0 < 0.85);
        assert!((100.0..300.0).contains(&n), "{n}");
    }
}
