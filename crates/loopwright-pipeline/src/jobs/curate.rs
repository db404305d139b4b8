//! Curate: raw rows to a dataset version, and corrections on top of it to the next.

use super::{collect::in_background, customers};
use crate::{
    context::Context,
    error::{Doing, Error, Result},
    project::LoopSettings,
};
use loopwright_data::{
    clean::{language, length, split},
    dedup::NearSettings,
    extend::{Correction, extend},
    recipe::{CurateContext, Curated, Recipe, StepSettings, curate},
    version,
};
use loopwright_eval::answer;
use loopwright_store::{Change, FeedbackQuery, ListQuery, TableKey, TraceQuery};
use loopwright_types::{
    DatasetRef, DatasetVersion, Entity, EntityRef, Example,
    dataset::Origin,
    event::NewEvent,
    id::{SubjectId, TraceId},
    lineage::Edge,
    trace::Trace,
};
use std::collections::{BTreeMap, BTreeSet};

/// The newest version of the loop's dataset.
pub async fn newest(ctx: &Context, it: &LoopSettings) -> Result<Option<DatasetVersion>> {
    let prefix = format!("{}@", it.name);
    let all: Vec<DatasetVersion> =
        ctx.store.list(&ListQuery { id_prefix: Some(prefix), limit: u32::MAX, ..Default::default() }).await?;
    Ok(all.into_iter().filter(|v| v.dataset.name == it.name).max_by_key(|v| v.dataset.version))
}

/// The newest version, which must be there.
pub async fn require_newest(ctx: &Context, it: &LoopSettings) -> Result<DatasetVersion> {
    let missing =
        || Error::user(format!("dataset `{}` has no version yet", it.name)).hint("run `loopwright data curate`");
    newest(ctx, it).await?.ok_or_else(missing)
}

/// Curates the raw rows, and the corrections given so far on top, into a version. The same rows give the same version
/// back instead of a new number.
pub async fn from_raw(ctx: &Context, it: &LoopSettings) -> Result<DatasetVersion> {
    let rows = ctx.store.tables().read_source_rows(&TableKey::Raw { dataset: it.name.clone() }).await?;
    let parent = newest(ctx, it).await?;
    let people = People::read(ctx).await?;
    let (recipe, seed) = (recipe_of(it), ctx.seed_for("curate"));
    let redactor = ctx.redactor.clone();
    // Which corrections there are does not depend on the rows of the version: none of them is a correction yet.
    let corrections = new_corrections(ctx, it, &[]).await?;
    let mut curated = in_background(move || {
        let known = |subject: &SubjectId| people.identifiers.get(subject).cloned().unwrap_or_default();
        let context = CurateContext { redactor: &redactor, known: &known, opted_out: &people.opted_out, seed };
        let curated = curate(rows, &recipe, &context).doing(|| "failed to curate".into())?;
        if corrections.is_empty() {
            return Ok(curated);
        }
        let extended = extend(&curated.examples, corrections, &recipe, &context);
        Ok(curated.then(extended.doing(|| "failed to curate the corrections".into())?))
    })
    .await?;
    curated.card.n_rejected =
        ctx.store.tables().read_rejected(&TableKey::Rejected { dataset: it.name.clone() }).await?.len() as u64;
    publish(ctx, it, curated, parent).await
}

/// Puts the corrections that came in since the newest version on top of it, and leaves out who opted out meanwhile.
pub async fn with_corrections(ctx: &Context, it: &LoopSettings) -> Result<DatasetVersion> {
    let parent = require_newest(ctx, it).await?;
    let base = ctx.store.tables().read_examples(&parent.dataset, None).await?;
    let corrections = new_corrections(ctx, it, &base).await?;
    let people = People::read(ctx).await?;
    let (recipe, seed) = (recipe_of(it), ctx.seed_for("curate"));
    let redactor = ctx.redactor.clone();
    let curated = in_background(move || {
        let known = |subject: &SubjectId| people.identifiers.get(subject).cloned().unwrap_or_default();
        let context = CurateContext { redactor: &redactor, known: &known, opted_out: &people.opted_out, seed };
        extend(&base, corrections, &recipe, &context).doing(|| "failed to curate the corrections".into())
    })
    .await?;
    publish(ctx, it, curated, Some(parent)).await
}

