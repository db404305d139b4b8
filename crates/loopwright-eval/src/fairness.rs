//! Does the model serve some groups of customers worse than others?
//!
//! The gap is the accuracy of the best-served group minus that of the worst-served one. Picking the extremes makes the
//! point too large when groups are many or small, so read the interval: a gap whose interval contains 0 is not
//! shown. The gate uses [`gap_bounds`], which holds for every pair of groups at once.

use crate::interval::{Share, difference_limits, exact_limits, newcombe_difference, wilson};
use loopwright_types::score::{GroupGap, Interval, SliceScore};
use std::collections::BTreeMap;

/// The gap between the best- and the worst-served group with Newcombe's interval; `None` for fewer than two groups
/// with rows. Ties go to the first name.
///
/// ```
/// use loopwright_eval::{fairness::group_gap, interval::Share};
/// let groups = [("business", Share::new(56, 70)), ("private", Share::new(48, 80))];
/// let gap = group_gap(&groups.map(|(name, share)| (name.to_string(), share)).into(), 0.95).unwrap();
/// assert_eq!((gap.best.as_str(), gap.worst.as_str()), ("business", "private"));
/// assert_eq!(gap.gap.to_string(), "0.200 [0.052, 0.334]");
/// ```
pub fn group_gap(groups: &BTreeMap<String, Share>, level: f64) -> Option<GroupGap> {
    let filled: Vec<(&String, Share)> =
        groups.iter().map(|(name, share)| (name, *share)).filter(|g| g.1.n > 0).collect();
    let mut by_accuracy = filled.clone();
    by_accuracy.sort_by(|a, b| b.1.value().total_cmp(&a.1.value()));
    let (best, worst) = match by_accuracy.as_slice() {
        [best, .., worst] => (*best, *worst),
        _ => return None,
    };
    Some(GroupGap {
        best: best.0.clone(),
        worst: worst.0.clone(),
        gap: newcombe_difference(best.1, worst.1, level),
        groups: filled.iter().map(|(name, share)| slice((*name).clone(), *share, level)).collect(),
    })
}

fn slice(name: String, share: Share, level: f64) -> SliceScore {
    SliceScore { name, n_rows: share.n, accuracy: wilson(share, level), f1: 0.0 }
}

/// Bounds of the largest gap between any two groups, each of which errs with probability at most about `alpha`.
///
/// The upper end is the largest upper end over all ordered pairs: whichever pair truly has the largest gap, its own
/// end is covered. The lower end is the largest lower end, `alpha` shared out among the pairs (Bonferroni). The ends
/// of a pair come from Newcombe's square-and-add on exact (Clopper–Pearson) limits, which errs on the safe side for
/// small groups.
pub fn gap_bounds(groups: &BTreeMap<String, Share>, alpha: f64) -> Option<Interval> {
    let shares: Vec<(f64, f64)> = groups.values().filter(|s| s.n > 0).map(|s| (s.n_right as f64, s.n as f64)).collect();
    gap_bounds_of(&shares, alpha)
}

