//! Reading a source: files of every common format, as they come out of somebody's export.
//!
//! [`open`] is the way in: `source` lists the files (`files`, `hub`), `file` takes the packing off (`unpack`), tells the
//! format (`format`) and calls its reader (`json`, `table`, `parquet`, `arrow`, `document`, `yaml`, `archive`). A reader
//! hands on rows as they are (`sink`); `shape` says what their columns mean and `shaping` makes [`Record`]s of them, which
//! travel in batches (`feed`). [`child`] does all this in a process of its own, for files that cannot be trusted.
//! [`erase`] takes a person out of a file, and [`texts`] shows every text that a file holds, whatever its columns mean.
//! [`read_csv`] reads one CSV file that is in memory already.
//!
//! A good row is never lost to a bad one. A row that cannot be read (wrong number of fields, an open quote, bytes that
//! are not UTF-8, a time that is none) is kept aside with its line, the reason and an excerpt, and reading goes on at
//! the next line. Only a file that is no table, or a table without the needed columns, is an error.

mod archive;
mod arrow;
mod cells;
pub mod child;
mod document;
mod encoding;
pub mod erase;
pub mod error;
mod failure;
mod feed;
mod file;
mod files;
mod format;
mod hub;
mod json;
mod limits;
mod lines;
mod mapping;
mod page;
mod parquet;
mod record;
mod row;
pub mod schema;
mod shape;
mod shaping;
mod sink;
mod sniff;
pub mod source;
mod spec;
mod table;
pub mod texts;
mod turns;
mod unpack;
mod yaml;

pub use error::{Error, Kind, Result};
pub use failure::{Failure, Place};
pub use files::{SourceFile, files};
pub use format::{Format, Packing};
pub use limits::Limits;
pub use mapping::CsvMapping;
pub use row::{Conversation, Read, Record, Role, Turn};
pub use source::{Reads, open, open_reader};
pub use spec::{ChildCommand, Mapping, OpenSettings, Shape, Spec, TextUnit};

use jiff::civil;
use loopwright_types::{SourceRow, Timestamp, dataset::RejectedRow, id::SubjectId};
use mapping::Columns;
use record::Records;
use std::collections::BTreeMap;

/// Longest excerpt of a rejected row, in characters.
const EXCERPT_CHARS: usize = 200;

/// What a source holds.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ReadRows {
    /// The readable rows, in order.
    pub rows: Vec<SourceRow>,
    /// The rows kept aside.
    pub rejected: Vec<RejectedRow>,
    /// Which column was read as what: `text`, `label`, `id`, `subject`, `group`, `at` to the header's name.
    pub columns: BTreeMap<String, String>,
}

/// Reads a CSV file from its bytes.
///
/// `subject_id` turns the value of the subject column into a pseudonym. The delimiter (comma, semicolon, tab) is taken
/// from the header; a byte order mark is skipped. A row id that occurs twice gets `~2`, `~3` … appended, in order.
///
/// ```
/// use loopwright_sources::{CsvMapping, read_csv};
///
/// let file = b"id,text,label\n1,where is it?,track_order\n2,\"broken\n3,thanks,other\n";
/// let read = read_csv("mail.csv", file, &CsvMapping::default(), &|id| id.into()).unwrap();
/// assert_eq!(read.rows.len(), 2);
/// assert_eq!(read.rejected[0].line, 3);
/// ```
pub fn read_csv(
    source: &str,
    bytes: &[u8],
    mapping: &CsvMapping,
    subject_id: &dyn Fn(&str) -> SubjectId,
) -> Result<ReadRows> {
    let bytes = bytes.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(bytes);
    if let Some((looks_like, hint)) = sniff::other_format(bytes) {
        let (looks_like, hint) = (looks_like.to_string(), hint.to_string());
        return Err(Error::NotCsv { source_name: source.to_string(), looks_like, hint });
    }
    let (delimiter, header) = mapping::header(bytes);
    let columns = Columns::find(source, &header, mapping)?;
    let mut records = Records::new(bytes, delimiter);
    records.next();
    let mut read = ReadRows { columns: columns.names(&header), ..ReadRows::default() };
    let mut seen: BTreeMap<String, u64> = BTreeMap::new();
    for (index, record) in records.filter(|record| !record.is_blank()).enumerate() {
        match source_row(source, index as u64 + 1, &record, &columns, subject_id) {
            Ok(mut row) => {
                let n = seen.entry(row.row_id.clone()).or_default();
                *n += 1;
                if *n > 1 {
                    row.row_id = format!("{}~{n}", row.row_id);
                }
                read.rows.push(row);
            }
            Err(reason) => read.rejected.push(RejectedRow {
                source: source.to_string(),
                line: record.line,
                reason,
                excerpt: String::from_utf8_lossy(record.raw).chars().take(EXCERPT_CHARS).collect(),
            }),
        }
    }
    Ok(read)
}

