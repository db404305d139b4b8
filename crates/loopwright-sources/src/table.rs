//! A table of text as a stream: its records ([`Records`]) are found in a window that moves on.
//!
//! The way back after a broken quote needs the bytes behind it: a quote is given up after one mebibyte. So the window
//! grows until the parse of a record cannot be changed by what follows, at most by the limit and that mebibyte.

use super::{
    encoding,
    failure::{AtPlace, Failure, Flow, Place},
    header,
    record::{RECORD_BYTES_MAX, Record, Records},
    sink::{Column, Fields, Job, RowSink},
    unpack::Bytes,
};
use crate::error::Kind;
use serde_json::Value;
use std::io::{self, Read};

/// How much is read at a time.
const CHUNK_BYTES: usize = 256 * 1024;

/// Reads a table with a header.
pub(super) fn read(job: Job<'_>, stream: Bytes<'_>, sink: &mut dyn RowSink) -> Flow {
    let mut window = Window { stream, bytes: Vec::new(), start: 0, offset: job.first_offset, line: 1, is_end: false };
    let (delimiter, names) = header(job, &mut window)?;
    let columns: Vec<Column> = names.iter().map(|name| Column { name: name.clone(), kind: String::new() }).collect();
    sink.columns(&columns)?;
    let table = Table { job, delimiter, names };
    while table.record(&mut window, sink)? {}
    Ok(())
}

/// The delimiter and the columns' names; nameless columns get their position, `column_3`.
fn header(job: Job<'_>, window: &mut Window<'_>) -> Flow<(u8, Vec<String>)> {
    let bytes_max = job.limits.record_bytes_max.min(RECORD_BYTES_MAX);
    window.fill(bytes_max).at(|| Place::file(job.name).at_line(1))?;
    let place = || Place::file(job.name).at_line(1);
    if window.view().trim_ascii().is_empty() {
        let hint = "write a header line with the columns' names, then the rows";
        return Err(Failure::new(Kind::WrongFormat, place(), "it is empty", hint).into());
    }
    let (delimiter, names) = header::of(window.view());
    let mut records = Records::new(window.view(), delimiter);
    records.next();
    if records.looked_to() > window.view().len() && !window.is_end {
        let problem = format!("the header is longer than {bytes_max} bytes");
        return Err(Failure::over_limit(place(), problem, "record_bytes_max").into());
    }
    if names.len() > job.limits.columns_max {
        let problem = format!("it has {} columns, more than {}", names.len(), job.limits.columns_max);
        return Err(Failure::over_limit(place(), problem, "columns_max").into());
    }
    let position = records.position();
    window.advance(position);
    let named = |(index, name): (usize, String)| if name.is_empty() { format!("column_{}", index + 1) } else { name };
    Ok((delimiter, names.into_iter().enumerate().map(named).collect()))
}

struct Table<'a> {
    job: Job<'a>,
    delimiter: u8,
    names: Vec<String>,
}

