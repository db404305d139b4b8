//! Counters of the running process: requests, tokens and latencies per route and variant, and the sink's losses.
//!
//! One lock, held for well under a microsecond per request. [`Metrics::render`] writes the Prometheus text format
//! (version 0.0.4) for `/metrics`.

use crate::histogram::Histogram;
use loopwright_types::trace::{CacheState, GuardFinding, Trace};
use std::{
    collections::BTreeMap,
    fmt::Write as _,
    sync::{Mutex, MutexGuard, PoisonError},
};

/// Most pairs of route and variant that are told apart; further ones count as route `other`. Clients choose the names
/// that they send, so their number must have a bound.
pub const SERIES_MAX: usize = 500;

/// Why a trace was dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum DropReason {
    /// The channel was full, or the sink had ended.
    Full,
    /// It was accepted, but the store refused it again and again.
    Failed,
}

impl DropReason {
    /// The label's value.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Full => "full",
            Self::Failed => "failed",
        }
    }
}

/// What was counted for one variant of one route.
#[derive(Clone, Debug, Default)]
struct Series {
    /// By status class, e.g. `2xx`.
    requests: BTreeMap<String, u64>,
    latency: Histogram,
    first_token: Histogram,
    tokens_in: u64,
    tokens_out: u64,
    cost_micro_usd: u64,
    /// Where there is a cache: by what looking in it came to.
    cache: BTreeMap<&'static str, u64>,
    /// What guardrails found: by rule and by what was done.
    guard: BTreeMap<(String, &'static str), u64>,
}

#[derive(Debug, Default)]
struct Counts {
    series: BTreeMap<(String, String), Series>,
    traces_written: u64,
    traces_dropped: BTreeMap<DropReason, u64>,
}

/// The counters. Share one behind an `Arc`.
#[derive(Debug, Default)]
pub struct Metrics(Mutex<Counts>);

/// Figures of one variant since the process began.
#[derive(Clone, Debug, PartialEq)]
pub struct SeriesSummary {
    /// The route.
    pub route: String,
    /// `live` or `canary`.
    pub variant: String,
    /// Requests answered or refused.
    pub n_requests: u64,
    /// Requests with a status of 400 or more.
    pub n_errors: u64,
    /// Median latency in milliseconds (within 1 part in 32), like the next two.
    pub latency_ms_p50: f64,
    /// 95th percentile.
    pub latency_ms_p95: f64,
    /// 99th percentile.
    pub latency_ms_p99: f64,
    /// Prompt tokens.
    pub tokens_in: u64,
    /// Answer tokens.
    pub tokens_out: u64,
}

impl Metrics {
    /// Counts one answered or refused request.
    pub fn observe(&self, trace: &Trace) {
        let mut counts = self.lock();
        let mut name = (trace.route.clone(), trace.variant.clone());
        if counts.series.len() >= SERIES_MAX && !counts.series.contains_key(&name) {
            name = ("other".into(), "other".into());
        }
        let series = counts.series.entry(name).or_default();
        *series.requests.entry(format!("{}xx", trace.status / 100)).or_default() += 1;
        series.latency.record(trace.latency_ms);
        if trace.status < 400 {
            series.first_token.record(trace.first_token_ms);
        }
        series.tokens_in += u64::from(trace.tokens_in);
        series.tokens_out += u64::from(trace.tokens_out);
        series.cost_micro_usd += trace.detail.cost_micro_usd;
        if trace.detail.cache != CacheState::Off {
            *series.cache.entry(trace.detail.cache.as_str()).or_default() += 1;
        }
        for it in trace.detail.guard.iter().filter(|it| it.verdict != GuardFinding::Pass) {
            *series.guard.entry((it.rule.clone(), it.done.as_str())).or_default() += 1;
        }
    }

    /// Counts traces that are durable now.
    pub fn traces_written(&self, n: u64) {
        self.lock().traces_written += n;
    }

    /// Counts traces that were dropped.
    pub fn traces_dropped(&self, reason: DropReason, n: u64) {
        *self.lock().traces_dropped.entry(reason).or_default() += n;
    }

