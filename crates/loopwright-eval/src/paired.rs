//! Two models on the same rows: what counts is where they disagree.
//!
//! Of `n` rows, `n_only_a` were right for A alone and `n_only_b` for B alone. The difference in accuracy is
//! (`n_only_a` − `n_only_b`) / n. Its interval inverts Tango's score test (1998, "Equivalence test and confidence
//! interval for the difference in proportions for the paired-sample design", Stat. Med. 17), which needs no
//! cell to be filled. With [`CONTINUITY`] the one-sided test keeps its error rate for small `n` too; the tests of this
//! file sum that error rate exactly over all outcomes.

use crate::{
    distribution::{bisect, fair_coin_tail},
    interval::two_sided_z,
};
use loopwright_types::score::Interval;
use serde::{Deserialize, Serialize};

/// Continuity correction of the difference in counts, as in McNemar's corrected test (Edwards 1948).
pub const CONTINUITY: f64 = 1.0;

/// How two models fared on the same rows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Paired {
    /// Rows in all.
    pub n: u64,
    /// Rows that only A answered rightly.
    pub n_only_a: u64,
    /// Rows that only B answered rightly.
    pub n_only_b: u64,
}

impl Paired {
    /// Counts rows of (A right, B right).
    pub fn of(outcomes: impl IntoIterator<Item = (bool, bool)>) -> Self {
        let mut paired = Self::default();
        for (a, b) in outcomes {
            paired.n += 1;
            paired.n_only_a += u64::from(a && !b);
            paired.n_only_b += u64::from(b && !a);
        }
        paired
    }

    /// The interval of A's accuracy minus B's by Tango's score test at a two-sided `level`, without correction:
    /// for people to read.
    ///
    /// ```
    /// use loopwright_eval::paired::Paired;
    /// // Tango's own example: 43 rows right for both, one for B alone.
    /// let difference = Paired { n: 44, n_only_a: 0, n_only_b: 1 }.difference(0.95);
    /// assert_eq!(difference.to_string(), "-0.023 [-0.118, 0.059]");
    /// ```
    pub fn difference(self, level: f64) -> Interval {
        self.interval(level, 0.0)
    }

    /// The same with [`CONTINUITY`]: for decisions.
    pub fn cautious_difference(self, level: f64) -> Interval {
        self.interval(level, CONTINUITY)
    }

    /// McNemar's exact test (1947): the two-sided p-value of "A and B are right equally often".
    ///
    /// ```
    /// use loopwright_eval::paired::Paired;
    /// assert!((Paired { n: 45, n_only_a: 12, n_only_b: 3 }.mcnemar_p() - 0.03515625).abs() < 1e-12);
    /// ```
    pub fn mcnemar_p(self) -> f64 {
        let n_differing = self.n_only_a + self.n_only_b;
        (2.0 * fair_coin_tail(self.n_only_a.max(self.n_only_b), n_differing)).min(1.0)
    }

    /// The one-sided exact p-value of "A is right no more often than B".
    pub fn mcnemar_p_better(self) -> f64 {
        fair_coin_tail(self.n_only_a, self.n_only_a + self.n_only_b)
    }

    fn interval(self, level: f64, continuity: f64) -> Interval {
        let counts = PairedCounts::from(self);
        let (low, high) = counts.limits(two_sided_z(level), continuity);
        Interval { low, point: counts.point(), high, level }
    }
}

/// The same counts as real numbers, so that a gate can ask what more rows of the same kind would show.
#[derive(Clone, Copy)]
pub(crate) struct PairedCounts {
    pub(crate) n: f64,
    pub(crate) only_a: f64,
    pub(crate) only_b: f64,
}

impl From<Paired> for PairedCounts {
    fn from(p: Paired) -> Self {
        Self { n: p.n as f64, only_a: p.n_only_a as f64, only_b: p.n_only_b as f64 }
    }
}

impl PairedCounts {
    pub(crate) fn scaled(self, factor: f64) -> Self {
        Self { n: self.n * factor, only_a: self.only_a * factor, only_b: self.only_b * factor }
    }

    fn point(self) -> f64 {
        if self.n > 0.0 { (self.only_a - self.only_b) / self.n } else { 0.0 }
    }

    pub(crate) fn limits(self, z: f64, continuity: f64) -> (f64, f64) {
        if self.n <= 0.0 {
            return (-1.0, 1.0);
        }
        let low = bisect(-1.0, self.point(), |d| self.excess(d) - continuity >= z * self.spread(d));
        let high = bisect(self.point(), 1.0, |d| self.excess(d) + continuity > -z * self.spread(d));
        (low, high)
    }

    /// Difference in counts beyond the one expected if the true difference is `d`.
    fn excess(self, d: f64) -> f64 {
        self.only_a - self.only_b - self.n * d
    }

