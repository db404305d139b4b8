//! JSON: a value a line, an array of values, or values one after another.
//!
//! An array is never held whole: a scanner that knows only strings, escapes and depth cuts it into its elements, and
//! each element is parsed alone. So one broken element costs one row, as long as its brackets and quotes are whole.

use super::{
    encoding,
    failure::{AtPlace, Failure, Flow, Place},
    lines::Lines,
    sink::{Fields, Job, RowSink},
    unpack::Bytes,
};
use serde_json::Value;
use std::io::{self, BufRead, BufReader};

/// Reads one value a line; empty lines are none.
pub(super) fn read_lines(job: Job<'_>, stream: Bytes<'_>, sink: &mut dyn RowSink) -> Flow {
    let mut lines = Lines::new(stream, job.limits.record_bytes_max);
    loop {
        let offset = lines.offset();
        let place = || Place::file(job.name).at_offset(job.first_offset + offset);
        let Some(line) = lines.next().at(place)? else { return Ok(()) };
        if !line.is_whole {
            sink.reject(line.number, job.too_long("the line"), line.bytes)?;
        } else if !line.bytes.trim_ascii().is_empty() {
            give(line.bytes, job.first_offset + line.offset, line.number, sink)?;
        }
    }
}

/// Reads the elements of an array, or values one after another.
pub(super) fn read_values(job: Job<'_>, stream: Bytes<'_>, sink: &mut dyn RowSink) -> Flow {
    let mut values = Values::new(stream, job.limits.record_bytes_max);
    let mut n_values = 0u64;
    loop {
        let (offset, line) = (job.first_offset + values.offset, values.line);
        let place = || Place::file(job.name).at_offset(offset).at_line(line);
        let end = values.next().at(place)?;
        n_values += u64::from(end != End::File);
        let first = job.first_offset + values.first_offset;
        match end {
            End::File if values.is_open => {
                let place = Place::file(job.name).at_offset(job.first_offset + values.offset).at_line(values.line);
                let problem = format!("the array ends too early, after {n_values} values");
                return Err(Failure::damaged(place, problem, "the file was cut off: get it again").into());
            }
            End::File => return Ok(()),
            End::TooLong => sink.reject(values.first_line, job.too_long("the value"), &values.value)?,
            End::CutOff if values.is_open => {
                let place = Place::file(job.name).at_offset(first).at_line(values.first_line);
                let problem = format!("value {n_values} of the array has no end");
                return Err(Failure::damaged(place, problem, "the file was cut off: get it again").into());
            }
            End::CutOff | End::Value => give(&values.value, first, values.first_line, sink)?,
        }
    }
}

/// Parses one value and hands it on.
fn give(bytes: &[u8], offset: u64, line: u64, sink: &mut dyn RowSink) -> Flow {
    match parse(bytes, offset) {
        Ok(fields) => sink.row(line, fields),
        Err(reason) => sink.reject(line, reason, bytes),
    }
}

fn parse(bytes: &[u8], offset: u64) -> Result<Fields, String> {
    if let Some(reason) = encoding::not_utf8(bytes, offset) {
        return Err(reason);
    }
    fields(serde_json::from_slice(bytes).map_err(|error| told(&error))?)
}

/// A row of a value: an object, a text by itself, or a list of turns by itself.
pub(super) fn fields(value: Value) -> Result<Fields, String> {
    let named = |name: &str, value: Value| Fields::from_iter([(name.to_string(), value)]);
    match value {
        Value::Object(fields) => Ok(fields),
        Value::String(_) => Ok(named("text", value)),
        Value::Array(ref turns) if !turns.is_empty() && turns.iter().all(Value::is_object) => {
            Ok(named("messages", value))
        }
        other => Err(format!("expected an object, got {}", kind(&other))),
    }
}

/// A value's type, with an article.
pub(super) fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a text",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}

/// The parser's words with the column; the line is ours to tell.
fn told(error: &serde_json::Error) -> String {
    let text = error.to_string();
    let what = text.rsplit_once(" at line ").map_or(text.as_str(), |(what, _)| what);
    format!("not JSON at its character {}: {what}", error.column())
}

/// How the search for the next value ended.
#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    /// With a value.
    Value,
    /// With a value over the limit; its start is kept.
    TooLong,
    /// Inside a value, as the file ends.
    CutOff,
    /// The file ends between values.
    File,
}

/// Cuts a stream into JSON values.
struct Values<'a> {
    reader: BufReader<Bytes<'a>>,
    value: Vec<u8>,
    first_line: u64,
    first_offset: u64,
    line: u64,
    offset: u64,
    bytes_max: usize,
    /// Inside the outer array.
    is_open: bool,
    is_started: bool,
}

impl<'a> Values<'a> {
    fn new(stream: Bytes<'a>, bytes_max: usize) -> Self {
        Self {
            reader: BufReader::with_capacity(256 * 1024, stream),
            value: Vec::new(),
            first_line: 1,
            first_offset: 0,
            line: 1,
            offset: 0,
            bytes_max,
            is_open: false,
            is_started: false,
        }
    }

    fn peek(&mut self) -> io::Result<Option<u8>> {
        Ok(self.reader.fill_buf()?.first().copied())
    }

    fn step(&mut self, byte: u8) {
        self.reader.consume(1);
        self.offset += 1;
        self.line += u64::from(byte == b'\n');
    }