fn source_row(
    source: &str,
    row_index: u64,
    record: &record::Record<'_>,
    columns: &Columns,
    subject_id: &dyn Fn(&str) -> SubjectId,
) -> std::result::Result<SourceRow, String> {
    if let Some(problem) = &record.problem {
        return Err(problem.clone());
    }
    if record.fields.len() != columns.n_columns {
        return Err(format!("expected {} fields, got {}", columns.n_columns, record.fields.len()));
    }
    let fields = record.fields.iter().enumerate().map(|(index, field)| utf8(index, field));
    let fields = fields.collect::<std::result::Result<Vec<&str>, String>>()?;
    let value = |column: Option<usize>| column.map(|index| fields[index].trim()).filter(|value| !value.is_empty());
    let at = value(columns.at).map(parse_time).transpose()?;
    Ok(SourceRow {
        row_id: value(columns.id).map_or_else(|| format!("{source}-{row_index}"), str::to_string),
        source: source.to_string(),
        row_index,
        text: fields[columns.text].to_string(),
        label: value(columns.label).map(str::to_string),
        subject: value(columns.subject).map(subject_id),
        group: value(columns.group).map(str::to_string),
        at,
        ..SourceRow::default()
    })
}

fn utf8(index: usize, field: &[u8]) -> std::result::Result<&str, String> {
    std::str::from_utf8(field)
        .map_err(|error| format!("field {} is not UTF-8 from its byte {}", index + 1, error.valid_up_to() + 1))
}

