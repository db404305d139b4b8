//! Clusters of near-duplicates among any number of rows: the same as [`crate::dedup::clusters`] finds in memory.
//!
//! Each row leaves a hash per band; sorted on disk, rows that share a band come to lie side by side as candidates. To
//! compare two of them by their real similarity takes both texts, and texts stay on disk. So each row also leaves a
//! *sketch*: a bitmap of its n-grams, about four bits for each, folded by their hash. It cannot say that two sets are
//! alike, but it can say that they are not: n-grams in different bits are different, so of |A| + |B| n-grams at least
//! as many are different as the two bitmaps have bits together, and at most the rest are shared. Only pairs that pass
//! this bound are read and compared.
//!
//! Which pairs are compared and joined does not depend on the order of the work: clusters are the connected parts of a
//! graph, and a bucket's pairs are the same in any order. Memory holds eight bytes a row.

use super::{
    set_phase::Scratch,
    shelf::{Shelf, ShelfWriter},
    sorter::Sorter,
};
use crate::{
    Result,
    dedup::{DisjointSets, HashFunctions, NearSettings, PAIRED_ROWS_MAX, band_key, jaccard, shingles},
};
use rayon::prelude::*;

/// Bits per n-gram of a sketch, before rounding up to a power of two.
const BITS_PER_SHINGLE: usize = 4;
/// Largest sketch, in 64-bit words (8 KiB).
const SKETCH_WORDS_MAX: usize = 1024;
/// Rows in buckets that are compared at once, in parallel.
const ROWS_COMPARED: usize = 8192;

/// Gathers what is needed of each text.
pub(crate) struct ClusterFinder {
    settings: NearSettings,
    hashes: HashFunctions,
    bands: Sorter<2>,
    sketches: ShelfWriter,
    texts: ShelfWriter,
    n_rows: u64,
    scratch: Scratch,
}

/// What a row leaves behind.
struct Trace {
    bands: Vec<u64>,
    sketch: Sketch,
}

impl ClusterFinder {
    pub(crate) fn new(settings: &NearSettings, scratch: Scratch) -> Result<Self> {
        Ok(Self {
            settings: settings.clone(),
            hashes: HashFunctions::new(settings.bands * settings.rows_per_band),
            bands: Sorter::new(&scratch.folder, "bands", scratch.sorter_bytes()),
            sketches: ShelfWriter::create(&scratch.folder, "sketches")?,
            texts: ShelfWriter::create(&scratch.folder, "texts")?,
            n_rows: 0,
            scratch,
        })
    }

    /// Takes the next texts.
    pub(crate) fn look(&mut self, texts: &[&str]) -> Result<()> {
        let traces: Vec<Trace> = texts.par_iter().map(|text| self.trace(text)).collect();
        for (text, trace) in texts.iter().zip(traces) {
            trace.bands.iter().try_for_each(|band| self.bands.push([*band, self.n_rows]))?;
            self.sketches.push(&trace.sketch.to_bytes())?;
            self.texts.push(text.as_bytes())?;
            self.n_rows += 1;
        }
        Ok(())
    }

    fn trace(&self, text: &str) -> Trace {
        let set = shingles(text, self.settings.shingle_chars);
        let signature = self.hashes.signature(&set);
        let bands =
            signature.chunks(self.settings.rows_per_band).enumerate().map(|(band, places)| band_key(band, places));
        Trace { bands: bands.collect(), sketch: Sketch::of(&set) }
    }

    /// The clusters of all texts.
    pub(crate) fn finish(self) -> Result<Found> {
        let n_rows = self.n_rows;
        self.scratch.check_fits(|| format!("a table of {n_rows} rows"), n_rows * 8)?;
        let shelves =
            Shelves { sketches: self.sketches.finish()?, texts: self.texts.finish()?, settings: self.settings };
        let mut sets = DisjointSets::new(n_rows as usize);
        let mut waiting: Vec<Bucket> = Vec::new();
        let mut n_waiting = 0;
        each_bucket(self.bands.finish()?, |bucket| {
            n_waiting += bucket.rows.len();
            waiting.push(bucket);
            if n_waiting >= ROWS_COMPARED {
                shelves.join(&waiting, &mut sets)?;
                (waiting, n_waiting) = (Vec::new(), 0);
            }
            Ok(())
        })?;
        shelves.join(&waiting, &mut sets)?;
        Ok(Found { first: sets.into_firsts(), shelves })
    }
}

/// Clusters of rows.
pub(crate) struct Found {
    /// For each row the number of its cluster's first row.
    pub(crate) first: Vec<usize>,
    shelves: Shelves,
}

impl Found {
    /// How similar a text is to the text of this row.
    pub(crate) fn similarity(&self, text: &str, row: usize) -> Result<f64> {
        let chars = self.shelves.settings.shingle_chars;
        Ok(jaccard(&shingles(text, chars), &self.shelves.shingles(row)?))
    }

    /// How similar the texts of two rows are.
    pub(crate) fn similarity_of(&self, row: usize, other: usize) -> Result<f64> {
        Ok(jaccard(&self.shelves.shingles(row)?, &self.shelves.shingles(other)?))
    }
}

