//! A text as hashed n-grams: words and pairs of words, and runs of three to five characters within a word.

use std::collections::BTreeMap;
use xxhash_rust::xxh3::xxh3_64_with_seed;

/// Buckets that n-grams are hashed into (2^18). At some ten thousand distinct n-grams a collision costs nothing that
/// one would notice (Weinberger et al. 2009, "Feature hashing for large scale multitask learning").
pub const N_BUCKETS: usize = 1 << 18;

const WORD_SEED: u64 = 1;
const PAIR_SEED: u64 = 2;
const CHAR_SEED: u64 = 3;
const CHAR_LENGTHS: std::ops::RangeInclusive<usize> = 3..=5;

/// Buckets in ascending order with the count of n-grams in each.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Features(pub Vec<(u32, u32)>);

impl Features {
    /// The n-grams of a text, lower-cased; words are runs of letters and digits, a character run carries the word's
    /// edges as spaces.
    pub fn of(text: &str) -> Self {
        let lower = text.to_lowercase();
        let words: Vec<&str> = lower.split(|c: char| !c.is_alphanumeric()).filter(|w| !w.is_empty()).collect();
        let mut buckets: BTreeMap<u32, u32> = BTreeMap::new();
        let mut count = |text: &str, seed: u64| {
            *buckets.entry((xxh3_64_with_seed(text.as_bytes(), seed) % N_BUCKETS as u64) as u32).or_default() += 1;
        };
        for word in &words {
            count(word, WORD_SEED);
            for_each_run(word, |run| count(run, CHAR_SEED));
        }
        for pair in words.windows(2) {
            count(&format!("{} {}", pair[0], pair[1]), PAIR_SEED);
        }
        Self(buckets.into_iter().collect())
    }
}

fn for_each_run(word: &str, mut visit: impl FnMut(&str)) {
    let padded = format!(" {word} ");
    let starts: Vec<usize> = padded.char_indices().map(|(at, _)| at).chain([padded.len()]).collect();
    for length in CHAR_LENGTHS {
        for first in 0..(starts.len() - 1).saturating_sub(length - 1) {
            visit(&padded[starts[first]..starts[first + length]]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_are_counted_in_characters_and_carry_the_edges() {
        let mut runs = Vec::new();
        for_each_run("née", |run| runs.push(run.to_string()));
        assert_eq!(runs, [" né", "née", "ée ", " née", "née ", " née "]);
    }

    #[test]
    fn case_and_punctuation_do_not_matter_but_order_does() {
        assert_eq!(Features::of("Card lost!"), Features::of("card   LOST"));
        assert_ne!(Features::of("card lost"), Features::of("lost card"));
        assert_eq!(Features::of("?!").0.len(), 0);
    }

    /// "a" is the word, and the run " a " of three: two n-grams, each twice; and the pair "a a".
    #[test]
    fn n_grams_are_counted() {
        let mut counts: Vec<u32> = Features::of("a a").0.iter().map(|f| f.1).collect();
        counts.sort();
        assert_eq!(counts, [1, 2, 2]);
    }
}
