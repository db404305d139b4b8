//! `drift` and `retrain`: has the world moved, and the loop turned after it.

use super::all;
use crate::{
    output::Answer,
    table::{Table, pairs},
    units,
};
use loopwright_pipeline::{
    Context,
    jobs::{drift, retrain},
    project::LoopSettings,
};
use loopwright_types::drift::DriftCheck;

/// Moved words shown.
const N_MOVED: usize = 10;

pub async fn drift(ctx: &Context, it: &LoopSettings, tag: Option<&str>) -> anyhow::Result<Answer> {
    let check = drift::check(ctx, it, tag).await?;
    let facts = pairs(&[
        ("inputs", format!("{}, {} rows", check.window, units::count(check.n_window))),
        ("compared with", format!("{}, {} rows", check.reference, units::count(check.n_reference))),
        ("p-value", format!("{:.4} ({})", check.p_value, check.test)),
        ("alarms at", format!("{:.4} or below: so often a check of unchanged traffic may alarm", check.alpha)),
        ("effect", format!("{:.1} standard deviations", check.effect)),
        ("verdict", word(&check).to_string()),
    ]);
    let moved = &check.moved[..check.moved.len().min(N_MOVED)];
    let table = Table::of(["word", ">before", ">now"], moved, |term| {
        [term.term.clone(), format!("{:.1}%", term.reference_percent), format!("{:.1}%", term.window_percent)]
    });
    let text = if moved.is_empty() { facts } else { format!("{facts}\n{table}") };
    Ok(Answer::new(&check, text))
}

pub async fn checks(ctx: &Context) -> anyhow::Result<Answer> {
    let checks: Vec<DriftCheck> = all(&ctx.store).await?;
    let row = |check: &DriftCheck| {
        [
            units::moment(check.at),
            check.route.clone(),
            check.window.clone(),
            units::count(check.n_window),
            format!("{:.4}", check.p_value),
            format!("{:.4}", check.alpha),
            word(check).to_string(),
        ]
    };
    let table = Table::of(["at", "route", "inputs", ">rows", ">p-value", ">alarms at", "verdict"], &checks, row);
    Ok(Answer::list(
        &checks,
        &table,
        "no check yet: `loopwright drift` makes one, `loopwright up` makes them on schedule",
    ))
}

fn word(check: &DriftCheck) -> &'static str {
    if check.alarm { "ALARM" } else { "quiet" }
}

pub async fn retrain(ctx: &Context, it: &LoopSettings) -> anyhow::Result<Answer> {
    let retrained = retrain::retrain(ctx, it).await?;
    let passed = retrained.passed();
    let text = pairs(&[
        (
            "dataset",
            format!(
                "{}, {} rows from feedback",
                retrained.dataset.dataset,
                units::count(retrained.dataset.card.n_corrections)
            ),
        ),
        ("model", retrained.model.to_string()),
        ("accuracy", retrained.evaluation.scores.accuracy.to_string()),
        (
            "gate",
            if passed {
                "passes: a canary answers a share of the traffic"
            } else {
                "does not pass: the live version stays"
            }
            .to_string(),
        ),
    ]);
    let talk = if passed { "`loopwright routes` shows the canary" } else { "`loopwright gate` shows why" };
    Ok(Answer::new(&retrained, text).with_talk(talk).with_passed(passed))
}
