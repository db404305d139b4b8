//! Reading a source: files of every common format, as they come out of somebody's export.
//!
//! [`open`] is the way in: `source` lists the files (`files`, `hub`), `file` takes the packing off (`unpack`), tells the
//! format (`format`) and calls its reader (`json`, `table`, `parquet`, `arrow`, `document`, `yaml`, `archive`). A reader
//! hands on rows as they are (`sink`); `shape` says what their columns mean and `shaping` makes [`Record`]s of them, which
//! travel in batches (`feed`). [`child`] does all this in a process of its own, for files that cannot be trusted.
//! [`erase`] takes a person out of a file, and [`texts`] shows every text that a file holds, whatever its columns mean.
//! [`ReadRows`] takes all rows of a small source at once.
//!
//! A good row is never lost to a bad one. A row that cannot be read (wrong number of fields, an open quote, bytes that
//! are not UTF-8, a time that is none) is kept aside with its line, the reason and an excerpt, and reading goes on at
//! the next line. Only a file that is no table, or a table without the needed columns, is an error.

mod archive;
mod arrow;
mod brief;
mod cells;
pub mod child;
mod chunks;
mod document;
mod encoding;
pub mod erase;
pub mod error;
mod failure;
mod feed;
mod file;
mod files;
mod format;
mod header;
mod hub;
mod json;
mod limits;
mod lines;
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
pub mod yaml;

pub use brief::brief;
pub use error::{Error, Kind, Result};
pub use failure::{Failure, Place};
pub use files::{SourceFile, choose, files};
pub use format::{Format, Packing};
pub use limits::Limits;
pub use row::{Conversation, Read, ReadRows, Record, Role, Turn};
pub use source::{Reads, open, open_reader};
pub use spec::{ChildCommand, Mapping, OpenSettings, Shape, Spec, TextUnit};

use jiff::civil;
use loopwright_types::Timestamp;

/// Longest excerpt of a rejected row, in characters.
const EXCERPT_CHARS: usize = 200;

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
