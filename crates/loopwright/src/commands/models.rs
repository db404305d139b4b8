//! `models` and `runs`: what was trained, and how.

use super::all;
use crate::{output::Answer, table::Table, units};
use loopwright_pipeline::Context;
use loopwright_types::{
    ModelRef, ModelVersion,
    deployment::Route,
    model::ModelKind,
    run::{Run, RunKind},
    score::Evaluation,
};

pub async fn models(ctx: &Context) -> anyhow::Result<Answer> {
    let versions: Vec<ModelVersion> = all(&ctx.store).await?;
    let routes: Vec<Route> = all(&ctx.store).await?;
    let evaluations: Vec<Evaluation> = all(&ctx.store).await?;
    let row = |version: &ModelVersion| {
        // Newest first: the first one found is the newest.
        let judged = evaluations.iter().find(|evaluation| evaluation.model == version.model);
        [
            version.model.to_string(),
            kind(version.kind).to_string(),
            version.state.as_str().to_string(),
            answering(&routes, &version.model),
            version.dataset.to_string(),
            units::or_dash(version.base.as_ref()),
            units::or_dash(version.parent.as_ref()),
            units::parameters(version.n_parameters),
            units::or_dash(judged.map(|evaluation| evaluation.scores.accuracy)),
            units::moment(version.created_at),
        ]
    };
    let head =
        ["model", "kind", "state", "answers as", "dataset", "base", "grown from", ">parameters", "accuracy", "made"];
    let table = Table::of(head, &versions, row);
    Ok(Answer::list(&versions, &table, "no model yet: `loopwright run train` makes the first"))
}

fn kind(kind: ModelKind) -> &'static str {
    match kind {
        ModelKind::Base => "base",
        ModelKind::Adapter => "adapter",
    }
}

/// The routes that a version answers on: `support live 60%`.
fn answering(routes: &[Route], model: &ModelRef) -> String {
    let variants = routes.iter().flat_map(|route| route.variants.iter().map(move |variant| (route, variant)));
    let mine = variants.filter(|(_, variant)| variant.model == *model);
    let told: Vec<String> =
        mine.map(|(route, variant)| format!("{} {} {}%", route.name, variant.name, variant.weight_percent)).collect();
    if told.is_empty() { "–".into() } else { told.join(", ") }
}

pub async fn runs(ctx: &Context) -> anyhow::Result<Answer> {
    let runs: Vec<Run> = all(&ctx.store).await?;
    let row = |run: &Run| {
        let took = run.ended_at.map(|ended| units::duration(ended.ms_since(run.started_at) as f64 / 1000.0));
        [
            run.id.to_string(),
            run_kind(run.kind).to_string(),
            run.state.as_str().to_string(),
            run.dataset.to_string(),
            units::or_dash(run.model.as_ref()),
            units::or_dash(
                run.metrics.get(loopwright_pipeline::jobs::train::TRAIN_LOSS).map(|loss| format!("{loss:.4}")),
            ),
            units::or_dash(took),
            units::moment(run.started_at),
            run.error.clone().unwrap_or_default(),
        ]
    };
    let head = ["run", "kind", "state", "dataset", "made", ">loss", ">time", "began", "error"];
    let table = Table::of(head, &runs, row);
    Ok(Answer::list(&runs, &table, "no run yet: `loopwright run train` starts the first"))
}

fn run_kind(kind: RunKind) -> &'static str {
    match kind {
        RunKind::Pretrain => "pretrain",
        RunKind::Lora => "lora",
    }
}
