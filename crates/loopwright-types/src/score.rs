//! Scores with their uncertainty, and verdicts that rest on it.

use crate::{DatasetRef, Entity, Split, Timestamp, id::EvaluationId, model::ModelRef};
use serde::{Deserialize, Serialize};

/// An estimate with its confidence interval.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Interval {
    /// Lower end.
    pub low: f64,
    /// The estimate.
    pub point: f64,
    /// Upper end.
    pub high: f64,
    /// Confidence level, e.g. 0.95.
    pub level: f64,
}

impl Interval {
    /// True if every value of this interval is above every value of the other.
    pub fn is_above(&self, other: &Interval) -> bool {
        self.low > other.high
    }
}

impl std::fmt::Display for Interval {
    /// `0.912 [0.894, 0.927]`
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:.3} [{:.3}, {:.3}]", self.point, self.low, self.high)
    }
}

/// Scores of one predictor on one set of rows.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Scores {
    /// Who predicts: `model`, `majority`, `linear n-grams`.
    pub predictor: String,
    /// Rows judged.
    pub n_rows: u64,
    /// Share of right answers.
    pub accuracy: Interval,
    /// Unweighted mean of the F1 scores of the labels.
    pub macro_f1: Interval,
}

/// Scores of the rows of one label.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SliceScore {
    /// The label (or group) the rows share.
    pub name: String,
    /// Rows in the slice.
    pub n_rows: u64,
    /// Share of right answers.
    pub accuracy: Interval,
    /// F1 of this label (0 for groups).
    pub f1: f64,
}

/// How often one label was answered for another.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ConfusedPair {
    /// The right label.
    pub expected: String,
    /// The answer.
    pub got: String,
    /// How often.
    pub n_rows: u64,
}

/// The difference in accuracy between two groups of customers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct GroupGap {
    /// Group with the highest accuracy.
    pub best: String,
    /// Group with the lowest accuracy.
    pub worst: String,
    /// Accuracy of best minus worst (Newcombe's hybrid score interval, 1998).
    pub gap: Interval,
    /// Each group's own figures.
    pub groups: Vec<SliceScore>,
}

/// A full evaluation of a model version on held-out rows.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Evaluation {
    /// Its id.
    pub id: EvaluationId,
    /// Who was judged.
    pub model: ModelRef,
    /// On which rows.
    pub dataset: DatasetRef,
    /// On which part of them.
    pub split: Split,
    /// Or on rows outside any dataset (e.g. `month-2`): says which.
    pub suite: String,
    /// The model's scores.
    pub scores: Scores,
    /// The baselines' scores on the same rows.
    pub baselines: Vec<Scores>,
    /// By label.
    pub slices: Vec<SliceScore>,
    /// Most confused first.
    pub confused: Vec<ConfusedPair>,
    /// Between groups, where rows carry a group.
    pub fairness: Option<GroupGap>,
    /// Share of answers that were valid JSON with an `intent` string.
    pub valid_json: f64,
    /// The gate's decision, if one was asked.
    pub gate: Option<GateReport>,
    /// When it was made.
    pub created_at: Timestamp,
}

impl Entity for Evaluation {
    const KIND: &'static str = "evaluation";

    fn id(&self) -> String {
        self.id.0.clone()
    }
}

/// What a gate decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Every rule holds, intervals considered.
    Pass,
    /// A rule is broken.
    Fail,
    /// The interval straddles the bound: more rows are needed.
    NeedMore,
}

impl Verdict {
    /// The stored word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::Fail => "fail",
            Self::NeedMore => "need_more",
        }
    }
}

/// One rule of a gate and how it came out.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct GateRule {
    /// The rule in words, e.g. `accuracy is at least 0.80`.
    pub rule: String,
    /// The measured value.
    pub measured: Interval,
    /// The bound that it is held against.
    pub bound: f64,
    /// How it came out.
    pub verdict: Verdict,
    /// For `need_more`: about how many rows would decide it.
    pub n_rows_needed: Option<u64>,
}

/// A gate's decision with its grounds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct GateReport {
    /// The decision: fails if any rule fails, needs more if any needs more.
    pub verdict: Verdict,
    /// Error rate of a false pass, per rule.
    pub alpha: f64,
    /// The rules.
    pub rules: Vec<GateRule>,
    /// The model it was compared with on the same rows, if any.
    pub compared_with: Option<ModelRef>,
}
