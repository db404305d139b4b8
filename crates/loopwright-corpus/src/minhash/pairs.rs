//! What a merged bucket leaves: pairs of neighbours that agree in the whole bucket, in the order of the records.
//!
//! A bucket's file, numbers little-endian: a mark of the format, a digest of the runs it was made of, the number of
//! pairs (64 bits each); the pairs (32 bits for each document). Its length follows from its head.

use super::{
    buffer::Shape,
    merge::{Limits, merge},
    segment::{NewFile, Segment},
};
use crate::{Error, Result};
use std::{
    fs::File,
    io::{BufReader, ErrorKind, Read},
    path::Path,
};

const MARK: u64 = u64::from_le_bytes(*b"LWPAIR01");
const HEAD_BYTES: u64 = 24;
const PAIR_BYTES: u64 = 8;

/// Merges a bucket's segments and writes the pairs of documents that have the same key and follow one another.
pub(super) fn write(path: &Path, digest: u64, segments: Vec<Segment>, shape: Shape, limits: Limits) -> Result<()> {
    let mut file = NewFile::create(path)?;
    let key_bytes = shape.key_bytes();
    let (mut last, mut n_pairs) = (Vec::new(), 0u64);
    file.write(&head(digest, n_pairs))?;
    merge(segments, limits, path, |record| {
        if last.len() == record.len() && last[..key_bytes] == record[..key_bytes] {
            n_pairs += 1;
            file.write(&pair_bytes(&last[key_bytes..], &record[key_bytes..]))?;
        }
        record.clone_into(&mut last);
        Ok(())
    })?;
    file.write_at(0, &head(digest, n_pairs))?;
    file.finish()
}

fn head(digest: u64, n_pairs: u64) -> [u8; HEAD_BYTES as usize] {
    let mut head = [0; HEAD_BYTES as usize];
    for (place, number) in head.chunks_exact_mut(8).zip([MARK, digest, n_pairs]) {
        place.copy_from_slice(&number.to_le_bytes());
    }
    head
}

/// The big-endian indices of two records as one little-endian pair.
fn pair_bytes(a: &[u8], b: &[u8]) -> [u8; PAIR_BYTES as usize] {
    [a[3], a[2], a[1], a[0], b[3], b[2], b[1], b[0]]
}

/// How many pairs a finished file holds; none if it is not there, not whole, or of other runs.
pub(super) fn count(path: &Path, digest: u64) -> Result<Option<u64>> {
    let mut file = match File::open(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        file => file.map_err(Error::on_file("open", path))?,
    };
    let length = file.metadata().map_err(Error::on_file("read", path))?.len();
    if length < HEAD_BYTES {
        return Ok(None);
    }
    let mut found = [0; HEAD_BYTES as usize];
    file.read_exact(&mut found).map_err(Error::on_file("read", path))?;
    let n_pairs = (length - HEAD_BYTES) / PAIR_BYTES;
    let is_whole = (length - HEAD_BYTES).is_multiple_of(PAIR_BYTES) && found == head(digest, n_pairs);
    Ok(is_whole.then_some(n_pairs))
}

/// Hands the pairs of a finished file to `each`.
pub(super) fn read(path: &Path, mut each: impl FnMut(u32, u32)) -> Result<()> {
    let mut file = BufReader::new(File::open(path).map_err(Error::on_file("open", path))?);
    let mut found = [0; HEAD_BYTES as usize];
    file.read_exact(&mut found).map_err(Error::on_file("read", path))?;
    let [.., a, b, c, d, e, f, g, h] = found;
    for _ in 0..u64::from_le_bytes([a, b, c, d, e, f, g, h]) {
        let mut pair = [0; PAIR_BYTES as usize];
        file.read_exact(&mut pair).map_err(Error::on_file("read", path))?;
        let [a, b, c, d, e, f, g, h] = pair;
        each(u32::from_le_bytes([a, b, c, d]), u32::from_le_bytes([e, f, g, h]));
    }
    Ok(())
}
