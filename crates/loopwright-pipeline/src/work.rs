//! The worker: takes jobs from the queue, one at a time, and does them.

use crate::{
    context::Context,
    error::{Error, Result},
    jobs::{
        erase::{self, RETRAIN_WITHOUT},
        retrain::{self, RETRAIN},
    },
};
use loopwright_store::Change;
use loopwright_types::{
    EntityRef,
    event::NewEvent,
    id::ErasureId,
    job::{Job, JobState},
};
use std::time::Duration;

/// Job kinds that this program knows.
pub const KINDS: [&str; 2] = [RETRAIN, RETRAIN_WITHOUT];
/// A lease holds so long unless it is renewed: what another worker waits for after a crash.
const LEASE_MS: i64 = 20_000;
/// Leases are renewed so often.
const RENEW_EVERY: Duration = Duration::from_secs(5);
/// While another worker holds a job, how often to look whether it is done.
const LOOK_AGAIN_AFTER: Duration = Duration::from_millis(250);
/// A job that failed so often is given up and shown as failed.
const ATTEMPTS_MAX: u32 = 3;

/// Does one job, if one waits. Returns it with what it came to.
pub async fn once(ctx: &Context) -> Result<Option<(Job, Result<serde_json::Value>)>> {
    let Some(job) = ctx.store.lease_job(&KINDS, LEASE_MS).await? else { return Ok(None) };
    let result = with_lease(ctx, &job, perform(ctx, &job)).await;
    match &result {
        Ok(output) => {
            let about = EntityRef::new("job", job.id.as_str());
            let body = serde_json::json!({"kind": job.job.kind, "output": output});
            ctx.store
                .finish_job(&job.id, NewEvent::new(ctx.actor, "job.done", about).with_body(body), Vec::<Change>::new())
                .await?;
        }
        Err(error) => {
            let state = ctx.store.fail_job(&job.id, &chain(error), ATTEMPTS_MAX).await?;
            tracing::warn!(job = %job.id, kind = job.job.kind, error = chain(error), given_up = state == JobState::Failed, "a job failed");
        }
    }
    Ok(Some((job, result)))
}

/// Works until no job waits or is being done; the first error of a job ends it.
///
/// A job that a killed worker held is taken up once its lease has run out; one that a living worker holds is waited for.
pub async fn until_idle(ctx: &Context) -> Result<u64> {
    let (mut n_done, mut has_told) = (0, false);
    loop {
        if let Some((_, result)) = once(ctx).await? {
            result?;
            n_done += 1;
        } else if ctx.store.jobs(Some(JobState::Leased), 1).await?.is_empty() {
            return Ok(n_done);
        } else {
            if !std::mem::replace(&mut has_told, true) {
                ctx.say("a job is held by another worker; if that one was stopped, its lease runs out within 20 s");
            }
            tokio::time::sleep(LOOK_AGAIN_AFTER).await;
        }
    }
}

async fn perform(ctx: &Context, job: &Job) -> Result<serde_json::Value> {
    let it = ctx.the_loop(job.job.payload["loop"].as_str())?;
    match job.job.kind.as_str() {
        RETRAIN => {
            let retrained = retrain::retrain(ctx, &it).await?;
            Ok(serde_json::json!({"model": retrained.model, "passed": retrained.passed()}))
        }
        RETRAIN_WITHOUT => {
            let id = job.job.payload["erasure"].as_str().ok_or_else(|| Error::bug("the job names no erasure"))?;
            let id = ErasureId::from(id);
            let retrained = retrain::retrain_without(ctx, &it, &id).await?;
            let erasure = erase::close(ctx, &id).await?;
            Ok(serde_json::json!({"model": retrained.model, "receipt": erasure.receipt}))
        }
        other => Err(Error::bug(format!("no worker knows the job `{other}`"))),
    }
}

/// Keeps the lease alive while the job is done. Both go on side by side: work that stood still while the lease is renewed
/// might hold the very connection that the renewal waits for.
async fn with_lease<T>(ctx: &Context, job: &Job, work: impl Future<Output = Result<T>>) -> Result<T> {
    tokio::select! {
        result = work => result,
        lost = keep(ctx, job) => Err(lost),
    }
}

/// Renews the lease until another worker has the job. A renewal that fails is tried again: the lease outlives a few of them.
async fn keep(ctx: &Context, job: &Job) -> Error {
    loop {
        tokio::time::sleep(RENEW_EVERY).await;
        match ctx.store.renew_job(&job.id, LEASE_MS).await {
            Ok(true) => {}
            Ok(false) => return Error::outside(format!("job `{}` was taken over by another worker", job.id)),
            Err(error) => tracing::warn!(job = %job.id, error = chain(&error), "a lease was not renewed"),
        }
    }
}

/// An error with everything that caused it, in one line.
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}
