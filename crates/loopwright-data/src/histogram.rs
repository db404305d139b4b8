//! How many rows have which length.

use std::collections::BTreeMap;

/// Rows per length. It grows with the number of different lengths, not of rows.
#[derive(Clone, Debug, Default)]
pub(crate) struct Histogram(BTreeMap<u64, u64>);

impl Histogram {
    pub(crate) fn add(&mut self, length: u64) {
        *self.0.entry(length).or_default() += 1;
    }

    /// The sum of all lengths.
    pub(crate) fn total(&self) -> u64 {
        self.0.iter().map(|(length, n_rows)| length * n_rows).sum()
    }

    /// Minimum, median, 95th percentile and maximum.
    pub(crate) fn spread(&self) -> [u64; 4] {
        [0, 50, 95, 100].map(|percent| self.at(percent))
    }

    /// A percentile by nearest rank; the 0th is the least.
    fn at(&self, percent: u64) -> u64 {
        let n_rows: u64 = self.0.values().sum();
        let rank = (n_rows * percent).div_ceil(100).max(1);
        let mut seen = 0;
        let mut at_rank = self.0.iter().skip_while(|(_, n)| {
            seen += **n;
            seen < rank
        });
        at_rank.next().map_or(0, |(length, _)| *length)
    }

    /// Rows in bins that end at 1, 2 and 5 times a power of ten, from the first that holds a row to the last: the longest
    /// length of each bin, and its rows.
    pub(crate) fn bins(&self) -> Vec<(u64, u64)> {
        let Some(longest) = self.0.keys().next_back().copied() else { return Vec::new() };
        let ends = (0..).flat_map(|power| [1, 2, 5].map(|factor| factor * 10_u64.saturating_pow(power)));
        let mut bins: Vec<(u64, u64)> = Vec::new();
        let mut from = 0;
        for most in ends {
            let n_rows = self.0.range(from..=most).map(|(_, n)| n).sum();
            if n_rows > 0 || !bins.is_empty() {
                bins.push((most, n_rows));
            }
            if most >= longest {
                break;
            }
            from = most + 1;
        }
        bins
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bins_grow_and_hold_every_row() {
        let mut histogram = Histogram::default();
        assert_eq!((histogram.bins(), histogram.spread(), histogram.total()), (Vec::new(), [0; 4], 0));
        [2, 2, 9, 18, 0].into_iter().for_each(|length| histogram.add(length));
        assert_eq!(histogram.bins(), [(1, 1), (2, 2), (5, 0), (10, 1), (20, 1)]);
        assert_eq!((histogram.spread(), histogram.total()), ([0, 2, 18, 18], 31));
    }
}
