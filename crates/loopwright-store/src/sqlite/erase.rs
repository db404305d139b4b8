//! Leaving no trace: rewriting the files after a deletion, reading every text in them, and checking them.

use crate::{Error, Kind, Result, error::Doing, records::TextSink};
use futures::TryStreamExt;
use sqlx::{AssertSqlSafe, Row, SqlitePool, ValueRef};
use std::{path::Path, time::Duration};

/// Attempts to empty the write-ahead log while others read.
const CHECKPOINT_TRIES: u32 = 50;
/// Pause between two of them.
const CHECKPOINT_PAUSE: Duration = Duration::from_millis(100);

/// `secure_delete` overwrites deleted cells, but a replaced value may live on in the write-ahead log, or in the unused
/// part of a page that was split. So: fold the log in and cut it to nothing, rewrite the whole file, and fold again.
pub(super) async fn erase_free_pages(db: &SqlitePool, path: &Path) -> Result<()> {
    let mut db = db.acquire().await.doing(|| "get the writing connection".into())?;
    checkpoint(&mut db).await?;
    let vacuum = sqlx::query("VACUUM").execute(&mut *db).await;
    vacuum.doing(|| format!("rewrite database `{}`", path.display()))?;
    checkpoint(&mut db).await
}

async fn checkpoint(db: &mut sqlx::SqliteConnection) -> Result<()> {
    let folding = || "fold the write-ahead log into the database".to_string();
    for _ in 0..CHECKPOINT_TRIES {
        let row = sqlx::query("PRAGMA wal_checkpoint(TRUNCATE)").fetch_one(&mut *db).await.doing(folding)?;
        let busy: i64 = row.try_get(0).doing(folding)?;
        if busy == 0 {
            return Ok(());
        }
        tokio::time::sleep(CHECKPOINT_PAUSE).await;
    }
    let message = "failed to empty the write-ahead log: another process kept reading";
    Err(Error::new(Kind::Conflict, message)
        .with_hint("stop other `loopwright` processes on this project and try again"))
}

/// The table whose rows are records of many kinds.
const ENTITIES: &str = "entities";

/// Every table of the schema, ours or not, so that a table added later cannot be forgotten.
pub(super) async fn dump_text(db: &SqlitePool, sink: &mut TextSink<'_>) -> Result<u64> {
    let listing = || "list the tables of the database".to_string();
    let tables = sqlx::query("SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY name");
    let tables = tables.fetch_all(db).await.doing(listing)?;
    let mut n_values = 0;
    for table in &tables {
        let table: &str = table.try_get(0).doing(listing)?;
        let reading = || format!("read table `{table}`");
        // A table's name cannot be bound; this one comes from the schema and is quoted.
        let sql = AssertSqlSafe(format!("SELECT * FROM \"{}\"", table.replace('"', "\"\"")));
        let mut rows = sqlx::query(sql).fetch(db);
        while let Some(row) = rows.try_next().await.doing(reading)? {
            // What kind of record it is helps to find it, and names nobody; its id might.
            let kind: Option<String> = if table == ENTITIES { row.try_get("kind").ok() } else { None };
            let place = kind.map_or_else(|| table.to_string(), |kind| format!("{table}/{kind}"));
            for column in 0..row.len() {
                let value = row.try_get_raw(column).doing(reading)?;
                if value.is_null() {
                    continue;
                }
                // Unchecked: a blob or a number is looked at as the text or bytes that SQLite makes of it.
                let bytes: Vec<u8> = row.try_get_unchecked(column).doing(reading)?;
                sink(&place, &String::from_utf8_lossy(&bytes));
                n_values += 1;
            }
        }
    }
    Ok(n_values)
}

pub(super) async fn check(db: &SqlitePool) -> Result<Vec<String>> {
    let checking = || "check the database".to_string();
    let mut problems = Vec::new();
    for row in sqlx::query("PRAGMA quick_check").fetch_all(db).await.doing(checking)? {
        let line: String = row.try_get(0).doing(checking)?;
        if line != "ok" {
            problems.push(line);
        }
    }
    for row in sqlx::query("PRAGMA foreign_key_check").fetch_all(db).await.doing(checking)? {
        let (table, parent): (String, String) = (row.try_get(0).doing(checking)?, row.try_get(2).doing(checking)?);
        problems.push(format!("a row of `{table}` refers to a row of `{parent}` that is not there"));
    }
    Ok(problems)
}
