//! Taking the packing off, within bounds.
//!
//! A packed file of a few kilobytes can hold terabytes of zeros. Two limits stop it: the whole of what comes out
//! (`unpacked_bytes_max`), and what comes out for each byte that went in (`unpack_ratio_max`), which is looked at once
//! [`RATIO_FROM_BYTES`] came out, as small files pack well by chance. Gzip cannot exceed 1,032 to 1 (RFC 1951 codes at
//! most 258 bytes in two bits), Zstandard can exceed 10,000 to 1.

use super::{
    failure::{Failure, Place},
    format::Packing,
    limits::Limits,
};
use std::{
    io::{self, Read},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

/// From how many unpacked bytes on the ratio is looked at.
pub(super) const RATIO_FROM_BYTES: u64 = 16 << 20;

/// A stream of bytes.
pub(super) type Bytes<'a> = Box<dyn Read + 'a>;

/// The unpacked stream. Its errors carry a [`Failure`] with the place in the packed file.
pub(super) fn unpack<'a>(
    name: &str,
    packing: Packing,
    packed: Bytes<'a>,
    limits: &Limits,
) -> Result<Bytes<'a>, Failure> {
    let n_in = Arc::new(AtomicU64::new(0));
    let counted = Counted { inner: packed, n: Arc::clone(&n_in) };
    let inner: Bytes<'a> = match packing {
        Packing::Gzip => Box::new(flate2::read::MultiGzDecoder::new(counted)),
        Packing::Zstd => Box::new(
            zstd::stream::read::Decoder::new(counted).map_err(|error| Failure::from_io(Place::file(name), &error))?,
        ),
    };
    Ok(Box::new(Bounded {
        inner,
        n_in,
        n_out: 0,
        name: name.to_string(),
        packing,
        bytes_max: limits.unpacked_bytes_max,
        ratio_max: limits.unpack_ratio_max,
    }))
}

/// Counts the bytes that go by.
pub(super) struct Counted<R> {
    pub(super) inner: R,
    pub(super) n: Arc<AtomicU64>,
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let n = self.inner.read(buffer)?;
        self.n.fetch_add(n as u64, Ordering::Relaxed);
        Ok(n)
    }
}

struct Bounded<'a> {
    inner: Bytes<'a>,
    n_in: Arc<AtomicU64>,
    n_out: u64,
    name: String,
    packing: Packing,
    bytes_max: u64,
    ratio_max: u64,
}

impl Bounded<'_> {
    fn place(&self) -> Place {
        Place::file(&self.name).at_offset(self.n_in.load(Ordering::Relaxed))
    }

    /// What the decoder's complaint means for the file.
    fn failure(&self, error: &io::Error) -> Failure {
        let packing = match self.packing {
            Packing::Gzip => "gzip",
            Packing::Zstd => "Zstandard",
        };
        let own = Failure::from_io(self.place(), error);
        let cut_off = error.kind() == io::ErrorKind::UnexpectedEof || error.to_string().contains("incomplete frame");
        match () {
            // Trouble below the packing, or an outer packing's own failure.
            () if *own.place != self.place() || own.kind == crate::error::Kind::Limit => own,
            () if cut_off => Failure::damaged(
                self.place(),
                format!("the {packing} data ends too early, after {} unpacked bytes", self.n_out),
                "the file was cut off: get it again",
            ),
            () => Failure::damaged(
                self.place(),
                format!("the {packing} data is damaged after {} unpacked bytes: {error}", self.n_out),
                "get the file again, and compare its checksum if there is one",
            ),
        }
    }

    fn check(&self) -> Result<(), Failure> {
        let n_in = self.n_in.load(Ordering::Relaxed).max(1);
        if self.n_out > self.bytes_max {
            let problem = format!("it unpacks to more than {} bytes", self.bytes_max);
            return Err(Failure::over_limit(self.place(), problem, "unpacked_bytes_max"));
        }
        if self.n_out >= RATIO_FROM_BYTES && self.n_out / n_in > self.ratio_max {
            let problem = format!(
                "{n_in} packed bytes gave {} unpacked ones, more than {} for each; it may be made to fill a machine",
                self.n_out, self.ratio_max
            );
            return Err(Failure::over_limit(self.place(), problem, "unpack_ratio_max"));
        }
        Ok(())
    }
}

impl Read for Bounded<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let n = match self.inner.read(buffer) {
            Ok(n) => n,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => return Err(error),
            Err(error) => return Err(self.failure(&error).into_io()),
        };
        self.n_out += n as u64;
        self.check().map_err(Failure::into_io)?;
        Ok(n)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Kind;
    use std::io::Write;

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    fn zstd(bytes: &[u8]) -> Vec<u8> {
        zstd::stream::encode_all(bytes, 3).unwrap()
    }

    fn read(packing: Packing, packed: Vec<u8>, limits: &Limits) -> Result<Vec<u8>, Failure> {
        let mut out = Vec::new();
        let mut stream = unpack("a", packing, Box::new(io::Cursor::new(packed)), limits)?;
        stream.read_to_end(&mut out).map_err(|error| Failure::from_io(Place::file("a"), &error))?;
        Ok(out)
    }

    #[test]
    fn several_members_are_one_text() {
        let limits = Limits::default();
        let gz = [gzip(b"ab"), gzip(b""), gzip(b"cd")].concat();
        assert_eq!(read(Packing::Gzip, gz, &limits).unwrap(), b"abcd");
        let zst = [zstd(b"ab"), zstd(b"cd")].concat();
        assert_eq!(read(Packing::Zstd, zst, &limits).unwrap(), b"abcd");
    }

    #[test]
    fn a_cut_off_file_says_so_with_its_place() {
        let text: Vec<u8> = (0..100_000u32).flat_map(|n| n.wrapping_mul(2_654_435_761).to_le_bytes()).collect();
        for (packing, mut packed) in [(Packing::Gzip, gzip(&text)), (Packing::Zstd, zstd(&text))] {
            packed.truncate(packed.len() / 2);
            let error = read(packing, packed.clone(), &Limits::default()).unwrap_err();
            assert_eq!((error.kind, error.place.offset), (Kind::Damaged, Some(packed.len() as u64)), "{error}");
            assert!(error.problem.contains("ends too early"), "{error}");
        }
    }

    #[test]
    fn an_altered_file_is_damaged() {
        let mut packed = gzip(&b"some text that is long enough to be packed".repeat(50));
        let middle = packed.len() / 2;
        packed[middle] ^= 0x55;
        let error = read(Packing::Gzip, packed, &Limits::default()).unwrap_err();
        assert_eq!(error.kind, Kind::Damaged, "{error}");
    }

    #[test]
    fn bombs_meet_a_limit_with_a_name() {
        let zeros = vec![0; 64 << 20];
        for (packing, packed) in [(Packing::Gzip, gzip(&zeros)), (Packing::Zstd, zstd(&zeros))] {
            let error = read(packing, packed.clone(), &Limits::default()).unwrap_err();
            assert_eq!(error.kind, Kind::Limit);
            assert!(error.hint.contains("`unpack_ratio_max`"), "{error}");
            let limits = Limits { unpacked_bytes_max: 1 << 20, ..Limits::default() };
            let error = read(packing, packed, &limits).unwrap_err();
            assert!(error.hint.contains("`unpacked_bytes_max`"), "{error}");
        }
    }
}
