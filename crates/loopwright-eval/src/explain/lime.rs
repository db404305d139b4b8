//! LIME (Ribeiro, Singh and Guestrin 2016, "Why should I trust you?"): a linear model that imitates the real one
//! around one message.
//!
//! Each sample takes a random number of random segments out. With d the cosine distance between its mask and the whole
//! message (1 − √(share of segments kept)), the sample weighs √exp(−d²/width²), the kernel of the authors' own
//! implementation for texts, and a ridge regression on the masks gives one weight per segment.
//!
//! The draw is random, so the fit is repeated with other seeds; if the fits do not name the same strongest
//! segments, the explanation is marked as not stable.

use super::{CoalitionValues, checked_values, ridge::fit_ridge};
use crate::error::{Error, Result};
use rand::{RngExt, SeedableRng, seq::SliceRandom};
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

/// The most segments: a mask has 32 bits.
pub const N_SEGMENTS_MAX: usize = 32;
/// How many of the strongest segments must be the same in every fit.
const N_STRONGEST: usize = 3;
/// Coalitions asked for at once, at most.
const N_BATCH: usize = super::shapley::N_BATCH;

/// How to fit.
#[derive(Clone, Debug, PartialEq)]
pub struct LimeSettings {
    /// Samples per fit, the whole message among them.
    pub n_samples: usize,
    /// Fits with different seeds; the first one is reported.
    pub n_fits: u64,
    /// Width of the kernel, in cosine distance.
    pub width: f64,
    /// Strength of the ridge penalty.
    pub ridge: f64,
    /// Seed of the samples.
    pub seed: u64,
}

impl Default for LimeSettings {
    fn default() -> Self {
        Self { n_samples: 500, n_fits: 5, width: 0.25, ridge: 1.0, seed: 0 }
    }
}

/// A fitted explanation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LimeFit {
    /// One weight per segment, in the value function's unit.
    pub weights: Vec<f64>,
    /// The linear model's value without any segment.
    pub intercept: f64,
    /// Share of the (weighted) variance of the values that the linear model explains; 1 is a perfect imitation.
    pub r_squared: f64,
    /// Do all fits name the same strongest segments (up to three) with the same signs? If not, do not rely on the
    /// weights.
    pub is_stable: bool,
    /// Fits that were compared.
    pub n_fits: u64,
}

/// Fits the explanation of `n` segments (1 to [`N_SEGMENTS_MAX`]). `values_of` gives the value of each coalition of a
/// batch (bit i of a mask for segment i); masks may repeat.
///
/// ```
/// use loopwright_eval::explain::lime::{LimeSettings, fit};
/// // Worth 2 with segment 0, 1 less with segment 2; segment 1 does nothing.
/// let mut values = |masks: &[u32]| Ok(masks.iter().map(|m| 2.0 * f64::from(m & 1) - f64::from(m >> 2 & 1)).collect());
/// let lime = fit(3, &LimeSettings { ridge: 1e-9, ..Default::default() }, &mut values).unwrap();
/// assert!(lime.weights.iter().zip([2.0, 0.0, -1.0]).all(|(got, expected)| (got - expected).abs() < 1e-6));
/// assert!(lime.r_squared > 0.999999 && lime.is_stable);
/// ```
pub fn fit(n: usize, settings: &LimeSettings, values_of: &mut CoalitionValues<'_>) -> Result<LimeFit> {
    if n == 0 || n > N_SEGMENTS_MAX {
        return Err(Error::Input(format!("expected 1 to {N_SEGMENTS_MAX} segments for LIME, got {n}")));
    }
    if settings.n_samples <= n || settings.n_fits == 0 || settings.width <= 0.0 || settings.ridge <= 0.0 {
        return Err(Error::Input(format!(
            "expected more samples than segments ({n}), and positive settings, got {settings:?}"
        )));
    }
    let mut fits = (0..settings.n_fits).map(|stream| fit_once(n, settings, stream, values_of));
    let first = fits.next().expect("there is at least one fit")?;
    let mut is_stable = true;
    for other in fits {
        is_stable &= strongest(&first.weights) == strongest(&other?.weights);
    }
    Ok(LimeFit { is_stable, n_fits: settings.n_fits, ..first })
}

