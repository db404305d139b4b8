//! GGUF files (the GGML project's specification, version 2 and 3), for answers: one file with a header of named values,
//! the names and places of tensors, and their numbers.
//!
//! Numbers in F32, F16, BF16, Q8_0, Q4_0, Q4_K and Q6_K are read. The header comes from anywhere, so every length in
//! it is held against a bound before memory is asked for.

mod model;
mod write;

use crate::{
    error::{Error, Result},
    held::{SUPER, SUPER_BYTES, unpack_q4k},
    weights::{from_bf16, from_f16},
};
use serde_json::Value;
use std::{
    collections::BTreeMap,
    fs::File,
    io::{BufReader, Read, Seek, SeekFrom},
    path::{Path, PathBuf},
};

pub use model::config_of_gguf;
pub(crate) use write::write;

/// Ending of a file's name.
pub const GGUF_ENDING: &str = "gguf";

/// The weights of a model's folder, where they are in few bits.
pub const GGUF_FILE: &str = "model.gguf";

/// The folder's weights as GGUF, where it has such.
pub(crate) fn in_folder(dir: &Path) -> Option<PathBuf> {
    let path = dir.join(GGUF_FILE);
    path.is_file().then_some(path)
}

const MAGIC: [u8; 4] = *b"GGUF";
/// Longest text; a chat template may have a few thousand bytes.
const TEXT_BYTES_MAX: u64 = 1 << 20;
/// Most tensors and named values; a model of a hundred blocks has about a thousand.
const ENTRIES_MAX: u64 = 1 << 16;
/// Most entries of a list; vocabularies have up to 300,000.
const LIST_MAX: u64 = 1 << 22;
/// Most dimensions that the format knows.
const RANK_MAX: u32 = 4;
/// Numbers that share one scale in Q8_0 and Q4_0.
const BLOCK: usize = 32;

/// An opened file.
pub(crate) struct Gguf {
    path: PathBuf,
    file: File,
    /// Named values; lists are left out, as nothing here needs one.
    values: BTreeMap<String, Value>,
    tensors: BTreeMap<String, Entry>,
    /// Where the numbers begin.
    first: u64,
}

struct Entry {
    /// Rows first, as everywhere else here; the file has it the other way round.
    shape: Vec<usize>,
    kind: u32,
    offset: u64,
}

/// Reads the header's little-endian parts.
struct Header<R> {
    input: R,
}

impl<R: Read> Header<R> {
    fn bytes<const N: usize>(&mut self) -> std::io::Result<[u8; N]> {
        let mut bytes = [0u8; N];
        self.input.read_exact(&mut bytes)?;
        Ok(bytes)
    }

    fn u32(&mut self) -> std::io::Result<u32> {
        self.bytes().map(u32::from_le_bytes)
    }

    fn u64(&mut self) -> std::io::Result<u64> {
        self.bytes().map(u64::from_le_bytes)
    }

    /// A count or length, held against its bound.
    fn count(&mut self, what: &str, most: u64) -> std::io::Result<u64> {
        match self.u64()? {
            count if count <= most => Ok(count),
            count => Err(wrong(format!("{what}: expected at most {most}, got {count}"))),
        }
    }

    fn text(&mut self) -> std::io::Result<String> {
        let length = self.count("bytes of a text", TEXT_BYTES_MAX)?;
        let mut bytes = vec![0u8; length as usize];
        self.input.read_exact(&mut bytes)?;
        String::from_utf8(bytes).map_err(|_| wrong("a text that is not UTF-8".into()))
    }

