//! Multinomial logistic regression on hashed n-grams, fitted by stochastic gradient descent.
//!
//! A text is a sparse vector x: count c of an n-gram becomes (1 + ln c)·ln((1 + N)/(1 + n_rows_with_it)), and x is
//! scaled to length 1. With weights W as [features, labels], p = softmax(xW + b), and a step for one row is
//! W ← W − η·xᵀ(p − y), which touches only the features of that row. η falls linearly to 0 over the epochs, which does
//! what averaging the weights does, without a second copy of them (Shamir and Zhang 2013).

use super::{Features, LabelledText, N_BUCKETS};
use crate::error::{Error, Result};
use rand::{SeedableRng, seq::SliceRandom};
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;
use std::collections::BTreeSet;

/// How to fit a [`Linear`] model. The defaults reach 91% on the test rows of BANKING77 (77 labels, 10,003 training rows).
#[derive(Clone, Debug, PartialEq)]
pub struct LinearSettings {
    /// Passes over the rows.
    pub n_epochs: u32,
    /// First learning rate.
    pub rate: f32,
    /// Seed of the order of the rows.
    pub seed: u64,
}

impl Default for LinearSettings {
    fn default() -> Self {
        Self { n_epochs: 6, rate: 4.0, seed: 0 }
    }
}

/// A fitted linear classifier.
///
/// ```
/// use loopwright_eval::baseline::{LabelledText, Linear, LinearSettings};
/// let rows = [("where is my card", "delivery"), ("card has not come", "delivery"), ("money back please", "refund"),
///     ("i want a refund", "refund")].map(|(text, label)| LabelledText { text, label });
/// let linear = Linear::fit(&rows, &LinearSettings::default()).unwrap();
/// assert_eq!(linear.predict("my card did not come"), "delivery");
/// assert_eq!(linear.predict("give my money back"), "refund");
/// ```
#[derive(Clone, Debug)]
pub struct Linear {
    labels: Vec<String>,
    /// Bucket → position among the features seen in training, or [`UNSEEN`].
    position: Vec<u32>,
    /// Inverse document frequency by position.
    idf: Vec<f32>,
    /// [features, labels], row by row.
    weights: Vec<f32>,
    bias: Vec<f32>,
}

const UNSEEN: u32 = u32::MAX;
/// The bias learns slower than the weights, since it moves on every row.
const BIAS_RATE: f32 = 0.05;

/// Positions with values, scaled to length 1.
type Row = Vec<(u32, f32)>;

