//! Splitting a file into records (RFC 4180), with a way back after a broken one.

use std::borrow::Cow;

/// A record longer than this is taken for a quote that somebody forgot to close, in bytes.
pub(super) const RECORD_BYTES_MAX: usize = 1 << 20;

/// One record, or one line that is none.
pub(super) struct Record<'a> {
    /// Line of its first byte, from 1.
    pub(super) line: u64,
    /// Its bytes, the line end not included.
    pub(super) raw: &'a [u8],
    /// Its fields, quotes taken off.
    pub(super) fields: Vec<Cow<'a, [u8]>>,
    /// What is wrong with it; then `raw` is one line, and the next record begins on the next line.
    pub(super) problem: Option<String>,
}

impl Record<'_> {
    /// An empty line is no record.
    pub(super) fn is_blank(&self) -> bool {
        self.raw.is_empty()
    }
}

/// The records of a file, header included.
pub(super) struct Records<'a> {
    bytes: &'a [u8],
    delimiter: u8,
    at: usize,
    line: u64,
    looked_to: usize,
}

impl<'a> Records<'a> {
    pub(super) fn new(bytes: &'a [u8], delimiter: u8) -> Self {
        Self::resume(bytes, delimiter, 1)
    }

    /// Goes on in a window of a longer file, whose first byte is on `line`.
    pub(super) fn resume(bytes: &'a [u8], delimiter: u8, line: u64) -> Self {
        Self { bytes, delimiter, at: 0, line, looked_to: 0 }
    }

    /// Where the next record begins: byte and line.
    pub(super) fn position(&self) -> (usize, u64) {
        (self.at, self.line)
    }

    /// How far the last record's parse wanted to look; if that is past the bytes, more bytes could change it.
    pub(super) fn looked_to(&self) -> usize {
        self.looked_to
    }

    /// Parses one field from `at`: its content and where it ends, or nothing if its quotes are wrong.
    fn field(&self, at: usize) -> Option<(Cow<'a, [u8]>, usize)> {
        let rest = &self.bytes[at..];
        if rest.first() != Some(&b'"') {
            let end =
                rest.iter().position(|b| *b == self.delimiter || matches!(b, b'\n' | b'\r')).unwrap_or(rest.len());
            return Some((Cow::Borrowed(&rest[..end]), at + end));
        }
        let rest = &rest[..rest.len().min(RECORD_BYTES_MAX)];
        let mut content = Vec::new();
        let mut i = 1;
        loop {
            let quote = i + rest[i..].iter().position(|b| *b == b'"')?;
            content.extend_from_slice(&rest[i..quote]);
            match rest.get(quote + 1) {
                Some(b'"') => {
                    content.push(b'"');
                    i = quote + 2;
                }
                None | Some(b'\n' | b'\r') => return Some((Cow::Owned(content), at + quote + 1)),
                Some(b) if *b == self.delimiter => return Some((Cow::Owned(content), at + quote + 1)),
                Some(_) => return None,
            }
        }
    }

    /// Where the line that holds `at` ends.
    fn line_end(&self, at: usize) -> usize {
        self.bytes[at..].iter().position(|b| matches!(b, b'\n' | b'\r')).map_or(self.bytes.len(), |i| at + i)
    }

    /// Ends a record at `end` and steps over the line end.
    fn finish(&mut self, end: usize, fields: Vec<Cow<'a, [u8]>>, problem: Option<String>) -> Record<'a> {
        let (line, raw) = (self.line, &self.bytes[self.at..end]);
        let line_end = match &self.bytes[end..] {
            [b'\r', b'\n', ..] => 2,
            [] => 0,
            _ => 1,
        };
        self.line += n_lines(raw) + u64::from(line_end > 0);
        self.at = end + line_end;
        Record { line, raw, fields, problem }
    }
}

impl<'a> Iterator for Records<'a> {
    type Item = Record<'a>;

    fn next(&mut self) -> Option<Record<'a>> {
        if self.at >= self.bytes.len() {
            return None;
        }
        let mut fields = Vec::new();
        let mut at = self.at;
        loop {
            let Some((field, end)) = self.field(at) else {
                // The search for the closing quote, and for the end of the line that is given up.
                self.looked_to = (at + RECORD_BYTES_MAX).max(self.line_end(self.at) + 2);
                let problem = "a quote is opened and not closed as it should be".to_string();
                return Some(self.finish(self.line_end(self.at), Vec::new(), Some(problem)));
            };
            fields.push(field);
            if self.bytes.get(end) != Some(&self.delimiter) {
                self.looked_to = end + 2;
                return Some(self.finish(end, fields, None));
            }
            at = end + 1;
        }
    }
}

/// Line ends inside a record (`\r\n` counts once).
fn n_lines(raw: &[u8]) -> u64 {
    let lone = |(index, byte): (usize, &u8)| *byte == b'\n' || (*byte == b'\r' && raw.get(index + 1) != Some(&b'\n'));
    raw.iter().enumerate().filter(|it| lone(*it)).count() as u64
}
