//! The percentile bootstrap (Efron 1979) for scores that have no formula for their spread, here macro-F1.

use crate::{
    error::{Error, Result},
    metrics::{Outcome, macro_f1},
};
use loopwright_types::score::Interval;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;
use std::collections::BTreeMap;

/// Fewer resamples leave the ends of the interval to chance.
pub const N_RESAMPLES_MIN: u32 = 1000;

/// The interval of macro-F1 at a two-sided `level`: rows are drawn with replacement `n_resamples` times (at least
/// [`N_RESAMPLES_MIN`]), and the interval runs between the percentiles of the scores.
///
/// Resample i draws from stream i of the seed's ChaCha8 generator, so the result does not depend on threads. A label
/// that a resample neither carries nor answers has no F1 there and is left out of that resample's mean.
pub fn macro_f1_interval(outcomes: &[Outcome<'_>], level: f64, n_resamples: u32, seed: u64) -> Result<Interval> {
    if outcomes.is_empty() || n_resamples < N_RESAMPLES_MIN {
        return Err(Error::Input(format!(
            "expected at least 1 row and {N_RESAMPLES_MIN} resamples, got {} and {n_resamples}",
            outcomes.len()
        )));
    }
    let numbered = Numbered::new(outcomes);
    let mut scores: Vec<f64> =
        (0..n_resamples).into_par_iter().map(|resample| numbered.resampled_macro_f1(seed, resample)).collect();
    scores.sort_by(f64::total_cmp);
    let tail = 0.5 * (1.0 - level);
    let (low, high) = (percentile(&scores, tail), percentile(&scores, 1.0 - tail));
    let point = macro_f1(outcomes);
    // A percentile interval need not contain its point when labels are rare; a reader expects it to.
    Ok(Interval { low: low.min(point), point, high: high.max(point), level })
}

/// Labels as numbers: (expected, answered), with `n_labels` for an answer that no row carries.
struct Numbered {
    rows: Vec<(u32, u32)>,
    n_labels: usize,
}

impl Numbered {
    fn new(outcomes: &[Outcome<'_>]) -> Self {
        let mut numbers: BTreeMap<&str, u32> = outcomes.iter().map(|o| (o.expected, 0)).collect();
        for (number, entry) in numbers.values_mut().enumerate() {
            *entry = number as u32;
        }
        let n_labels = numbers.len();
        let number = |label: &str| numbers.get(label).copied().unwrap_or(n_labels as u32);
        let rows = outcomes.iter().map(|o| (number(o.expected), o.got.map_or(n_labels as u32, number))).collect();
        Self { rows, n_labels }
    }

    fn resampled_macro_f1(&self, seed: u64, resample: u32) -> f64 {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        rng.set_stream(u64::from(resample));
        // Per label: rows plus answers, and right answers.
        let mut counts = vec![(0_u32, 0_u32); self.n_labels + 1];
        for _ in 0..self.rows.len() {
            let (expected, got) = self.rows[rng.random_range(0..self.rows.len())];
            counts[expected as usize].0 += 1;
            counts[got as usize].0 += 1;
            counts[got as usize].1 += u32::from(expected == got);
        }
        let mut seen = counts[..self.n_labels].iter().filter(|c| c.0 > 0).peekable();
        if seen.peek().is_none() {
            return 0.0;
        }
        let (sum, n) = seen.fold((0.0, 0.0), |(sum, n), c| (sum + 2.0 * f64::from(c.1) / f64::from(c.0), n + 1.0));
        sum / n
    }
}

/// The percentile of sorted values, linear between neighbours.
fn percentile(sorted: &[f64], share: f64) -> f64 {
    let position = share.clamp(0.0, 1.0) * (sorted.len() - 1) as f64;
    let (below, above) = (position.floor() as usize, position.ceil() as usize);
    sorted[below] + (sorted[above] - sorted[below]) * (position - below as f64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::interval::{Share, wilson};

    fn rows(n_right: usize, n: usize) -> Vec<Outcome<'static>> {
        let label = |i: usize| ["a", "b"][i % 2];
        (0..n).map(|i| Outcome::new(label(i), label(if i < n_right { i } else { i + 1 }))).collect()
    }

    #[test]
    fn the_same_seed_gives_the_same_bits() {
        let rows = rows(150, 200);
        let interval = |seed| macro_f1_interval(&rows, 0.95, 1000, seed).unwrap();
        assert_eq!(interval(1), interval(1));
        assert_ne!(interval(1), interval(2));
    }

    /// With two equally frequent labels and symmetric errors macro-F1 is close to accuracy, whose interval has a
    /// formula.
    #[test]
    fn it_comes_close_to_a_formula_where_there_is_one() {
        let interval = macro_f1_interval(&rows(800, 1000), 0.95, 2000, 7).unwrap();
        let formula = wilson(Share::new(800, 1000), 0.95);
        assert!((interval.low - formula.low).abs() < 0.006, "{interval:?} {formula:?}");
        assert!((interval.high - formula.high).abs() < 0.006, "{interval:?} {formula:?}");
    }

    #[test]
    fn perfect_answers_leave_no_spread() {
        let interval = macro_f1_interval(&rows(50, 50), 0.95, 1000, 7).unwrap();
        assert_eq!((interval.low, interval.point, interval.high), (1.0, 1.0, 1.0));
    }

    #[test]
    fn percentiles_interpolate() {
        assert_eq!(percentile(&[0.0, 1.0, 2.0, 3.0], 0.5), 1.5);
        assert_eq!(percentile(&[5.0], 0.9), 5.0);
    }

    #[test]
    fn too_few_resamples_are_refused() {
        assert!(macro_f1_interval(&rows(5, 5), 0.95, 10, 0).is_err());
        assert!(macro_f1_interval(&[], 0.95, 1000, 0).is_err());
    }
}