impl Linear {
    /// Fits the model; the same rows in the same order and the same settings give the same bits.
    pub fn fit(train: &[LabelledText<'_>], settings: &LinearSettings) -> Result<Self> {
        if train.is_empty() {
            return Err(Error::Input("expected training rows, got none".into()));
        }
        let labels: BTreeSet<&str> = train.iter().map(|row| row.label).collect();
        let labels: Vec<String> = labels.into_iter().map(String::from).collect();
        let features: Vec<Features> = train.par_iter().map(|row| Features::of(row.text)).collect();
        let (position, idf) = vocabulary(&features);
        let mut model =
            Self { weights: vec![0.0; idf.len() * labels.len()], bias: vec![0.0; labels.len()], labels, position, idf };
        let rows: Vec<Row> = features.iter().map(|f| model.row(f)).collect();
        let targets: Vec<usize> = train.iter().map(|row| model.label_index(row.label)).collect();
        model.descend(&rows, &targets, settings);
        Ok(model)
    }

    /// The label with the highest score; ties go to the first in alphabetical order.
    pub fn predict(&self, text: &str) -> &str {
        let scores = self.scores(&self.row(&Features::of(text)));
        let best = (1..scores.len()).fold(0, |best, i| if scores[i] > scores[best] { i } else { best });
        &self.labels[best]
    }

    /// [`Linear::predict`] for many texts, in parallel.
    pub fn predict_all(&self, texts: &[&str]) -> Vec<String> {
        texts.par_iter().map(|text| self.predict(text).to_string()).collect()
    }

    /// The labels in the order of [`Linear::probabilities`].
    pub fn labels(&self) -> &[String] {
        &self.labels
    }

    /// The probability of each label.
    pub fn probabilities(&self, text: &str) -> Vec<f32> {
        let mut scores = self.scores(&self.row(&Features::of(text)));
        softmax(&mut scores);
        scores
    }

    fn label_index(&self, label: &str) -> usize {
        self.labels.binary_search_by(|l| l.as_str().cmp(label)).expect("labels were collected from the same rows")
    }

    fn row(&self, features: &Features) -> Row {
        let seen = features.0.iter().map(|(bucket, count)| (self.position[*bucket as usize], *count));
        let mut row: Row = seen
            .filter(|(position, _)| *position != UNSEEN)
            .map(|(position, count)| (position, (1.0 + (count as f32).ln()) * self.idf[position as usize]))
            .collect();
        let length = row.iter().map(|(_, value)| value * value).sum::<f32>().sqrt().max(f32::MIN_POSITIVE);
        row.iter_mut().for_each(|(_, value)| *value /= length);
        row
    }

    fn scores(&self, row: &Row) -> Vec<f32> {
        let mut scores = self.bias.clone();
        for (position, value) in row {
            let weights = &self.weights[*position as usize * self.labels.len()..][..self.labels.len()];
            scores.iter_mut().zip(weights).for_each(|(score, weight)| *score += value * weight);
        }
        scores
    }

    fn descend(&mut self, rows: &[Row], targets: &[usize], settings: &LinearSettings) {
        let mut rng = ChaCha8Rng::seed_from_u64(settings.seed);
        let mut order: Vec<usize> = (0..rows.len()).collect();
        let n_steps = (settings.n_epochs as usize * rows.len()) as f32;
        let mut step = 0.0;
        for _ in 0..settings.n_epochs {
            order.shuffle(&mut rng);
            for &i in &order {
                self.learn(&rows[i], targets[i], settings.rate * (1.0 - step / n_steps));
                step += 1.0;
            }
        }
    }

    fn learn(&mut self, row: &Row, target: usize, rate: f32) {
        let mut change = self.scores(row);
        softmax(&mut change);
        change[target] -= 1.0;
        change.iter_mut().for_each(|c| *c *= -rate);
        for (position, value) in row {
            let weights = &mut self.weights[*position as usize * self.labels.len()..][..self.labels.len()];
            weights.iter_mut().zip(&change).for_each(|(weight, change)| *weight += value * change);
        }
        self.bias.iter_mut().zip(&change).for_each(|(bias, change)| *bias += BIAS_RATE * change);
    }
}

/// Positions of the buckets that occur, in bucket order, and their inverse document frequencies.
fn vocabulary(features: &[Features]) -> (Vec<u32>, Vec<f32>) {
    let mut n_rows_with = vec![0_u32; N_BUCKETS];
    for (bucket, _) in features.iter().flat_map(|f| &f.0) {
        n_rows_with[*bucket as usize] += 1;
    }
    let mut position = vec![UNSEEN; N_BUCKETS];
    let mut idf = Vec::new();
    for (bucket, n) in n_rows_with.iter().enumerate().filter(|(_, n)| **n > 0) {
        position[bucket] = idf.len() as u32;
        idf.push(((1.0 + features.len() as f32) / (1.0 + *n as f32)).ln() + 1.0);
    }
    (position, idf)
}

fn softmax(scores: &mut [f32]) {
    let max = scores.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    scores.iter_mut().for_each(|score| *score = (*score - max).exp());
    let sum: f32 = scores.iter().sum();
    scores.iter_mut().for_each(|score| *score /= sum);
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::RngExt;

    /// Rows of two or three words of their label among ten words that mean nothing.
    fn rows(n: usize, n_labels: usize, seed: u64) -> Vec<(String, String)> {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let word = |family: &str, i: usize| format!("{family}{}", (b'a' + i as u8) as char);
        let row = |_| {
            let label = rng.random_range(0..n_labels);
            let mut words: Vec<String> = (0..10).map(|_| word("noise", rng.random_range(0..26))).collect();
            words[rng.random_range(0..10)] = format!("{}{label}", word("sign", rng.random_range(0..3)));
            (words.join(" "), format!("label {label:02}"))
        };
        (0..n).map(row).collect()
    }

    fn labelled(rows: &[(String, String)]) -> Vec<LabelledText<'_>> {
        rows.iter().map(|(text, label)| LabelledText { text, label }).collect()
    }

    #[test]
    fn it_finds_the_words_that_matter() {
        let (train, test) = (rows(1500, 12, 1), rows(300, 12, 2));
        let linear = Linear::fit(&labelled(&train), &LinearSettings::default()).unwrap();
        let n_right = test.iter().filter(|(text, label)| linear.predict(text) == label).count();
        assert!(n_right >= 285, "{n_right} of 300");
        let sum: f32 = linear.probabilities(&test[0].0).iter().sum();
        assert!((sum - 1.0).abs() < 1e-5);
    }

    #[test]
    fn the_same_seed_gives_the_same_bits() {
        let train = rows(200, 5, 1);
        let fit = || Linear::fit(&labelled(&train), &LinearSettings::default()).unwrap();
        assert!(fit().weights.iter().zip(&fit().weights).all(|(a, b)| a.to_bits() == b.to_bits()));
    }

    /// A step on one row against the gradient of its loss by finite differences.
    #[test]
    fn a_step_follows_the_gradient() {
        let train = rows(40, 4, 3);
        let mut model = Linear::fit(&labelled(&train), &LinearSettings::default()).unwrap();
        let (row, target) = (model.row(&Features::of(&train[0].0)), model.label_index(&train[0].1));
        let loss = |model: &Linear| {
            let mut p = model.scores(&row);
            softmax(&mut p);
            -f64::from(p[target]).ln()
        };
        let before = model.clone();
        model.learn(&row, target, 1.0);
        let at = row[0].0 as usize * model.labels.len() + target;
        let step = model.weights[at] - before.weights[at];
        let (mut up, mut down) = (before.clone(), before.clone());
        up.weights[at] += 1e-2;
        down.weights[at] -= 1e-2;
        let slope = (loss(&up) - loss(&down)) / 2e-2;
        assert!((f64::from(step) + slope).abs() < 1e-4 + 0.01 * slope.abs(), "step {step}, slope {slope}");
    }

    #[test]
    fn a_text_of_unseen_words_still_gets_a_label() {
        let train = rows(20, 3, 1);
        let linear = Linear::fit(&labelled(&train), &LinearSettings::default()).unwrap();
        assert!(linear.labels().iter().any(|label| label == linear.predict("§§§")));
        assert!(Linear::fit(&[], &LinearSettings::default()).is_err());
    }
}
