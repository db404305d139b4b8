//! From database rows to values, one function per type.

use crate::{Error, Kind, Result, change::EntityRow, error::Doing, journal::JournalMark};
use loopwright_types::{
    EntityRef, Timestamp,
    event::{Event, NewEvent},
    feedback::Feedback,
    id::{FeedbackId, JobId, KeyId, SubjectId, TraceId},
    job::{Job, JobState, NewJob},
    key::{Amount, Spending},
    lineage::Edge,
    run::MetricPoint,
    trace::{Trace, TraceDetail},
};
use sqlx::{Decode, Row, Sqlite, Type, sqlite::SqliteRow};

/// A column's value.
fn get<'r, T: Decode<'r, Sqlite> + Type<Sqlite>>(row: &'r SqliteRow, column: &str) -> Result<T> {
    row.try_get(column).doing(|| format!("read column `{column}`"))
}

/// An unsigned number; SQLite has signed ones only.
fn number<T: TryFrom<i64>>(row: &SqliteRow, column: &str) -> Result<T> {
    let value: i64 = get(row, column)?;
    value
        .try_into()
        .map_err(|_| Error::new(Kind::Damaged, format!("column `{column}` holds {value}, out of its range")))
}

fn json(row: &SqliteRow, column: &str) -> Result<serde_json::Value> {
    let text: &str = get(row, column)?;
    serde_json::from_str(text).map_err(|_| Error::new(Kind::Damaged, format!("column `{column}` holds no valid JSON")))
}

pub(super) fn entity(row: &SqliteRow) -> Result<EntityRow> {
    Ok(EntityRow { kind: get(row, "kind")?, id: get(row, "id")?, state: get(row, "state")?, body: json(row, "body")? })
}

pub(super) fn event(row: &SqliteRow) -> Result<Event> {
    let about = EntityRef { kind: get(row, "about_kind")?, id: get(row, "about_id")? };
    let event = NewEvent { actor: get(row, "actor")?, kind: get(row, "kind")?, about, body: json(row, "body")? };
    let at = Timestamp(get(row, "at")?);
    Ok(Event { seq: number(row, "seq")?, at, event, prev: get(row, "prev")?, hash: get(row, "hash")? })
}

pub(super) fn trace(row: &SqliteRow) -> Result<Trace> {
    let model: &str = get(row, "model")?;
    Ok(Trace {
        id: TraceId(get(row, "id")?),
        at: Timestamp(get(row, "at")?),
        route: get(row, "route")?,
        variant: get(row, "variant")?,
        model: model.parse().map_err(|problem: String| Error::new(Kind::Damaged, problem))?,
        key: get::<Option<String>>(row, "api_key")?.map(KeyId),
        subject: get::<Option<String>>(row, "subject")?.map(SubjectId),
        input: get(row, "input")?,
        output: get(row, "output")?,
        tokens_in: number(row, "tokens_in")?,
        tokens_out: number(row, "tokens_out")?,
        latency_ms: get(row, "latency_ms")?,
        first_token_ms: get(row, "first_token_ms")?,
        status: number(row, "status")?,
        finish: get(row, "finish")?,
        tag: get(row, "tag")?,
        detail: detail(row)?,
    })
}

fn detail(row: &SqliteRow) -> Result<TraceDetail> {
    let text: &str = get(row, "detail")?;
    serde_json::from_str(text).map_err(|_| Error::new(Kind::Damaged, "column `detail` holds no details of a trace"))
}

pub(super) fn spending(row: &SqliteRow) -> Result<Spending> {
    let minute: i64 = get(row, "minute")?;
    let used = Amount {
        requests: number(row, "requests")?,
        tokens: number(row, "tokens")?,
        micro_usd: number(row, "micro_usd")?,
    };
    Ok(Spending { key: KeyId(get(row, "api_key")?), minute: Some(minute).filter(|minute| *minute >= 0), used })
}

pub(super) fn journal_mark(row: &SqliteRow) -> Result<JournalMark> {
    Ok(JournalMark { slot: number(row, "slot")?, segment: number(row, "segment")?, offset: number(row, "offset")? })
}

pub(super) fn feedback(row: &SqliteRow) -> Result<Feedback> {
    Ok(Feedback {
        id: FeedbackId(get(row, "id")?),
        trace: TraceId(get(row, "trace")?),
        thumb_up: get(row, "thumb_up")?,
        correction: get(row, "correction")?,
        comment: get(row, "comment")?,
        source: get(row, "source")?,
        at: Timestamp(get(row, "at")?),
    })
}

pub(super) fn metric(row: &SqliteRow) -> Result<MetricPoint> {
    let value: Option<f64> = get(row, "value")?;
    let value = value.unwrap_or(f64::NAN);
    Ok(MetricPoint { name: get(row, "name")?, step: number(row, "step")?, value, at: Timestamp(get(row, "at")?) })
}

pub(super) fn edge(row: &SqliteRow) -> Result<Edge> {
    Ok(Edge {
        from: EntityRef { kind: get(row, "from_kind")?, id: get(row, "from_id")? },
        to: EntityRef { kind: get(row, "to_kind")?, id: get(row, "to_id")? },
        relation: get(row, "relation")?,
    })
}

pub(super) fn job(row: &SqliteRow) -> Result<Job> {
    Ok(Job {
        id: JobId(get(row, "id")?),
        job: NewJob {
            kind: get(row, "kind")?,
            idempotency_key: get(row, "idempotency_key")?,
            payload: json(row, "payload")?,
        },
        state: job_state(get(row, "state")?)?,
        attempts: number(row, "attempts")?,
        leased_until: get::<Option<i64>>(row, "leased_until")?.map(Timestamp),
        error: get(row, "error")?,
        created_at: Timestamp(get(row, "created_at")?),
    })
}

pub(super) fn job_state(word: &str) -> Result<JobState> {
    let states = [JobState::Queued, JobState::Leased, JobState::Done, JobState::Failed];
    let unknown = || Error::new(Kind::Damaged, format!("`{word}` is no state of a job"));
    states.into_iter().find(|state| state.as_str() == word).ok_or_else(unknown)
}
