//! Stages 8 and 9: the later month comes, the alarm goes off, the loop turns, a canary proves the new version.

use super::{
    Walk,
    serve::{self, WATCH_1, Watched},
};
use crate::{
    error::{Error, Result},
    jobs::{
        canary, collect, curate, deploy, drift,
        judge::{Against, Suite, judge, open_rules},
        retrain::RETRAIN,
    },
    project::LoopSettings,
    reconcile,
    runner::Marks,
    work,
};
use loopwright_observe::summary::summarise;
use loopwright_store::{FeedbackQuery, ListQuery, TraceQuery};
use loopwright_types::{
    DatasetRef, DatasetVersion, ModelRef, SourceRow, Split,
    deployment::{Rollout, RolloutState},
    drift::DriftCheck,
    model::ModelVersion,
    score::{Evaluation, Interval},
    trace::Trace,
};
use serde::{Deserialize, Serialize};
use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

/// Tag of the later month's replay.
const WATCH_2: &str = "month-2";
/// Tag of the traffic that the canary shares.
const CANARY: &str = "month-2-canary";
/// Requests between two looks at the canary's evidence.
const LOOK_EVERY: usize = 24;
/// Accepted requests are in the store within this time.
const DURABLE_WITHIN: Duration = Duration::from_secs(30);

/// Silence on the first month, an alarm on the later one.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Drifted {
    /// The check of the first month's replay.
    pub first_month: DriftCheck,
    /// The later month's replay.
    pub later_replay: Watched,
    /// The check of the later month's replay.
    pub later_month: DriftCheck,
}

/// The dataset of the later month: its training rows are the traffic that is watched, its validation rows the traffic
/// that the canary shares, its test rows stay unseen to the end.
fn later(it: &LoopSettings) -> LoopSettings {
    let mut later = it.clone();
    later.name = format!("{}-later", it.name);
    later.data.sources = vec![super::create::MONTH_2.to_string()];
    later.data.validation_share = 0.3;
    later.data.test_share = 0.3;
    later
}

pub(crate) async fn drift(walk: Walk, _: Marks) -> Result<Drifted> {
    let first_month = check_once(&walk, WATCH_1).await?;
    let later = later(&walk.it);
    collect::collect(&walk.ctx, &later).await?;
    let version = curate::from_raw(&walk.ctx, &later).await?;
    let rows = rows_of(&walk, &version.dataset, Split::Train).await?;
    let later_replay = serve::replay_month(&walk, &rows, WATCH_2).await?;
    let later_month = check_once(&walk, WATCH_2).await?;
    Ok(Drifted { first_month, later_replay, later_month })
}

/// One check per replay, however often the stage is begun.
async fn check_once(walk: &Walk, tag: &str) -> Result<DriftCheck> {
    let done: Vec<DriftCheck> = walk.ctx.store.list(&ListQuery { limit: u32::MAX, ..Default::default() }).await?;
    match done.into_iter().find(|check| check.window.ends_with(&format!("replay {tag}"))) {
        Some(check) => Ok(check),
        None => drift::check(&walk.ctx, &walk.it, Some(tag)).await,
    }
}

/// The raw rows, as customers wrote them, behind the curated rows of a split.
async fn rows_of(walk: &Walk, dataset: &DatasetRef, split: Split) -> Result<Vec<SourceRow>> {
    let examples = walk.ctx.store.tables().read_examples(dataset, Some(split)).await?;
    let ids: BTreeSet<String> = examples.into_iter().map(|row| row.row_id.0).collect();
    Ok(serve::later_rows(walk).await?.into_iter().filter(|row| ids.contains(&row.row_id)).collect())
}

