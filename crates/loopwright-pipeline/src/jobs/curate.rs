//! Curate: raw rows to a dataset version, and corrections on top of it to the next.

use super::{
    flowing::{self, Base},
    recipe,
};
use crate::{
    context::Context,
    error::{Doing, Error, Result},
    project::LoopSettings,
};
use futures::TryStreamExt;
use loopwright_data::{
    expectations::{self, Broken, Expectations},
    extend::Correction,
    recipe::Curated,
    version,
};
use loopwright_eval::answer;
use loopwright_store::{Change, FeedbackQuery, ListQuery, TableKey, TraceQuery};
use loopwright_types::{
    DatasetRef, DatasetVersion, Digest, Entity, EntityRef, Example,
    dataset::{DataCard, Origin},
    event::NewEvent,
    id::{SubjectId, TraceId},
    lineage::Edge,
    trace::Trace,
};
use std::collections::{BTreeMap, BTreeSet};

/// Failing rows named for each expectation that does not hold.
const FAILING_SHOWN: usize = 5;

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
    // Which corrections there are does not depend on the rows of the version: none of them is a correction yet.
    let corrections = new_corrections(ctx, it, &BTreeSet::new()).await?;
    let n_rejected = n_rejected(ctx, it).await?;
    streamed(ctx, it, Base::Raw, corrections, n_rejected).await
}

/// Puts the corrections that came in since the newest version on top of it, and leaves out who opted out meanwhile.
pub async fn with_corrections(ctx: &Context, it: &LoopSettings) -> Result<DatasetVersion> {
    let newest = require_newest(ctx, it).await?.dataset;
    let corrections = new_corrections(ctx, it, &corrected(ctx, &newest).await?).await?;
    streamed(ctx, it, Base::Version(newest), corrections, 0).await
}

/// Any number of rows, in bounded memory.
async fn streamed(
    ctx: &Context,
    it: &LoopSettings,
    base: Base,
    corrections: Vec<Correction>,
    n_rejected: u64,
) -> Result<DatasetVersion> {
    let parent = newest(ctx, it).await?;
    let dataset = next_ref(it, parent.as_ref());
    let written = flowing::curate(ctx, it, base, corrections, &dataset).await?;
    let (flowed, subjects) = (written.flowed.clone(), written.subjects.clone());
    if flowed.n_examples == 0 {
        written.forget().await?;
        return Err(nothing_left(it));
    }
    if let Some(parent) = parent.as_ref().filter(|parent| parent.digest == flowed.digest) {
        written.forget().await?;
        flowing::clear(ctx, it)?;
        return Ok(parent.clone());
    }
    if let Err(broken) = hold(&dataset, &written.broken) {
        written.forget().await?;
        return Err(broken);
    }
    written.keep().await?;
    let card = DataCard { n_rejected, ..flowed.card };
    let made = Made { dataset, digest: flowed.digest, n_rows: flowed.n_examples, card, n_dropped: flowed.n_dropped };
    let version = record(ctx, made, Basis::newest(it, parent)?, subjects).await?;
    flowing::clear(ctx, it)?;
    Ok(version)
}

async fn n_rejected(ctx: &Context, it: &LoopSettings) -> Result<u64> {
    let key = TableKey::Rejected { dataset: it.name.clone() };
    Ok(ctx.store.tables().count_rows(&key).await?)
}

/// The answers whose corrections are rows of a version.
pub async fn corrected(ctx: &Context, version: &DatasetRef) -> Result<BTreeSet<TraceId>> {
    let mut traces = BTreeSet::new();
    let mut batches = std::pin::pin!(ctx.store.tables().stream_examples(version).await?);
    while let Some(rows) = batches.try_next().await? {
        traces.extend(rows.into_iter().filter_map(|row| match row.origin {
            Origin::Correction { trace } => Some(trace),
            Origin::Source | Origin::Augmented { .. } => None,
        }));
    }
    Ok(traces)
}

