//! How many rows each source gives to a mixture.
//!
//! Weights come from the user, or from the sources' sizes and a temperature T: wᵢ ∝ nᵢ^(1/T). T = 1 mixes by size and
//! T → ∞ all alike; mT5 (Xue et al. 2021, section 3.1) uses the exponent α = 1/T = 0.3, T ≈ 3.3. Before that, T5 (Raffel
//! et al. 2020, section 3.5.2) caps nᵢ at a limit K, so that one vast source does not drown the rest.
//!
//! Counts are whole numbers that add up to the total: each source gets the floor of its quota, and the largest remainders
//! get one more (Hamilton's method). A small source is not repeated for ever: it gives at most `repeats_max` times its
//! rows, and what is missing then goes to the others by their weights.
//!
//! ```
//! use loopwright_data::sample::mix::{shares, temperature_weights};
//!
//! assert_eq!(shares(&[1.0, 1.0, 1.0], 10), [4, 3, 3]);
//! let weights = temperature_weights(&[10_000, 100], 2.0, None);
//! assert_eq!(shares(&weights, 110), [100, 10], "ten to one instead of a hundred to one");
//! ```

use crate::{Error, Result};

/// Divides a total by weights into whole numbers that add up to it. Of equal remainders the first goes first. Weights
/// that are negative or not finite count as 0; if none is positive, nothing is given.
pub fn shares(weights: &[f64], total: u64) -> Vec<u64> {
    let weights: Vec<f64> = weights.iter().map(|w| if w.is_finite() { w.max(0.0) } else { 0.0 }).collect();
    let sum: f64 = weights.iter().sum();
    if sum <= 0.0 {
        return vec![0; weights.len()];
    }
    let quotas: Vec<f64> = weights.iter().map(|w| w / sum * total as f64).collect();
    let mut counts: Vec<u64> = quotas.iter().map(|quota| quota.floor() as u64).collect();
    let mut order: Vec<usize> = (0..weights.len()).filter(|row| weights[*row] > 0.0).collect();
    order.sort_by(|a, b| quotas[*b].fract().total_cmp(&quotas[*a].fract()).then(a.cmp(b)));
    let given: u64 = counts.iter().sum();
    // Rounding in the last bits may leave a quota a hair above or below a whole number.
    let missing = total.saturating_sub(given);
    order.iter().cycle().take(missing as usize).for_each(|source| counts[*source] += 1);
    counts
}

/// wᵢ ∝ min(nᵢ, K)^(1/T), adding up to 1; K is `rows_cap`.
pub fn temperature_weights(n_rows: &[u64], temperature: f64, rows_cap: Option<u64>) -> Vec<f64> {
    let capped = n_rows.iter().map(|n| rows_cap.map_or(*n, |cap| (*n).min(cap)));
    let powers: Vec<f64> = capped.map(|n| if n == 0 { 0.0 } else { (n as f64).powf(1.0 / temperature) }).collect();
    let sum: f64 = powers.iter().sum();
    powers.iter().map(|power| if sum > 0.0 { power / sum } else { 0.0 }).collect()
}

/// What a source gives.
#[derive(Clone, Debug, PartialEq)]
pub struct SourceShare {
    /// Rows that it has.
    pub n_rows: u64,
    /// Rows that it gives, repeats counted.
    pub n_given: u64,
    /// n_given / n_rows: above 1 every row is seen more than once on average; 0 for an empty source.
    pub epochs: f64,
}

/// Deals `total` rows over sources of these sizes by weight, each source at most `repeats_max` times over. The sum is less
/// than `total` where all sources together do not have that many.
pub fn mix(n_rows: &[u64], weights: &[f64], total: u64, repeats_max: u64) -> Result<Vec<SourceShare>> {
    if weights.len() != n_rows.len() {
        let expected = format!("{} weights, one for each source", n_rows.len());
        return Err(Error::setting("mix.weights", format!("{} weights", weights.len()), &expected));
    }
    if let Some(wrong) = weights.iter().find(|w| !w.is_finite() || **w < 0.0) {
        return Err(Error::setting("mix.weights", wrong, "finite and not negative"));
    }
    let limits: Vec<u64> = n_rows.iter().map(|n| n.saturating_mul(repeats_max)).collect();
    let given = capped_shares(weights, &limits, total);
    let share = |(n, n_given): (&u64, u64)| {
        let epochs = if *n == 0 { 0.0 } else { n_given as f64 / *n as f64 };
        SourceShare { n_rows: *n, n_given, epochs }
    };
    Ok(n_rows.iter().zip(given).map(share).collect())
}

