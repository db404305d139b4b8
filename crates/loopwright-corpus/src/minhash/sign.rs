//! Signatures: a fixed number of values for each document, which agree as often as the documents are alike.
//!
//! A document is the set of its shingles, each run of `ngram_words` words. A random permutation of all possible
//! shingles has the same least element on two sets with the probability of their Jaccard similarity (Broder, "On the
//! resemblance and containment of documents", 1997), so a signature keeps the least element of many permutations.
//! They are stood in for by x ↦ ((a·x + b) mod 2⁶⁴) mod (2⁶¹ − 1). The product overflows first: a fault of the textbook's
//! function that datatrove shares, and it is part of what its survivors depend on.

use super::{
    random::MersenneTwister,
    settings::{MinHashSettings, ShingleHash},
    words::Words,
};
use crate::Result;
use xxhash_rust::{xxh32::xxh32, xxh64::xxh64};

const PRIME: u64 = (1 << 61) - 1;
/// Permutations worked on at once: two of the widest vectors, so that one multiplication hides behind another.
const LANES: usize = 16;

/// The least value of each permutation, bucket by bucket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signature(Vec<u64>);

impl Signature {
    /// The values, bucket by bucket.
    pub fn values(&self) -> &[u64] {
        &self.0
    }

    /// The share of values that agree: an estimate of the Jaccard similarity, with a standard error of √(s(1 − s)/n).
    pub fn similarity(&self, other: &Self) -> f64 {
        let equal = self.0.iter().zip(&other.0).filter(|(a, b)| a == b).count();
        equal as f64 / self.0.len() as f64
    }
}

/// What signing a document needs beside its text; kept by a thread from one document to the next.
#[derive(Debug, Default)]
pub struct Scratch {
    pub(super) words: Words,
    shingles: Vec<u64>,
}

/// Signs documents.
///
/// ```
/// use loopwright_corpus::minhash::{MinHashSettings, Signer};
///
/// let signer = Signer::new(&MinHashSettings::default())?;
/// let first = signer.sign("The parcel left our warehouse on Friday and should reach you by Monday.");
/// let again = signer.sign("The parcel left our warehouse, on Friday, and should reach you by monday");
/// assert_eq!(first, again);
/// // Four words are no shingle of five.
/// assert_eq!(signer.sign("Where is my parcel?"), None);
/// # Ok::<(), loopwright_corpus::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Signer {
    settings: MinHashSettings,
    factors: Vec<[u64; LANES]>,
    offsets: Vec<[u64; LANES]>,
    vectors: pulp::Arch,
}

impl Signer {
    /// Draws the permutations. The same settings always give the same ones.
    pub fn new(settings: &MinHashSettings) -> Result<Self> {
        settings.check()?;
        let mut twister = MersenneTwister::seeded(settings.seed);
        let mut drawn = |low: u64| {
            let mut numbers: Vec<u64> = (0..settings.values()).map(|_| twister.below(low, PRIME)).collect();
            numbers.resize(settings.values().next_multiple_of(LANES), 0);
            numbers.as_chunks::<LANES>().0.to_vec()
        };
        let (factors, offsets) = (drawn(1), drawn(0));
        Ok(Self { settings: settings.clone(), factors, offsets, vectors: pulp::Arch::new() })
    }

    /// The settings it signs by.
    pub fn settings(&self) -> &MinHashSettings {
        &self.settings
    }

    /// The signature of a text; none if it has fewer words than one shingle.
    pub fn sign(&self, text: &str) -> Option<Signature> {
        let mut values = vec![0; self.settings.values()];
        self.sign_with(&mut Scratch::default(), text, &mut values).then_some(Signature(values))
    }