/// Corrections on this loop's traffic that no row of `base` holds yet. A confirmed answer counts as its own correction.
pub async fn new_corrections(ctx: &Context, it: &LoopSettings, base: &[Example]) -> Result<Vec<Correction>> {
    let used: BTreeSet<&TraceId> = base
        .iter()
        .filter_map(|row| match &row.origin {
            Origin::Correction { trace } => Some(trace),
            Origin::Source => None,
        })
        .collect();
    let query = TraceQuery { route: Some(it.name.clone()), limit: u32::MAX, newest_first: false, ..Default::default() };
    let traces: BTreeMap<TraceId, Trace> =
        ctx.store.traces(&query).await?.into_iter().map(|t| (t.id.clone(), t)).collect();
    let mut by_trace: BTreeMap<TraceId, Correction> = BTreeMap::new();
    for said in ctx.store.feedback(&FeedbackQuery { limit: u32::MAX, ..Default::default() }).await? {
        let Some(trace) = traces.get(&said.trace).filter(|trace| !used.contains(&trace.id)) else { continue };
        let confirmed = || said.thumb_up.filter(|up| *up).and_then(|_| answer::parse(&trace.output).ok());
        if let Some(label) = said.correction.clone().or_else(confirmed) {
            let correction = Correction {
                trace: trace.id.clone(),
                text: trace.input.clone(),
                label,
                subject: trace.subject.clone(),
                group: None,
                at: said.at,
            };
            by_trace.insert(trace.id.clone(), correction);
        }
    }
    // In the order of the requests: a map by random ids would shuffle them.
    let mut corrections: Vec<Correction> = by_trace.into_values().collect();
    corrections.sort_by_key(|correction| (traces[&correction.trace].at, correction.trace.clone()));
    Ok(corrections)
}

/// Writes tables and record of a version, unless the newest one holds just the same rows.
async fn publish(
    ctx: &Context,
    it: &LoopSettings,
    curated: Curated,
    parent: Option<DatasetVersion>,
) -> Result<DatasetVersion> {
    if curated.examples.is_empty() {
        return Err(Error::user(format!("curation left no row of `{}`", it.name))
            .hint("`loopwright data dropped` shows why; thresholds are in `[data.*]` of the project file"));
    }
    let digest = version::digest(&curated.examples);
    if let Some(parent) = parent.as_ref().filter(|parent| parent.digest == digest) {
        return Ok(parent.clone());
    }
    let dataset = DatasetRef::new(&*it.name, parent.as_ref().map_or(1, |parent| parent.dataset.version + 1));
    ctx.store.tables().write_dropped(&dataset, &curated.dropped).await?;
    ctx.store.tables().write_examples(&dataset, &curated.examples).await?;
    let version = DatasetVersion {
        dataset: dataset.clone(),
        digest,
        n_rows: curated.examples.len() as u64,
        parent: parent.map(|parent| parent.dataset),
        card: curated.card,
        seed: ctx.project.project.seed,
        created_at: ctx.store.now(),
        erased: None,
    };
    let body =
        serde_json::json!({"digest": version.digest, "n_rows": version.n_rows, "n_dropped": curated.dropped.len()});
    let event = NewEvent::new(ctx.actor, "dataset_version.created", version.entity_ref()).with_body(body);
    let mut changes = vec![Change::put(&version)];
    changes.extend(
        version.parent.iter().map(|parent| Change::Link(Edge::new(parent.into(), "extended", (&dataset).into()))),
    );
    let subjects: BTreeSet<&SubjectId> = curated.examples.iter().filter_map(|row| row.subject.as_ref()).collect();
    let contributed = |subject: &&SubjectId| {
        Change::Link(Edge::new(EntityRef::new("subject", subject.as_str()), "contributed", (&dataset).into()))
    };
    changes.extend(subjects.iter().map(contributed));
    ctx.store.apply(event, changes).await?;
    Ok(version)
}

struct People {
    identifiers: BTreeMap<SubjectId, Vec<String>>,
    opted_out: BTreeSet<SubjectId>,
}

impl People {
    async fn read(ctx: &Context) -> Result<Self> {
        let mut opted_out = customers::opted_out(ctx).await?;
        opted_out.extend(customers::erased(ctx).await?);
        Ok(Self { identifiers: customers::identifiers(ctx).await?, opted_out })
    }
}

fn recipe_of(it: &LoopSettings) -> Recipe {
    let mut recipe = Recipe::default();
    for step in &mut recipe.steps {
        match step {
            StepSettings::Length(length) => {
                *length = length::Settings {
                    chars_min: it.data.min_chars,
                    chars_max: it.data.max_chars,
                    ..Default::default()
                };
            }
            StepSettings::Language(language) => {
                *language = language::Settings { keep: it.data.languages.clone(), ..Default::default() };
            }
            StepSettings::NearDedup(near) => {
                *near = NearSettings { threshold: it.data.near_duplicate_similarity, ..Default::default() };
            }
            StepSettings::Split(split) => {
                let (validation, test) = (it.data.validation_share, it.data.test_share);
                *split = split::Settings { train: 1.0 - validation - test, validation, test, ..Default::default() };
            }
            _ => {}
        }
    }
    recipe
}
