//! The settings of near-duplicate search, and what they promise.

use super::words::Simplify;
use crate::{Error, Result};
use serde::{Deserialize, Serialize};

/// How documents are signed and compared. The default is datatrove's default, so that the survivors are the same.
///
/// ```
/// use loopwright_corpus::minhash::MinHashSettings;
///
/// let settings = MinHashSettings::default();
/// // Documents that share four of five shingles meet with a chance of 92 %, at half of them with one of 5 %.
/// assert_eq!((settings.chance_to_meet(0.8) * 1000.0).round(), 924.0);
/// assert_eq!((settings.chance_to_meet(0.5) * 1000.0).round(), 53.0);
/// assert_eq!((settings.threshold() * 1000.0).round(), 719.0);
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct MinHashSettings {
    /// Words per shingle. Fewer find looser likeness and more accidents; documents with fewer words are always kept.
    pub ngram_words: usize,
    /// Buckets of a signature: two documents meet if they agree in the whole of at least one.
    pub buckets: usize,
    /// Hashes that must all agree within a bucket.
    pub hashes_per_bucket: usize,
    /// The hash of a shingle.
    pub hash: ShingleHash,
    /// Seed of the random permutations.
    pub seed: u32,
    /// How a text is simplified before it is cut into words.
    pub text: Simplify,
}

/// The hash function of shingles, and with it the width of a signature's values.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ShingleHash {
    /// XXH64: 61-bit values, no accidental matches in practice.
    XxHash64,
    /// XXH32: half the disk space, and accidental matches in corpora of many millions of documents.
    XxHash32,
}

impl ShingleHash {
    /// Bytes that one value of a signature takes on disk.
    pub fn value_bytes(self) -> usize {
        match self {
            Self::XxHash64 => 8,
            Self::XxHash32 => 4,
        }
    }
}

impl Default for MinHashSettings {
    fn default() -> Self {
        Self {
            ngram_words: 5,
            buckets: 14,
            hashes_per_bucket: 8,
            hash: ShingleHash::XxHash64,
            seed: 1,
            text: Simplify::default(),
        }
    }
}

impl MinHashSettings {
    /// Refuses settings that make no sense.
    pub fn check(&self) -> Result<()> {
        for (name, value, max) in [
            ("ngram_words", self.ngram_words, 64),
            ("buckets", self.buckets, 256),
            ("hashes_per_bucket", self.hashes_per_bucket, 64),
        ] {
            if value == 0 || value > max {
                return Err(Error::setting(&format!("minhash.{name}"), value, &format!("1 to {max}")));
            }
        }
        Ok(())
    }

    /// The chance that two documents of Jaccard similarity `similarity` agree in a bucket: 1 − (1 − sʳ)ᵇ.
    pub fn chance_to_meet(&self, similarity: f64) -> f64 {
        1.0 - (1.0 - similarity.powi(self.hashes_per_bucket as i32)).powi(self.buckets as i32)
    }

    /// The similarity around which the chance to meet rises: (1/b)^(1/r).
    pub fn threshold(&self) -> f64 {
        (1.0 / self.buckets as f64).powf(1.0 / self.hashes_per_bucket as f64)
    }

    /// Values of a whole signature.
    pub fn values(&self) -> usize {
        self.buckets * self.hashes_per_bucket
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_out_of_range_are_named() {
        let error = MinHashSettings { buckets: 0, ..Default::default() }.check().unwrap_err();
        assert_eq!(error.to_string(), "`minhash.buckets` is 0, expected 1 to 256");
        assert!(MinHashSettings { ngram_words: 65, ..Default::default() }.check().is_err());
        assert!(MinHashSettings { hashes_per_bucket: 65, ..Default::default() }.check().is_err());
        assert_eq!(MinHashSettings::default().check(), Ok(()));
    }

    #[test]
    fn settings_are_read_by_name_and_unknown_ones_refused() {
        let read: MinHashSettings =
            serde_json::from_str(r#"{"seed": 7, "hash": "xxhash32", "text": {"lowercase": false}}"#).unwrap();
        assert_eq!((read.seed, read.hash, read.buckets), (7, ShingleHash::XxHash32, 14));
        assert!(!read.text.lowercase && read.text.remove_punctuation);
        assert!(serde_json::from_str::<MinHashSettings>(r#"{"bands": 3}"#).is_err());
        assert!(serde_json::from_str::<MinHashSettings>(r#"{"text": {"lower": true}}"#).is_err());
    }
}
