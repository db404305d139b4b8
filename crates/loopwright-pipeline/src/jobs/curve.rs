//! The curve of a run: what each step measured, and what was answered, written as it comes.

use super::train::{
    EVAL, GRADIENT_NORM, LEARNING_RATE, REWARD_ACCURACY, REWARD_MARGIN, TOKENS_PER_S, TRAIN_LOSS, VALIDATION_LOSS,
};
use crate::{context::Context, error::Result};
use loopwright_store::Change;
use loopwright_train::Progress;
use loopwright_types::{
    Entity, EntityRef, Timestamp,
    event::NewEvent,
    id::RunId,
    run::{MetricPoint, Run, Sample},
};
use tokio::sync::mpsc;

/// Metric points are written in batches of about so many.
const POINTS_PER_WRITE: usize = 128;

/// What a step has to tell.
pub(super) struct Told {
    pub(super) points: Vec<MetricPoint>,
    pub(super) samples: Vec<Sample>,
}

/// What a step measured, as points of the run's curves.
pub(super) fn points_of(at: &Progress, now: Timestamp) -> Vec<MetricPoint> {
    let point = |name: &str, value: f64| MetricPoint { name: name.into(), step: at.step, value, at: now };
    let mut of_step = vec![
        point(TRAIN_LOSS, f64::from(at.loss)),
        point(LEARNING_RATE, at.lr),
        point(GRADIENT_NORM, at.gradient_norm),
        point(TOKENS_PER_S, at.tokens_per_s),
    ];
    if let Some(preference) = at.preference {
        of_step.push(point(REWARD_ACCURACY, f64::from(preference.accuracy)));
        of_step.push(point(REWARD_MARGIN, f64::from(preference.margin)));
    }
    of_step.extend(at.validation_loss.map(|loss| point(VALIDATION_LOSS, f64::from(loss))));
    of_step.extend(at.validation_metrics.iter().map(|(name, value)| point(&format!("{EVAL}{name}"), *value)));
    of_step
}

/// Writes what is told until nobody tells more.
pub(super) async fn write_told(ctx: &Context, id: &RunId, mut told: mpsc::UnboundedReceiver<Told>) -> Result<()> {
    let mut waiting: Vec<MetricPoint> = Vec::new();
    while let Some(Told { points, samples }) = told.recv().await {
        waiting.extend(points);
        if waiting.len() >= POINTS_PER_WRITE {
            write_metrics(ctx, id, std::mem::take(&mut waiting)).await?;
        }
        if !samples.is_empty() {
            ctx.store.add_run_samples(id, samples).await?;
        }
    }
    write_metrics(ctx, id, waiting).await
}

async fn write_metrics(ctx: &Context, id: &RunId, points: Vec<MetricPoint>) -> Result<()> {
    let Some(last) = points.last() else { return Ok(()) };
    let event = NewEvent::new(ctx.actor, "run.advanced", EntityRef::new(Run::KIND, id.as_str()));
    let body = serde_json::json!({"step": last.step, "n_points": points.len()});
    ctx.store.apply(event.with_body(body), vec![Change::Metrics { run: id.clone(), points }]).await?;
    Ok(())
}
