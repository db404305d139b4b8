//! Taking a person out of a file: the same file without the rows that are theirs.
//!
//! Rows are told by the column of persons, as the mapping names it or under its usual names. A row that cannot be read
//! cannot be trusted to have the person in the right place: it goes if it names them anywhere. Text formats are copied
//! byte for byte otherwise, packed ones packed anew; a table of columns is written anew with the same schema. The new
//! file is written beside the old one and takes its place at the end.

mod parquet;

use crate::{
    Error, Result,
    failure::{AtPlace, Failure, Place},
    file::HEAD_BYTES,
    format::{self, Format, Packing},
    limits::Limits,
    shape::Layout,
    spec::Spec,
    unpack::{self, Bytes},
};
use flate2::{Compression, write::GzEncoder};
use serde_json::Value;
use std::{
    fs::File,
    io::{self, BufRead, BufReader, BufWriter, Read, Write},
    path::Path,
};

/// Whom to take out.
#[derive(Clone, Copy)]
pub struct Person<'a> {
    /// The person's identifier, as the column of persons holds it.
    pub external_id: &'a str,
    /// Does a text name them?
    pub is_named_in: &'a dyn Fn(&str) -> bool,
}

/// What became of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It has no row of theirs, or none any more: so many went.
    Without {
        /// Rows taken out.
        n_rows: u64,
    },
    /// Files of this format cannot be taken apart row by row.
    NotRewritable,
}

/// Takes the person's rows out of a file.
pub fn remove_person(path: &Path, spec: &Spec, limits: &Limits, person: Person<'_>) -> Result<Outcome> {
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let place = || Place::file(&name);
    let (head, packing) = head(path, &name, limits)?;
    let format = format::detect(&name, &head, spec.format)?;
    let Some(rows) = RowFormat::of(format, packing) else { return Ok(Outcome::NotRewritable) };
    let partial = path.with_file_name(format!("{name}.partial"));
    let work = Work { path, name: &name, spec, limits, packing, person };
    let written = match rows {
        RowFormat::Lines => work.lines(&partial),
        RowFormat::Csv => work.csv(&partial),
        RowFormat::Parquet => parquet::rewrite(work, &partial),
    };
    match written {
        Ok(n_rows @ 1..) => {
            std::fs::rename(&partial, path).at(place)?;
            Ok(Outcome::Without { n_rows })
        }
        Ok(0) => {
            std::fs::remove_file(&partial).at(place)?;
            Ok(Outcome::Without { n_rows: 0 })
        }
        Err(error) => {
            // The file itself is as it was; what is half-written must not stay.
            std::fs::remove_file(&partial).ok();
            Err(error)
        }
    }
}

/// Formats whose rows can be taken out one by one.
enum RowFormat {
    Lines,
    Csv,
    Parquet,
}

impl RowFormat {
    fn of(format: Format, packing: Option<Packing>) -> Option<Self> {
        match (format, packing) {
            (Format::JsonLines, _) => Some(Self::Lines),
            (Format::Csv, _) => Some(Self::Csv),
            (Format::Parquet, None) => Some(Self::Parquet),
            _ => None,
        }
    }
}

/// The first bytes of a file, unpacked, and how it is packed.
fn head(path: &Path, name: &str, limits: &Limits) -> Result<(Vec<u8>, Option<Packing>)> {
    let place = || Place::file(name);
    let open = || File::open(path).at(place);
    let mut head = Vec::new();
    open()?.take(HEAD_BYTES).read_to_end(&mut head).at(place)?;
    let Some(packing) = format::packing(&head) else { return Ok((head, None)) };
    head.clear();
    unpack::unpack(name, packing, Box::new(open()?), limits)?.take(HEAD_BYTES).read_to_end(&mut head).at(place)?;
    Ok((head, Some(packing)))
}

/// A file being written anew.
#[derive(Clone, Copy)]
struct Work<'a> {
    path: &'a Path,
    name: &'a str,
    spec: &'a Spec,
    limits: &'a Limits,
    packing: Option<Packing>,
    person: Person<'a>,
}

