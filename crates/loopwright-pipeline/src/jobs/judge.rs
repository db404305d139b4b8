//! Judge: a version on held-out rows, beside honest baselines, and the gate's decision.

use super::{collect::in_background, deploy, predict, train::dataset_of};
use crate::{
    context::Context,
    error::{Doing, Error, Result},
    project::{EvalSettings, LoopSettings, write_whole},
};
use loopwright_eval::{
    baseline::{BaselineAnswers, LabelledText, answer_all},
    gate::{self, GateInput, GateSettings, LiveRows},
    report::{EvaluationInput, ReportSettings, evaluate},
    row::JudgedRow,
};
use loopwright_store::Change;
use loopwright_types::{
    DatasetRef, Entity, EntityRef, Example, ModelRef, ModelVersion, Split,
    event::NewEvent,
    id::EvaluationId,
    lineage::Edge,
    model::ModelState,
    score::{Evaluation, GateRule, Verdict},
};
use std::path::{Path, PathBuf};

/// Which rows to judge on.
#[derive(Clone, Debug)]
pub struct Suite {
    /// The dataset version.
    pub dataset: DatasetRef,
    /// The part of it.
    pub split: Split,
    /// What people call it, e.g. `test` or `later month`.
    pub name: String,
}

/// What the gate compares with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Against {
    /// No gate is asked.
    NoGate,
    /// The rules of the project file alone.
    Rules,
    /// Also the live version, on the same rows.
    Live(ModelRef),
}

impl Against {
    /// The live version if there is another one than `model`, else the rules alone.
    pub async fn live_or_rules(ctx: &Context, it: &LoopSettings, model: &ModelRef) -> Result<Self> {
        Ok(match deploy::live(ctx, it).await? {
            Some(live) if live != *model => Self::Live(live),
            _ => Self::Rules,
        })
    }
}

/// Judges a version on a suite and lets the gate decide. An approved candidate is marked so.
pub async fn judge(
    ctx: &Context,
    it: &LoopSettings,
    model: &ModelRef,
    suite: &Suite,
    against: &Against,
) -> Result<Evaluation> {
    let version: ModelVersion = ctx.store.require(&model.to_string()).await?;
    let rows = ctx.store.tables().read_examples(&suite.dataset, Some(suite.split)).await?;
    if rows.is_empty() {
        return Err(Error::user(format!("`{}` has no `{}` rows to judge on", suite.dataset, suite.split.as_str())));
    }
    // The baselines learn from the very rows that the model learned from.
    let train = ctx.store.tables().read_examples(dataset_of(&version)?, Some(Split::Train)).await?;
    let judged = answers_of(ctx, it, &version, &rows).await?;
    let baselines = baselines(&train, &rows, ctx.seed_for("baselines")).await?;
    let mut evaluation = report(ctx, model, suite, &judged, &baselines).await?;
    evaluation.gate = match against {
        Against::NoGate => None,
        Against::Rules => Some(decide(&it.eval, &judged, &baselines, None)?),
        Against::Live(live) => {
            let live_version: ModelVersion = ctx.store.require(&live.to_string()).await?;
            let live_rows = answers_of(ctx, it, &live_version, &rows).await?;
            Some(decide(&it.eval, &judged, &baselines, Some(LiveRows { model: live.clone(), rows: &live_rows }))?)
        }
    };
    record(ctx, version, &evaluation).await?;
    Ok(evaluation)
}

/// A version's answers to rows, judged.
pub async fn answers_of(
    ctx: &Context,
    it: &LoopSettings,
    version: &ModelVersion,
    rows: &[Example],
) -> Result<Vec<JudgedRow>> {
    let (ctx, version, rows) = (ctx.clone(), version.clone(), rows.to_vec());
    let max_tokens = it.route.max_answer_tokens;
    in_background(move || {
        let loaded = predict::load(&ctx, &version)?;
        let texts: Vec<&str> = rows.iter().map(|row| row.text.as_str()).collect();
        let tick =
            |done: u64| ctx.progress(&format!("judging {}", version.model), done, texts.len() as u64, String::new());
        let answers = loaded.answers(&texts, max_tokens, tick)?;
        let judged = |(row, answer): (&Example, String)| {
            JudgedRow::from_answer_text(row.row_id.clone(), row.label.clone(), &answer, row.group.clone())
        };
        Ok(rows.iter().zip(answers).map(judged).collect())
    })
    .await
}

