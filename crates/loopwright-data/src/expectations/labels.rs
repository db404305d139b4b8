//! How the rows are spread over the labels.

use super::{Broken, Failing, Tally};
use loopwright_types::Example;
use std::collections::BTreeMap;

/// Rows by label.
pub(super) fn count(rows: &[Example], counts: &mut BTreeMap<String, u64>) {
    for row in rows {
        match counts.get_mut(&row.label) {
            Some(n) => *n += 1,
            None => drop(counts.insert(row.label.clone(), 1)),
        }
    }
}

pub(super) fn too_few(counts: &BTreeMap<String, u64>, fewest: u64, shown: usize) -> Option<Broken> {
    let mut tally = Tally::new(shown);
    for (label, n) in counts.iter().filter(|(_, n)| **n < fewest) {
        tally.add(|| Failing { row_id: None, measured: format!("`{label}` has {n} rows") });
    }
    let smallest = counts.values().min().copied().unwrap_or(0);
    let measured = format!("the smallest label has {smallest} rows");
    tally.broken("label_rows_min".to_string(), format!("at least {fewest} rows of each label"), measured)
}

pub(super) fn imbalance(counts: &BTreeMap<String, u64>, most: f64) -> Option<Broken> {
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
