//! How each variant does, from its traces and what people said about them.

use loopwright_types::{ModelRef, feedback::Feedback, id::TraceId, score::Interval, trace::Trace};
use std::collections::BTreeMap;

/// Confidence level of the intervals.
pub const LEVEL: f64 = 0.95;
/// The normal distribution's quantile at `1 − (1 − 0.95) / 2`.
const Z: f64 = 1.959_963_984_540_054;

/// Figures of one variant of one route, with one model version behind it.
#[derive(Clone, Debug, PartialEq)]
pub struct VariantSummary {
    /// The route.
    pub route: String,
    /// `live` or `canary`.
    pub variant: String,
    /// The version that answered.
    pub model: ModelRef,
    /// Requests answered or refused.
    pub n_requests: u64,
    /// Share of requests with a status of 400 or more, with its interval.
    pub error_share: Interval,
    /// Median latency of answered requests in milliseconds, by nearest rank, like the next two; 0 if none was answered.
    pub latency_ms_p50: f64,
    /// 95th percentile.
    pub latency_ms_p95: f64,
    /// 99th percentile.
    pub latency_ms_p99: f64,
    /// Prompt tokens.
    pub tokens_in: u64,
    /// Answer tokens.
    pub tokens_out: u64,
    /// Answers that somebody judged.
    pub n_judged: u64,
    /// Share of right ones among them, with its interval; `None` if nobody judged any.
    pub accuracy: Option<Interval>,
}

/// Sums up traces per route, variant and model, in that order.
///
/// `answer` reads the label out of a trace's output, to hold a correction against it. Feedback on traces that are not
/// given is left out.
pub fn summarise(
    traces: &[Trace],
    feedback: &[Feedback],
    answer: &dyn Fn(&Trace) -> Option<String>,
) -> Vec<VariantSummary> {
    let judged = judgements(feedback);
    let mut groups: BTreeMap<(&str, &str, &ModelRef), Vec<&Trace>> = BTreeMap::new();
    for trace in traces {
        groups.entry((&trace.route, &trace.variant, &trace.model)).or_default().push(trace);
    }
    let one = |(route, variant, model): (&str, &str, &ModelRef), traces: &[&Trace]| {
        let mut latencies: Vec<f64> =
            traces.iter().filter(|trace| trace.status < 400).map(|trace| trace.latency_ms).collect();
        latencies.sort_by(f64::total_cmp);
        let says =
            |trace: &&Trace| judged.get(&trace.id).and_then(|feedback| feedback.says_right(answer(trace).as_deref()));
        let verdicts: Vec<bool> = traces.iter().filter_map(says).collect();
        let n_judged = verdicts.len() as u64;
        VariantSummary {
            route: route.into(),
            variant: variant.into(),
            model: model.clone(),
            n_requests: traces.len() as u64,
            error_share: wilson(traces.iter().filter(|trace| trace.status >= 400).count() as u64, traces.len() as u64),
            latency_ms_p50: nearest_rank(&latencies, 0.5),
            latency_ms_p95: nearest_rank(&latencies, 0.95),
            latency_ms_p99: nearest_rank(&latencies, 0.99),
            tokens_in: traces.iter().map(|trace| u64::from(trace.tokens_in)).sum(),
            tokens_out: traces.iter().map(|trace| u64::from(trace.tokens_out)).sum(),
            n_judged,
            accuracy: (n_judged > 0).then(|| wilson(verdicts.iter().filter(|right| **right).count() as u64, n_judged)),
        }
    };
    groups.into_iter().map(|(name, traces)| one(name, &traces)).collect()
}

/// The one piece of feedback that counts for each trace: a correction before a thumb, then the latest, then the larger id.
pub fn judgements(feedback: &[Feedback]) -> BTreeMap<&TraceId, &Feedback> {
    let rank = |feedback: &Feedback| {
        (feedback.correction.is_some(), feedback.thumb_up.is_some(), feedback.at, feedback.id.clone())
    };
    let mut best: BTreeMap<&TraceId, &Feedback> = BTreeMap::new();
    for one in feedback {
        let slot = best.entry(&one.trace).or_insert(one);
        if rank(one) > rank(slot) {
            *slot = one;
        }
    }
    best
}

