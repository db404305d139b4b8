//! How different the rows of a set are from each other.
//!
//! | figure | meaning | source |
//! |---|---|---|
//! | distinct-n | different n-grams per n-gram, n = 1, 2, 3 words | Li et al. 2016, section 5 |
//! | self-overlap | share of a text's 3-grams that stand in another text too, mean over texts | after Self-BLEU, Zhu et al. 2018, without its brevity penalty |
//! | Vendi score | the number of rows that would be as diverse if all were wholly unlike: exp(−Σ λᵢ ln λᵢ) over the eigenvalues λ of K/n, K the cosines of the rows' embeddings | Friedman and Dieng 2023 |
//!
//! All of these change with the number of rows, so two sets are compared at the same number: each figure is the mean over
//! eight disjoint random samples of [`Settings::rows_sampled`] rows (of an eighth of the rows, where there are fewer), with
//! Student's 95% interval of that mean. A set is more diverse than another, measured alike, where their intervals do not
//! meet.

use crate::{
    Error, Result,
    clean::exact_dedup::words,
    eigen::eigenvalues,
    kmeans::{dot, unit_vectors},
    proportion::LEVEL,
};
use loopwright_types::score::Interval;
use rand::{SeedableRng, seq::SliceRandom};
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// Samples per figure.
pub const N_SAMPLES: usize = 8;
/// Student's t at 0.975 with seven degrees of freedom.
const T: f64 = 2.364_624_251_592_785;
/// Words per n-gram of the self-overlap.
const OVERLAP_WORDS: usize = 3;

/// How figures are measured.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// Rows per sample; the Vendi score takes the cube of it in time.
    pub rows_sampled: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Self { rows_sampled: 100 }
    }
}

/// The figures of a set.
#[derive(Clone, Debug, PartialEq)]
pub struct Diversity {
    /// Rows of the set.
    pub n_rows: u64,
    /// Rows per sample: what the figures must be compared at.
    pub rows_sampled: u64,
    /// Distinct-1, -2 and -3, from 0 to 1.
    pub distinct: [Interval; 3],
    /// Self-overlap, from 0 to 1; low is diverse.
    pub self_overlap: Interval,
    /// Vendi score, from 1 to the rows per sample.
    pub vendi: Interval,
}

/// Measures a set of texts with one embedding each. The seed draws the samples. Fails on fewer than two rows per sample,
/// and on embeddings that do not fit the texts.
pub fn measure(texts: &[&str], embeddings: &[Vec<f32>], settings: &Settings, seed: u64) -> Result<Diversity> {
    if texts.len() != embeddings.len() {
        let got = format!("{} embeddings", embeddings.len());
        return Err(Error::setting("embeddings", got, &format!("{}, one for each text", texts.len())));
    }
    let rows_sampled = settings.rows_sampled.min(texts.len() / N_SAMPLES);
    if rows_sampled < 2 {
        let got = format!("{rows_sampled} of {} rows", texts.len());
        return Err(Error::setting("diversity.rows_sampled", got, "2 or more, of at least 16 rows"));
    }
    let vectors = unit_vectors(embeddings)?;
    let mut rows: Vec<usize> = (0..texts.len()).collect();
    rows.shuffle(&mut ChaCha8Rng::seed_from_u64(seed));
    let figures: Vec<[f64; 5]> = rows[..rows_sampled * N_SAMPLES]
        .par_chunks(rows_sampled)
        .map(|rows| {
            let texts: Vec<&str> = rows.iter().map(|row| texts[*row]).collect();
            let vectors: Vec<&[f32]> = rows.iter().map(|row| vectors[*row].as_slice()).collect();
            let [one, two, three] = [1, 2, 3].map(|n| distinct(&texts, n));
            [one, two, three, self_overlap(&texts, OVERLAP_WORDS), vendi(&vectors)]
        })
        .collect();
    let interval = |figure: usize| mean_interval(figures.iter().map(|figures| figures[figure]));
    Ok(Diversity {
        n_rows: texts.len() as u64,
        rows_sampled: rows_sampled as u64,
        distinct: [0, 1, 2].map(interval),
        self_overlap: interval(3),
        vendi: interval(4),
    })
}

/// Student's interval of the mean of [`N_SAMPLES`] values.
fn mean_interval(values: impl Iterator<Item = f64> + Clone) -> Interval {
    let n = N_SAMPLES as f64;
    let mean = values.clone().sum::<f64>() / n;
    let variance = values.map(|value| (value - mean).powi(2)).sum::<f64>() / (n - 1.0);
    let half = T * (variance / n).sqrt();
    Interval { low: mean - half, point: mean, high: mean + half, level: LEVEL }
}

/// Different n-grams of words per n-gram; 1 where there is none.
///
/// ```
/// use loopwright_data::diversity::distinct;
///
/// assert_eq!(distinct(&["where is it", "Where is she?"], 1), 4.0 / 6.0);
/// assert_eq!(distinct(&["where is it", "Where is she?"], 2), 3.0 / 4.0);
/// ```
pub fn distinct(texts: &[&str], n: usize) -> f64 {
    let all: Vec<String> = texts.iter().flat_map(|text| ngrams(text, n)).collect();
    let n_different = all.iter().collect::<BTreeSet<_>>().len();
    if all.is_empty() { 1.0 } else { n_different as f64 / all.len() as f64 }
}

