//! Collect: sources in, raw rows and rejected rows kept as they came.

use super::customers;
use crate::{
    context::Context,
    error::{Doing, Error, Result},
    project::{DataSettings, LoopSettings},
};
use loopwright_sources::{CsvMapping, read_csv};
use loopwright_store::TableKey;
use loopwright_types::{Digest, EntityRef, SourceRow, dataset::RejectedRow, event::NewEvent};
use serde::{Deserialize, Serialize};
use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

/// What collecting came to.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Collected {
    /// Rows kept.
    pub n_rows: u64,
    /// Rows that could not be read, kept aside.
    pub n_rejected: u64,
    /// Rejected rows by reason.
    pub rejected: BTreeMap<String, u64>,
    /// Rows of erased people that were not let in again.
    pub n_erased: u64,
    /// People newly registered or changed.
    pub n_subjects: u64,
}

/// Digest over the source files and the customers file: what `collect` depends on.
pub fn sources_digest(ctx: &Context, it: &LoopSettings) -> Result<Digest> {
    let mut parts = Vec::new();
    for name in it.data.sources.iter().chain((!it.data.customers.is_empty()).then_some(&it.data.customers)) {
        parts.push(name.clone().into_bytes());
        parts.push(bytes_of(&ctx.project.dir.join(name))?);
    }
    Ok(Digest::of_parts(parts.iter().map(Vec::as_slice)))
}

/// Reads every source of the loop into its raw table.
pub async fn collect(ctx: &Context, it: &LoopSettings) -> Result<Collected> {
    let n_subjects = customers::register(ctx, &it.data).await?;
    let (rows, mut rejected) = read_sources(ctx, &it.data, &it.data.sources).await?;
    if rows.is_empty() {
        return Err(Error::user(format!("no row of the sources of `{}` could be read", it.name))
            .hint("see why with `loopwright data rejected`; the columns are named in `[data.*]` of the project file"));
    }
    let erased = customers::erased(ctx).await?;
    let n_read = rows.len() as u64;
    let rows: Vec<SourceRow> =
        rows.into_iter().filter(|row| row.subject.as_ref().is_none_or(|subject| !erased.contains(subject))).collect();
    let known: Vec<String> = customers::identifiers(ctx).await?.into_values().flatten().collect();
    // Nobody knows whose words a broken row holds: what identifies anybody is masked.
    for row in &mut rejected {
        row.excerpt = ctx.redactor.redact(&row.excerpt, &known).text;
    }
    let mut reasons: BTreeMap<String, u64> = BTreeMap::new();
    for row in &rejected {
        *reasons.entry(row.reason.clone()).or_default() += 1;
    }
    ctx.store.tables().write_source_rows(&TableKey::Raw { dataset: it.name.clone() }, &rows).await?;
    ctx.store.tables().write_rejected(&TableKey::Rejected { dataset: it.name.clone() }, &rejected).await?;
    let collected = Collected {
        n_rows: rows.len() as u64,
        n_rejected: rejected.len() as u64,
        rejected: reasons,
        n_erased: n_read - rows.len() as u64,
        n_subjects,
    };
    let event = NewEvent::new(ctx.actor, "source.collected", EntityRef::new("dataset", &*it.name));
    let body = serde_json::json!({"n_rows": collected.n_rows, "n_rejected": collected.n_rejected});
    ctx.store.apply(event.with_body(body), Vec::new()).await?;
    Ok(collected)
}

/// Reads CSV files of the project, off the async threads.
pub async fn read_sources(
    ctx: &Context,
    data: &DataSettings,
    files: &[String],
) -> Result<(Vec<SourceRow>, Vec<RejectedRow>)> {
    let (store, data) = (ctx.store.clone(), data.clone());
    let files: Vec<(String, PathBuf)> = files.iter().map(|name| (name.clone(), ctx.project.dir.join(name))).collect();
    let work = move || -> Result<(Vec<SourceRow>, Vec<RejectedRow>)> {
        let column = |name: &str| (!name.is_empty()).then(|| name.to_string());
        let mapping = CsvMapping {
            text: column(&data.text),
            label: column(&data.label),
            id: column(&data.id),
            subject: column(&data.subject),
            group: column(&data.group),
            at: column(&data.at),
        };
        let (mut rows, mut rejected) = (Vec::new(), Vec::new());
        for (name, path) in files {
            let bytes = bytes_of(&path)?;
            let read = read_csv(&name, &bytes, &mapping, &|external_id| store.subject_id(external_id))
                .doing(|| format!("failed to collect `{}`", path.display()))?;
            rows.extend(read.rows);
            rejected.extend(read.rejected);
        }
        Ok((rows, rejected))
    };
    in_background(work).await
}

/// Runs work that takes the processor, away from the threads that answer requests.
pub async fn in_background<T: Send + 'static>(work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|error| Error::bug("background work ended by a panic").because(error))?
}

fn bytes_of(path: &Path) -> Result<Vec<u8>> {
    std::fs::read(path).map_err(|error| {
        Error::user(format!("failed to read the source `{}`", path.display()))
            .because(error)
            .hint("name the files in `sources` of `[data.*]`, relative to the project file")
    })
}
