//! The error of this crate: what we were doing, and a small kind to act on.

use std::path::Path;

/// The result of everything here.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Who has to act on an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A model, adapter or tokenizer file is damaged, cut short, or not of this model.
    BadFile,
    /// A configuration that no model can have.
    BadConfig,
    /// A caller's value is out of range.
    BadInput,
    /// More tokens than the model has positions.
    TooLong,
    /// A loss, gradient or logit is infinite or not a number.
    NotFinite,
    /// The file system failed.
    Io,
    /// A mistake of ours.
    Bug,
}

/// What went wrong.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct Error {
    kind: Kind,
    message: String,
    source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

impl Error {
    /// Who has to act.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    pub(crate) fn new(kind: Kind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), source: None }
    }

    pub(crate) fn caused(
        kind: Kind,
        message: impl Into<String>,
        source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> Self {
        Self { kind, message: message.into(), source: Some(source.into()) }
    }

    pub(crate) fn bad_file(path: &Path, message: impl std::fmt::Display) -> Self {
        Self::new(Kind::BadFile, format!("`{}`: {message}", path.display()))
    }

    pub(crate) fn io(doing: &str, path: &Path, source: std::io::Error) -> Self {
        Self::caused(Kind::Io, format!("failed to {doing} `{}`", path.display()), source)
    }
}

impl From<candle_core::Error> for Error {
    fn from(source: candle_core::Error) -> Self {
        Self::caused(Kind::Bug, "a tensor operation failed", source)
    }
}
