//! Every text of a file, whatever its columns mean: for a search that must not miss what compression or escapes hide.

use crate::{
    Error, Result,
    failure::{AtPlace, Flow, Halt, Place},
    file,
    format::{self, Format, Packing},
    limits::Limits,
    sink::{Column, Fields, FileSink, Job, RowSink},
    spec::Spec,
    unpack,
};
use serde_json::Value;
use std::{fs::File, io::Read, path::Path};

/// Is the file of a kind that [`every_text`] reads: a format told by its first bytes or, failing that, its name?
pub fn can_read(path: &Path) -> bool {
    let mut head = Vec::new();
    let read = File::open(path).and_then(|file| file.take(format::MAGIC_BYTES).read_to_end(&mut head));
    let name = path.file_name().unwrap_or_default().to_string_lossy().to_ascii_lowercase();
    read.is_ok()
        && (format::packing(&head).is_some()
            || format::needs_child(&name, &head)
            || format::claimed_by(&name).is_some())
}

/// The bytes inside a packed file; none if it is not packed.
pub fn unpacked(path: &Path, limits: &Limits) -> Result<Option<Box<dyn Read>>> {
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let open = || File::open(path).at(|| Place::file(&name));
    let mut head = Vec::new();
    open()?.take(format::MAGIC_BYTES).read_to_end(&mut head).at(|| Place::file(&name))?;
    let Some(packing) = format::packing(&head) else { return Ok(None) };
    Ok(Some(unpack::unpack(&name, packing, Box::new(open()?), limits)?))
}

/// Passes every value of every row of a file to `each`: strings as they are, numbers as they are written; of rows that
/// cannot be read their bytes, as far as they are UTF-8. Archives and packings are opened.
///
/// The file is read in this process, so only files that somebody put there on purpose should come here.
pub fn every_text(path: &Path, name: &str, limits: &Limits, each: &mut dyn FnMut(&str)) -> Result<()> {
    let spec = Spec::default();
    let mut sink = EveryText { each };
    let mut read = || -> Flow {
        let file = File::open(path).at(|| Place::file(name))?;
        let origin = file.try_clone().at(|| Place::file(name))?;
        let job = Job { name, spec: &spec, limits, depth: 0, first_offset: 0 };
        file::read_file(job, Box::new(file), Some(origin), &mut sink)
    };
    match read() {
        Ok(()) | Err(Halt::Dropped) => Ok(()),
        Err(Halt::Failed(error)) => Err::<(), Error>(error),
    }
}

struct EveryText<'a> {
    each: &'a mut dyn FnMut(&str),
}

impl EveryText<'_> {
    fn value(&mut self, value: &Value) {
        match value {
            Value::String(text) => (self.each)(text),
            Value::Number(number) => (self.each)(&number.to_string()),
            Value::Array(values) => values.iter().for_each(|value| self.value(value)),
            Value::Object(fields) => self.fields(fields),
            Value::Null | Value::Bool(_) => {}
        }
    }

    fn fields(&mut self, fields: &Fields) {
        for (name, value) in fields {
            (self.each)(name);
            self.value(value);
        }
    }
}

impl FileSink for EveryText<'_> {
    fn begin_file(&mut self, name: &str, _: Format, _: Option<Packing>) -> Flow<&mut dyn RowSink> {
        (self.each)(name);
        Ok(self)
    }
}

impl RowSink for EveryText<'_> {
    fn columns(&mut self, columns: &[Column]) -> Flow<Option<Vec<String>>> {
        columns.iter().for_each(|column| (self.each)(&column.name));
        Ok(None)
    }

    fn row(&mut self, _line: u64, fields: Fields) -> Flow {
        self.fields(&fields);
        Ok(())
    }

    fn reject(&mut self, _line: u64, _reason: String, raw: &[u8]) -> Flow {
        (self.each)(&String::from_utf8_lossy(raw));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(name: &str, bytes: &[u8]) -> Vec<String> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        assert!(can_read(&path));
        let mut found = Vec::new();
        every_text(&path, name, &Limits::default(), &mut |text| found.push(text.to_string())).unwrap();
        found
    }

    #[test]
    fn what_escapes_and_packings_hide_is_seen() {
        let line = br#"{"who": {"name": "J\u00fcrgen"}, "numbers": [5550107]}"#;
        for (name, bytes) in
            [("a.jsonl", line.to_vec()), ("a.jsonl.zst", zstd::stream::encode_all(&line[..], 1).unwrap())]
        {
            let found = texts(name, &bytes);
            assert!(["Jürgen", "5550107", "name"].iter().all(|text| found.iter().any(|it| it == text)), "{found:?}");
        }
        assert!(texts("a.csv", b"a,b\n1,\"x\ny\"\nragged\n").iter().any(|text| text == "x\ny"));
    }
}