    /// Standard deviation of that count under the true difference `d`, the share of "B alone" at its restricted
    /// maximum likelihood estimate (Tango's equation 5).
    fn spread(self, d: f64) -> f64 {
        let a = 2.0 * self.n;
        let b = -self.only_a - self.only_b + (2.0 * self.n - self.only_a + self.only_b) * d;
        let c = -self.only_b * d * (1.0 - d);
        let only_b_share = ((b * b - 4.0 * a * c).max(0.0).sqrt() - b) / (2.0 * a);
        (self.n * (2.0 * only_b_share + d * (1.0 - d))).max(0.0).sqrt()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::distribution::ln_gamma;

    fn check(n_only_a: u64, n_only_b: u64, n: u64, plain: [f64; 2], cautious: [f64; 2]) {
        let paired = Paired { n, n_only_a, n_only_b };
        for (got, expected) in [(paired.difference(0.95), plain), (paired.cautious_difference(0.95), cautious)] {
            let error = (got.low - expected[0]).abs().max((got.high - expected[1]).abs());
            assert!(error < 1e-6, "{paired:?}: got {got:?}, expected {expected:?}");
        }
    }

    /// Expected ends: the score test inverted with SciPy, its restricted maximum found numerically instead of by
    /// Tango's closed form.
    #[test]
    fn agrees_with_a_numerical_inversion() {
        check(12, 3, 100, [0.01597714, 0.17374284], [0.00468215, 0.18506327]);
        check(0, 1, 44, [-0.11807710, 0.05939323], [-0.15134999, 0.09723805]);
        check(30, 20, 60, [-0.06415073, 0.37934905], [-0.08062418, 0.39453737]);
    }

    #[test]
    fn mcnemar_agrees_with_statsmodels() {
        assert_eq!(Paired { n: 40, n_only_a: 5, n_only_b: 5 }.mcnemar_p(), 1.0);
        assert!((Paired { n: 45, n_only_a: 12, n_only_b: 3 }.mcnemar_p_better() - 0.017578125).abs() < 1e-12);
    }

    /// Models that never disagree: nothing shows a difference, and more rows narrow the interval.
    #[test]
    fn agreement_everywhere_leaves_an_interval_around_zero() {
        let few = Paired { n: 20, ..Paired::default() }.cautious_difference(0.90);
        let many = Paired { n: 2000, ..Paired::default() }.cautious_difference(0.90);
        assert!(few.low < -0.05 && few.high > 0.05, "{few:?}");
        assert!(many.low < 0.0 && many.low > -0.005 && many.high < 0.005, "{many:?}");
    }

    /// Probability that the cautious lower end lies above `margin` although the true difference is `margin`, summed
    /// over every outcome of `n` rows where B alone is right with probability `only_b`.
    fn false_pass(n: u64, margin: f64, only_b: f64, level: f64) -> f64 {
        let only_a = only_b + margin;
        let ln_power = |p: f64, k: u64| if k == 0 { 0.0 } else { k as f64 * p.ln() };
        let ln_factorial: Vec<f64> = (0..=n).map(|k| ln_gamma(k as f64 + 1.0)).collect();
        let z = two_sided_z(level);
        let mut sum = 0.0;
        for a in 0..=n {
            for b in 0..=n - a {
                let counts = PairedCounts { n: n as f64, only_a: a as f64, only_b: b as f64 };
                if counts.excess(margin) - CONTINUITY < z * counts.spread(margin) {
                    continue;
                }
                let rest = n - a - b;
                let ways = ln_factorial[n as usize]
                    - ln_factorial[a as usize]
                    - ln_factorial[b as usize]
                    - ln_factorial[rest as usize];
                sum += (ways + ln_power(only_a, a) + ln_power(only_b, b) + ln_power(1.0 - only_a - only_b, rest)).exp();
            }
        }
        sum
    }

    /// At the edge of the null hypothesis the rule passes with probability at most alpha, for few rows and many,
    /// rare and frequent disagreement, and margins from "20 points worse" to "2 points better".
    #[test]
    fn the_cautious_lower_end_errs_at_most_alpha() {
        for alpha in [0.01, 0.05, 0.10] {
            for n in [10, 30, 100] {
                for margin in [-0.2, -0.1, -0.05, -0.02, 0.0, 0.02] {
                    for extra in [0.002, 0.01, 0.03, 0.1, 0.2, 0.35] {
                        let only_b = extra + f64::max(0.0, -margin);
                        let error = false_pass(n, margin, only_b, 1.0 - 2.0 * alpha);
                        assert!(error <= alpha, "alpha {alpha}, n {n}, margin {margin}, only b {only_b}: {error}");
                    }
                }
            }
        }
    }
}