/// RFC 3339, or a date with or without a time (then in UTC).
fn parse_time(text: &str) -> std::result::Result<Timestamp, String> {
    let zoned = text.parse::<jiff::Timestamp>().ok();
    let civil =
        || text.parse::<civil::DateTime>().or_else(|_| text.parse::<civil::Date>().map(|date| date.at(0, 0, 0, 0)));
    zoned
        .or_else(|| jiff::tz::TimeZone::UTC.to_timestamp(civil().ok()?).ok())
        .map(|time| Timestamp(time.as_millisecond()))
        .ok_or_else(|| format!("expected a time such as `2026-01-31T10:00:00Z` or `2026-01-31`, got `{text}`"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Kind;
    use proptest::prelude::*;

    fn read(bytes: &[u8]) -> Result<ReadRows> {
        read_csv("s.csv", bytes, &CsvMapping::default(), &|id| SubjectId::new(format!("s-{id}")))
    }

    #[test]
    fn a_usual_file_is_read_whole() {
        let file = "\u{feff}id;text;category;customer;segment;created_at\r\n7;\"a \"\"b\"\"\nc\";refund;C-1;business;2026-01-02T03:04:05Z\r\n8;x;;;;2026-01-02\r\n";
        let read = read(file.as_bytes()).unwrap();
        assert_eq!(read.rejected, []);
        let first = &read.rows[0];
        assert_eq!(
            (first.row_id.as_str(), first.text.as_str(), first.label.as_deref()),
            ("7", "a \"b\"\nc", Some("refund"))
        );
        assert_eq!((first.subject.clone(), first.group.as_deref()), (Some("s-C-1".into()), Some("business")));
        assert_eq!(first.at.map(|at| at.to_string()).as_deref(), Some("2026-01-02T03:04:05.000Z"));
        assert_eq!((read.rows[1].label.clone(), read.rows[1].subject.clone()), (None, None));
        assert_eq!(read.rows[1].at.map(|at| at.to_string()).as_deref(), Some("2026-01-02T00:00:00.000Z"));
    }

    #[test]
    fn bad_rows_are_kept_aside_and_good_ones_are_not_lost() {
        let file = b"id,text,label\n1,good,a\n2,too,many,a\n3,\xff\xfe,a\n4,\"open,a\n5,fine,a\n6,\"also \"bad\",a\n7,short\n8,\"last\",a\n9,\"open at the end,a";
        let read = read(file).unwrap();
        let ids: Vec<&str> = read.rows.iter().map(|row| row.row_id.as_str()).collect();
        assert_eq!(ids, ["1", "5", "8"]);
        let rejected: Vec<(u64, &str)> = read.rejected.iter().map(|row| (row.line, row.reason.as_str())).collect();
        assert_eq!(
            rejected,
            [
                (3, "expected 3 fields, got 4"),
                (4, "field 2 is not UTF-8 from its byte 1"),
                (5, "a quote is opened and not closed as it should be"),
                (7, "a quote is opened and not closed as it should be"),
                (8, "expected 3 fields, got 2"),
                (10, "a quote is opened and not closed as it should be"),
            ]
        );
        assert_eq!(read.rejected[0].excerpt, "2,too,many,a");
    }

    #[test]
    fn a_swallowed_row_is_given_back() {
        // The open quote of line 2 would run to line 4 and give a record of the right width.
        let file = b"text,label\n\"open,a\ngood,a\n\"quoted\",a\n";
        let read = read(file).unwrap();
        assert_eq!(read.rows.iter().map(|row| row.text.as_str()).collect::<Vec<_>>(), ["good", "quoted"]);
        assert_eq!(read.rejected[0].line, 2);
    }

    #[test]
    fn repeated_ids_are_told_apart() {
        let read = read(b"id,text\n1,a\n1,b\n1,c\n").unwrap();
        assert_eq!(read.rows.iter().map(|row| row.row_id.as_str()).collect::<Vec<_>>(), ["1", "1~2", "1~3"]);
    }

    #[test]
    fn files_that_are_something_else_are_named() {
        for (bytes, word) in [
            (b"\x89PNG\r\n\x1a\n".as_slice(), "PNG"),
            (b"PK\x03\x04xl/workbook", "ZIP"),
            (b"PAR1....", "Parquet"),
            (b"{\"text\": \"a\"}", "JSON"),
            (b"te\0xt,label\n", "binary"),
            (b"\xff\xfet\0e\0", "UTF-16"),
            (b"", "an empty file"),
            (b"<!DOCTYPE html>", "HTML"),
        ] {
            let error = read(bytes).unwrap_err();
            assert_eq!(error.kind(), Kind::NotCsv);
            assert!(error.to_string().contains(word) && error.to_string().contains("s.csv"), "{error}");
            assert!(error.to_string().contains("\nhint: "), "{error}");
        }
    }

    #[test]
    fn a_missing_column_is_named_with_those_found() {
        let error = read(b"body,label\nx,y\n").unwrap_err();
        assert_eq!(error.kind(), Kind::MissingColumn);
        assert!(error.to_string().contains("`text`") && error.to_string().contains("`body`, `label`"), "{error}");
        let mapping = CsvMapping { text: Some("body".into()), ..CsvMapping::default() };
        let rows = read_csv("s.csv", b"body,label\nx,y\n", &mapping, &|id| id.into()).unwrap().rows;
        assert_eq!((rows[0].text.as_str(), rows[0].label.as_deref()), ("x", Some("y")));
        let wrong = CsvMapping { group: Some("team".into()), ..CsvMapping::default() };
        let error = read_csv("s.csv", b"text,label\nx,y\n", &wrong, &|id| id.into()).unwrap_err();
        assert!(error.to_string().contains("`team`"), "{error}");
    }

    #[test]
    fn times_that_are_none_put_the_row_aside() {
        let read = read(b"text,created_at\na,yesterday\nb,2026-01-01 10:00:00\n").unwrap();
        assert_eq!((read.rows.len(), read.rejected.len()), (1, 1));
        assert!(read.rejected[0].reason.contains("`yesterday`"));
    }

    proptest! {
        #[test]
        fn what_the_csv_crate_writes_is_read_back(texts in prop::collection::vec("[a-z,\"\n\r; é]{0,12}", 1..12)) {
            let mut writer = csv::Writer::from_writer(Vec::new());
            writer.write_record(["text", "label"]).unwrap();
            texts.iter().for_each(|text| writer.write_record([text.as_str(), "x"]).unwrap());
            let read = read(&writer.into_inner().unwrap()).unwrap();
            prop_assert_eq!(&read.rejected, &vec![]);
            let back: Vec<String> = read.rows.into_iter().map(|row| row.text).collect();
            prop_assert_eq!(back, texts);
        }

        #[test]
        fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let mut file = b"text,label\n".to_vec();
            file.extend(&bytes);
            if let Ok(read) = read(&file) {
                prop_assert!(read.rejected.iter().all(|row| row.excerpt.chars().count() <= 200));
            }
        }
    }
}