fn fit_once(n: usize, settings: &LimeSettings, stream: u64, values_of: &mut CoalitionValues<'_>) -> Result<LimeFit> {
    let mut rng = ChaCha8Rng::seed_from_u64(settings.seed);
    rng.set_stream(stream);
    let whole = u32::MAX >> (32 - n);
    let mut masks = vec![whole];
    masks.extend((1..settings.n_samples).map(|_| whole & !random_subset(n, &mut rng)));
    let mut values = Vec::with_capacity(masks.len());
    for batch in masks.chunks(N_BATCH) {
        values.extend(checked_values(batch, values_of)?);
    }
    let samples: Vec<Vec<f64>> = masks.iter().map(|m| (0..n).map(|i| f64::from(m >> i & 1)).collect()).collect();
    let weights: Vec<f64> = masks.iter().map(|mask| kernel(*mask, n, settings.width)).collect();
    let fit = fit_ridge(&samples, &values, &weights, settings.ridge)?;
    Ok(LimeFit { weights: fit.weights, intercept: fit.intercept, r_squared: fit.r_squared, is_stable: true, n_fits: 1 })
}

/// A random number from 1 to `n` of random segments.
fn random_subset(n: usize, rng: &mut ChaCha8Rng) -> u32 {
    let size = rng.random_range(1..=n);
    let mut order: Vec<u32> = (0..n as u32).collect();
    order.shuffle(rng);
    order[..size].iter().fold(0, |mask, i| mask | 1 << i)
}

fn kernel(mask: u32, n: usize, width: f64) -> f64 {
    let distance = 1.0 - (f64::from(mask.count_ones()) / n as f64).sqrt();
    (-distance * distance / (width * width)).exp().sqrt()
}

/// The strongest segments with their signs, ordered by position. All but one of a short message's segments at most:
/// otherwise their set would say nothing.
fn strongest(weights: &[f64]) -> Vec<(usize, bool)> {
    let mut order: Vec<usize> = (0..weights.len()).collect();
    order.sort_by(|a, b| weights[*b].abs().total_cmp(&weights[*a].abs()));
    order.truncate(N_STRONGEST.min(weights.len().saturating_sub(1)).max(1));
    order.sort_unstable();
    order.into_iter().map(|i| (i, weights[i] > 0.0)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(n: usize, seed: u64, value: impl Fn(u32) -> f64) -> LimeFit {
        let settings = LimeSettings { seed, ..LimeSettings::default() };
        fit(n, &settings, &mut |masks| Ok(masks.iter().map(|m| value(*m)).collect())).unwrap()
    }

    /// A value that no linear model can imitate, and in which no segment stands out.
    fn noise(mask: u32) -> f64 {
        f64::from(mask.wrapping_mul(2_654_435_761).rotate_left(13).wrapping_mul(40_503) >> 16) / 65_536.0
    }

    #[test]
    fn a_clear_segment_is_found_and_stable() {
        let lime =
            run(8, 1, |mask| 3.0 * f64::from(mask >> 5 & 1) + 1.5 * f64::from(mask & 1) - f64::from(mask >> 2 & 1));
        assert_eq!(strongest(&lime.weights), [(0, true), (2, false), (5, true)]);
        assert!(lime.is_stable && lime.r_squared > 0.95, "{lime:?}");
        assert!((lime.weights[5] - 3.0).abs() < 0.2, "{lime:?}");
    }

    #[test]
    fn noise_is_marked_as_unstable() {
        let lime = run(12, 1, noise);
        assert!(!lime.is_stable && lime.r_squared < 0.5, "{lime:?}");
    }

    #[test]
    fn the_same_seed_gives_the_same_bits() {
        assert_eq!(run(9, 4, noise), run(9, 4, noise));
        assert_ne!(run(9, 4, noise).weights, run(9, 5, noise).weights);
    }

    #[test]
    fn a_constant_is_imitated_by_nothing() {
        let lime = run(4, 1, |_| 2.0);
        assert_eq!((lime.weights, lime.intercept, lime.r_squared), (vec![0.0; 4], 2.0, 1.0));
    }

    /// The whole message weighs 1; with one of four segments left d = 1/2, so exp(−(1/2)²/(1/4)²)^(1/2) = e^−2.
    #[test]
    fn the_kernel_by_hand() {
        assert_eq!(kernel(0b1111, 4, 0.25), 1.0);
        assert!((kernel(0b0001, 4, 0.25) - (-2.0_f64).exp()).abs() < 1e-12);
    }

    #[test]
    fn one_segment_takes_all() {
        assert_eq!(strongest(&run(1, 1, f64::from).weights), [(0, true)]);
        assert!(fit(33, &LimeSettings::default(), &mut |m| Ok(vec![0.0; m.len()])).is_err());
        assert!(fit(3, &LimeSettings { n_samples: 3, ..Default::default() }, &mut |m| Ok(vec![0.0; m.len()])).is_err());
    }
}
