//! A full evaluation from judged rows: scores with intervals beside the baselines', slices, confusion, fairness.

use crate::{
    baseline::BaselineAnswers,
    bootstrap::macro_f1_interval,
    error::{Error, Result},
    fairness::group_gap,
    interval::{Share, wilson},
    metrics::{Outcome, accuracy, by_label, confused_pairs},
    row::{JudgedRow, by_group, outcomes, valid_answers},
};
use loopwright_types::{
    DatasetRef, ModelRef, Split, Timestamp,
    id::EvaluationId,
    score::{Evaluation, Scores, SliceScore},
};

/// The predictor's name of the judged model in [`Scores`].
pub const MODEL: &str = "model";

/// How figures are made.
#[derive(Clone, Debug, PartialEq)]
pub struct ReportSettings {
    /// Two-sided confidence level of every interval.
    pub level: f64,
    /// Resamples for the interval of macro-F1 (at least [`crate::bootstrap::N_RESAMPLES_MIN`]).
    pub n_resamples: u32,
    /// Seed of the resamples.
    pub seed: u64,
    /// Confused pairs to keep.
    pub n_confused_max: usize,
}

impl Default for ReportSettings {
    fn default() -> Self {
        Self { level: 0.95, n_resamples: 2000, seed: 0, n_confused_max: 20 }
    }
}

/// What an evaluation is made from.
#[derive(Clone, Debug)]
pub struct EvaluationInput<'a> {
    /// The evaluation's id.
    pub id: EvaluationId,
    /// Who is judged.
    pub model: ModelRef,
    /// On which rows.
    pub dataset: DatasetRef,
    /// On which part of them.
    pub split: Split,
    /// Name of the suite, e.g. `test` or `month-2`.
    pub suite: String,
    /// The rows with the model's answers.
    pub rows: &'a [JudgedRow],
    /// What the baselines answer on the same rows.
    pub baselines: &'a [BaselineAnswers],
    /// How figures are made.
    pub settings: ReportSettings,
    /// The time of the evaluation.
    pub created_at: Timestamp,
}

/// Judges the rows. The gate's decision is left open; see [`crate::gate::decide`].
pub fn evaluate(input: EvaluationInput<'_>) -> Result<Evaluation> {
    let settings = &input.settings;
    if !(0.5..1.0).contains(&settings.level) {
        return Err(Error::Input(format!("expected a confidence level from 0.5 to below 1, got {}", settings.level)));
    }
    let judged = outcomes(input.rows);
    let baselines = input
        .baselines
        .iter()
        .map(|baseline| scores(&baseline.name, &baseline_outcomes(input.rows, baseline)?, settings))
        .collect::<Result<Vec<_>>>()?;
    Ok(Evaluation {
        id: input.id,
        model: input.model,
        dataset: input.dataset,
        split: input.split,
        suite: input.suite,
        scores: scores(MODEL, &judged, settings)?,
        baselines,
        slices: slices(&judged, settings.level),
        confused: confused_pairs(&judged, settings.n_confused_max),
        fairness: group_gap(&by_group(input.rows), settings.level),
        valid_json: valid_answers(input.rows).value(),
        gate: None,
        created_at: input.created_at,
    })
}

fn scores(predictor: &str, outcomes: &[Outcome<'_>], settings: &ReportSettings) -> Result<Scores> {
    Ok(Scores {
        predictor: predictor.to_string(),
        n_rows: outcomes.len() as u64,
        accuracy: wilson(accuracy(outcomes), settings.level),
        macro_f1: macro_f1_interval(outcomes, settings.level, settings.n_resamples, settings.seed)?,
    })
}

fn slices(outcomes: &[Outcome<'_>], level: f64) -> Vec<SliceScore> {
    let slice = |(name, counts): (String, crate::metrics::LabelCounts)| SliceScore {
        name,
        n_rows: counts.n_rows,
        accuracy: wilson(Share::new(counts.n_right, counts.n_rows), level),
        f1: counts.f1(),
    };
    by_label(outcomes).into_iter().map(slice).collect()
}

fn baseline_outcomes<'a>(rows: &'a [JudgedRow], baseline: &'a BaselineAnswers) -> Result<Vec<Outcome<'a>>> {
    if baseline.labels.len() != rows.len() {
        return Err(Error::Input(format!(
            "expected {} answers of the baseline `{}`, got {}",
            rows.len(),
            baseline.name,
            baseline.labels.len()
        )));
    }
    Ok(rows.iter().zip(&baseline.labels).map(|(row, got)| Outcome::new(&row.expected, got)).collect())
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// Rows of label a (12, of which 10 right, group `x`) and label b (8, of which 5 right, one without answer,
    /// group `y`).
    pub(crate) fn rows() -> Vec<JudgedRow> {
        let row = |i: usize| {
            let expected = if i < 12 { "a" } else { "b" };
            let answer = match i {
                0 | 1 => r#"{"intent":"b"}"#,
                12 | 13 => r#"{"intent":"a"}"#,
                14 => "sorry",
                _ if i < 12 => r#"{"intent":"a"}"#,
                _ => r#"{"intent":"b"}"#,
            };
            let group = if i < 12 { "x" } else { "y" };
            JudgedRow::from_answer_text(format!("r{i}").as_str().into(), expected.into(), answer, Some(group.into()))
        };
        (0..20).map(row).collect()
    }

    pub(crate) fn majority(rows: &[JudgedRow]) -> BaselineAnswers {
        BaselineAnswers { name: crate::baseline::MAJORITY.into(), labels: vec!["a".into(); rows.len()] }
    }

    pub(crate) fn evaluation() -> Evaluation {
        let rows = rows();
        evaluate(EvaluationInput {
            id: "eval_1".into(),
            model: ModelRef::new("support", 2),
            dataset: DatasetRef::new("support", 1),
            split: Split::Test,
            suite: "test".into(),
            rows: &rows,
            baselines: &[majority(&rows)],
            settings: ReportSettings::default(),
            created_at: Timestamp(0),
        })
        .unwrap()
    }

    #[test]
    fn an_evaluation_by_hand() {
        let evaluation = evaluation();
        assert_eq!(evaluation.scores.n_rows, 20);
        assert_eq!(evaluation.scores.accuracy.point, 0.75);
        // a: 10 right, 12 rows, 12 answers. b: 5 right, 8 rows, 7 answers.
        assert!((evaluation.scores.macro_f1.point - (20.0 / 24.0 + 10.0 / 15.0) / 2.0).abs() < 1e-12);
        assert_eq!(evaluation.baselines[0].accuracy.point, 0.6);
        assert_eq!(evaluation.valid_json, 0.95);
        assert_eq!(evaluation.slices.len(), 2);
        assert_eq!((evaluation.slices[1].n_rows, evaluation.slices[1].accuracy.point), (8, 0.625));
        let gap = evaluation.fairness.unwrap();
        assert_eq!((gap.best.as_str(), gap.worst.as_str()), ("x", "y"));
        assert_eq!(evaluation.confused.len(), 3);
        assert_eq!(evaluation.confused[0].n_rows, 2);
        assert!(evaluation.gate.is_none());
    }

    #[test]
    fn a_baseline_of_another_length_is_refused() {
        let rows = rows();
        let short = BaselineAnswers { name: "short".into(), labels: vec![] };
        let error = baseline_outcomes(&rows, &short).unwrap_err();
        assert_eq!(error.to_string(), "expected 20 answers of the baseline `short`, got 0");
    }
}
