//! What keeps a project turning by itself while it is `up`: the worker, the reconcilers, and the drift checks when they
//! are due.

use loopwright_pipeline::{
    Context, Result,
    jobs::{deploy, drift},
    project::{FILE_NAME, LoopSettings, Project},
    reconcile,
    store::TraceQuery,
    work,
};
use loopwright_server::AppState;
use loopwright_types::Timestamp;
use std::time::Duration;

/// How often the worker looks for a job while none waits.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// How often the reconcilers look.
const RECONCILE_EVERY: Duration = Duration::from_secs(2);
/// A month, for rates given per month.
const MONTH_MS: f64 = 30.0 * 24.0 * 60.0 * 60.0 * 1000.0;

/// Puts changed providers and routes of the project file in force, for as long as it is awaited. A file that cannot be
/// read leaves them as they are.
pub async fn follow_gateway(ctx: &Context, state: &AppState) {
    let path = ctx.project.dir.join(FILE_NAME);
    let changed_at = || std::fs::metadata(&path).and_then(|it| it.modified()).ok();
    let mut trouble = Trouble::new("project file");
    let (mut seen, mut served) = (changed_at(), ctx.project.gateway.clone());
    loop {
        tokio::time::sleep(RECONCILE_EVERY).await;
        let now = changed_at();
        if now == seen {
            continue;
        }
        seen = now;
        match Project::load(&ctx.project.dir) {
            Ok(project) if project.gateway != served => {
                tracing::info!("providers and routes of the project file changed and are in force");
                served.clone_from(&project.gateway);
                state.change_gateway(project.gateway);
                trouble.note(Ok(()));
            }
            Ok(_) => trouble.note(Ok(())),
            Err(error) => trouble.note(Err(error)),
        }
    }
}

/// Does queued jobs, one after another, for as long as it is awaited. A job that is given up half-way is taken up again
/// when its lease has run out.
pub async fn work(ctx: &Context) {
    let ctx = ctx.quiet("worker");
    let mut trouble = Trouble::new("worker");
    trouble.note(reconcile::close_erasures(&ctx).await.map(drop));
    loop {
        let done = work::once(&ctx).await;
        let idle = !matches!(done, Ok(Some(_)));
        // What went wrong inside a job was logged and kept with the job.
        trouble.note(done.map(drop));
        if idle {
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }
}

/// Watches canaries, answers alarms and makes the drift checks that are due, for as long as it is awaited.
pub async fn reconcile(ctx: &Context) {
    let ctx = ctx.quiet("reconciler");
    let mut trouble = Trouble::new("reconciler");
    let mut seen = None;
    loop {
        match round(&ctx, seen).await {
            Ok(version) => {
                seen = Some(version);
                trouble.note(Ok(()));
            }
            Err(error) => trouble.note(Err(error)),
        }
        tokio::time::sleep(RECONCILE_EVERY).await;
    }
}

/// One round, unless nothing changed since the version that the last one saw.
async fn round(ctx: &Context, seen: Option<u64>) -> Result<u64> {
    let version = ctx.store.data_version().await?;
    if seen != Some(version) {
        reconcile::round(ctx).await?;
        for it in ctx.project.loops.values() {
            check_if_due(ctx, it).await?;
        }
    }
    Ok(version)
}

/// Checks a loop's traffic for drift when the time has come and enough of it is new.
async fn check_if_due(ctx: &Context, it: &LoopSettings) -> Result<()> {
    if deploy::live(ctx, it).await?.is_none() {
        return Ok(());
    }
    let last = drift::newest(ctx, it).await?.map(|check| check.at);
    if !is_due(last, ctx.store.now(), it.monitor.checks_per_month) {
        return Ok(());
    }
    let fresh = TraceQuery { route: Some(it.name.clone()), since: last, ..TraceQuery::default() };
    if ctx.store.count_traces(&fresh).await? >= it.monitor.min_rows as u64 {
        drift::check(ctx, it, None).await?;
    }
    Ok(())
}

/// Is it time for another check? More often would spend the budget of false alarms too fast.
fn is_due(last: Option<Timestamp>, now: Timestamp, checks_per_month: f64) -> bool {
    last.is_none_or(|last| now.ms_since(last) as f64 >= MONTH_MS / checks_per_month)
}

/// Logs what goes wrong in a loop that goes on: the same trouble once, not every two seconds.
struct Trouble {
    of: &'static str,
    last: Option<String>,
}

impl Trouble {
    fn new(of: &'static str) -> Self {
        Self { of, last: None }
    }

    fn note(&mut self, result: Result<()>) {
        let error = result.err().map(|error| work::chain(&error));
        if let Some(error) = error.as_ref().filter(|error| self.last.as_ref() != Some(error)) {
            tracing::warn!(of = self.of, error, "background work failed; it will be tried again");
        }
        self.last = error;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checks_keep_their_distance() {
        let day = 24 * 60 * 60 * 1000;
        assert!(is_due(None, Timestamp(5), 30.0));
        assert!(!is_due(Some(Timestamp(0)), Timestamp(day - 1), 30.0));
        assert!(is_due(Some(Timestamp(0)), Timestamp(day), 30.0));
        assert!(is_due(Some(Timestamp(0)), Timestamp(day / 2), 60.0));
    }
}
