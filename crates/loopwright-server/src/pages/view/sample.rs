//! Records for the tests of the pages: one small, consistent project.

use super::home::{LoopState, Traffic};
use super::lineage::Lineage;
use loopwright_types::{
    DatasetRef, DatasetVersion, Digest, Entity as _, EntityRef, Example, ModelRef, ModelVersion, Split, Timestamp,
    dataset::{DataCard, DroppedRow, ErasedRows, LengthBin, Origin, RowTokens, StepCount, TokensBin},
    deployment::{Evidence, Package, Rollout, RolloutState, Route, Variant},
    drift::{DriftCheck, MovedTerm},
    event::{Event, GENESIS, NewEvent},
    explain::{Explanation, NearestRow, Segment},
    feedback::Feedback,
    id::{ErasureId, EvaluationId, SubjectId},
    job::{Job, JobState, NewJob},
    lineage::Edge,
    model::{ModelKind, ModelState},
    run::{MetricPoint, Run, RunKind, RunState},
    score::{ConfusedPair, Evaluation, GateReport, GateRule, GroupGap, Interval, Scores, SliceScore, Verdict},
    subject::{Erasure, ErasureState},
    trace::{Attempt, CacheState, GuardAction, GuardFinding, GuardStage, GuardVerdict, Trace, TraceDetail},
};
use std::collections::BTreeMap;

/// The time at which the tests look.
pub const NOW: Timestamp = Timestamp(1_772_366_405_000);

fn counts(pairs: &[(&str, u64)]) -> BTreeMap<String, u64> {
    pairs.iter().map(|(name, n)| (name.to_string(), *n)).collect()
}

fn texts(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(name, text)| (name.to_string(), text.to_string())).collect()
}

/// A version of a dataset.
pub fn dataset() -> DatasetVersion {
    let step = |step: &str, n_in, n_out, n_changed, dropped: &[(&str, u64)]| StepCount {
        step: step.into(),
        n_in,
        n_out,
        n_changed,
        dropped: counts(dropped),
    };
    DatasetVersion {
        dataset: DatasetRef::new("support", 2),
        digest: Digest::of(b"rows"),
        n_rows: 3812,
        parent: Some(DatasetRef::new("support", 1)),
        card: DataCard {
            steps: vec![
                step("normalise", 4500, 4500, 812, &[]),
                step("filter", 4500, 4320, 0, &[("too short", 96), ("language", 84)]),
                step("exact_dedup", 4320, 4150, 0, &[("exact duplicate", 170)]),
                step("near_dedup", 4150, 3860, 0, &[("near-duplicate", 290)]),
                step("label_conflicts", 3860, 3812, 0, &[("label conflict", 48)]),
                step("redact", 3812, 3812, 940, &[]),
            ],
            n_rejected: 3,
            splits: counts(&[("train", 3050), ("validation", 381), ("test", 381)]),
            labels: counts(&[
                ("delivery_status", 512),
                ("invoice", 401),
                ("refund", 388),
                ("cancel_order", 360),
                ("change_address", 344),
                ("password_reset", 330),
                ("damaged_item", 310),
                ("warranty", 295),
                ("payment_failed", 280),
                ("opening_hours", 230),
                ("newsletter", 190),
                ("speak_to_human", 172),
            ]),
            groups: counts(&[("business", 1400), ("private", 2412)]),
            languages: counts(&[("eng", 4310), ("deu", 60), ("fra", 24)]),
            length_chars: [12, 74, 180, 412],
            n_exact_duplicates: 170,
            n_near_duplicates: 290,
            pii: counts(&[("EMAIL", 310), ("PERSON", 505), ("PHONE", 122), ("CARD", 31)]),
            n_label_conflicts: 48,
            n_opted_out: 14,
            n_erased: 0,
            n_corrections: 41,
            n_augmented: BTreeMap::new(),
            lengths: [(20, 210), (50, 1302), (100, 1544), (200, 702), (500, 54)]
                .map(|(chars_max, n_rows)| LengthBin { chars_max, n_rows })
                .to_vec(),
            tokens: Some(RowTokens {
                counted_by: "support-base@1".into(),
                n_tokens: 63_004,
                per_row: [3, 15, 41, 97],
                bins: [(5, 98), (10, 604), (20, 2640), (50, 438), (100, 32)]
                    .map(|(tokens_max, n_rows)| TokensBin { tokens_max, n_rows })
                    .to_vec(),
            }),
            sources: counts(&[("month-1.csv", 3771), ("traces", 41)]),
            licences: counts(&[("CC-BY-4.0", 3771)]),
            tags: counts(&[("training", 3812)]),
            months: [("2026-01", 1900), ("2026-02", 1871)]
                .map(|(month, n)| (month.to_string(), counts(&[("month-1.csv", n)])))
                .into(),
            n_words: 51_204,
            n_bytes: 301_877,
        },
        seed: 7,
        created_at: NOW.plus_ms(-600_000),
        recipe: serde_json::Value::Null,
        erased: Some(ErasedRows { n_rows: 1, at: NOW.plus_ms(-60_000) }),
    }
}

