//! Sorted records in a file: written once, read from left to right, with a checksum of all of them.

use crate::{Error, Result};
use std::{
    fs::File,
    io::{BufReader, BufWriter, Error as IoError, ErrorKind, Read, Seek, SeekFrom, Write},
    path::{Path, PathBuf},
};
use xxhash_rust::xxh3::Xxh3Default;

/// Bytes that a file's writer collects before it writes.
pub(super) const WRITE_BUFFER_BYTES: usize = 64 << 10;

/// Where sorted records lie.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Segment {
    pub(super) path: PathBuf,
    pub(super) offset: u64,
    pub(super) n_records: u64,
    pub(super) checksum: u64,
}

/// A file that is not there until it is complete: it is written beside its place, then renamed.
pub(super) struct NewFile {
    place: PathBuf,
    part: PathBuf,
    pub(super) writer: BufWriter<File>,
}

impl NewFile {
    pub(super) fn create(place: &Path) -> Result<Self> {
        let mut part = place.as_os_str().to_owned();
        part.push(".part");
        let part = PathBuf::from(part);
        let file = File::create(&part).map_err(Error::on_file("create", &part))?;
        Ok(Self { place: place.to_path_buf(), part, writer: BufWriter::with_capacity(WRITE_BUFFER_BYTES, file) })
    }

    pub(super) fn write(&mut self, bytes: &[u8]) -> Result<()> {
        self.writer.write_all(bytes).map_err(Error::on_file("write", &self.part))
    }

    /// Writes over what stands at `offset`.
    pub(super) fn write_at(&mut self, offset: u64, bytes: &[u8]) -> Result<()> {
        self.writer.seek(SeekFrom::Start(offset)).map_err(Error::on_file("write", &self.part))?;
        self.write(bytes)
    }

    /// Writes the records that `next` leaves in its argument until it returns false; returns their checksum.
    pub(super) fn write_records(&mut self, mut next: impl FnMut(&mut Vec<u8>) -> bool) -> Result<u64> {
        let (mut checksum, mut record) = (Xxh3Default::new(), Vec::new());
        while next(&mut record) {
            checksum.update(&record);
            self.write(&record)?;
        }
        Ok(checksum.digest())
    }

    /// Puts the file in its place.
    pub(super) fn finish(mut self) -> Result<()> {
        self.writer.flush().map_err(Error::on_file("write", &self.part))?;
        std::fs::rename(&self.part, &self.place).map_err(Error::on_file("create", &self.place))
    }
}

/// Reads a segment's records.
pub(super) struct SegmentReader {
    path: PathBuf,
    file: BufReader<File>,
    left: u64,
    checksum: Xxh3Default,
    expected: u64,
}

impl SegmentReader {
    pub(super) fn open(segment: &Segment, buffer_bytes: usize) -> Result<Self> {
        let mut file = File::open(&segment.path).map_err(Error::on_file("open", &segment.path))?;
        file.seek(SeekFrom::Start(segment.offset)).map_err(Error::on_file("read", &segment.path))?;
        Ok(Self {
            path: segment.path.clone(),
            file: BufReader::with_capacity(buffer_bytes, file),
            left: segment.n_records,
            checksum: Xxh3Default::new(),
            expected: segment.checksum,
        })
    }

    /// Reads the next record; false after the last one, once the checksum of all is found to be right.
    pub(super) fn next(&mut self, record: &mut [u8]) -> Result<bool> {
        if self.left == 0 {
            return if self.checksum.digest() == self.expected { Ok(false) } else { Err(self.damaged()) };
        }
        self.file.read_exact(record).map_err(Error::on_file("read", &self.path))?;
        self.checksum.update(record);
        self.left -= 1;
        Ok(true)
    }

    fn damaged(&self) -> Error {
        let why =
            "its checksum is wrong\nhint: delete the file and run the search again; only its documents are redone";
        Error::on_file("read", &self.path)(IoError::new(ErrorKind::InvalidData, why))
    }
}
