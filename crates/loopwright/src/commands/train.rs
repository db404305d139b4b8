//! `train`: the base and its adapter.

use crate::{output::Answer, table::pairs, units};
use loopwright_pipeline::{
    Context,
    jobs::{curate, train},
    project::LoopSettings,
};
use loopwright_types::{ModelVersion, run::Run};

pub async fn train(ctx: &Context, it: &LoopSettings, base_only: bool) -> anyhow::Result<Answer> {
    let dataset = curate::require_newest(ctx, it).await?.dataset;
    let base = train::base(ctx, it, &dataset).await?;
    let mut made = vec![base.clone()];
    if !base_only {
        made.push(train::finetune(ctx, it, &dataset, &base.model, None).await?);
    }
    let mut text = String::new();
    for version in &made {
        text.push_str(&told(ctx, version).await?);
        text.push('\n');
    }
    let talk = if base_only { "next: `loopwright train`" } else { "next: `loopwright eval`, `loopwright gate`" };
    Ok(Answer::new(&made, text).with_talk(talk))
}

async fn told(ctx: &Context, version: &ModelVersion) -> anyhow::Result<String> {
    let run: Run = ctx.store.require(train::run_of(version)?.as_str()).await?;
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
