//! `jobs` and `work`: what is queued, and doing it.

use crate::{background, output::Answer, stop, table::Table, units};
use loopwright_pipeline::{Context, work};
use loopwright_types::job::Job;
use serde_json::{Value, json};

pub async fn jobs(ctx: &Context, limit: u32) -> anyhow::Result<Answer> {
    let jobs = ctx.store.jobs(None, limit).await?;
    let row = |job: &Job| {
        [
            job.id.to_string(),
            job.job.kind.clone(),
            job.state.as_str().to_string(),
            job.attempts.to_string(),
            units::moment(job.created_at),
            job.error.clone().unwrap_or_default(),
        ]
    };
    let table = Table::of(["job", "what", "state", ">tries", "queued", "last error"], &jobs, row);
    Ok(Answer::list(&jobs, &table, "nothing is queued: alarms and erasures queue work by themselves"))
}

/// Does queued jobs: those that wait now, or whatever comes until somebody asks to stop.
pub async fn work(ctx: &Context, once: bool) -> anyhow::Result<Answer> {
    if once {
        return until_idle(ctx).await;
    }
    ctx.say("waiting for jobs; Ctrl-C stops, and a job under way is taken up again later");
    tokio::select! {
        () = stop::asked() => {}
        () = background::work(ctx) => {}
    }
    Ok(Answer::silent())
}

async fn until_idle(ctx: &Context) -> anyhow::Result<Answer> {
    let mut done: Vec<Value> = Vec::new();
    let mut table = Table::new(&["job", "what", "came to"]);
    let mut all_well = true;
    while let Some((job, result)) = work::once(ctx).await? {
        let (output, error) = match result {
            Ok(output) => (output, None),
            Err(error) => (Value::Null, Some(work::chain(&error))),
        };
        all_well &= error.is_none();
        table.row([
            job.id.to_string(),
            job.job.kind.clone(),
            error.as_ref().map_or("done".into(), |error| format!("failed: {error}")),
        ]);
        done.push(json!({ "job": job.id, "kind": job.job.kind, "output": output, "error": error }));
    }
    Ok(Answer::list(&done, &table, "no job waits").with_passed(all_well))
}
