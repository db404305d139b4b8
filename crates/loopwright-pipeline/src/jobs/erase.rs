//! Erase: one person out of every byte we hold, the models that learned from them replaced, and a receipt once it is true.
//!
//! The order survives a kill at any point:
//!
//! 1. what to look for at the end is sealed (encrypted under the project's secret), and the erasure is recorded;
//! 2. rows, traces, feedback, explanations, exports and the person's own record are removed and rewritten away;
//! 3. the models that learned from the rows are named, and a retraining without them is queued;
//! 4. once a model trained without the rows is live, the named ones are retired and their files deleted;
//! 5. every byte under the project folder is read; only if nothing is found is the receipt signed.

use super::{
    collect::in_background,
    customers,
    scan::{Needles, scan},
    sealed, sources, stand_ins, subject, traffic,
};
use crate::{
    context::Context,
    error::{Doing, Error, Result},
    jobs::package::signing_key,
    runner::{Step, StepState},
    tables::{rows_of_subject, texts_of},
};
use loopwright_deploy::sign::sign_bytes;
use loopwright_store::{Change, ListQuery, ObjectKey, TableKey, TraceQuery};
use loopwright_types::{
    DatasetRef, DatasetVersion, Digest, Entity, EntityRef, ModelRef, ModelVersion,
    dataset::ErasedRows,
    deployment::Route,
    event::NewEvent,
    explain::Explanation,
    id::{ErasureId, RowId, SubjectId},
    job::NewJob,
    model::ModelState,
    run::Run,
    subject::{Erasure, ErasureState, Subject},
};
use std::collections::{BTreeMap, BTreeSet};

/// Messages shorter than this are looked for only if they name the person: too many people write "thank you".
const TELLING_CHARS_MIN: usize = 24;

/// The job that trains a replacement.
pub const RETRAIN_WITHOUT: &str = "retrain_without";

/// Begins the erasure of a person, or goes on with one that was begun: steps 1 to 3.
pub async fn begin(ctx: &Context, external_id: &str) -> Result<Erasure> {
    // What a killed server left is read first: it may hold words of the person.
    traffic::recover(ctx).await?;
    let id = ctx.store.subject_id(external_id);
    let begun = of_subject(ctx, &id).await?;
    let (mut erasure, person) = match begun {
        Some(erasure) => (erasure, ctx.store.get(id.as_str()).await?),
        None => {
            let person = subject::find(ctx, external_id).await?;
            (open(ctx, &person).await?, Some(person))
        }
    };
    if erasure.state == ErasureState::Done {
        return Err(
            Error::user(format!("`{external_id}` was erased already")).hint(format!("its receipt is `{}`", erasure.id))
        );
    }
    // A killed start may have left the person's record or some rows: removing again finds only what is left.
    remove(ctx, &mut erasure, external_id, person.as_ref()).await?;
    Ok(erasure)
}

/// The erasure of a person, if one was begun.
async fn of_subject(ctx: &Context, id: &SubjectId) -> Result<Option<Erasure>> {
    Ok(all(ctx).await?.into_iter().find(|erasure| erasure.subject == *id))
}

/// Every erasure.
pub async fn all(ctx: &Context) -> Result<Vec<Erasure>> {
    Ok(ctx.store.list(&ListQuery { limit: u32::MAX, ..Default::default() }).await?)
}

async fn open(ctx: &Context, person: &Subject) -> Result<Erasure> {
    let erasure = Erasure {
        id: ErasureId::new(ctx.store.new_id("erasure")),
        subject: person.id.clone(),
        state: ErasureState::Running,
        removed: BTreeMap::new(),
        models: Vec::new(),
        retrained: None,
        datasets: Vec::new(),
        n_files_scanned: 0,
        n_bytes_scanned: 0,
        n_strings: 0,
        requested_at: ctx.store.now(),
        done_at: None,
        receipt: None,
    };
    sealed::write(ctx, &erasure.id, &what_to_look_for(ctx, person).await?)?;
    let event = NewEvent::new(ctx.actor, "erasure.requested", erasure.entity_ref());
    ctx.store.apply(event, vec![Change::put(&erasure)]).await?;
    Ok(erasure)
}

