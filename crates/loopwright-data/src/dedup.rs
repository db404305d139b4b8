//! Near-duplicates: sets of character n-grams, their MinHash signatures, and clusters of rows that share most of them.
//!
//! MinHash (Broder 1997) gives each text a short signature so that two signatures agree in a place with the probability
//! of the sets' Jaccard similarity. Locality-sensitive hashing cuts signatures into bands; rows that agree in a whole
//! band are candidates, found with probability 1 − (1 − sʳ)ᵇ at similarity s with b bands of r places. Candidates are
//! compared by their real similarity, so a wrong candidate costs time and never a row. Texts here are short messages, so
//! the sets are of characters rather than of words: one mistyped word breaks few of them.

use crate::{Error, Result, clean::exact_dedup::words};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use xxhash_rust::xxh3::xxh3_64;

/// Seed of the hash functions. It is part of the method, not of an experiment: a dataset's seed does not change it.
const HASH_SEED: u64 = 0x6c6f_6f70;
/// Candidates of one bucket are compared pair by pair up to this many rows; beyond, each with the first only.
pub(crate) const PAIRED_ROWS_MAX: usize = 48;

/// How near-duplicates are found.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct NearSettings {
    /// Jaccard similarity from which two texts are near-duplicates, from 0 to 1.
    pub threshold: f64,
    /// Length of the n-grams, in characters.
    pub shingle_chars: usize,
    /// Bands of a signature.
    pub bands: usize,
    /// Places per band.
    pub rows_per_band: usize,
}

impl Default for NearSettings {
    fn default() -> Self {
        Self { threshold: 0.8, shingle_chars: 5, bands: 14, rows_per_band: 8 }
    }
}

impl NearSettings {
    /// Settings for rows that are alike but not near-duplicates: more bands of fewer places find them, too.
    pub fn looser(threshold: f64) -> Self {
        Self { threshold, shingle_chars: 5, bands: 28, rows_per_band: 4 }
    }

    /// Refuses settings that make no sense, naming them as settings of `step`.
    pub fn check(&self, step: &str) -> Result<()> {
        if !(self.threshold > 0.0 && self.threshold <= 1.0) {
            return Err(Error::setting(&format!("{step}.threshold"), self.threshold, "more than 0 and at most 1"));
        }
        for (name, value, max) in [
            ("shingle_chars", self.shingle_chars, 32),
            ("bands", self.bands, 256),
            ("rows_per_band", self.rows_per_band, 64),
        ] {
            if value == 0 || value > max {
                return Err(Error::setting(&format!("{step}.{name}"), value, &format!("1 to {max}")));
            }
        }
        Ok(())
    }
}

/// Rows grouped by likeness.
#[derive(Clone, Debug, PartialEq)]
pub struct Clusters {
    /// For each row the position of its cluster's first row (its own, if it is the first or alone).
    pub first: Vec<usize>,
    /// For each row the similarity to that first row (1 for itself). A chain of near-duplicates may bring rows together
    /// that are less alike than the threshold.
    pub similarity: Vec<f64>,
}

/// Groups texts into clusters of near-duplicates: a row belongs to a cluster if it is a near-duplicate of any of its
/// rows. The result depends on the texts and their order only, not on the number of threads.
///
/// ```
/// use loopwright_data::dedup::{NearSettings, clusters};
///
/// let texts = ["my kettle arrived with a broken lid", "hello", "my kettle arrived with a broken lid!!"];
/// assert_eq!(clusters(&texts, &NearSettings::default()).first, [0, 1, 0]);
/// ```
pub fn clusters(texts: &[&str], settings: &NearSettings) -> Clusters {
    let shingles: Vec<Vec<u64>> = texts.par_iter().map(|text| shingles(text, settings.shingle_chars)).collect();
    let hashes = HashFunctions::new(settings.bands * settings.rows_per_band);
    let bands: Vec<Vec<u64>> = shingles
        .par_iter()
        .map(|set| {
            hashes
                .signature(set)
                .chunks(settings.rows_per_band)
                .enumerate()
                .map(|(band, places)| band_key(band, places))
                .collect()
        })
        .collect();
    let mut sets = DisjointSets::new(texts.len());
    for band in 0..settings.bands {
        let mut buckets: Vec<(u64, usize)> =
            bands.iter().enumerate().map(|(row, hashes)| (hashes[band], row)).collect();
        buckets.sort_unstable();
        for bucket in buckets.chunk_by(|a, b| a.0 == b.0).filter(|bucket| bucket.len() > 1) {
            join_bucket(bucket, &shingles, settings.threshold, &mut sets);
        }
    }
    let first: Vec<usize> = (0..texts.len()).map(|row| sets.root(row)).collect();
    let similarity = first.iter().enumerate().map(|(row, first)| jaccard(&shingles[row], &shingles[*first])).collect();
    Clusters { first, similarity }
}

