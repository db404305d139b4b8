//! Bytes to UTF-8: byte order marks, UTF-16, and words for what is neither.

use super::unpack::Bytes;
use std::io::{self, Read};

/// Takes a byte order mark off; text in UTF-16 with a mark is decoded. A lone surrogate becomes U+FFFD.
pub(super) fn to_utf8<'a>(head: &[u8], stream: Bytes<'a>) -> Bytes<'a> {
    match head {
        [0xEF, 0xBB, 0xBF, ..] => Box::new(WithoutMark { inner: stream, n_left: 3 }),
        [0xFF, 0xFE, ..] => Box::new(Utf16::new(stream, u16::from_le_bytes)),
        [0xFE, 0xFF, ..] => Box::new(Utf16::new(stream, u16::from_be_bytes)),
        _ => stream,
    }
}

/// The stream without its first bytes.
struct WithoutMark<'a> {
    inner: Bytes<'a>,
    n_left: usize,
}

impl Read for WithoutMark<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut mark = [0; 3];
        while self.n_left > 0 {
            match self.inner.read(&mut mark[..self.n_left])? {
                0 => return Ok(0),
                n => self.n_left -= n,
            }
        }
        self.inner.read(buffer)
    }
}

/// Units decoded at a time.
const UNITS: usize = 16 * 1024;

struct Utf16<'a> {
    inner: Bytes<'a>,
    unit: fn([u8; 2]) -> u16,
    /// Bytes of half a unit, or a high surrogate that waits for its partner.
    rest: Vec<u8>,
    decoded: io::Cursor<Vec<u8>>,
    is_start: bool,
    is_end: bool,
}

impl<'a> Utf16<'a> {
    fn new(inner: Bytes<'a>, unit: fn([u8; 2]) -> u16) -> Self {
        Self { inner, unit, rest: Vec::new(), decoded: io::Cursor::default(), is_start: true, is_end: false }
    }

    /// Decodes the next piece; at the end of the file also what was left over.
    fn fill(&mut self) -> io::Result<()> {
        let mut bytes = std::mem::take(&mut self.rest);
        self.is_end = (&mut self.inner).take(2 * UNITS as u64).read_to_end(&mut bytes)? == 0;
        let mut units: Vec<u16> = bytes.chunks_exact(2).map(|pair| (self.unit)([pair[0], pair[1]])).collect();
        let is_odd = bytes.len() % 2 == 1;
        if !self.is_end {
            let n_kept = usize::from(is_odd) + 2 * usize::from(matches!(units.last(), Some(0xD800..=0xDBFF)));
            self.rest = bytes.split_off(bytes.len() - n_kept);
            units.truncate(bytes.len() / 2);
        }
        let chars = char::decode_utf16(units).map(|unit| unit.unwrap_or(char::REPLACEMENT_CHARACTER));
        let mut text: String = chars.skip(usize::from(self.is_start)).collect();
        if self.is_end && is_odd {
            text.push(char::REPLACEMENT_CHARACTER);
        }
        self.is_start = false;
        self.decoded = io::Cursor::new(text.into_bytes());
        Ok(())
    }
}

impl Read for Utf16<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            let n = self.decoded.read(buffer)?;
            if n > 0 || self.is_end || buffer.is_empty() {
                return Ok(n);
            }
            self.fill()?;
        }
    }
}

/// Why bytes are no UTF-8: which byte, where (`offset` is that of the first byte in the file), what it may be.
pub(super) fn not_utf8(bytes: &[u8], offset: u64) -> Option<String> {
    let error = std::str::from_utf8(bytes).err()?;
    let at = error.valid_up_to();
    let byte = bytes[at];
    let guess = match byte {
        0xA0..=0xFF => format!("in Latin-1 it would be `{}`; save the file as UTF-8", char::from(byte)),
        _ => "save the file as UTF-8".to_string(),
    };
    Some(format!("not UTF-8: byte 0x{byte:02X} at offset {}; {guess}", offset + at as u64))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn decoded(bytes: &[u8]) -> String {
        let mut out = String::new();
        to_utf8(bytes, Box::new(io::Cursor::new(bytes.to_vec()))).read_to_string(&mut out).unwrap();
        out
    }

    fn utf16(text: &str, unit: fn(u16) -> [u8; 2]) -> Vec<u8> {
        "\u{feff}".encode_utf16().chain(text.encode_utf16()).flat_map(unit).collect()
    }

    #[test]
    fn marks_are_taken_off() {
        assert_eq!(decoded(b"\xEF\xBB\xBFa"), "a");
        assert_eq!(decoded(b"a\xEF\xBB\xBF"), "a\u{feff}");
        assert_eq!(decoded(b"\xFF\xFEa\0b"), "a\u{fffd}");
        assert_eq!(decoded(b"\xFF\xFE\x00\xD8a\0"), "\u{fffd}a");
    }

    #[test]
    fn the_byte_that_is_wrong_is_named() {
        let text = not_utf8(b"caf\xE9", 100).unwrap();
        assert!(text.contains("0xE9 at offset 103") && text.contains("Latin-1 it would be `é`"), "{text}");
        assert_eq!(not_utf8("café".as_bytes(), 0), None);
    }

    #[test]
    fn surrogates_survive_the_edge_of_a_piece() {
        let text = "x".repeat(UNITS - 2) + "𝄞y";
        assert_eq!(decoded(&utf16(&text, u16::to_le_bytes)), text);
        let text = "x".repeat(UNITS - 1) + "𝄞y";
        assert_eq!(decoded(&utf16(&text, u16::to_be_bytes)), text);
    }

    proptest! {
        #[test]
        fn utf16_comes_back(text in ".{0,50}") {
            prop_assert_eq!(decoded(&utf16(&text, u16::to_le_bytes)), text.clone());
            prop_assert_eq!(decoded(&utf16(&text, u16::to_be_bytes)), text);
        }
    }
}
