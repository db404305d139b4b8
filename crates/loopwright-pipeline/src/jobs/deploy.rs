//! Deploy: a packaged version behind its route, at once or as a canary; promotion and rollback by hand.

use crate::{
    context::Context,
    error::{Doing, Error, Result},
    project::LoopSettings,
};
use loopwright_deploy::rollout::{self, Decision};
use loopwright_store::Change;
use loopwright_types::{
    Entity, EntityRef, ModelRef, ModelVersion,
    deployment::{Evidence, LIVE, Package, Route},
    event::NewEvent,
    lineage::Edge,
    model::ModelState,
};

/// The route of a loop, if it was ever deployed.
pub async fn route(ctx: &Context, it: &LoopSettings) -> Result<Option<Route>> {
    Ok(ctx.store.get(&it.name).await?)
}

/// The version that answers the loop's route by default.
pub async fn live(ctx: &Context, it: &LoopSettings) -> Result<Option<ModelRef>> {
    let route = route(ctx, it).await?;
    Ok(route
        .and_then(|route| route.variants.into_iter().find(|variant| variant.name == LIVE))
        .map(|variant| variant.model))
}

/// Puts a version behind the loop's route for all traffic.
pub async fn deploy(ctx: &Context, it: &LoopSettings, model: &ModelRef) -> Result<Route> {
    require_packaged(ctx, model).await?;
    let now = ctx.store.now();
    let next = match route(ctx, it).await? {
        None => rollout::stable(&it.name, model.clone(), now),
        Some(before) if before.rollout.is_none() && before.variants.iter().all(|v| v.model == *model) => {
            return Ok(before);
        }
        Some(before) => {
            rollout::replace_live(&before, model, now).doing(|| format!("failed to make `{model}` live"))?
        }
    };
    write(ctx, &next, "route.deployed", model).await?;
    Ok(next)
}

/// Gives a version a share of the route's traffic, beside the live one.
pub async fn start_canary(ctx: &Context, it: &LoopSettings, candidate: &ModelRef) -> Result<Route> {
    require_packaged(ctx, candidate).await?;
    let before = require_route(ctx, it).await?;
    if let Some(running) = rollout::running(&before)
        && running.candidate == *candidate
    {
        return Ok(before);
    }
    let (share, alpha) = (it.route.canary_share_percent, it.route.canary_alpha);
    let next = rollout::start(&before, candidate, share, alpha, ctx.store.now())
        .doing(|| format!("failed to start a canary of `{candidate}` on route `{}`", it.name))?;
    write(ctx, &next, "rollout.started", candidate).await?;
    Ok(next)
}

/// Carries out a decision about the running rollout.
pub async fn decide(ctx: &Context, before: &Route, evidence: Evidence, decision: Decision) -> Result<Route> {
    let candidate = rollout::running(before).map(|running| running.candidate.clone());
    let candidate =
        candidate.ok_or_else(|| Error::user(format!("route `{}` has no rollout under way", before.name)))?;
    let next = rollout::apply(before, evidence, decision, ctx.store.now())
        .doing(|| format!("failed to decide the rollout on route `{}`", before.name))?;
    let kind = match decision {
        Decision::Continue => "rollout.observed",
        Decision::Promote => "rollout.promoted",
        Decision::RollBack => "rollout.rolled_back",
        Decision::Stop => "rollout.ended",
    };
    write(ctx, &next, kind, &candidate).await?;
    Ok(next)
}

/// Makes a version live by a person's decision, whatever the canary says.
pub async fn promote(ctx: &Context, it: &LoopSettings, model: Option<&ModelRef>) -> Result<Route> {
    let before = require_route(ctx, it).await?;
    let model = match (model, rollout::running(&before)) {
        (Some(model), _) => model.clone(),
        (None, Some(running)) => running.candidate.clone(),
        (None, None) => {
            return Err(Error::user(format!("route `{}` has no canary to promote", it.name))
                .hint("name a version: `loopwright promote support@2`"));
        }
    };
    deploy(ctx, it, &model).await
}

/// Goes back: ends a running canary, or returns to the version that was live before.
pub async fn roll_back(ctx: &Context, it: &LoopSettings) -> Result<Route> {
    let before = require_route(ctx, it).await?;
    if let Some(running) = rollout::running(&before) {
        let evidence = running.evidence.clone();
        return decide(ctx, &before, evidence, Decision::RollBack).await;
    }
    let live = rollout::live(&before).doing(|| format!("route `{}` has no live variant", it.name))?.model.clone();
    let version: ModelVersion = ctx.store.require(&live.to_string()).await?;
    let earlier = match version.parent {
        Some(parent) if ctx.store.get::<Package>(&parent.to_string()).await?.is_some() => parent,
        _ => {
            return Err(Error::user(format!("`{live}` has no packaged predecessor to go back to"))
                .hint("name a version with `loopwright promote NAME@VERSION`"));
        }
    };
    deploy(ctx, it, &earlier).await
}

/// The loop's route, which must be there.
pub async fn require_route(ctx: &Context, it: &LoopSettings) -> Result<Route> {
    let missing = || Error::user(format!("route `{}` does not exist yet", it.name)).hint("run `loopwright deploy`");
    route(ctx, it).await?.ok_or_else(missing)
}

async fn require_packaged(ctx: &Context, model: &ModelRef) -> Result<()> {
    let version: ModelVersion = ctx.store.require(&model.to_string()).await?;
    if version.state == ModelState::Retired {
        let why = version.state_reason.unwrap_or_default();
        return Err(Error::user(format!("`{model}` is retired: {why}")));
    }
    if ctx.store.get::<Package>(&model.to_string()).await?.is_none() {
        return Err(Error::user(format!("`{model}` has no package"))
            .hint("run `loopwright package` first: only signed packages are served"));
    }
    Ok(())
}

async fn write(ctx: &Context, route: &Route, kind: &str, model: &ModelRef) -> Result<()> {
    let shares: Vec<_> = route
        .variants
        .iter()
        .map(|v| serde_json::json!({"model": v.model, "weight_percent": v.weight_percent}))
        .collect();
    let event = NewEvent::new(ctx.actor, kind, route.entity_ref())
        .with_body(serde_json::json!({"model": model, "variants": shares}));
    let link = Edge::new(EntityRef::new("package", model.to_string()), "served", route.entity_ref());
    ctx.store.apply(event, vec![Change::put(route), Change::Link(link)]).await?;
    Ok(())
}
