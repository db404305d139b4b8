//! The rows of a PostgreSQL query, as JSON lines.
//!
//! The server makes an object of each row (`row_to_json`), so that every column type has the form that its documentation
//! gives, and sends rows as they are read. The session is read-only: a query that writes fails. Where the address leaves
//! something out, the variables of PostgreSQL's own clients fill it in (`PGHOST`, `PGUSER`, `PGPASSWORD`, `PGSSLMODE`, …),
//! and the password may come from `.pgpass`.

use super::{CONNECT_TIMEOUT, RemotePart, RemoteReader, refuse};
use crate::{Error, Kind, Result, error::Doing};
use bytes::{BufMut, Bytes, BytesMut};
use futures::{Stream, StreamExt, TryStreamExt};
use loopwright_types::Digest;
use sha2::{Digest as _, Sha256};
use sqlx::{ConnectOptions, Connection, PgConnection, Row, postgres::PgConnectOptions};
use std::{io, path::Path, pin::pin};
use url::Url;

/// Rows are passed on in chunks of about this size.
const CHUNK_BYTES: usize = 256 << 10;
/// Digits of a query's digest that name it.
const NAME_DIGITS: usize = 8;

/// A query and the database that answers it.
#[derive(Clone, Debug)]
pub(super) struct Query {
    options: PgConnectOptions,
    /// Read from the project, or from the address.
    sql: String,
    name: String,
    shown: String,
}

impl Query {
    pub(super) fn of(source: &str, project: &Path) -> Result<Self> {
        let (address, query) = source.split_once('#').unwrap_or((source, ""));
        let url = Url::parse(address).map_err(|error| refuse(address, &error.to_string()))?;
        if url.password().is_some() {
            return Err(refuse(address, "it holds a password").with_hint("put it into PGPASSWORD or a `.pgpass` file"));
        }
        let (sql, label) = text(address, query.trim(), project)?;
        let options: PgConnectOptions =
            address.parse().map_err(|error: sqlx::Error| refuse(address, &error.to_string()))?;
        let database = options.get_database().unwrap_or("postgres");
        let name = format!("postgres:{database}/{label}");
        let options = options.options([("default_transaction_read_only", "on")]).application_name("loopwright");
        Ok(Self { options: options.disable_statement_logging(), sql, name, shown: address.to_string() })
    }

    /// The query's rows as they are now: reading them all is the only way to know whether they changed.
    pub(super) async fn part(&self) -> Result<RemotePart> {
        let (mut hash, mut n_bytes) = (Sha256::new(), 0);
        let mut lines = pin!(self.clone().lines().await?);
        while let Some(line) = lines.try_next().await? {
            hash.update(line.as_bytes());
            hash.update(b"\n");
            n_bytes += line.len() as u64 + 1;
        }
        let digest = Digest::from_hash(&hash.finalize());
        Ok(RemotePart { name: self.name.clone(), path: self.name.clone(), size_bytes: Some(n_bytes), digest })
    }

    pub(super) async fn open(&self) -> Result<RemoteReader> {
        let lines = self.clone().lines().await?;
        let chunks = futures::stream::try_unfold((Box::pin(lines), false), |(mut lines, is_over)| async move {
            let mut chunk = BytesMut::new();
            let mut is_over = is_over;
            while !is_over && chunk.len() < CHUNK_BYTES {
                match lines.try_next().await.map_err(io::Error::other)? {
                    Some(line) => {
                        chunk.put_slice(line.as_bytes());
                        chunk.put_u8(b'\n');
                    }
                    None => is_over = true,
                }
            }
            let is_empty = chunk.is_empty();
            Ok((!is_empty).then(|| (Bytes::from(chunk), (lines, is_over))))
        });
        Ok(RemoteReader::of(chunks))
    }

