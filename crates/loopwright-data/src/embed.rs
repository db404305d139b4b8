//! Vectors of texts without a model: hashed n-grams with signs.
//!
//! Each word and each pair of words adds idf · ±1 to one of `width` places, place and sign by its hash (Weinberger et al.
//! 2009, "Feature Hashing for Large Scale Multitask Learning"): in expectation the inner product of two vectors is that of
//! the whole n-gram vectors. So they see which words two texts share, and nothing of what the words mean. Where an
//! embedding model is at hand, its vectors serve better; everything here takes either.

use crate::clean::exact_dedup::words;
use rayon::prelude::*;
use std::collections::HashMap;
use xxhash_rust::xxh3::xxh3_64;

/// How much each n-gram counts, learned from the texts of a set.
#[derive(Clone, Debug)]
pub struct HashedEmbedding {
    width: usize,
    n_texts: usize,
    n_with: HashMap<u64, u32>,
}

impl HashedEmbedding {
    /// Learns the inverse document frequencies of these texts. A width of some hundred keeps collisions rare enough for
    /// messages; it is at least 1.
    pub fn learn(texts: &[&str], width: usize) -> Self {
        let hashes: Vec<Vec<u64>> = texts
            .par_iter()
            .map(|text| {
                let mut hashes = ngrams(text);
                hashes.sort_unstable();
                hashes.dedup();
                hashes
            })
            .collect();
        let mut n_with = HashMap::new();
        hashes.iter().flatten().for_each(|hash| *n_with.entry(*hash).or_default() += 1);
        Self { width: width.max(1), n_texts: texts.len(), n_with }
    }

    /// The vector of a text, of length one (of zeros for a text without words).
    pub fn embed(&self, text: &str) -> Vec<f32> {
        let mut vector = vec![0.0_f32; self.width];
        for hash in ngrams(text) {
            let n_with = self.n_with.get(&hash).copied().unwrap_or(0);
            let idf = ((1.0 + self.n_texts as f32) / (1.0 + n_with as f32)).ln() + 1.0;
            let sign = if hash >> 63 == 0 { 1.0 } else { -1.0 };
            vector[(hash % self.width as u64) as usize] += sign * idf;
        }
        let length = vector.iter().map(|value| value * value).sum::<f32>().sqrt().max(f32::MIN_POSITIVE);
        vector.iter_mut().for_each(|value| *value /= length);
        vector
    }

    /// The vectors of many texts.
    pub fn embed_all(&self, texts: &[&str]) -> Vec<Vec<f32>> {
        texts.par_iter().map(|text| self.embed(text)).collect()
    }
}

fn ngrams(text: &str) -> Vec<u64> {
    let words = words(text);
    let words: Vec<&str> = words.split(' ').filter(|word| !word.is_empty()).collect();
    let pairs = words.windows(2).map(|pair| xxh3_64(pair.join(" ").as_bytes()));
    words.iter().map(|word| xxh3_64(word.as_bytes())).chain(pairs).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kmeans::dot;

    #[test]
    fn texts_that_share_rare_words_are_close() {
        let texts = ["where is the parcel", "the parcel is lost", "send the bill", "the bill is wrong"];
        let embedding = HashedEmbedding::learn(&texts, 512);
        let vectors = embedding.embed_all(&texts);
        assert!(vectors.iter().all(|vector| (dot(vector, vector) - 1.0).abs() < 1e-5));
        assert!(dot(&vectors[0], &vectors[1]) > dot(&vectors[0], &vectors[2]) + 0.1);
        assert_eq!(embedding.embed("Where is: the PARCEL?"), vectors[0]);
        assert!(embedding.embed("?!").iter().all(|value| *value == 0.0));
    }
}
