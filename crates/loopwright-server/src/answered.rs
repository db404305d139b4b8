//! Counts of answers under the names that vLLM gives them, so that dashboards and autoscalers made for it work here.

use crate::meters::{head, line};
use loopwright_serve::event::{FinishReason, Used};
use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError},
};

/// vLLM's bounds of the time to the first token, in seconds.
const FIRST_TOKEN_S: [f64; 21] = [
    0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0, 20.0, 40.0, 80.0,
    160.0, 640.0,
];
/// vLLM's bounds of the time of a whole answer, in seconds.
const WHOLE_S: [f64; 20] = [
    0.3, 0.5, 0.8, 1.0, 1.5, 2.0, 2.5, 5.0, 10.0, 15.0, 20.0, 30.0, 40.0, 50.0, 60.0, 120.0, 240.0, 480.0, 960.0,
    1920.0,
];

/// What one answer took.
#[derive(Clone, Copy, Debug)]
pub struct Took {
    /// From arrival to the first event, in seconds.
    pub first_token_s: f64,
    /// From arrival to the end.
    pub whole_s: f64,
    /// Tokens.
    pub used: Used,
    /// Why it ended.
    pub reason: FinishReason,
}

/// The counts, by route. Routes are ours to name, so their number is bounded.
#[derive(Debug, Default)]
pub struct Answered(Mutex<BTreeMap<String, Counts>>);

#[derive(Debug, Default)]
struct Counts {
    prompt_tokens: u64,
    generation_tokens: u64,
    cached_tokens: u64,
    by_reason: BTreeMap<&'static str, u64>,
    first_token: Buckets,
    whole: Buckets,
}

#[derive(Debug, Default)]
struct Buckets {
    /// Up to each bound; the last holds what is above all of them.
    counts: Vec<u64>,
    sum: f64,
    n: u64,
}

impl Buckets {
    fn add(&mut self, bounds: &[f64], value: f64) {
        self.counts.resize(bounds.len() + 1, 0);
        self.counts[bounds.partition_point(|bound| *bound < value)] += 1;
        self.sum += value;
        self.n += 1;
    }

    fn write(&self, out: &mut String, name: &str, route: &str, bounds: &[f64]) {
        let mut total = 0;
        for (i, bound) in bounds.iter().enumerate() {
            total += self.counts.get(i).copied().unwrap_or_default();
            line(out, format_args!("{name}_bucket{{model_name=\"{route}\",le=\"{bound}\"}} {total}"));
        }
        line(out, format_args!("{name}_bucket{{model_name=\"{route}\",le=\"+Inf\"}} {}", self.n));
        line(out, format_args!("{name}_sum{{model_name=\"{route}\"}} {}", self.sum));
        line(out, format_args!("{name}_count{{model_name=\"{route}\"}} {}", self.n));
    }
}

impl Answered {
    /// Counts an answer that came to its end.
    pub fn count(&self, route: &str, took: Took) {
        let mut routes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let counts = routes.entry(route.to_owned()).or_default();
        counts.prompt_tokens += u64::from(took.used.prompt_tokens);
        counts.generation_tokens += u64::from(took.used.completion_tokens);
        counts.cached_tokens += u64::from(took.used.cached_tokens);
        *counts.by_reason.entry(took.reason.as_str()).or_default() += 1;
        counts.first_token.add(&FIRST_TOKEN_S, took.first_token_s);
        counts.whole.add(&WHOLE_S, took.whole_s);
    }

    /// The counts in Prometheus' text format, version 0.0.4.
    pub fn render(&self) -> String {
        let routes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut out = String::new();
        for (name, text, value) in [
            ("vllm:prompt_tokens_total", "Prompt tokens.", (|c| c.prompt_tokens) as fn(&Counts) -> u64),
            ("vllm:generation_tokens_total", "Answer tokens.", |c| c.generation_tokens),
            ("vllm:prefix_cache_hits_total", "Prompt tokens read from a cache.", |c| c.cached_tokens),
        ] {
            head(&mut out, name, "counter", text);
            for (route, counts) in routes.iter() {
                line(&mut out, format_args!("{name}{{model_name=\"{}\"}} {}", label(route), value(counts)));
            }
        }
        head(&mut out, "vllm:request_success_total", "counter", "Answers that came to their end.");
        for (route, counts) in routes.iter() {
            for (reason, n) in &counts.by_reason {
                let labels = format!("model_name=\"{}\",finished_reason=\"{reason}\"", label(route));
                line(&mut out, format_args!("vllm:request_success_total{{{labels}}} {n}"));
            }
        }
        head(&mut out, "vllm:time_to_first_token_seconds", "histogram", "From arrival to the first token.");
        for (route, counts) in routes.iter() {
            counts.first_token.write(&mut out, "vllm:time_to_first_token_seconds", &label(route), &FIRST_TOKEN_S);
        }
        head(&mut out, "vllm:e2e_request_latency_seconds", "histogram", "From arrival to the end.");
        for (route, counts) in routes.iter() {
            counts.whole.write(&mut out, "vllm:e2e_request_latency_seconds", &label(route), &WHOLE_S);
        }
        out
    }
}

/// A label's value, escaped as the format wants it.
fn label(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_counted_under_vllms_names() {
        let answered = Answered::default();
        let used = Used { prompt_tokens: 7, completion_tokens: 3, cached_tokens: 2, ..Used::default() };
        for first_token_s in [0.004, 0.3] {
            answered.count("a\"b", Took { first_token_s, whole_s: 0.5, used, reason: FinishReason::Stop });
        }
        let text = answered.render();
        for expected in [
            r#"vllm:prompt_tokens_total{model_name="a\"b"} 14"#,
            r#"vllm:generation_tokens_total{model_name="a\"b"} 6"#,
            r#"vllm:request_success_total{model_name="a\"b",finished_reason="stop"} 2"#,
            r#"vllm:time_to_first_token_seconds_bucket{model_name="a\"b",le="0.001"} 0"#,
            r#"vllm:time_to_first_token_seconds_bucket{model_name="a\"b",le="0.005"} 1"#,
            r#"vllm:time_to_first_token_seconds_bucket{model_name="a\"b",le="0.5"} 2"#,
            r#"vllm:time_to_first_token_seconds_bucket{model_name="a\"b",le="+Inf"} 2"#,
            r#"vllm:e2e_request_latency_seconds_bucket{model_name="a\"b",le="0.5"} 2"#,
            r#"vllm:e2e_request_latency_seconds_count{model_name="a\"b"} 2"#,
        ] {
            assert!(text.lines().any(|line| line == expected), "{expected}\n{text}");
        }
    }
}
