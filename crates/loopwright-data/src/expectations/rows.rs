//! How many rows there are, and what stands in their columns.

use super::{Broken, Column, Expectations, Failing, broken, share};
use loopwright_types::Example;
use std::collections::{BTreeMap, BTreeSet};

pub(super) fn count(rows: &[Example], expected: &Expectations) -> Option<Broken> {
    let n = rows.len();
    (!expected.rows.holds(n as f64)).then(|| Broken {
        expectation: "rows".to_string(),
        expected: format!("{} rows", expected.rows),
        measured: format!("{n} rows"),
        n_failing: n as u64,
        failing: Vec::new(),
    })
}

pub(super) fn required(rows: &[Example], column: Column, shown: usize) -> Option<Broken> {
    let failing = missing(rows, column);
    let measured = format!("{} of {} rows without", failing.len(), rows.len());
    broken(format!("required.{column}"), "a value in every row".to_string(), measured, failing, shown)
}

pub(super) fn nulls(rows: &[Example], column: Column, most: f64, shown: usize) -> Option<Broken> {
    let failing = missing(rows, column);
    let measured = share(failing.len(), rows.len());
    if measured <= most {
        return None;
    }
    let measured = format!("{measured:.4}, {} of {} rows", failing.len(), rows.len());
    broken(format!("null_share_max.{column}"), format!("at most {most} of the rows without"), measured, failing, shown)
}

fn missing(rows: &[Example], column: Column) -> Vec<Failing> {
    rows.iter().filter(|row| column.value(row).is_none()).map(|row| Failing::row(row, "no value")).collect()
}

pub(super) fn unique(rows: &[Example], column: Column, shown: usize) -> Option<Broken> {
    let mut first: BTreeMap<String, &Example> = BTreeMap::new();
    let mut failing = Vec::new();
    for row in rows {
        let Some(value) = column.value(row) else { continue };
        match first.get(value.as_ref()) {
            Some(earlier) => failing.push(Failing::row(row, format!("same as {}", earlier.row_id))),
            None => {
                first.insert(value.into_owned(), row);
            }
        }
    }
    let measured = format!("{} of {} rows repeat an earlier one", failing.len(), rows.len());
    broken(format!("unique.{column}"), "no value twice".to_string(), measured, failing, shown)
}

pub(super) fn allowed(rows: &[Example], column: Column, values: &BTreeSet<String>, shown: usize) -> Option<Broken> {
    let other = |row: &Example| column.value(row).map(|value| value.into_owned()).filter(|it| !values.contains(it));
    let show = |value: String| if column.may_be_shown() { format!("`{value}`") } else { "another value".to_string() };
    let failing: Vec<Failing> =
        rows.iter().filter_map(|row| other(row).map(|value| Failing::row(row, show(value)))).collect();
    let measured = format!("{} of {} rows have another", failing.len(), rows.len());
    broken(format!("allowed.{column}"), format!("one of {} values", values.len()), measured, failing, shown)
}
