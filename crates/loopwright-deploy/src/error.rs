//! What can go wrong here, and whose fault it is.

use std::{io, path::Path};

/// The result of everything in this crate.
pub type Result<T> = std::result::Result<T, Error>;

/// What kind of trouble it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The caller asked for something that makes no sense.
    Refused,
    /// A package or a document is not what it says it is.
    Damaged,
    /// A signature is missing, wrong, or from a key that is not trusted.
    Untrusted,
    /// Reading or writing failed.
    Io,
}

/// An error of packing, signing or rolling out.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct Error {
    kind: Kind,
    message: String,
    #[source]
    source: Option<io::Error>,
}

impl Error {
    /// What kind of trouble it is.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    pub(crate) fn refused(message: impl Into<String>) -> Self {
        Self { kind: Kind::Refused, message: message.into(), source: None }
    }

    pub(crate) fn damaged(message: impl Into<String>) -> Self {
        Self { kind: Kind::Damaged, message: message.into(), source: None }
    }

    pub(crate) fn untrusted(message: impl Into<String>) -> Self {
        Self { kind: Kind::Untrusted, message: message.into(), source: None }
    }

    pub(crate) fn io(doing: &str, path: &Path, source: io::Error) -> Self {
        Self { kind: Kind::Io, message: format!("failed to {doing} `{}`", path.display()), source: Some(source) }
    }
}
