//! Sorting more records than fit in memory.
//!
//! External merge sort (Knuth, The Art of Computer Programming, volume 3, section 5.4): fill a buffer, sort it, write it
//! as a run; then merge the runs. Records are a few numbers, compared one after another. Fewer runs than
//! [`RUNS_MERGED_MAX`] are merged while they are read; more are merged to fewer first.

use crate::{Error, Result};
use rayon::slice::ParallelSliceMut;
use std::{
    cmp::Reverse,
    collections::BinaryHeap,
    fs::{self, File},
    io::{BufReader, BufWriter, ErrorKind, Read, Write},
    path::{Path, PathBuf},
    vec,
};

/// Runs that are read at once; each takes a buffer of [`BUFFER_BYTES`].
const RUNS_MERGED_MAX: usize = 64;
const BUFFER_BYTES: usize = 32 * 1024;
/// Least number of records in a run, so that a tiny memory does not make a file of each record.
const RUN_RECORDS_MIN: usize = 64;

/// Takes records in any order and gives them back sorted.
pub(crate) struct Sorter<const N: usize> {
    folder: PathBuf,
    name: &'static str,
    held: Vec<[u64; N]>,
    held_max: usize,
    runs: Vec<PathBuf>,
    n_runs_written: usize,
}

impl<const N: usize> Sorter<N> {
    /// A sorter that holds so many bytes of records and writes its runs into `folder`.
    pub(crate) fn new(folder: &Path, name: &'static str, memory_bytes: u64) -> Self {
        let held_max = (memory_bytes as usize / size_of::<[u64; N]>()).max(RUN_RECORDS_MIN);
        Self { folder: folder.to_path_buf(), name, held: Vec::new(), held_max, runs: Vec::new(), n_runs_written: 0 }
    }

    /// Takes a record.
    pub(crate) fn push(&mut self, record: [u64; N]) -> Result<()> {
        if self.held.capacity() == 0 {
            // Untouched memory costs nothing; growing would copy, and hold both copies for a moment.
            self.held.reserve_exact(self.held_max);
        }
        self.held.push(record);
        if self.held.len() == self.held_max {
            self.write_held()?;
        }
        Ok(())
    }

    fn write_held(&mut self) -> Result<()> {
        self.held.par_sort_unstable();
        let held = std::mem::take(&mut self.held);
        self.write_run(held.iter().copied().map(Ok))?;
        self.held = held;
        self.held.clear();
        Ok(())
    }

    fn write_run(&mut self, records: impl Iterator<Item = Result<[u64; N]>>) -> Result<()> {
        let path = self.folder.join(format!("{}-{:06}.run", self.name, self.n_runs_written));
        let failed = |error| Error::file("write", &path, error);
        let mut file = BufWriter::with_capacity(BUFFER_BYTES, File::create(&path).map_err(failed)?);
        for record in records {
            let bytes = record?.map(u64::to_le_bytes);
            file.write_all(bytes.as_flattened()).map_err(failed)?;
        }
        file.flush().map_err(failed)?;
        self.n_runs_written += 1;
        self.runs.push(path);
        Ok(())
    }

    /// The records in order.
    pub(crate) fn finish(mut self) -> Result<Sorted<N>> {
        if self.runs.is_empty() {
            self.held.par_sort_unstable();
            return Ok(Sorted::Held(self.held.into_iter()));
        }
        self.write_held()?;
        self.held = Vec::new();
        while self.runs.len() > RUNS_MERGED_MAX {
            let first: Vec<PathBuf> = self.runs.drain(..RUNS_MERGED_MAX).collect();
            let merged = Merge::open(&first)?;
            self.write_run(merged)?;
            for path in first {
                fs::remove_file(&path).map_err(|error| Error::file("remove", &path, error))?;
            }
        }
        Ok(Sorted::Merged(Merge::open(&self.runs)?))
    }
}

/// Records in order.
pub(crate) enum Sorted<const N: usize> {
    /// They fit in memory.
    Held(vec::IntoIter<[u64; N]>),
    /// They did not.
    Merged(Merge<N>),
}

impl<const N: usize> Iterator for Sorted<N> {
    type Item = Result<[u64; N]>;

    fn next(&mut self) -> Option<Self::Item> {
        match self {
            Self::Held(records) => records.next().map(Ok),
            Self::Merged(merge) => merge.next(),
        }
    }
}

/// Several runs as one.
pub(crate) struct Merge<const N: usize> {
    runs: Vec<(PathBuf, BufReader<File>)>,
    /// The next record of each run that has one.
    heads: BinaryHeap<Reverse<([u64; N], usize)>>,
}

impl<const N: usize> Merge<N> {
    fn open(paths: &[PathBuf]) -> Result<Self> {
        let mut merge = Self { runs: Vec::new(), heads: BinaryHeap::new() };
        for path in paths {
            let file = File::open(path).map_err(|error| Error::file("read", path, error))?;
            merge.runs.push((path.clone(), BufReader::with_capacity(BUFFER_BYTES, file)));
            merge.advance(merge.runs.len() - 1)?;
        }
        Ok(merge)
    }

    fn advance(&mut self, run: usize) -> Result<()> {
        let (path, file) = &mut self.runs[run];
        let mut bytes = [[0; 8]; N];
        match file.read_exact(bytes.as_flattened_mut()) {
            Ok(()) => self.heads.push(Reverse((bytes.map(u64::from_le_bytes), run))),
            Err(error) if error.kind() == ErrorKind::UnexpectedEof => {}
            Err(error) => return Err(Error::file("read", path, error)),
        }
        Ok(())
    }
}

impl<const N: usize> Iterator for Merge<N> {
    type Item = Result<[u64; N]>;

    fn next(&mut self) -> Option<Self::Item> {
        let Reverse((record, run)) = self.heads.pop()?;
        Some(self.advance(run).map(|()| record))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn check(records: &[[u64; 2]], memory_bytes: u64) {
        let folder = tempfile::tempdir().unwrap();
        let mut sorter = Sorter::new(folder.path(), "test", memory_bytes);
        records.iter().for_each(|record| sorter.push(*record).unwrap());
        let sorted: Vec<[u64; 2]> = sorter.finish().unwrap().map(Result::unwrap).collect();
        let mut expected = records.to_vec();
        expected.sort_unstable();
        assert_eq!(sorted, expected);
    }

    #[test]
    fn more_runs_than_are_read_at_once_are_merged_first() {
        let records: Vec<[u64; 2]> =
            (0..(RUN_RECORDS_MIN * (2 * RUNS_MERGED_MAX + 3)) as u64).map(|i| [i * 7919 % 1000, i]).collect();
        check(&records, 0);
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn any_records_are_sorted(
            records in prop::collection::vec(any::<[u8; 2]>(), 0..700), memory_bytes in 0u64..12_000
        ) {
            let records: Vec<[u64; 2]> = records.iter().map(|record| record.map(u64::from)).collect();
            check(&records, memory_bytes);
        }
    }
}
