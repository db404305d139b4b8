//! What can go wrong here, and whose fault it is.

/// The result of everything in this crate.
pub type Result<T> = std::result::Result<T, Error>;

/// What kind of trouble it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The caller asked for something that makes no sense.
    Invalid,
    /// There is no such trace.
    NotFound,
    /// Reading or writing the store failed.
    Store,
    /// Traces were accepted and could not be written, or the sink has ended.
    Lost,
}

/// An error of watching.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct Error {
    kind: Kind,
    message: String,
    #[source]
    source: Option<loopwright_store::Error>,
}

impl Error {
    /// What kind of trouble it is.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    pub(crate) fn new(kind: Kind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), source: None }
    }

    pub(crate) fn invalid(message: impl Into<String>) -> Self {
        Self::new(Kind::Invalid, message)
    }

    pub(crate) fn store(doing: impl Into<String>, source: loopwright_store::Error) -> Self {
        Self { kind: Kind::Store, message: doing.into(), source: Some(source) }
    }
}