async fn baselines(train: &[Example], rows: &[Example], seed: u64) -> Result<Vec<BaselineAnswers>> {
    let (train, rows) = (train.to_vec(), rows.to_vec());
    in_background(move || {
        let labelled: Vec<_> = train.iter().map(|row| LabelledText { text: &row.text, label: &row.label }).collect();
        let texts: Vec<&str> = rows.iter().map(|row| row.text.as_str()).collect();
        let both = answer_all(&labelled, &texts, seed).doing(|| "failed to fit the baselines".into())?;
        Ok(both.into())
    })
    .await
}

async fn report(
    ctx: &Context,
    model: &ModelRef,
    suite: &Suite,
    judged: &[JudgedRow],
    baselines: &[BaselineAnswers],
) -> Result<Evaluation> {
    let (model, suite, judged, baselines) = (model.clone(), suite.clone(), judged.to_vec(), baselines.to_vec());
    let id = EvaluationId::new(ctx.store.new_id("eval"));
    let (seed, created_at) = (ctx.seed_for("bootstrap"), ctx.store.now());
    in_background(move || {
        let input = EvaluationInput {
            id,
            model,
            dataset: suite.dataset,
            split: suite.split,
            suite: suite.name,
            rows: &judged,
            baselines: &baselines,
            settings: ReportSettings { seed, ..Default::default() },
            created_at,
        };
        evaluate(input).doing(|| "failed to evaluate".into())
    })
    .await
}

fn decide(
    eval: &EvalSettings,
    rows: &[JudgedRow],
    baselines: &[BaselineAnswers],
    live: Option<LiveRows<'_>>,
) -> Result<loopwright_types::score::GateReport> {
    let settings = GateSettings {
        alpha: eval.alpha,
        min_accuracy: (eval.min_accuracy > 0.0).then_some(eval.min_accuracy),
        max_regression: Some(eval.max_regression),
        beat_majority: true,
        max_group_gap: (eval.max_group_gap < 1.0 && rows.iter().any(|row| row.group.is_some()))
            .then_some(eval.max_group_gap),
        min_valid_json: (eval.min_valid_json > 0.0).then_some(eval.min_valid_json),
        ..Default::default()
    };
    let input = GateInput { settings: &settings, rows, majority: baselines.first(), live };
    gate::decide(&input).doing(|| "the gate could not decide".into())
}

async fn record(ctx: &Context, mut version: ModelVersion, evaluation: &Evaluation) -> Result<()> {
    let about = evaluation.entity_ref();
    let verdict = evaluation.gate.as_ref().map(|gate| gate.verdict);
    let body = serde_json::json!({
        "model": evaluation.model,
        "suite": evaluation.suite,
        "accuracy": evaluation.scores.accuracy,
        "verdict": verdict,
    });
    let mut changes = vec![
        Change::put(evaluation),
        Change::Link(Edge::new(EntityRef::from(&evaluation.model), "evaluated", about.clone())),
        Change::Link(Edge::new(EntityRef::from(&evaluation.dataset), "judged_by", about.clone())),
    ];
    if verdict == Some(Verdict::Pass) && version.state == ModelState::Candidate {
        version.state = ModelState::Approved;
        changes.push(Change::put(&version));
    }
    ctx.store.apply(NewEvent::new(ctx.actor, "model_version.judged", about).with_body(body), changes).await?;
    Ok(())
}

/// The rules of its gate that do not hold, in words: what an error says.
pub fn open_rules(evaluation: &Evaluation) -> String {
    let rules = evaluation.gate.iter().flat_map(|gate| &gate.rules).filter(|rule| rule.verdict != Verdict::Pass);
    let told = |rule: &GateRule| {
        format!("{}: {}, measured {}", rule.rule, rule.verdict.as_str().replace('_', " "), rule.measured)
    };
    rules.map(told).collect::<Vec<_>>().join("; ")
}

/// Writes the gate's report for a reviewer. By default under `exports/`.
pub fn write_report(ctx: &Context, evaluation: &Evaluation, path: Option<&Path>) -> Result<PathBuf> {
    let name = format!("gate-{}.md", evaluation.model.to_string().replace('@', "-"));
    let path = path.map_or_else(|| ctx.project.dir.join("exports").join(name), Path::to_path_buf);
    write_whole(&path, &gate::to_markdown(evaluation))?;
    Ok(path)
}
