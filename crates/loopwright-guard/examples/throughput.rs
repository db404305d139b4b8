//! Measures masking on one thread: `cargo run --release -p loopwright-guard --example throughput -- FILE…`.
#![allow(clippy::print_stdout, clippy::unwrap_used, reason = "a measuring program talks to its reader")]
use loopwright_guard::{RedactPolicy, Redactor};
use std::time::Instant;

fn main() {
    let redactor = Redactor::new(&RedactPolicy::default());
    for path in std::env::args().skip(1) {
        let text = String::from_utf8_lossy(&std::fs::read(&path).unwrap()).into_owned();
        redactor.redact("warm up 1 @", &[]);
        let started = Instant::now();
        let masked = redactor.redact(&text, &[]);
        let seconds = started.elapsed().as_secs_f64();
        println!("{path}: {} bytes, {} findings, {:.3} MB/s", text.len(), masked.findings.len(), text.len() as f64 / 1e6 / seconds);
    }
}