/// The person's identifiers, and those of their messages that nobody else wrote.
async fn what_to_look_for(ctx: &Context, person: &Subject) -> Result<Vec<String>> {
    let mut own: BTreeSet<String> = BTreeSet::new();
    let mut others: BTreeSet<String> = BTreeSet::new();
    for key in ctx.store.tables().all_tables().await? {
        for (subject, text) in texts_of(ctx, &key).await? {
            if subject.as_ref() == Some(&person.id) {
                own.insert(text);
            } else {
                others.insert(text);
            }
        }
    }
    let mut strings = Vec::new();
    own.retain(|text| text.chars().count() >= TELLING_CHARS_MIN);
    for text in own {
        if !is_in_any(&text, &others)? {
            strings.push(text);
        }
    }
    // What somebody else goes by as well (a household's phone, a namesake) rightly stays with them, however it is written.
    let everybody = customers::all(ctx).await?;
    let of_others: BTreeSet<String> = everybody
        .into_iter()
        .filter(|other| other.id != person.id)
        .flat_map(|other| other.identifiers.into_values())
        .collect();
    for value in person.identifiers.values() {
        if !is_in_any(value, &of_others)? {
            strings.push(value.clone());
        }
    }
    strings.push(person.external_id.clone());
    Ok(strings)
}

/// Would the closing scan find this string in one of these texts?
fn is_in_any(string: &str, texts: &BTreeSet<String>) -> Result<bool> {
    let needle = Needles::new([string.to_string()])?;
    Ok(texts.iter().any(|text| needle.are_in_text(text)))
}

/// Steps 2 and 3.
async fn remove(ctx: &Context, erasure: &mut Erasure, external_id: &str, person: Option<&Subject>) -> Result<()> {
    let rows = remove_rows(ctx, erasure).await?;
    remove_curations(ctx)?;
    remove_samples(ctx, erasure).await?;
    ctx.store.tables().vacuum_all().await?;
    name_models(ctx, erasure).await?;
    let names = Needles::new(sealed::read(ctx, &erasure.id)?.unwrap_or_default())?;
    remove_explanations(ctx, erasure, &rows, &names).await?;
    sources::remove_subject(ctx, external_id, &names, erasure).await?;
    let n_values = stand_ins::forget(ctx, &names).await?;
    if n_values > 0 {
        *erasure.removed.entry("values with a stand-in".into()).or_default() += n_values;
    }
    forget_steps(ctx, erasure, &names).await?;
    if let Some(person) = person {
        remove_file(&subject::export_path(ctx, person))?;
    }
    let query = TraceQuery { subject: Some(erasure.subject.clone()), limit: u32::MAX, ..Default::default() };
    let n_traces = ctx.store.count_traces(&query).await?;
    *erasure.removed.entry("traces with their feedback".into()).or_default() += n_traces;
    let subject = EntityRef::new(Subject::KIND, erasure.subject.as_str());
    let mut changes = vec![
        Change::DeleteTracesOf(erasure.subject.clone()),
        Change::Delete(subject.clone()),
        Change::Unlink(subject),
        Change::put(erasure),
    ];
    let concerned = |name: &&String| erasure.models.iter().any(|model| model.name == **name);
    changes.extend(ctx.project.loops.keys().filter(concerned).map(|name| {
        Change::Enqueue(NewJob {
            kind: RETRAIN_WITHOUT.into(),
            idempotency_key: format!("{RETRAIN_WITHOUT}/{name}/{}", erasure.id),
            payload: serde_json::json!({"loop": name, "erasure": erasure.id}),
        })
    }));
    let body = serde_json::json!({"removed": erasure.removed, "models": erasure.models, "datasets": erasure.datasets});
    let event = NewEvent::new(ctx.actor, "erasure.removed", erasure.entity_ref()).with_body(body);
    ctx.store.apply(event, changes).await?;
    ctx.store.erase_free_pages().await?;
    Ok(())
}

/// What curations have put aside holds rows in clear; one that is under way begins again.
fn remove_curations(ctx: &Context) -> Result<()> {
    let folder = ctx.store.layout().curations();
    match std::fs::remove_dir_all(&folder) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).outside(|| format!("failed to delete `{}`", folder.display()))
        }
        _ => Ok(()),
    }
}

/// What models answered to rows of the rewritten versions as they learned.
async fn remove_samples(ctx: &Context, erasure: &Erasure) -> Result<()> {
    let runs: Vec<Run> = ctx.store.list(&ListQuery { limit: u32::MAX, ..Default::default() }).await?;
    for run in runs.iter().filter(|run| erasure.datasets.contains(&run.dataset)) {
        ctx.store.objects().delete(&ObjectKey::Samples { run: run.id.clone() }).await?;
    }
    Ok(())
}