/// A kept row.
pub fn example() -> Example {
    Example {
        row_id: "row-77".into(),
        text: "Where is my parcel, <PERSON>?".into(),
        label: "delivery_status".into(),
        split: Split::Train,
        subject: Some(SubjectId::new("pseudonym-0123456789")),
        group: Some("private".into()),
        language: "eng".into(),
        cluster: 4,
        source: "month-1.csv".into(),
        origin: Origin::Source,
        ..Example::default()
    }
}

/// A dropped row.
pub fn dropped_row() -> DroppedRow {
    DroppedRow {
        row_id: "row-78".into(),
        step: "near_dedup".into(),
        reason: "near-duplicate of row-12 (similarity 0.91)".into(),
        subject: None,
    }
}

/// A finished fine-tuning run.
pub fn run() -> Run {
    Run {
        id: "run_1".into(),
        kind: RunKind::Lora,
        state: RunState::Finished,
        dataset: DatasetRef::new("support", 2),
        base: Some(ModelRef::new("support-base", 1)),
        parent: Some(ModelRef::new("support", 1)),
        model: Some(ModelRef::new("support", 2)),
        seed: 7,
        params: texts(&[("learning_rate", "0.002"), ("r", "8"), ("steps", "71")]),
        environment: texts(&[("os", "linux"), ("threads", "2"), ("version", "0.1.0")]),
        metrics: [("train_loss".to_string(), 0.5), ("validation_loss".to_string(), 0.6)].into(),
        started_at: NOW.plus_ms(-500_000),
        ended_at: Some(NOW.plus_ms(-410_000)),
        error: None,
    }
}

/// Its losses: train at every step, validation at every tenth.
pub fn metric_points() -> Vec<MetricPoint> {
    let point = |name: &str, step: u64, value: f64| MetricPoint { name: name.into(), step, value, at: NOW };
    let train = (0..=70).map(|step| point("train_loss", step, 0.5 + 3.5 * (1.0 - step as f64 / 70.0).powi(3)));
    let validation = (0..=7).map(|i| point("validation_loss", i * 10, 0.6 + 3.5 * (1.0 - i as f64 / 7.0).powi(3)));
    train.chain(validation).collect()
}

/// An approved adapter.
pub fn model() -> ModelVersion {
    ModelVersion {
        model: ModelRef::new("support", 2),
        kind: ModelKind::Adapter,
        base: Some(ModelRef::new("support-base", 1)),
        parent: Some(ModelRef::new("support", 1)),
        run: Some("run_1".into()),
        dataset: Some(DatasetRef::new("support", 2)),
        imported: None,
        digest: Digest::of(b"weights"),
        n_parameters: 73_728,
        state: ModelState::Approved,
        state_reason: None,
        created_at: NOW.plus_ms(-400_000),
    }
}

fn interval(low: f64, point: f64, high: f64) -> Interval {
    Interval { low, point, high, level: 0.95 }
}

/// Its evaluation.
pub fn evaluation() -> Evaluation {
    let scores =
        |predictor: &str, accuracy, macro_f1| Scores { predictor: predictor.into(), n_rows: 400, accuracy, macro_f1 };
    let slice =
        |name: &str, n_rows, accuracy: Interval| SliceScore { name: name.into(), n_rows, f1: accuracy.point, accuracy };
    Evaluation {
        id: EvaluationId::new("eval_1"),
        model: ModelRef::new("support", 2),
        dataset: DatasetRef::new("support", 2),
        split: Split::Test,
        suite: "test".into(),
        scores: scores("model", interval(0.894, 0.912, 0.927), interval(0.88, 0.905, 0.92)),
        baselines: vec![
            scores("majority", interval(0.1, 0.13, 0.17), interval(0.01, 0.02, 0.03)),
            scores("linear n-grams", interval(0.76, 0.8, 0.84), interval(0.74, 0.78, 0.83)),
        ],
        slices: vec![
            slice("invoice", 60, interval(0.9, 0.96, 0.98)),
            slice("refund", 50, interval(0.6, 0.72, 0.82)),
            slice("delivery_status", 80, interval(0.88, 0.94, 0.97)),
        ],
        confused: vec![
            ConfusedPair { expected: "refund".into(), got: "invoice".into(), n_rows: 9 },
            ConfusedPair { expected: "cancel_order".into(), got: "refund".into(), n_rows: 4 },
        ],
        fairness: Some(GroupGap {
            best: "business".into(),
            worst: "private".into(),
            gap: interval(-0.02, 0.02, 0.06),
            groups: vec![
                slice("business", 150, interval(0.88, 0.925, 0.95)),
                slice("private", 250, interval(0.87, 0.905, 0.93)),
            ],
        }),
        valid_json: 0.9975,
        gate: Some(GateReport {
            verdict: Verdict::Pass,
            alpha: 0.05,
            rules: vec![
                GateRule {
                    rule: "accuracy is at least 0.80".into(),
                    measured: interval(0.894, 0.912, 0.927),
                    bound: 0.8,
                    verdict: Verdict::Pass,
                    n_rows_needed: None,
                },
                GateRule {
                    rule: "accuracy is not below the live model's by more than 0.02".into(),
                    measured: interval(-0.01, 0.03, 0.07),
                    bound: -0.02,
                    verdict: Verdict::Pass,
                    n_rows_needed: None,
                },
            ],
            compared_with: Some(ModelRef::new("support", 1)),
        }),
        created_at: NOW.plus_ms(-300_000),
    }
}

