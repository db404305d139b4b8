//! What can go wrong, by kind.

use std::{io, path::Path};

/// What kind of failure it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A setting is out of its range.
    Setting,
    /// A search needs more memory than it may take.
    Memory,
    /// Documents are missing, or too many.
    Documents,
    /// Trouble outside: a disk.
    Outside,
}

/// Why a filter cannot be made or a search not be done. A bad *document* is never an error: it is dropped with a reason.
#[derive(Debug, thiserror::Error)]
pub enum Error {
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
    /// A search was granted too little memory.
    #[error("{what} needs {needed_bytes} bytes, but may take {memory_bytes}\nhint: raise `memory_bytes`")]
    Memory {
        /// What it is needed for.
        what: String,
        /// How much it would be.
        needed_bytes: u64,
        /// How much it may be.
        memory_bytes: u64,
    },
    /// Documents are missing, or too many.
    #[error("expected {expected}, got {got}")]
    Documents {
        /// What documents there should be.
        expected: String,
        /// What there is.
        got: String,
    },
    /// A file could not be read or written.
    #[error("failed to {doing} `{path}`")]
    File {
        /// What we were doing.
        doing: String,
        /// The file or folder.
        path: String,
        /// Why it failed.
        source: io::Error,
    },
}

/// Equal errors say the same: what a disk answered is known by its text only.
impl PartialEq for Error {
    fn eq(&self, other: &Self) -> bool {
        self.kind() == other.kind() && self.to_string() == other.to_string()
    }
}

impl Error {
    /// The kind, to match on.
    pub fn kind(&self) -> Kind {
        match self {
            Self::Setting { .. } => Kind::Setting,
            Self::Memory { .. } => Kind::Memory,
            Self::Documents { .. } => Kind::Documents,
            Self::File { .. } => Kind::Outside,
        }
    }

    pub(crate) fn on_file<'a>(doing: &'a str, path: &'a Path) -> impl FnOnce(io::Error) -> Self + 'a {
        move |source| Self::File { doing: doing.to_string(), path: path.display().to_string(), source }
    }

    pub(crate) fn search_memory(what: &str, needed_bytes: u64, memory_bytes: u64) -> Self {
        Self::Memory { what: what.to_string(), needed_bytes, memory_bytes }
    }

    pub(crate) fn setting(name: &str, got: impl ToString, expected: &str) -> Self {
        Self::Setting { name: name.to_string(), got: got.to_string(), expected: expected.to_string() }
    }
}

/// A result with this crate's error.
pub type Result<T> = std::result::Result<T, Error>;