/// Rewrites every table that holds the person's rows; returns the rows' ids.
async fn remove_rows(ctx: &Context, erasure: &mut Erasure) -> Result<BTreeSet<RowId>> {
    let mut ids = BTreeSet::new();
    for key in ctx.store.tables().all_tables().await? {
        for row in rows_of_subject(ctx, &key, &erasure.subject).await? {
            ids.extend(row.get("row_id").and_then(serde_json::Value::as_str).map(RowId::from));
        }
        let n = ctx.store.tables().delete_subject(&key, &erasure.subject).await?;
        ctx.store.tables().vacuum(&key).await?;
        if n == 0 {
            continue;
        }
        *erasure.removed.entry(format!("table {}", key.path())).or_default() += n;
        if let TableKey::Examples(dataset) = &key {
            note_erased(ctx, dataset, n).await?;
            if !erasure.datasets.contains(dataset) {
                erasure.datasets.push(dataset.clone());
            }
            // Kept at once: after a kill the rows are gone and could no longer tell which versions held them.
            let event = NewEvent::new(ctx.actor, "erasure.advanced", erasure.entity_ref());
            ctx.store.apply(event, vec![Change::put(erasure)]).await?;
        }
    }
    Ok(ids)
}

/// The version says that rows were erased from it, and carries the digest of what is left.
async fn note_erased(ctx: &Context, dataset: &DatasetRef, n: u64) -> Result<()> {
    let mut version: DatasetVersion = ctx.store.require(&dataset.to_string()).await?;
    let rows = ctx.store.tables().read_examples(dataset, None).await?;
    version.digest = loopwright_data::version::digest(&rows);
    version.n_rows = rows.len() as u64;
    let before = version.erased.as_ref().map_or(0, |erased| erased.n_rows);
    version.erased = Some(ErasedRows { n_rows: before + n, at: ctx.store.now() });
    let event = NewEvent::new(ctx.actor, "dataset_version.erased", version.entity_ref());
    let body = serde_json::json!({"n_rows": n, "digest": version.digest});
    ctx.store.apply(event.with_body(body), vec![Change::put(&version)]).await?;
    Ok(())
}

/// Every version that learned from a rewritten dataset version, or grew out of a version that did.
async fn name_models(ctx: &Context, erasure: &mut Erasure) -> Result<()> {
    let versions: Vec<ModelVersion> =
        ctx.store.list(&ListQuery { limit: u32::MAX, newest_first: false, ..Default::default() }).await?;
    let mut named: BTreeSet<ModelRef> = erasure.models.iter().cloned().collect();
    loop {
        let learned = |version: &&ModelVersion| {
            let grew = version.base.iter().chain(&version.parent).any(|from| named.contains(from));
            !named.contains(&version.model)
                && (grew || version.dataset.as_ref().is_some_and(|dataset| erasure.datasets.contains(dataset)))
        };
        let more: Vec<ModelRef> = versions.iter().filter(learned).map(|version| version.model.clone()).collect();
        if more.is_empty() {
            break;
        }
        named.extend(more);
    }
    // A replacement that was trained meanwhile did not learn from the rows.
    named.retain(|model| erasure.retrained.as_ref() != Some(model));
    erasure.models = named.into_iter().collect();
    Ok(())
}

/// Explanations of the person's messages, and those that show one of the person's rows.
async fn remove_explanations(
    ctx: &Context,
    erasure: &mut Erasure,
    rows: &BTreeSet<RowId>,
    names: &Needles,
) -> Result<()> {
    let all: Vec<Explanation> = ctx.store.list(&ListQuery { limit: u32::MAX, ..Default::default() }).await?;
    let query = TraceQuery { subject: Some(erasure.subject.clone()), limit: u32::MAX, ..Default::default() };
    let traces: BTreeSet<_> = ctx.store.traces(&query).await?.into_iter().map(|trace| trace.id).collect();
    let shows = |it: &&Explanation| {
        it.trace.as_ref().is_some_and(|trace| traces.contains(trace))
            || it.nearest.iter().any(|near| rows.contains(&near.row_id) || names.are_in_text(&near.text))
            || names.are_in_text(&it.input)
    };
    let gone: Vec<EntityRef> = all.iter().filter(shows).map(Entity::entity_ref).collect();
    if gone.is_empty() {
        return Ok(());
    }
    *erasure.removed.entry("explanations".into()).or_default() += gone.len() as u64;
    let event = NewEvent::new(ctx.actor, "explanations.erased", erasure.entity_ref());
    ctx.store.apply(event, gone.into_iter().map(Change::Delete).collect()).await?;
    Ok(())
}