/// Rows that share a band.
#[derive(Clone, Debug, PartialEq)]
struct Bucket {
    rows: Vec<usize>,
    /// Whether each is compared with each; otherwise each with the first.
    paired: bool,
}

/// Cuts sorted band hashes into buckets of two rows or more. A bucket of more than [`PAIRED_ROWS_MAX`] rows comes in
/// pieces, each with the bucket's first row at its head.
fn each_bucket(
    bands: impl Iterator<Item = Result<[u64; 2]>>,
    mut take: impl FnMut(Bucket) -> Result<()>,
) -> Result<()> {
    let mut take_whole = |bucket: Bucket| if bucket.rows.len() > 1 { take(bucket) } else { Ok(()) };
    let mut hash_now = None;
    let mut bucket = Bucket { rows: Vec::new(), paired: true };
    for record in bands {
        let [hash, row] = record?;
        if hash_now != Some(hash) {
            hash_now = Some(hash);
            take_whole(std::mem::replace(&mut bucket, Bucket { rows: Vec::new(), paired: true }))?;
        }
        if bucket.rows.len() == PAIRED_ROWS_MAX {
            let rest = Bucket { rows: vec![bucket.rows[0]], paired: false };
            take_whole(Bucket { paired: false, ..std::mem::replace(&mut bucket, rest) })?;
        }
        bucket.rows.push(row as usize);
    }
    take_whole(bucket)
}

/// What is on disk of each row, and when rows are alike.
struct Shelves {
    sketches: Shelf,
    texts: Shelf,
    settings: NearSettings,
}

impl Shelves {
    /// Joins the rows of these buckets that are alike.
    fn join(&self, buckets: &[Bucket], sets: &mut DisjointSets) -> Result<()> {
        let known = &*sets;
        let found: Vec<Result<Vec<(usize, usize)>>> =
            buckets.par_iter().map(|bucket| self.alike(&bucket.rows, bucket.paired, known)).collect();
        for pairs in found {
            pairs?.into_iter().for_each(|(a, b)| sets.join(a, b));
        }
        Ok(())
    }

    /// Pairs of a bucket that are alike, as far as they are not known to be in one set.
    fn alike(&self, rows: &[usize], paired: bool, known: &DisjointSets) -> Result<Vec<(usize, usize)>> {
        let mut roots: Vec<usize> = rows.iter().map(|row| known.find(*row)).collect();
        let mut members: Vec<Member> = rows.iter().map(|row| Member { row: *row, sketch: None, set: None }).collect();
        let mut pairs = Vec::new();
        for index in 1..rows.len() {
            for other in 0..if paired { index } else { 1 } {
                if roots[index] == roots[other] {
                    continue;
                }
                let (before, from) = members.split_at_mut(index);
                if self.are_alike(&mut from[0], &mut before[other])? {
                    pairs.push((rows[index], rows[other]));
                    let (from, to) = (roots[index], roots[other]);
                    roots.iter_mut().filter(|root| **root == from).for_each(|root| *root = to);
                }
            }
        }
        Ok(pairs)
    }

    fn are_alike(&self, a: &mut Member, b: &mut Member) -> Result<bool> {
        if a.sketch(self)?.similarity_max(b.sketch(self)?) < self.settings.threshold {
            return Ok(false);
        }
        Ok(jaccard(a.set(self)?, b.set(self)?) >= self.settings.threshold)
    }

    fn shingles(&self, row: usize) -> Result<Vec<u64>> {
        Ok(shingles(&self.texts.read_text(row as u64)?, self.settings.shingle_chars))
    }
}

/// A row of a bucket; what is needed of it is read once.
struct Member {
    row: usize,
    sketch: Option<Sketch>,
    set: Option<Vec<u64>>,
}

impl Member {
    fn sketch(&mut self, shelves: &Shelves) -> Result<&Sketch> {
        let sketch = match self.sketch.take() {
            Some(sketch) => sketch,
            None => Sketch::from_bytes(&shelves.sketches.read(self.row as u64)?),
        };
        Ok(self.sketch.insert(sketch))
    }

    fn set(&mut self, shelves: &Shelves) -> Result<&[u64]> {
        let set = match self.set.take() {
            Some(set) => set,
            None => shelves.shingles(self.row)?,
        };
        Ok(self.set.insert(set))
    }
}

/// A set's size, and a bitmap of its members' hashes.
#[derive(Clone, Debug, PartialEq)]
struct Sketch {
    n_members: u64,
    /// A power of two of words.
    words: Vec<u64>,
}

impl Sketch {
    fn of(set: &[u64]) -> Self {
        let n_words = (set.len() * BITS_PER_SHINGLE).div_ceil(64).next_power_of_two().min(SKETCH_WORDS_MAX);
        let mut words = vec![0; n_words];
        for member in set {
            let bit = *member as usize % (n_words * 64);
            words[bit / 64] |= 1 << (bit % 64);
        }
        Self { n_members: set.len() as u64, words }
    }

    fn to_bytes(&self) -> Vec<u8> {
        [self.n_members].iter().chain(&self.words).flat_map(|word| word.to_le_bytes()).collect()
    }