/// The mean over the texts of the share of their n-grams that stand in another text too. Texts without an n-gram do not
/// count; 0 where none has one.
pub fn self_overlap(texts: &[&str], n: usize) -> f64 {
    let sets: Vec<BTreeSet<String>> = texts.iter().map(|text| ngrams(text, n).collect()).collect();
    let mut n_texts: BTreeMap<&str, usize> = BTreeMap::new();
    sets.iter().flatten().for_each(|ngram| *n_texts.entry(ngram).or_default() += 1);
    let share = |set: &BTreeSet<String>| {
        let shared = set.iter().filter(|ngram| n_texts[ngram.as_str()] > 1).count();
        shared as f64 / set.len() as f64
    };
    let shares: Vec<f64> = sets.iter().filter(|set| !set.is_empty()).map(share).collect();
    if shares.is_empty() { 0.0 } else { shares.iter().sum::<f64>() / shares.len() as f64 }
}

fn ngrams(text: &str, n: usize) -> impl Iterator<Item = String> {
    let words: Vec<String> = words(text).split(' ').filter(|word| !word.is_empty()).map(str::to_string).collect();
    let ngrams: Vec<String> = words.windows(n.max(1)).map(|ngram| ngram.join(" ")).collect();
    ngrams.into_iter()
}

/// The Vendi score of vectors of length one: 1 if all are equal, their number if all are orthogonal. 0 without vectors.
///
/// ```
/// use loopwright_data::diversity::vendi;
///
/// let (a, b) = ([1.0_f32, 0.0], [0.0_f32, 1.0]);
/// assert!((vendi(&[&a, &b]) - 2.0).abs() < 1e-9);
/// assert!((vendi(&[&a, &a, &a]) - 1.0).abs() < 1e-9);
/// ```
pub fn vendi(vectors: &[&[f32]]) -> f64 {
    let n = vectors.len();
    if n == 0 {
        return 0.0;
    }
    let cosine = |i: usize, j: usize| if i == j { 1.0 } else { f64::from(dot(vectors[i], vectors[j])) };
    let kernel = (0..n).map(|i| (0..n).map(|j| cosine(i.min(j), i.max(j)) / n as f64).collect()).collect();
    // A kernel has no negative eigenvalue but by rounding.
    let entropy: f64 =
        eigenvalues(kernel).into_iter().filter(|value| *value > 1e-12).map(|value| -value * value.ln()).sum();
    entropy.exp()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::embed::HashedEmbedding;

    #[test]
    fn overlap_by_hand() {
        // The first two share `a b c` of two 3-grams each; the third stands alone; the fourth is too short.
        let texts = ["a b c d", "x a b c", "k l m n", "k l"];
        assert!((self_overlap(&texts, 3) - (0.5 + 0.5 + 0.0) / 3.0).abs() < 1e-12);
        assert_eq!((self_overlap(&[], 3), distinct(&[], 2)), (0.0, 1.0));
    }

    /// Two vectors at cosine c: eigenvalues (1 ± c)/2. For c = 0.6: −0.8 ln 0.8 − 0.2 ln 0.2 = 0.5004.
    #[test]
    fn a_vendi_score_by_hand() {
        let (a, b) = ([1.0, 0.0], [0.6, 0.8]);
        assert!((vendi(&[&a, &b]) - 0.500_402_423_538_188_f64.exp()).abs() < 1e-6);
        assert_eq!(vendi(&[]), 0.0);
    }

    #[test]
    fn a_varied_set_is_more_diverse_than_a_monotonous_one() {
        let varied: Vec<String> = (0..160).map(|n| format!("w{n} v{} u{} t{}", n * 3, n * 5 % 97, n * 7)).collect();
        let monotonous: Vec<String> = (0..160).map(|n| format!("where is my parcel number {}", n % 4)).collect();
        let measured = |texts: &[String]| {
            let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
            let vectors = HashedEmbedding::learn(&texts, 256).embed_all(&texts);
            measure(&texts, &vectors, &Settings::default(), 3).unwrap()
        };
        let (varied, monotonous) = (measured(&varied), measured(&monotonous));
        assert_eq!((varied.n_rows, varied.rows_sampled), (160, 20));
        assert!(varied.vendi.is_above(&monotonous.vendi), "{} {}", varied.vendi, monotonous.vendi);
        assert!(varied.distinct.iter().zip(&monotonous.distinct).all(|(a, b)| a.is_above(b)));
        assert!(monotonous.self_overlap.is_above(&varied.self_overlap));
    }

    #[test]
    fn too_few_rows_are_refused() {
        let error = measure(&["a"; 15], &vec![vec![1.0]; 15], &Settings::default(), 1).unwrap_err().to_string();
        assert_eq!(error, "`diversity.rows_sampled` is 1 of 15 rows, expected 2 or more, of at least 16 rows");
        assert!(measure(&["a"; 20], &[], &Settings::default(), 1).is_err());
    }
}