/// Shares with a limit for each: who is over the limit gets the limit, and the rest is divided anew among the others.
pub(crate) fn capped_shares(weights: &[f64], limits: &[u64], total: u64) -> Vec<u64> {
    let mut is_full = vec![false; weights.len()];
    loop {
        let taken: u64 = limits.iter().zip(&is_full).filter(|(_, full)| **full).map(|(limit, _)| limit).sum();
        let open: Vec<f64> = weights.iter().zip(&is_full).map(|(w, full)| if *full { 0.0 } else { *w }).collect();
        let counts = shares(&open, total.saturating_sub(taken));
        let over: Vec<usize> = (0..counts.len()).filter(|source| counts[*source] > limits[*source]).collect();
        if over.is_empty() {
            let settle = |(source, count): (usize, &u64)| if is_full[source] { limits[source] } else { *count };
            return counts.iter().enumerate().map(settle).collect();
        }
        over.iter().for_each(|source| is_full[*source] = true);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn shares_by_hand() {
        for (weights, total, expected) in [
            (vec![0.5, 0.3, 0.2], 10, vec![5, 3, 2]),
            // Quotas 3.33, 3.33, 3.33: the first of equals gets the odd one.
            (vec![1.0, 1.0, 1.0], 10, vec![4, 3, 3]),
            // Quotas 1.4, 2.8, 2.8.
            (vec![1.0, 2.0, 2.0], 7, vec![1, 3, 3]),
            (vec![0.0, f64::NAN, -1.0], 5, vec![0, 0, 0]),
            (vec![0.0, 2.0], 5, vec![0, 5]),
            (vec![], 5, vec![]),
        ] {
            assert_eq!(shares(&weights, total), expected, "{weights:?}");
        }
    }

    /// mT5 quotes its own figures for α = 0.3; here by hand: 1000^0.3 = 7.943, 10^0.3 = 1.995.
    #[test]
    fn a_temperature_lifts_small_sources() {
        let weights = temperature_weights(&[1000, 10, 0], 1.0 / 0.3, None);
        assert!((weights[0] - 7.943 / 9.938).abs() < 1e-3 && weights[2] == 0.0, "{weights:?}");
        let by_size = temperature_weights(&[3, 1], 1.0, None);
        assert!((by_size[0] - 0.75).abs() < 1e-12);
        let capped = temperature_weights(&[1_000_000, 10], 1.0, Some(30));
        assert!((capped[0] - 0.75).abs() < 1e-12);
    }

    #[test]
    fn a_small_source_is_not_repeated_for_ever() {
        let mixed = mix(&[100, 10], &[0.5, 0.5], 100, 2).unwrap();
        assert_eq!(mixed.iter().map(|it| it.n_given).collect::<Vec<_>>(), [80, 20]);
        assert_eq!(mixed[1].epochs, 2.0);
        let all = mix(&[10, 5], &[1.0, 1.0], 1000, 1).unwrap();
        assert_eq!(all.iter().map(|it| it.n_given).collect::<Vec<_>>(), [10, 5], "there are no more");
        assert!(mix(&[1], &[1.0, 2.0], 1, 1).unwrap_err().to_string().contains("one for each source"));
        assert!(mix(&[1], &[-1.0], 1, 1).is_err());
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 128, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn shares_add_up_and_are_within_one_of_their_quota(
            weights in prop::collection::vec(0.0f64..10.0, 1..12), total in 0u64..5000
        ) {
            let counts = shares(&weights, total);
            let sum: f64 = weights.iter().sum();
            prop_assume!(sum > 0.0);
            prop_assert_eq!(counts.iter().sum::<u64>(), total);
            for (count, weight) in counts.iter().zip(&weights) {
                prop_assert!((*count as f64 - weight / sum * total as f64).abs() <= 1.0 + 1e-6);
            }
        }

        #[test]
        fn no_limit_is_passed_and_nothing_is_lost(
            sources in prop::collection::vec((0u64..50, 0.1f64..5.0), 1..10), total in 0u64..400
        ) {
            let (limits, weights): (Vec<u64>, Vec<f64>) = sources.into_iter().unzip();
            let counts = capped_shares(&weights, &limits, total);
            prop_assert!(counts.iter().zip(&limits).all(|(count, limit)| count <= limit));
            prop_assert_eq!(counts.iter().sum::<u64>(), total.min(limits.iter().sum()));
        }
    }
}
