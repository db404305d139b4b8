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
mod repeats;
mod rows;
mod texts;

use crate::{Error, Result, dedup::NearSettings};
use loopwright_guard::Redactor;
use loopwright_types::{Example, id::RowId};
use repeats::Repeats;
use serde::{Deserialize, Serialize};
use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
};

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
///
/// All rows are in memory; [`Checker`] says the same of more rows than fit.
pub fn check(rows: &[Example], expected: &Expectations, redactor: &Redactor) -> Result<Vec<Broken>> {
    let mut checker = Checker::of(expected, expected.duplicate_share_max.map(|_| Repeats::Held(Vec::new())))?;
    checker.see(rows, redactor)?;
    checker.finish()
}

/// Checks rows as they go by, batch by batch.
///
/// Of each row it keeps nothing, but for `unique` (a hash and the row's id, per column) and for `duplicate_share_max`:
/// near-duplicates are found at the end, until when the texts lie on disk and eight bytes a row in memory.
pub struct Checker {
    expected: Expectations,
    n_rows: usize,
    required: BTreeMap<Column, Tally>,
    nulls: BTreeMap<Column, Tally>,
    unique: BTreeMap<Column, rows::Unique>,
    allowed: BTreeMap<Column, Tally>,
    ranges: BTreeMap<Measure, texts::Span>,
    labels: BTreeMap<String, u64>,
    personal_data: Tally,
    languages: BTreeMap<String, Tally>,
    /// Looks for near-duplicates, if they are not to be many.
    repeats: Option<Repeats>,
}

impl Checker {
    /// Has seen no row yet. What the near-duplicates need lies in `folder`, which is emptied first, and takes so much memory
    /// at most. Fails on settings that make no sense.
    pub fn new(expected: &Expectations, folder: &Path, memory_bytes: u64) -> Result<Self> {
        expected.validate()?;
        let repeats = expected.duplicate_share_max.map(|_| Repeats::on_disk(&expected.near, folder, memory_bytes));
        Self::of(expected, repeats.transpose()?)
    }

    fn of(expected: &Expectations, repeats: Option<Repeats>) -> Result<Self> {
        expected.validate()?;
        let tally = || Tally::new(expected.rows_shown_max);
        Ok(Self {
            n_rows: 0,
            required: expected.required.iter().map(|column| (*column, tally())).collect(),
            nulls: expected.null_share_max.keys().map(|column| (*column, tally())).collect(),
            unique: expected.unique.iter().map(|column| (*column, rows::Unique::new(tally()))).collect(),
            allowed: expected.allowed.keys().map(|column| (*column, tally())).collect(),
            ranges: expected.ranges.keys().map(|measure| (*measure, texts::Span::new(tally()))).collect(),
            labels: BTreeMap::new(),
            personal_data: tally(),
            languages: expected.language_share_min.keys().map(|code| (code.clone(), tally())).collect(),
            repeats,
            expected: expected.clone(),
        })
    }

    /// The next rows of the version.
    pub fn see(&mut self, rows: &[Example], redactor: &Redactor) -> Result<()> {
        self.n_rows += rows.len();
        for (column, tally) in self.required.iter_mut().chain(&mut self.nulls) {
            rows::missing(rows, *column, tally);
        }
        self.unique.iter_mut().for_each(|(column, unique)| unique.see(rows, *column));
        for (column, tally) in &mut self.allowed {
            rows::allowed(rows, *column, &self.expected.allowed[column], tally);
        }
        for (measure, span) in &mut self.ranges {
            span.see(rows, *measure, self.expected.ranges[measure]);
        }
        if self.expected.label_rows_min.is_some() || self.expected.label_imbalance_max.is_some() {
            labels::count(rows, &mut self.labels);
        }
        if self.expected.pii_share_max.is_some() {
            texts::personal_data(rows, redactor, &mut self.personal_data);
        }
        self.languages.iter_mut().for_each(|(code, tally)| texts::language(rows, code, tally));
        self.repeats.as_mut().map_or(Ok(()), |repeats| repeats.see(rows))
    }

    /// The expectations that do not hold, in the order of their settings.
    pub fn finish(self) -> Result<Vec<Broken>> {
        let (n, expected) = (self.n_rows, self.expected);
        let shown = expected.rows_shown_max;
        let mut broken: Vec<Broken> = rows::count(n, &expected).into_iter().collect();
        broken.extend(self.required.into_iter().filter_map(|(column, tally)| rows::required(column, tally, n)));
        broken.extend(self.unique.into_iter().filter_map(|(column, unique)| unique.finish(column, n)));
        let nulls = self.nulls.into_iter();
        broken.extend(
            nulls.filter_map(|(column, tally)| rows::nulls(column, expected.null_share_max[&column], tally, n)),
        );
        let allowed = self.allowed.into_iter();
        broken.extend(
            allowed.filter_map(|(column, tally)| rows::others(column, expected.allowed[&column].len(), tally, n)),
        );
        let ranges = self.ranges.into_iter();
        broken.extend(ranges.filter_map(|(measure, span)| span.finish(measure, expected.ranges[&measure])));
        broken.extend(expected.label_rows_min.and_then(|fewest| labels::too_few(&self.labels, fewest, shown)));
        broken.extend(expected.label_imbalance_max.and_then(|most| labels::imbalance(&self.labels, most)));
        let most = expected.pii_share_max;
        broken.extend(most.and_then(|most| self.personal_data.over_share("pii_share_max", most, n)));
        let languages = self.languages.into_iter();
        broken.extend(
            languages.filter_map(|(code, tally)| texts::too_few(&code, expected.language_share_min[&code], tally, n)),
        );
        if let Some((most, repeats)) = expected.duplicate_share_max.zip(self.repeats) {
            broken.extend(repeats.find(&expected.near, shown)?.over_share("duplicate_share_max", most, n));
        }
        Ok(broken)
    }
}

/// Counts the rows that break an expectation, and keeps the first of them.
#[derive(Debug)]
struct Tally {
    n: u64,
    failing: Vec<Failing>,
    shown: usize,
}

impl Tally {
    fn new(shown: usize) -> Self {
        Self { n: 0, failing: Vec::new(), shown }
    }

    fn add(&mut self, failing: impl FnOnce() -> Failing) {
        self.count();
        if !self.is_full() {
            self.failing.push(failing());
        }
    }

    /// Whether as many are kept as are shown.
    fn is_full(&self) -> bool {
        self.failing.len() >= self.shown
    }

    /// Counts one that is not shown.
    fn count(&mut self) {
        self.n += 1;
    }

    /// Breaks `name` if anything failed.
    fn broken(self, name: String, expected: String, measured: String) -> Option<Broken> {
        let Self { n, failing, .. } = self;
        (n > 0).then_some(Broken { expectation: name, expected, measured, n_failing: n, failing })
    }

    /// Breaks `name` if more than this share of the rows failed.
    fn over_share(self, name: &str, most: f64, n_rows: usize) -> Option<Broken> {
        let measured = share(self.n, n_rows);
        if measured <= most {
            return None;
        }
        let measured = format!("{measured:.4}, {} of {n_rows} rows", self.n);
        self.broken(name.to_string(), format!("at most {most} of the rows"), measured)
    }
}

fn share(n: u64, of: usize) -> f64 {
    if of == 0 { 0.0 } else { n as f64 / of as f64 }
}

#[cfg(test)]
mod tests;