    /// A value of a kind by its number; a list is passed over and gives null.
    fn value(&mut self, kind: u32) -> std::io::Result<Value> {
        Ok(match kind {
            0 => self.bytes::<1>()?[0].into(),
            1 => i8::from_le_bytes(self.bytes()?).into(),
            2 => u16::from_le_bytes(self.bytes()?).into(),
            3 => i16::from_le_bytes(self.bytes()?).into(),
            4 => self.u32()?.into(),
            5 => i32::from_le_bytes(self.bytes()?).into(),
            // By way of text, so that 0.1 stays 0.1.
            6 => f32::from_le_bytes(self.bytes()?).to_string().parse::<f64>().unwrap_or(f64::NAN).into(),
            7 => (self.bytes::<1>()?[0] != 0).into(),
            8 => self.text()?.into(),
            9 => {
                let kind = self.u32()?;
                if kind == 9 {
                    return Err(wrong("a list of lists".into()));
                }
                for _ in 0..self.count("entries of a list", LIST_MAX)? {
                    self.value(kind)?;
                }
                Value::Null
            }
            10 => self.u64()?.into(),
            11 => i64::from_le_bytes(self.bytes()?).into(),
            12 => f64::from_le_bytes(self.bytes()?).into(),
            kind => return Err(wrong(format!("a value of the unknown kind {kind}"))),
        })
    }
}

fn wrong(message: String) -> std::io::Error {
    std::io::Error::new(std::io::ErrorKind::InvalidData, message)
}

impl Gguf {
    /// Reads a file's header.
    pub(crate) fn open(path: &Path) -> Result<Self> {
        let file = File::open(path).map_err(|source| Error::io("read", path, source))?;
        Self::read(path, file).map_err(|source| {
            let message = format!("`{}` is not a whole GGUF file that we can read", path.display());
            Error::caused(crate::Kind::BadFile, message, source)
        })
    }

    fn read(path: &Path, file: File) -> std::io::Result<Self> {
        let mut header = Header { input: BufReader::new(file.try_clone()?) };
        if header.bytes::<4>()? != MAGIC {
            return Err(wrong("it does not begin with GGUF".into()));
        }
        let version = header.u32()?;
        if !(2..=3).contains(&version) {
            return Err(wrong(format!("expected version 2 or 3, got {version}")));
        }
        let n_tensors = header.count("tensors", ENTRIES_MAX)?;
        let mut values = BTreeMap::new();
        for _ in 0..header.count("named values", ENTRIES_MAX)? {
            let (key, kind) = (header.text()?, header.u32()?);
            values.insert(key, header.value(kind)?);
        }
        let mut tensors = BTreeMap::new();
        for _ in 0..n_tensors {
            let (name, rank) = (header.text()?, header.u32()?);
            if rank > RANK_MAX {
                return Err(wrong(format!("tensor `{name}` has {rank} dimensions")));
            }
            let sizes = (0..rank).map(|_| header.u64()).collect::<std::io::Result<Vec<_>>>()?;
            let shape = sizes.iter().rev().map(|size| *size as usize).collect();
            let entry = Entry { shape, kind: header.u32()?, offset: header.u64()? };
            tensors.insert(name, entry);
        }
        let alignment = values.get("general.alignment").and_then(Value::as_u64).unwrap_or(32).max(1);
        let first = header.input.stream_position()?.next_multiple_of(alignment);
        Ok(Self { path: path.to_owned(), file, values, tensors, first })
    }

    /// Whether a tensor is there and was not taken.
    fn has(&self, name: &str) -> bool {
        self.tensors.contains_key(name)
    }

    /// Removes a tensor of the given shape.
    fn take(&mut self, name: &str, shape: &[usize]) -> Result<Vec<f32>> {
        let (kind, bytes) = self.take_bytes(name, shape)?;
        Ok(numbers(&bytes, kind))
    }

