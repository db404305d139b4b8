//! Losses on a scale that a Gaussian process can learn.
//!
//! Losses of one study often span orders of magnitude: a diverged run is a thousand times worse than the best one, and
//! would flatten all that matters. So a loss becomes log(1 + (loss − best) / scale), linear near the best and logarithmic
//! far from it, where the scale is a low quantile of the distances: it shrinks as the search closes in. The result is
//! standardised.

/// Which share of the points lies in the linear part.
const QUANTILE: f64 = 0.25;

/// Warped losses with mean 0 and deviation 1, in the same order.
pub(super) fn warp(losses: &[f64]) -> Vec<f64> {
    let best = losses.iter().copied().fold(f64::INFINITY, f64::min);
    // Halved, the distance of the two ends of the number range is a number, too.
    let mut distances: Vec<f64> = losses.iter().map(|loss| loss * 0.5 - best * 0.5).collect();
    distances.sort_by(f64::total_cmp);
    let above: Vec<f64> = distances.iter().copied().filter(|distance| *distance > 0.0).collect();
    let Some(&scale) = above.get((above.len() as f64 * QUANTILE) as usize) else { return vec![0.0; losses.len()] };
    let logs: Vec<f64> = losses.iter().map(|loss| ((loss * 0.5 - best * 0.5) / scale).ln_1p()).collect();
    standardise(logs)
}

fn standardise(mut values: Vec<f64>) -> Vec<f64> {
    let n = values.len() as f64;
    let mean = values.iter().sum::<f64>() / n;
    let deviation = (values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / n).sqrt();
    for value in &mut values {
        *value = (*value - mean) / deviation.max(1e-12);
    }
    values
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn order_is_kept_and_outliers_are_tamed() {
        let warped = warp(&[1.0, 2.0, 3.0, 1e300, -f64::MAX]);
        assert!(warped[4] < warped[0] && warped[0] <= warped[1] && warped[2] < warped[3]);
        let warped = warp(&[1.0, 1.1, 1.2, 1.3, 1e6]);
        assert!(warped[0] < warped[1] && warped[1] < warped[2] && warped[4] < 2.1, "{warped:?}");
        assert_eq!(warp(&[3.0, 3.0]), [0.0, 0.0]);
    }
}
