//! Shapley values (Shapley 1953, "A value for n-person games"), exact over all coalitions.
//!
//! φᵢ = Σ over S without i of |S|!·(n − |S| − 1)!/n! · (v(S ∪ {i}) − v(S)). They are the only weights that add up to
//! v(all) − v(none), treat equal segments equally, give nothing to a segment that changes nothing, and add up over
//! games.

use super::{CoalitionValues, checked_values};
use crate::error::{Error, Result};
use serde::{Deserialize, Serialize};

/// The most segments that are enumerated: 2^14 = 16,384 coalitions.
pub const N_SEGMENTS_MAX: usize = 14;
/// Coalitions asked for at once, at most.
pub const N_BATCH: usize = 256;
/// Relative error allowed in "the values add up".
const EFFICIENCY_TOLERANCE: f64 = 1e-9;

/// Exact Shapley values.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ShapleyValues {
    /// One per segment, in the value function's unit.
    pub values: Vec<f64>,
    /// Value of the empty coalition.
    pub empty: f64,
    /// Value of all segments together.
    pub full: f64,
}

/// The Shapley values of `n` segments. `values_of` gives the value of each coalition of a batch (bit i of a mask for
/// segment i) and is asked for all 2ⁿ of them, in ascending order, [`N_BATCH`] at a time.
///
/// ```
/// use loopwright_eval::explain::shapley::exact;
/// // Gloves: segment 0 holds a left one, 1 and 2 a right one each; a pair is worth 1.
/// let mut gloves = |masks: &[u32]| Ok(masks.iter().map(|m| f64::from(u8::from(m & 1 == 1 && m & 6 != 0))).collect());
/// let phi = exact(3, &mut gloves).unwrap().values;
/// assert!([4.0 / 6.0, 1.0 / 6.0, 1.0 / 6.0].iter().zip(&phi).all(|(a, b)| (a - b).abs() < 1e-12));
/// ```
pub fn exact(n: usize, values_of: &mut CoalitionValues<'_>) -> Result<ShapleyValues> {
    if n == 0 || n > N_SEGMENTS_MAX {
        return Err(Error::Input(format!(
            "expected 1 to {N_SEGMENTS_MAX} segments for exact Shapley values, got {n}\nhint: merge neighbouring segments"
        )));
    }
    let masks: Vec<u32> = (0..1_u32 << n).collect();
    let mut v = Vec::with_capacity(masks.len());
    for batch in masks.chunks(N_BATCH) {
        v.extend(checked_values(batch, values_of)?);
    }
    let weights = weights_by_size(n);
    let contribution = |i: usize| -> f64 {
        let without = masks.iter().filter(|mask| **mask >> i & 1 == 0);
        without.map(|s| weights[s.count_ones() as usize] * (v[(s | 1 << i) as usize] - v[*s as usize])).sum()
    };
    let values: Vec<f64> = (0..n).map(contribution).collect();
    let shapley = ShapleyValues { values, empty: v[0], full: v[v.len() - 1] };
    let largest = v.iter().fold(1.0, |max: f64, value| max.max(value.abs()));
    shapley.check_efficiency(EFFICIENCY_TOLERANCE * largest)?;
    Ok(shapley)
}

impl ShapleyValues {
    /// How far the values are from adding up to the value of all segments less that of none.
    pub fn efficiency_gap(&self) -> f64 {
        (self.values.iter().sum::<f64>() - (self.full - self.empty)).abs()
    }

    fn check_efficiency(&self, tolerance: f64) -> Result<()> {
        let gap = self.efficiency_gap();
        if gap <= tolerance {
            return Ok(());
        }
        Err(Error::Bug(format!("expected Shapley values to add up within {tolerance:e}, but they miss by {gap:e}")))
    }
}

/// |S|!·(n − |S| − 1)!/n! for each size of S: 1/(n·C(n − 1, |S|)).
fn weights_by_size(n: usize) -> Vec<f64> {
    let mut choose = 1.0;
    (0..n)
        .map(|size| {
            let weight = 1.0 / (n as f64 * choose);
            choose = choose * (n - 1 - size) as f64 / (size + 1) as f64;
            weight
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(n: usize, value: impl Fn(u32) -> f64, expected: &[f64]) {
        let got = exact(n, &mut |masks| Ok(masks.iter().map(|m| value(*m)).collect())).unwrap();
        assert!(got.efficiency_gap() < 1e-9, "{got:?}");
        for (got, expected) in got.values.iter().zip(expected) {
            assert!((got - expected).abs() < 1e-9, "got {got}, expected {expected}");
        }
    }

    #[test]
    fn an_additive_game_gives_each_its_own() {
        let own = [3.0, -1.0, 0.0, 2.5];
        check(4, |mask| 7.0 + (0..4).filter(|i| mask >> i & 1 == 1).map(|i| own[i]).sum::<f64>(), &own);
    }

    #[test]
    fn a_symmetric_game_is_shared_equally() {
        check(5, |mask| f64::from(mask.count_ones().pow(2)), &[5.0; 5]);
    }

    /// Voters with 3, 2 and 1 votes, 4 needed. Of the six orders the first is pivotal in 4, each other in 1.
    #[test]
    fn a_weighted_vote_by_hand() {
        let votes = |mask: u32| (mask & 1) * 3 + (mask >> 1 & 1) * 2 + (mask >> 2 & 1);
        check(3, |mask| f64::from(u8::from(votes(mask) >= 4)), &[4.0 / 6.0, 1.0 / 6.0, 1.0 / 6.0]);
    }

    /// All 14 segments: an interaction of two is shared by these two, and batches are put together rightly.
    #[test]
    fn the_largest_game_is_exact() {
        let mut expected = [0.0; 14];
        (expected[0], expected[13]) = (0.5, 0.5);
        check(14, |mask| f64::from(u8::from(mask & 0x2001 == 0x2001)), &expected);
    }

    #[test]
    fn too_many_segments_are_refused_with_a_way_out() {
        let error = exact(15, &mut |masks| Ok(vec![0.0; masks.len()])).unwrap_err().to_string();
        assert!(error.contains("got 15") && error.contains("hint: merge"), "{error}");
    }
}