    /// Steps over what stands between values, the array's own brackets included.
    fn skip(&mut self) -> io::Result<Option<u8>> {
        loop {
            match self.peek()? {
                Some(b'[') if !self.is_started => (self.is_started, self.is_open) = (true, true),
                Some(b']') if self.is_open => self.is_open = false,
                Some(b' ' | b'\t' | b'\r' | b'\n' | b',') => {}
                other => return Ok(other),
            }
            let byte = self.peek()?.unwrap_or(b' ');
            self.step(byte);
        }
    }

    fn next(&mut self) -> io::Result<End> {
        self.value.clear();
        if self.skip()?.is_none() {
            return Ok(End::File);
        }
        self.is_started = true;
        (self.first_line, self.first_offset) = (self.line, self.offset);
        let mut scan = Scan::default();
        while let Some(byte) = self.peek()? {
            if !self.value.is_empty() && scan.ends_before(byte) {
                return Ok(self.ended());
            }
            if self.value.len() <= self.bytes_max {
                self.value.push(byte);
            }
            self.step(byte);
            if scan.ends_after(byte) {
                return Ok(self.ended());
            }
        }
        Ok(if scan.depth == 0 && !scan.in_string { self.ended() } else { End::CutOff })
    }

    fn ended(&self) -> End {
        if self.value.len() > self.bytes_max { End::TooLong } else { End::Value }
    }
}

/// Where in a value the scanner stands.
#[derive(Default)]
struct Scan {
    depth: u64,
    in_string: bool,
    is_escaped: bool,
}

impl Scan {
    /// A value without brackets ends before a separator. (A stray closing brace is a value of its own, so that reading
    /// goes on behind it.)
    fn ends_before(&self, byte: u8) -> bool {
        let is_separator = matches!(byte, b',' | b']' | b' ' | b'\t' | b'\r' | b'\n');
        self.depth == 0 && !self.in_string && is_separator
    }

    /// Takes a byte in; a value with brackets ends with the last of them.
    fn ends_after(&mut self, byte: u8) -> bool {
        if self.in_string {
            match byte {
                _ if self.is_escaped => self.is_escaped = false,
                b'\\' => self.is_escaped = true,
                b'"' => self.in_string = false,
                _ => {}
            }
            return !self.in_string && self.depth == 0;
        }
        match byte {
            b'"' => self.in_string = true,
            b'{' | b'[' => self.depth += 1,
            b'}' | b']' => {
                self.depth = self.depth.saturating_sub(1);
                return self.depth == 0;
            }
            _ => {}
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{error::Kind, limits::Limits, sink::testing::Kept, spec::Spec};
    use proptest::prelude::*;

    type Reader = fn(Job<'_>, Bytes<'_>, &mut dyn RowSink) -> Flow;

    fn read_with(reader: Reader, bytes: &[u8], record_bytes_max: usize) -> Kept {
        let (spec, limits) = (Spec::default(), Limits { record_bytes_max, ..Limits::default() });
        let job = Job { name: "a.json", spec: &spec, limits: &limits, depth: 0, first_offset: 0 };
        Kept::of(|sink| reader(job, Box::new(io::Cursor::new(bytes.to_vec())), sink))
    }

    #[test]
    fn a_broken_line_costs_one_row() {
        let kept = read_with(read_lines, b"{\"a\":1}\n\n{\"a\":\n7\n\"x\"\n{\"a\":\"\xE9\"}\n", 100);
        assert_eq!(kept.rows, ["1 {\"a\":1}", "5 {\"text\":\"x\"}"]);
        let reasons: Vec<(u64, &str)> = kept.rejected.iter().map(|(line, why)| (*line, why.as_str())).collect();
        assert_eq!((reasons[0].0, reasons[1]), (3, (4, "expected an object, got a number")));
        assert!(reasons[0].1.contains("character 5"), "{reasons:?}");
        assert!(reasons[2].1.contains("0xE9 at offset 27"), "{reasons:?}");
    }

    #[test]
    fn a_long_line_is_a_rejected_row() {
        let kept = read_with(read_lines, b"{\"a\":\"long enough to be refused\"}\n{\"a\":2}\n", 20);
        assert_eq!(kept.rows, ["2 {\"a\":2}"]);
        assert!(kept.rejected[0].1.contains("`record_bytes_max`"));
    }

    #[test]
    fn arrays_are_cut_into_their_values() {
        let file = b" [ {\"a\": \"]},\\\"[\"},\n {\"a\": tru},{\"a\":[{}, 2]} ]\n";
        let kept = read_with(read_values, file, 100);
        assert_eq!(kept.rows, ["1 {\"a\":\"]},\\\"[\"}", "2 {\"a\":[{},2]}"]);
        assert_eq!((kept.rejected.len(), kept.rejected[0].0), (1, 2));
        let kept = read_with(read_values, b"{\n\"a\": 1\n}\n{\"a\": 2}", 100);
        assert_eq!(kept.rows, ["1 {\"a\":1}", "4 {\"a\":2}"]);
    }

    #[test]
    fn an_array_without_end_is_damaged() {
        for (file, words) in
            [(b"[{\"a\":1},".as_slice(), "after 1 values"), (b"[{\"a\":1},{\"a\"", "value 2 of the array has no end")]
        {
            let kept = read_with(read_values, file, 100);
            assert_eq!(kept.rows.len(), 1);
            let error = kept.error.unwrap();
            assert!(error.kind() == Kind::Damaged && error.to_string().contains(words), "{error}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            read_with(read_lines, &bytes, 64);
            read_with(read_values, &bytes, 64);
        }

        #[test]
        fn near_json_is_read_or_refused(text in "[\\[\\]{}\",: 1a\\\\\n]{0,80}") {
            read_with(read_lines, text.as_bytes(), 64);
            read_with(read_values, text.as_bytes(), 64);
        }
    }
}