/// [`gap_bounds`] for real counts, so that a gate can ask what more rows of the same kind would show.
pub(crate) fn gap_bounds_of(shares: &[(f64, f64)], alpha: f64) -> Option<Interval> {
    if shares.len() < 2 {
        return None;
    }
    let n_pairs = (shares.len() * (shares.len() - 1)) as f64;
    let limits = |alpha: f64| -> Vec<(f64, (f64, f64))> {
        shares.iter().map(|(right, n)| (right / n, exact_limits(*right, *n, alpha))).collect()
    };
    let (plain, shared) = (limits(alpha), limits(alpha / n_pairs));
    let mut bounds = Interval { low: f64::MIN, point: f64::MIN, high: f64::MIN, level: 1.0 - 2.0 * alpha };
    let pairs = (0..shares.len()).flat_map(|a| (0..shares.len()).map(move |b| (a, b))).filter(|(a, b)| a != b);
    for (a, b) in pairs {
        bounds.point = bounds.point.max(plain[a].0 - plain[b].0);
        bounds.high = bounds.high.max(difference_limits(plain[a], plain[b]).1);
        bounds.low = bounds.low.max(difference_limits(shared[a], shared[b]).0);
    }
    bounds.low = bounds.low.max(0.0).min(bounds.point);
    Some(bounds)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::distribution::bisect;
    use rand::{RngExt, SeedableRng};
    use rand_chacha::ChaCha8Rng;
    use rayon::prelude::*;

    fn groups(shares: &[(u64, u64)]) -> BTreeMap<String, Share> {
        shares.iter().enumerate().map(|(i, (right, n))| (format!("group {i}"), Share::new(*right, *n))).collect()
    }

    #[test]
    fn one_group_has_no_gap() {
        assert_eq!(group_gap(&groups(&[(3, 4)]), 0.95), None);
        assert_eq!(group_gap(&groups(&[(3, 4), (0, 0)]), 0.95), None);
        assert_eq!(gap_bounds(&groups(&[(3, 4)]), 0.05), None);
    }

    #[test]
    fn best_and_worst_are_found_among_several() {
        let gap = group_gap(&groups(&[(50, 100), (90, 100), (30, 100), (90, 100)]), 0.95).unwrap();
        assert_eq!((gap.best.as_str(), gap.worst.as_str()), ("group 1", "group 2"));
        assert!((gap.gap.point - 0.6).abs() < 1e-12);
        assert_eq!(gap.groups.len(), 4);
    }

    /// A small group leaves the largest gap open although the extremes lie elsewhere.
    #[test]
    fn the_upper_bound_minds_a_small_group() {
        let without = gap_bounds(&groups(&[(900, 1000), (880, 1000)]), 0.05).unwrap();
        let with = gap_bounds(&groups(&[(900, 1000), (880, 1000), (9, 10)]), 0.05).unwrap();
        assert!(without.high < 0.06 && with.high > 0.2, "{without:?} {with:?}");
    }

    /// Three groups, the largest true gap just at the bound: the rule "at most" passes falsely, and with equal groups
    /// "larger than 0.01" is claimed falsely, at most alpha of the time.
    #[test]
    fn the_bounds_err_at_most_alpha() {
        const N_TRIALS: u64 = 4000;
        let errors = |sizes: [u64; 3], truths: [f64; 3], wrong: &(dyn Fn(Interval) -> bool + Sync)| -> f64 {
            let is_wrong = |trial: u64| {
                let mut rng = ChaCha8Rng::seed_from_u64(11);
                rng.set_stream(trial);
                let mut draw = |i: usize| (0..sizes[i]).filter(|_| rng.random_bool(truths[i])).count() as u64;
                let shares: Vec<(u64, u64)> = (0..3).map(|i| (draw(i), sizes[i])).collect();
                wrong(gap_bounds(&groups(&shares), 0.05).unwrap())
            };
            (0..N_TRIALS).into_par_iter().filter(|trial| is_wrong(*trial)).count() as f64 / N_TRIALS as f64
        };
        for sizes in [[20, 30, 200], [800, 800, 800]] {
            let passes = errors(sizes, [0.80, 0.90, 0.87], &|gap| gap.high <= 0.10);
            assert!(passes <= 0.05, "{sizes:?}: passes falsely {passes}");
            let claims = errors(sizes, [0.85, 0.85, 0.84], &|gap| gap.low > 0.01);
            assert!(claims <= 0.05, "{sizes:?}: claims falsely {claims}");
            assert!(passes > 0.0 || sizes[0] < 800, "with rows enough the rule must be able to err");
        }
    }

    #[test]
    fn more_rows_of_the_same_kind_narrow_the_bounds() {
        let width = |factor: f64| {
            let bounds = gap_bounds_of(&[(90.0 * factor, 100.0 * factor), (80.0 * factor, 100.0 * factor)], 0.05);
            bounds.map(|b| b.high - b.low).unwrap()
        };
        let factor = bisect(1.0, 1000.0, |factor| width(factor) > 0.05);
        assert!((5.0..50.0).contains(&factor), "{factor}");
    }
}