    /// Figures per route and variant, in order of their names.
    pub fn summary(&self) -> Vec<SeriesSummary> {
        let one = |((route, variant), series): (&(String, String), &Series)| SeriesSummary {
            route: route.clone(),
            variant: variant.clone(),
            n_requests: series.latency.n(),
            n_errors: series.requests.iter().filter(|(class, _)| class.as_str() >= "4").map(|(_, n)| n).sum(),
            latency_ms_p50: series.latency.quantile_ms(0.5).unwrap_or_default(),
            latency_ms_p95: series.latency.quantile_ms(0.95).unwrap_or_default(),
            latency_ms_p99: series.latency.quantile_ms(0.99).unwrap_or_default(),
            tokens_in: series.tokens_in,
            tokens_out: series.tokens_out,
        };
        self.lock().series.iter().map(one).collect()
    }

    /// All counters in the Prometheus text format.
    pub fn render(&self) -> String {
        let counts = self.lock();
        let mut page = Page::default();
        page.family("loopwright_requests_total", "counter", "Requests answered or refused.");
        for (name, series) in &counts.series {
            for (class, n) in &series.requests {
                page.sample("loopwright_requests_total", &labels(name, &[("status", class)]), *n as f64);
            }
        }
        page.family("loopwright_tokens_total", "counter", "Tokens read and written.");
        for (name, series) in &counts.series {
            page.sample("loopwright_tokens_total", &labels(name, &[("direction", "in")]), series.tokens_in as f64);
            page.sample("loopwright_tokens_total", &labels(name, &[("direction", "out")]), series.tokens_out as f64);
        }
        page.family("loopwright_cost_usd_total", "counter", "What the requests cost, in dollars.");
        for (name, series) in &counts.series {
            page.sample("loopwright_cost_usd_total", &labels(name, &[]), series.cost_micro_usd as f64 / 1e6);
        }
        page.family("loopwright_cache_total", "counter", "Requests by what looking in the cache came to.");
        for (name, series) in &counts.series {
            for (state, n) in &series.cache {
                page.sample("loopwright_cache_total", &labels(name, &[("state", state)]), *n as f64);
            }
        }
        page.family("loopwright_guard_total", "counter", "What guardrails found, by rule and by what was done.");
        for (name, series) in &counts.series {
            for ((rule, done), n) in &series.guard {
                page.sample("loopwright_guard_total", &labels(name, &[("rule", rule), ("done", done)]), *n as f64);
            }
        }
        page.family("loopwright_request_seconds", "histogram", "From a request's arrival to its last token.");
        counts
            .series
            .iter()
            .for_each(|(name, series)| page.histogram("loopwright_request_seconds", name, &series.latency));
        page.family("loopwright_first_token_seconds", "histogram", "From a request's arrival to its first token.");
        counts
            .series
            .iter()
            .for_each(|(name, series)| page.histogram("loopwright_first_token_seconds", name, &series.first_token));
        page.family("loopwright_traces_written_total", "counter", "Traces that are durable.");
        page.sample("loopwright_traces_written_total", "", counts.traces_written as f64);
        page.family("loopwright_traces_dropped_total", "counter", "Traces that were not kept.");
        for reason in [DropReason::Full, DropReason::Failed] {
            let n = counts.traces_dropped.get(&reason).copied().unwrap_or_default();
            page.sample("loopwright_traces_dropped_total", &format!("{{reason=\"{}\"}}", reason.as_str()), n as f64);
        }
        page.0
    }

    fn lock(&self) -> MutexGuard<'_, Counts> {
        // Counters stay usable if a thread died while counting.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The text under way.
#[derive(Default)]
struct Page(String);

impl Page {
    fn family(&mut self, name: &str, kind: &str, help: &str) {
        let _ = writeln!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}");
    }

    fn sample(&mut self, name: &str, labels: &str, value: f64) {
        let _ = writeln!(self.0, "{name}{labels} {value}");
    }

