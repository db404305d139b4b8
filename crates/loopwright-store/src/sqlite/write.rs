//! One transaction: the changes, then the link of the event log that tells of them.

use super::rows;
use crate::{
    Error, Kind, Result,
    change::{Change, EntityRow, Write},
    error::Doing,
    journal::JournalMark,
};
use loopwright_types::{
    EntityRef, Timestamp,
    event::{Event, GENESIS},
    feedback::Feedback,
    id::{JobId, RunId},
    job::NewJob,
    key::Spending,
    lineage::Edge,
    run::MetricPoint,
    trace::Trace,
};
use sqlx::{Sqlite, SqliteConnection, query::Query, sqlite::SqliteArguments};
use std::sync::LazyLock;

type Statement<'q> = Query<'q, Sqlite, SqliteArguments>;

pub(super) async fn apply(db: &mut SqliteConnection, write: Write) -> Result<Event> {
    let last = sqlx::query("SELECT * FROM events ORDER BY seq DESC LIMIT 1").fetch_optional(&mut *db).await;
    let last = last.doing(|| "read the last event".into())?.as_ref().map(rows::event).transpose()?;
    let (seq, prev) = last.map_or((1, GENESIS.to_string()), |last| (last.seq + 1, last.hash));
    if let Some(job) = &write.finishes {
        finish_job(db, job).await?;
    }
    for (index, change) in write.changes.into_iter().enumerate() {
        let id = JobId(format!("job_{seq:010}_{index}"));
        apply_change(db, write.at, id, change).await?;
    }
    let event = Event::link(seq, write.at, write.event, &prev);
    add_link(db, &event).await?;
    Ok(event)
}

async fn apply_change(db: &mut SqliteConnection, at: Timestamp, job: JobId, change: Change) -> Result<()> {
    match change {
        Change::Put(row) => put(db, at, &row).await,
        Change::Delete(it) => delete(db, &it).await,
        Change::Link(edge) => link(db, &edge).await,
        Change::Unlink(it) => unlink(db, &it).await,
        Change::Metrics { run, points } => add_metrics(db, &run, &points).await,
        Change::Traces(traces) => {
            for together in traces.chunks(TRACES_TOGETHER) {
                // Whole chunks are one statement; the rest are few.
                match together.len() {
                    TRACES_TOGETHER => put_traces(db, together).await?,
                    _ => {
                        for trace in together {
                            put_traces(db, std::slice::from_ref(trace)).await?;
                        }
                    }
                }
            }
            Ok(())
        }
        Change::Feedback(feedback) => {
            for feedback in &feedback {
                put_feedback(db, feedback).await?;
            }
            Ok(())
        }
        Change::DeleteTracesOf(subject) => {
            // Feedback goes with its trace: the foreign key cascades.
            let delete = sqlx::query("DELETE FROM traces WHERE subject = ?").bind(subject.0);
            run(db, delete, || "delete a person's traces".into()).await.map(|_| ())
        }
        Change::Spend { mark, spendings } => spend(db, at, mark, &spendings).await,
        Change::Enqueue(new) => enqueue(db, at, &job, &new).await,
    }
}

/// Runs a statement and returns how many rows it changed.
async fn run(db: &mut SqliteConnection, statement: Statement<'_>, what: impl FnOnce() -> String) -> Result<u64> {
    Ok(statement.execute(db).await.doing(what)?.rows_affected())
}

/// SQLite's numbers are signed; a larger one is our mistake.
fn signed(number: u64) -> Result<i64> {
    i64::try_from(number).map_err(|_| Error::new(Kind::Bug, format!("{number} does not fit a database number")))
}

async fn put(db: &mut SqliteConnection, at: Timestamp, row: &EntityRow) -> Result<()> {
    let sql = "INSERT INTO entities (kind, id, state, body, created_at, updated_at) VALUES (?1, ?2, ?3, ?4, ?5, ?5)
        ON CONFLICT (kind, id) DO UPDATE
        SET state = excluded.state, body = excluded.body, updated_at = excluded.updated_at";
    let insert = sqlx::query(sql).bind(&row.kind).bind(&row.id).bind(&row.state).bind(row.body.to_string()).bind(at.0);
    run(db, insert, || format!("write {} `{}`", row.kind, row.id)).await.map(|_| ())
}

async fn delete(db: &mut SqliteConnection, it: &EntityRef) -> Result<()> {
    let entity = sqlx::query("DELETE FROM entities WHERE kind = ? AND id = ?").bind(&it.kind).bind(&it.id);
    run(db, entity, || format!("delete `{it}`")).await?;
    if it.kind == "run" {
        let metrics = sqlx::query("DELETE FROM run_metrics WHERE run = ?").bind(&it.id);
        run(db, metrics, || format!("delete the metrics of `{it}`")).await?;
    }
    Ok(())
}

