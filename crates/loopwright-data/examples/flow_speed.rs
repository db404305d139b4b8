//! How fast a flow is, and how much memory it takes: rows are made up while they are read, so that nothing but the flow
//! is in memory.
//!
//! ```text
//! cargo run --release -p loopwright-data --example flow_speed -- ROWS [MEMORY_MIB] [redact] [near] [dir=PATH]
//! ```
//!
//! Each row is about a kilobyte of made-up words whose frequencies follow Zipf's law (the word of rank r is drawn with
//! probability near 1/r). Two rows of a hundred repeat an earlier row, one repeats it with a word changed. The work folder
//! is a temporary one and is emptied at the end; with `dir=PATH` it is that one and stays, so that a second call goes on.

#![allow(clippy::print_stdout)] // A program that reports figures.

use loopwright_data::{
    clean::{language, length, split},
    dedup::NearSettings,
    flow::{self, FlowInput, FlowSettings, FlowSinks, Progress},
    recipe::{CurateContext, Recipe, Resources, StepSettings},
};
use loopwright_guard::{RedactPolicy, Redactor};
use loopwright_types::SourceRow;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use std::{error::Error, time::Instant};

const WORDS: usize = 200_000;
const WORDS_PER_ROW: usize = 150;
const INPUT_BATCH_ROWS: u64 = 1000;
/// How far back a repeated row lies.
const REPEAT_DISTANCE: u64 = 5000;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let number = |index: usize| arguments.get(index).and_then(|argument| argument.parse::<u64>().ok());
    let n_rows = number(0).unwrap_or(10_000);
    let has = |word: &str| arguments.iter().any(|argument| argument == word);
    let kept = arguments.iter().find_map(|argument| argument.strip_prefix("dir="));
    let temporary = std::env::temp_dir().join(format!("flow-speed-{}", std::process::id()));
    let dir = kept.map_or(temporary, Into::into);
    let settings = FlowSettings { memory_bytes: number(1).unwrap_or(256) << 20, ..FlowSettings::new(&dir) };
    let recipe = recipe(has("redact"), has("near"));

    let redactor = Redactor::new(&RedactPolicy::default());
    let ctx = CurateContext {
        redactor: &redactor,
        known: &|_| Vec::new(),
        opted_out: &Default::default(),
        seed: 1,
        resources: Resources::none(),
    };
    let words = words();
    let batches = (0..n_rows.div_ceil(INPUT_BATCH_ROWS)).map(|batch| {
        let rows = batch * INPUT_BATCH_ROWS..((batch + 1) * INPUT_BATCH_ROWS).min(n_rows);
        Ok(rows.map(|number| row(number, &words)).collect())
    });
    let input = FlowInput { name: format!("{n_rows} made-up rows"), batches, rows_total: Some(n_rows) };

    let started = Instant::now();
    let mut stopwatch = Stopwatch { phase: String::new(), started, last: None };
    let mut sinks = FlowSinks {
        examples: &mut |_| Ok(()),
        dropped: &mut |_| Ok(()),
        changed: &mut |_| Ok(()),
        progress: &mut |progress| {
            stopwatch.tick(progress);
            Ok(())
        },
    };
    let done = flow::run(input, &recipe, &ctx, &settings, &mut sinks)?;
    stopwatch.report();
    let seconds = started.elapsed().as_secs_f64();
    let input_mb = n_rows as f64 * bytes_per_row(n_rows, &words) / 1e6;
    println!(
        "{n_rows} rows, {input_mb:.0} MB of text: {seconds:.1} s, {:.0} rows/s, {:.2} MB/s; peak memory {}",
        n_rows as f64 / seconds,
        input_mb / seconds,
        peak_memory()
    );
    println!("{} kept, {} left out, {} changes, {}", done.n_examples, done.n_dropped, done.n_changed, done.digest);
    if kept.is_none() {
        flow::clear(&dir)?;
        std::fs::remove_dir(&dir)?;
    }
    Ok(())
}