    fn from_bytes(bytes: &[u8]) -> Self {
        let (words, _) = bytes.as_chunks::<8>();
        let mut words = words.iter().map(|word| u64::from_le_bytes(*word));
        Self { n_members: words.next().unwrap_or(0), words: words.collect() }
    }

    /// No two sets with these sketches are more similar than this.
    fn similarity_max(&self, other: &Self) -> f64 {
        let all = self.n_members + other.n_members;
        let shared_max = all.saturating_sub(self.union_bits(other)).min(self.n_members).min(other.n_members);
        if all == 0 { 1.0 } else { shared_max as f64 / (all - shared_max) as f64 }
    }

    /// Bits of both bitmaps together, the larger one folded to the size of the smaller.
    fn union_bits(&self, other: &Self) -> u64 {
        let (small, large) = if self.words.len() <= other.words.len() { (self, other) } else { (other, self) };
        let n_words = small.words.len();
        if n_words == large.words.len() {
            return small.words.iter().zip(&large.words).map(|(a, b)| u64::from((a | b).count_ones())).sum();
        }
        let folded = |at: usize| large.words[at..].iter().step_by(n_words).fold(small.words[at], |a, b| a | b);
        (0..n_words).map(|at| u64::from(folded(at).count_ones())).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dedup::clusters;
    use proptest::prelude::*;

    fn found(texts: &[&str], settings: &NearSettings, batch: usize) -> Vec<usize> {
        let dir = tempfile::tempdir().unwrap();
        let scratch = Scratch { folder: dir.path().to_path_buf(), memory_bytes: 16 * 1024, step: "near_dedup" };
        let mut finder = ClusterFinder::new(settings, scratch).unwrap();
        texts.chunks(batch).for_each(|batch| finder.look(batch).unwrap());
        finder.finish().unwrap().first
    }

    #[test]
    fn a_bucket_of_many_rows_comes_in_pieces_with_its_first_row() {
        for (n_rows, expected) in
            [(1, vec![]), (2, vec![(2, true)]), (48, vec![(48, true)]), (49, vec![(48, false), (2, false)])]
        {
            let records = (0..n_rows).map(|row| Ok([7, row + 10])).chain([Ok([8, 3])]);
            let mut pieces = Vec::new();
            each_bucket(records, |bucket| {
                assert_eq!(bucket.rows[0], 10);
                pieces.push((bucket.rows.len(), bucket.paired));
                Ok(())
            })
            .unwrap();
            assert_eq!(pieces, expected, "{n_rows}");
        }
    }

    #[test]
    fn more_rows_than_the_table_may_hold_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        let scratch = Scratch { folder: dir.path().to_path_buf(), memory_bytes: 64, step: "split" };
        let mut finder = ClusterFinder::new(&NearSettings::default(), scratch).unwrap();
        finder.look(&["a", "b", "c", "d", "e"]).unwrap();
        let error = finder.finish().err().unwrap();
        assert_eq!(error.kind(), crate::Kind::Memory);
        assert!(error.to_string().contains("`split` needs 40 bytes for a table of 5 rows"), "{error}");
    }

    fn messages() -> impl Strategy<Value = Vec<String>> {
        let part = ["my kettle ", "arrived broken ", "where is ", "the order ", "please ", "refund ", "today ", "now "];
        let message = prop::collection::vec(prop::sample::select(part.to_vec()), 1..6).prop_map(|parts| parts.concat());
        prop::collection::vec(message, 0..150)
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn clusters_are_those_found_in_memory(texts in messages(), batch in 1usize..60) {
            let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
            for settings in [NearSettings::default(), NearSettings::looser(0.6)] {
                prop_assert_eq!(found(&texts, &settings, batch), clusters(&texts, &settings).first);
            }
        }

        #[test]
        fn a_sketch_never_calls_sets_less_alike_than_they_are(
            a in prop::collection::btree_set(0u64..4000, 0..900), b in prop::collection::btree_set(0u64..4000, 0..40)
        ) {
            let hashed = |set: std::collections::BTreeSet<u64>| {
                let mut hashes: Vec<u64> = set.iter().map(|x| x.wrapping_mul(0x9e37_79b9_7f4a_7c15)).collect();
                hashes.sort_unstable();
                hashes
            };
            let (a, b) = (hashed(a), hashed(b));
            let both: Vec<u64> = {
                let mut both = [a.as_slice(), b.as_slice()].concat();
                both.sort_unstable();
                both.dedup();
                both
            };
            for (x, y) in [(&a, &b), (&a, &both), (&b, &both), (&a, &a)] {
                let (sketch_x, sketch_y) = (Sketch::of(x), Sketch::of(y));
                prop_assert_eq!(&Sketch::from_bytes(&sketch_x.to_bytes()), &sketch_x);
                prop_assert!(sketch_x.similarity_max(&sketch_y) >= jaccard(x, y));
                prop_assert_eq!(sketch_x.similarity_max(&sketch_y), sketch_y.similarity_max(&sketch_x));
            }
        }
    }
}