impl Table<'_> {
    /// Hands the next record on; false at the end.
    fn record(&self, window: &mut Window<'_>, sink: &mut dyn RowSink) -> Flow<bool> {
        let window_max = self.job.limits.record_bytes_max + RECORD_BYTES_MAX + 2;
        let mut wanted = 1;
        loop {
            let place = Place::file(self.job.name).at_line(window.line).at_offset(window.offset);
            window.fill(wanted).at(|| place)?;
            let view = window.view();
            let mut records = Records::resume(view, self.delimiter, window.line);
            let Some(record) = records.next() else { return Ok(false) };
            if records.looked_to() <= view.len() || window.is_end {
                self.give(&record, window.offset, sink)?;
                let position = records.position();
                window.advance(position);
                return Ok(true);
            }
            if view.len() >= window_max {
                sink.reject(window.line, self.job.too_long("the row"), view)?;
                window.skip_line().at(|| Place::file(self.job.name).at_line(window.line))?;
                return Ok(true);
            }
            wanted = records.looked_to().max(2 * view.len()).min(window_max);
        }
    }

    fn give(&self, record: &Record<'_>, offset: u64, sink: &mut dyn RowSink) -> Flow {
        if record.is_blank() {
            return Ok(());
        }
        match self.fields(record, offset) {
            Ok(fields) => sink.row(record.line, fields),
            Err(reason) => sink.reject(record.line, reason, record.raw),
        }
    }

    fn fields(&self, record: &Record<'_>, offset: u64) -> Result<Fields, String> {
        if let Some(problem) = &record.problem {
            return Err(problem.clone());
        }
        if record.raw.len() > self.job.limits.record_bytes_max {
            return Err(self.job.too_long("the row"));
        }
        if record.fields.len() != self.names.len() {
            return Err(format!("expected {} fields, got {}", self.names.len(), record.fields.len()));
        }
        let mut fields = Fields::new();
        for (index, (name, bytes)) in self.names.iter().zip(&record.fields).enumerate() {
            let Ok(text) = std::str::from_utf8(bytes) else {
                let why = encoding::not_utf8(record.raw, offset).unwrap_or_else(|| "not UTF-8".into());
                return Err(format!("field {} is {why}", index + 1));
            };
            // Of columns with one name, the first counts.
            fields.entry(name.as_str()).or_insert_with(|| Value::String(text.to_string()));
        }
        Ok(fields)
    }
}

/// A piece of the file that moves on.
struct Window<'a> {
    stream: Bytes<'a>,
    bytes: Vec<u8>,
    start: usize,
    /// Of the first byte in view, in the file.
    offset: u64,
    line: u64,
    is_end: bool,
}

