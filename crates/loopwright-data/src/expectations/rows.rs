//! How many rows there are, and what stands in their columns.

use super::{Broken, Column, Expectations, Failing, Tally, share};
use loopwright_types::{Example, id::RowId};
use std::collections::{BTreeSet, HashMap};
use xxhash_rust::xxh3::xxh3_128;

pub(super) fn count(n: usize, expected: &Expectations) -> Option<Broken> {
    (!expected.rows.holds(n as f64)).then(|| Broken {
        expectation: "rows".to_string(),
        expected: format!("{} rows", expected.rows),
        measured: format!("{n} rows"),
        n_failing: n as u64,
        failing: Vec::new(),
    })
}

pub(super) fn missing(rows: &[Example], column: Column, tally: &mut Tally) {
    for row in rows.iter().filter(|row| column.value(row).is_none()) {
        tally.add(|| Failing::row(row, "no value"));
    }
}

pub(super) fn required(column: Column, tally: Tally, n_rows: usize) -> Option<Broken> {
    let measured = format!("{} of {n_rows} rows without", tally.n);
    tally.broken(format!("required.{column}"), "a value in every row".to_string(), measured)
}

pub(super) fn nulls(column: Column, most: f64, tally: Tally, n_rows: usize) -> Option<Broken> {
    let measured = share(tally.n, n_rows);
    if measured <= most {
        return None;
    }
    let measured = format!("{measured:.4}, {} of {n_rows} rows", tally.n);
    tally.broken(format!("null_share_max.{column}"), format!("at most {most} of the rows without"), measured)
}

/// The values of a column so far, by their hashes (XXH3, 128 bits), each with the first row that has it.
pub(super) struct Unique {
    first: HashMap<u128, RowId>,
    tally: Tally,
}

impl Unique {
    pub(super) fn new(tally: Tally) -> Self {
        Self { first: HashMap::new(), tally }
    }

    pub(super) fn see(&mut self, rows: &[Example], column: Column) {
        for row in rows {
            let Some(value) = column.value(row) else { continue };
            let hash = xxh3_128(value.as_bytes());
            match self.first.get(&hash) {
                Some(earlier) => self.tally.add(|| Failing::row(row, format!("same as {earlier}"))),
                None => drop(self.first.insert(hash, row.row_id.clone())),
            }
        }
    }

    pub(super) fn finish(self, column: Column, n_rows: usize) -> Option<Broken> {
        let measured = format!("{} of {n_rows} rows repeat an earlier one", self.tally.n);
        self.tally.broken(format!("unique.{column}"), "no value twice".to_string(), measured)
    }
}

pub(super) fn allowed(rows: &[Example], column: Column, values: &BTreeSet<String>, tally: &mut Tally) {
    let show = |value: &str| if column.may_be_shown() { format!("`{value}`") } else { "another value".to_string() };
    for row in rows {
        if let Some(value) = column.value(row).filter(|value| !values.contains(value.as_ref())) {
            tally.add(|| Failing::row(row, show(&value)));
        }
    }
}

pub(super) fn others(column: Column, n_values: usize, tally: Tally, n_rows: usize) -> Option<Broken> {
    let measured = format!("{} of {n_rows} rows have another", tally.n);
    tally.broken(format!("allowed.{column}"), format!("one of {n_values} values"), measured)
}
