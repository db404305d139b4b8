//! The project's own source files, as far as an erasure must rewrite them.

use super::{reading, scan::Needles, traffic};
use crate::{
    context::Context,
    error::{Doing, Result},
};
use loopwright_sources::{
    Mapping, SourceFile, Spec,
    erase::{Outcome, Person, remove_person},
    texts,
};
use loopwright_store::{TableKey, remote};
use loopwright_types::subject::Erasure;
use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

/// Column under which a customers file names the person.
const CUSTOMERS_ID: &str = "customer";

/// Rewrites every file of the project's sources without the person's rows. Files outside of the folder are not ours, and
/// files of formats without rows cannot be taken apart: the erasure names both instead.
///
/// A malformed record cannot be trusted to have the person in the right field: it goes if it names the person anywhere.
pub async fn remove_subject(ctx: &Context, external_id: &str, names: &Needles, erasure: &mut Erasure) -> Result<()> {
    remove_rejected(ctx, names, erasure).await?;
    let limits = reading::settings(ctx).limits;
    let person = Person { external_id, is_named_in: &|text| names.are_in_text(text) };
    for source in ctx.project.loops.values().flat_map(|it| &it.data.sources).filter(|source| remote::is_remote(source))
    {
        note(erasure, format!("not ours, remove it yourself: {}", remote::shown(source)), 0);
    }
    for (path, spec) in files(ctx)? {
        let place = path.strip_prefix(&ctx.project.dir).unwrap_or(&path).to_string_lossy().into_owned();
        let doing = || format!("failed to rewrite `{place}`");
        match is_outside(ctx, &path) {
            true => note(erasure, format!("not ours, remove it yourself: {place}"), 0),
            false => match remove_person(&path, &spec, &limits, person).doing(doing)? {
                Outcome::Without { n_rows } => note(erasure, place, n_rows),
                Outcome::NotRewritable if names_them(&path, &place, names)? => {
                    note(erasure, format!("has no rows to take out, remove the person yourself: {place}"), 0);
                }
                Outcome::NotRewritable => {}
            },
        }
    }
    Ok(())
}

/// Counts what went; what is only named counts nothing.
fn note(erasure: &mut Erasure, place: String, n_rows: u64) {
    if n_rows > 0 || place.contains("yourself") {
        *erasure.removed.entry(place).or_default() += n_rows;
    }
}

/// Every source and customers file of every loop, and every other file beside them, with how it is read.
fn files(ctx: &Context) -> Result<BTreeMap<PathBuf, Spec>> {
    let mut files = BTreeMap::new();
    let customers =
        Spec { mapping: Mapping { subject: Some(CUSTOMERS_ID.into()), ..Mapping::default() }, ..Spec::default() };
    for it in ctx.project.loops.values() {
        let path = ctx.project.dir.join(&it.data.customers);
        if !it.data.customers.is_empty() && path.exists() {
            files.insert(path, customers.clone());
        }
        for source in
            it.data.sources.iter().filter(|source| traffic::route(source).is_none() && !remote::is_remote(source))
        {
            // A source that is not there any more holds nobody.
            for SourceFile { path, .. } in reading::files(ctx, &it.data, source).unwrap_or_default() {
                files.entry(path).or_insert_with(|| reading::spec(ctx, &it.data, source));
            }
        }
    }
    let mut folders = vec![ctx.store.layout().sources()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
            let path = entry.path();
            if path.is_dir() {
                folders.push(path);
            } else if texts::can_read(&path) {
                files.entry(path).or_insert_with(Spec::default);
            }
        }
    }
    Ok(files)
}

fn names_them(path: &Path, place: &str, names: &Needles) -> Result<bool> {
    let mut found = false;
    let limits = loopwright_sources::Limits::default();
    texts::every_text(path, place, &limits, &mut |text| found |= names.are_in_text(text))
        .doing(|| format!("failed to look into `{place}`"))?;
    Ok(found)
}

/// Rejected rows carry no author: those go whose text names the person.
async fn remove_rejected(ctx: &Context, names: &Needles, erasure: &mut Erasure) -> Result<()> {
    for key in ctx.store.tables().all_tables().await? {
        if !matches!(key, TableKey::Rejected { .. }) {
            continue;
        }
        let rows = ctx.store.tables().read_rejected(&key).await?;
        let n_before = rows.len();
        let kept: Vec<_> = rows.into_iter().filter(|row| !names.are_in_text(&row.excerpt)).collect();
        if kept.len() < n_before {
            ctx.store.tables().write_rejected(&key, &kept).await?;
            ctx.store.tables().vacuum(&key).await?;
            note(erasure, format!("table {}", key.path()), (n_before - kept.len()) as u64);
        }
    }
    Ok(())
}

fn is_outside(ctx: &Context, path: &Path) -> bool {
    path.strip_prefix(&ctx.project.dir).map_or(true, reading::is_outside)
}