/// Corrections on this loop's traffic that are not `used` yet. A confirmed answer counts as its own correction.
pub async fn new_corrections(ctx: &Context, it: &LoopSettings, used: &BTreeSet<TraceId>) -> Result<Vec<Correction>> {
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

/// What a version is built on.
pub(super) struct Basis {
    /// The newest version so far, after which it is numbered.
    pub newest: Option<DatasetVersion>,
    /// The version whose rows it took over.
    pub parent: Option<DatasetRef>,
    /// How it was made.
    pub recipe: serde_json::Value,
}

impl Basis {
    /// A version on top of the newest, by the recipe of the project file.
    fn newest(it: &LoopSettings, newest: Option<DatasetVersion>) -> Result<Self> {
        let recipe = serde_json::to_value(recipe::of(it)?).outside(|| "failed to write the recipe".into())?;
        let parent = newest.as_ref().map(|newest| newest.dataset.clone());
        Ok(Self { newest, parent, recipe })
    }
}

/// Writes tables and record of a version, unless the newest one holds just the same rows.
pub(super) async fn publish(
    ctx: &Context,
    it: &LoopSettings,
    curated: Curated,
    basis: Basis,
) -> Result<DatasetVersion> {
    if curated.examples.is_empty() {
        return Err(nothing_left(it));
    }
    let digest = version::digest(&curated.examples);
    if let Some(newest) = basis.newest.as_ref().filter(|newest| newest.digest == digest) {
        return Ok(newest.clone());
    }
    let dataset = next_ref(it, basis.newest.as_ref());
    expect(ctx, it, &dataset, &curated.examples)?;
    ctx.store.tables().write_dropped(&dataset, &curated.dropped).await?;
    ctx.store.tables().write_examples(&dataset, &curated.examples).await?;
    let (n_rows, n_dropped) = (curated.examples.len() as u64, curated.dropped.len() as u64);
    let subjects = curated.examples.iter().filter_map(|row| row.subject.clone()).collect();
    record(ctx, Made { dataset, digest, n_rows, card: curated.card, n_dropped }, basis, subjects).await
}

/// Refuses a version that is not what the project file expects, with the rows that fail.
fn expect(ctx: &Context, it: &LoopSettings, dataset: &DatasetRef, rows: &[Example]) -> Result<()> {
    if it.data.expectations == Expectations::default() {
        return Ok(());
    }
    let broken = expectations::check(rows, &it.data.expectations, &ctx.redactor)
        .doing(|| format!("failed to check `{dataset}`"))?;
    hold(dataset, &broken)
}

/// Refuses a version with broken expectations.
fn hold(dataset: &DatasetRef, broken: &[Broken]) -> Result<()> {
    if broken.is_empty() {
        return Ok(());
    }
    let told: Vec<String> = broken.iter().map(told).collect();
    Err(Error::user(format!(
        "`{dataset}` is not published, since {} expectation(s) do not hold:\n  {}",
        broken.len(),
        told.join("\n  ")
    ))
    .hint(
        "mend the rows or the recipe, or change `expectations` of `[data.*]`; `loopwright data why ROW` follows a row",
    ))
}

fn told(broken: &Broken) -> String {
    let row = |failing: &expectations::Failing| match &failing.row_id {
        Some(row) => format!("{row} ({})", failing.measured),
        None => failing.measured.clone(),
    };
    let rows: Vec<String> = broken.failing.iter().take(FAILING_SHOWN).map(row).collect();
    let more = if broken.n_failing > rows.len() as u64 { ", …" } else { "" };
    let Broken { expectation, expected, measured, n_failing, .. } = broken;
    format!("{expectation}: expected {expected}, measured {measured}; {n_failing} fail: {}{more}", rows.join(", "))
}

fn next_ref(it: &LoopSettings, parent: Option<&DatasetVersion>) -> DatasetRef {
    DatasetRef::new(&*it.name, parent.map_or(1, |parent| parent.dataset.version + 1))
}

fn nothing_left(it: &LoopSettings) -> Error {
    Error::user(format!("curation left no row of `{}`", it.name))
        .hint("`loopwright data why ROW` shows what each step does to a row; steps and thresholds are in `[data.*]` of the project file")
}

/// A version whose tables are there.
struct Made {
    dataset: DatasetRef,
    digest: Digest,
    n_rows: u64,
    card: DataCard,
    n_dropped: u64,
}

/// Writes the record of a version.
async fn record(ctx: &Context, made: Made, basis: Basis, subjects: BTreeSet<SubjectId>) -> Result<DatasetVersion> {
    let Made { dataset, digest, n_rows, card, n_dropped } = made;
    let version = DatasetVersion {
        dataset: dataset.clone(),
        digest,
        n_rows,
        parent: basis.parent,
        card,
        seed: ctx.project.project.seed,
        created_at: ctx.store.now(),
        recipe: basis.recipe,
        erased: None,
    };
    let body = serde_json::json!({"digest": version.digest, "n_rows": n_rows, "n_dropped": n_dropped});
    let event = NewEvent::new(ctx.actor, "dataset_version.created", version.entity_ref()).with_body(body);
    let mut changes = vec![Change::put(&version)];
    changes.extend(
        version.parent.iter().map(|parent| Change::Link(Edge::new(parent.into(), "extended", (&dataset).into()))),
    );
    let contributed = |subject: &SubjectId| {
        Change::Link(Edge::new(EntityRef::new("subject", subject.as_str()), "contributed", (&dataset).into()))
    };
    changes.extend(subjects.iter().map(contributed));
    ctx.store.apply(event, changes).await?;
    Ok(version)
}
