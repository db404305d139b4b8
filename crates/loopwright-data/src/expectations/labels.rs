//! How the rows are spread over the labels.

use super::{Broken, Failing, broken};
use loopwright_types::Example;
use std::collections::BTreeMap;

fn counts(rows: &[Example]) -> BTreeMap<&str, u64> {
    let mut counts = BTreeMap::new();
    rows.iter().for_each(|row| *counts.entry(row.label.as_str()).or_default() += 1);
    counts
}

pub(super) fn too_few(rows: &[Example], fewest: u64, shown: usize) -> Option<Broken> {
    let counts = counts(rows);
    let small = counts.iter().filter(|(_, n)| **n < fewest);
    let failing: Vec<Failing> =
        small.map(|(label, n)| Failing { row_id: None, measured: format!("`{label}` has {n} rows") }).collect();
    let smallest = counts.values().min().copied().unwrap_or(0);
    let measured = format!("the smallest label has {smallest} rows");
    broken("label_rows_min".to_string(), format!("at least {fewest} rows of each label"), measured, failing, shown)
}

pub(super) fn imbalance(rows: &[Example], most: f64) -> Option<Broken> {
    let counts = counts(rows);
    let (smallest, n_least) = counts.iter().min_by_key(|(_, n)| **n)?;
    // The first of equals by name.
    let (largest, n_most) = counts.iter().rev().max_by_key(|(_, n)| **n)?;
    let measured = *n_most as f64 / *n_least as f64;
    if measured <= most {
        return None;
    }
    let failing = [(largest, n_most), (smallest, n_least)]
        .map(|(label, n)| Failing { row_id: None, measured: format!("`{label}` has {n} rows") });
    Some(Broken {
        expectation: "label_imbalance_max".to_string(),
        expected: format!("at most {most} rows of the largest label for one of the smallest"),
        measured: format!("{measured:.2}"),
        n_failing: 2,
        failing: failing.to_vec(),
    })
}
