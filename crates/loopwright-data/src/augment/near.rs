//! Is there a text like this one among many? An exact answer without comparing all.
//!
//! Two sets whose Jaccard similarity is at least t share at least ⌈t·n⌉ of the n members of either. If the members of all
//! sets are put into one order, then two such sets already share one of their first n − ⌈t·n⌉ + 1 members (prefix filter:
//! Chaudhuri, Ganti and Kaushik 2006; Bayardo, Ma and Srikant 2007). With the rarest n-grams first, few sets share such a
//! prefix, and only those are compared.

use crate::dedup::{jaccard, shingles};
use rayon::prelude::*;
use std::collections::HashMap;

/// Characters per n-gram, as in the near-duplicate step.
const SHINGLE_CHARS: usize = 5;

/// Texts to be like.
#[derive(Clone, Debug)]
pub struct NearIndex {
    threshold: f64,
    sets: Vec<Vec<u64>>,
    /// In how many texts each n-gram is.
    n_texts: HashMap<u64, u32>,
    /// The texts with each n-gram in their prefix.
    prefixes: HashMap<u64, Vec<u32>>,
}

impl NearIndex {
    /// Indexes texts, for similarities from `threshold` on (more than 0, at most 1).
    pub fn build(texts: &[&str], threshold: f64) -> Self {
        let sets: Vec<Vec<u64>> = texts.par_iter().map(|text| shingles(text, SHINGLE_CHARS)).collect();
        let mut n_texts: HashMap<u64, u32> = HashMap::new();
        sets.iter().flatten().for_each(|ngram| *n_texts.entry(*ngram).or_default() += 1);
        let mut index = Self { threshold, sets: Vec::new(), n_texts, prefixes: HashMap::new() };
        for (row, set) in sets.iter().enumerate() {
            for ngram in index.prefix(set) {
                index.prefixes.entry(ngram).or_default().push(row as u32);
            }
        }
        index.sets = sets;
        index
    }

    /// The most similar text and its similarity, if that is at least the threshold; the first of equals.
    ///
    /// ```
    /// use loopwright_data::augment::near::NearIndex;
    ///
    /// let index = NearIndex::build(&["where is my parcel", "my kettle arrived with a broken lid"], 0.8);
    /// assert_eq!(index.nearest("My kettle arrived with a broken lid!").unwrap().0, 1);
    /// assert_eq!(index.nearest("my kettle never arrived"), None);
    /// ```
    pub fn nearest(&self, text: &str) -> Option<(usize, f64)> {
        self.all(text).first().copied()
    }

    /// Every text that is at least so similar, most alike first, equal ones in their order.
    pub fn all(&self, text: &str) -> Vec<(usize, f64)> {
        let set = shingles(text, SHINGLE_CHARS);
        let mut rows: Vec<u32> =
            self.prefix(&set).iter().filter_map(|ngram| self.prefixes.get(ngram)).flatten().copied().collect();
        rows.sort_unstable();
        rows.dedup();
        let alike = rows.into_iter().map(|row| (row as usize, jaccard(&set, &self.sets[row as usize])));
        let mut found: Vec<(usize, f64)> = alike.filter(|(_, similarity)| *similarity >= self.threshold).collect();
        found.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
        found
    }

    /// The first members of a set, rarest first, of which any set that is like it has at least one.
    fn prefix(&self, set: &[u64]) -> Vec<u64> {
        let mut ordered: Vec<(u32, u64)> =
            set.iter().map(|ngram| (self.n_texts.get(ngram).copied().unwrap_or(0), *ngram)).collect();
        ordered.sort_unstable();
        // A hair below, so that rounding in `t·n` never shortens a prefix.
        let shared_min = (self.threshold * set.len() as f64 - 1e-9).ceil() as usize;
        let length = (set.len() + 1).saturating_sub(shared_min).min(set.len());
        ordered[..length].iter().map(|(_, ngram)| *ngram).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #![proptest_config(ProptestConfig { cases: 128, failure_persistence: None, ..ProptestConfig::default() })]

        /// The same as comparing with every text.
        #[test]
        fn nothing_like_it_is_overlooked(
            texts in prop::collection::vec("[a-c ]{0,24}", 0..20), query in "[a-c ]{0,24}", threshold in 0.2f64..=1.0
        ) {
            let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
            let found = NearIndex::build(&texts, threshold).nearest(&query);
            let own = shingles(&query, SHINGLE_CHARS);
            let all = texts.iter().map(|text| jaccard(&own, &shingles(text, SHINGLE_CHARS)));
            let best = all.enumerate().max_by(|a, b| a.1.total_cmp(&b.1).then(b.0.cmp(&a.0)));
            prop_assert_eq!(found, best.filter(|(_, similarity)| *similarity >= threshold));
        }
    }
}
