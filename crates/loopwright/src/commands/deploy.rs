//! `package`, `deploy`, `promote`, `rollback`, `routes`: a model on its way to clients and back.

use super::{all, judge::model_or_newest};
use crate::{
    output::Answer,
    table::{Table, pairs},
    units,
};
use loopwright_pipeline::{
    Context, Error,
    jobs::{deploy, package},
    project::LoopSettings,
};
use loopwright_types::{
    ModelRef, ModelVersion,
    deployment::{Rollout, Route},
    model::ModelState,
};

pub async fn package(ctx: &Context, it: &LoopSettings, model: Option<&ModelRef>) -> anyhow::Result<Answer> {
    let model = model_or_newest(ctx, it, model).await?;
    let package = package::package(ctx, &model).await?;
    let text = pairs(&[
        ("model", package.model.to_string()),
        ("digest", package.digest.to_string()),
        ("size", units::size(package.size_bytes)),
        ("signed by key", package.signed_by.clone()),
    ]);
    Ok(Answer::new(&package, text).with_talk("next: `loopwright deploy`"))
}

pub async fn deploy(
    ctx: &Context,
    it: &LoopSettings,
    model: Option<&ModelRef>,
    canary: bool,
) -> anyhow::Result<Answer> {
    let model = model_or_newest(ctx, it, model).await?;
    require_passed(ctx, &model).await?;
    let route = match canary {
        true => deploy::start_canary(ctx, it, &model).await?,
        false => deploy::deploy(ctx, it, &model).await?,
    };
    Ok(changed(&route))
}

/// A command must not undo what a gate said; a person may, with `promote`.
async fn require_passed(ctx: &Context, model: &ModelRef) -> anyhow::Result<()> {
    let version: ModelVersion = ctx.store.require(&model.to_string()).await?;
    if version.state != ModelState::Candidate {
        return Ok(());
    }
    let hint = format!("run `loopwright gate --model {model}`, or decide yourself with `loopwright promote {model}`");
    Err(Error::user(format!("`{model}` has passed no gate")).hint(hint).into())
}

pub async fn promote(ctx: &Context, it: &LoopSettings, model: Option<&ModelRef>) -> anyhow::Result<Answer> {
    Ok(changed(&deploy::promote(ctx, it, model).await?))
}

pub async fn roll_back(ctx: &Context, it: &LoopSettings) -> anyhow::Result<Answer> {
    Ok(changed(&deploy::roll_back(ctx, it).await?))
}

pub async fn routes(ctx: &Context) -> anyhow::Result<Answer> {
    let routes: Vec<Route> = all(&ctx.store).await?;
    let text = routes.iter().map(told).collect::<Vec<_>>().join("\n");
    let answer = Answer::list(&routes, &Table::new(&[]), "no route yet: `loopwright run deploy` makes the first");
    Ok(answer.with_text(text))
}

fn changed(route: &Route) -> Answer {
    Answer::new(route, told(route)).with_talk("a running server takes it over by itself")
}

fn told(route: &Route) -> String {
    let table = Table::of(["route", "variant", "model", ">share"], &route.variants, |variant| {
        [route.name.clone(), variant.name.clone(), variant.model.to_string(), format!("{}%", variant.weight_percent)]
    });
    match &route.rollout {
        Some(rollout) => format!("{table}{}", canary(rollout)),
        None => table.to_string(),
    }
}

fn canary(rollout: &Rollout) -> String {
    let seen = &rollout.evidence;
    format!(
        "canary of {} beside {}: {}; {} pairs of judged answers, e-value {:.2} (promotes at {:.0}), accuracy {} beside {}\n",
        rollout.candidate,
        rollout.live,
        rollout.state.as_str().replace('_', " "),
        units::count(seen.n_pairs),
        seen.e_better,
        1.0 / rollout.alpha,
        units::or_dash(seen.candidate_accuracy),
        units::or_dash(seen.live_accuracy),
    )
}
