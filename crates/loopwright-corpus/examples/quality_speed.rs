//! How fast the quality filters are: documents and megabytes per second, per filter and together, on one thread.
//!
//! `cargo run --release -p loopwright-data --example quality_speed -- TEXTS.jsonl [--json]`
//!
//! The file has a document per line, `{"text": "…"}`; any other file is read as documents with empty lines between. Each
//! figure is from at least a second of work. Time is what the processor spent on this thread, where the system tells (Linux),
//! else what the clock says.
#![allow(clippy::print_stdout)]

use loopwright_corpus::quality::{
    Text, boilerplate, c4, filters::Filters, fineweb, gopher_quality, gopher_repetition, presets, symbols,
};
use std::{hint::black_box, time::Instant};

#[derive(serde::Deserialize)]
struct Row {
    text: String,
}

/// A name, and what is done with each document.
type Work = (&'static str, Box<dyn Fn(&str)>);

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let path = std::env::args().nth(1).ok_or("expected a file of texts")?;
    let json = std::env::args().any(|argument| argument == "--json");
    let texts = read(&std::fs::read_to_string(&path)?)?;
    let n_bytes: usize = texts.iter().map(String::len).sum();
    if !json {
        println!("{path}: {} documents, {} bytes each", texts.len(), n_bytes / texts.len().max(1));
        println!("{:<28} {:>12} {:>10}", "one thread", "docs/s", "MB/s");
    }
    let mut figures = serde_json::Map::new();
    for (name, work) in works()? {
        let seconds = seconds_per_round(&texts, &work);
        let (docs_per_s, mb_per_s) = (texts.len() as f64 / seconds, n_bytes as f64 / seconds / 1e6);
        if !json {
            println!("{name:<28} {docs_per_s:>12.0} {mb_per_s:>10.1}");
        }
        figures.insert(name.into(), serde_json::json!({"docs_per_s": docs_per_s, "mb_per_s": mb_per_s}));
    }
    if json {
        println!("{}", serde_json::Value::Object(figures));
    }
    Ok(())
}

fn read(file: &str) -> Result<Vec<String>, serde_json::Error> {
    if !file.starts_with('{') {
        return Ok(file.split("\n\n").map(String::from).collect());
    }
    file.lines().map(|line| serde_json::from_str(line).map(|row: Row| row.text)).collect()
}

fn works() -> loopwright_corpus::Result<Vec<Work>> {
    let filters = Filters::new(&presets::fineweb())?;
    let mut counts = boilerplate::Counts::default();
    boilerplate::count(&mut counts, "Some line\nand another", &boilerplate::Settings::default());
    let (first, second) = (Rules::default(), Rules::default());
    let (third, fourth, fifth) = (Rules::default(), Rules::default(), Rules::default());
    let (marks, lines) = (symbols::Settings::default(), boilerplate::Settings::default());
    Ok(vec![
        ("split", Box::new(|text| drop(black_box(Text::new(text))))),
        ("gopher_quality", Box::new(move |text| first.quality(&Text::new(text)))),
        ("gopher_repetition", Box::new(move |text| second.repetition(&Text::new(text)))),
        ("c4", Box::new(move |text| third.c4(&Text::new(text)))),
        ("fineweb", Box::new(move |text| fourth.fineweb(&Text::new(text)))),
        ("all", Box::new(move |text| fifth.all(text))),
        ("preset fineweb", Box::new(move |text| drop(black_box(filters.run(text))))),
        ("symbols", Box::new(move |text| drop(black_box(symbols::check(&Text::new(text), &marks))))),
        ("boilerplate drop", Box::new(move |text| drop(black_box(boilerplate::drop(text, &counts, &lines))))),
    ])
}

/// The four published filters' settings.
#[derive(Default)]
struct Rules {
    quality: gopher_quality::Settings,
    repetition: gopher_repetition::Settings,
    c4: c4::Settings,
    fineweb: fineweb::Settings,
}

impl Rules {
    fn quality(&self, text: &Text<'_>) {
        black_box(gopher_quality::check(text, &self.quality));
    }

    fn repetition(&self, text: &Text<'_>) {
        black_box(gopher_repetition::check(text, &self.repetition));
    }

    fn c4(&self, text: &Text<'_>) {
        drop(black_box(c4::clean(text, &self.c4)));
    }

    fn fineweb(&self, text: &Text<'_>) {
        black_box(fineweb::check(text, &self.fineweb));
    }

    /// The four over one view, each whatever the others say.
    fn all(&self, text: &str) {
        let text = Text::new(text);
        self.quality(&text);
        self.repetition(&text);
        self.c4(&text);
        self.fineweb(&text);
    }
}

/// Mean time of a round over all documents, over at least a second, after a round to warm up.
fn seconds_per_round(texts: &[String], work: &dyn Fn(&str)) -> f64 {
    texts.iter().for_each(|text| work(text));
    let (clock, began) = (Instant::now(), thread_seconds());
    let spent = || match (began, thread_seconds()) {
        (Some(began), Some(now)) => now - began,
        _ => clock.elapsed().as_secs_f64(),
    };
    let mut n_rounds = 0.0;
    while spent() < 1.0 {
        texts.iter().for_each(|text| work(text));
        n_rounds += 1.0;
    }
    spent() / n_rounds
}

/// Seconds that this thread was on a processor, from Linux's scheduler.
fn thread_seconds() -> Option<f64> {
    let line = std::fs::read_to_string("/proc/thread-self/schedstat").ok()?;
    Some(line.split(' ').next()?.parse::<f64>().ok()? / 1e9)
}
