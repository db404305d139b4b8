//! `eval` and `gate`: how good a model is, and whether that is good enough.

use crate::{output::Answer, table::Table, table::pairs, units};
use loopwright_pipeline::{
    Context,
    jobs::{
        curate,
        judge::{self, Against, Suite},
        train,
    },
    project::LoopSettings,
};
use loopwright_types::{
    ModelRef, Split,
    score::{Evaluation, GateReport, Scores, Verdict},
};
use std::path::Path;

/// Confused pairs shown.
const N_CONFUSED: usize = 5;

pub async fn eval(ctx: &Context, it: &LoopSettings, model: Option<&ModelRef>) -> anyhow::Result<Answer> {
    let model = model_or_newest(ctx, it, model).await?;
    let evaluation = judge::judge(ctx, it, &model, &suite(ctx, it).await?, &Against::NoGate).await?;
    let text = told(&evaluation);
    Ok(Answer::new(evaluation, text).with_talk("next: `loopwright gate` decides whether that is good enough"))
}

pub async fn gate(
    ctx: &Context,
    it: &LoopSettings,
    model: Option<&ModelRef>,
    report: Option<&Path>,
) -> anyhow::Result<Answer> {
    let model = model_or_newest(ctx, it, model).await?;
    let against = Against::live_or_rules(ctx, it, &model).await?;
    let evaluation = judge::judge(ctx, it, &model, &suite(ctx, it).await?, &against).await?;
    let path = judge::write_report(ctx, &evaluation, report)?;
    let passed = evaluation.gate.as_ref().is_some_and(|gate| gate.verdict == Verdict::Pass);
    let decided = evaluation.gate.as_ref().map(rules).unwrap_or_default();
    let text = format!("{}\n{decided}", told(&evaluation));
    let talk = format!("the report is `{}`", path.display());
    let mut answer = Answer::new(&evaluation, text).with_talk(talk).with_passed(passed);
    answer.json["report"] = path.to_string_lossy().into();
    Ok(answer)
}

/// The named version, or the loop's newest adapter.
pub async fn model_or_newest(ctx: &Context, it: &LoopSettings, model: Option<&ModelRef>) -> anyhow::Result<ModelRef> {
    Ok(match model {
        Some(model) => model.clone(),
        None => train::newest_adapter(ctx, it).await?.model,
    })
}

/// The newest version's held-out rows.
async fn suite(ctx: &Context, it: &LoopSettings) -> anyhow::Result<Suite> {
    let dataset = curate::require_newest(ctx, it).await?.dataset;
    Ok(Suite { dataset, split: Split::Test, name: "test".into() })
}

fn told(evaluation: &Evaluation) -> String {
    let mut scores = vec![(evaluation.model.to_string(), &evaluation.scores)];
    scores.extend(evaluation.baselines.iter().map(|baseline| (format!("baseline: {}", baseline.predictor), baseline)));
    let row =
        |(name, scores): &(String, &Scores)| [name.clone(), scores.accuracy.to_string(), scores.macro_f1.to_string()];
    let table = Table::of(["predictor", "accuracy", "macro-F1"], &scores, row);
    let fairness = evaluation.fairness.as_ref();
    let gap = fairness.map(|gap| format!("{} (`{}` over `{}`)", gap.gap, gap.best, gap.worst));
    let facts = pairs(&[
        (
            "rows",
            format!(
                "{} of {}, {}",
                units::count(evaluation.scores.n_rows),
                evaluation.dataset,
                evaluation.split.as_str()
            ),
        ),
        ("valid JSON", format!("{:.1}%", 100.0 * evaluation.valid_json)),
        ("gap between groups", units::or_dash(gap)),
        ("intervals", format!("{:.0}%", 100.0 * evaluation.scores.accuracy.level)),
        ("evaluation", evaluation.id.to_string()),
    ]);
    let mut text = format!("{table}\n{facts}");
    for pair in evaluation.confused.iter().take(N_CONFUSED) {
        text.push_str(&format!("confused: `{}` answered as `{}`, {} times\n", pair.expected, pair.got, pair.n_rows));
    }
    text
}

fn rules(gate: &GateReport) -> String {
    let table = Table::of(["rule", "measured", ">bound", "verdict", ">rows to decide"], &gate.rules, |rule| {
        let needed = units::or_dash(rule.n_rows_needed.map(units::count));
        [
            rule.rule.clone(),
            rule.measured.to_string(),
            format!("{:.3}", rule.bound),
            rule.verdict.as_str().into(),
            needed,
        ]
    });
    let compared =
        gate.compared_with.as_ref().map(|live| format!(", beside `{live}` on the same rows")).unwrap_or_default();
    let verdict = match gate.verdict {
        Verdict::Pass => "passes",
        Verdict::Fail => "does not pass",
        Verdict::NeedMore => "cannot tell yet: it needs more rows",
    };
    format!("{table}\nthe gate {verdict} (each rule at {:.0}% risk of a false pass{compared})\n", 100.0 * gate.alpha)
}
