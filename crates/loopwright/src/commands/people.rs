//! `erase` and `subject`: what people may ask for.

use crate::{
    args::{EraseArgs, SubjectCommand},
    output::Answer,
    table::{Table, pairs},
    units,
};
use loopwright_pipeline::{
    Context,
    jobs::{
        erase::{self, RETRAIN_WITHOUT},
        subject,
    },
    work,
};
use loopwright_types::{
    id::ErasureId,
    job::{Job, JobState},
    subject::{Erasure, Subject},
};
use std::time::Duration;

/// How often we look whether another worker has finished our job.
const LOOK_EVERY: Duration = Duration::from_millis(500);

pub async fn erase(ctx: &Context, args: &EraseArgs) -> anyhow::Result<Answer> {
    let Some(person) = &args.person else { return list(ctx).await };
    let begun = erase::begin(ctx, person).await?;
    ctx.say(format!(
        "removed from every table and record; {} model version(s) learned from the rows",
        begun.models.len()
    ));
    work_for(ctx, &begun.id).await?;
    let erasure = erase::close(ctx, &begun.id).await?;
    let text = receipt(&erasure);
    Ok(Answer::new(&erasure, text).with_talk("the signed receipt is kept under `.loopwright/objects/receipts/`"))
}

/// Does queued jobs until none that this erasure waits for is left, here or at another worker.
async fn work_for(ctx: &Context, id: &ErasureId) -> anyhow::Result<()> {
    loop {
        if let Some((job, result)) = work::once(ctx).await? {
            match result {
                Err(error) if is_for(&job, id) => return Err(error.into()),
                Err(error) => ctx.say(format!("another job, {}, failed: {}", job.id, work::chain(&error))),
                Ok(_) => {}
            }
        } else if ctx.store.jobs(Some(JobState::Leased), u32::MAX).await?.iter().any(|job| is_for(job, id)) {
            // A worker beside us (a server that is up) has it.
            tokio::time::sleep(LOOK_EVERY).await;
        } else {
            return Ok(());
        }
    }
}

fn is_for(job: &Job, id: &ErasureId) -> bool {
    job.job.kind == RETRAIN_WITHOUT && job.job.payload["erasure"].as_str() == Some(id.as_str())
}

fn receipt(erasure: &Erasure) -> String {
    let names = |models: &[loopwright_types::ModelRef]| {
        let names: Vec<String> = models.iter().map(ToString::to_string).collect();
        if names.is_empty() { "none learned from the person".to_string() } else { names.join(", ") }
    };
    let removed = Table::of([">removed", "from"], &erasure.removed.iter().collect::<Vec<_>>(), |(place, n)| {
        [units::count(**n), place.to_string()]
    });
    let facts = pairs(&[
        ("erasure", erasure.id.to_string()),
        ("models retired", names(&erasure.models)),
        ("trained without the rows", units::or_dash(erasure.retrained.as_ref())),
        (
            "closing scan",
            format!(
                "{} files, {} read; none of {} strings found",
                units::count(erasure.n_files_scanned),
                units::size(erasure.n_bytes_scanned),
                units::count(erasure.n_strings),
            ),
        ),
        ("done", units::or_dash(erasure.done_at.map(units::moment))),
        ("receipt", units::or_dash(erasure.receipt.as_ref())),
    ]);
    format!("{removed}\n{facts}")
}

async fn list(ctx: &Context) -> anyhow::Result<Answer> {
    let erasures = erase::all(ctx).await?;
    let row = |erasure: &Erasure| {
        let state = if erasure.done_at.is_some() { "done" } else { "running" };
        [
            erasure.id.to_string(),
            state.to_string(),
            units::count(erasure.removed.values().sum()),
            units::count(erasure.models.len() as u64),
            units::or_dash(erasure.retrained.as_ref()),
            units::moment(erasure.requested_at),
            units::or_dash(erasure.receipt.as_ref().map(|receipt| receipt.short().to_string())),
        ]
    };
    let head = ["erasure", "state", ">removed", ">models", "replaced by", "asked for", "receipt"];
    let table = Table::of(head, &erasures, row);
    Ok(Answer::list(&erasures, &table, "nobody was erased yet: `loopwright erase PERSON` does it"))
}

pub async fn subject(ctx: &Context, command: &SubjectCommand) -> anyhow::Result<Answer> {
    match command {
        SubjectCommand::Export { person } => {
            let exported = subject::export(ctx, person).await?;
            let text = pairs(&[
                ("file", exported.path.display().to_string()),
                ("rows", units::count(exported.n_rows)),
                ("traces", units::count(exported.n_traces)),
                ("feedback", units::count(exported.n_feedback)),
            ]);
            Ok(Answer::new(&exported, text).with_talk("it holds personal data in clear: hand it over, then delete it"))
        }
        SubjectCommand::OptOut { person } => Ok(consent(&subject::set_training_allowed(ctx, person, false).await?)),
        SubjectCommand::OptIn { person } => Ok(consent(&subject::set_training_allowed(ctx, person, true).await?)),
    }
}

fn consent(subject: &Subject) -> Answer {
    let (may, next) =
        if subject.training_allowed { ("may", "takes them in again") } else { ("may not", "leaves them out") };
    let json = serde_json::json!({
        "id": subject.id,
        "external_id": subject.external_id,
        "training_allowed": subject.training_allowed,
    });
    Answer::new(json, format!("rows of `{}` {may} be learned from\n", subject.external_id))
        .with_talk(format!("the next dataset version {next}"))
}
