//! A seeded order of rows that do not fit in memory.
//!
//! Each row's place is a pure function of the seed and its id: a 128-bit keyed hash (XXH3 with the seed), whose upper half
//! names a bucket and whose lower half orders the rows within it. Sorting random keys is a uniform shuffle as long as no
//! two keys are equal; ids break such a tie. So two passes shuffle any number of rows:
//!
//! 1. Read the rows one by one and append each to the file of its bucket.
//! 2. Read one bucket after another, sort it in memory by [`Place`] and write it out.
//!
//! Buckets can be filled and sorted by many workers, and the order does not depend on the order of the input, on the
//! number of workers, or on where a killed run went on. A row that is added or removed moves no other row.
//!
//! ```
//! use loopwright_data::sample::shuffle::{Shuffle, shuffled};
//!
//! let shuffle = Shuffle::new(7, 2);
//! let order = shuffled(&["r1", "r2", "r3", "r4"], &shuffle);
//! assert_eq!(order.len(), 4);
//! assert_eq!(order, shuffled(&["r1", "r2", "r3", "r4"], &shuffle));
//! ```

use xxhash_rust::xxh3::xxh3_128_with_seed;

/// An order: a seed and a number of buckets. Another number of buckets is another order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shuffle {
    seed: u64,
    n_buckets: u32,
}

/// Where a row goes: compared by bucket, then by order within it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// The bucket, from 0.
    pub bucket: u32,
    /// The row's order within its bucket; rows with equal orders stand by id.
    pub order: u64,
}

impl Shuffle {
    /// Buckets should be as many as it takes for one of them to fit in memory; their sizes differ by about the square
    /// root of their mean. At least one.
    pub fn new(seed: u64, n_buckets: u32) -> Self {
        Self { seed, n_buckets: n_buckets.max(1) }
    }

    /// The place of a row.
    pub fn place(&self, row_id: &str) -> Place {
        let hash = xxh3_128_with_seed(row_id.as_bytes(), self.seed);
        // The upper half scaled to the number of buckets: the high bits of a product, without a remainder's bias.
        let bucket = ((hash >> 64) * u128::from(self.n_buckets)) >> 64;
        Place { bucket: bucket as u32, order: hash as u64 }
    }
}

/// The positions of rows in their shuffled order, for rows that do fit in memory.
pub fn shuffled(row_ids: &[&str], shuffle: &Shuffle) -> Vec<usize> {
    let mut order: Vec<(Place, usize)> = row_ids.iter().enumerate().map(|(row, id)| (shuffle.place(id), row)).collect();
    order.sort_by(|a, b| a.0.cmp(&b.0).then_with(|| row_ids[a.1].cmp(row_ids[b.1])).then(a.1.cmp(&b.1)));
    order.into_iter().map(|(_, row)| row).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn ids(n: usize) -> Vec<String> {
        (0..n).map(|row| format!("row-{row}")).collect()
    }

    fn order(ids: &[String], shuffle: &Shuffle) -> Vec<String> {
        let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
        shuffled(&ids, shuffle).into_iter().map(|row| ids[row].to_string()).collect()
    }

    /// The two passes, bucket by bucket, give the order of the whole.
    #[test]
    fn two_passes_give_the_same_order() {
        let (ids, shuffle) = (ids(500), Shuffle::new(3, 7));
        let mut buckets: Vec<Vec<(u64, &String)>> = vec![Vec::new(); 7];
        for id in &ids {
            let place = shuffle.place(id);
            buckets[place.bucket as usize].push((place.order, id));
        }
        let second_pass = buckets.iter_mut().flat_map(|bucket| {
            bucket.sort();
            bucket.iter().map(|(_, id)| id.to_string()).collect::<Vec<_>>()
        });
        assert_eq!(second_pass.collect::<Vec<_>>(), order(&ids, &shuffle));
    }

    /// Chi-square over 16 places of 4 rows in 20,000 orders of 4: mean 15 for 15 degrees of freedom, 37.7 at p = 0.001.
    /// (By rows and columns only 9 are free; the bound is the wider for it.)
    #[test]
    fn every_row_comes_to_every_position_equally_often() {
        let ids = ids(4);
        let mut counts = [[0.0_f64; 4]; 4];
        for seed in 0..20_000 {
            for (position, id) in order(&ids, &Shuffle::new(seed, 1)).iter().enumerate() {
                counts[ids.iter().position(|other| other == id).unwrap()][position] += 1.0;
            }
        }
        let chi_square: f64 = counts.iter().flatten().map(|n| (n - 5000.0).powi(2) / 5000.0).sum();
        assert!(chi_square < 37.7, "{chi_square} {counts:?}");
    }

    #[test]
    fn buckets_are_filled_evenly() {
        let shuffle = Shuffle::new(11, 8);
        let mut counts = [0_i64; 8];
        ids(8000).iter().for_each(|id| counts[shuffle.place(id).bucket as usize] += 1);
        // Binomial, mean 1000, standard deviation 29.6; five of them.
        assert!(counts.iter().all(|n| (n - 1000).abs() < 148), "{counts:?}");
        assert_eq!(Shuffle::new(1, 0), Shuffle::new(1, 1));
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn the_order_of_the_input_and_removed_rows_do_not_matter(n in 1usize..60, seed in any::<u64>(), gone in 0usize..60) {
            let (all, shuffle) = (ids(n), Shuffle::new(seed, 3));
            let expected = order(&all, &shuffle);
            let turned: Vec<String> = all.iter().rev().cloned().collect();
            prop_assert_eq!(&order(&turned, &shuffle), &expected);
            let fewer: Vec<String> = all.iter().enumerate().filter(|(row, _)| *row != gone).map(|(_, id)| id.clone()).collect();
            let without: Vec<String> = expected.into_iter().filter(|id| *id != format!("row-{gone}")).collect();
            prop_assert_eq!(order(&fewer, &shuffle), without);
        }
    }
}
