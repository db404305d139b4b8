//! Lines of a stream, none kept beyond a limit.

use super::unpack::Bytes;
use std::io::{self, BufRead, BufReader};

const BUFFER_BYTES: usize = 256 * 1024;

/// The line that was read last.
pub(super) struct Line<'a> {
    /// From 1.
    pub(super) number: u64,
    /// Of its first byte, in the stream.
    pub(super) offset: u64,
    /// Its bytes without the line end; of a line over the limit, its start.
    pub(super) bytes: &'a [u8],
    /// Whether it kept to the limit.
    pub(super) is_whole: bool,
}

/// Reads lines one by one into one buffer.
pub(super) struct Lines<'a> {
    reader: BufReader<Bytes<'a>>,
    line: Vec<u8>,
    number: u64,
    offset: u64,
    bytes_max: usize,
}

impl<'a> Lines<'a> {
    pub(super) fn new(stream: Bytes<'a>, bytes_max: usize) -> Self {
        let reader = BufReader::with_capacity(BUFFER_BYTES, stream);
        Self { reader, line: Vec::new(), number: 0, offset: 0, bytes_max }
    }

    /// Where reading stands, in bytes.
    pub(super) fn offset(&self) -> u64 {
        self.offset
    }

    /// The next line, or none at the end.
    pub(super) fn next(&mut self) -> io::Result<Option<Line<'_>>> {
        let offset = self.offset;
        let mut size = 0;
        self.line.clear();
        loop {
            let chunk = self.reader.fill_buf()?;
            let end = chunk.iter().position(|byte| *byte == b'\n');
            let part = &chunk[..end.unwrap_or(chunk.len())];
            let room = (self.bytes_max + 1).saturating_sub(self.line.len());
            self.line.extend_from_slice(&part[..part.len().min(room)]);
            let n_used = part.len() + usize::from(end.is_some());
            let is_end_of_file = chunk.is_empty();
            size += part.len();
            self.reader.consume(n_used);
            self.offset += n_used as u64;
            if end.is_some() || is_end_of_file {
                break;
            }
        }
        if self.offset == offset {
            return Ok(None);
        }
        self.number += 1;
        let is_whole = size <= self.bytes_max;
        let bytes = self.line.strip_suffix(b"\r").unwrap_or(&self.line);
        Ok(Some(Line { number: self.number, offset, bytes, is_whole }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn all(bytes: &[u8], bytes_max: usize) -> Vec<(u64, u64, Vec<u8>, bool)> {
        let mut lines = Lines::new(Box::new(io::Cursor::new(bytes.to_vec())), bytes_max);
        let mut found = Vec::new();
        while let Some(line) = lines.next().unwrap() {
            found.push((line.number, line.offset, line.bytes.to_vec(), line.is_whole));
        }
        found
    }

    #[test]
    fn line_ends_are_taken_off_and_long_lines_cut() {
        let lines = all(b"a\r\n\nbcdef\ng", 3);
        let expected: [(u64, u64, &[u8], bool); 4] =
            [(1, 0, b"a", true), (2, 3, b"", true), (3, 4, b"bcde", false), (4, 10, b"g", true)];
        assert_eq!(lines.len(), 4);
        for ((number, offset, bytes, is_whole), expected) in lines.into_iter().zip(expected) {
            assert_eq!((number, offset, bytes.as_slice(), is_whole), expected);
        }
        assert!(all(b"", 3).is_empty());
    }

    proptest! {
        #[test]
        fn no_line_is_lost(lines in prop::collection::vec("[a-z]{0,8}", 1..8)) {
            let text = lines.iter().map(|line| format!("{line}\n")).collect::<String>();
            let back: Vec<String> =
                all(text.as_bytes(), 8).into_iter().map(|line| String::from_utf8(line.2).unwrap()).collect();
            prop_assert_eq!(back, lines);
        }
    }
}
