//! What `/metrics` says beside the counts of answered requests (which `observe` keeps): requests refused at the door,
//! and the state of the engine and the models.
//!
//! Prometheus' text format, version 0.0.4. Names that dashboards and autoscalers made for vLLM read are written under
//! vLLM's names, the rest under ours.

use loopwright_serve::EngineStats;
use std::{
    collections::BTreeMap,
    fmt::Write,
    sync::{Mutex, PoisonError},
};

/// Requests that were refused before anybody knew which variant would answer. Labels are our own statuses and codes,
/// never the client's words, so their number is bounded.
#[derive(Debug, Default)]
pub struct Meters {
    refused: Mutex<BTreeMap<(u16, String), u64>>,
}

/// What is read off other parts when the counts are written.
#[derive(Clone, Debug)]
pub struct Gauges {
    /// The engine's state.
    pub engine: EngineStats,
    /// Models ready to answer.
    pub n_models_ready: usize,
    /// Models that were refused.
    pub n_models_refused: usize,
    /// Bytes in the journal that the database does not have yet.
    pub n_journal_bytes: u64,
    /// Answers in the cache, and their bytes.
    pub cache: (usize, usize),
    /// Seconds since the start.
    pub uptime_s: f64,
}

impl Meters {
    /// Counts a request refused with this status and code.
    pub fn refuse(&self, status: u16, code: &str) {
        let mut refused = self.refused.lock().unwrap_or_else(PoisonError::into_inner);
        *refused.entry((status, code.to_string())).or_default() += 1;
    }

    /// The counts and gauges as text.
    pub fn render(&self, gauges: &Gauges) -> String {
        let mut out = String::new();
        write_gauges(&mut out, gauges);
        head(&mut out, "loopwright_refused_total", "counter", "Requests refused before a variant was chosen.");
        for ((status, code), n) in self.refused.lock().unwrap_or_else(PoisonError::into_inner).iter() {
            line(&mut out, format_args!("loopwright_refused_total{{status=\"{status}\",code=\"{code}\"}} {n}"));
        }
        out
    }
}

fn write_gauges(out: &mut String, gauges: &Gauges) {
    let engine = &gauges.engine;
    for (name, kind, text, value) in [
        ("loopwright_uptime_seconds", "gauge", "Seconds since the start.", gauges.uptime_s),
        ("loopwright_models_ready", "gauge", "Model versions ready to answer.", gauges.n_models_ready as f64),
        ("loopwright_models_refused", "gauge", "Model versions that were refused.", gauges.n_models_refused as f64),
        ("loopwright_journal_bytes", "gauge", "Bytes that wait for the database.", gauges.n_journal_bytes as f64),
        ("loopwright_cache_entries", "gauge", "Answers in the cache.", gauges.cache.0 as f64),
        ("loopwright_cache_bytes", "gauge", "Their bytes.", gauges.cache.1 as f64),
        ("loopwright_engine_done_total", "counter", "Requests the engine answered.", engine.n_done as f64),
        ("loopwright_engine_cancelled_total", "counter", "Requests whose client went away.", engine.n_cancelled as f64),
        ("loopwright_engine_failed_total", "counter", "Requests that failed in the engine.", engine.n_failed as f64),
        ("loopwright_engine_full_total", "counter", "Requests refused by a full queue.", engine.n_refused as f64),
        ("vllm:num_requests_running", "gauge", "Requests being answered.", engine.n_running as f64),
        ("vllm:num_requests_waiting", "gauge", "Requests in the queue.", engine.n_waiting as f64),
        ("vllm:kv_cache_usage_perc", "gauge", "Share of the memory for keys and values in use.", engine.kv_cache_share),
        ("vllm:num_preemptions_total", "counter", "Times a request gave up its memory.", engine.n_preempted as f64),
    ] {
        head(out, name, kind, text);
        line(out, format_args!("{name} {value}"));
    }
}

/// What stands before a metric's lines.
pub(crate) fn head(out: &mut String, name: &str, kind: &str, text: &str) {
    line(out, format_args!("# HELP {name} {text}"));
    line(out, format_args!("# TYPE {name} {kind}"));
}

/// Adds a line.
pub(crate) fn line(out: &mut String, text: std::fmt::Arguments<'_>) {
    writeln!(out, "{text}").expect("writing to a string cannot fail");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_are_counted_and_gauges_shown() {
        let meters = Meters::default();
        for (status, code) in [(401, "invalid_api_key"), (401, "invalid_api_key"), (400, "invalid_json")] {
            meters.refuse(status, code);
        }
        let engine = EngineStats { n_waiting: 4, n_cancelled: 1, ..EngineStats::default() };
        let text = meters.render(&Gauges {
            engine,
            n_models_ready: 2,
            n_models_refused: 0,
            n_journal_bytes: 3,
            cache: (2, 9),
            uptime_s: 1.5,
        });
        for expected in [
            "loopwright_uptime_seconds 1.5",
            "loopwright_models_ready 2",
            "loopwright_engine_cancelled_total 1",
            "vllm:num_requests_waiting 4",
            r#"loopwright_refused_total{status="400",code="invalid_json"} 1"#,
            r#"loopwright_refused_total{status="401",code="invalid_api_key"} 2"#,
        ] {
            assert!(text.lines().any(|line| line == expected), "{expected}\n{text}");
        }
    }
}
