//! `models` and `runs`: what was trained, and how.

use super::all;
use crate::{
    args::{ModelCommand, ModelImportArgs},
    output::Answer,
    table::{Table, pairs},
    units,
};
use loopwright_pipeline::{
    Context,
    jobs::{
        export_model,
        import_model::{self, Wanted},
    },
};
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
            units::or_dash(version.dataset.as_ref()),
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

pub async fn model(ctx: &Context, command: &ModelCommand) -> anyhow::Result<Answer> {
    match command {
        ModelCommand::Import(args) => {
            let ModelImportArgs { dir, weights, name, base, licence } = args;
            let wanted = Wanted {
                dir: dir.clone(),
                weights: weights.clone(),
                name: name.clone(),
                base: base.clone(),
                licence: licence.clone(),
            };
            let version = import_model::import(ctx, &wanted).await?;
            let talk = format!("next: `base = \"{}\"` in `[train.*]`, then `loopwright train`", version.model);
            Ok(Answer::new(&version, facts(&version)).with_talk(talk))
        }
        ModelCommand::Show { model } => {
            let version: ModelVersion = ctx.store.require(&model.to_string()).await?;
            Ok(Answer::new(&version, facts(&version)))
        }
        ModelCommand::Export { model, to, merged } => {
            let version: ModelVersion = ctx.store.require(&model.to_string()).await?;
            let to = match to {
                Some(to) => to.clone(),
                None => ctx.store.layout().exports().join(model.to_string().replace('@', "-")),
            };
            let written = export_model::export(ctx, &version, &to, *merged).await?;
            Ok(Answer::new(&written, format!("{}\n", to.display())))
        }
    }
}

fn facts(version: &ModelVersion) -> String {
    let imported = version.imported.as_ref();
    pairs(&[
        ("model", version.model.to_string()),
        ("kind", kind(version.kind).to_string()),
        ("state", version.state.as_str().to_string()),
        ("family", units::or_dash(imported.map(|it| &it.family))),
        ("imported from", units::or_dash(imported.map(|it| &it.from))),
        ("licence", units::or_dash(imported.and_then(|it| it.licence.as_ref()))),
        ("base", units::or_dash(version.base.as_ref())),
        ("grown from", units::or_dash(version.parent.as_ref())),
        ("learned from", units::or_dash(version.dataset.as_ref())),
        ("run", units::or_dash(version.run.as_ref())),
        ("parameters", units::parameters(version.n_parameters)),
        ("digest", version.digest.to_string()),
        ("made", units::moment(version.created_at)),
    ])
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
        RunKind::Full => "full",
        RunKind::Dpo => "dpo",
        RunKind::Classify => "classify",
        RunKind::Embed => "embed",
    }
}