fn join_bucket(bucket: &[(u64, usize)], shingles: &[Vec<u64>], threshold: f64, sets: &mut DisjointSets) {
    for (index, &(_, row)) in bucket.iter().enumerate() {
        let partners = if bucket.len() <= PAIRED_ROWS_MAX { index } else { index.min(1) };
        for &(_, other) in &bucket[..partners] {
            if sets.root(row) != sets.root(other) && jaccard(&shingles[row], &shingles[other]) >= threshold {
                sets.join(row, other);
            }
        }
    }
}

/// Hashes of a text's character n-grams, sorted, each once. Case, punctuation and spacing do not count.
pub fn shingles(text: &str, chars: usize) -> Vec<u64> {
    let words = words(text);
    let mut starts: Vec<usize> = words.char_indices().map(|(at, _)| at).collect();
    starts.push(words.len());
    let n_chars = starts.len() - 1;
    let mut hashes: Vec<u64> = if n_chars <= chars {
        vec![xxh3_64(words.as_bytes())]
    } else {
        (0..=n_chars - chars).map(|i| xxh3_64(&words.as_bytes()[starts[i]..starts[i + chars]])).collect()
    };
    hashes.sort_unstable();
    hashes.dedup();
    hashes
}

/// Shared members over all members of two sorted sets.
pub fn jaccard(a: &[u64], b: &[u64]) -> f64 {
    let (mut i, mut j, mut shared) = (0, 0, 0);
    while i < a.len() && j < b.len() {
        match a[i].cmp(&b[j]) {
            std::cmp::Ordering::Less => i += 1,
            std::cmp::Ordering::Greater => j += 1,
            std::cmp::Ordering::Equal => {
                shared += 1;
                i += 1;
                j += 1;
            }
        }
    }
    let all = a.len() + b.len() - shared;
    if all == 0 { 1.0 } else { shared as f64 / all as f64 }
}

/// The random functions x ↦ (a·x + b) mod 2⁶⁴, of which the upper half is kept.
pub(crate) struct HashFunctions(Vec<(u64, u64)>);

impl HashFunctions {
    pub(crate) fn new(n: usize) -> Self {
        let mut rng = ChaCha8Rng::seed_from_u64(HASH_SEED);
        Self((0..n).map(|_| (rng.random::<u64>() | 1, rng.random())).collect())
    }

    /// The least value of each function over the set.
    pub(crate) fn signature(&self, set: &[u64]) -> Vec<u32> {
        let mut least = vec![u32::MAX; self.0.len()];
        for x in set {
            for (least, (a, b)) in least.iter_mut().zip(&self.0) {
                *least = (*least).min((x.wrapping_mul(*a).wrapping_add(*b) >> 32) as u32);
            }
        }
        least
    }
}

/// A hash of a band's places with the band's number in its upper 8 bits: places count as equal in one band only, and
/// all bands can be sorted together. [`NearSettings::check`] allows no more bands than 8 bits number.
pub(crate) fn band_key(band: usize, places: &[u32]) -> u64 {
    let bytes: Vec<u8> = places.iter().flat_map(|value| value.to_le_bytes()).collect();
    (band as u64) << 56 | xxh3_64(&bytes) >> 8
}

/// Union-find whose roots are the first rows of their sets.
pub(crate) struct DisjointSets(Vec<usize>);

impl DisjointSets {
    pub(crate) fn new(n: usize) -> Self {
        Self((0..n).collect())
    }

    pub(crate) fn root(&mut self, row: usize) -> usize {
        let mut root = row;
        while self.0[root] != root {
            self.0[root] = self.0[self.0[root]];
            root = self.0[root];
        }
        root
    }