pub(crate) fn say_drift(walk: &Walk, it: &Drifted) {
    let p = |check: &DriftCheck| format!("p = {:.4} on {} inputs", check.p_value, check.n_window);
    walk.ctx.say(format!(
        "first month: {}, {} (one check in {:.0} may alarm on unchanged traffic)",
        word(&it.first_month),
        p(&it.first_month),
        1.0 / it.first_month.alpha
    ));
    walk.ctx.say(format!("later month: {}, {}", word(&it.later_month), p(&it.later_month)));
    let moved = it
        .later_month
        .moved
        .iter()
        .take(5)
        .map(|m| format!("`{}` {:.0}% → {:.0}%", m.term, m.reference_percent, m.window_percent));
    let moved: Vec<String> = moved.collect();
    if !moved.is_empty() {
        walk.ctx.say(format!("what moved: {}", moved.join(", ")));
    }
}

fn word(check: &DriftCheck) -> &'static str {
    if check.alarm { "ALARM" } else { "quiet" }
}

/// The loop turned by itself.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Turned {
    /// The version that was live.
    pub before: ModelRef,
    /// The version that the loop made.
    pub after: ModelRef,
    /// The rows it learned from.
    pub dataset: DatasetVersion,
    /// The gate's evaluation beside the live version.
    pub gate: Evaluation,
    /// The canary's rollout, decided.
    pub rollout: Rollout,
    /// Accuracy of the old version on the later month's unseen rows.
    pub accuracy_before: Interval,
    /// Accuracy of the new version on the same rows.
    pub accuracy_after: Interval,
    /// Is the new one better beyond the intervals?
    pub is_better: bool,
}

pub(crate) async fn retrain(walk: Walk, marks: Marks) -> Result<Turned> {
    let (ctx, it) = (&walk.ctx, &walk.it);
    // The live version before the turn: after a kill the route may already have changed.
    let before: ModelRef = match marks.read().await? {
        Some(before) => before,
        None => {
            let live = deploy::live(ctx, it).await?.ok_or_else(|| Error::bug("nothing is live"))?;
            marks.write(&live).await?;
            live
        }
    };
    reconcile::retrain_after_alarm(ctx, it).await?;
    work::until_idle(ctx).await?;
    let after = newest_child(&walk, &before).await?;
    let gate = gate_of(&walk, &after).await?;
    let route = deploy::require_route(ctx, it).await?;
    let rollout = route.rollout.ok_or_else(|| {
        Error::user(format!("the gate did not let `{after}` through ({})", open_rules(&gate)))
            .hint("its report is on the model's page")
    })?;
    let rollout = run_canary(&walk, &after, rollout).await?;
    let later = later(it);
    let dataset = curate::require_newest(ctx, &later).await?.dataset;
    let suite = Suite { dataset, split: Split::Test, name: "later month".into() };
    let old = judge(ctx, it, &before, &suite, &Against::NoGate).await?.scores.accuracy;
    let new = judge(ctx, it, &after, &suite, &Against::NoGate).await?.scores.accuracy;
    Ok(Turned {
        dataset: ctx.store.require(&gate.dataset.to_string()).await?,
        before,
        after,
        gate,
        rollout,
        accuracy_before: old,
        accuracy_after: new,
        is_better: new.is_above(&old),
    })
}

async fn newest_child(walk: &Walk, parent: &ModelRef) -> Result<ModelRef> {
    let all: Vec<ModelVersion> = walk.ctx.store.list(&ListQuery { limit: u32::MAX, ..Default::default() }).await?;
    let child = all
        .into_iter()
        .filter(|version| version.parent.as_ref() == Some(parent))
        .max_by_key(|version| version.model.version);
    let missing = || {
        Error::user(format!("no job `{RETRAIN}` grew a version out of `{parent}`")).hint("`loopwright jobs` shows why")
    };
    child.map(|version| version.model).ok_or_else(missing)
}

async fn gate_of(walk: &Walk, model: &ModelRef) -> Result<Evaluation> {
    let all: Vec<Evaluation> = walk.ctx.store.list(&ListQuery { limit: u32::MAX, ..Default::default() }).await?;
    let newest = all.into_iter().filter(|e| e.model == *model && e.gate.is_some()).max_by_key(|e| e.created_at);
    newest.ok_or_else(|| Error::bug(format!("no gate judged `{model}`")))
}

