//! Measures masking on one thread, each kind alone and all together:
//! `cargo run --release -p loopwright-guard --example throughput -- [--kinds] FILE…`.
//!
//! The figure is megabytes (10^6 bytes) of text per second of processor time, where the system tells it (Linux), so that
//! a busy machine does not change it; wall time elsewhere. The file is masked in one piece, the best of three runs.
#![allow(clippy::print_stdout, clippy::unwrap_used, reason = "a measuring program talks to its reader")]
use loopwright_guard::{PiiKind, RedactPolicy, Redactor};
use std::{collections::BTreeSet, time::Instant};

/// A shorter text is masked again and again until so many bytes are done.
const REPEATED_BYTES: usize = 4_000_000;

fn main() {
    let (options, paths): (Vec<String>, Vec<String>) = std::env::args().skip(1).partition(|arg| arg.starts_with("--"));
    let all = RedactPolicy::default().kinds;
    Redactor::new(&RedactPolicy::default()).redact("warm up: my name is Ana, ana@mail.example, 1", &[]);
    for path in paths {
        let text = String::from_utf8_lossy(&std::fs::read(&path).unwrap()).into_owned();
        println!("{path}: {} bytes", text.len());
        measure("all", &text, all.clone());
        if options.iter().any(|option| option == "--kinds") {
            PiiKind::ALL.into_iter().for_each(|kind| measure(kind.as_str(), &text, [kind].into()));
        }
    }
}

fn measure(name: &str, text: &str, kinds: BTreeSet<PiiKind>) {
    let redactor = Redactor::new(&RedactPolicy { kinds });
    let mut best = f64::INFINITY;
    let mut n_findings = 0;
    // The system's clock of processor time ticks every few milliseconds.
    let repeats = 1 + REPEATED_BYTES / text.len().max(1);
    for _ in 0..3 {
        let (started, cpu_before) = (Instant::now(), cpu_seconds());
        (0..repeats).for_each(|_| n_findings = redactor.redact(text, &[]).findings.len());
        let wall = started.elapsed().as_secs_f64();
        let cpu = cpu_seconds().zip(cpu_before).map(|(after, before)| after - before);
        best = best.min(cpu.unwrap_or(wall));
    }
    println!("  {name:12} {:8.1} MB/s  {n_findings} findings", (text.len() * repeats) as f64 / 1e6 / best);
}

/// Time this thread has spent on a processor, which Linux keeps in nanoseconds.
fn cpu_seconds() -> Option<f64> {
    let stat = std::fs::read_to_string("/proc/thread-self/schedstat").ok()?;
    stat.split(' ').next()?.parse::<f64>().ok().map(|nanoseconds| nanoseconds / 1e9)
}
