//! Judging: how good is a model, how sure are we, may it be served, and why did it answer that?
//!
//! Everything here is pure. Models come in as their answers or as closures, and values of
//! [`loopwright_types::score`] and [`loopwright_types::deployment`] go out; nothing is stored and nobody acts on a
//! verdict here. Random draws are seeded: the same input gives the same bits.
//!
//! - [`row::JudgedRow`]: a held-out row with the model's answer, read strictly by [`answer`].
//! - [`report::evaluate`]: scores with intervals, beside two [`baseline`]s, by label, by pair of confused labels, and
//!   by group of customers ([`fairness`]).
//! - [`gate::decide`]: pass, fail or "needs more rows", from intervals, with a known error rate;
//!   [`gate::to_markdown`] writes it down.
//! - [`sequential`]: the canary's test, valid at every look.
//! - [`explain`]: exact Shapley values, LIME, and the nearest training rows.
//! - [`interval`], [`paired`], [`bootstrap`], [`metrics`], [`distribution`]: the statistics under all of it.
//!
//! ```
//! use loopwright_eval::{baseline, baseline::LabelledText, gate, report, row::JudgedRow};
//! use loopwright_types::{DatasetRef, ModelRef, Split, Timestamp, score::Verdict};
//!
//! let train = [("where is my card", "delivery"), ("card has not come", "delivery"), ("i want a refund", "refund")]
//!     .map(|(text, label)| LabelledText { text, label });
//! let texts: Vec<String> = (0..60).map(|i| format!("{} {i}", if i % 2 == 0 { "my card" } else { "refund" })).collect();
//! let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
//! let rows: Vec<JudgedRow> = (0..60)
//!     .map(|i| {
//!         let label = if i % 2 == 0 { "delivery" } else { "refund" };
//!         let answer = format!(r#"{{"intent": "{label}"}}"#);
//!         JudgedRow::from_answer_text(format!("row-{i}").as_str().into(), label.into(), &answer, None)
//!     })
//!     .collect();
//!
//! let baselines = baseline::answer_all(&train, &texts, 7).unwrap();
//! let mut evaluation = report::evaluate(report::EvaluationInput {
//!     id: "eval-1".into(),
//!     model: ModelRef::new("support", 1),
//!     dataset: DatasetRef::new("support", 1),
//!     split: Split::Test,
//!     suite: "test".into(),
//!     rows: &rows,
//!     baselines: &baselines,
//!     settings: report::ReportSettings::default(),
//!     created_at: Timestamp(0),
//! })
//! .unwrap();
//! let settings = gate::GateSettings { min_accuracy: Some(0.90), ..Default::default() };
//! let input = gate::GateInput { settings: &settings, rows: &rows, majority: Some(&baselines[0]), live: None };
//! evaluation.gate = Some(gate::decide(&input).unwrap());
//!
//! assert_eq!(evaluation.scores.accuracy.to_string(), "1.000 [0.940, 1.000]");
//! assert_eq!(evaluation.gate.as_ref().unwrap().verdict, Verdict::Pass);
//! assert!(gate::to_markdown(&evaluation).contains("Passed"));
//! ```

pub mod answer;
pub mod baseline;
pub mod bootstrap;
pub mod distribution;
pub mod error;
pub mod explain;
pub mod fairness;
pub mod gate;
pub mod interval;
pub mod metrics;
pub mod paired;
pub mod report;
pub mod row;
pub mod sequential;

pub use error::{BoxError, Error, ErrorKind, Result};
pub use row::JudgedRow;
