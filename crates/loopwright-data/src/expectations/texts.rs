//! What the texts are like: length, personal data, language, repetition.

use super::{Broken, Failing, Measure, Range, broken, share};
use crate::dedup::{NearSettings, clusters};
use loopwright_guard::Redactor;
use loopwright_types::Example;
use rayon::prelude::*;

pub(super) fn range(rows: &[Example], measure: Measure, range: Range, shown: usize) -> Option<Broken> {
    let values: Vec<f64> = rows.par_iter().map(|row| measure.of(&row.text)).collect();
    let outside = rows.iter().zip(&values).filter(|(_, value)| !range.holds(**value));
    let failing: Vec<Failing> = outside.map(|(row, value)| Failing::row(row, rounded(*value))).collect();
    let least = values.iter().copied().fold(f64::INFINITY, f64::min);
    let most = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let measured = format!("{} to {}", rounded(least), rounded(most));
    broken(format!("ranges.{measure}"), range.to_string(), measured, failing, shown)
}

fn rounded(value: f64) -> String {
    if value.fract() == 0.0 { format!("{value}") } else { format!("{value:.3}") }
}

/// The row's findings by kind, e.g. `1 email, 2 phone`; never the values.
pub(super) fn personal_data(rows: &[Example], most: f64, redactor: &Redactor, shown: usize) -> Option<Broken> {
    let found: Vec<Option<Failing>> = rows
        .par_iter()
        .map(|row| {
            let counts = redactor.redact(&row.text, &[]).counts();
            let kinds: Vec<String> = counts.iter().map(|(kind, n)| format!("{n} {}", kind.as_str())).collect();
            (!kinds.is_empty()).then(|| Failing::row(row, kinds.join(", ")))
        })
        .collect();
    over_share("pii_share_max", most, rows.len(), found.into_iter().flatten().collect(), shown)
}

pub(super) fn language(rows: &[Example], code: &str, least: f64, shown: usize) -> Option<Broken> {
    let others = rows.iter().filter(|row| row.language != code);
    let failing: Vec<Failing> = others.map(|row| Failing::row(row, format!("`{}`", row.language))).collect();
    let n_right = rows.len() - failing.len();
    let measured = share(n_right, rows.len());
    if measured >= least {
        return None;
    }
    let measured = format!("{measured:.4}, {n_right} of {} rows", rows.len());
    broken(format!("language_share_min.{code}"), format!("at least {least} of the rows"), measured, failing, shown)
}

pub(super) fn duplicates(rows: &[Example], most: f64, near: &NearSettings, shown: usize) -> Option<Broken> {
    let texts: Vec<&str> = rows.iter().map(|row| row.text.as_str()).collect();
    let found = clusters(&texts, near);
    let is_later = |index: &usize| found.first[*index] != *index;
    let failing = (0..rows.len()).filter(is_later).map(|index| {
        let (first, similarity) = (&rows[found.first[index]], found.similarity[index]);
        Failing::row(&rows[index], format!("like {} (similarity {similarity:.2})", first.row_id))
    });
    over_share("duplicate_share_max", most, rows.len(), failing.collect(), shown)
}

fn over_share(name: &str, most: f64, n_rows: usize, failing: Vec<Failing>, shown: usize) -> Option<Broken> {
    let measured = share(failing.len(), n_rows);
    if measured <= most {
        return None;
    }
    let measured = format!("{measured:.4}, {} of {n_rows} rows", failing.len());
    broken(name.to_string(), format!("at most {most} of the rows"), measured, failing, shown)
}
