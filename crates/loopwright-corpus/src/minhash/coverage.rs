//! Which documents were taken in, as ranges of their indices.

use std::ops::Range;

/// A set of indices, kept as sorted ranges that do not touch.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Coverage(Vec<Range<u64>>);

impl Coverage {
    pub(super) fn ranges(&self) -> &[Range<u64>] {
        &self.0
    }

    pub(super) fn clear(&mut self) {
        self.0.clear();
    }

    pub(super) fn contains(&self, index: u64) -> bool {
        let at = self.0.partition_point(|range| range.end <= index);
        self.0.get(at).is_some_and(|range| range.start <= index)
    }

    /// Takes the indices of `new` in.
    pub(super) fn insert(&mut self, new: Range<u64>) {
        if new.is_empty() {
            return;
        }
        let from = self.0.partition_point(|range| range.end < new.start);
        let to = self.0.partition_point(|range| range.start <= new.end);
        let touched = &self.0[from..to];
        let start = touched.first().map_or(new.start, |first| first.start.min(new.start));
        let end = touched.last().map_or(new.end, |last| last.end.max(new.end));
        self.0.splice(from..to, std::iter::once(start..end));
    }

    /// The parts of `wanted` that are not in the set.
    pub(super) fn missing(&self, wanted: Range<u64>) -> Vec<Range<u64>> {
        let (mut missing, mut next) = (Vec::new(), wanted.start);
        let from = self.0.partition_point(|range| range.end <= wanted.start);
        for range in self.0[from..].iter().take_while(|range| range.start < wanted.end) {
            if next < range.start {
                missing.push(next..range.start);
            }
            next = range.end;
        }
        if next < wanted.end {
            missing.push(next..wanted.end);
        }
        missing
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn it_is_a_set_of_indices(
            inserts in prop::collection::vec((0u64..60, 0u64..9), 0..20),
            (start, length) in (0u64..60, 0u64..30),
        ) {
            let (mut coverage, mut set) = (Coverage::default(), BTreeSet::new());
            for (start, length) in inserts {
                coverage.insert(start..start + length);
                set.extend(start..start + length);
            }
            prop_assert!((0..70).all(|index| coverage.contains(index) == set.contains(&index)));
            prop_assert!(coverage.ranges().windows(2).all(|pair| pair[0].end < pair[1].start));
            let missing: Vec<u64> = coverage.missing(start..start + length).into_iter().flatten().collect();
            let wanted: Vec<u64> = (start..start + length).filter(|index| !set.contains(index)).collect();
            prop_assert_eq!(missing, wanted);
        }
    }
}
