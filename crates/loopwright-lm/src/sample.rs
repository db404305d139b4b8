//! The choice of the next token from its logits.

use crate::kernel::{max, softmax, wide};
use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use std::collections::{BTreeMap, HashMap, HashSet};

/// How to choose.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SampleSettings {
    /// Divides the logits; 0 takes the likeliest token always.
    pub temperature: f32,
    /// Chooses among the likeliest tokens that together reach this share (Holtzman et al. 2020).
    pub top_p: f32,
    /// Chooses among so many of the likeliest tokens (Fan et al. 2018); 0 among all.
    pub top_k: u32,
    /// Chooses among tokens that are at least this fraction as likely as the likeliest (Nguyen et al. 2024).
    pub min_p: f32,
    /// Seed of the choices.
    pub seed: u64,
}

impl Default for SampleSettings {
    /// Greedy.
    fn default() -> Self {
        Self { temperature: 0.0, top_p: 1.0, top_k: 0, min_p: 0.0, seed: 0 }
    }
}

/// What is changed on the logits before a choice.
#[derive(Clone, Debug, PartialEq)]
pub struct Adjustments {
    /// Taken off the logit of every token that was written already.
    pub presence_penalty: f32,
    /// Taken off the logit of a token for each time that it was written.
    pub frequency_penalty: f32,
    /// Divides positive logits and multiplies negative ones of tokens that were read or written (Keskar et al. 2019).
    pub repetition_penalty: f32,
    /// Added to the logits of these tokens.
    pub bias: BTreeMap<u32, f32>,
}

impl Default for Adjustments {
    /// None.
    fn default() -> Self {
        Self { presence_penalty: 0.0, frequency_penalty: 0.0, repetition_penalty: 1.0, bias: BTreeMap::new() }
    }
}

