//! A trial of a search: a fine-tuning of which only the curve and a value are kept.

use super::{
    collect::in_background,
    examples::Speaker,
    origin::{Asked, prepare_finetuning},
    predict::Loaded,
    train::{Rows, Task, begin, date_of, finetuning, learn},
    train_settings::{finetune_settings, params_of},
    tune::Metric,
};
use crate::{
    context::Context,
    error::{Error, Result},
    project::LoopSettings,
};
use loopwright_eval::answer;
use loopwright_store::ObjectKey;
use loopwright_train::{Progress, Trained};
use loopwright_types::{DatasetRef, Example, ModelRef, run::Run};
use std::ops::ControlFlow;

/// How a trial of a search ended.
pub(super) enum TrialEnd {
    /// With its value.
    Value(f64),
    /// It was given up.
    GivenUp,
}

/// Records a trial's run before its first step.
pub(super) async fn begin_trial(
    ctx: &Context,
    it: &LoopSettings,
    dataset: &DatasetRef,
    base: &ModelRef,
) -> Result<Run> {
    let params = params_of(&finetune_settings(ctx, &it.train), it.train.backend)?;
    begin(ctx, &finetuning(it, dataset, base, None), params, ctx.template_date()).await
}

/// Runs a trial, or goes on with one that was killed. `judge` hears of every validation and says whether to give up.
/// Nothing is kept but its curve.
pub(super) async fn trial(
    ctx: &Context,
    it: &LoopSettings,
    run: &Run,
    metric: Metric,
    judge: impl Fn(u64, f64) -> bool + Send + 'static,
) -> Result<TrialEnd> {
    let rows = Rows::read(ctx, &run.dataset).await?;
    if rows.validation.is_empty() {
        return Err(Error::user(format!("`{}` has no validation rows to judge trials by", run.dataset))
            .hint("give `validation_share` of `[data.*]` a share and curate again"));
    }
    let validation = rows.validation.clone();
    let base = run.base.clone().ok_or_else(|| Error::bug("a trial has a base"))?;
    // Many trials' answers are read by nobody.
    let task = Task { asked: Asked::default(), ..finetuning(it, &run.dataset, &base, None) };
    let prepare = prepare_finetuning(finetune_settings(ctx, &it.train), rows, &task, it.train.with_torch().cloned())?;
    let date = date_of(ctx, run);
    let prepared = {
        let ctx = ctx.clone();
        in_background(move || prepare(&ctx, date)).await?
    };
    let speaker = prepared.speaker.clone();
    let checkpoints = ctx.store.objects().local_dir(&ObjectKey::CheckpointDir { run: run.id.clone() })?;
    let observe = move |at: &Progress| match at.validation_loss {
        Some(loss) if metric == Metric::ValidationLoss && judge(at.step, f64::from(loss)) => ControlFlow::Break(()),
        _ => ControlFlow::Continue(()),
    };
    let learned = learn(ctx, &run.id, "trial", prepared, checkpoints, observe).await;
    let end = match learned {
        Ok(learned) if !learned.trained.finished => Ok(TrialEnd::GivenUp),
        Ok(learned) => value_of(it, metric, learned.trained, speaker, validation).await.map(TrialEnd::Value),
        Err(error) => Err(error),
    };
    ctx.store.objects().delete_prefix(&ObjectKey::CheckpointDir { run: run.id.clone() }).await?;
    end
}

/// What a trial came to.
async fn value_of(
    it: &LoopSettings,
    metric: Metric,
    trained: Trained,
    speaker: Speaker,
    validation: Vec<Example>,
) -> Result<f64> {
    if metric == Metric::ValidationLoss {
        return trained
            .validation_loss
            .map(f64::from)
            .ok_or_else(|| Error::bug("a run with validation rows has a loss"));
    }
    let max_tokens = it.route.max_answer_tokens;
    in_background(move || {
        let loaded = Loaded { model: trained.model, tokenizer: speaker.tokenizer, format: speaker.format };
        let texts: Vec<&str> = validation.iter().map(|row| row.text.as_str()).collect();
        let answers = loaded.answers(&texts, max_tokens, |_| {})?;
        let is_right =
            |(row, answer): &(&Example, &String)| answer::parse(answer).is_ok_and(|label| label == row.label);
        let n_right = validation.iter().zip(&answers).filter(is_right).count();
        Ok(n_right as f64 / validation.len() as f64)
    })
    .await
}

/// Is it the settings' own fault that a training failed: a loss that is no number, or that runs away?
pub(super) fn is_bad_point(error: &Error) -> bool {
    let source = std::error::Error::source(error);
    let kind =
        source.and_then(|source| source.downcast_ref::<loopwright_train::Error>()).map(loopwright_train::Error::kind);
    matches!(kind, Some(loopwright_train::Kind::NotFinite | loopwright_train::Kind::Diverged))
}
