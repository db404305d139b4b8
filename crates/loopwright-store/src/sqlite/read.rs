//! Queries, each on a connection that cannot write.

use super::rows;
use crate::{
    Result,
    change::EntityRow,
    error::Doing,
    journal::JournalMark,
    query::{Direction, FeedbackQuery, ListQuery, TraceQuery},
};
use loopwright_types::{
    EntityRef,
    event::Event,
    feedback::Feedback,
    id::{KeyId, RunId},
    key::Spending,
    lineage::Edge,
    run::MetricPoint,
    trace::Trace,
};
use sqlx::{QueryBuilder, Row, Sqlite, SqlitePool, sqlite::SqliteRow};

type Sql = QueryBuilder<Sqlite>;

/// Runs the query and reads each row.
async fn all<T>(db: &SqlitePool, mut sql: Sql, what: &str, read: fn(&SqliteRow) -> Result<T>) -> Result<Vec<T>> {
    let found = sql.build().fetch_all(db).await.doing(|| format!("read {what}"))?;
    found.iter().map(read).collect()
}

async fn number(db: &SqlitePool, mut sql: Sql, what: &str) -> Result<u64> {
    let row = sql.build().fetch_one(db).await.doing(|| format!("count {what}"))?;
    let n: i64 = row.try_get(0).doing(|| format!("count {what}"))?;
    Ok(n.unsigned_abs())
}

fn page(sql: &mut Sql, limit: u32, offset: u32) {
    sql.push(" LIMIT ").push_bind(limit).push(" OFFSET ").push_bind(offset);
}

pub(super) async fn entity(db: &SqlitePool, kind: &str, id: &str) -> Result<Option<EntityRow>> {
    let query = sqlx::query("SELECT kind, id, state, body FROM entities WHERE kind = ? AND id = ?");
    let row = query.bind(kind).bind(id).fetch_optional(db).await.doing(|| format!("read {kind} `{id}`"))?;
    row.as_ref().map(rows::entity).transpose()
}

pub(super) async fn entities(db: &SqlitePool, kind: &str, query: &ListQuery) -> Result<Vec<EntityRow>> {
    let mut sql = Sql::new("SELECT kind, id, state, body FROM entities WHERE kind = ");
    sql.push_bind(kind.to_string());
    if let Some(state) = &query.state {
        sql.push(" AND state = ").push_bind(state.clone());
    }
    if let Some(prefix) = &query.id_prefix {
        let n_chars = i64::try_from(prefix.chars().count()).unwrap_or(i64::MAX);
        sql.push(" AND substr(id, 1, ").push_bind(n_chars).push(") = ").push_bind(prefix.clone());
    }
    sql.push(if query.newest_first { " ORDER BY seq DESC" } else { " ORDER BY seq" });
    page(&mut sql, query.limit, query.offset);
    all(db, sql, kind, rows::entity).await
}

pub(super) async fn count(db: &SqlitePool, kind: &str) -> Result<u64> {
    let mut sql = Sql::new("SELECT count(*) FROM entities WHERE kind = ");
    sql.push_bind(kind.to_string());
    number(db, sql, kind).await
}

pub(super) async fn run_metrics(db: &SqlitePool, run: &RunId, name: Option<&str>) -> Result<Vec<MetricPoint>> {
    let mut sql = Sql::new("SELECT name, step, value, at FROM run_metrics WHERE run = ");
    sql.push_bind(run.0.clone());
    if let Some(name) = name {
        sql.push(" AND name = ").push_bind(name.to_string());
    }
    sql.push(" ORDER BY name, step");
    all(db, sql, "run metrics", rows::metric).await
}

pub(super) async fn traces(db: &SqlitePool, query: &TraceQuery) -> Result<Vec<Trace>> {
    let mut sql = Sql::new("SELECT * FROM traces WHERE true");
    filter_traces(&mut sql, query);
    sql.push(if query.newest_first { " ORDER BY at DESC, id DESC" } else { " ORDER BY at, id" });
    page(&mut sql, query.limit, query.offset);
    all(db, sql, "traces", rows::trace).await
}

pub(super) async fn count_traces(db: &SqlitePool, query: &TraceQuery) -> Result<u64> {
    let mut sql = Sql::new("SELECT count(*) FROM traces WHERE true");
    filter_traces(&mut sql, query);
    number(db, sql, "traces").await
}

