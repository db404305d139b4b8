//! Drops what many documents have in common: menus, footers, cookie notices, signatures.
//!
//! Two passes. The first counts in how many documents each line (or paragraph) stands: [`count`]. The second drops those
//! that stand in too many: [`drop`]. This is the line deduplication of CCNet (Wenzek et al. 2020, section 3) and of
//! Llama 3 (Grattafiori et al. 2024, section 3.1.1: lines seen more than 6 times in a bucket of 30 million documents),
//! with all occurrences dropped. Lines are compared without case, digits and white space at their ends, so that
//! `Page 3 of 12` and `Page 4 of 12` are one.
//!
//! Counts hold a number and a count per different line, some 24 bytes, and no text. Several workers count apart and
//! [`Counts::merge`] their counts; the result does not depend on the order.

use super::text::{FastMap, fast_map};
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use xxhash_rust::xxh3::Xxh3Default;

/// The step's name.
pub const STEP: &str = "boilerplate";

/// What is counted and dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Unit {
    /// What stands between `\n`.
    Lines,
    /// What stands between two `\n`.
    Paragraphs,
}

impl Unit {
    fn separator(self) -> &'static str {
        match self {
            Self::Lines => "\n",
            Self::Paragraphs => "\n\n",
        }
    }
}

/// From when on a part is boilerplate.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// What is counted and dropped.
    pub unit: Unit,
    /// Dropped from so many documents on (Llama 3: 7).
    pub documents_min: u32,
    /// Shorter parts, in bytes once normalised, always stay (ours: 8): `}` and `Yes.` stand everywhere and belong there.
    pub bytes_min: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Self { unit: Unit::Lines, documents_min: 7, bytes_min: 8 }
    }
}

/// In how many documents each part was seen.
#[derive(Clone, Debug)]
pub struct Counts {
    documents_of: FastMap<u64, u32>,
}

impl Default for Counts {
    fn default() -> Self {
        Self { documents_of: fast_map(0) }
    }
}

impl Counts {
    /// Adds the counts of another worker, which saw other documents.
    pub fn merge(&mut self, other: Self) {
        for (hash, n) in other.documents_of {
            let count = self.documents_of.entry(hash).or_default();
            *count = count.saturating_add(n);
        }
    }

    /// Forgets the parts that stay anyway, once all documents were counted.
    pub fn keep_boilerplate(&mut self, settings: &Settings) {
        self.documents_of.retain(|_, n| *n >= settings.documents_min);
        self.documents_of.shrink_to_fit();
    }

    /// How many different parts are held.
    pub fn len(&self) -> usize {
        self.documents_of.len()
    }

    /// Whether nothing was counted.
    pub fn is_empty(&self) -> bool {
        self.documents_of.is_empty()
    }
}

/// Counts a document's parts, each once.
pub fn count(counts: &mut Counts, text: &str, settings: &Settings) {
    let mut hashes: Vec<u64> =
        text.split(settings.unit.separator()).filter_map(|part| hash(part, settings.bytes_min)).collect();
    hashes.sort_unstable();
    hashes.dedup();
    for hash in hashes {
        let count = counts.documents_of.entry(hash).or_default();
        *count = count.saturating_add(1);
    }
}

/// The document without its boilerplate; borrowed if it has none.
pub fn drop<'a>(text: &'a str, counts: &Counts, settings: &Settings) -> Cow<'a, str> {
    let separator = settings.unit.separator();
    let stays = |part: &&str| {
        let n = hash(part, settings.bytes_min).and_then(|hash| counts.documents_of.get(&hash));
        n.is_none_or(|n| *n < settings.documents_min)
    };
    if text.split(separator).all(|part| stays(&part)) {
        return Cow::Borrowed(text);
    }
    Cow::Owned(text.split(separator).filter(stays).collect::<Vec<_>>().join(separator))
}

/// The hash of a part, normalised; none if it is too short to be counted.
fn hash(part: &str, bytes_min: usize) -> Option<u64> {
    let (mut hash, mut n_bytes) = (Xxh3Default::new(), 0);
    let mut buffer = [0; 4];
    for c in part.trim().chars().filter(|c| !c.is_numeric()).flat_map(char::to_lowercase) {
        let bytes = c.encode_utf8(&mut buffer).as_bytes();
        n_bytes += bytes.len();
        hash.update(bytes);
    }
    (n_bytes >= bytes_min.max(1)).then(|| hash.digest())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn counted(texts: &[&str], settings: &Settings) -> Counts {
        let mut counts = Counts::default();
        texts.iter().for_each(|text| count(&mut counts, text, settings));
        counts
    }

    #[test]
    fn what_many_documents_share_goes() {
        let settings = Settings { documents_min: 2, ..Settings::default() };
        let counts = counted(&["All about cats\nPage 3 of 12\nYes.", "  page 4 OF 12\nYes.\nDogs are fine"], &settings);
        for (text, expected) in [
            ("All about cats\nPage 5 of 9\nYes.", "All about cats\nYes."),
            ("Page 1 of 1", ""),
            ("Something new here\n\nDogs are fine", "Something new here\n\nDogs are fine"),
        ] {
            assert_eq!(drop(text, &counts, &settings), expected);
        }
        assert!(matches!(drop("Dogs are fine", &counts, &settings), Cow::Borrowed(_)));
    }

    #[test]
    fn a_line_counts_once_per_document() {
        let settings = Settings { documents_min: 2, ..Settings::default() };
        let counts = counted(&["All about cats\nAll about cats"], &settings);
        assert_eq!(drop("All about cats", &counts, &settings), "All about cats");
    }

    #[test]
    fn paragraphs_go_whole() {
        let settings = Settings { unit: Unit::Paragraphs, documents_min: 2, bytes_min: 8 };
        let counts = counted(&["Our address:\nMain Street\n\nCats", "Our address:\nMain Street\n\nDogs"], &settings);
        assert_eq!(
            drop("Birds\n\nOur address:\nMain Street\n\nOur address:", &counts, &settings),
            "Birds\n\nOur address:"
        );
    }

    #[test]
    fn only_boilerplate_need_be_held() {
        let settings = Settings { documents_min: 2, ..Settings::default() };
        let mut counts = counted(&["All about cats\nSame for all", "All about dogs\nSame for all"], &settings);
        assert_eq!(counts.len(), 3);
        counts.keep_boilerplate(&settings);
        assert_eq!((counts.len(), counts.is_empty()), (1, false));
    }

    proptest! {
        #[test]
        fn workers_may_share_the_counting(texts in prop::collection::vec("[ab\n]{0,12}", 0..8), cut in 0_usize..8) {
            let settings = Settings { documents_min: 2, bytes_min: 1, unit: Unit::Lines };
            let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
            let cut = cut.min(texts.len());
            let whole = counted(&texts, &settings);
            let mut merged = counted(&texts[cut..], &settings);
            merged.merge(counted(&texts[..cut], &settings));
            for text in &texts {
                prop_assert_eq!(drop(text, &whole, &settings), drop(text, &merged, &settings));
            }
        }
    }
}
