//! The job queue: a job is leased for a time, and taken by somebody else when the lease runs out.

use super::rows;
use crate::{Error, Kind, Result, error::Doing};
use loopwright_types::{
    Timestamp,
    id::JobId,
    job::{Job, JobState},
};
use sqlx::{QueryBuilder, Row, Sqlite, SqlitePool};

/// One statement, hence atomic: two workers never lease the same job.
pub(super) async fn lease(db: &SqlitePool, kinds: &[&str], now: Timestamp, until: Timestamp) -> Result<Option<Job>> {
    let sql = "UPDATE jobs SET state = 'leased', attempts = attempts + 1, leased_until = ?1
        WHERE id = (
            SELECT id FROM jobs
            WHERE (state = 'queued' OR (state = 'leased' AND leased_until < ?2))
                AND kind IN (SELECT value FROM json_each(?3))
            ORDER BY id LIMIT 1)
        RETURNING *";
    let kinds = serde_json::Value::from(kinds).to_string();
    let row = sqlx::query(sql).bind(until.0).bind(now.0).bind(kinds).fetch_optional(db).await;
    row.doing(|| "lease a job".into())?.as_ref().map(rows::job).transpose()
}

pub(super) async fn renew(db: &SqlitePool, id: &JobId, until: Timestamp) -> Result<bool> {
    let update = sqlx::query("UPDATE jobs SET leased_until = ? WHERE id = ? AND state = 'leased'");
    let done = update.bind(until.0).bind(id.as_str()).execute(db).await.doing(|| format!("renew job `{id}`"))?;
    Ok(done.rows_affected() == 1)
}

pub(super) async fn fail(db: &SqlitePool, id: &JobId, error: &str, max_attempts: u32) -> Result<JobState> {
    let sql = "UPDATE jobs SET leased_until = NULL, error = ?1,
            state = CASE WHEN attempts >= ?2 THEN 'failed' ELSE 'queued' END
        WHERE id = ?3 AND state = 'leased' RETURNING state";
    let row = sqlx::query(sql).bind(error).bind(max_attempts).bind(id.as_str()).fetch_optional(db).await;
    let what = || format!("give back job `{id}`");
    let not_leased = || Error::new(Kind::Conflict, format!("job `{id}` is not leased, so it cannot fail"));
    let row = row.doing(what)?.ok_or_else(not_leased)?;
    rows::job_state(row.try_get(0).doing(what)?)
}

pub(super) async fn jobs(db: &SqlitePool, state: Option<JobState>, limit: u32) -> Result<Vec<Job>> {
    let mut sql = QueryBuilder::<Sqlite>::new("SELECT * FROM jobs");
    if let Some(state) = state {
        sql.push(" WHERE state = ").push_bind(state.as_str());
    }
    sql.push(" ORDER BY id DESC LIMIT ").push_bind(limit);
    let found = sql.build().fetch_all(db).await.doing(|| "read jobs".into())?;
    found.iter().map(rows::job).collect()
}
