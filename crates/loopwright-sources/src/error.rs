//! What can go wrong, by kind.

use crate::Failure;
use serde::{Deserialize, Serialize};

/// What kind of failure it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// The file is a table, but lacks a column.
    MissingColumn,
    /// The file is not what its name or the settings say, or of no format that we read.
    WrongFormat,
    /// The file breaks the rules of its format: cut off, altered, written wrongly.
    Damaged,
    /// A limit was reached.
    Limit,
    /// Files of one source do not fit together.
    Mixed,
    /// The file is not there or cannot be read: outside trouble.
    Unreadable,
    /// The reading process or thread broke down: our bug, or a file made to break it.
    Crashed,
}

/// Why a source could not be read. A bad *row* is never an error: it is kept aside.
#[derive(Debug, PartialEq, Serialize, Deserialize, thiserror::Error)]
#[serde(rename_all = "snake_case")]
pub enum Error {
    /// A column is missing.
    #[error(
        "failed to read `{source_name}`: expected a column {expected}, found {found}\nhint: name the column in the source's settings, e.g. `text = \"body\"`"
    )]
    MissingColumn {
        /// The file.
        source_name: String,
        /// The names that would have done.
        expected: String,
        /// The names in the header.
        found: String,
    },
    /// A source could not be read, or not to its end.
    #[error(transparent)]
    Source(Box<Failure>),
}

impl Error {
    /// The kind, to match on.
    pub fn kind(&self) -> Kind {
        match self {
            Self::MissingColumn { .. } => Kind::MissingColumn,
            Self::Source(failure) => failure.kind,
        }
    }
}

/// A result with this crate's error.
pub type Result<T> = std::result::Result<T, Error>;
