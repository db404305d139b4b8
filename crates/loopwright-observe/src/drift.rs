//! Has the input changed? A two-sample test with a stated false-alarm rate.
//!
//! The statistic is the squared maximum mean discrepancy between the two samples (Gretton et al., "A Kernel Two-Sample
//! Test", JMLR 2012, the unbiased estimate of eq. 3):
//!
//! ```text
//! MMD² = mean over i≠j of k(x_i, x_j) + mean over i≠j of k(y_i, y_j) − 2 × mean of k(x_i, y_j)
//! ```
//!
//! with a kernel on the vectors of [`crate::features`]. Its p-value comes from permutations: rows are dealt anew to the
//! two samples `m` times, and `p = (b + 1) / (m + 1)` where `b` counts the deals whose statistic is at least the one
//! observed.
//!
//! **The guarantee.** If reference and window rows are exchangeable (drawn from one source, prepared in one way), then
//! `P(p ≤ alpha) ≤ alpha` exactly, at any number of rows: the observed deal is one of `m + 1` equally likely ones
//! (Phipson and Smyth 2010). Sums are taken in whole numbers, so equal deals compare as equal. Two things would break
//! exchangeability and are the caller's to avoid: a reference that was cleaned or deduplicated while the window was
//! not, and many rows of one author in one sample only.

mod gram;
mod moved;

use crate::{Error, Result, budget, features::FeatureSettings};
use gram::Gram;
use loopwright_types::{
    DatasetRef, Timestamp,
    drift::{DriftCheck, MovedTerm},
    id::DriftCheckId,
};
use rand::seq::{SliceRandom, index};
use rand_chacha::{ChaCha8Rng, rand_core::SeedableRng};
use rayon::prelude::*;

pub use moved::moved_terms;

/// Fewest rows of either sample.
pub const ROWS_MIN: usize = 10;

/// How rows are compared.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Kernel {
    /// The inner product of the rows: sees a change of how often words are used. Strong on shifts of topic.
    #[default]
    Cosine,
    /// `exp(−d² / 2s²)` with the median of the pooled distances as `s`: sees changes in how words go together, too.
    Gaussian,
}

/// How to test.
#[derive(Clone, Debug, PartialEq)]
pub struct DriftSettings {
    /// Alarm when the p-value is at most this; see [`budget::alpha_for`].
    pub alpha: f64,
    /// Permutations; at least `1/alpha − 1`, see [`budget::n_permutations_for`].
    pub n_permutations: u32,
    /// Seed of the subsample and the permutations.
    pub seed: u64,
    /// How texts become vectors.
    pub features: FeatureSettings,
    /// How vectors are compared.
    pub kernel: Kernel,
    /// Rows of both samples together; larger samples are thinned at random. Time and memory grow with its square.
    pub rows_max: usize,
    /// Moved words to tell at most.
    pub n_moved_max: usize,
}

impl Default for DriftSettings {
    /// Level 0.01, 1,999 permutations, cosine kernel, 2,000 rows, 12 words.
    fn default() -> Self {
        Self {
            alpha: 0.01,
            n_permutations: 1_999,
            seed: 0,
            features: FeatureSettings::default(),
            kernel: Kernel::default(),
            rows_max: 2_000,
            n_moved_max: 12,
        }
    }
}

/// What a check found.
#[derive(Clone, Debug, PartialEq)]
pub struct DriftResult {
    /// Which test: `mmd_permutation_cosine` or `mmd_permutation_gaussian`.
    pub test: &'static str,
    /// Squared maximum mean discrepancy; may be a little below 0.
    pub statistic: f64,
    /// Permutation p-value.
    pub p_value: f64,
    /// The level it was held against.
    pub alpha: f64,
    /// Is the p-value at most alpha?
    pub alarm: bool,
    /// The statistic in standard deviations of its permutation distribution, from that distribution's mean.
    pub effect: f64,
    /// Rows of the reference that were compared.
    pub n_reference: u64,
    /// Rows of the window that were compared.
    pub n_window: u64,
    /// Words whose frequency changed, the surest first; empty where nothing stands out of chance.
    pub moved: Vec<MovedTerm>,
}

impl DriftResult {
    /// The record of this check.
    pub fn record(
        &self,
        id: DriftCheckId,
        route: &str,
        reference: DatasetRef,
        window: &str,
        at: Timestamp,
    ) -> DriftCheck {
        DriftCheck {
            id,
            route: route.into(),
            reference,
            window: window.into(),
            n_reference: self.n_reference,
            n_window: self.n_window,
            test: self.test.into(),
            statistic: self.statistic,
            p_value: self.p_value,
            alpha: self.alpha,
            alarm: self.alarm,
            effect: self.effect,
            moved: self.moved.clone(),
            at,
        }
    }
}