/// Its package.
pub fn package() -> Package {
    Package {
        model: ModelRef::new("support", 2),
        digest: Digest::of(b"manifest"),
        size_bytes: 2_345_678,
        signed_by: "key-fingerprint".into(),
        created_at: NOW.plus_ms(-290_000),
    }
}

/// What surrounds the model.
pub fn lineage() -> Lineage {
    let model = EntityRef::new("model_version", "support@2");
    let dataset = EntityRef::new("dataset_version", "support@2");
    let run = EntityRef::new("run", "run_1");
    Lineage {
        root: model.clone(),
        upstream: vec![
            Edge::new(run.clone(), "trained", model.clone()),
            Edge::new(dataset.clone(), "trained", run),
            Edge::new(EntityRef::new("dataset_version", "support@1"), "curated", dataset),
        ],
        downstream: vec![
            Edge::new(model.clone(), "evaluated", EntityRef::new("evaluation", "eval_1")),
            Edge::new(model.clone(), "packaged", EntityRef::new("package", "support@2")),
            Edge::new(model, "served", EntityRef::new("route", "support")),
        ],
    }
}

/// A route with a running canary.
pub fn route() -> Route {
    let variant = |name: &str, version, weight_percent| Variant {
        name: name.into(),
        model: ModelRef::new("support", version),
        weight_percent,
    };
    Route {
        name: "support".into(),
        variants: vec![variant("live", 1, 90), variant("canary", 2, 10)],
        rollout: Some(Rollout {
            candidate: ModelRef::new("support", 2),
            live: ModelRef::new("support", 1),
            share_percent: 10,
            alpha: 0.05,
            state: RolloutState::Running,
            evidence: Evidence {
                n_live: 640,
                n_live_right: 480,
                n_candidate: 72,
                n_candidate_right: 63,
                n_only_candidate: 9,
                n_only_live: 2,
                n_pairs: 72,
                e_better: 7.5,
                e_worse: 0.08,
                e_better_max: 8.0,
                live_accuracy: Some(interval(0.71, 0.75, 0.78)),
                candidate_accuracy: Some(interval(0.8, 0.875, 0.92)),
            },
            started_at: NOW.plus_ms(-200_000),
            decided_at: None,
        }),
        updated_at: NOW.plus_ms(-200_000),
    }
}

/// An answered request.
pub fn trace() -> Trace {
    Trace {
        id: "trace_1".into(),
        at: NOW.plus_ms(-100_000),
        route: "support".into(),
        variant: "live".into(),
        model: ModelRef::new("support", 1),
        key: Some("key_1".into()),
        subject: Some(SubjectId::new("pseudonym-0123456789abcdef0123456789abcdef")),
        input: "Where is my parcel, <PERSON>?".into(),
        output: "{\"intent\":\"delivery_status\"}".into(),
        tokens_in: 12,
        tokens_out: 9,
        latency_ms: 41.2,
        first_token_ms: 9.5,
        status: 200,
        finish: "stop".into(),
        tag: Some("month-1".into()),
        detail: TraceDetail {
            cost_micro_usd: 123,
            cache: CacheState::Hit,
            session: Some("chat-7".into()),
            guard: vec![GuardVerdict {
                rule: "injection".into(),
                stage: GuardStage::Input,
                verdict: GuardFinding::Hit,
                done: GuardAction::Block,
                found: vec!["override_instructions".into()],
            }],
            attempts: vec![Attempt { target: "mirror.example".into(), outcome: "ok".into(), ms: 30.0 }],
            ..TraceDetail::default()
        },
    }
}