/// Sends the canary's traffic piece by piece, looking at the evidence after each, until the test has decided.
async fn run_canary(walk: &Walk, candidate: &ModelRef, mut rollout: Rollout) -> Result<Rollout> {
    if rollout.state != RolloutState::Running {
        return Ok(rollout);
    }
    serve::wait_until_ready(&walk.door, candidate).await?;
    let later = curate::require_newest(&walk.ctx, &later(&walk.it)).await?.dataset;
    let rows = rows_of(walk, &later, Split::Validation).await?;
    for n in (LOOK_EVERY..rows.len() + LOOK_EVERY).step_by(LOOK_EVERY) {
        serve::replay_month(walk, &rows[..n.min(rows.len())], CANARY).await?;
        if let Some(now) = canary::observe(&walk.ctx, &walk.it).await? {
            rollout = now;
        }
        if rollout.state != RolloutState::Running {
            return Ok(rollout);
        }
    }
    Ok(canary::stop(&walk.ctx, &walk.it).await?.unwrap_or(rollout))
}

pub(crate) fn say_retrained(walk: &Walk, it: &Turned) {
    walk.ctx.say(format!(
        "the alarm queued the loop: dataset {} ({} rows, {} from feedback), {} grown from {}",
        it.dataset.dataset, it.dataset.n_rows, it.dataset.card.n_corrections, it.after, it.before
    ));
    let seen = &it.rollout.evidence;
    let verdict = match it.rollout.state {
        RolloutState::Promoted => "promoted",
        RolloutState::RolledBack => "rolled back",
        RolloutState::Undecided | RolloutState::Running => "not decided",
    };
    walk.ctx.say(format!(
        "canary on {}% of the traffic: {verdict} after {} pairs of judged answers (e-value reached {:.0}, bound {:.0}, valid at every look)",
        it.rollout.share_percent,
        seen.n_pairs,
        seen.e_better_max,
        1.0 / it.rollout.alpha,
    ));
    let beyond = if it.is_better { "better beyond the intervals" } else { "not shown to be better" };
    walk.ctx.say(format!(
        "accuracy on the later month's unseen rows: {} before, {} after: {beyond}",
        it.accuracy_before, it.accuracy_after
    ));
}

/// Waits until so many traces of a replay are in the store.
pub(crate) async fn wait_for_traces(walk: &Walk, tag: &str, n: u64) -> Result<()> {
    let query = TraceQuery { tag: Some(tag.to_string()), ..Default::default() };
    let began = Instant::now();
    while walk.ctx.store.count_traces(&query).await? < n {
        if began.elapsed() > DURABLE_WITHIN {
            return Err(Error::outside(format!("not all of {n} requests of replay `{tag}` became traces")));
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    Ok(())
}

/// Latency, tokens and accuracy of traces.
pub(crate) async fn figures(walk: &Walk, traces: &[Trace], tag: &str) -> Result<Watched> {
    let query = FeedbackQuery { tag: Some(tag.to_string()), limit: u32::MAX, ..Default::default() };
    let feedback = walk.ctx.store.feedback(&query).await?;
    let answer = |trace: &Trace| crate::jobs::explain::label_of(&trace.output);
    let summary = summarise(traces, &feedback, &answer);
    let one = summary.first();
    Ok(Watched {
        replayed: Default::default(),
        n_traces: traces.len() as u64,
        n_tokens: traces.iter().map(|trace| u64::from(trace.tokens_in) + u64::from(trace.tokens_out)).sum(),
        latency_ms: one.map_or([0.0; 2], |one| [one.latency_ms_p50, one.latency_ms_p95]),
        accuracy: one.and_then(|one| one.accuracy),
        n_with_personal_data: 0,
        n_leaks: 0,
    })
}
