//! Losses on a scale that a Gaussian process can learn.
//!
//! Losses of one study often span orders of magnitude: a diverged run is a thousand times worse than the best one, and
//! would flatten all that matters. So a loss may become log(1 + (loss − best) / scale), linear near the best and
//! logarithmic far from it. Which scale fits, or none, the likelihood decides, in which the slope of the scaling counts
//! (the Jacobian; Snelson et al. 2004, "Warped Gaussian processes"). All are standardised.

/// Scales to choose from: the quantile of the distances to the best that they are.
const QUANTILES: [f64; 3] = [0.1, 0.3, 0.7];

/// Scaled losses with mean 0 and deviation 1, in the same order.
#[derive(Clone, Debug)]
pub(super) struct Warped {
    pub(super) y: Vec<f64>,
    /// Sum of the logs of the scaling's slopes, up to a constant that all scalings of the same losses share.
    pub(super) log_jacobian: f64,
}

/// The losses in several scalings, unscaled ones first.
pub(super) fn scalings(losses: &[f64]) -> Vec<Warped> {
    let best = losses.iter().copied().fold(f64::INFINITY, f64::min);
    // Halved, the distance of the two ends of the number range is a number, too.
    let distances: Vec<f64> = losses.iter().map(|loss| loss * 0.5 - best * 0.5).collect();
    let mut above: Vec<f64> = distances.iter().copied().filter(|distance| *distance > 0.0).collect();
    above.sort_by(f64::total_cmp);
    let Some(&most) = above.last() else { return vec![Warped { y: vec![0.0; losses.len()], log_jacobian: 0.0 }] };
    let distances: Vec<f64> = distances.iter().map(|distance| distance / most).collect();
    let logarithmic = QUANTILES.map(|quantile| {
        let scale = (above[(above.len() as f64 * quantile) as usize] / most).max(1e-300);
        let slopes = distances.iter().map(|distance| -(scale + distance).ln()).sum();
        standardise(distances.iter().map(|distance| (distance / scale).ln_1p()).collect(), slopes)
    });
    [standardise(distances.clone(), 0.0)].into_iter().chain(logarithmic).collect()
}

fn standardise(mut y: Vec<f64>, log_slopes: f64) -> Warped {
    let n = y.len() as f64;
    let mean = y.iter().sum::<f64>() / n;
    let deviation = (y.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / n).sqrt().max(1e-12);
    for value in &mut y {
        *value = (*value - mean) / deviation;
    }
    Warped { y, log_jacobian: log_slopes - n * deviation.ln() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn order_is_kept_and_outliers_are_tamed() {
        for warped in scalings(&[1.0, 2.0, 3.0, 1e300, -f64::MAX]) {
            let y = warped.y;
            assert!(y[4] < y[0] && y[0] <= y[1] && y[2] < y[3], "{y:?}");
        }
        let warped = &scalings(&[1.0, 1.1, 1.2, 1.3, 1e6])[1].y;
        assert!(warped[0] < warped[1] && warped[1] < warped[2] && warped[4] < 2.1, "{warped:?}");
        assert_eq!(scalings(&[3.0, 3.0])[0].y, [0.0, 0.0]);
    }
}