impl Window<'_> {
    fn view(&self) -> &[u8] {
        &self.bytes[self.start..]
    }

    /// Gets at least `wanted` bytes into view, unless the file ends.
    fn fill(&mut self, wanted: usize) -> io::Result<()> {
        let n_there = self.view().len();
        if self.is_end || n_there >= wanted {
            return Ok(());
        }
        self.bytes.drain(..self.start);
        self.start = 0;
        let n_asked = (wanted - n_there).max(CHUNK_BYTES) as u64;
        let n_read = (&mut self.stream).take(n_asked).read_to_end(&mut self.bytes)?;
        self.is_end = (n_read as u64) < n_asked;
        Ok(())
    }

    /// Moves on to a position in view, given as byte and line.
    fn advance(&mut self, (n_bytes, line): (usize, u64)) {
        self.start += n_bytes;
        self.offset += n_bytes as u64;
        self.line = line;
    }

    /// Moves on behind the end of the line.
    fn skip_line(&mut self) -> io::Result<()> {
        loop {
            let end = self.view().iter().position(|byte| *byte == b'\n');
            match end {
                Some(end) => {
                    self.advance((end + 1, self.line + 1));
                    return Ok(());
                }
                None if self.is_end => {
                    self.advance((self.view().len(), self.line));
                    return Ok(());
                }
                None => {
                    self.advance((self.view().len(), self.line));
                    self.fill(CHUNK_BYTES)?;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{limits::Limits, sink::testing::Kept, spec::Spec};
    use proptest::prelude::*;

    /// Gives few bytes at a time, as a socket does.
    struct Drip(io::Cursor<Vec<u8>>, usize);

    impl Read for Drip {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            let n = buffer.len().min(self.1);
            self.0.read(&mut buffer[..n])
        }
    }

    fn kept(bytes: &[u8], record_bytes_max: usize) -> Kept {
        let (spec, limits) = (Spec::default(), Limits { record_bytes_max, ..Limits::default() });
        let job = Job { name: "a.csv", spec: &spec, limits: &limits, depth: 0, first_offset: 0 };
        Kept::of(|sink| read(job, Box::new(Drip(io::Cursor::new(bytes.to_vec()), 7)), sink))
    }

    /// Same rows and same broken lines as in the whole file at once.
    fn agrees(file: &[u8]) {
        let (delimiter, names) = header::of(file);
        let text = names.iter().position(|name| name == "text").unwrap();
        let is_good = |record: &Record<'_>| {
            let is_text = record.fields.iter().all(|field| std::str::from_utf8(field).is_ok());
            record.problem.is_none() && record.fields.len() == names.len() && is_text
        };
        let whole = Records::new(file, delimiter).skip(1).filter(|record| !record.is_blank());
        let (good, bad): (Vec<_>, Vec<_>) = whole.partition(is_good);
        let streamed = kept(file, 1 << 20);
        assert_eq!(streamed.rows.len(), good.len());
        let texts: Vec<Value> = streamed.fields.iter().map(|fields| fields["text"].clone()).collect();
        let expected = good.iter().map(|record| Value::from(String::from_utf8_lossy(&record.fields[text])));
        assert_eq!(texts, expected.collect::<Vec<_>>());
        let lines: Vec<u64> = bad.iter().map(|record| record.line).collect();
        assert_eq!(streamed.rejected.iter().map(|(line, _)| *line).collect::<Vec<_>>(), lines);
    }

    #[test]
    fn broken_rows_are_told_apart_as_in_whole_files() {
        agrees(b"id,text,label\n1,good,a\n2,too,many,a\n3,\xff\xfe,a\n4,\"open,a\n5,fine,a\n6,\"also \"bad\",a\n7,x\n8,\"last\",a\n9,\"open at the end,a");
        agrees(b"text,label\n\"open,a\ngood,a\n\"quoted\",a\n");
        agrees(b"text\tlabel\r\n\"a\r\n\r\nb\"\tx\r\r\n\r\nc\ty");
    }

    #[test]
    fn records_longer_than_a_chunk_are_whole() {
        let long = "line\n".repeat(CHUNK_BYTES / 4);
        let file = format!("text,label\n\"{long}\",a\nshort,b\n");
        let kept = kept(file.as_bytes(), 16 << 20);
        assert_eq!(kept.fields[0]["text"], Value::from(long));
        assert_eq!((kept.fields[1]["text"].as_str(), kept.rejected.len()), (Some("short"), 0));
    }

    #[test]
    fn a_quote_never_closed_gives_the_rest_back() {
        let rest = "good,a\n".repeat(400_000);
        let kept = kept(format!("text,label\n\"open,a\n{rest}").as_bytes(), 1 << 20);
        assert_eq!((kept.n_rows, kept.rejected.len()), (400_000, 1));
    }

    #[test]
    fn a_row_over_the_limit_is_refused_and_the_next_one_read() {
        let long = "x".repeat(3 << 20);
        let kept = kept(format!("text,label\n{long},a\nshort,b\n{}\nlast,c", "y".repeat(200)).as_bytes(), 100);
        assert_eq!(kept.rows.len(), 2);
        assert_eq!(kept.rejected.iter().map(|(line, _)| *line).collect::<Vec<_>>(), [2, 4]);
        assert!(kept.rejected.iter().all(|(_, why)| why.contains("`record_bytes_max`")), "{:?}", kept.rejected);
    }

    #[test]
    fn latin_1_is_named_with_its_byte() {
        let kept = kept(b"text,label\nok,a\ncaf\xE9,a\n", 100);
        assert!(kept.rejected[0].1.starts_with("field 1 is not UTF-8: byte 0xE9 at offset 19"), "{:?}", kept.rejected);
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_as_in_whole_files(bytes in prop::collection::vec(1u8.., 0..200)) {
            agrees(&[b"text,label\n".as_slice(), &bytes].concat());
        }

        #[test]
        fn near_tables_are_read_as_in_whole_files(text in "[a,;\"\n\r]{0,60}") {
            agrees(format!("text,label\n{text}").as_bytes());
        }
    }
}
