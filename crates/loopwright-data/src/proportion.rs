//! Intervals for shares that this crate reports: of rows that are right, of rows in a region.
//!
//! - One share: Wilson's score interval (1927).
//! - The difference of two shares on the same rows: Agresti and Min (2005, "Simple improved confidence intervals for
//!   comparing matched proportions"): half a row is added to each of the four cells of right and wrong, and Wald's interval
//!   taken. It covers well from some dozen rows on; a gate should use the exact methods of the evaluation stage.

use loopwright_types::score::Interval;

/// The level of every interval here, two-sided.
pub const LEVEL: f64 = 0.95;
/// The normal quantile at 0.975.
const Z: f64 = 1.959_963_984_540_054;

/// Wilson's interval for `n_hits` out of `n`. Without rows it is the whole range from 0 to 1.
///
/// ```
/// use loopwright_data::proportion::wilson;
/// assert_eq!(wilson(8, 10).to_string(), "0.800 [0.490, 0.943]");
/// ```
pub fn wilson(n_hits: u64, n: u64) -> Interval {
    if n == 0 {
        return Interval { low: 0.0, point: 0.5, high: 1.0, level: LEVEL };
    }
    let (hits, n) = (n_hits.min(n) as f64, n as f64);
    let p = hits / n;
    let centre = (hits + 0.5 * Z * Z) / (n + Z * Z);
    let half = Z / (n + Z * Z) * (p * (1.0 - p) * n + 0.25 * Z * Z).sqrt();
    Interval { low: (centre - half).max(0.0), point: p, high: (centre + half).min(1.0), level: LEVEL }
}

/// The share of `after` minus the share of `before`, outcomes of the same rows in the same order.
pub fn paired_difference(before: &[bool], after: &[bool]) -> Interval {
    let pairs = || before.iter().zip(after);
    let n = pairs().count() as f64;
    let lost = pairs().filter(|(before, after)| **before && !**after).count() as f64;
    let won = pairs().filter(|(before, after)| !**before && **after).count() as f64;
    let point = if n > 0.0 { (won - lost) / n } else { 0.0 };
    let (n, lost, won) = (n + 2.0, lost + 0.5, won + 0.5);
    let centre = (won - lost) / n;
    let half = Z * ((won + lost) - (won - lost).powi(2) / n).sqrt() / n;
    Interval { low: (centre - half).max(-1.0), point, high: (centre + half).min(1.0), level: LEVEL }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::{RngExt, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    #[test]
    fn edges_are_ranges_too() {
        assert_eq!(wilson(0, 0).to_string(), "0.500 [0.000, 1.000]");
        assert_eq!(wilson(0, 10).low, 0.0);
        assert_eq!(wilson(10, 10).high, 1.0);
        assert_eq!(paired_difference(&[], &[]).point, 0.0);
    }

    /// By hand: 100 rows, 5 lost, 15 won; (15.5 − 5.5)/102 = 0.0980, half width 1.96·√(21 − 100/102)/102 = 0.0860.
    #[test]
    fn a_difference_by_hand() {
        let outcomes = |n: [(usize, bool); 4]| n.iter().flat_map(|(n, right)| vec![*right; *n]).collect::<Vec<bool>>();
        let before = outcomes([(60, true), (5, true), (15, false), (20, false)]);
        let after = outcomes([(60, true), (5, false), (15, true), (20, false)]);
        assert_eq!(paired_difference(&before, &after).to_string(), "0.100 [0.012, 0.184]");
    }

    /// 2,000 draws of 200 rows: coverage 0.95 with a standard error of 0.005; four of them.
    #[test]
    fn both_cover_as_often_as_they_say() {
        let mut rng = ChaCha8Rng::seed_from_u64(5);
        let (mut covered, mut covered_paired) = (0, 0);
        for _ in 0..2000 {
            let rows: Vec<(bool, bool)> = (0..200)
                .map(|_| {
                    let u: f64 = rng.random();
                    // Right before: 0.8; right after: 0.7; both: 0.65.
                    (u < 0.8, u < 0.65 || (0.8..0.85).contains(&u))
                })
                .collect();
            let (before, after): (Vec<bool>, Vec<bool>) = rows.into_iter().unzip();
            let one = wilson(before.iter().filter(|right| **right).count() as u64, 200);
            covered += u32::from(one.low <= 0.8 && 0.8 <= one.high);
            let gap = paired_difference(&before, &after);
            covered_paired += u32::from(gap.low <= -0.1 && -0.1 <= gap.high);
        }
        for covered in [covered, covered_paired] {
            assert!((0.93..=0.97).contains(&(f64::from(covered) / 2000.0)), "{covered}");
        }
    }
}
