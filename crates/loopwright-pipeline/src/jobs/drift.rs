//! Drift: recent inputs against the rows that were held out when the model was made.

use super::{collect::in_background, curate, train::dataset_of};
use crate::{
    context::Context,
    error::{Doing, Error, Result},
    project::LoopSettings,
};
use loopwright_observe::{
    budget::alpha_for,
    drift::{DriftSettings, check as two_sample},
};
use loopwright_store::{Change, ListQuery, TraceQuery};
use loopwright_types::{
    DatasetRef, Entity, EntityRef, Split, drift::DriftCheck, event::NewEvent, id::DriftCheckId, lineage::Edge,
    model::ModelVersion,
};

/// Compares the newest inputs of the loop's route (of one replay, if a tag is given) with the validation rows of the
/// dataset that the live model learned from: rows that nobody chose to look at, cleaned and masked in the same way.
pub async fn check(ctx: &Context, it: &LoopSettings, tag: Option<&str>) -> Result<DriftCheck> {
    let reference = reference(ctx, it).await?;
    let mut before: Vec<String> = texts(ctx, &reference, Split::Validation).await?;
    let query = TraceQuery {
        route: Some(it.name.clone()),
        tag: tag.map(str::to_string),
        limit: u32::try_from(it.monitor.max_rows).unwrap_or(u32::MAX),
        ..Default::default()
    };
    let now: Vec<String> = ctx.store.traces(&query).await?.into_iter().map(|trace| ctx.prepare(&trace.input)).collect();
    if now.len() < it.monitor.min_rows {
        return Err(Error::user(format!(
            "{} inputs are too few for a check: `min_rows` is {}",
            now.len(),
            it.monitor.min_rows
        ))
        .hint("let more traffic come in, or lower `min_rows` in `[monitor.*]`"));
    }
    before.truncate(it.monitor.max_rows);
    let alpha = alpha_for(it.monitor.false_alarms_per_month, it.monitor.checks_per_month)
        .doing(|| format!("the false-alarm budget of `[monitor.{}]` cannot be kept", it.name))?;
    let settings = DriftSettings {
        alpha,
        n_permutations: it.monitor.n_permutations,
        rows_max: it.monitor.max_rows,
        seed: ctx.seed_for("drift"),
        ..Default::default()
    };
    let result =
        in_background(move || two_sample(&before, &now, &settings).doing(|| "failed to compare the inputs".into()))
            .await?;
    let window = tag.map_or_else(|| format!("newest {} requests", result.n_window), |tag| format!("replay {tag}"));
    let id = DriftCheckId::new(ctx.store.new_id("drift"));
    let check = result.record(id, &it.name, reference.clone(), &window, ctx.store.now());
    let about = check.entity_ref();
    let body =
        serde_json::json!({"p_value": check.p_value, "alpha": alpha, "alarm": check.alarm, "n_window": check.n_window});
    let kind = if check.alarm { "drift.alarm" } else { "drift.quiet" };
    let link = Change::Link(Edge::new(EntityRef::from(&reference), "compared", about.clone()));
    ctx.store.apply(NewEvent::new(ctx.actor, kind, about).with_body(body), vec![Change::put(&check), link]).await?;
    Ok(check)
}

/// The newest check of the loop's route.
pub async fn newest(ctx: &Context, it: &LoopSettings) -> Result<Option<DriftCheck>> {
    let all: Vec<DriftCheck> = ctx.store.list(&ListQuery { limit: u32::MAX, ..Default::default() }).await?;
    Ok(all.into_iter().filter(|check| check.route == it.name).max_by_key(|check| check.at))
}

/// The dataset of the live model, or the newest one while nothing is live.
async fn reference(ctx: &Context, it: &LoopSettings) -> Result<DatasetRef> {
    if let Some(live) = super::deploy::live(ctx, it).await? {
        let version: ModelVersion = ctx.store.require(&live.to_string()).await?;
        return Ok(dataset_of(&version)?.clone());
    }
    Ok(curate::require_newest(ctx, it).await?.dataset)
}

async fn texts(ctx: &Context, dataset: &DatasetRef, split: Split) -> Result<Vec<String>> {
    let rows = ctx.store.tables().read_examples(dataset, Some(split)).await?;
    Ok(rows.into_iter().map(|row| row.text).collect())
}
