//! The external merge: all records of one bucket in order, however many runs they lie in.

use super::segment::{NewFile, Segment, SegmentReader};
use crate::{Error, Result};
use std::{
    cmp::Ordering,
    collections::{BinaryHeap, VecDeque, binary_heap::PeekMut},
    path::{Path, PathBuf},
};

/// What a merge may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Limits {
    /// Segments read at once, at least two; more are merged in several rounds.
    pub(super) fan_in: usize,
    /// Bytes that each segment's reader holds.
    pub(super) buffer_bytes: usize,
    /// Bytes of a record.
    pub(super) record_bytes: usize,
}

/// Hands the records of all segments to `each`, in ascending order. Rounds in between are written beside `place`.
pub(super) fn merge(
    segments: Vec<Segment>,
    limits: Limits,
    place: &Path,
    mut each: impl FnMut(&[u8]) -> Result<()>,
) -> Result<()> {
    let n_given = segments.len();
    let mut queue: VecDeque<(Segment, bool)> = segments.into_iter().map(|segment| (segment, false)).collect();
    let mut round = n_given;
    while queue.len() > limits.fan_in {
        // The first round takes as many as leave full ones for those after it.
        let n_first = (queue.len() - 2) % (limits.fan_in - 1) + 2;
        let taken: Vec<(Segment, bool)> = queue.drain(..n_first).collect();
        let path = between(place, round);
        queue.push_back((write_merged(&taken, limits, &path)?, true));
        remove_between(&taken)?;
        round += 1;
    }
    let rest: Vec<(Segment, bool)> = queue.into();
    merge_at_once(&rest, limits, &mut each)?;
    remove_between(&rest)
}

fn between(place: &Path, round: usize) -> PathBuf {
    let mut name = place.as_os_str().to_owned();
    name.push(format!(".{round}.part"));
    name.into()
}

fn write_merged(taken: &[(Segment, bool)], limits: Limits, path: &Path) -> Result<Segment> {
    let mut file = NewFile::create(path)?;
    let mut checksum = xxhash_rust::xxh3::Xxh3Default::new();
    merge_at_once(taken, limits, &mut |record| {
        checksum.update(record);
        file.write(record)
    })?;
    file.finish()?;
    let n_records = taken.iter().map(|(segment, _)| segment.n_records).sum();
    Ok(Segment { path: path.to_path_buf(), offset: 0, n_records, checksum: checksum.digest() })
}

fn remove_between(taken: &[(Segment, bool)]) -> Result<()> {
    let ours = taken.iter().filter(|(_, is_between)| *is_between);
    ours.map(|(segment, _)| &segment.path)
        .try_for_each(|path| std::fs::remove_file(path).map_err(Error::on_file("remove", path)))
}

fn merge_at_once(
    segments: &[(Segment, bool)],
    limits: Limits,
    each: &mut impl FnMut(&[u8]) -> Result<()>,
) -> Result<()> {
    let mut heads = BinaryHeap::with_capacity(segments.len());
    for (segment, _) in segments {
        let mut reader = SegmentReader::open(segment, limits.buffer_bytes)?;
        let mut record = vec![0; limits.record_bytes];
        if reader.next(&mut record)? {
            heads.push(Head { record, reader });
        }
    }
    while let Some(mut least) = heads.peek_mut() {
        each(&least.record)?;
        let Head { record, reader } = &mut *least;
        if !reader.next(record)? {
            PeekMut::pop(least);
        }
    }
    Ok(())
}

/// A segment with its next record. The heap gives the greatest first, so the order is turned around.
struct Head {
    record: Vec<u8>,
    reader: SegmentReader,
}

impl Ord for Head {
    fn cmp(&self, other: &Self) -> Ordering {
        other.record.cmp(&self.record)
    }
}

impl PartialOrd for Head {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Head {
    fn eq(&self, other: &Self) -> bool {
        self.record == other.record
    }
}

impl Eq for Head {}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn a_merge_sorts_whatever_its_limits(
            mut parts in prop::collection::vec(prop::collection::vec(any::<[u8; 2]>(), 0..12), 0..12),
            fan_in in 2usize..5,
            buffer_bytes in 1usize..9,
        ) {
            let folder = tempfile::tempdir().unwrap();
            let segments: Vec<Segment> = parts.iter_mut().enumerate().map(|(i, records)| {
                records.sort_unstable();
                let path = folder.path().join(format!("segment-{i}"));
                let mut file = NewFile::create(&path).unwrap();
                let mut left = records.iter();
                let checksum = file.write_records(|record| {
                    let next = left.next();
                    next.inspect(|next| next.as_slice().clone_into(record)).is_some()
                }).unwrap();
                file.finish().unwrap();
                Segment { path, offset: 0, n_records: records.len() as u64, checksum }
            }).collect();
            let mut merged = Vec::new();
            let limits = Limits { fan_in, buffer_bytes, record_bytes: 2 };
            merge(segments.clone(), limits, &folder.path().join("out"), |record| {
                merged.push([record[0], record[1]]);
                Ok(())
            }).unwrap();
            let mut all = parts.concat();
            all.sort_unstable();
            prop_assert_eq!(merged, all);
            // Nothing but what was given is left.
            prop_assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), segments.len());
        }
    }
}