    /// The same as it lies in the file: the type of its numbers, and their bytes.
    fn take_bytes(&mut self, name: &str, shape: &[usize]) -> Result<(u32, Vec<u8>)> {
        let refuse = |message: String| Error::bad_file(&self.path, format!("tensor `{name}`{message}"));
        let Some(entry) = self.tensors.remove(name) else { return Err(refuse(" is missing".into())) };
        if entry.shape != shape {
            return Err(refuse(format!(": expected shape {shape:?}, got {:?}", entry.shape)));
        }
        let n = shape.iter().try_fold(1usize, |n, size| n.checked_mul(*size));
        let size = n.and_then(|n| size_bytes(entry.kind, n));
        let Some(size_bytes) = size.filter(|_| shape.last().is_some_and(|n| fits(entry.kind, *n))) else {
            let known = "F32, F16, BF16, Q8_0, Q4_0, Q4_K or Q6_K";
            return Err(refuse(format!(": expected {known} in whole blocks, got type {}", entry.kind)));
        };
        let rest = self.file.metadata().map(|file| file.len()).unwrap_or(0).saturating_sub(self.first);
        if entry.offset.checked_add(size_bytes as u64).is_none_or(|end| end > rest) {
            return Err(refuse(format!(": the file ends before its {size_bytes} bytes")));
        }
        let mut bytes = vec![0u8; size_bytes];
        let mut file = &self.file;
        file.seek(SeekFrom::Start(self.first.saturating_add(entry.offset)))
            .and_then(|_| file.read_exact(&mut bytes))
            .map_err(|source| Error::io("read", &self.path, source))?;
        Ok((entry.kind, bytes))
    }

    /// Refuses tensors that nobody took.
    fn finish(self) -> Result<()> {
        match self.tensors.keys().next() {
            None => Ok(()),
            Some(name) => Err(Error::bad_file(&self.path, format!("tensor `{name}` is not part of this model"))),
        }
    }
}

/// Types of numbers by the format's own codes.
const F32: u32 = 0;
const F16: u32 = 1;
const Q4_0: u32 = 2;
const Q8_0: u32 = 8;
const Q4_K: u32 = 12;
const Q6_K: u32 = 14;
const BF16: u32 = 30;

/// Bytes of so many numbers; none for other types.
fn size_bytes(kind: u32, n: usize) -> Option<usize> {
    match kind {
        F32 => n.checked_mul(4),
        F16 | BF16 => n.checked_mul(2),
        Q8_0 => Some(n / BLOCK * (2 + BLOCK)),
        Q4_0 => Some(n / BLOCK * (2 + BLOCK / 2)),
        Q4_K => Some(n / SUPER * SUPER_BYTES),
        Q6_K => Some(n / SUPER * Q6_K_BYTES),
        _ => None,
    }
}

/// Whether rows of this width are whole blocks.
fn fits(kind: u32, width: usize) -> bool {
    match kind {
        Q8_0 | Q4_0 => width.is_multiple_of(BLOCK),
        Q4_K | Q6_K => width.is_multiple_of(SUPER),
        _ => true,
    }
}

fn numbers(bytes: &[u8], kind: u32) -> Vec<f32> {
    let halves = |of: fn(u16) -> f32| bytes.as_chunks::<2>().0.iter().map(|b| of(u16::from_le_bytes(*b))).collect();
    match kind {
        F16 => halves(from_f16),
        BF16 => halves(from_bf16),
        // A scale and 32 signed bytes.
        Q8_0 => blocks(bytes, 2 + BLOCK, |packed, out| {
            out.extend(packed.iter().map(|byte| f32::from(i8::from_le_bytes([*byte]))));
        }),
        // A scale and 16 bytes: the low halves are the first 16 numbers, the high halves the others, each less 8.
        Q4_0 => blocks(bytes, 2 + BLOCK / 2, |packed, out| {
            out.extend(packed.iter().map(|byte| f32::from(byte & 15) - 8.0));
            out.extend(packed.iter().map(|byte| f32::from(byte >> 4) - 8.0));
        }),
        Q4_K => {
            let mut out = Vec::with_capacity(bytes.len() / SUPER_BYTES * SUPER);
            unpack_q4k(bytes, &mut out);
            out
        }
        Q6_K => bytes.chunks_exact(Q6_K_BYTES).flat_map(q6k_block).collect(),
        _ => bytes.as_chunks::<4>().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect(),
    }
}

