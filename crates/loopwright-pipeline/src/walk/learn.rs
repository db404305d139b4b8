//! Stages 1 to 5: from messages to a signed package.

use super::Walk;
use crate::{
    error::{Error, Result},
    jobs::{
        collect::{self, Collected},
        curate,
        judge::{self, Against, Suite},
        package, train,
    },
    runner::Marks,
};
use loopwright_types::{
    DatasetVersion, Digest, ModelRef, ModelVersion, Split,
    deployment::Package,
    id::RunId,
    run::Run,
    score::{Evaluation, Verdict},
};
use serde::{Deserialize, Serialize};

pub(crate) async fn collect(walk: Walk, _: Marks) -> Result<Collected> {
    collect::collect(&walk.ctx, &walk.it).await
}

pub(crate) fn say_collected(walk: &Walk, it: &Collected) {
    walk.ctx.say(format!(
        "{} messages of {} customers read; {} malformed rows kept aside with their reasons",
        it.n_rows, it.n_subjects, it.n_rejected
    ));
}

pub(crate) async fn curate(walk: Walk, _: Marks) -> Result<DatasetVersion> {
    curate::from_raw(&walk.ctx, &walk.it).await
}

pub(crate) fn say_curated(walk: &Walk, it: &DatasetVersion) {
    let card = &it.card;
    let masked: u64 = card.pii.values().sum();
    walk.ctx.say(format!(
        "dataset {}: {} rows kept in {} labels; {} exact and {} near-duplicates, {} suspected wrong labels and other dirt dropped, each with its reason",
        it.dataset,
        it.n_rows,
        card.labels.len(),
        card.n_exact_duplicates,
        card.n_near_duplicates,
        card.n_label_conflicts,
    ));
    walk.ctx
        .say(format!("{masked} pieces of personal data masked; no near-duplicate crosses from training to judging"));
}

/// What training made.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Trained {
    /// The base, pre-trained on the project's text.
    pub base: ModelRef,
    /// The adapter that answers with an intent.
    pub adapter: ModelRef,
    /// Parameters of the base.
    pub n_parameters: u64,
    /// Parameters of the adapter.
    pub n_adapter_parameters: u64,
    /// The pre-training run.
    pub pretrain_run: RunId,
    /// The fine-tuning run.
    pub finetune_run: RunId,
    /// Last training loss of the fine-tuning.
    pub loss: f64,
    /// Tokens learned from per second, fine-tuning.
    pub tokens_per_s: f64,
}

pub(crate) async fn train(walk: Walk, _: Marks) -> Result<Trained> {
    let dataset = curate::require_newest(&walk.ctx, &walk.it).await?.dataset;
    let base = train::base(&walk.ctx, &walk.it, &dataset).await?;
    let adapter = train::finetune(&walk.ctx, &walk.it, &dataset, &base.model, None).await?;
    trained(&walk, &base, &adapter).await
}

async fn trained(walk: &Walk, base: &ModelVersion, adapter: &ModelVersion) -> Result<Trained> {
    let run: Run = walk.ctx.store.require(train::run_of(adapter)?.as_str()).await?;
    let metric = |name: &str| run.metrics.get(name).copied().unwrap_or(f64::NAN);
    Ok(Trained {
        base: base.model.clone(),
        adapter: adapter.model.clone(),
        n_parameters: base.n_parameters,
        n_adapter_parameters: adapter.n_parameters,
        pretrain_run: train::run_of(base)?.clone(),
        finetune_run: train::run_of(adapter)?.clone(),
        loss: metric(train::TRAIN_LOSS),
        tokens_per_s: metric(train::TOKENS_PER_S),
    })
}

pub(crate) fn say_trained(walk: &Walk, it: &Trained) {
    walk.ctx.say(format!(
        "{}: {:.2} M parameters from random weights; {}: a LoRA adapter of {:.0} k, loss {:.3}, {:.0} tokens/s",
        it.base,
        it.n_parameters as f64 / 1e6,
        it.adapter,
        it.n_adapter_parameters as f64 / 1e3,
        it.loss,
        it.tokens_per_s,
    ));
}

pub(crate) async fn judge(walk: Walk, _: Marks) -> Result<Evaluation> {
    let (ctx, it) = (&walk.ctx, &walk.it);
    let model = train::newest_adapter(ctx, it).await?.model;
    let dataset = curate::require_newest(ctx, it).await?.dataset;
    let suite = Suite { dataset, split: Split::Test, name: "test".into() };
    let evaluation = judge::judge(ctx, it, &model, &suite, &Against::Rules).await?;
    judge::write_report(ctx, &evaluation, None)?;
    match evaluation.gate.as_ref().map(|gate| gate.verdict) {
        Some(Verdict::Pass) => Ok(evaluation),
        _ => Err(Error::user(format!("`{model}` did not pass its gate ({})", judge::open_rules(&evaluation)))
            .hint("the report is under `exports/`; the rules are in `[eval.*]` of the project file")),
    }
}

pub(crate) fn say_judged(walk: &Walk, it: &Evaluation) {
    let baseline = |b: &loopwright_types::score::Scores| format!("{} {}", b.predictor, b.accuracy);
    let baselines = it.baselines.iter().map(baseline).collect::<Vec<_>>().join(", ");
    walk.ctx.say(format!(
        "accuracy {} on {} held-out rows (95% interval), macro-F1 {}; beside it: {baselines}",
        it.scores.accuracy, it.scores.n_rows, it.scores.macro_f1
    ));
    if let Some(pair) = it.confused.first() {
        walk.ctx.say(format!("most confused: `{}` answered as `{}`, {} times", pair.expected, pair.got, pair.n_rows));
    }
    if let Some(gap) = &it.fairness {
        walk.ctx.say(format!("gap between `{}` and `{}` customers: {}", gap.best, gap.worst, gap.gap));
    }
    walk.ctx.say("the gate passes: every rule holds at the far end of its interval");
}

/// A package, and the proof that building it twice gives the same bytes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Packaged {
    /// The package.
    pub package: Package,
    /// The digest of a second build.
    pub rebuilt: Digest,
}

pub(crate) async fn package(walk: Walk, _: Marks) -> Result<Packaged> {
    let model = train::newest_adapter(&walk.ctx, &walk.it).await?.model;
    let package = package::package(&walk.ctx, &model).await?;
    let rebuilt = package::rebuild_digest(&walk.ctx, &model).await?;
    if rebuilt != package.digest {
        return Err(Error::bug(format!("two builds of the package differ: {} and {rebuilt}", package.digest)));
    }
    Ok(Packaged { package, rebuilt })
}

pub(crate) fn say_packaged(walk: &Walk, it: &Packaged) {
    let mib = it.package.size_bytes as f64 / f64::from(1 << 20);
    walk.ctx.say(format!(
        "OCI image {} ({mib:.1} MiB), the same digest from a second build; signed by key {}",
        it.package.digest.short(),
        &it.package.signed_by[..12]
    ));
}
