//! What can go wrong, by kind.

use std::{io, path::Path};

/// What kind of failure it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A setting is out of its range, or a step lacks what it needs.
    Setting,
    /// A curation needs more memory than it may take.
    Memory,
    /// The work folder of a curation is not one that it can go on with.
    WorkFolder,
    /// Trouble outside: a disk, or where rows come from or go to.
    Outside,
}

/// Why a recipe could not be followed. A bad *row* is never an error: it is kept aside.
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
    /// A step needs something that was not given.
    #[error("step `{step}` needs {resource}, and there is none")]
    Resource {
        /// The step.
        step: String,
        /// What it needs.
        resource: String,
    },
    /// A step would need more memory than the curation may take.
    #[error("step `{step}` needs {needed_bytes} bytes for {what}, but may take {memory_bytes}\nhint: {hint}")]
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
    Outside {
        /// What we were doing.
        doing: String,
        /// What came in between.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

impl Error {
    /// The kind, to match on.
    pub fn kind(&self) -> Kind {
        match self {
            Self::Setting { .. } | Self::Resource { .. } => Kind::Setting,
            Self::Memory { .. } => Kind::Memory,
            Self::WorkFolder { .. } => Kind::WorkFolder,
            Self::Outside { .. } => Kind::Outside,
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

    pub(crate) fn work_folder(folder: &Path, reason: impl Into<String>) -> Self {
        let hint = "remove the folder to begin anew, or name another one".to_string();
        Self::WorkFolder { folder: folder.display().to_string(), reason: reason.into(), hint }
    }

    pub(crate) fn resource(step: &str, resource: &str) -> Self {
        Self::Resource { step: step.to_string(), resource: resource.to_string() }
    }

    pub(crate) fn setting(name: &str, got: impl ToString, expected: &str) -> Self {
        Self::Setting { name: name.to_string(), got: got.to_string(), expected: expected.to_string() }
    }
}

/// What the corpus filters and searches refuse, in this crate's words.
impl From<loopwright_corpus::Error> for Error {
    fn from(error: loopwright_corpus::Error) -> Self {
        match error {
            loopwright_corpus::Error::Setting { name, got, expected } => Self::Setting { name, got, expected },
            other => Self::outside("search for near-duplicates", other),
        }
    }
}

/// A result with this crate's error.
pub type Result<T> = std::result::Result<T, Error>;
