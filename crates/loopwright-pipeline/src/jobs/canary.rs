//! Canary: what feedback says of both variants, and the decision of the always-valid test.

use super::deploy;
use crate::{context::Context, error::Result, project::LoopSettings};
use loopwright_deploy::rollout::{self, Decision};
use loopwright_eval::{
    answer,
    sequential::{Arm, SequentialVerdict, decide, evidence},
};
use loopwright_store::{FeedbackQuery, TraceQuery};
use loopwright_types::{
    deployment::{Evidence, Rollout, RolloutState, Route},
    id::TraceId,
    trace::Trace,
};
use std::collections::BTreeMap;

/// Confidence level of the accuracies shown beside the test.
const LEVEL: f64 = 0.95;

/// Looks once at the running rollout of a loop and carries out what follows. Looking more often costs nothing: the test's
/// error rate holds however often one looks.
pub async fn observe(ctx: &Context, it: &LoopSettings) -> Result<Option<Rollout>> {
    let Some(route) = deploy::route(ctx, it).await? else { return Ok(None) };
    let Some(running) = rollout::running(&route).cloned() else { return Ok(route.rollout) };
    let evidence = gather(ctx, &route, &running).await?;
    let decision = match decide(&evidence, running.alpha) {
        SequentialVerdict::Promote => Decision::Promote,
        SequentialVerdict::RollBack => Decision::RollBack,
        SequentialVerdict::Continue { .. } => Decision::Continue,
    };
    if decision == Decision::Continue && evidence == running.evidence {
        return Ok(Some(running));
    }
    Ok(deploy::decide(ctx, &route, evidence, decision).await?.rollout)
}

/// Ends a rollout whose traffic has ended before a decision: the live version stays.
pub async fn stop(ctx: &Context, it: &LoopSettings) -> Result<Option<Rollout>> {
    let after = observe(ctx, it).await?;
    match after {
        Some(running) if running.state == RolloutState::Running => {
            let route = deploy::require_route(ctx, it).await?;
            Ok(deploy::decide(ctx, &route, running.evidence, Decision::Stop).await?.rollout)
        }
        decided => Ok(decided),
    }
}

/// The outcomes since the rollout began, in the order in which feedback came: what was seen once stays where it was.
/// Only the first word on a trace counts, for the same reason.
async fn gather(ctx: &Context, route: &Route, running: &Rollout) -> Result<Evidence> {
    let query = TraceQuery {
        route: Some(route.name.clone()),
        since: Some(running.started_at),
        limit: u32::MAX,
        ..Default::default()
    };
    let is_of_rollout = |trace: &Trace| trace.model == running.candidate || trace.model == running.live;
    let mut traces: BTreeMap<TraceId, Trace> = BTreeMap::new();
    traces.extend(
        ctx.store.traces(&query).await?.into_iter().filter(is_of_rollout).map(|trace| (trace.id.clone(), trace)),
    );
    let mut outcomes: Vec<(Arm, bool)> = Vec::new();
    for said in ctx.store.feedback(&FeedbackQuery { limit: u32::MAX, ..Default::default() }).await? {
        let Some(trace) = traces.get(&said.trace) else { continue };
        let label = answer::parse(&trace.output).ok();
        if let (Some(arm), Some(right)) = (Arm::of_variant(&trace.variant), said.says_right(label.as_deref())) {
            outcomes.push((arm, right));
            traces.remove(&said.trace);
        }
    }
    Ok(evidence(&outcomes, LEVEL))
}
