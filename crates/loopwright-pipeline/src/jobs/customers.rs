//! The people behind the rows: read from the customers file, kept as subjects.

use crate::{
    context::Context,
    error::{Doing, Error, Result},
    project::DataSettings,
};
use loopwright_store::{Change, ListQuery};
use loopwright_types::{
    EntityRef,
    event::NewEvent,
    id::SubjectId,
    subject::{Erasure, Subject},
};
use std::collections::{BTreeMap, BTreeSet};

/// Column of the customers file that names the person as the organisation does.
const ID_COLUMN: &str = "customer";
/// Columns that say something about a person without identifying them.
const ATTRIBUTES: [&str; 1] = ["segment"];

/// Reads the customers file and keeps each person, except those who were erased. Consent given before is kept.
pub async fn register(ctx: &Context, data: &DataSettings) -> Result<u64> {
    if data.customers.is_empty() {
        return Ok(0);
    }
    let erased = erased(ctx).await?;
    let known: BTreeMap<String, Subject> = all(ctx).await?.into_iter().map(|s| (s.id.0.clone(), s)).collect();
    let mut changes = Vec::new();
    for (external_id, identifiers) in read(ctx, data)? {
        let id = ctx.store.subject_id(&external_id);
        if erased.contains(&id) {
            continue;
        }
        let training_allowed = known.get(id.as_str()).is_none_or(|before| before.training_allowed);
        let updated_at = known.get(id.as_str()).map_or_else(|| ctx.store.now(), |before| before.updated_at);
        let subject = Subject { id, external_id, identifiers, training_allowed, updated_at };
        if known.get(subject.id.as_str()) != Some(&subject) {
            changes.push(Change::put(&subject));
        }
    }
    let n = changes.len() as u64;
    if n > 0 {
        let event =
            NewEvent::new(ctx.actor, "subjects.registered", EntityRef::new("project", &*ctx.project.project.name));
        ctx.store.apply(event.with_body(serde_json::json!({"n_subjects": n})), changes).await?;
    }
    Ok(n)
}

/// Everybody known.
pub async fn all(ctx: &Context) -> Result<Vec<Subject>> {
    Ok(ctx.store.list(&ListQuery { limit: u32::MAX, newest_first: false, ..Default::default() }).await?)
}

/// The strings that identify each person, for redaction.
pub async fn identifiers(ctx: &Context) -> Result<BTreeMap<SubjectId, Vec<String>>> {
    Ok(all(ctx).await?.into_iter().map(|s| (s.id, s.identifiers.into_values().collect())).collect())
}

/// Those who opted out of training.
pub async fn opted_out(ctx: &Context) -> Result<BTreeSet<SubjectId>> {
    Ok(all(ctx).await?.into_iter().filter(|s| !s.training_allowed).map(|s| s.id).collect())
}

/// Those whose erasure was begun or done: nothing of theirs may come in again.
pub async fn erased(ctx: &Context) -> Result<BTreeSet<SubjectId>> {
    let erasures: Vec<Erasure> = ctx.store.list(&ListQuery { limit: u32::MAX, ..Default::default() }).await?;
    Ok(erasures.into_iter().map(|e| e.subject).collect())
}

fn read(ctx: &Context, data: &DataSettings) -> Result<Vec<(String, BTreeMap<String, String>)>> {
    let path = ctx.project.dir.join(&data.customers);
    let doing = || format!("failed to read the customers file `{}`", path.display());
    let mut reader = csv::Reader::from_path(&path).doing(doing).map_err(|error| {
        error.hint("name the file in `customers` of `[data.*]`, relative to the project file, or write \"\" if nobody is known")
    })?;
    let header = reader.headers().doing(doing)?.clone();
    let Some(id_index) = header.iter().position(|column| column == ID_COLUMN) else {
        let found = header.iter().collect::<Vec<_>>().join(", ");
        return Err(Error::user(doing()).hint(format!("expected a column `{ID_COLUMN}`, found: {found}")));
    };
    let mut people = Vec::new();
    for record in reader.records() {
        let record = record.doing(doing)?;
        let external_id = record.get(id_index).unwrap_or_default().trim().to_string();
        if external_id.is_empty() {
            continue;
        }
        let identifying = |column: &str| column != ID_COLUMN && !ATTRIBUTES.contains(&column);
        let identifiers = header
            .iter()
            .zip(record.iter())
            .filter(|(column, value)| identifying(column) && !value.trim().is_empty())
            .map(|(column, value)| (column.to_string(), value.trim().to_string()))
            .collect();
        people.push((external_id, identifiers));
    }
    Ok(people)
}
