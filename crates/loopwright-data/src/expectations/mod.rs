//! What a dataset version must be before anybody learns from it, and where it is not.
//!
//! A version is complete or it is not: these are checks of every row, so the figures are exact and carry no interval. The
//! vocabulary follows "Data Validation for Machine Learning" (Breck et al. 2019) and the habit of writing expectations
//! beside the data: ranges, uniqueness, missing values, closed sets, balance, and what is special to texts – personal
//! data, language, near-duplicates.
//!
//! [`check`] returns what is broken, each with the value that was expected, the one that was measured, how many rows
//! break it and the first few of them by id. A row is shown by its measured value, never by its text.
//!
//! ```
//! use loopwright_data::expectations::{Expectations, check};
//! use loopwright_guard::{RedactPolicy, Redactor};
//!
//! let settings: Expectations = serde_json::from_str(r#"{"label_rows_min": 5}"#)?;
//! let redactor = Redactor::new(&RedactPolicy::default());
//! assert!(check(&[], &settings, &redactor)?.is_empty(), "no label, no label with too few rows");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod column;
mod labels;
mod rows;
mod texts;

use crate::{Error, Result, dedup::NearSettings};
use loopwright_guard::Redactor;
use loopwright_types::{Example, id::RowId};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

pub use column::{Column, Measure};

/// What a version must be. Every key that is left out expects nothing.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Expectations {
    /// Rows of the version, at least and at most.
    pub rows: Range,
    /// Columns in which every row has a value.
    pub required: BTreeSet<Column>,
    /// Columns in which no two rows have the same value. Missing values are not compared.
    pub unique: BTreeSet<Column>,
    /// The largest share of rows, from 0 to 1, that may have no value in a column.
    pub null_share_max: BTreeMap<Column, f64>,
    /// The only values that a column may have.
    pub allowed: BTreeMap<Column, BTreeSet<String>>,
    /// The least and the largest value that may be measured on a row's text.
    pub ranges: BTreeMap<Measure, Range>,
    /// The fewest rows of any label.
    pub label_rows_min: Option<u64>,
    /// The most rows that the largest label may have for one row of the smallest.
    pub label_imbalance_max: Option<f64>,
    /// The largest share of rows with personal data or a secret in clear; masks do not count.
    pub pii_share_max: Option<f64>,
    /// The smallest share of rows per language (ISO 639-3), e.g. `eng = 0.95`.
    pub language_share_min: BTreeMap<String, f64>,
    /// The largest share of rows that are a near-duplicate of an earlier row.
    pub duplicate_share_max: Option<f64>,
    /// What a near-duplicate is.
    pub near: NearSettings,
    /// How many failing rows are shown per expectation.
    pub rows_shown_max: usize,
}

impl Default for Expectations {
    fn default() -> Self {
        Self {
            rows: Range::default(),
            required: BTreeSet::new(),
            unique: BTreeSet::new(),
            null_share_max: BTreeMap::new(),
            allowed: BTreeMap::new(),
            ranges: BTreeMap::new(),
            label_rows_min: None,
            label_imbalance_max: None,
            pii_share_max: None,
            language_share_min: BTreeMap::new(),
            duplicate_share_max: None,
            near: NearSettings::default(),
            rows_shown_max: 20,
        }
    }
}

/// Both ends belong to the range; an end that is left out is open.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Range {
    /// The least value.
    pub min: Option<f64>,
    /// The largest value.
    pub max: Option<f64>,
}

impl Range {
    fn holds(self, value: f64) -> bool {
        self.min.is_none_or(|min| value >= min) && self.max.is_none_or(|max| value <= max)
    }

    fn check(self, name: &str) -> Result<()> {
        let ends = [self.min, self.max];
        let is_upside_down = self.min.zip(self.max).is_some_and(|(min, max)| min > max);
        if is_upside_down || ends.iter().flatten().any(|end| !end.is_finite()) {
            return Err(Error::setting(name, self, "finite ends, the lower first"));
        }
        Ok(())
    }
}

impl std::fmt::Display for Range {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match (self.min, self.max) {
            (Some(min), Some(max)) => write!(f, "{min} to {max}"),
            (Some(min), None) => write!(f, "at least {min}"),
            (None, Some(max)) => write!(f, "at most {max}"),
            (None, None) => write!(f, "any"),
        }
    }
}