impl Work<'_> {
    fn place(&self) -> Place {
        Place::file(self.name)
    }

    fn source(&self) -> Result<Bytes<'static>> {
        let file: Bytes<'static> = Box::new(File::open(self.path).at(|| self.place())?);
        match self.packing {
            None => Ok(file),
            Some(packing) => Ok(unpack::unpack(self.name, packing, file, self.limits)?),
        }
    }

    /// JSON, a value a line.
    fn lines(&self, partial: &Path) -> Result<u64> {
        let mut reader = BufReader::new(self.source()?);
        let mut out = Packed::create(partial, self.packing).at(|| self.place())?;
        let (mut line, mut n_rows) = (Vec::new(), 0);
        while reader.read_until(b'\n', &mut line).at(|| self.place())? > 0 {
            if self.is_their_line(&line) {
                n_rows += 1;
            } else {
                out.write_all(&line).at(|| self.place())?;
            }
            line.clear();
        }
        out.finish().at(|| self.place())?;
        Ok(n_rows)
    }

    fn is_their_line(&self, line: &[u8]) -> bool {
        let named = || (self.person.is_named_in)(&String::from_utf8_lossy(line));
        let Ok(Value::Object(fields)) = serde_json::from_slice(line) else { return named() };
        let names: Vec<&str> = fields.keys().map(String::as_str).collect();
        match Layout::find(self.name, &names, self.spec) {
            Ok(layout) => layout.text_value("subject", &fields).as_deref() == Some(self.person.external_id),
            Err(_) => named(),
        }
    }

    /// CSV: one stream tells where records end, the other is copied from.
    fn csv(&self, partial: &Path) -> Result<u64> {
        let place = || self.place();
        let delimiter = self.delimiter()?;
        let mut reader = csv::ReaderBuilder::new()
            .has_headers(false)
            .flexible(true)
            .delimiter(delimiter)
            .from_reader(self.source()?);
        let mut bytes = self.source()?;
        let mut out = Packed::create(partial, self.packing).at(place)?;
        let mut record = csv::ByteRecord::new();
        let (mut subject, mut n_columns, mut n_rows, mut start) = (None, 0, 0, 0);
        loop {
            let more = reader.read_byte_record(&mut record);
            if !more.map_err(|error| Failure::from_io(place(), &error.into()))? {
                break;
            }
            let end = reader.position().byte();
            let is_header = start == 0;
            if is_header {
                subject = self.subject_column(&record);
                n_columns = record.len();
            }
            let mut record_bytes = (&mut bytes).take(end - start);
            if !is_header && self.is_their_record(&record, subject, n_columns) {
                n_rows += 1;
                io::copy(&mut record_bytes, &mut io::sink()).at(place)?;
            } else {
                io::copy(&mut record_bytes, &mut out).at(place)?;
            }
            start = end;
        }
        io::copy(&mut bytes, &mut out).at(place)?;
        out.finish().at(place)?;
        Ok(n_rows)
    }

    /// The delimiter that gives the first line most fields.
    fn delimiter(&self) -> Result<u8> {
        let mut line = Vec::new();
        BufReader::new(self.source()?.take(HEAD_BYTES)).read_until(b'\n', &mut line).at(|| self.place())?;
        let n_of = |delimiter: u8| line.iter().filter(|byte| **byte == delimiter).count();
        // `max_by_key` takes the last of equals, so the comma comes last.
        Ok([b'\t', b';', b','].into_iter().max_by_key(|delimiter| n_of(*delimiter)).unwrap_or(b','))
    }

    fn subject_column(&self, header: &csv::ByteRecord) -> Option<usize> {
        let clean = |name: &[u8]| String::from_utf8_lossy(name).trim_start_matches('\u{feff}').trim().to_string();
        let names: Vec<String> = header.iter().map(clean).collect();
        let column = self.subject_name(&names.iter().map(String::as_str).collect::<Vec<_>>())?;
        names.iter().position(|name| *name == column)
    }

    /// The name of the column of persons among these.
    fn subject_name(&self, names: &[&str]) -> Option<String> {
        Layout::subject_column(names, self.spec)
    }

    fn is_their_record(&self, record: &csv::ByteRecord, subject: Option<usize>, n_columns: usize) -> bool {
        let id = self.person.external_id.as_bytes();
        let is_theirs = subject.and_then(|at| record.get(at)).is_some_and(|value| value.trim_ascii() == id);
        let named = || record.iter().any(|field| (self.person.is_named_in)(&String::from_utf8_lossy(field)));
        is_theirs || (record.len() != n_columns && named())
    }
}

/// A file written with or without a packing.
enum Packed {
    Plain(BufWriter<File>),
    Gzip(GzEncoder<BufWriter<File>>),
    Zstd(zstd::stream::write::Encoder<'static, BufWriter<File>>),
}

impl Packed {
    fn create(path: &Path, packing: Option<Packing>) -> io::Result<Self> {
        let file = BufWriter::new(File::create(path)?);
        Ok(match packing {
            None => Self::Plain(file),
            Some(Packing::Gzip) => Self::Gzip(GzEncoder::new(file, Compression::default())),
            Some(Packing::Zstd) => Self::Zstd(zstd::stream::write::Encoder::new(file, 0)?),
        })
    }

