//! What a person may ask for: a copy of everything held on them, and to be left out of training.

use super::customers;
use crate::{
    context::Context,
    error::{Error, Result},
    project::write_whole,
    tables::rows_of_subject,
};
use loopwright_store::{Change, FeedbackQuery, TableKey, TraceQuery};
use loopwright_types::{DatasetVersion, Entity, event::NewEvent, id::SubjectId, subject::Subject};
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, path::PathBuf};

/// What an export holds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Exported {
    /// The file.
    pub path: PathBuf,
    /// Rows of sources and datasets.
    pub n_rows: u64,
    /// Traces.
    pub n_traces: u64,
    /// Feedback.
    pub n_feedback: u64,
}

/// Finds a person by the name the organisation uses for them. Somebody of whom no record is kept, only rows or traces, is
/// known by that name alone.
pub async fn find(ctx: &Context, external_id: &str) -> Result<Subject> {
    let id = ctx.store.subject_id(external_id);
    if let Some(subject) = ctx.store.get(id.as_str()).await? {
        return Ok(subject);
    }
    if is_held(ctx, &id).await? {
        let (identifiers, updated_at) = (BTreeMap::new(), ctx.store.now());
        return Ok(Subject { id, external_id: external_id.into(), identifiers, training_allowed: true, updated_at });
    }
    if customers::erased(ctx).await?.contains(&id) {
        return Err(
            Error::user(format!("`{external_id}` was erased")).hint("`loopwright erase --list` shows the receipts")
        );
    }
    Err(Error::user(format!("nobody is known as `{external_id}`"))
        .hint("use the identifier of the customers file, e.g. `C-0001`"))
}

/// Does any table or trace hold something of this person?
async fn is_held(ctx: &Context, id: &SubjectId) -> Result<bool> {
    let query = TraceQuery { subject: Some(id.clone()), limit: 1, ..Default::default() };
    if ctx.store.count_traces(&query).await? > 0 {
        return Ok(true);
    }
    for key in ctx.store.tables().all_tables().await? {
        if !rows_of_subject(ctx, &key, id).await?.is_empty() {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Writes everything held on a person as one JSON file (GDPR article 15, CCPA section 1798.110).
pub async fn export(ctx: &Context, external_id: &str) -> Result<Exported> {
    let subject = find(ctx, external_id).await?;
    let mut rows = Vec::new();
    for key in ctx.store.tables().all_tables().await? {
        for row in rows_of_subject(ctx, &key, &subject.id).await? {
            rows.push(serde_json::json!({"table": key.path(), "row": row}));
        }
    }
    let query =
        TraceQuery { subject: Some(subject.id.clone()), limit: u32::MAX, newest_first: false, ..Default::default() };
    let traces = ctx.store.traces(&query).await?;
    let mut feedback = Vec::new();
    for trace in &traces {
        let query = FeedbackQuery { trace: Some(trace.id.clone()), limit: u32::MAX, ..Default::default() };
        feedback.extend(ctx.store.feedback(&query).await?);
    }
    let exported = Exported {
        path: export_path(ctx, &subject),
        n_rows: rows.len() as u64,
        n_traces: traces.len() as u64,
        n_feedback: feedback.len() as u64,
    };
    let document = serde_json::json!({
        "subject": subject,
        "rows": rows,
        "traces": traces,
        "feedback": feedback,
        "exported_at": ctx.store.now().to_string(),
    });
    write_whole(&exported.path, &format!("{document:#}\n"))?;
    let event = NewEvent::new(ctx.actor, "subject.exported", subject.entity_ref());
    let body = serde_json::json!({"n_rows": exported.n_rows, "n_traces": exported.n_traces});
    ctx.store.apply(event.with_body(body), Vec::new()).await?;
    Ok(exported)
}

/// Where a person's export goes: named by pseudonym, so that an erasure finds it.
pub fn export_path(ctx: &Context, subject: &Subject) -> PathBuf {
    ctx.project.dir.join("exports").join(format!("subject-{}.json", subject.id))
}

/// Leaves a person's rows out of every later version (or lets them in again).
pub async fn set_training_allowed(ctx: &Context, external_id: &str, allowed: bool) -> Result<Subject> {
    let mut subject = find(ctx, external_id).await?;
    if subject.training_allowed == allowed {
        return Ok(subject);
    }
    subject.training_allowed = allowed;
    subject.updated_at = ctx.store.now();
    let kind = if allowed { "subject.opted_in" } else { "subject.opted_out" };
    ctx.store.apply(NewEvent::new(ctx.actor, kind, subject.entity_ref()), vec![Change::put(&subject)]).await?;
    Ok(subject)
}

/// How many rows of a person a version holds.
pub async fn n_rows_in(ctx: &Context, version: &DatasetVersion, subject: &Subject) -> Result<u64> {
    let key = TableKey::Examples(version.dataset.clone());
    Ok(rows_of_subject(ctx, &key, &subject.id).await?.len() as u64)
}
