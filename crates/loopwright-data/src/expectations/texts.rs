//! What the texts are like: length, personal data, language, repetition.

use super::{Broken, Failing, Measure, Range, Tally, share};
use loopwright_guard::Redactor;
use loopwright_types::Example;
use rayon::prelude::*;

/// The values of a measure so far.
pub(super) struct Span {
    least: f64,
    most: f64,
    tally: Tally,
}

impl Span {
    pub(super) fn new(tally: Tally) -> Self {
        Self { least: f64::INFINITY, most: f64::NEG_INFINITY, tally }
    }

    pub(super) fn see(&mut self, rows: &[Example], measure: Measure, range: Range) {
        let values: Vec<f64> = rows.par_iter().map(|row| measure.of(&row.text)).collect();
        for (row, value) in rows.iter().zip(values) {
            (self.least, self.most) = (self.least.min(value), self.most.max(value));
            if !range.holds(value) {
                self.tally.add(|| Failing::row(row, rounded(value)));
            }
        }
    }

    pub(super) fn finish(self, measure: Measure, range: Range) -> Option<Broken> {
        let measured = format!("{} to {}", rounded(self.least), rounded(self.most));
        self.tally.broken(format!("ranges.{measure}"), range.to_string(), measured)
    }
}

fn rounded(value: f64) -> String {
    if value.fract() == 0.0 { format!("{value}") } else { format!("{value:.3}") }
}

/// The row's findings by kind, e.g. `1 email, 2 phone`; never the values.
pub(super) fn personal_data(rows: &[Example], redactor: &Redactor, tally: &mut Tally) {
    let kinds = |row: &Example| -> Vec<String> {
        let counts = redactor.redact(&row.text, &[]).counts();
        counts.iter().map(|(kind, n)| format!("{n} {}", kind.as_str())).collect()
    };
    let found: Vec<Vec<String>> = rows.par_iter().map(kinds).collect();
    for (row, kinds) in rows.iter().zip(found).filter(|(_, kinds)| !kinds.is_empty()) {
        tally.add(|| Failing::row(row, kinds.join(", ")));
    }
}

/// Counts the rows of other languages.
pub(super) fn language(rows: &[Example], code: &str, tally: &mut Tally) {
    for row in rows.iter().filter(|row| row.language != code) {
        tally.add(|| Failing::row(row, format!("`{}`", row.language)));
    }
}

pub(super) fn too_few(code: &str, least: f64, others: Tally, n_rows: usize) -> Option<Broken> {
    let n_right = n_rows as u64 - others.n;
    let measured = share(n_right, n_rows);
    if measured >= least {
        return None;
    }
    let measured = format!("{measured:.4}, {n_right} of {n_rows} rows");
    others.broken(format!("language_share_min.{code}"), format!("at least {least} of the rows"), measured)
}