impl Adjustments {
    /// Changes the logits of the token that comes next, given what was read and how often each token was written.
    ///
    /// ```
    /// use loopwright_lm::sample::Adjustments;
    /// use std::collections::HashMap;
    /// let adjust = Adjustments { presence_penalty: 0.5, frequency_penalty: 0.25, ..Adjustments::default() };
    /// let mut logits = [1.0, 1.0];
    /// adjust.apply(&mut logits, &[], &HashMap::from([(1, 2)]));
    /// assert_eq!(logits, [1.0, 0.0]);
    /// ```
    pub fn apply(&self, logits: &mut [f32], read: &[u32], written: &HashMap<u32, u32>) {
        if self.repetition_penalty != 1.0 {
            let tokens: HashSet<u32> = read.iter().chain(written.keys()).copied().collect();
            for token in tokens {
                if let Some(logit) = logits.get_mut(token as usize) {
                    let factor = self.repetition_penalty;
                    *logit = if *logit > 0.0 { *logit / factor } else { *logit * factor };
                }
            }
        }
        if self.presence_penalty != 0.0 || self.frequency_penalty != 0.0 {
            for (token, times) in written {
                if let Some(logit) = logits.get_mut(*token as usize) {
                    *logit -= self.presence_penalty + self.frequency_penalty * *times as f32;
                }
            }
        }
        for (token, bias) in &self.bias {
            if let Some(logit) = logits.get_mut(*token as usize) {
                *logit += bias;
            }
        }
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
/// let settings = SampleSettings { temperature: 1.0, top_p: 0.8, ..SampleSettings::default() };
/// assert!((0..50).all(|_| pick(&[0.0, 1.0, 3.5], settings, &mut rng) == 2));
/// ```
pub fn pick(logits: &[f32], settings: SampleSettings, rng: &mut ChaCha8Rng) -> u32 {
    if settings.temperature <= 0.0 {
        return greedy(logits);
    }
    let mut shares: Vec<f32> = logits.iter().map(|logit| logit / settings.temperature).collect();
    wide!(softmax(&mut shares));
    let likeliest = wide!(max(&shares));
    // What a nucleus leaves out sums to less than 1 − top_p; a token below its part of that is never in it.
    let nucleus_least = if settings.top_p < 1.0 { (1.0 - settings.top_p) / shares.len() as f32 } else { 0.0 };
    let least = (settings.min_p * likeliest).max(nucleus_least).min(likeliest);
    let mut order: Vec<u32> = (0..).zip(&shares).filter(|(_, share)| **share >= least).map(|(i, _)| i).collect();
    let share = |token: &u32| shares[*token as usize];
    if settings.top_p < 1.0 || (1..order.len()).contains(&(settings.top_k as usize)) {
        order.sort_unstable_by(|a, b| share(b).total_cmp(&share(a)).then(a.cmp(b)));
        if settings.top_k > 0 {
            order.truncate(settings.top_k as usize);
        }
        let wanted = settings.top_p * if settings.top_k > 0 { order.iter().map(share).sum::<f32>() } else { 1.0 };
        let mut kept = 0.0;
        let reached = order.iter().position(|token| {
            kept += share(token);
            kept >= wanted
        });
        order.truncate(reached.map_or(order.len(), |last| last + 1));
    }
    let mut left = rng.random::<f32>() * order.iter().map(share).sum::<f32>();
    let chosen = order.iter().find(|token| {
        left -= share(token);
        left < 0.0
    });
    chosen.or(order.last()).copied().unwrap_or_default()
}

/// The log-probability of a token, and the likeliest so many tokens with theirs, the likeliest first.
///
/// ```
/// use loopwright_lm::sample::log_probabilities;
/// // e^0 + e^ln3 = 4.
/// let (of_0, top) = log_probabilities(&[0.0, 3f32.ln()], 0, 1);
/// assert!((of_0 - 0.25f32.ln()).abs() < 1e-6);
/// assert_eq!(top[0].0, 1);
/// ```
pub fn log_probabilities(logits: &[f32], token: u32, n: usize) -> (f32, Vec<(u32, f32)>) {
    let mut shares = logits.to_vec();
    let log_sum = wide!(softmax(&mut shares));
    let of = |token: u32| logits.get(token as usize).map_or(f32::NEG_INFINITY, |logit| logit - log_sum);
    let mut order: Vec<u32> = (0..logits.len() as u32).collect();
    let by_logit = |a: &u32, b: &u32| logits[*b as usize].total_cmp(&logits[*a as usize]).then(a.cmp(b));
    if n > 0 && n < order.len() {
        order.select_nth_unstable_by(n - 1, by_logit);
    }
    order.truncate(n);
    order.sort_unstable_by(by_logit);
    (of(token), order.into_iter().map(|token| (token, of(token))).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng;

    #[test]
    fn shares_are_those_of_the_tempered_softmax() {
        // Logits ln 1, ln 3 at temperature 0.5 give shares 1/10 and 9/10.
        let settings = SampleSettings { temperature: 0.5, ..SampleSettings::default() };
        let mut rng = ChaCha8Rng::seed_from_u64(3);
        let n = (0..10_000).filter(|_| pick(&[0.0, 3f32.ln()], settings, &mut rng) == 1).count();
        // Standard error √(0.09·10000) = 30; five of them.
        assert!((8_850..=9_150).contains(&n), "{n}");
    }

    #[test]
    fn only_the_likeliest_are_chosen_where_that_is_asked_for() {
        // Shares 8/15, 4/15, 2/15, 1/15 of tokens 3, 1, 0, 2.
        let logits = [2f32.ln(), 4f32.ln(), 1f32.ln(), 8f32.ln()];
        let chosen = |settings: SampleSettings| {
            let mut rng = ChaCha8Rng::seed_from_u64(5);
            let mut seen: Vec<u32> = (0..400).map(|_| pick(&logits, settings, &mut rng)).collect();
            seen.sort_unstable();
            seen.dedup();
            seen
        };
        let plain = SampleSettings { temperature: 1.0, ..SampleSettings::default() };
        assert_eq!(chosen(plain), [0, 1, 2, 3]);
        assert_eq!(chosen(SampleSettings { top_k: 2, ..plain }), [1, 3]);
        assert_eq!(chosen(SampleSettings { min_p: 0.2, ..plain }), [0, 1, 3]);
        assert_eq!(chosen(SampleSettings { top_p: 0.7, ..plain }), [1, 3]);
        // Of the two likeliest, 8/12 and 4/12, the first alone reaches 0.6.
        assert_eq!(chosen(SampleSettings { top_k: 2, top_p: 0.6, ..plain }), [3]);
        assert_eq!(chosen(SampleSettings { top_k: 9, min_p: 1.0, ..plain }), [3]);
    }

    #[test]
    fn what_was_read_or_written_becomes_less_likely_and_biases_add() {
        let adjust = Adjustments {
            presence_penalty: 1.0,
            frequency_penalty: 0.5,
            repetition_penalty: 2.0,
            bias: BTreeMap::from([(2, -3.0), (9, 1.0)]),
        };
        let mut logits = [4.0, -2.0, 1.0, 6.0];
        adjust.apply(&mut logits, &[1, 3], &HashMap::from([(0, 2)]));
        assert_eq!(logits, [4.0 / 2.0 - 1.0 - 2.0 * 0.5, -4.0, -2.0, 3.0]);
        let mut same = [4.0, -2.0];
        Adjustments::default().apply(&mut same, &[0], &HashMap::from([(1, 5)]));
        assert_eq!(same, [4.0, -2.0]);
    }

    #[test]
    fn alternatives_come_likeliest_first() {
        let logits = [0.0, 2.0, 1.0, 2.0];
        let (of_2, top) = log_probabilities(&logits, 2, 3);
        assert_eq!(top.iter().map(|(token, _)| *token).collect::<Vec<_>>(), [1, 3, 2]);
        assert!((top[2].1 - of_2).abs() < 1e-6);
        assert_eq!(log_probabilities(&logits, 2, 0).1, []);
        assert_eq!(log_probabilities(&logits, 2, 20).1.len(), 4);
    }

    #[test]
    fn greedy_takes_the_first_of_equals() {
        assert_eq!(greedy(&[1.0, 2.0, 2.0]), 1);
        let mut rng = ChaCha8Rng::seed_from_u64(0);
        assert_eq!(pick(&[1.0, 2.0, 2.0], SampleSettings::default(), &mut rng), 1);
    }
}
