//! The curation on real messages of bank customers (banking77), where they are at hand.
#![allow(clippy::unwrap_used, reason = "a test all through: its functions stop where it should stop")]

use loopwright_data::recipe::{CurateContext, Recipe, Resources, curate};
use loopwright_guard::{RedactPolicy, Redactor};
use loopwright_sources::{Format, OpenSettings, ReadRows, Spec, open};
use std::{collections::BTreeSet, path::PathBuf};

fn datasets() -> PathBuf {
    std::env::var_os("LOOPWRIGHT_DATASETS")
        .map_or_else(|| PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/datasets")), PathBuf::from)
}

#[test]
fn banking77_is_curated() {
    let file = datasets().join("banking77/train.csv");
    if !file.exists() {
        println!("skipped: no banking77 under {}", datasets().display());
        return;
    }
    let location = file.to_string_lossy().into_owned();
    let spec = Spec { location, name: Some("banking77".into()), format: Some(Format::Csv), ..Spec::default() };
    let read = ReadRows::of(open(&spec, &OpenSettings::default()), &|id| id.into()).unwrap();
    assert_eq!((read.rows.len(), read.rejected.len()), (10_003, 0));
    assert!(read.rows.iter().all(|row| row.label.is_some()), "the label stands under `category`");
    let redactor = Redactor::new(&RedactPolicy::default());
    let opted_out = BTreeSet::new();
    let ctx = CurateContext {
        redactor: &redactor,
        known: &|_| Vec::new(),
        opted_out: &opted_out,
        seed: 1,
        resources: Resources::none(),
    };
    let started = std::time::Instant::now();
    let out = curate(read.rows, &Recipe::default(), &ctx).unwrap();
    println!(
        "banking77: {} kept in {:?}\n{}",
        out.examples.len(),
        started.elapsed(),
        loopwright_data::card::to_markdown(&out.card, "banking77")
    );
    assert_eq!(out.examples.len() + out.dropped.len(), 10_003);
    assert_eq!(out.card.labels.len(), 77);
    // Clean, English, anonymous data: little is left out, next to nothing masked.
    assert!(out.examples.len() > 9000, "{}", out.examples.len());
    assert!(out.card.pii.values().sum::<u64>() < 50, "{:?}", out.card.pii);
}