/// The Wilson score interval of a proportion (Wilson 1927) at [`LEVEL`]; for 0 of 0 it is the whole range.
pub fn wilson(n_hits: u64, n: u64) -> Interval {
    if n == 0 {
        return Interval { low: 0.0, point: 0.0, high: 1.0, level: LEVEL };
    }
    let (n, point) = (n as f64, n_hits as f64 / n as f64);
    let centre = (point + Z * Z / (2.0 * n)) / (1.0 + Z * Z / n);
    let half = Z / (1.0 + Z * Z / n) * (point * (1.0 - point) / n + Z * Z / (4.0 * n * n)).sqrt();
    // At the ends the exact bounds are 0 and 1; rounding must not step over the point.
    Interval { low: (centre - half).clamp(0.0, point), point, high: (centre + half).clamp(point, 1.0), level: LEVEL }
}

fn nearest_rank(sorted: &[f64], q: f64) -> f64 {
    let rank = (q * sorted.len() as f64).ceil() as usize;
    sorted.get(rank.saturating_sub(1)).copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use loopwright_types::Timestamp;

    fn trace(id: &str, variant: &str, version: u32, latency_ms: f64, status: u16) -> Trace {
        Trace {
            id: id.into(),
            at: Timestamp(0),
            route: "support".into(),
            variant: variant.into(),
            model: ModelRef::new("support", version),
            key: None,
            subject: None,
            input: "where is it".into(),
            output: "delivery".into(),
            tokens_in: 4,
            tokens_out: 2,
            latency_ms,
            first_token_ms: 1.0,
            status,
            finish: "stop".into(),
            tag: None,
            detail: Default::default(),
        }
    }

    fn said(id: &str, trace: &str, thumb_up: Option<bool>, correction: Option<&str>, at: i64) -> Feedback {
        let correction = correction.map(str::to_string);
        Feedback {
            id: id.into(),
            trace: trace.into(),
            thumb_up,
            correction,
            comment: None,
            source: "user".into(),
            at: Timestamp(at),
        }
    }

    #[test]
    fn figures_per_variant() {
        let mut traces: Vec<Trace> =
            (1..=100).map(|i| trace(&format!("t{i:03}"), "live", 1, f64::from(i), 200)).collect();
        traces.push(trace("e", "live", 1, 9_999.0, 500));
        traces.push(trace("c", "canary", 2, 5.0, 200));
        let feedback = [
            said("f1", "t001", Some(true), None, 1),
            said("f2", "t002", Some(false), None, 1),
            said("f3", "t003", None, Some("delivery"), 1),
            said("f4", "t004", None, Some("refund"), 1),
            said("f5", "unknown", Some(true), None, 1),
        ];
        let summary = summarise(&traces, &feedback, &|trace| Some(trace.output.clone()));
        assert_eq!(summary.iter().map(|s| s.variant.as_str()).collect::<Vec<_>>(), ["canary", "live"]);
        let live = &summary[1];
        assert_eq!((live.latency_ms_p50, live.latency_ms_p95, live.latency_ms_p99), (50.0, 95.0, 99.0));
        assert_eq!((live.n_requests, live.tokens_in, live.tokens_out, live.n_judged), (101, 404, 202, 4));
        assert_eq!(live.accuracy.unwrap().point, 0.5);
        assert!((live.error_share.point - 1.0 / 101.0).abs() < 1e-12);
        assert_eq!((summary[0].accuracy, summary[0].n_judged), (None, 0));
        assert!(summarise(&[], &feedback, &|_| None).is_empty());
    }

    #[test]
    fn the_strongest_feedback_counts() {
        let feedback = [
            said("a", "t", None, Some("refund"), 1),
            said("b", "t", Some(true), None, 9),
            said("c", "u", Some(true), None, 1),
            said("d", "u", Some(false), None, 2),
            said("e", "u", None, None, 3),
        ];
        let best = judgements(&feedback);
        assert_eq!(best[&TraceId::from("t")].id.0, "a");
        assert_eq!(best[&TraceId::from("u")].id.0, "d");
    }

    #[test]
    fn wilson_by_reference() {
        // R: binom::binom.wilson(8, 10) gives 0.4901625 to 0.9433178; (0, 10) gives 0 to 0.2775328.
        let interval = wilson(8, 10);
        assert!(
            (interval.low - 0.490_162_5).abs() < 1e-6 && (interval.high - 0.943_317_8).abs() < 1e-6,
            "{interval:?}"
        );
        assert!((wilson(0, 10).high - 0.277_532_8).abs() < 1e-6);
        assert_eq!((wilson(0, 10).low, wilson(10, 10).high, wilson(0, 0).high), (0.0, 1.0, 1.0));
    }
}