/// Results of steps that quote the person: such a step is run again when it is asked for.
async fn forget_steps(ctx: &Context, erasure: &mut Erasure, names: &Needles) -> Result<()> {
    let steps: Vec<Step> = ctx.store.list(&ListQuery { limit: u32::MAX, ..Default::default() }).await?;
    let quotes = |step: &&Step| step.state == StepState::Done && names.are_in_text(&step.output.to_string());
    let gone: Vec<EntityRef> = steps.iter().filter(quotes).map(Entity::entity_ref).collect();
    if gone.is_empty() {
        return Ok(());
    }
    *erasure.removed.entry("results of steps".into()).or_default() += gone.len() as u64;
    let event = NewEvent::new(ctx.actor, "steps.forgotten", erasure.entity_ref());
    ctx.store.apply(event, gone.into_iter().map(Change::Delete).collect()).await?;
    Ok(())
}

/// Step 4: retires the named models and deletes their files, once none of them answers a route.
pub async fn retire_models(ctx: &Context, erasure: &Erasure) -> Result<()> {
    let routes: Vec<Route> = ctx.store.list(&ListQuery { limit: u32::MAX, ..Default::default() }).await?;
    let served = |model: &ModelRef| routes.iter().any(|route| route.variants.iter().any(|v| v.model == *model));
    if let Some(model) = erasure.models.iter().find(|model| served(model)) {
        return Err(Error::user(format!("`{model}` learned from the erased rows and still answers"))
            .hint("let `loopwright work` finish the queued retraining, or make another version live with `loopwright promote`"));
    }
    let mut changes = Vec::new();
    for model in &erasure.models {
        let mut version: ModelVersion = ctx.store.require(&model.to_string()).await?;
        let own = [ObjectKey::ModelDir { model: model.clone() }, ObjectKey::PackageDir { model: model.clone() }];
        let checkpoints = version.run.iter().map(|run| ObjectKey::CheckpointDir { run: run.clone() });
        for key in own.into_iter().chain(checkpoints) {
            ctx.store.objects().delete_prefix(&key).await?;
        }
        version.state = ModelState::Retired;
        version.state_reason = Some(format!("it learned from rows that {} removed; its files are deleted", erasure.id));
        changes.push(Change::put(&version));
    }
    let event = NewEvent::new(ctx.actor, "model_versions.retired", erasure.entity_ref());
    ctx.store.apply(event.with_body(serde_json::json!({"models": erasure.models})), changes).await?;
    Ok(())
}

/// What was left of unfinished runs whose rows have changed since: nothing can go on from there, and it may hold, as
/// weights or as numbers of tokens, what was in those rows.
async fn remove_stale_checkpoints(ctx: &Context) -> Result<()> {
    let runs: Vec<Run> = ctx.store.list(&ListQuery { limit: u32::MAX, ..Default::default() }).await?;
    for run in runs.into_iter().filter(|run| run.model.is_none()) {
        let dataset: Option<DatasetVersion> = ctx.store.get(&run.dataset.to_string()).await?;
        let then = run.environment.get("dataset_digest").map(String::as_str);
        if dataset.is_none_or(|dataset| then != Some(dataset.digest.as_str())) {
            ctx.store.objects().delete_prefix(&ObjectKey::CheckpointDir { run: run.id }).await?;
        }
    }
    Ok(())
}

/// Steps 4 and 5 for an erasure whose replacement, if one was needed, is live. Returns it with its receipt.
pub async fn close(ctx: &Context, id: &ErasureId) -> Result<Erasure> {
    let mut erasure: Erasure = ctx.store.require(id.as_str()).await?;
    if erasure.state == ErasureState::Done {
        return Ok(erasure);
    }
    if !erasure.models.is_empty() && erasure.retrained.is_none() {
        return Err(
            Error::user(format!("{id} waits for a model trained without the rows")).hint("run `loopwright work`")
        );
    }
    retire_models(ctx, &erasure).await?;
    remove_stale_checkpoints(ctx).await?;
    ctx.store.erase_free_pages().await?;
    if let Some(strings) = sealed::read(ctx, id)? {
        let needles = Needles::new(strings)?;
        erasure.n_strings = needles.len() as u64;
        let report = scan(ctx, needles).await?;
        if let Some(place) = report.hits.first() {
            return Err(Error::user(format!(
                "{id}: the closing scan still finds the person in {} place(s), first in {place}",
                report.hits.len()
            ))
            .hint("remove what we do not own there (a copy you made?), then run the same command again"));
        }
        erasure.n_files_scanned = report.n_files;
        erasure.n_bytes_scanned = report.n_bytes;
        let event = NewEvent::new(ctx.actor, "erasure.scanned", erasure.entity_ref());
        let body = serde_json::json!({"n_files": report.n_files, "n_bytes": report.n_bytes});
        ctx.store.apply(event.with_body(body), vec![Change::put(&erasure)]).await?;
        sealed::remove(ctx, id)?;
    }
    sign_receipt(ctx, erasure).await
}