async fn link(db: &mut SqliteConnection, edge: &Edge) -> Result<()> {
    let sql = "INSERT INTO edges (from_kind, from_id, relation, to_kind, to_id) VALUES (?, ?, ?, ?, ?)
        ON CONFLICT DO NOTHING";
    let insert = sqlx::query(sql).bind(&edge.from.kind).bind(&edge.from.id).bind(&edge.relation);
    let insert = insert.bind(&edge.to.kind).bind(&edge.to.id);
    run(db, insert, || format!("link `{}` to `{}`", edge.from, edge.to)).await.map(|_| ())
}

async fn unlink(db: &mut SqliteConnection, it: &EntityRef) -> Result<()> {
    let sql = "DELETE FROM edges WHERE (from_kind = ?1 AND from_id = ?2) OR (to_kind = ?1 AND to_id = ?2)";
    run(db, sqlx::query(sql).bind(&it.kind).bind(&it.id), || format!("unlink `{it}`")).await.map(|_| ())
}

async fn add_metrics(db: &mut SqliteConnection, of: &RunId, points: &[MetricPoint]) -> Result<()> {
    let sql = "INSERT INTO run_metrics (run, name, step, value, at) VALUES (?, ?, ?, ?, ?)
        ON CONFLICT (run, name, step) DO UPDATE SET value = excluded.value, at = excluded.at";
    for point in points {
        let value = Some(point.value).filter(|value| !value.is_nan());
        let insert = sqlx::query(sql).bind(of.as_str()).bind(&point.name).bind(signed(point.step)?);
        run(db, insert.bind(value).bind(point.at.0), || format!("write metric `{}` of `{of}`", point.name)).await?;
    }
    Ok(())
}

/// Traces that one statement writes: preparing it and handing it to SQLite's thread costs more than a row does.
const TRACES_TOGETHER: usize = 32;

/// The columns of a trace, in the order in which they are bound.
const TRACE_COLUMNS: [&str; 17] = [
    "id",
    "at",
    "route",
    "variant",
    "model",
    "api_key",
    "subject",
    "input",
    "output",
    "tokens_in",
    "tokens_out",
    "latency_ms",
    "first_token_ms",
    "status",
    "finish",
    "tag",
    "detail",
];

static PUT_TRACE: LazyLock<String> = LazyLock::new(|| put_traces_sql(1));
static PUT_TRACES: LazyLock<String> = LazyLock::new(|| put_traces_sql(TRACES_TOGETHER));

fn put_traces_sql(n_rows: usize) -> String {
    let row = format!("({})", ["?"; TRACE_COLUMNS.len()].join(", "));
    let set = TRACE_COLUMNS[1..].iter().map(|column| format!("{column} = excluded.{column}"));
    format!(
        "INSERT INTO traces ({}) VALUES {} ON CONFLICT (id) DO UPDATE SET {}",
        TRACE_COLUMNS.join(", "),
        vec![row; n_rows].join(", "),
        set.collect::<Vec<_>>().join(", "),
    )
}

/// Writes one trace or [`TRACES_TOGETHER`].
async fn put_traces(db: &mut SqliteConnection, traces: &[Trace]) -> Result<()> {
    let sql: &'static str = if traces.len() == 1 { &PUT_TRACE } else { &PUT_TRACES };
    let mut insert = sqlx::query(sql);
    for trace in traces {
        let detail = serde_json::to_string(&trace.detail).expect("details have text keys only");
        insert = insert
            .bind(trace.id.as_str())
            .bind(trace.at.0)
            .bind(&trace.route)
            .bind(&trace.variant)
            .bind(trace.model.to_string())
            .bind(trace.key.as_ref().map(|key| key.as_str()))
            .bind(trace.subject.as_ref().map(|subject| subject.as_str()))
            .bind(&trace.input)
            .bind(&trace.output)
            .bind(trace.tokens_in)
            .bind(trace.tokens_out)
            .bind(trace.latency_ms)
            .bind(trace.first_token_ms)
            .bind(trace.status)
            .bind(&trace.finish)
            .bind(trace.tag.as_deref())
            .bind(detail);
    }
    let first = || traces.first().map_or("", |trace| trace.id.as_str());
    run(db, insert, || format!("write {} traces from `{}` on", traces.len(), first())).await.map(|_| ())
}

async fn put_feedback(db: &mut SqliteConnection, feedback: &Feedback) -> Result<()> {
    let found = sqlx::query("SELECT 1 FROM traces WHERE id = ?").bind(feedback.trace.as_str());
    let found = found.fetch_optional(&mut *db).await.doing(|| format!("look for trace `{}`", feedback.trace))?;
    if found.is_none() {
        return Err(Error::not_found("trace", feedback.trace.as_str()));
    }
    let sql = "INSERT INTO feedback (id, trace, thumb_up, correction, comment, source, at) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)
        ON CONFLICT (id) DO UPDATE
        SET trace = ?2, thumb_up = ?3, correction = ?4, comment = ?5, source = ?6, at = ?7";
    let insert = sqlx::query(sql)
        .bind(feedback.id.as_str())
        .bind(feedback.trace.as_str())
        .bind(feedback.thumb_up)
        .bind(feedback.correction.as_deref())
        .bind(feedback.comment.as_deref())
        .bind(&feedback.source)
        .bind(feedback.at.0);
    run(db, insert, || format!("write feedback `{}`", feedback.id)).await.map(|_| ())
}