fn filter_traces(sql: &mut Sql, query: &TraceQuery) {
    let TraceQuery { route, variant, tag, subject, text_contains, since, until, ids, .. } = query;
    let subject = subject.as_ref().map(|subject| &subject.0);
    let equal = [("route", route.as_ref()), ("variant", variant.as_ref()), ("tag", tag.as_ref()), ("subject", subject)];
    for (column, value) in equal {
        if let Some(value) = value {
            sql.push(format_args!(" AND {column} = ")).push_bind(value.clone());
        }
    }
    if let Some(text) = text_contains {
        let text = text.to_ascii_lowercase();
        sql.push(" AND (instr(lower(input), ").push_bind(text.clone()).push(") > 0");
        sql.push(" OR instr(lower(output), ").push_bind(text).push(") > 0)");
    }
    if let Some(since) = since {
        sql.push(" AND at >= ").push_bind(since.0);
    }
    if let Some(until) = until {
        sql.push(" AND at < ").push_bind(until.0);
    }
    if let Some(ids) = ids {
        let ids: Vec<&str> = ids.iter().map(|id| id.as_str()).collect();
        let ids = serde_json::Value::from(ids).to_string();
        sql.push(" AND id IN (SELECT value FROM json_each(").push_bind(ids).push("))");
    }
}

pub(super) async fn feedback(db: &SqlitePool, query: &FeedbackQuery) -> Result<Vec<Feedback>> {
    let mut sql = Sql::new("SELECT feedback.* FROM feedback JOIN traces ON traces.id = feedback.trace WHERE true");
    if let Some(trace) = &query.trace {
        sql.push(" AND feedback.trace = ").push_bind(trace.0.clone());
    }
    if let Some(tag) = &query.tag {
        sql.push(" AND traces.tag = ").push_bind(tag.clone());
    }
    if query.corrections_only {
        sql.push(" AND feedback.correction IS NOT NULL");
    }
    sql.push(" ORDER BY feedback.at, feedback.id");
    page(&mut sql, query.limit, query.offset);
    all(db, sql, "feedback", rows::feedback).await
}

pub(super) async fn spendings(db: &SqlitePool, key: Option<&KeyId>, since_minute: i64) -> Result<Vec<Spending>> {
    let mut sql = Sql::new(
        "SELECT api_key, minute, sum(requests) AS requests, sum(tokens) AS tokens, sum(micro_usd) AS micro_usd
        FROM spending WHERE (minute = -1 OR minute >= ",
    );
    sql.push_bind(since_minute.max(0)).push(")");
    if let Some(key) = key {
        sql.push(" AND api_key = ").push_bind(key.0.clone());
    }
    sql.push(" GROUP BY api_key, minute ORDER BY api_key, minute");
    all(db, sql, "what keys used", rows::spending).await
}

pub(super) async fn journal_marks(db: &SqlitePool) -> Result<Vec<JournalMark>> {
    let sql = Sql::new("SELECT slot, segment, offset FROM journal_marks ORDER BY slot");
    all(db, sql, "the journals' marks", rows::journal_mark).await
}

pub(super) async fn events(db: &SqlitePool, after_seq: u64, limit: u32) -> Result<Vec<Event>> {
    let mut sql = Sql::new("SELECT * FROM events WHERE seq > ");
    sql.push_bind(i64::try_from(after_seq).unwrap_or(i64::MAX)).push(" ORDER BY seq");
    page(&mut sql, limit, 0);
    all(db, sql, "events", rows::event).await
}

pub(super) async fn last_event(db: &SqlitePool) -> Result<Option<Event>> {
    let last = all(db, Sql::new("SELECT * FROM events ORDER BY seq DESC LIMIT 1"), "the last event", rows::event);
    Ok(last.await?.pop())
}

pub(super) async fn last_seq(db: &SqlitePool) -> Result<u64> {
    number(db, Sql::new("SELECT coalesce(max(seq), 0) FROM events"), "events").await
}

pub(super) async fn edges(db: &SqlitePool, of: &EntityRef, direction: Direction) -> Result<Vec<Edge>> {
    let end = match direction {
        Direction::Down => "from",
        Direction::Up => "to",
    };
    let mut sql = Sql::new("SELECT * FROM edges WHERE ");
    sql.push(format_args!("{end}_kind = ")).push_bind(of.kind.clone());
    sql.push(format_args!(" AND {end}_id = ")).push_bind(of.id.clone()).push(" ORDER BY seq");
    all(db, sql, "edges", rows::edge).await
}