/// Blocks of a half-precision scale and packed whole numbers.
fn blocks(bytes: &[u8], size: usize, unpack: impl Fn(&[u8], &mut Vec<f32>)) -> Vec<f32> {
    let mut out = Vec::with_capacity(bytes.len() / size * BLOCK);
    for block in bytes.chunks_exact(size) {
        let scale = from_f16(u16::from_le_bytes([block[0], block[1]]));
        let from = out.len();
        unpack(&block[2..], &mut out);
        out[from..].iter_mut().for_each(|x| *x *= scale);
    }
    out
}

/// Bytes of 256 numbers in Q6_K.
const Q6_K_BYTES: usize = 210;

/// 128 bytes of low halves, 64 of quarters above them, 16 signed scales, one for each 16 numbers, and a scale of all in half
/// precision. Numbers are 6 bits less 32. Of each 128 of them, number i of quarter q has its low half in byte i or i + 32 of
/// 64, and the rest in the q-th quarter of byte i of 32.
fn q6k_block(block: &[u8]) -> [f32; SUPER] {
    let (low, rest) = block.split_at(128);
    let (high, rest) = rest.split_at(64);
    let (scales, d) = rest.split_at(16);
    let d = from_f16(u16::from_le_bytes([d[0], d[1]]));
    std::array::from_fn(|at| {
        let (half, quarter, i) = (at / 128, at % 128 / 32, at % 32);
        let byte = low[half * 64 + quarter % 2 * 32 + i];
        let low = if quarter < 2 { byte & 15 } else { byte >> 4 };
        let high = high[half * 32 + i] >> (2 * quarter) & 3;
        let scale = i8::from_le_bytes([scales[at / 16]]);
        d * f32::from(scale) * (f32::from(low | high << 4) - 32.0)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_by_hand() {
        // Scale 2 (0x4000); bytes 1, −1, then zeros.
        let mut packed = vec![0x00, 0x40, 1, 0xff];
        packed.resize(34, 0);
        assert_eq!(numbers(&packed, Q8_0)[..3], [2.0, -2.0, 0.0]);
        // Scale 2; the first byte holds 9 and 0: 2·(9 − 8) and 2·(0 − 8); the others hold 8 and 8.
        let mut packed = vec![0x00, 0x40, 0x09];
        packed.resize(18, 0x88);
        let got = numbers(&packed, Q4_0);
        assert_eq!((got.len(), got[0], got[1], got[16], got[17]), (32, 2.0, 0.0, -16.0, 0.0));
        // Low halves all 3, high quarters all 2 (0xaa), so 3 + 32 − 32; scale i of the parts is i; scale 2.
        let mut packed = vec![0x33; 128];
        packed.resize(192, 0xaa);
        packed.extend(0..16);
        packed.extend([0x00, 0x40]);
        // Number 0's low half is 5 and its high quarter 0: 5 − 32; number 64 has 7 above, 0x75, and its quarter in bits 4 and 5.
        (packed[0], packed[128]) = (0x75, 0b1001_1000);
        let got = numbers(&packed, Q6_K);
        assert_eq!((got.len(), got[0], got[16], got[255]), (256, 0.0, 2.0 * 3.0, 2.0 * 15.0 * 3.0));
        assert_eq!(got[64], 2.0 * 4.0 * (7.0 + 16.0 - 32.0));
    }

    #[test]
    fn headers_are_bounded() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.gguf");
        let refused = |bytes: &[u8], words: &str| {
            std::fs::write(&path, bytes).unwrap();
            let error = Gguf::open(&path).err().unwrap();
            let text = std::error::Error::source(&error).unwrap().to_string();
            assert!(text.contains(words), "{text}");
        };
        refused(b"GGML....", "does not begin with GGUF");
        refused(b"GGUF\x01\0\0\0", "got 1");
        refused(b"GGUF\x03\0\0\0\xff\xff\xff\xff\xff\xff\xff\xff", "tensors: expected at most");
        refused(b"GGUF\x03\0\0\0\x01\0\0\0\0\0\0\0", "fill whole buffer");
        let long = b"GGUF\x03\0\0\0\0\0\0\0\0\0\0\0\x01\0\0\0\0\0\0\0\xff\xff\xff\xff\xff\0\0\0";
        refused(long, "bytes of a text");
    }
}
