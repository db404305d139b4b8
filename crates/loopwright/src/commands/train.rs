//! `train`: the base and its adapter.

use crate::{
    args::{TrainArgs, TrainBackend, TrainCommand},
    output::Answer,
    table::pairs,
    units,
};
use loopwright_pipeline::{
    Context, Error,
    jobs::{axolotl, curate, train, train_plan, verify},
    project::{Backend, LoopSettings},
};
use loopwright_types::{DatasetRef, ModelVersion, id::RunId, run::Run};

pub async fn train(ctx: &Context, mut it: LoopSettings, args: &TrainArgs) -> anyhow::Result<Answer> {
    if let Some(TrainCommand::Verify { run }) = &args.command {
        return verified(ctx, run).await;
    }
    if let Some(file) = &args.from_axolotl {
        let read = axolotl::read(file, &it.train)?;
        read.unsupported.iter().for_each(|said| ctx.say(said));
        it.train = read.train;
    }
    if let Some(backend) = args.backend {
        it.train.backend = match backend {
            TrainBackend::Native => Backend::Native,
            TrainBackend::Torch => Backend::Torch,
        };
    }
    it.train.check_backend().map_err(|says| Error::user(format!("[train.{}] {says}", it.name)))?;
    let it = &it;
    let dataset = curate::require_newest(ctx, it).await?.dataset;
    if args.plan {
        return planned(ctx, it, &dataset).await;
    }
    let base = train::base(ctx, it, &dataset).await?;
    let mut made = vec![base.clone()];
    if !args.base_only {
        made.push(train::finetune(ctx, it, &dataset, &base.model, None).await?);
    }
    let mut text = String::new();
    for version in &made {
        text.push_str(&told(ctx, version).await?);
        text.push('\n');
    }
    let talk = if args.base_only { "next: `loopwright train`" } else { "next: `loopwright eval`, `loopwright gate`" };
    Ok(Answer::new(&made, text).with_talk(talk))
}

async fn planned(ctx: &Context, it: &LoopSettings, dataset: &DatasetRef) -> anyhow::Result<Answer> {
    let base = train::base(ctx, it, dataset).await?;
    let plan = train_plan::plan(ctx, it, dataset, &base.model).await?;
    let mib = |bytes: u64| format!("{:.0} MiB", bytes as f64 / f64::from(1 << 20));
    let text = pairs(&[
        ("base", base.model.to_string()),
        ("method", plan.method.to_string()),
        ("examples", units::count(plan.n_examples)),
        ("tokens per pass", units::count(plan.n_tokens)),
        ("steps", units::count(plan.n_steps)),
        ("parameters", units::parameters(plan.n_parameters)),
        ("of these learning", units::parameters(plan.n_trainable)),
        ("weights", mib(plan.memory.weights_bytes)),
        ("gradients and moments", mib(plan.memory.optimizer_bytes)),
        ("activations", mib(plan.memory.activations_bytes)),
        ("memory in all", mib(plan.memory.total_bytes())),
        ("memory there is", mib(plan.memory_available_bytes)),
        ("tokens/s, measured", units::or_dash(plan.tokens_per_s.map(|rate| format!("{rate:.0}")))),
        ("time", units::or_dash(plan.seconds.map(units::duration))),
    ]);
    let answer = Answer::new(&plan, text);
    if it.train.with_torch().is_some() {
        return Ok(
            answer.with_talk("nothing was trained; memory is what backend = \"native\" would take, on this machine")
        );
    }
    train_plan::refuse_if_too_large(&plan)?;
    Ok(answer.with_talk("nothing was trained; leave out `--plan` to train"))
}

async fn verified(ctx: &Context, run: &RunId) -> anyhow::Result<Answer> {
    let verified = verify::verify(ctx, run).await?;
    let text = pairs(&[
        ("run", verified.run.to_string()),
        ("model", verified.model.to_string()),
        ("digest then", verified.recorded.to_string()),
        ("digest now", verified.derived.to_string()),
        ("the same", if verified.is_same() { "yes, to the bit" } else { "NO" }.to_string()),
    ]);
    let answer = Answer::new(&verified, text);
    Ok(if verified.is_same() { answer } else { answer.with_passed(false) })
}

async fn told(ctx: &Context, version: &ModelVersion) -> anyhow::Result<String> {
    let Some(run) = &version.run else {
        return Ok(pairs(&[("base, imported", version.model.to_string())]));
    };
    let run: Run = ctx.store.require(run.as_str()).await?;
    let metric =
        |name: &str, digits: usize| units::or_dash(run.metrics.get(name).map(|value| format!("{value:.digits$}")));
    let time = run.ended_at.map(|ended| units::duration(ended.ms_since(run.started_at) as f64 / 1000.0));
    Ok(pairs(&[
        ("model", version.model.to_string()),
        ("learned from", units::or_dash(version.dataset.as_ref())),
        ("parameters", units::parameters(version.n_parameters)),
        ("last training loss", metric(train::TRAIN_LOSS, 4)),
        ("tokens/s", metric(train::TOKENS_PER_S, 0)),
        ("time", units::or_dash(time)),
        ("run", run.id.to_string()),
        ("digest", version.digest.to_string()),
    ]))
}