    /// The rows as they come.
    async fn lines(self) -> Result<impl Stream<Item = Result<String>> + Send> {
        let connecting = tokio::time::timeout(CONNECT_TIMEOUT, PgConnection::connect_with(&self.options)).await;
        let late = || Error::new(Kind::Io, format!("failed to connect to `{}`: no answer in time", self.shown));
        let connection = connecting.map_err(|_| late())?.doing(|| format!("connect to `{}`", self.shown));
        let connection = connection.map_err(|error| {
            error.with_hint(
                "what the address leaves out comes from PGHOST, PGPORT, PGUSER, PGPASSWORD, PGDATABASE and PGSSLMODE",
            )
        })?;
        // The query is the project's own, as any line of SQL that its owner types; the session can only read.
        let sql = format!("SELECT row_to_json(loopwright_row)::text FROM (\n{}\n) AS loopwright_row", self.sql);
        let name = self.name;
        Ok(async_rows(connection, sql, name))
    }
}

/// A stream that owns its connection.
fn async_rows(mut connection: PgConnection, sql: String, name: String) -> impl Stream<Item = Result<String>> + Send {
    let (sender, receiver) = tokio::sync::mpsc::channel::<Result<String>>(64);
    let task = tokio::spawn(async move {
        {
            let mut rows = sqlx::query(sqlx::AssertSqlSafe(sql)).fetch(&mut connection);
            while let Some(row) = rows.next().await {
                let line = row.and_then(|row| row.try_get::<String, _>(0));
                let line = line.map_err(|error| said(&name, error));
                let is_last = line.is_err();
                if sender.send(line).await.is_err() || is_last {
                    return;
                }
            }
        }
        // The rows are all there; a goodbye that fails changes nothing.
        let _ = connection.close().await;
    });
    let owned = Owned(task);
    futures::stream::unfold((receiver, owned), |(mut receiver, owned)| async move {
        receiver.recv().await.map(|line| (line, (receiver, owned)))
    })
}

/// Ends its task when nobody reads any more.
struct Owned(tokio::task::JoinHandle<()>);

impl Drop for Owned {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// What the database says of a query.
fn said(name: &str, error: sqlx::Error) -> Error {
    let problem = error.as_database_error().map_or_else(|| error.to_string(), |error| error.message().to_string());
    Error::new(Kind::Io, format!("failed to query `{name}`: {problem}"))
        .with_hint("a query is one SELECT without a closing semicolon; the session can only read")
}

/// The query, and a name for it.
fn text(address: &str, query: &str, project: &Path) -> Result<(String, String)> {
    if query.is_empty() {
        return Err(refuse(address, "no query stands behind it")
            .with_hint("write `postgres://user@host/database#SELECT …`, or a file: `…#queries/support.sql`"));
    }
    let (sql, label) = if query.ends_with(".sql") && !query.contains(char::is_whitespace) {
        let path = project.join(query);
        let sql = std::fs::read_to_string(&path).doing(|| format!("read the query `{}`", path.display()))?;
        (sql, query.trim_end_matches(".sql").to_string())
    } else {
        let digest = Digest::of(query.as_bytes());
        (query.to_string(), format!("query-{}", &digest.hex()[..NAME_DIGITS]))
    };
    Ok((sql.trim().trim_end_matches(';').to_string(), label))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_comes_from_the_address_or_from_a_file() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("queries")).unwrap();
        std::fs::write(folder.path().join("queries/support.sql"), "SELECT 1;\n").unwrap();
        let query = |source: &str| Query::of(source, folder.path()).unwrap();
        let filed = query("postgres://reader@db.internal:5433/support#queries/support.sql");
        assert_eq!((filed.sql.as_str(), filed.name.as_str()), ("SELECT 1", "postgres:support/queries/support"));
        let written = query("postgres://reader@db.internal/support#SELECT text, id FROM messages WHERE a = '#'");
        assert_eq!(written.sql, "SELECT text, id FROM messages WHERE a = '#'");
        assert!(written.name.starts_with("postgres:support/query-"), "{}", written.name);
        assert_ne!(written.name, query("postgres://reader@db.internal/support#SELECT 2").name);
    }
}
