//! The store's one error: what we were doing, a small kind to act on, a hint where there is one, and the source.

use std::{error::Error as StdError, fmt, io};

/// The store's result.
pub type Result<T> = std::result::Result<T, Error>;

/// What kind of trouble it is: enough to decide what to do next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The folder holds no project.
    NotAProject,
    /// No such record, object or table.
    NotFound,
    /// It contradicts what is stored, or another process is in the way.
    Conflict,
    /// Stored bytes are not what we wrote.
    Damaged,
    /// No room left on the disk (or a quota is used up).
    Full,
    /// Other outside trouble.
    Io,
    /// Our own fault.
    Bug,
}

/// What failed, and why. `Display` tells the message and, on a line of its own, the hint; the source is the chain's.
#[derive(Debug)]
pub struct Error {
    kind: Kind,
    message: String,
    hint: Option<String>,
    source: Option<Box<dyn StdError + Send + Sync>>,
}

impl Error {
    /// An error without a source.
    pub fn new(kind: Kind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), hint: None, source: None }
    }

    /// No such `kind` with this `id`.
    pub fn not_found(kind: &str, id: &str) -> Self {
        Self::new(Kind::NotFound, format!("no {} `{id}`", kind.replace('_', " ")))
    }

    /// The same error with a hint: what the reader can do about it.
    pub fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// The same error as another kind.
    pub(crate) fn with_kind(mut self, kind: Kind) -> Self {
        self.kind = kind;
        self
    }

    /// What kind of trouble it is.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// The hint without the word `hint`.
    pub fn hint(&self) -> Option<&str> {
        self.hint.as_deref()
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        match &self.hint {
            Some(hint) => write!(f, "\nhint: {hint}"),
            None => Ok(()),
        }
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.source.as_deref().map(|source| source as _)
    }
}

/// Says what we were doing when something below failed; the kind is read off the chain of sources.
pub(crate) trait Doing<T> {
    /// `what` completes "failed to …".
    fn doing(self, what: impl FnOnce() -> String) -> Result<T>;
}

impl<T, E: StdError + Send + Sync + 'static> Doing<T> for std::result::Result<T, E> {
    fn doing(self, what: impl FnOnce() -> String) -> Result<T> {
        self.map_err(|source| {
            let kind = kind_of(&source);
            let hint = hint_for(kind).map(str::to_string);
            Error { kind, message: format!("failed to {}", what()), hint, source: Some(Box::new(source)) }
        })
    }
}

fn hint_for(kind: Kind) -> Option<&'static str> {
    match kind {
        Kind::Full => Some("free some space on this disk and run the same command again; nothing half-written is kept"),
        Kind::Damaged => Some("nothing was changed; restore the file from a backup, or move it away and start afresh"),
        Kind::Conflict => {
            Some("another `loopwright` process is in the way, or a newer one wrote this; try again, or update")
        }
        _ => None,
    }
}

fn kind_of(error: &(dyn StdError + 'static)) -> Kind {
    // Some libraries pass causes on as text only.
    let said = || error.to_string().contains("No space left on device").then_some(Kind::Full);
    kind_in_chain(error).or_else(said).unwrap_or(Kind::Io)
}

/// What the first cause says that tells its kind.
fn kind_in_chain(error: &(dyn StdError + 'static)) -> Option<Kind> {
    let mut cause = Some(error);
    while let Some(error) = cause {
        if let Some(kind) = kind_of_link(error) {
            return Some(kind);
        }
        cause = error.source();
    }
    None
}

fn kind_of_link(error: &(dyn StdError + 'static)) -> Option<Kind> {
    if let Some(error) = error.downcast_ref::<Error>() {
        return Some(error.kind);
    }
    if let Some(error) = error.downcast_ref::<sqlx::Error>() {
        return kind_of_sql(error);
    }
    if let Some(error) = error.downcast_ref::<sqlx::migrate::MigrateError>() {
        return kind_of_migration(error);
    }
    if let Some(error) = error.downcast_ref::<object_store::Error>() {
        return kind_of_object(error);
    }
    error.downcast_ref::<io::Error>().and_then(kind_of_io)
}

fn kind_of_io(error: &io::Error) -> Option<Kind> {
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge => Some(Kind::Full),
        io::ErrorKind::NotFound => Some(Kind::NotFound),
        // An `io::Error` may wrap another error, which `source` then skips.
        _ => error.get_ref().and_then(|inner| kind_in_chain(inner)),
    }
}

fn kind_of_object(error: &object_store::Error) -> Option<Kind> {
    match error {
        object_store::Error::NotFound { .. } => Some(Kind::NotFound),
        object_store::Error::AlreadyExists { .. } | object_store::Error::Precondition { .. } => Some(Kind::Conflict),
        _ => None,
    }
}

/// SQLite's result codes (<https://sqlite.org/rescode.html>); the low byte is the primary code.
fn kind_of_sql(error: &sqlx::Error) -> Option<Kind> {
    match error {
        sqlx::Error::Database(database) => {
            let code: i64 = database.code()?.parse().ok()?;
            Some(match code & 0xff {
                5 | 6 | 19 => Kind::Conflict, // BUSY, LOCKED, CONSTRAINT
                11 | 26 => Kind::Damaged,     // CORRUPT, NOTADB
                13 => Kind::Full,             // FULL
                1 | 21 | 25 => Kind::Bug,     // ERROR (wrong SQL), MISUSE, RANGE
                _ => Kind::Io,
            })
        }
        sqlx::Error::Decode(_) | sqlx::Error::ColumnDecode { .. } => Some(Kind::Damaged),
        sqlx::Error::ColumnNotFound(_) | sqlx::Error::ColumnIndexOutOfBounds { .. } => Some(Kind::Bug),
        sqlx::Error::PoolTimedOut => Some(Kind::Conflict),
        _ => None,
    }
}

fn kind_of_migration(error: &sqlx::migrate::MigrateError) -> Option<Kind> {
    use sqlx::migrate::MigrateError;
    match error {
        MigrateError::VersionMissing(_) | MigrateError::VersionTooNew(..) => Some(Kind::Conflict),
        MigrateError::VersionMismatch(_) | MigrateError::Dirty(_) => Some(Kind::Damaged),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kind_is_found_down_the_chain() {
        let full = || io::Error::from(io::ErrorKind::StorageFull);
        let wrapped = object_store::Error::Generic { store: "disk", source: Box::new(full()) };
        let error = Err::<(), _>(wrapped).doing(|| "write shard `x`".into()).unwrap_err();
        assert_eq!(error.kind(), Kind::Full);
        let again = Err::<(), _>(error).doing(|| "store dataset `y`".into()).unwrap_err();
        assert_eq!(again.kind(), Kind::Full);
        assert!(again.to_string().starts_with("failed to store dataset `y`\nhint: free some space"), "{again}");
        let nested = Err::<(), _>(io::Error::other(full())).doing(String::new).unwrap_err();
        assert_eq!(nested.kind(), Kind::Full);
        assert_eq!(Err::<(), _>(io::Error::other("x")).doing(String::new).unwrap_err().kind(), Kind::Io);
    }
}
