//! One error for everything that joins stages: what we were doing, whose trouble it is, and the way out.

use std::{error::Error as StdError, fmt};

/// Whose trouble an error is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The input or the project file: the user can mend it.
    User,
    /// A disk, a network, another program.
    Outside,
    /// Memory, disk space or time ran out.
    Resources,
    /// A defect of ours.
    Bug,
}

/// An error of a job or a command.
#[derive(Debug)]
pub struct Error {
    kind: Kind,
    message: String,
    hint: Option<String>,
    source: Option<Box<dyn StdError + Send + Sync>>,
}

/// The result of joining stages.
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// The user's to mend.
    pub fn user(message: impl Into<String>) -> Self {
        Self { kind: Kind::User, message: message.into(), hint: None, source: None }
    }

    /// Trouble outside of us.
    pub fn outside(message: impl Into<String>) -> Self {
        Self { kind: Kind::Outside, ..Self::user(message) }
    }

    /// Memory, disk space or time is not enough.
    pub fn resources(message: impl Into<String>) -> Self {
        Self { kind: Kind::Resources, ..Self::user(message) }
    }

    /// A defect of ours.
    pub fn bug(message: impl Into<String>) -> Self {
        Self { kind: Kind::Bug, ..Self::user(message) }
    }

    /// The same error with a way out.
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// The same error with what caused it.
    pub fn because(mut self, source: impl StdError + Send + Sync + 'static) -> Self {
        self.source = Some(Box::new(source));
        self
    }

    /// Whose trouble it is.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// The way out, if there is a known one.
    pub fn hint_text(&self) -> Option<&str> {
        self.hint.as_deref()
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.source.as_deref().map(|source| source as &(dyn StdError + 'static))
    }
}

impl From<loopwright_store::Error> for Error {
    fn from(error: loopwright_store::Error) -> Self {
        use loopwright_store::Kind as Store;
        let kind = match error.kind() {
            Store::NotAProject | Store::NotFound | Store::Damaged | Store::Conflict => Kind::User,
            Store::Full => Kind::Resources,
            Store::Io => Kind::Outside,
            Store::Bug => Kind::Bug,
        };
        Self { kind, message: "the project's store refused".into(), hint: None, source: Some(Box::new(error)) }
    }
}

/// Says what we were doing when something failed.
pub trait Doing<T> {
    /// Wraps an error of the user's input.
    fn doing(self, what: impl FnOnce() -> String) -> Result<T>;
    /// Wraps trouble outside of us.
    fn outside(self, what: impl FnOnce() -> String) -> Result<T>;
}

impl<T, E: StdError + Send + Sync + 'static> Doing<T> for std::result::Result<T, E> {
    fn doing(self, what: impl FnOnce() -> String) -> Result<T> {
        self.map_err(|error| Error::user(what()).because(error))
    }

    fn outside(self, what: impl FnOnce() -> String) -> Result<T> {
        self.map_err(|error| Error::outside(what()).because(error))
    }
}