    fn histogram(&mut self, family: &str, name: &(String, String), histogram: &Histogram) {
        for (bound_ms, below) in histogram.octaves() {
            let bound = (bound_ms / 1_000.0).to_string();
            self.sample(&format!("{family}_bucket"), &labels(name, &[("le", &bound)]), below as f64);
        }
        self.sample(&format!("{family}_bucket"), &labels(name, &[("le", "+Inf")]), histogram.n() as f64);
        self.sample(&format!("{family}_sum"), &labels(name, &[]), histogram.sum_ms() / 1_000.0);
        self.sample(&format!("{family}_count"), &labels(name, &[]), histogram.n() as f64);
    }
}

fn labels((route, variant): &(String, String), more: &[(&str, &str)]) -> String {
    let all = [("route", route.as_str()), ("variant", variant.as_str())].into_iter().chain(more.iter().copied());
    let pairs: Vec<String> = all.map(|(name, value)| format!("{name}=\"{}\"", escape(value))).collect();
    format!("{{{}}}", pairs.join(","))
}

fn escape(value: &str) -> String {
    value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use loopwright_types::{ModelRef, Timestamp};

    fn trace(route: &str, status: u16, latency_ms: f64) -> Trace {
        Trace {
            id: "t".into(),
            at: Timestamp(0),
            route: route.into(),
            variant: "live".into(),
            model: ModelRef::new("m", 1),
            key: None,
            subject: None,
            input: String::new(),
            output: String::new(),
            tokens_in: 10,
            tokens_out: 3,
            latency_ms,
            first_token_ms: latency_ms / 2.0,
            status,
            finish: "stop".into(),
            tag: None,
            detail: Default::default(),
        }
    }

    #[test]
    fn rendered_as_prometheus_reads_it() {
        let metrics = Metrics::default();
        metrics.observe(&trace("su\"p\\port", 200, 100.0));
        metrics.observe(&trace("su\"p\\port", 200, 300.0));
        metrics.observe(&trace("su\"p\\port", 503, 1.0));
        metrics.traces_dropped(DropReason::Full, 2);
        metrics.traces_written(3);
        let text = metrics.render();
        let name = r#"route="su\"p\\port",variant="live""#;
        for line in [
            format!("loopwright_requests_total{{{name},status=\"2xx\"}} 2"),
            format!("loopwright_requests_total{{{name},status=\"5xx\"}} 1"),
            format!("loopwright_tokens_total{{{name},direction=\"in\"}} 30"),
            format!("loopwright_request_seconds_bucket{{{name},le=\"0.128\"}} 2"),
            format!("loopwright_request_seconds_bucket{{{name},le=\"+Inf\"}} 3"),
            format!("loopwright_request_seconds_sum{{{name}}} 0.401"),
            format!("loopwright_first_token_seconds_count{{{name}}} 2"),
            "loopwright_traces_written_total 3".into(),
            "loopwright_traces_dropped_total{reason=\"full\"} 2".into(),
            "loopwright_traces_dropped_total{reason=\"failed\"} 0".into(),
        ] {
            assert!(text.lines().any(|got| got == line), "no line `{line}` in\n{text}");
        }
        for line in text.lines().filter(|line| !line.starts_with('#')) {
            assert!(line.rsplit_once(' ').unwrap().1.parse::<f64>().is_ok(), "{line}");
        }
        let summary = &metrics.summary()[0];
        assert_eq!((summary.n_requests, summary.n_errors, summary.tokens_out), (3, 1, 9));
        assert!((summary.latency_ms_p50 - 100.0).abs() < 4.0);
    }

    #[test]
    fn the_number_of_series_is_bounded() {
        let metrics = Metrics::default();
        (0..SERIES_MAX + 50).for_each(|i| metrics.observe(&trace(&format!("r{i}"), 404, 1.0)));
        let summary = metrics.summary();
        assert_eq!(summary.len(), SERIES_MAX + 1);
        assert_eq!(summary.iter().map(|series| series.n_requests).sum::<u64>(), SERIES_MAX as u64 + 50);
        assert_eq!(summary.iter().find(|series| series.route == "other").unwrap().n_requests, 50);
    }
}
