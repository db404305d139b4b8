//! What can go wrong, in a few kinds.

/// What kind of failure it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The file is not a table of text that we can read.
    NotCsv,
    /// The file is a table, but lacks a column.
    MissingColumn,
    /// A setting is out of its range.
    Setting,
    /// A file could not be read or written.
    File,
    /// The memory that was granted does not suffice.
    Memory,
    /// Documents are missing, or too many.
    Documents,
}

/// Why a source could not be read or a recipe not be followed. A bad *row* is never an error: it is kept aside.
#[derive(Debug, PartialEq, thiserror::Error)]
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
    /// A file could not be read or written.
    #[error("failed to {doing} `{path}`")]
    File {
        /// What we were doing.
        doing: &'static str,
        /// The file or folder.
        path: String,
        /// Why it failed.
        source: FileError,
    },
    /// The memory that was granted does not suffice.
    #[error("{what} needs {needed} bytes, `memory_bytes` is {granted}")]
    Memory {
        /// What needs it.
        what: &'static str,
        /// Bytes needed.
        needed: u64,
        /// Bytes granted.
        granted: u64,
    },
    /// Documents are missing, or too many.
    #[error("expected {expected}, got {got}")]
    Documents {
        /// What documents there should be.
        expected: String,
        /// What there is.
        got: String,
    },
}

/// The system's answer on a file. Two are equal if they are of one kind.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub struct FileError(#[from] std::io::Error);

impl FileError {
    /// The system's error.
    pub fn io(&self) -> &std::io::Error {
        &self.0
    }
}

impl PartialEq for FileError {
    fn eq(&self, other: &Self) -> bool {
        self.0.kind() == other.0.kind()
    }
}

impl Error {
    /// The kind, to match on.
    pub fn kind(&self) -> Kind {
        match self {
            Self::NotCsv { .. } => Kind::NotCsv,
            Self::MissingColumn { .. } => Kind::MissingColumn,
            Self::Setting { .. } => Kind::Setting,
            Self::File { .. } => Kind::File,
            Self::Memory { .. } => Kind::Memory,
            Self::Documents { .. } => Kind::Documents,
        }
    }

    pub(crate) fn file(doing: &'static str, path: &std::path::Path) -> impl FnOnce(std::io::Error) -> Self {
        move |source| Self::File { doing, path: path.display().to_string(), source: FileError(source) }
    }

    pub(crate) fn setting(name: &str, got: impl ToString, expected: &str) -> Self {
        Self::Setting { name: name.to_string(), got: got.to_string(), expected: expected.to_string() }
    }
}

/// A result with this crate's error.
pub type Result<T> = std::result::Result<T, Error>;