/// Minutes that are kept: the longest window that slides, and one.
const SPENDING_MINUTES: i64 = 31 * 24 * 60;

async fn spend(db: &mut SqliteConnection, at: Timestamp, mark: JournalMark, spendings: &[Spending]) -> Result<()> {
    let sql = "INSERT INTO journal_marks (slot, segment, offset) VALUES (?1, ?2, ?3)
        ON CONFLICT (slot) DO UPDATE SET segment = ?2, offset = ?3 WHERE (segment, offset) < (?2, ?3)";
    let moved = sqlx::query(sql).bind(mark.slot).bind(signed(mark.segment)?).bind(signed(mark.offset)?);
    if run(db, moved, || format!("mark the journal {}", mark.slot)).await? == 0 {
        let message = format!("the journal {} was folded in beyond {}:{}", mark.slot, mark.segment, mark.offset);
        return Err(Error::new(Kind::Conflict, message));
    }
    for spending in spendings {
        let minute = spending.minute.unwrap_or(-1);
        add_spending(db, mark.slot, minute, spending).await?;
        if minute >= 0 {
            add_spending(db, mark.slot, -1, spending).await?;
            let old = "DELETE FROM spending WHERE api_key = ? AND slot = ? AND minute >= 0 AND minute < ?";
            let oldest = at.0.div_euclid(60_000) - SPENDING_MINUTES;
            let forget = sqlx::query(old).bind(spending.key.as_str()).bind(mark.slot).bind(oldest);
            run(db, forget, || format!("forget what `{}` used long ago", spending.key)).await?;
        }
    }
    Ok(())
}

async fn add_spending(db: &mut SqliteConnection, slot: u32, minute: i64, spending: &Spending) -> Result<()> {
    let sql =
        "INSERT INTO spending (api_key, slot, minute, requests, tokens, micro_usd) VALUES (?1, ?2, ?3, ?4, ?5, ?6)
        ON CONFLICT (api_key, slot, minute) DO UPDATE
        SET requests = requests + ?4, tokens = tokens + ?5, micro_usd = micro_usd + ?6";
    let used = spending.used;
    let add = sqlx::query(sql).bind(spending.key.as_str()).bind(slot).bind(minute);
    let add = add.bind(signed(used.requests)?).bind(signed(used.tokens)?).bind(signed(used.micro_usd)?);
    run(db, add, || format!("add to what `{}` used", spending.key)).await.map(|_| ())
}

async fn enqueue(db: &mut SqliteConnection, at: Timestamp, id: &JobId, new: &NewJob) -> Result<()> {
    let sql =
        "INSERT INTO jobs (id, kind, idempotency_key, payload, state, created_at) VALUES (?, ?, ?, ?, 'queued', ?)
        ON CONFLICT (idempotency_key) WHERE state IN ('queued', 'leased', 'done') DO NOTHING";
    let insert = sqlx::query(sql).bind(id.as_str()).bind(&new.kind).bind(&new.idempotency_key);
    let insert = insert.bind(new.payload.to_string()).bind(at.0);
    run(db, insert, || format!("queue job `{}`", new.idempotency_key)).await.map(|_| ())
}

async fn finish_job(db: &mut SqliteConnection, id: &JobId) -> Result<()> {
    let sql = "UPDATE jobs SET state = 'done', leased_until = NULL, error = NULL WHERE id = ? AND state = 'leased'";
    match run(db, sqlx::query(sql).bind(id.as_str()), || format!("finish job `{id}`")).await? {
        0 => Err(Error::new(Kind::Conflict, format!("job `{id}` is not leased, so it cannot be finished"))),
        _ => Ok(()),
    }
}

async fn add_link(db: &mut SqliteConnection, event: &Event) -> Result<()> {
    let sql = "INSERT INTO events (seq, at, actor, kind, about_kind, about_id, body, prev, hash)
        VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)";
    let insert = sqlx::query(sql)
        .bind(signed(event.seq)?)
        .bind(event.at.0)
        .bind(&event.event.actor)
        .bind(&event.event.kind)
        .bind(&event.event.about.kind)
        .bind(&event.event.about.id)
        .bind(event.event.body.to_string())
        .bind(&event.prev)
        .bind(&event.hash);
    run(db, insert, || format!("write event {}", event.seq)).await.map(|_| ())
}