/// A correction of it.
pub fn feedback() -> Feedback {
    Feedback {
        id: "fb_1".into(),
        trace: "trace_1".into(),
        thumb_up: Some(false),
        correction: Some("refund".into()),
        comment: Some("They want their money back.".into()),
        source: "annotator".into(),
        at: NOW.plus_ms(-50_000),
    }
}

/// An alarm.
pub fn drift_check() -> DriftCheck {
    let term = |term: &str, reference_percent, window_percent| MovedTerm {
        term: term.into(),
        reference_percent,
        window_percent,
    };
    DriftCheck {
        id: "drift_1".into(),
        route: "support".into(),
        reference: DatasetRef::new("support", 1),
        window: "month-2".into(),
        n_reference: 381,
        n_window: 600,
        test: "mmd_permutation".into(),
        statistic: 0.0213,
        p_value: 0.0005,
        alpha: 0.05,
        alarm: true,
        effect: 9.4,
        moved: vec![term("doorbell", 0.1, 12.4), term("pairing", 0.0, 8.2), term("parcel", 14.0, 11.0)],
        at: NOW.plus_ms(-90_000),
    }
}

/// Why an answer was given.
pub fn explanation() -> Explanation {
    let segment = |text: &str, shapley, lime| Segment { text: text.into(), shapley, lime };
    Explanation {
        id: "expl_1".into(),
        model: ModelRef::new("support", 1),
        route: "support".into(),
        trace: Some("trace_1".into()),
        input: "Where is my parcel, or do I get a refund? Thanks.".into(),
        answer: "delivery_status".into(),
        probability: 0.97,
        base_probability: 0.36,
        segments: vec![
            segment("Where is my parcel,", 0.7, 0.61),
            segment("or do I get a refund?", -0.1, -0.08),
            segment("Thanks.", 0.01, 0.0),
        ],
        lime_r2: 0.93,
        lime_stable: true,
        shapley_sum_error: 1.4e-16,
        nearest: vec![NearestRow {
            row_id: "row-77".into(),
            text: "Where is my parcel, <PERSON>?".into(),
            label: "delivery_status".into(),
            similarity: 0.912,
        }],
        created_at: NOW.plus_ms(-20_000),
    }
}

/// A finished erasure.
pub fn erasure() -> Erasure {
    Erasure {
        id: ErasureId::new("erasure_1"),
        subject: SubjectId::new("pseudonym-0123456789abcdef0123456789abcdef"),
        state: ErasureState::Done,
        removed: counts(&[("traces", 5), ("dataset support@1", 7)]),
        models: vec![ModelRef::new("support", 1)],
        retrained: Some(ModelRef::new("support", 3)),
        datasets: vec![DatasetRef::new("support", 1)],
        n_files_scanned: 240,
        n_bytes_scanned: 3 * 1024 * 1024,
        n_strings: 4,
        requested_at: NOW.plus_ms(-3_600_000),
        done_at: Some(NOW.plus_ms(-3_000_000)),
        receipt: Some(Digest::of(b"receipt")),
    }
}

/// A job that failed once.
pub fn job() -> Job {
    Job {
        id: "job_1".into(),
        job: NewJob {
            kind: "retrain".into(),
            idempotency_key: "retrain:drift_1".into(),
            payload: serde_json::json!({}),
        },
        state: JobState::Queued,
        attempts: 1,
        leased_until: None,
        error: Some("connection lost".into()),
        created_at: NOW.plus_ms(-80_000),
    }
}

/// Two events, newest first.
pub fn events() -> Vec<Event> {
    let created = NewEvent::new("pipeline", "dataset_version.created", dataset().entity_ref())
        .with_body(serde_json::json!({"n_rows": 3812}));
    let first = Event::link(1, NOW.plus_ms(-600_000), created, GENESIS);
    let alarmed = NewEvent::new("reconciler", "drift_check.alarmed", drift_check().entity_ref());
    let second = Event::link(2, NOW.plus_ms(-90_000), alarmed, &first.hash);
    vec![second, first]
}

/// A loop in full swing.
pub fn loop_state() -> LoopState {
    LoopState {
        dataset: Some(dataset()),
        run: Some(run()),
        model: Some(model()),
        evaluation: Some(evaluation()),
        package: Some(package()),
        route: Some(route()),
        traffic: Traffic { n_today: 1204, n_total: 2400, p95_ms: Some(41.0) },
        n_feedback: 230,
        n_corrections: 41,
        drift: Some(drift_check()),
        n_open_jobs: 1,
        refused: Vec::new(),
        events: events(),
    }
}