async fn sign_receipt(ctx: &Context, mut erasure: Erasure) -> Result<Erasure> {
    erasure.state = ErasureState::Done;
    erasure.done_at = Some(ctx.store.now());
    let statement = serde_json::json!({
        "erasure": erasure,
        "says": "every file under the project folder was read, compressed contents unpacked, and none of the person's strings was found",
        "event_log_head": ctx.store.last_event().await?.map(|event| event.hash),
    });
    let bytes = format!("{statement:#}\n").into_bytes();
    let key = signing_key(&ctx.store)?;
    let name = erasure.id.to_string();
    let signed = in_background(move || {
        let bundle = sign_bytes(&name, &bytes, &key);
        let document =
            serde_json::json!({"receipt": statement, "public_key": key.public().to_pem(), "signature": bundle});
        serde_json::to_vec_pretty(&document).map_err(|error| Error::bug("failed to write a receipt").because(error))
    })
    .await?;
    erasure.receipt = Some(Digest::of(&signed));
    ctx.store.objects().put(&ObjectKey::Receipt { erasure: erasure.id.clone() }, signed.into()).await?;
    let event = NewEvent::new(ctx.actor, "erasure.done", erasure.entity_ref());
    ctx.store
        .apply(event.with_body(serde_json::json!({"receipt": erasure.receipt})), vec![Change::put(&erasure)])
        .await?;
    Ok(erasure)
}

fn remove_file(path: &std::path::Path) -> Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).outside(|| format!("failed to delete `{}`", path.display()))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        progress::Silent,
        project::{DEFAULT_FILE, Project},
    };
    use loopwright_types::{Timestamp, dataset::DataCard, id::RunId};
    use std::sync::Arc;

    #[tokio::test]
    async fn what_nothing_goes_on_from_is_removed_and_a_run_under_way_keeps_its_checkpoints() {
        let dir = tempfile::tempdir().unwrap();
        let project = Project::resolve(DEFAULT_FILE, dir.path()).unwrap();
        let ctx = Context::open(project, Arc::new(Silent), "test").await.unwrap();
        let version = |name: &str| DatasetVersion {
            dataset: DatasetRef::new(name, 1),
            digest: Digest::of(b"the rows as they are"),
            n_rows: 1,
            parent: None,
            card: DataCard::default(),
            seed: 1,
            created_at: Timestamp(0),
            recipe: serde_json::Value::Null,
            erased: None,
        };
        let run = |id: &str, dataset: &str, digest: &Digest| Run {
            id: RunId::new(id),
            dataset: DatasetRef::new(dataset, 1),
            environment: BTreeMap::from([("dataset_digest".to_string(), digest.to_string())]),
            ..crate::jobs::train::tests::run()
        };
        let (now, before) = (version("a").digest, Digest::of(b"the rows before an erasure"));
        let runs = [run("run_goes_on", "a", &now), run("run_stale", "a", &before), run("run_lost", "b", &now)];
        let mut changes = vec![Change::put(&version("a"))];
        changes.extend(runs.iter().map(Change::put));
        ctx.store.apply(NewEvent::new("test", "test", runs[0].entity_ref()), changes).await.unwrap();
        let folder =
            |run: &Run| ctx.store.objects().local_dir(&ObjectKey::CheckpointDir { run: run.id.clone() }).unwrap();
        runs.iter().for_each(|run| std::fs::create_dir_all(folder(run).join("recipe")).unwrap());
        remove_stale_checkpoints(&ctx).await.unwrap();
        assert_eq!(runs.each_ref().map(|run| folder(run).exists()), [true, false, false]);
    }
}
