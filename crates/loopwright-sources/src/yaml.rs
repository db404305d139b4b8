//! YAML to values: front matter, and files of one row a document.
//!
//! The values are built here from the parser's events, so that a small text cannot become a large value: aliases are
//! refused (the "billion laughs"), depth and number of values have a limit. Plain words follow the core schema of YAML
//! 1.2 (section 10.3.2): `null`, `true`, numbers; everything else, dates too, is text.

use super::{
    failure::{AtPlace, Flow, Place},
    json,
    sink::{Fields, Job, RowSink},
    unpack::Bytes,
};
use saphyr_parser::{Event, Parser, ScalarStyle, StrInput};
use serde_json::Value;
use std::io::Read;

const DEPTH_MAX: usize = 32;
const VALUES_MAX: usize = 1_000_000;

/// Reads a file of YAML documents, each a row.
pub(super) fn read(job: Job<'_>, stream: Bytes<'_>, sink: &mut dyn RowSink) -> Flow {
    let mut bytes = Vec::new();
    let bytes_max = job.limits.record_bytes_max;
    stream.take(bytes_max as u64 + 1).read_to_end(&mut bytes).at(|| Place::file(job.name))?;
    if bytes.len() > bytes_max {
        return sink.reject(1, job.too_long("the file"), &bytes);
    }
    let text = match std::str::from_utf8(&bytes) {
        Ok(text) => text,
        Err(_) => {
            let why = super::encoding::not_utf8(&bytes, job.first_offset).unwrap_or_default();
            return sink.reject(1, why, &bytes);
        }
    };
    match documents(text) {
        Err(reason) => sink.reject(1, format!("not YAML: {reason}"), &bytes),
        Ok(documents) => documents.into_iter().try_for_each(|(line, value)| match json::fields(value) {
            Ok(fields) => sink.row(line, fields),
            Err(reason) => sink.reject(line, reason, &bytes),
        }),
    }
}

/// The fields of a YAML text that is one mapping, as a configuration or front matter is.
pub fn fields(text: &str) -> Result<serde_json::Map<String, Value>, String> {
    match documents(text)?.into_iter().next() {
        None | Some((_, Value::Null)) => Ok(Fields::new()),
        Some((_, Value::Object(fields))) => Ok(fields),
        Some((_, other)) => Err(format!("expected names with values, got {}", json::kind(&other))),
    }
}

/// The documents of a text, each with its line.
fn documents(text: &str) -> Result<Vec<(u64, Value)>, String> {
    let mut reader = Reader { parser: Parser::new_from_str(text), n_values: 0 };
    let mut documents = Vec::new();
    loop {
        let (event, line) = reader.next()?;
        match event {
            Event::StreamEnd => return Ok(documents),
            Event::StreamStart | Event::DocumentStart(_) | Event::DocumentEnd | Event::Nothing => {}
            other => documents.push((line, reader.value(other, line, 0)?)),
        }
    }
}

struct Reader<'a> {
    parser: Parser<'a, StrInput<'a>>,
    n_values: usize,
}

impl<'a> Reader<'a> {
    fn next(&mut self) -> Result<(Event<'a>, u64), String> {
        match self.parser.next_event() {
            None => Ok((Event::StreamEnd, 0)),
            Some(Ok((event, span))) => Ok((event, span.start.line() as u64)),
            Some(Err(error)) => Err(error.to_string()),
        }
    }

    fn value(&mut self, event: Event<'a>, line: u64, depth: usize) -> Result<Value, String> {
        self.n_values += 1;
        if depth > DEPTH_MAX || self.n_values > VALUES_MAX {
            return Err(format!("more than {DEPTH_MAX} levels or {VALUES_MAX} values, at line {line}"));
        }
        match event {
            Event::Scalar(text, style, ..) => Ok(scalar(&text, style)),
            Event::SequenceStart(..) => self.list(depth),
            Event::MappingStart(..) => self.object(depth),
            Event::Alias(_) => Err(format!("an alias, which is not followed, at line {line}")),
            _ => Err(format!("an unexpected end, at line {line}")),
        }
    }

    fn list(&mut self, depth: usize) -> Result<Value, String> {
        let mut items = Vec::new();
        loop {
            match self.next()? {
                (Event::SequenceEnd, _) => return Ok(Value::Array(items)),
                (event, line) => items.push(self.value(event, line, depth + 1)?),
            }
        }
    }

    fn object(&mut self, depth: usize) -> Result<Value, String> {
        let mut fields = Fields::new();
        loop {
            let (event, line) = self.next()?;
            let name = match event {
                Event::MappingEnd => return Ok(Value::Object(fields)),
                Event::Scalar(name, ..) => name.into_owned(),
                _ => return Err(format!("a name that is no text, at line {line}")),
            };
            let (event, line) = self.next()?;
            let value = self.value(event, line, depth + 1)?;
            fields.insert(name, value);
        }
    }
}

/// A plain word by the core schema; a quoted one is text.
fn scalar(text: &str, style: ScalarStyle) -> Value {
    if !matches!(style, ScalarStyle::Plain) {
        return Value::String(text.to_string());
    }
    match text {
        "" | "~" | "null" | "Null" | "NULL" => Value::Null,
        "true" | "True" | "TRUE" => Value::Bool(true),
        "false" | "False" | "FALSE" => Value::Bool(false),
        _ => number(text).unwrap_or_else(|| Value::String(text.to_string())),
    }
}

fn number(text: &str) -> Option<Value> {
    if !text.starts_with(|c: char| c.is_ascii_digit() || matches!(c, '-' | '+' | '.')) {
        return None;
    }
    text.parse::<i64>().map(Value::from).ok().or_else(|| text.parse::<f64>().ok().map(Value::from))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    #[test]
    fn front_matter_becomes_fields() {
        let text = "license: cc-by-4.0\ntags:\n- a\n- 'b: c'\nn: 3\nx: 1.5\nwhen: 2024-01-02\nno: ~\nconfigs: [{config_name: default, data_files: \"*.csv\"}]\nlong: |\n  two\n  lines\n";
        assert_eq!(
            Value::Object(fields(text).unwrap()),
            json!({"license": "cc-by-4.0", "tags": ["a", "b: c"], "n": 3, "x": 1.5, "when": "2024-01-02", "no": null,
                "configs": [{"config_name": "default", "data_files": "*.csv"}], "long": "two\nlines\n"})
        );
        assert_eq!(fields("").unwrap(), Fields::new());
        assert_eq!(documents("a: 1\n---\na: 2\n").unwrap().len(), 2);
    }

    #[test]
    fn what_could_blow_up_is_refused() {
        for (text, word) in [
            ("a: &x [1, 1]\nb: [*x, *x]\n".to_string(), "alias"),
            ("[".repeat(200), "levels"),
            ("a: [1".to_string(), ""),
            ("? [1]\n: 2\n".to_string(), "no text"),
            ("- 1\n".to_string(), "expected names"),
        ] {
            let error = fields(&text).unwrap_err();
            assert!(error.contains(word), "{text}: {error}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in "[a-c:\\-\\[\\]{}&*!|>'\"#? \n]{0,60}") {
            let _ = documents(&text);
        }
    }
}
