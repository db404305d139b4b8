//! Why a file could not be read, where, and what to do.

use crate::error::{Error, Kind};
use serde::{Deserialize, Serialize};
use std::{fmt, io};

/// A place in a source. What a format has no notion of stays empty.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place {
    /// The file, by its name in the source.
    pub file: String,
    /// Line, from 1.
    pub line: Option<u64>,
    /// Byte, from 0.
    pub offset: Option<u64>,
    /// Row, from 1.
    pub record: Option<u64>,
    /// Row group of a Parquet file or record batch of an Arrow file, from 0.
    pub row_group: Option<u64>,
}

impl Place {
    /// The file as a whole.
    pub fn file(name: &str) -> Self {
        Self { file: name.to_string(), ..Self::default() }
    }

    pub(super) fn at_line(mut self, line: u64) -> Self {
        self.line = Some(line);
        self
    }

    pub(super) fn at_offset(mut self, offset: u64) -> Self {
        self.offset = Some(offset);
        self
    }

    pub(super) fn at_record(mut self, record: u64) -> Self {
        self.record = Some(record);
        self
    }

    pub(super) fn in_group(mut self, group: u64) -> Self {
        self.row_group = Some(group);
        self
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}`", self.file)?;
        let parts = [("line", self.line), ("byte", self.offset), ("row group", self.row_group), ("row", self.record)];
        parts.iter().filter_map(|(word, value)| Some((word, (*value)?))).try_for_each(|(w, v)| write!(f, ", {w} {v}"))
    }
}

/// A file that could not be read, or not to its end.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("failed to read {place}: {problem}\nhint: {hint}")]
pub struct Failure {
    /// What sort of trouble it is.
    pub kind: Kind,
    /// Where.
    pub place: Box<Place>,
    /// What was found.
    pub problem: String,
    /// What to do.
    pub hint: String,
}

impl Failure {
    pub(super) fn new(kind: Kind, place: Place, problem: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { kind, place: Box::new(place), problem: problem.into(), hint: hint.into() }
    }

    /// The bytes break the format's rules.
    pub(super) fn damaged(place: Place, problem: impl Into<String>, hint: impl Into<String>) -> Self {
        Self::new(Kind::Damaged, place, problem, hint)
    }

    /// A limit was reached; the hint says how to raise it.
    pub(super) fn over_limit(place: Place, problem: impl Into<String>, limit: &str) -> Self {
        Self::new(Kind::Limit, place, problem, format!("if you trust the file, raise `{limit}`"))
    }

    /// As an IO error, so that it passes through the readers of other crates; [`Failure::from_io`] finds it again.
    pub(super) fn into_io(self) -> io::Error {
        io::Error::other(self)
    }

    /// What an IO error tells of a file: the failure it carries, or trouble outside.
    pub(super) fn from_io(place: Place, error: &io::Error) -> Self {
        if let Some(carried) = carried(error) {
            return carried.clone();
        }
        match error.kind() {
            io::ErrorKind::UnexpectedEof => {
                Self::damaged(place, "it ends too early", "the file was cut off: get it again")
            }
            io::ErrorKind::NotFound => {
                Self::new(Kind::Unreadable, place, "there is no such file", "check the path for a typing error")
            }
            _ => Self::new(Kind::Unreadable, place, error.to_string(), "check that the file may be read"),
        }
    }
}

/// The failure inside an IO error, below whatever another crate wrapped around it.
fn carried(error: &io::Error) -> Option<&Failure> {
    let mut inner: Option<&(dyn std::error::Error + 'static)> = error.get_ref().map(|inner| inner as _);
    while let Some(error) = inner {
        if let Some(failure) = error.downcast_ref::<Failure>() {
            return Some(failure);
        }
        inner = match error.downcast_ref::<io::Error>().and_then(io::Error::get_ref) {
            Some(deeper) => Some(deeper as _),
            None => error.source(),
        };
    }
    None
}

impl From<Failure> for Error {
    fn from(failure: Failure) -> Self {
        Self::Source(Box::new(failure))
    }
}

/// Why reading stops before the end.
#[derive(Debug)]
pub(super) enum Halt {
    /// The source cannot be read on.
    Failed(Error),
    /// Nobody wants more rows.
    Dropped,
}

/// A step of reading.
pub(super) type Flow<T = ()> = Result<T, Halt>;

impl<E: Into<Error>> From<E> for Halt {
    fn from(error: E) -> Self {
        Self::Failed(error.into())
    }
}

/// IO with the place it happened at.
pub(super) trait AtPlace<T> {
    /// Turns the IO error into a failure at this place.
    fn at(self, place: impl FnOnce() -> Place) -> Result<T, Failure>;
}

impl<T> AtPlace<T> for io::Result<T> {
    fn at(self, place: impl FnOnce() -> Place) -> Result<T, Failure> {
        self.map_err(|error| Failure::from_io(place(), &error))
    }
}