/// An expectation that does not hold.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Broken {
    /// The setting, e.g. `ranges.chars` or `unique.text`.
    pub expectation: String,
    /// What was expected.
    pub expected: String,
    /// What was measured, over the whole version.
    pub measured: String,
    /// How many rows (or, for labels, how many labels) break it.
    pub n_failing: u64,
    /// The first of them, at most [`Expectations::rows_shown_max`].
    pub failing: Vec<Failing>,
}

/// A row, or a label, that breaks an expectation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Failing {
    /// The row; none where the expectation is about a label.
    pub row_id: Option<RowId>,
    /// What was measured on it.
    pub measured: String,
}

impl Failing {
    fn row(row: &Example, measured: impl Into<String>) -> Self {
        Self { row_id: Some(row.row_id.clone()), measured: measured.into() }
    }
}

impl Expectations {
    /// Refuses settings that make no sense.
    pub fn validate(&self) -> Result<()> {
        self.rows.check("expect.rows")?;
        self.ranges.iter().try_for_each(|(measure, range)| range.check(&format!("expect.ranges.{measure}")))?;
        let nulls = self.null_share_max.iter().map(|(column, share)| (format!("null_share_max.{column}"), *share));
        let languages =
            self.language_share_min.iter().map(|(code, share)| (format!("language_share_min.{code}"), *share));
        let pii = self.pii_share_max.map(|share| ("pii_share_max".to_string(), share));
        let duplicates = self.duplicate_share_max.map(|share| ("duplicate_share_max".to_string(), share));
        for (name, share) in nulls.chain(languages).chain(pii).chain(duplicates) {
            if !(0.0..=1.0).contains(&share) {
                return Err(Error::setting(&format!("expect.{name}"), share, "0 to 1"));
            }
        }
        if self.label_imbalance_max.is_some_and(|most| most.is_nan() || most < 1.0) {
            let got = self.label_imbalance_max.unwrap_or_default();
            return Err(Error::setting("expect.label_imbalance_max", got, "1 or more"));
        }
        self.near.check("expect.near")
    }
}

/// The expectations that do not hold, in the order of their settings. Fails only on settings that make no sense.
pub fn check(rows: &[Example], expected: &Expectations, redactor: &Redactor) -> Result<Vec<Broken>> {
    expected.validate()?;
    let shown = expected.rows_shown_max;
    let mut broken: Vec<Broken> = rows::count(rows, expected).into_iter().collect();
    broken.extend(expected.required.iter().filter_map(|column| rows::required(rows, *column, shown)));
    broken.extend(expected.unique.iter().filter_map(|column| rows::unique(rows, *column, shown)));
    broken.extend(expected.null_share_max.iter().filter_map(|(column, most)| rows::nulls(rows, *column, *most, shown)));
    broken.extend(expected.allowed.iter().filter_map(|(column, values)| rows::allowed(rows, *column, values, shown)));
    broken.extend(expected.ranges.iter().filter_map(|(measure, range)| texts::range(rows, *measure, *range, shown)));
    broken.extend(expected.label_rows_min.and_then(|fewest| labels::too_few(rows, fewest, shown)));
    broken.extend(expected.label_imbalance_max.and_then(|most| labels::imbalance(rows, most)));
    broken.extend(expected.pii_share_max.and_then(|most| texts::personal_data(rows, most, redactor, shown)));
    broken.extend(
        expected.language_share_min.iter().filter_map(|(code, least)| texts::language(rows, code, *least, shown)),
    );
    broken.extend(expected.duplicate_share_max.and_then(|most| texts::duplicates(rows, most, &expected.near, shown)));
    Ok(broken)
}

/// Breaks `name` if there is anything in `failing`, of which the first `shown` are kept.
fn broken(name: String, expected: String, measured: String, failing: Vec<Failing>, shown: usize) -> Option<Broken> {
    let n_failing = failing.len() as u64;
    let failing: Vec<Failing> = failing.into_iter().take(shown).collect();
    (n_failing > 0).then_some(Broken { expectation: name, expected, measured, n_failing, failing })
}

fn share(n: usize, of: usize) -> f64 {
    if of == 0 { 0.0 } else { n as f64 / of as f64 }
}

#[cfg(test)]
mod tests;
