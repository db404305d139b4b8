//! Stand-ins with a way back: a dataset's values, each with a stand-in of its own, in a mapping that only the project opens.
//!
//! Before the rows of a curation go by, their values are gathered and those without a stand-in get one, in the order of
//! the values, so that the same rows give the same stand-ins. The mapping is kept encrypted under a secret of the project;
//! an erasure takes out of it every value that no row holds any more.

use super::{recipe::Prepared, scan::Needles};
use crate::{
    context::Context,
    error::{Doing, Error, Result},
    project::LoopSettings,
};
use futures::TryStreamExt;
use loopwright_data::flow::{Finder, Found};
use loopwright_guard::{Mapping, SealedMapping, Surrogates};
use loopwright_store::TableKey;
use loopwright_types::{EntityRef, SourceRow, event::NewEvent};
use std::{collections::BTreeSet, path::PathBuf, sync::Arc};

/// Name of the secret that stand-ins are drawn from and mappings are sealed with.
pub(super) const SECRET: &str = "surrogates";

/// Gives every value of the raw rows a stand-in, and keeps the mapping.
pub(super) async fn assign(ctx: &Context, it: &LoopSettings, prepared: &Arc<Prepared>) -> Result<Mapping> {
    let found = gather(ctx, it, prepared).await?;
    let mut surrogates = Surrogates::resume(&ctx.store.secret(SECRET)?, read(ctx, &it.name)?.unwrap_or_default());
    for Found { kind, value, is_joined } in &found {
        surrogates.assign(*kind, value, *is_joined);
    }
    write(ctx, &it.name, surrogates.mapping())?;
    Ok(surrogates.mapping().clone())
}

/// The text with every stand-in of the dataset replaced by the value that it stands for.
pub async fn restore(ctx: &Context, it: &LoopSettings, text: &str) -> Result<String> {
    let Some(mapping) = read(ctx, &it.name)? else {
        return Err(Error::user(format!("`{}` has no stand-ins with a way back", it.name)).hint(
            "write `{ step = \"redact\", surrogates = true, reversible = true }` into `steps` of `[data.*]` and curate",
        ));
    };
    let event = NewEvent::new(ctx.actor, "stand_ins.restored", EntityRef::new("dataset", &*it.name));
    ctx.store.apply(event.with_body(serde_json::json!({"n_chars": text.chars().count()})), Vec::new()).await?;
    Ok(Surrogates::restore(text, &mapping))
}

/// Takes out of every mapping what only the erased person's rows held, and whatever names the person.
pub(super) async fn forget(ctx: &Context, names: &Needles) -> Result<u64> {
    let mut n_forgotten = 0;
    for it in ctx.project.loops.values() {
        let Some(mut mapping) = read(ctx, &it.name)? else { continue };
        let raw = TableKey::Raw { dataset: it.name.clone() };
        let held = match ctx.store.tables().exists(&raw).await? {
            true => gather(ctx, it, &Arc::new(Prepared::for_finding(ctx, it).await?)).await?,
            false => BTreeSet::new(),
        };
        let held: BTreeSet<_> = held.into_iter().map(|found| (found.kind, found.value)).collect();
        let n_before = mapping.len();
        mapping.retain(|kind, value| held.contains(&(kind, value.to_string())) && !names.are_in_text(value));
        n_forgotten += (n_before - mapping.len()) as u64;
        write(ctx, &it.name, &mapping)?;
    }
    Ok(n_forgotten)
}

/// Every value of the raw rows, each once.
async fn gather(ctx: &Context, it: &LoopSettings, prepared: &Arc<Prepared>) -> Result<BTreeSet<Found>> {
    let raw = TableKey::Raw { dataset: it.name.clone() };
    let rows_total = ctx.store.tables().count_rows(&raw).await?;
    let mut batches = std::pin::pin!(ctx.store.tables().stream_source_rows(&raw).await?);
    let (mut found, mut n_rows) = (BTreeSet::new(), 0);
    while let Some(rows) = batches.try_next().await? {
        n_rows += rows.len() as u64;
        let prepared = prepared.clone();
        found.extend(super::collect::in_background(move || find(&prepared, rows)).await?);
        ctx.progress("gathering what gets a stand-in", n_rows.min(rows_total), rows_total, String::new());
    }
    Ok(found)
}

fn find(prepared: &Prepared, rows: Vec<SourceRow>) -> Result<BTreeSet<Found>> {
    let doing = || "failed to gather what gets a stand-in".to_string();
    prepared.with(|context| {
        let Some(finder) = Finder::of(&prepared.recipe, context).doing(doing)? else { return Ok(BTreeSet::new()) };
        let mut found = BTreeSet::new();
        for row in rows {
            found.extend(finder.find(row).doing(doing)?);
        }
        Ok(found)
    })
}

fn path(ctx: &Context, dataset: &str) -> PathBuf {
    ctx.store.layout().stand_ins(dataset)
}

/// The mapping of a dataset, if it has one.
fn read(ctx: &Context, dataset: &str) -> Result<Option<Mapping>> {
    let path = path(ctx, dataset);
    let bytes = match std::fs::read(&path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        other => other.outside(|| format!("failed to read `{}`", path.display()))?,
    };
    let damaged = || format!("`{}` cannot be opened", path.display());
    let sealed: SealedMapping = serde_json::from_slice(&bytes).outside(damaged)?;
    Mapping::open(&sealed, &ctx.store.secret(SECRET)?).map(Some).outside(damaged)
}

fn write(ctx: &Context, dataset: &str, mapping: &Mapping) -> Result<()> {
    let path = path(ctx, dataset);
    let writing = || format!("failed to write `{}`", path.display());
    let bytes = serde_json::to_vec(&mapping.seal(&ctx.store.secret(SECRET)?)).outside(writing)?;
    let partial = path.with_extension("partial");
    std::fs::create_dir_all(path.parent().expect("the path has a folder"))
        .and_then(|()| std::fs::write(&partial, bytes))
        .and_then(|()| std::fs::rename(&partial, &path))
        .outside(writing)
}
