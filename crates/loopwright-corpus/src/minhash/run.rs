//! Sorted runs: what one buffer of documents leaves on disk, all buckets in one file.
//!
//! A run's file, all numbers 64-bit little-endian but the records: a mark of the format, the fingerprint of the
//! settings, the number of records (the same for each bucket), the number of ranges, each range's start and end; each
//! bucket's records in turn; each bucket's checksum. Its length follows from its head, so a cut file is told at once.

use super::{
    buffer::{Buffer, Shape},
    coverage::Coverage,
    segment::{NewFile, Segment},
};
use crate::{Error, Result};
use rayon::prelude::*;
use std::{
    fs::File,
    io::{BufReader, Read, Seek, SeekFrom},
    ops::Range,
    path::{Path, PathBuf},
};

const MARK: u64 = u64::from_le_bytes(*b"LWRUN001");
const NUMBER_BYTES: u64 = size_of::<u64>() as u64;

/// A complete run on disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Run {
    path: PathBuf,
    records_start: u64,
    pub(super) n_records: u64,
    /// The documents that it covers, also those without a record.
    pub(super) ranges: Vec<Range<u64>>,
    pub(super) checksums: Vec<u64>,
}

impl Run {
    /// Sorts the waiting documents, `n_sorts` buckets at once, and writes them.
    pub(super) fn write(
        path: &Path,
        fingerprint: u64,
        shape: Shape,
        buffer: &Buffer,
        covers: &Coverage,
        n_sorts: usize,
    ) -> Result<Self> {
        let mut file = NewFile::create(path)?;
        let n_records = buffer.n_records() as u64;
        let mut head = vec![MARK, fingerprint, n_records, covers.ranges().len() as u64];
        head.extend(covers.ranges().iter().flat_map(|range| [range.start, range.end]));
        let mut checksums = Vec::with_capacity(shape.buckets);
        write_numbers(&mut file, &head)?;
        let buckets: Vec<usize> = (0..shape.buckets).collect();
        for at_once in buckets.chunks(n_sorts) {
            let sorted: Vec<_> = at_once.par_iter().map(|bucket| (*bucket, buffer.sorted(*bucket))).collect();
            for (bucket, places) in sorted {
                let mut places = places.into_iter();
                checksums.push(file.write_records(|record| {
                    let place = places.next();
                    place.inspect(|place| buffer.record(bucket, *place, record)).is_some()
                })?);
            }
        }
        write_numbers(&mut file, &checksums)?;
        file.finish()?;
        let records_start = head.len() as u64 * NUMBER_BYTES;
        Ok(Self { path: path.to_path_buf(), records_start, n_records, ranges: covers.ranges().to_vec(), checksums })
    }

    /// Opens a run that an earlier process wrote; none if the file is not a whole run. Work of other settings is refused.
    pub(super) fn open(path: &Path, fingerprint: u64, shape: Shape) -> Result<Option<Self>> {
        let file = File::open(path).map_err(Error::on_file("open", path))?;
        let length = file.metadata().map_err(Error::on_file("read", path))?.len();
        let mut file = BufReader::new(file);
        let read_error = || Error::on_file("read", path);
        if length < 4 * NUMBER_BYTES {
            return Ok(None);
        }
        let head = read_numbers(&mut file, 4).map_err(read_error())?;
        if head[0] != MARK {
            return Ok(None);
        }
        if head[1] != fingerprint {
            return Err(other_settings(path));
        }
        let (n_records, n_ranges) = (head[2], head[3]);
        let records_start = (4 + 2 * u128::from(n_ranges)) * u128::from(NUMBER_BYTES);
        let records_bytes = u128::from(n_records) * (shape.record_bytes() * shape.buckets) as u128;
        let sums_bytes = u128::from(NUMBER_BYTES) * shape.buckets as u128;
        if u128::from(length) != records_start + records_bytes + sums_bytes {
            return Ok(None);
        }
        let ranges = read_numbers(&mut file, 2 * n_ranges as usize).map_err(read_error())?;
        file.seek(SeekFrom::Start((records_start + records_bytes) as u64)).map_err(read_error())?;
        Ok(Some(Self {
            path: path.to_path_buf(),
            records_start: records_start as u64,
            n_records,
            ranges: ranges.chunks(2).map(|pair| pair[0]..pair[1]).collect(),
            checksums: read_numbers(&mut file, shape.buckets).map_err(read_error())?,
        }))
    }

    /// Where the records of a bucket lie.
    pub(super) fn segment(&self, bucket: usize, shape: Shape) -> Segment {
        Segment {
            path: self.path.clone(),
            offset: self.records_start + bucket as u64 * self.n_records * shape.record_bytes() as u64,
            n_records: self.n_records,
            checksum: self.checksums[bucket],
        }
    }
}

fn other_settings(path: &Path) -> Error {
    Error::Documents {
        expected: "a folder of its own for each search".into(),
        got: format!("`{}`, which other settings made\nhint: take another folder, or empty this one", path.display()),
    }
}

fn write_numbers(file: &mut NewFile, numbers: &[u64]) -> Result<()> {
    numbers.iter().try_for_each(|number| file.write(&number.to_le_bytes()))
}

fn read_numbers(file: &mut impl Read, count: usize) -> std::io::Result<Vec<u64>> {
    let mut bytes = [0; size_of::<u64>()];
    (0..count).map(|_| file.read_exact(&mut bytes).map(|()| u64::from_le_bytes(bytes))).collect()
}