/// Compares the window with the reference. CPU-bound, up to about a second: call it off the async runtime.
///
/// The result depends on the rows, their order and the settings only. Fails if a sample has fewer than [`ROWS_MIN`]
/// rows, or if the settings cannot alarm (too few permutations for alpha) or make no sense.
pub fn check(reference: &[String], window: &[String], settings: &DriftSettings) -> Result<DriftResult> {
    validate(reference.len(), window.len(), settings)?;
    let (n_x, n_y) = sample_sizes(reference.len(), window.len(), settings.rows_max);
    let mut rng = ChaCha8Rng::seed_from_u64(settings.seed);
    let mut pooled = thinned(reference, n_x, &mut rng);
    pooled.extend(thinned(window, n_y, &mut rng));
    let gram = Gram::of(&pooled, &settings.features, settings.kernel);
    // The statistic is symmetric, so only the smaller sample is summed.
    let (n_small, observed) = if n_x <= n_y { (n_x, gram.deal(0..n_x)) } else { (n_y, gram.deal(n_x..n_x + n_y)) };
    let deals: Vec<gram::Deal> =
        (0..settings.n_permutations).into_par_iter().map(|nth| permuted(&gram, n_small, settings.seed, nth)).collect();
    let n_reached = deals.iter().filter(|deal| deal.exact >= observed.exact).count();
    let p_value = (n_reached + 1) as f64 / (f64::from(settings.n_permutations) + 1.0);
    Ok(DriftResult {
        test: match settings.kernel {
            Kernel::Cosine => "mmd_permutation_cosine",
            Kernel::Gaussian => "mmd_permutation_gaussian",
        },
        statistic: observed.mmd2,
        p_value,
        alpha: settings.alpha,
        alarm: p_value <= settings.alpha,
        effect: effect(observed.mmd2, &deals),
        n_reference: n_x as u64,
        n_window: n_y as u64,
        moved: moved_terms(reference, window, settings.n_moved_max),
    })
}

fn validate(n_reference: usize, n_window: usize, settings: &DriftSettings) -> Result<()> {
    if n_reference.min(n_window) < ROWS_MIN {
        return Err(Error::invalid(format!(
            "a drift check needs at least {ROWS_MIN} rows on each side, got {n_reference} of the reference and {n_window} of the window"
        )));
    }
    if !(settings.alpha > 0.0 && settings.alpha < 1.0) {
        return Err(Error::invalid(format!("expected a level between 0 and 1, got {}", settings.alpha)));
    }
    if settings.n_permutations > budget::N_PERMUTATIONS_MAX {
        return Err(Error::invalid(format!(
            "expected at most {} permutations, got {}",
            budget::N_PERMUTATIONS_MAX,
            settings.n_permutations
        )));
    }
    if 1.0 / (f64::from(settings.n_permutations) + 1.0) > settings.alpha {
        let needed = (1.0 / settings.alpha).ceil() - 1.0;
        return Err(Error::invalid(format!(
            "{} permutations can never reach the level {}: expected at least {needed}",
            settings.n_permutations, settings.alpha
        )));
    }
    if !(2 * ROWS_MIN..=gram::ROWS_MAX).contains(&settings.rows_max) {
        return Err(Error::invalid(format!(
            "expected {} to {} rows at most, got {}",
            2 * ROWS_MIN,
            gram::ROWS_MAX,
            settings.rows_max
        )));
    }
    Ok(())
}

/// How many rows of each sample to keep: the larger one gives way first.
fn sample_sizes(n_x: usize, n_y: usize, rows_max: usize) -> (usize, usize) {
    let half = rows_max / 2;
    (n_x.min(half.max(rows_max.saturating_sub(n_y))), n_y.min(half.max(rows_max.saturating_sub(n_x))))
}

/// A uniform sample of `n` rows, in their order.
fn thinned<'a>(rows: &'a [String], n: usize, rng: &mut ChaCha8Rng) -> Vec<&'a str> {
    if n == rows.len() {
        return rows.iter().map(String::as_str).collect();
    }
    let mut kept = index::sample(rng, rows.len(), n).into_vec();
    kept.sort_unstable();
    kept.into_iter().map(|row| rows[row].as_str()).collect()
}

/// The statistic of the `nth` random deal. Each deal has its own stream of random numbers, so threads do not matter.
fn permuted(gram: &Gram, n_small: usize, seed: u64, nth: u32) -> gram::Deal {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    rng.set_stream(u64::from(nth) + 1);
    let mut rows: Vec<usize> = (0..gram.n_rows()).collect();
    let (dealt, _) = rows.partial_shuffle(&mut rng, n_small);
    dealt.sort_unstable();
    gram.deal(dealt.iter().copied())
}

fn effect(observed: f64, deals: &[gram::Deal]) -> f64 {
    let n = deals.len() as f64;
    let mean = deals.iter().map(|deal| deal.mmd2).sum::<f64>() / n;
    let variance = deals.iter().map(|deal| (deal.mmd2 - mean).powi(2)).sum::<f64>() / n;
    if variance > 0.0 { (observed - mean) / variance.sqrt() } else { 0.0 }
}

#[cfg(test)]
mod tests;