fn recipe(redact: bool, near: bool) -> Recipe {
    let mut steps = vec![
        StepSettings::RepairText,
        StepSettings::StripHtml,
        StepSettings::Whitespace,
        StepSettings::Length(length::Settings::default()),
        // Made-up words are of no language: it is detected, and every row kept.
        StepSettings::Language(language::Settings { keep: Vec::new(), ..Default::default() }),
    ];
    if redact {
        steps.push(StepSettings::Redact(Default::default()));
    }
    steps.push(StepSettings::ExactDedup);
    if near {
        steps.push(StepSettings::NearDedup(NearSettings::default()));
    }
    steps.push(StepSettings::Split(split::Settings::default()));
    Recipe { steps }
}

/// Made-up words, the frequent ones short.
fn words() -> Vec<String> {
    let syllables =
        ["ba", "ken", "to", "ri", "sal", "me", "no", "dur", "a", "vi", "lo", "est", "pha", "un", "ge", "cor"];
    let word = |rank: usize| {
        let (mut word, mut rest) = (String::new(), rank + 1);
        while rest > 0 {
            word.push_str(syllables[rest % 16]);
            rest /= 16;
        }
        word
    };
    (0..WORDS).map(word).collect()
}

fn row(number: u64, words: &[String]) -> SourceRow {
    let mut rng = ChaCha8Rng::seed_from_u64(number);
    let repeats = rng.random_range(0..100);
    let mut text = match repeats {
        0..3 if number >= REPEAT_DISTANCE => text(number - rng.random_range(1..REPEAT_DISTANCE), words),
        _ => text(number, words),
    };
    if repeats == 2 {
        text += " indeed";
    }
    SourceRow {
        row_id: format!("row-{number}"),
        source: "made-up".into(),
        row_index: number + 1,
        text,
        label: Some(format!("label {}", rng.random_range(0..8))),
        ..SourceRow::default()
    }
}

/// Words of log-uniform rank: rank r has probability near 1/r. Some spaces are doubled, for a step to change.
fn text(number: u64, words: &[String]) -> String {
    let mut rng = ChaCha8Rng::seed_from_u64(number);
    rng.set_stream(1);
    let mut text = String::new();
    for _ in 0..WORDS_PER_ROW {
        let rank = (words.len() as f64).powf(rng.random::<f64>()) as usize - 1;
        text.push_str(&words[rank.min(words.len() - 1)]);
        text.push_str(if rng.random_range(0..100) == 0 { "  " } else { " " });
    }
    text
}

/// Bytes of text per row, from at most a thousand rows.
fn bytes_per_row(n_rows: u64, words: &[String]) -> f64 {
    let n_measured = n_rows.clamp(1, 1000);
    (0..n_measured).map(|number| text(number, words).len()).sum::<usize>() as f64 / n_measured as f64
}

/// Tells how long each phase took.
struct Stopwatch {
    phase: String,
    started: Instant,
    last: Option<(Progress, f64)>,
}

impl Stopwatch {
    fn tick(&mut self, progress: &Progress) {
        if progress.phase != self.phase {
            self.report();
            // A phase begins where the one before sent its last message: what it does between its passes counts.
            self.started += std::time::Duration::from_secs_f64(self.last.take().map_or(0.0, |(_, seconds)| seconds));
            self.phase = progress.phase.clone();
        }
        self.last = Some((progress.clone(), self.started.elapsed().as_secs_f64()));
    }

    fn report(&self) {
        if let Some((progress, seconds)) = &self.last {
            let rate = progress.rate(std::time::Duration::from_secs_f64(*seconds));
            let (rows, rows_per_s, mb_per_s) = (progress.n_rows, rate.rows_per_s, rate.bytes_per_s / 1e6);
            println!("{:24} {seconds:7.1} s {rows:9} rows {rows_per_s:9.0} rows/s {mb_per_s:7.1} MB/s", self.phase);
        }
    }
}

/// The most memory that this process has had, from the kernel's own count.
fn peak_memory() -> String {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.map_or("not known here".to_string(), |line| line.trim().to_string())
}
