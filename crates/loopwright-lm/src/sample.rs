//! The choice of the next token from its logits.

use rand::RngExt;
use rand_chacha::ChaCha8Rng;

/// How to choose.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SampleSettings {
    /// Divides the logits; 0 takes the likeliest token always.
    pub temperature: f32,
    /// Chooses among the likeliest tokens that together reach this share (Holtzman et al. 2020).
    pub top_p: f32,
    /// Seed of the choices.
    pub seed: u64,
}

impl Default for SampleSettings {
    /// Greedy.
    fn default() -> Self {
        Self { temperature: 0.0, top_p: 1.0, seed: 0 }
    }
}

/// The number of the largest logit; the first of equals.
pub fn greedy(logits: &[f32]) -> u32 {
    let mut best = 0;
    for (i, logit) in logits.iter().enumerate() {
        if *logit > logits[best] {
            best = i;
        }
    }
    best as u32
}

/// Chooses one token of a vocabulary.
///
/// ```
/// use loopwright_lm::sample::{SampleSettings, pick};
/// use rand::SeedableRng;
/// let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(1);
/// // Token 2 has 88% of the probability, so a nucleus of 80% holds it alone.
/// let settings = SampleSettings { temperature: 1.0, top_p: 0.8, seed: 1 };
/// assert!((0..50).all(|_| pick(&[0.0, 1.0, 3.5], settings, &mut rng) == 2));
/// ```
pub fn pick(logits: &[f32], settings: SampleSettings, rng: &mut ChaCha8Rng) -> u32 {
    if settings.temperature <= 0.0 {
        return greedy(logits);
    }
    let mut shares: Vec<f32> = logits.iter().map(|logit| logit / settings.temperature).collect();
    crate::kernel::wide!(crate::kernel::softmax(&mut shares));
    let mut order: Vec<usize> = (0..shares.len()).collect();
    order.sort_by(|a, b| shares[*b].total_cmp(&shares[*a]).then(a.cmp(b)));
    let mut kept = 0.0;
    let n_kept = 1 + order
        .iter()
        .position(|token| {
            kept += shares[*token];
            kept >= settings.top_p
        })
        .unwrap_or(order.len().saturating_sub(1));
    let nucleus = &order[..n_kept.min(order.len())];
    let mut left = rng.random::<f32>() * nucleus.iter().map(|token| shares[*token]).sum::<f32>();
    let chosen = nucleus.iter().find(|token| {
        left -= shares[**token];
        left < 0.0
    });
    chosen.or(nucleus.last()).map_or(0, |token| *token as u32)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng;

    #[test]
    fn shares_are_those_of_the_tempered_softmax() {
        // Logits ln 1, ln 3 at temperature 0.5 give shares 1/10 and 9/10.
        let settings = SampleSettings { temperature: 0.5, top_p: 1.0, seed: 0 };
        let mut rng = ChaCha8Rng::seed_from_u64(3);
        let n = (0..10_000).filter(|_| pick(&[0.0, 3f32.ln()], settings, &mut rng) == 1).count();
        // Standard error √(0.09·10000) = 30; five of them.
        assert!((8_850..=9_150).contains(&n), "{n}");
    }

    #[test]
    fn greedy_takes_the_first_of_equals() {
        assert_eq!(greedy(&[1.0, 2.0, 2.0]), 1);
        let mut rng = ChaCha8Rng::seed_from_u64(0);
        assert_eq!(pick(&[1.0, 2.0, 2.0], SampleSettings::default(), &mut rng), 1);
    }
}