    /// The root of a row, without shortening the way there.
    pub(crate) fn find(&self, row: usize) -> usize {
        let mut root = row;
        while self.0[root] != root {
            root = self.0[root];
        }
        root
    }

    /// For each row the first row of its set.
    pub(crate) fn into_firsts(mut self) -> Vec<usize> {
        // A row's parent comes before it, so it is already settled.
        (0..self.0.len()).for_each(|row| self.0[row] = self.0[self.0[row]]);
        self.0
    }

    pub(crate) fn join(&mut self, a: usize, b: usize) {
        let (a, b) = (self.root(a), self.root(b));
        self.0[a.max(b)] = a.min(b);
    }
}

/// How many rows each cluster has, by its first row.
pub fn sizes(clusters: &Clusters) -> BTreeMap<usize, usize> {
    let mut sizes = BTreeMap::new();
    for first in &clusters.first {
        *sizes.entry(*first).or_default() += 1;
    }
    sizes
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn similarity_is_shared_over_all() {
        assert_eq!(jaccard(&[1, 2, 3], &[2, 3, 4]), 0.5);
        assert_eq!(jaccard(&[], &[]), 1.0);
        assert_eq!(jaccard(&[1], &[2]), 0.0);
        // "abcdef" and "abcdeg" share "abcde" of three 5-grams in all.
        assert_eq!(jaccard(&shingles("abcdef", 5), &shingles("ABCDEG!", 5)), 1.0 / 3.0);
        assert_eq!(shingles("", 5).len(), 1);
    }

    #[test]
    fn a_signature_agrees_as_often_as_the_sets_are_alike() {
        let (a, b): (Vec<u64>, Vec<u64>) = ((0..300).map(hash_of).collect(), (100..400).map(hash_of).collect());
        let hashes = HashFunctions::new(2000);
        let (sa, sb) = (hashes.signature(&a), hashes.signature(&b));
        let share = sa.iter().zip(&sb).filter(|(x, y)| x == y).count() as f64 / 2000.0;
        // Similarity 200/400; three standard deviations of 2,000 draws are 0.034.
        assert!((share - 0.5).abs() < 0.034, "{share}");
    }

    fn hash_of(x: u64) -> u64 {
        xxh3_64(&x.to_le_bytes())
    }

    #[test]
    fn settings_out_of_range_are_named() {
        let error = NearSettings { bands: 0, ..NearSettings::default() }.check("near_dedup").unwrap_err();
        assert_eq!(error.to_string(), "`near_dedup.bands` is 0, expected 1 to 256");
        assert!(NearSettings { threshold: f64::NAN, ..NearSettings::default() }.check("x").is_err());
    }

    fn messages() -> impl Strategy<Value = Vec<String>> {
        let part = ["my kettle ", "arrived broken ", "where is ", "the order ", "please ", "refund ", "today ", "now "];
        let message = prop::collection::vec(prop::sample::select(part.to_vec()), 1..6).prop_map(|parts| parts.concat());
        prop::collection::vec(message, 0..40)
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn clusters_do_not_depend_on_the_number_of_threads(texts in messages()) {
            let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
            let with = |threads| {
                let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
                pool.install(|| clusters(&texts, &NearSettings::default()))
            };
            prop_assert_eq!(with(1), with(4));
        }

        #[test]
        fn survivors_have_no_more_duplicates_among_them(texts in messages()) {
            let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
            let all = clusters(&texts, &NearSettings::default());
            let kept: Vec<&str> = (0..texts.len()).filter(|row| all.first[*row] == *row).map(|row| texts[row]).collect();
            let again = clusters(&kept, &NearSettings::default());
            prop_assert!(again.first.iter().enumerate().all(|(row, first)| row == *first));
        }

        #[test]
        fn equal_texts_share_a_cluster_whose_first_row_is_its_first(texts in messages()) {
            let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
            let all = clusters(&texts, &NearSettings::default());
            for (row, first) in all.first.iter().enumerate() {
                prop_assert!(*first <= row);
                prop_assert_eq!(all.first[*first], *first);
                if let Some(twin) = texts[..row].iter().position(|text| text == &texts[row]) {
                    prop_assert_eq!(all.first[twin], *first);
                }
            }
        }
    }
}