    /// The same into `values`, of [`MinHashSettings::values`] places, without memory of its own; false if there is none.
    pub fn sign_with(&self, scratch: &mut Scratch, text: &str, values: &mut [u64]) -> bool {
        let Scratch { words, shingles } = scratch;
        words.fill(text, &self.settings.text);
        shingles.clear();
        let ngrams = words.ngrams(self.settings.ngram_words).map(str::as_bytes);
        match self.settings.hash {
            ShingleHash::XxHash64 => shingles.extend(ngrams.map(|ngram| xxh64(ngram, 0))),
            ShingleHash::XxHash32 => shingles.extend(ngrams.map(|ngram| u64::from(xxh32(ngram, 0)))),
        }
        match self.settings.hash {
            ShingleHash::XxHash64 => self.least::<{ u64::MAX }>(shingles, values),
            ShingleHash::XxHash32 => self.least::<{ u32::MAX as u64 }>(shingles, values),
        }
        !shingles.is_empty()
    }

    fn least<const MASK: u64>(&self, shingles: &[u64], values: &mut [u64]) {
        let lanes = self.factors.iter().zip(&self.offsets);
        for (places, (a, b)) in values.chunks_mut(LANES).zip(lanes) {
            let least = self.vectors.dispatch(Least::<MASK> { shingles, a, b });
            places.copy_from_slice(&least[..places.len()]);
        }
    }
}

/// The least value of each lane's permutation over the shingles, of which only the bits of `MASK` count.
///
/// A type and no closure: a closure is called through a function that the compiler makes, which has none of the wide
/// instructions and which it does not inline.
struct Least<'a, const MASK: u64> {
    shingles: &'a [u64],
    a: &'a [u64; LANES],
    b: &'a [u64; LANES],
}

impl<const MASK: u64> pulp::NullaryFnOnce for Least<'_, MASK> {
    type Output = [u64; LANES];

    /// The last step of the modulus is left out: it would change one value of 2⁵⁸, and then the lanes are done again
    /// with it.
    #[inline(always)]
    fn call(self) -> [u64; LANES] {
        let Self { shingles, a, b } = self;
        let mut least = [i64::MAX; LANES];
        let mut seen = [0; LANES];
        for &shingle in shingles {
            for i in 0..LANES {
                let folded = fold(shingle.wrapping_mul(a[i]).wrapping_add(b[i]));
                // One more than the prime or than a greater number has bit 61, one more than a smaller number has not.
                seen[i] |= folded.wrapping_add(1);
                // It is far from the sign: numbers with one are compared by one instruction where others take four.
                least[i] = least[i].min((folded & MASK).cast_signed());
            }
        }
        let any = seen.iter().fold(0, |any, seen| any | seen);
        if any >> 61 == 0 { least.map(i64::cast_unsigned) } else { least_exactly::<MASK>(shingles, a, b) }
    }
}

/// The same, value by value.
#[cold]
fn least_exactly<const MASK: u64>(shingles: &[u64], a: &[u64; LANES], b: &[u64; LANES]) -> [u64; LANES] {
    std::array::from_fn(|i| {
        let values = shingles.iter().map(|x| (x.wrapping_mul(a[i]).wrapping_add(b[i]) % PRIME) & MASK);
        values.min().unwrap_or(u64::MAX)
    })
}

