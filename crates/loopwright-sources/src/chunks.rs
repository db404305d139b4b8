//! A stream of unknown length over a pipe: chunks with their lengths, and one of length 0 that says that all were there.

use super::unpack::Bytes;
use std::{
    io::{self, Write},
    process::ChildStdin,
};

/// Bytes of a stream passed on at a time.
const CHUNK_BYTES: usize = 64 * 1024;

/// Passes a stream on in chunks; only a whole stream gets its closing chunk.
pub(super) fn pump(mut reader: Box<dyn io::Read + Send>, mut stdin: ChildStdin) -> io::Result<()> {
    let mut chunk = vec![0; CHUNK_BYTES];
    loop {
        let n = match reader.read(&mut chunk) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            read => read?,
        };
        let sent = stdin.write_all(&(n as u32).to_le_bytes()).and_then(|()| stdin.write_all(&chunk[..n]));
        // A child that needs no more has closed its end.
        if n == 0 || sent.is_err() {
            return Ok(());
        }
    }
}

/// The bytes of such a stream.
pub(super) fn chunks<'a>(stdin: &'a mut (impl io::Read + 'a)) -> Bytes<'a> {
    Box::new(Chunks { inner: stdin, left: 0, is_end: false })
}

/// The chunks of a stream, at the child.
pub(super) struct Chunks<R> {
    inner: R,
    left: usize,
    is_end: bool,
}

impl<R: io::Read> io::Read for Chunks<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.left == 0 && !self.is_end {
            let mut length = [0; 4];
            self.inner.read_exact(&mut length)?;
            self.left = u32::from_le_bytes(length) as usize;
            self.is_end = self.left == 0;
        }
        if self.is_end || buffer.is_empty() {
            return Ok(0);
        }
        let n_wanted = buffer.len().min(self.left);
        let n = self.inner.read(&mut buffer[..n_wanted])?;
        if n == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.left -= n;
        Ok(n)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;

    #[test]
    fn a_stream_that_breaks_off_is_no_whole_one() {
        let read = |bytes: &[u8]| {
            let mut out = Vec::new();
            Chunks { inner: bytes, left: 0, is_end: false }.read_to_end(&mut out).map(|_| out)
        };
        assert_eq!(read(b"\x02\0\0\0ab\x01\0\0\0c\0\0\0\0").unwrap(), b"abc");
        assert!(read(b"\x02\0\0\0ab").is_err());
        assert!(read(b"\x02\0\0\0a").is_err());
    }
}
