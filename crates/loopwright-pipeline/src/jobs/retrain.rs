//! Retrain: the loop again, on more rows (after an alarm) or on fewer (after an erasure).

use super::{
    curate, deploy,
    judge::{Against, Suite, judge},
    package::package,
    train,
};
use crate::{
    context::Context,
    error::{Error, Result},
    project::LoopSettings,
};
use loopwright_store::Change;
use loopwright_types::{
    DatasetVersion, Entity, ModelRef, ModelVersion, Split,
    event::NewEvent,
    id::ErasureId,
    score::{Evaluation, Verdict},
    subject::Erasure,
};
use serde::{Deserialize, Serialize};

/// The job that answers an alarm.
pub const RETRAIN: &str = "retrain";

/// What a retraining made.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Retrained {
    /// The dataset version it learned from.
    pub dataset: DatasetVersion,
    /// The new version.
    pub model: ModelRef,
    /// Its evaluation beside the live version, with the gate's decision.
    pub evaluation: Evaluation,
}

impl Retrained {
    /// Did the gate let it through?
    pub fn passed(&self) -> bool {
        self.evaluation.gate.as_ref().is_some_and(|gate| gate.verdict == Verdict::Pass)
    }
}

/// The newest rows with the corrections on top, a new adapter grown from the live one, judged beside it on the same rows;
/// if the gate passes it is packaged and gets a canary's share of the traffic.
pub async fn retrain(ctx: &Context, it: &LoopSettings) -> Result<Retrained> {
    let live = deploy::live(ctx, it).await?;
    let live = live.ok_or_else(|| {
        Error::user(format!("loop `{}` has no live model to retrain", it.name)).hint("run `loopwright run deploy`")
    })?;
    let dataset = curate::with_corrections(ctx, it).await?;
    let live_version: ModelVersion = ctx.store.require(&live.to_string()).await?;
    let base = live_version.base.clone().unwrap_or_else(|| live.clone());
    let version = train::finetune(ctx, it, &dataset.dataset, &base, Some(&live)).await?;
    let suite = Suite { dataset: dataset.dataset.clone(), split: Split::Test, name: "test".into() };
    let evaluation = judge(ctx, it, &version.model, &suite, &Against::Live(live)).await?;
    let retrained = Retrained { dataset, model: version.model.clone(), evaluation };
    if retrained.passed() {
        package(ctx, &version.model).await?;
        deploy::start_canary(ctx, it, &version.model).await?;
    }
    Ok(retrained)
}

/// A whole new base and adapter from rows that no longer hold the erased person's, live once the gate's rules pass.
///
/// The live model is no yardstick here: it has to go whatever it scores.
pub async fn retrain_without(ctx: &Context, it: &LoopSettings, erasure: &ErasureId) -> Result<Retrained> {
    let dataset = curate::with_corrections(ctx, it).await?;
    let base = train::base(ctx, it, &dataset.dataset).await?;
    let version = train::finetune(ctx, it, &dataset.dataset, &base.model, None).await?;
    let suite = Suite { dataset: dataset.dataset.clone(), split: Split::Test, name: "test".into() };
    let evaluation = judge(ctx, it, &version.model, &suite, &Against::Rules).await?;
    let retrained = Retrained { dataset, model: version.model.clone(), evaluation };
    if !retrained.passed() {
        return Err(Error::user(format!(
            "`{}`, trained without the erased rows, did not pass its gate",
            version.model
        ))
        .hint(
            "the erasure stays open; see `loopwright gate`, and make a version live yourself with `loopwright promote`",
        ));
    }
    package(ctx, &version.model).await?;
    deploy::deploy(ctx, it, &version.model).await?;
    let mut erasure: Erasure = ctx.store.require(erasure.as_str()).await?;
    erasure.retrained = Some(version.model);
    let event = NewEvent::new(ctx.actor, "erasure.retrained", erasure.entity_ref());
    ctx.store
        .apply(event.with_body(serde_json::json!({"model": erasure.retrained})), vec![Change::put(&erasure)])
        .await?;
    Ok(retrained)
}
