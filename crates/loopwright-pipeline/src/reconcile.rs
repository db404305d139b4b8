//! Reconcilers: compare what is with what should be, and queue what is missing. They take no input but the store, so
//! that running one twice, or after a crash, does no harm.

use crate::{
    context::Context,
    error::Result,
    jobs::{canary, curate, drift, erase, retrain::RETRAIN},
    project::LoopSettings,
};
use loopwright_store::Change;
use loopwright_types::{DatasetVersion, EntityRef, event::NewEvent, job::NewJob};

/// What one round did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Round {
    /// Rollouts that were looked at.
    pub n_rollouts: u64,
    /// Retrainings that were queued.
    pub n_retrainings: u64,
}

/// One round over all loops: canaries, then alarms.
pub async fn round(ctx: &Context) -> Result<Round> {
    let mut done = Round::default();
    for it in ctx.project.loops.values() {
        done.n_rollouts += u64::from(canary::observe(ctx, it).await?.is_some());
        done.n_retrainings += u64::from(retrain_after_alarm(ctx, it).await?);
    }
    Ok(done)
}

/// Queues a retraining for the newest check if it alarmed, once per alarm, when enough corrections came in.
pub async fn retrain_after_alarm(ctx: &Context, it: &LoopSettings) -> Result<bool> {
    if !it.retrain.on.contains("drift") {
        return Ok(false);
    }
    let Some(check) = drift::newest(ctx, it).await?.filter(|check| check.alarm) else { return Ok(false) };
    let newest: DatasetVersion = curate::require_newest(ctx, it).await?;
    if newest.created_at > check.at {
        return Ok(false);
    }
    let key = format!("{RETRAIN}/{}", check.id);
    if ctx.store.jobs(None, u32::MAX).await?.iter().any(|job| job.job.idempotency_key == key) {
        return Ok(false);
    }
    let used = curate::corrected(ctx, &newest.dataset).await?;
    let n = curate::new_corrections(ctx, it, &used).await?.len() as u64;
    if n < it.retrain.min_corrections {
        return Ok(false);
    }
    let job = NewJob {
        kind: RETRAIN.into(),
        idempotency_key: key,
        payload: serde_json::json!({"loop": it.name, "check": check.id}),
    };
    let event = NewEvent::new("reconciler", "retrain.queued", EntityRef::new("drift_check", check.id.as_str()));
    let body = serde_json::json!({"loop": it.name, "n_corrections": n});
    ctx.store.apply(event.with_body(body), vec![Change::Enqueue(job)]).await?;
    Ok(true)
}

/// Erasures that wait for nothing but their closing scan.
pub async fn close_erasures(ctx: &Context) -> Result<u64> {
    let mut n = 0;
    for erasure in erase::all(ctx).await? {
        let ready = erasure.done_at.is_none() && (erasure.models.is_empty() || erasure.retrained.is_some());
        if ready {
            erase::close(ctx, &erasure.id).await?;
            n += 1;
        }
    }
    Ok(n)
}