/// A number that is as much as `x` modulo 2⁶¹ − 1, less than 8 above it at most: the upper three bits are worth as much as
/// the same number below.
#[inline(always)]
fn fold(x: u64) -> u64 {
    (x & PRIME).wrapping_add(x >> 61)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_modulus_at_its_edges() {
        // With the factor 1 and the offset 0 the least value of one shingle is the shingle's rest.
        let (mut a, b) = ([0; LANES], [0; LANES]);
        a[3] = 1;
        for x in [0, 1, PRIME - 1, PRIME, PRIME + 1, 2 * PRIME, 1 << 61, 7 * PRIME, 8 * PRIME, u64::MAX] {
            assert!(fold(x) < PRIME + 8 && fold(x) % PRIME == x % PRIME, "{x}");
            for others in [&[][..], &[PRIME - 1], &[5, 1 << 40]] {
                let shingles = [others, &[x]].concat();
                let least = |mask: u64| shingles.iter().map(|x| (x % PRIME) & mask).min().unwrap();
                let vectors = pulp::Arch::new();
                let whole = vectors.dispatch(Least::<{ u64::MAX }> { shingles: &shingles, a: &a, b: &b });
                assert_eq!((whole[3], whole[4]), (least(u64::MAX), 0), "{shingles:?}");
                let narrow = vectors.dispatch(Least::<{ u32::MAX as u64 }> { shingles: &shingles, a: &a, b: &b });
                assert_eq!(narrow[3], least(u32::MAX.into()), "{shingles:?}");
            }
        }
    }

    #[test]
    fn a_signature_is_the_reference_implementations() {
        // datatrove 0.10.1, whitespace words, default settings and precision 32: the first bucket and the last value.
        let text = "The quick brown fox jumps over the lazy dog, 12.5 times a day.";
        let signature = Signer::new(&MinHashSettings::default()).unwrap().sign(text).unwrap();
        assert_eq!(
            (&signature.values()[..8], signature.values()[111]),
            (
                &[
                    85_330_943_174_081_874,
                    184_339_147_761_722_157,
                    124_429_351_536_094_352,
                    34_440_879_854_629_237,
                    351_192_510_441_881_045,
                    117_899_488_208_280_896,
                    6_902_592_715_498_867,
                    204_404_170_303_891_102
                ][..],
                3_963_570_588_256_049
            )
        );
        let narrow = MinHashSettings { hash: ShingleHash::XxHash32, ..MinHashSettings::default() };
        let signature = Signer::new(&narrow).unwrap().sign(text).unwrap();
        assert_eq!(
            (&signature.values()[..8], signature.values()[111]),
            (
                &[
                    125_697_124,
                    899_546_107,
                    441_372_471,
                    462_256_105,
                    1_273_034_860,
                    270_479_121,
                    503_557_117,
                    99_635_522
                ][..],
                725_982_954
            )
        );
    }

    #[test]
    fn any_number_of_values_fits() {
        let text = "one two three four five six seven eight";
        let full = Signer::new(&MinHashSettings::default()).unwrap().sign(text).unwrap();
        let few = MinHashSettings { buckets: 3, hashes_per_bucket: 3, ..MinHashSettings::default() };
        assert_eq!(Signer::new(&few).unwrap().sign(text).unwrap().values().len(), 9);
        assert_eq!(full.values().len(), 112);
    }

    #[test]
    fn signatures_agree_as_often_as_documents_are_alike() {
        let settings = MinHashSettings { ngram_words: 1, buckets: 100, hashes_per_bucket: 20, ..Default::default() };
        let signer = Signer::new(&settings).unwrap();
        let text = |range: std::ops::Range<usize>| range.map(|i| format!("w{} ", word(i))).collect::<String>();
        let (a, b) = (signer.sign(&text(0..300)).unwrap(), signer.sign(&text(100..400)).unwrap());
        // Similarity 200/400; four standard errors of 2,000 values are 0.045.
        assert!((a.similarity(&b) - 0.5).abs() < 0.045, "{}", a.similarity(&b));
    }

    /// A word of letters for a number, because figures would all become `0`.
    fn word(mut number: usize) -> String {
        let mut word = String::new();
        for _ in 0..3 {
            word.push((b'a' + (number % 26) as u8) as char);
            number /= 26;
        }
        word
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn least_values_are_those_of_plain_arithmetic(shingles in prop::collection::vec(any::<u64>(), 1..20)) {
            let signer = Signer::new(&MinHashSettings::default()).unwrap();
            let mut values = vec![0; 112];
            signer.least::<{ u64::MAX }>(&shingles, &mut values);
            for (i, value) in values.iter().enumerate() {
                let (a, b) = (signer.factors[i / LANES][i % LANES], signer.offsets[i / LANES][i % LANES]);
                let plain = shingles.iter().map(|x| x.wrapping_mul(a).wrapping_add(b) % PRIME).min();
                prop_assert_eq!(Some(*value), plain);
            }
        }
    }
}
