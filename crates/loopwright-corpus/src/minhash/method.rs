//! Which documents count as the same: those whose signatures meet, or those whose words are equal.

use super::{
    buffer::Shape,
    sign::{Scratch, Signer},
    words::Simplify,
};
use xxhash_rust::xxh3::{xxh3_64, xxh3_128};

/// How a document's keys are made.
#[derive(Clone, Debug)]
pub(super) enum Method {
    Near(Signer),
    /// One bucket of 128 bits of XXH3 over the words: equal keys are equal words, but for a chance of n²/2¹²⁹.
    Exact(Simplify),
}

impl Method {
    pub(super) fn shape(&self) -> Shape {
        match self {
            Self::Near(signer) => {
                let settings = signer.settings();
                Shape {
                    buckets: settings.buckets,
                    bucket_values: settings.hashes_per_bucket,
                    value_bytes: settings.hash.value_bytes(),
                }
            }
            Self::Exact(_) => Shape { buckets: 1, bucket_values: 2, value_bytes: size_of::<u64>() },
        }
    }

    /// A number that differs for other settings. Work on disk carries it, so a changed spelling here orphans that work.
    pub(super) fn fingerprint(&self) -> u64 {
        let (settings, text) = match self {
            Self::Near(signer) => {
                let s = signer.settings();
                let numbers = (s.ngram_words, s.buckets, s.hashes_per_bucket, s.hash.value_bytes(), s.seed);
                (format!("near {numbers:?}"), &s.text)
            }
            Self::Exact(text) => ("exact".into(), text),
        };
        let Simplify {
            lowercase,
            remove_punctuation,
            strip_diacritics,
            replace_numbers,
            replace_weekdays,
            replace_months,
        } = *text;
        let flags =
            [lowercase, remove_punctuation, strip_diacritics, replace_numbers, replace_weekdays, replace_months];
        xxh3_64(format!("{settings} {flags:?}").as_bytes())
    }

    /// Writes a text's keys; false if it has none, so that it is like no other.
    pub(super) fn keys(&self, scratch: &mut Scratch, text: &str, keys: &mut [u64]) -> bool {
        match self {
            Self::Near(signer) => signer.sign_with(scratch, text, keys),
            Self::Exact(simplify) => {
                scratch.words.fill(text, simplify);
                let hash = xxh3_128(scratch.words.joined().as_bytes());
                keys.copy_from_slice(&[(hash >> 64) as u64, hash as u64]);
                true
            }
        }
    }
}
