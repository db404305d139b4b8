//! A user's own labelled messages as a demo's two months.
//!
//! Real folders have no later month and do not say who wrote a row, so both are made from what is there, openly:
//! the last sixth of the labels in a seeded order is held back from the first month and appears only in the later one
//! (a real change of the inputs, made of real rows); and every row is assigned to one of a few hundred invented
//! customers, who sign one message in ten, so that there is somebody to mask, to export and to erase.

use super::{
    create::{Files, check_readable},
    settings::{DemoSettings, Size},
};
use crate::error::{Doing, Error, Result};
use loopwright_data::example::{Customer, ExampleSettings, customers_to_csv_bytes, generate};
use loopwright_sources::{OpenSettings, Read, Spec, open};
use loopwright_types::SourceRow;
use rand::{RngExt, SeedableRng, seq::SliceRandom};
use rand_chacha::ChaCha8Rng;
use std::{collections::BTreeSet, path::Path};

/// One customer signs so many messages out of a hundred.
const SIGNED_PERCENT: u32 = 10;
/// Labels held back for the later month: one in so many.
const HELD_BACK_ONE_IN: usize = 6;

/// The demo's files from a folder with `train.csv` and `test.csv`.
pub fn files(folder: &Path, settings: &DemoSettings) -> Result<Files> {
    let (train, test) = (rows(&folder.join("train.csv"))?, rows(&folder.join("test.csv"))?);
    let mut rng = ChaCha8Rng::seed_from_u64(settings.seed);
    let held_back = held_back(&train, &test, &mut rng)?;
    let is_new = |row: &SourceRow| row.label.as_ref().is_some_and(|label| held_back.contains(label));
    let (new, old): (Vec<SourceRow>, Vec<SourceRow>) = train.into_iter().partition(is_new);
    let (mut month_1, mut month_2) = (old, [new, test].concat());
    month_1.shuffle(&mut rng);
    month_2.shuffle(&mut rng);
    let (n_month_1, n_month_2, n_customers) = match settings.size {
        Size::Full => (8000, 2600, 300),
        Size::Small => (1100, 900, 80),
    };
    month_1.truncate(n_month_1);
    month_2.truncate(n_month_2);
    let people = generate(&ExampleSettings { seed: settings.seed, n_month_1: 0, n_month_2: 0, n_customers }).customers;
    Ok(Files {
        month_1: month_csv(1, month_1, &people, &mut rng)?,
        month_2: month_csv(2, month_2, &people, &mut rng)?,
        customers: customers_to_csv_bytes(&people),
    })
}

fn rows(path: &Path) -> Result<Vec<SourceRow>> {
    check_readable(path)?;
    let spec = Spec { location: path.to_string_lossy().into_owned(), ..Spec::default() };
    let mut rows = Vec::new();
    for read in open(&spec, &OpenSettings::default()) {
        match read.doing(|| format!("failed to read `{}`", path.display()))? {
            Read::Row(record) if record.label.is_some() => {
                rows.push(SourceRow { text: record.text, label: record.label, ..SourceRow::default() });
            }
            Read::Row(_) | Read::Rejected(_) => {}
        }
    }
    Ok(rows)
}

fn held_back(train: &[SourceRow], test: &[SourceRow], rng: &mut ChaCha8Rng) -> Result<BTreeSet<String>> {
    let labels: BTreeSet<&String> = train.iter().chain(test).filter_map(|row| row.label.as_ref()).collect();
    if labels.len() < 3 {
        return Err(
            Error::user(format!("the folder's rows have {} label(s)", labels.len())).hint("a demo needs at least 3")
        );
    }
    let mut labels: Vec<String> = labels.into_iter().cloned().collect();
    labels.shuffle(rng);
    let n = labels.len().div_ceil(HELD_BACK_ONE_IN);
    Ok(labels.into_iter().take(n).collect())
}

/// The rows as a month's messages, spread evenly over 28 days, each assigned to a customer.
fn month_csv(month: u32, rows: Vec<SourceRow>, people: &[Customer], rng: &mut ChaCha8Rng) -> Result<Vec<u8>> {
    let doing = || "failed to write the messages as CSV".to_string();
    let mut writer = csv::Writer::from_writer(Vec::new());
    writer.write_record(["id", "text", "label", "customer", "segment", "created_at"]).outside(doing)?;
    let n_rows = rows.len().max(1);
    for (index, row) in rows.into_iter().enumerate() {
        let author = &people[rng.random_range(0..people.len())];
        let text = match rng.random_range(0..100) < SIGNED_PERCENT {
            true => format!("{} Regards, {}, {}", row.text, author.name, author.email),
            false => row.text,
        };
        let minute = index * 28 * 24 * 60 / n_rows;
        let (day, hour, minute) = (1 + minute / (24 * 60), minute / 60 % 24, minute % 60);
        let id = format!("m{month}-{:05}", index + 1);
        let at = format!("2026-{month:02}-{day:02}T{hour:02}:{minute:02}:00Z");
        let label = row.label.unwrap_or_default();
        writer.write_record([&id, &text, &label, &author.external_id, &author.segment, &at]).outside(doing)?;
    }
    writer.into_inner().outside(doing)
}
