//! What can go wrong while judging.

/// Any error a caller's closure may raise: its source is kept and printed by the caller.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// The result of this crate's functions.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// An error of this crate.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The caller handed in something that cannot be judged.
    #[error("{0}")]
    Input(String),
    /// The model under explanation failed.
    #[error("failed to score {n_texts} texts with the model")]
    Model {
        /// How many texts were asked for.
        n_texts: usize,
        /// Why.
        source: BoxError,
    },
    /// A rule of our own did not hold.
    #[error("{0}; this is a bug in Loopwright")]
    Bug(String),
}

/// Whose fault an [`Error`] is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorKind {
    /// The input's or the settings'.
    Input,
    /// The model's.
    Model,
    /// Ours.
    Bug,
}

impl Error {
    /// The class to match on.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Input(_) => ErrorKind::Input,
            Self::Model { .. } => ErrorKind::Model,
            Self::Bug(_) => ErrorKind::Bug,
        }
    }
}
