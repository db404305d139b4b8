//! The error of this crate.

use std::path::Path;

/// The result of everything here.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Who has to act on an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A setting out of range.
    BadSettings,
    /// Examples that cannot be trained on.
    BadData,
    /// A checkpoint that is damaged, or of another plan.
    BadCheckpoint,
    /// The loss or a gradient became infinite or not a number.
    NotFinite,
    /// The loss rose far above what it had been: the learning rate is too high.
    Diverged,
    /// The system failed: files, or threads.
    Io,
    /// The model refused, for another reason.
    Model,
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

    /// What another trainer, which follows a [`crate::Recipe`], says of its run.
    pub fn reported(kind: Kind, message: impl Into<String>) -> Self {
        Self::new(kind, message)
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

    pub(crate) fn io(doing: &str, path: &Path, source: std::io::Error) -> Self {
        Self::caused(Kind::Io, format!("failed to {doing} `{}`", path.display()), source)
    }

    /// The model's error, with what we were doing.
    pub(crate) fn model(doing: impl Into<String>, source: loopwright_lm::Error) -> Self {
        let kind = match source.kind() {
            loopwright_lm::Kind::NotFinite => Kind::NotFinite,
            loopwright_lm::Kind::Io => Kind::Io,
            _ => Kind::Model,
        };
        Self::caused(kind, doing, source)
    }
}
