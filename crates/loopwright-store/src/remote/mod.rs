//! Sources of rows that lie elsewhere: objects in a cloud's bucket, a file on the web, a query of a database.
//!
//! [`Remote::of`] understands a source's address, [`Remote::parts`] lists what it is made of, each part with a digest that
//! changes when the part does, and [`Remote::open`] reads a part as plain bytes, whatever its size: a few megabytes are on
//! their way at a time.
//!
//! | address | what it is |
//! |---|---|
//! | `s3://bucket/path` | an object, all objects below a path, or those that match a pattern (`*`, `**`, `?`, `[a-z]`) |
//! | `gs://…`, `az://container/path` | the same at Google Cloud Storage and Azure Blob Storage |
//! | `https://host/path`, `http://…` | a file |
//! | `postgres://user@host/database#SELECT …` | the rows of a query, one JSON object a line |
//! | `postgres://user@host/database#queries/support.sql` | the same, the query from a file of the project |
//!
//! Secrets come from the environment, under the names that each provider's own tools use, and stand in no address.

mod bucket;
mod feed;
mod query;
mod web;

use crate::{Error, Kind, Result};
use bucket::Bucket;
pub use feed::RemoteReader;
use loopwright_types::Digest;
use query::Query;
use std::{path::Path, time::Duration};
use web::WebFile;

/// Parts of one source.
const PARTS_MAX: usize = 100_000;
/// How long a connection may take to come up.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// How long the other side may be silent.
const SILENCE_TIMEOUT: Duration = Duration::from_secs(60);
/// How often a broken transfer is taken up again.
const TRIES_MAX: u32 = 5;
/// The wait before the first of those, doubled each time.
const FIRST_WAIT: Duration = Duration::from_millis(500);

/// A source that is not on this machine.
#[derive(Debug)]
pub struct Remote(Place);

#[derive(Debug)]
enum Place {
    Bucket(Bucket),
    Web(WebFile),
    Query(Box<Query>),
}

/// Something to read: an object, a file, a query's rows.
#[derive(Clone, Debug, PartialEq)]
pub struct RemotePart {
    /// Its name in records: an address without a secret.
    pub name: String,
    /// Its path below the source, to be matched with what is wanted; the name's last part for a single file.
    pub path: String,
    /// Its size, where that is known before it is read.
    pub size_bytes: Option<u64>,
    /// Changes with its bytes.
    pub digest: Digest,
}

/// Is this the address of a source that is not on this machine?
///
/// ```
/// assert!(loopwright_store::remote::is_remote("s3://bucket/rows.jsonl"));
/// assert!(!loopwright_store::remote::is_remote("sources/rows.jsonl"));
/// ```
pub fn is_remote(source: &str) -> bool {
    scheme(source).is_some()
}

fn scheme(source: &str) -> Option<&str> {
    let (scheme, _) = source.split_once("://")?;
    let is_name = |name: &str| !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || "+.-".contains(c));
    is_name(scheme).then_some(scheme)
}

impl Remote {
    /// Understands an address; files of queries lie in `project`.
    pub fn of(source: &str, project: &Path) -> Result<Self> {
        let place = match scheme(source) {
            Some("s3" | "s3a" | "gs" | "az" | "azure" | "abfs" | "abfss") => Place::Bucket(Bucket::of(source)?),
            Some("http" | "https") => Place::Web(WebFile::of(source)?),
            Some("postgres" | "postgresql") => Place::Query(Box::new(Query::of(source, project)?)),
            other => {
                let scheme = other.unwrap_or_default();
                return Err(refuse(source, &format!("nothing is known of `{scheme}://`")).with_hint(
                    "known: s3, gs, az, https, http, postgres; anything else is a file, a folder or a pattern",
                ));
            }
        };
        Ok(Self(place))
    }

    /// Everything that it is made of, by name. None at all is an error that says where we looked.
    pub async fn parts(&self) -> Result<Vec<RemotePart>> {
        match &self.0 {
            Place::Bucket(bucket) => bucket.parts().await,
            Place::Web(file) => file.part().await.map(|part| vec![part]),
            Place::Query(query) => query.part().await.map(|part| vec![part]),
        }
    }

    /// Reads one of its parts. To be called within a runtime; the reader blocks and belongs on a thread of its own.
    pub async fn open(&self, part: &RemotePart) -> Result<RemoteReader> {
        match &self.0 {
            Place::Bucket(bucket) => bucket.open(part).await,
            Place::Web(file) => file.open().await,
            Place::Query(query) => query.open().await,
        }
    }

    /// Are its rows JSON lines, whatever its name?
    pub fn is_json_lines(&self) -> bool {
        matches!(self.0, Place::Query(_))
    }
}

/// An address that cannot be used.
fn refuse(source: &str, problem: &str) -> Error {
    Error::new(Kind::NotFound, format!("failed to read the source `{}`: {problem}", shown(source)))
}

/// An address for people to read: without the user's password and without a query, which may hold a token.
pub fn shown(source: &str) -> String {
    let Ok(mut url) = url::Url::parse(source) else { return source.to_string() };
    // An address that can have no password has none.
    let _ = url.set_password(None);
    if matches!(url.scheme(), "http" | "https") {
        let _ = url.set_username("");
        url.set_query(None);
        url.set_fragment(None);
    }
    url.to_string()
}

/// A URL's last part.
fn file_name(path: &str) -> &str {
    path.rsplit('/').find(|part| !part.is_empty()).unwrap_or(path)
}

/// The wait before a try.
fn wait_before(attempt: u32) -> Duration {
    FIRST_WAIT * 2u32.saturating_pow(attempt.saturating_sub(1).min(6))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_told_from_paths() {
        for remote in ["s3://b/x", "gs://b", "az://c/x*.csv", "https://h/x", "postgres:///db#SELECT 1", "ftp://h/x"] {
            assert!(is_remote(remote), "{remote}");
        }
        for local in ["a/b.csv", "/a/b", "traces:support", "C:\\x", "://x", "odd name://x"] {
            assert!(!is_remote(local), "{local}");
        }
    }

    #[test]
    fn unknown_schemes_and_secrets_in_addresses_are_refused() {
        let problem = |source: &str| Remote::of(source, Path::new(".")).unwrap_err().to_string();
        assert!(
            problem("ftp://host/x.csv").contains("`ftp://`") && problem("ftp://host/x.csv").contains("hint: known")
        );
        assert!(problem("postgres://u:hunter2@h/d#SELECT 1").contains("PGPASSWORD"));
        assert!(!problem("postgres://u:hunter2@h/d#SELECT 1").contains("hunter2"));
        assert!(problem("https://u:hunter2@h/x.csv").contains("password"));
        assert!(!problem("https://u:hunter2@h/x.csv").contains("hunter2"));
        assert!(problem("postgres://h/d").contains("no query"));
        assert!(problem("postgres://h/d#missing.sql").contains("missing.sql"));
    }

    #[test]
    fn names_hold_no_secret() {
        assert_eq!(shown("https://h/a/b.csv?sig=secret#x"), "https://h/a/b.csv");
        assert_eq!(file_name("/a/b.csv"), "b.csv");
        assert_eq!(file_name("/"), "/");
    }
}