    /// Ends the packing and brings everything to the disk.
    fn finish(self) -> io::Result<()> {
        let file = match self {
            Self::Plain(file) => file,
            Self::Gzip(encoder) => encoder.finish()?,
            Self::Zstd(encoder) => encoder.finish()?,
        };
        file.into_inner().map_err(io::IntoInnerError::into_error)?.sync_all()
    }
}

impl Write for Packed {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Plain(file) => file.write(bytes),
            Self::Gzip(encoder) => encoder.write(bytes),
            Self::Zstd(encoder) => encoder.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Plain(file) => file.flush(),
            Self::Gzip(encoder) => encoder.flush(),
            Self::Zstd(encoder) => encoder.flush(),
        }
    }
}

/// A failure of a writer.
fn trouble(place: Place, error: impl std::fmt::Display) -> Error {
    Failure::new(crate::Kind::Unreadable, place, format!("it could not be written anew: {error}"), "check the disk")
        .into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Mapping, Read as Row, open};

    fn person() -> Person<'static> {
        Person { external_id: "C-1", is_named_in: &|text| text.contains("Ada Lovett") }
    }

    fn run(name: &str, bytes: &[u8], spec: &Spec) -> (Outcome, Vec<u8>) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        let outcome = remove_person(&path, spec, &Limits::default(), person()).unwrap();
        let again = remove_person(&path, spec, &Limits::default(), person()).unwrap();
        assert!(again != outcome || outcome != Outcome::Without { n_rows: 1 }, "nothing is left to take out");
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1, "nothing stays beside the file");
        (outcome, std::fs::read(&path).unwrap())
    }

    #[test]
    fn only_the_persons_records_go() {
        let text = "id,text,customer\n1,\"a, \"\"b\"\"\nc\",C-1\n2,x,C-12\n3,ragged\n4,Ada Lovett\n5,y,C-1\n";
        let (outcome, left) = run("m.csv", text.as_bytes(), &Spec::default());
        assert_eq!(outcome, Outcome::Without { n_rows: 3 });
        assert_eq!(String::from_utf8(left).unwrap(), "id,text,customer\n2,x,C-12\n3,ragged\n");
        let tabs = "text\twho\r\nx\tC-1\r\ny\tC-2\r\n";
        let mapping = Mapping { subject: Some("who".into()), ..Mapping::default() };
        let (outcome, left) = run("m.tsv", tabs.as_bytes(), &Spec { mapping, ..Spec::default() });
        assert_eq!(outcome, Outcome::Without { n_rows: 1 });
        assert_eq!(String::from_utf8(left).unwrap(), "text\twho\r\ny\tC-2\r\n");
    }

    #[test]
    fn lines_go_whatever_they_are_packed_in() {
        let lines =
            b"{\"text\":\"a\",\"user\":\"C-1\"}\n{\"text\":\"b\",\"user\":\"C-2\"}\nbroken Ada Lovett\nbroken\n";
        let left = b"{\"text\":\"b\",\"user\":\"C-2\"}\nbroken\n";
        assert_eq!(run("m.jsonl", lines, &Spec::default()), (Outcome::Without { n_rows: 2 }, left.to_vec()));
        let (outcome, packed) = run("m.jsonl.zst", &zstd::stream::encode_all(&lines[..], 1).unwrap(), &Spec::default());
        assert_eq!(outcome, Outcome::Without { n_rows: 2 });
        assert_eq!(zstd::stream::decode_all(&packed[..]).unwrap(), left);
    }

    #[test]
    fn a_document_is_left_to_its_owner() {
        let (outcome, _) = run("m.txt", b"Ada Lovett wrote", &Spec::default());
        assert_eq!(outcome, Outcome::NotRewritable);
    }

    #[test]
    fn a_table_of_columns_is_written_anew() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("m.parquet");
        parquet::tests::write(&path, &[("a", "C-1"), ("b", "C-2"), ("c", "C-1"), ("d", "C-3")]);
        let outcome = remove_person(&path, &Spec::default(), &Limits::default(), person()).unwrap();
        assert_eq!(outcome, Outcome::Without { n_rows: 2 });
        let spec = Spec { location: path.to_string_lossy().into_owned(), ..Spec::default() };
        let rows: Vec<String> = open(&spec, &crate::OpenSettings::default())
            .map(|read| match read.unwrap() {
                Row::Row(record) => record.text,
                Row::Rejected(rejected) => panic!("{rejected:?}"),
            })
            .collect();
        assert_eq!(rows, ["b", "d"]);
        let bytes = std::fs::read(&path).unwrap();
        assert!(!bytes.windows(3).any(|window| window == b"C-1"));
    }
}
