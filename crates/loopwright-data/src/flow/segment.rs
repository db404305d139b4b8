//! Files of rows on disk: written whole or not at all, and checked when they are read.
//!
//! ```text
//! "lwflow" 0 1 │ 4 × (length u64, XXH3 u64) │ 4 blocks, each postcard under LZ4
//! ```
//!
//! One file holds what a step made of one batch: its book, the rows it left out, its changes, the rows that stay. A
//! reader takes one block and skips the others. A file is written under another name, synced and renamed, so that one
//! with the right name is complete whatever happened.

use crate::{Error, Result};
use serde::{Serialize, de::DeserializeOwned};
use std::{
    fs::{self, File},
    io::{self, Read, Seek, SeekFrom, Write},
    path::Path,
};
use xxhash_rust::xxh3::xxh3_64;

const MAGIC: [u8; 8] = *b"lwflow\0\x01";
const N_BLOCKS: usize = 4;
const HEADER_BYTES: usize = 8 + N_BLOCKS * 16;

/// The blocks of a file, in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Block {
    /// Counts and what else is to be known of the batch.
    Book,
    /// Rows left out.
    Dropped,
    /// Which step changed which row.
    Changed,
    /// The rows that stay, or what becomes of rows that lie elsewhere.
    Rows,
}

/// A block's bytes.
pub(crate) fn encode(value: &impl Serialize) -> Result<Vec<u8>> {
    let plain = postcard::to_allocvec(value).map_err(|error| Error::outside("encode rows", error))?;
    Ok(lz4_flex::block::compress_prepend_size(&plain))
}

/// Writes a file of blocks.
pub(crate) fn write(path: &Path, blocks: [Vec<u8>; N_BLOCKS]) -> Result<()> {
    let mut header = MAGIC.to_vec();
    for block in &blocks {
        header.extend((block.len() as u64).to_le_bytes());
        header.extend(xxh3_64(block).to_le_bytes());
    }
    let parts: Vec<&[u8]> = [header.as_slice()].into_iter().chain(blocks.iter().map(Vec::as_slice)).collect();
    write_whole(path, &parts)
}

/// Writes a file that appears with all its bytes or not at all, even if the power goes.
pub(crate) fn write_whole(path: &Path, parts: &[&[u8]]) -> Result<()> {
    let beside = path.with_extension("tmp");
    let written = || -> io::Result<()> {
        let mut file = File::create(&beside)?;
        parts.iter().try_for_each(|part| file.write_all(part))?;
        file.sync_all()?;
        fs::rename(&beside, path)?;
        sync_folder(path)
    };
    written().map_err(|error| Error::file("write", path, error))
}

/// A rename is only sure once its folder is on disk. Elsewhere than on Unix a folder cannot be opened for that.
fn sync_folder(path: &Path) -> io::Result<()> {
    match path.parent() {
        Some(folder) if cfg!(unix) => File::open(folder)?.sync_all(),
        _ => Ok(()),
    }
}

/// Reads one block of a file.
pub(crate) fn read<T: DeserializeOwned>(path: &Path, block: Block) -> Result<T> {
    let damaged = |reason: &str| Error::work_folder(path, format!("the file is damaged: {reason}"));
    let (bytes, checksum) = read_block(path, block).map_err(|error| Error::file("read", path, error))?;
    if Some(xxh3_64(&bytes)) != checksum {
        return Err(damaged("its checksum is another one"));
    }
    let plain = lz4_flex::block::decompress_size_prepended(&bytes).map_err(|error| damaged(&error.to_string()))?;
    postcard::from_bytes(&plain).map_err(|error| damaged(&error.to_string()))
}

/// A block's bytes and their checksum; no checksum, if the file is of another format or shorter than its header says.
fn read_block(path: &Path, block: Block) -> io::Result<(Vec<u8>, Option<u64>)> {
    let mut file = File::open(path)?;
    let size_bytes = file.metadata()?.len();
    let mut header = [0; HEADER_BYTES];
    if size_bytes < HEADER_BYTES as u64 {
        return Ok((Vec::new(), None));
    }
    file.read_exact(&mut header)?;
    let number = |at: usize| u64::from_le_bytes(std::array::from_fn(|byte| header[at + byte]));
    let length = |block: usize| number(8 + block * 16);
    let start = (0..block as usize).try_fold(HEADER_BYTES as u64, |sum, block| sum.checked_add(length(block)));
    let end = start.and_then(|start| start.checked_add(length(block as usize)));
    let (Some(start), Some(end)) = (start, end) else { return Ok((Vec::new(), None)) };
    if header[..8] != MAGIC || end > size_bytes {
        return Ok((Vec::new(), None));
    }
    file.seek(SeekFrom::Start(start))?;
    let mut bytes = vec![0; (end - start) as usize];
    file.read_exact(&mut bytes)?;
    Ok((bytes, Some(number(16 + block as usize * 16))))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn each_block_comes_back_by_itself() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("part");
        let block = |text: &str| encode(&vec![text.to_string(); 3]).unwrap();
        write(&path, [block("book"), block("dropped"), block(""), block("rows")]).unwrap();
        for (which, expected) in
            [(Block::Book, "book"), (Block::Dropped, "dropped"), (Block::Changed, ""), (Block::Rows, "rows")]
        {
            assert_eq!(read::<Vec<String>>(&path, which).unwrap(), vec![expected.to_string(); 3], "{which:?}");
        }
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "nothing is left beside the file");
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn a_damaged_file_is_refused(at in 0usize..2000, to in any::<u8>(), cut in any::<bool>()) {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("part");
            let rows: Vec<String> = (0..200).map(|row| format!("row {}", row * 7919)).collect();
            write(&path, std::array::from_fn(|_| encode(&rows).unwrap())).unwrap();
            let mut bytes = fs::read(&path).unwrap();
            let at = at % bytes.len();
            prop_assume!(cut || bytes[at] != to);
            if cut { bytes.truncate(at) } else { bytes[at] = to }
            fs::write(&path, &bytes).unwrap();
            for block in [Block::Book, Block::Dropped, Block::Changed, Block::Rows] {
                // Other blocks than the damaged one may still be read, but never as something else.
                if let Ok(read) = read::<Vec<String>>(&path, block) {
                    prop_assert_eq!(&read, &rows);
                }
            }
            let refused = [Block::Book, Block::Dropped, Block::Changed, Block::Rows]
                .iter().any(|block| read::<Vec<String>>(&path, *block).is_err());
            prop_assert!(refused);
        }
    }
}
