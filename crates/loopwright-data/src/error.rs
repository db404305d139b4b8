//! What can go wrong, by kind.

use crate::read::Failure;
use serde::{Deserialize, Serialize};
use std::{io, path::Path};

/// What kind of failure it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// The file is not a table of text that we can read.
    NotCsv,
    /// The file is a table, but lacks a column.
    MissingColumn,
    /// A setting is out of its range.
    Setting,
    /// A curation needs more memory than it may take.
    Memory,
    /// The work folder of a curation is not one that it can go on with.
    WorkFolder,
    /// Trouble outside: a disk, or where rows come from or go to.
    Outside,
    /// Documents are missing, or too many.
    Documents,
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

/// Why a source could not be read or a recipe not be followed. A bad *row* is never an error: it is kept aside.
///
/// Errors of a reading child process cross a pipe; those that reading never meets are skipped.
#[derive(Debug, Serialize, Deserialize, thiserror::Error)]
#[serde(rename_all = "snake_case")]
pub enum Error {
    /// The file is something else than its name says.
    #[error("failed to read `{source_name}` as CSV: it looks like {looks_like}\nhint: {hint}")]
    NotCsv {
        /// The file.
        source_name: String,
        /// What it seems to be, with an article.
        looks_like: String,
        /// What to do.
        hint: String,
    },
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
    /// A setting is out of its range.
    #[error("`{name}` is {got}, expected {expected}")]
    Setting {
        /// The setting, with its step.
        name: String,
        /// Its value.
        got: String,
        /// What it may be.
        expected: String,
    },
    /// A step would need more memory than the curation may take.
    #[error("step `{step}` needs {needed_bytes} bytes for {what}, but may take {memory_bytes}\nhint: {hint}")]
    #[serde(skip)]
    Memory {
        /// The step.
        step: String,
        /// What it is needed for, with the figures that decide it.
        what: String,
        /// How much it would be.
        needed_bytes: u64,
        /// How much it may be.
        memory_bytes: u64,
        /// What to do.
        hint: String,
    },
    /// The work folder belongs to something else, is in use, or is damaged.
    #[error("cannot go on in the work folder `{folder}`: {reason}\nhint: {hint}")]
    #[serde(skip)]
    WorkFolder {
        /// The folder.
        folder: String,
        /// What is wrong.
        reason: String,
        /// What to do.
        hint: String,
    },
    /// Trouble outside.
    #[error("failed to {doing}")]
    #[serde(skip)]
    Outside {
        /// What we were doing.
        doing: String,
        /// What came in between.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// Documents are missing, or too many.
    #[error("expected {expected}, got {got}")]
    #[serde(skip)]
    Documents {
        /// What documents there should be.
        expected: String,
        /// What there is.
        got: String,
    },
    /// A source could not be read, or not to its end.
    #[error(transparent)]
    Source(Box<Failure>),
}

/// Equal errors say the same: what a disk or a network answered is known by its text only.
impl PartialEq for Error {
    fn eq(&self, other: &Self) -> bool {
        self.kind() == other.kind() && self.to_string() == other.to_string()
    }
}

impl Error {
    /// The kind, to match on.
    pub fn kind(&self) -> Kind {
        match self {
            Self::NotCsv { .. } => Kind::NotCsv,
            Self::MissingColumn { .. } => Kind::MissingColumn,
            Self::Setting { .. } => Kind::Setting,
            Self::Memory { .. } => Kind::Memory,
            Self::WorkFolder { .. } => Kind::WorkFolder,
            Self::Outside { .. } => Kind::Outside,
            Self::Documents { .. } => Kind::Documents,
            Self::Source(failure) => failure.kind,
        }
    }

    /// Trouble outside, e.g. of whoever gives rows or takes them: `doing` reads on after "failed to".
    pub fn outside(doing: impl Into<String>, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self::Outside { doing: doing.into(), source: source.into() }
    }

    /// A disk's trouble with a file.
    pub(crate) fn file(doing: &str, path: &Path, source: io::Error) -> Self {
        Self::outside(format!("{doing} `{}`", path.display()), source)
    }

    /// The same for `map_err`.
    pub(crate) fn on_file<'a>(doing: &'a str, path: &'a Path) -> impl FnOnce(io::Error) -> Self + 'a {
        move |source| Self::file(doing, path, source)
    }

    /// A search for near-duplicates that was granted too little.
    pub(crate) fn search_memory(what: &str, needed_bytes: u64, memory_bytes: u64) -> Self {
        let (step, what, hint) = ("min_hash".to_string(), what.to_string(), "raise `memory_bytes`".to_string());
        Self::Memory { step, what, needed_bytes, memory_bytes, hint }
    }

    pub(crate) fn work_folder(folder: &Path, reason: impl Into<String>) -> Self {
        let hint = "remove the folder to begin anew, or name another one".to_string();
        Self::WorkFolder { folder: folder.display().to_string(), reason: reason.into(), hint }
    }

    pub(crate) fn setting(name: &str, got: impl ToString, expected: &str) -> Self {
        Self::Setting { name: name.to_string(), got: got.to_string(), expected: expected.to_string() }
    }
}

/// A result with this crate's error.
pub type Result<T> = std::result::Result<T, Error>;
