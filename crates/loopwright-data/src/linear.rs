//! A small linear classifier on hashed n-grams: the second opinion of the label check.
//!
//! Features are words and pairs of words, hashed to 2¹⁵ places (Weinberger et al. 2009), each text's vector of length
//! one. Multinomial logistic regression, p = softmax(W·x), learned by stochastic gradient descent with a step that
//! shrinks linearly. Small sets of short texts need no more.

use crate::clean::exact_dedup::words;
use rand::{SeedableRng, seq::SliceRandom};
use rand_chacha::ChaCha8Rng;
use std::{borrow::Cow, convert::Infallible};
use xxhash_rust::xxh3::xxh3_64;

const PLACES: usize = 1 << 15;
const EPOCHS: usize = 6;
const RATE: f32 = 4.0;

/// The hashed n-grams of a text: place and weight, sorted by place, of Euclidean length one.
#[derive(Clone, Debug, PartialEq)]
pub struct Features(Vec<(u32, f32)>);

impl Features {
    /// The features of a text.
    pub fn of(text: &str) -> Self {
        let words = words(text);
        let words: Vec<&str> = words.split(' ').filter(|word| !word.is_empty()).collect();
        let pairs = words.windows(2).map(|pair| place(&pair.join(" ")));
        let mut places: Vec<u32> = words.iter().map(|word| place(word)).chain(pairs).collect();
        places.sort_unstable();
        let counted =
            places.chunk_by(|a, b| a == b).map(|same| (same[0], (same.len() as f32).sqrt())).collect::<Vec<_>>();
        let length = counted.iter().map(|(_, weight)| weight * weight).sum::<f32>().sqrt().max(f32::MIN_POSITIVE);
        Self(counted.into_iter().map(|(place, weight)| (place, weight / length)).collect())
    }

    /// Place and weight of each n-gram, by rising place.
    pub fn places(&self) -> &[(u32, f32)] {
        &self.0
    }
}

impl Features {
    /// Place and weight one after the other, four bytes each, little endian.
    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        self.0.iter().flat_map(|(place, weight)| [place.to_le_bytes(), weight.to_le_bytes()]).flatten().collect()
    }

    /// The features that [`Features::to_bytes`] wrote.
    pub(crate) fn from_bytes(bytes: &[u8]) -> Self {
        let four = |bytes: &[u8]| [bytes[0], bytes[1], bytes[2], bytes[3]];
        let pairs = bytes.chunks_exact(8);
        Self(pairs.map(|pair| (u32::from_le_bytes(four(pair)), f32::from_le_bytes(four(&pair[4..])))).collect())
    }
}

fn place(ngram: &str) -> u32 {
    (xxh3_64(ngram.as_bytes()) % PLACES as u64) as u32
}

/// A trained classifier of `n_labels` classes.
#[derive(Clone, Debug)]
pub struct Linear {
    n_labels: usize,
    /// Weights as [place, label], and one more row for the bias.
    weights: Vec<f32>,
}

impl Linear {
    /// Learns from rows (features and class below `n_labels`); the seed orders them.
    pub fn train(rows: &[(&Features, usize)], n_labels: usize, seed: u64) -> Self {
        let row = |index: usize| Ok::<_, Infallible>((Cow::Borrowed(rows[index].0), rows[index].1));
        let Ok(model) = Self::train_on(rows.len(), n_labels, seed, row);
        model
    }

    /// Learns from `n_rows` rows that are fetched one by one, each several times: [`Linear::train`] for rows that are
    /// kept elsewhere.
    pub(crate) fn train_on<'a, E>(
        n_rows: usize,
        n_labels: usize,
        seed: u64,
        row: impl Fn(usize) -> Result<(Cow<'a, Features>, usize), E>,
    ) -> Result<Self, E> {
        let mut model = Self { n_labels, weights: vec![0.0; (PLACES + 1) * n_labels] };
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        // Four bytes per row: the caller keeps to fewer rows than 2³².
        let mut order: Vec<u32> = (0..n_rows as u32).collect();
        let n_steps = (n_rows * EPOCHS).max(1) as f32;
        let mut step = 0.0;
        for _ in 0..EPOCHS {
            order.shuffle(&mut rng);
            for &index in &order {
                let (features, label) = row(index as usize)?;
                let mut error = model.probabilities(&features);
                error[label] -= 1.0;
                model.descend(&features, &error, RATE * (1.0 - step / n_steps));
                step += 1.0;
            }
        }
        Ok(model)
    }

    /// How many bytes a classifier of so many classes takes.
    pub(crate) fn size_bytes(n_labels: usize) -> u64 {
        ((PLACES + 1) * n_labels * size_of::<f32>()) as u64
    }

    fn descend(&mut self, features: &Features, error: &[f32], rate: f32) {
        let bias = (PLACES as u32, 0.1);
        for (place, weight) in features.0.iter().chain([&bias]) {
            let from = *place as usize * self.n_labels;
            for (w, e) in self.weights[from..from + self.n_labels].iter_mut().zip(error) {
                *w -= rate * weight * e;
            }
        }
    }

    /// The probability of each class.
    pub fn probabilities(&self, features: &Features) -> Vec<f32> {
        let mut scores: Vec<f32> = self.weights[PLACES * self.n_labels..].iter().map(|bias| bias * 0.1).collect();
        for (place, weight) in &features.0 {
            let from = *place as usize * self.n_labels;
            for (score, w) in scores.iter_mut().zip(&self.weights[from..from + self.n_labels]) {
                *score += weight * w;
            }
        }
        let max = scores.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        scores.iter_mut().for_each(|score| *score = (*score - max).exp());
        let total: f32 = scores.iter().sum();
        scores.iter_mut().for_each(|score| *score /= total);
        scores
    }

    /// The likeliest class.
    pub fn predict(&self, features: &Features) -> usize {
        let probabilities = self.probabilities(features);
        (0..self.n_labels).max_by(|a, b| probabilities[*a].total_cmp(&probabilities[*b])).unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_learns_what_separates_two_classes() {
        let texts = ["where is it", "where was it", "send the bill", "the bill please", "is it here", "bill it"];
        let features: Vec<Features> = texts.iter().map(|text| Features::of(text)).collect();
        let rows: Vec<(&Features, usize)> = features.iter().zip([0, 0, 1, 1, 0, 1]).collect();
        let model = Linear::train(&rows, 2, 7);
        assert!(rows.iter().all(|(features, label)| model.predict(features) == *label));
        let probabilities = model.probabilities(&Features::of("unheard words"));
        assert!((probabilities.iter().sum::<f32>() - 1.0).abs() < 1e-5);
        assert_eq!(Linear::train(&rows, 2, 7).weights, model.weights, "same seed, same weights");
    }

    #[test]
    fn features_survive_their_bytes() {
        for text in ["", "where is it", "the the the bill"] {
            let features = Features::of(text);
            assert_eq!(Features::from_bytes(&features.to_bytes()), features, "{text}");
        }
    }
}
