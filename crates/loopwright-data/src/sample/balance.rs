//! Evening out the labels of a set: which rows are taken, and how often.
//!
//! | to | rows of each label |
//! |---|---|
//! | `down` | as many as the smallest label has; the rest is left out |
//! | `up` | as many as the largest has; rows are repeated |
//! | `temperature` | as many rows in all as before, shared by nᵢ^(1/T) (see [`super::mix`]) |
//!
//! No row is taken more often than `repeats_max` times: a label of three rows that is lifted to a thousand teaches three
//! sentences by heart. Within a label every row is taken equally often, give or take one; the seed chooses which.

use super::mix::{capped_shares, temperature_weights};
use crate::{Error, Result, label_check::numbered};
use rand::{SeedableRng, seq::SliceRandom};
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

/// To what the labels are evened out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum To {
    /// To the smallest label.
    Down,
    /// To the largest label.
    Up,
    /// To shares nᵢ^(1/T).
    Temperature,
}

/// How labels are evened out.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// To what.
    pub to: To,
    /// T, from 1 (nothing changes); used by `temperature` only.
    pub temperature: f64,
    /// How often one row may be taken.
    pub repeats_max: u64,
}

impl Default for Settings {
    fn default() -> Self {
        Self { to: To::Temperature, temperature: 3.3, repeats_max: 4 }
    }
}

impl Settings {
    /// Refuses settings that make no sense.
    pub fn check(&self) -> Result<()> {
        if !(self.temperature >= 1.0 && self.temperature.is_finite()) {
            return Err(Error::setting("balance.temperature", self.temperature, "1 or more"));
        }
        if self.repeats_max == 0 {
            return Err(Error::setting("balance.repeats_max", self.repeats_max, "1 or more"));
        }
        Ok(())
    }
}

/// The rows taken, and the figures per label.
#[derive(Clone, Debug, PartialEq)]
pub struct Balanced {
    /// Positions of rows, each as often as it is taken, by rising position.
    pub rows: Vec<usize>,
    /// Per label, by name: rows before, rows after, and how often the most frequent of its rows is taken.
    pub labels: Vec<BalancedLabel>,
}

/// A label before and after.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct BalancedLabel {
    /// The label.
    pub label: String,
    /// Rows before.
    pub n_before: u64,
    /// Rows after, repeats counted.
    pub n_after: u64,
    /// How often its most frequent row is taken.
    pub repeats: u64,
}

/// Evens out rows with these labels. Fails only on settings out of range.
///
/// ```
/// use loopwright_data::sample::balance::{Settings, To, balance};
///
/// let labels = ["a", "a", "a", "a", "b"];
/// let up = Settings { to: To::Up, repeats_max: 3, ..Settings::default() };
/// let balanced = balance(&labels, &up, 7)?;
/// assert_eq!(balanced.rows, [0, 1, 2, 3, 4, 4, 4], "the cap stops at three");
/// # Ok::<(), loopwright_data::Error>(())
/// ```
pub fn balance(labels: &[&str], settings: &Settings, seed: u64) -> Result<Balanced> {
    settings.check()?;
    let (names, numbers) = numbered(labels);
    let mut rows_of: Vec<Vec<usize>> = vec![Vec::new(); names.len()];
    numbers.iter().enumerate().for_each(|(row, label)| rows_of[*label].push(row));
    let sizes: Vec<u64> = rows_of.iter().map(|rows| rows.len() as u64).collect();
    let counts = counts(&sizes, settings);
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut taken = Vec::new();
    for (rows, count) in rows_of.iter_mut().zip(&counts) {
        rows.shuffle(&mut rng);
        taken.extend(rows.iter().cycle().take(*count as usize));
    }
    taken.sort_unstable();
    let labels = names.into_iter().zip(sizes.iter().zip(&counts)).map(|(label, (n_before, n_after))| BalancedLabel {
        label,
        n_before: *n_before,
        n_after: *n_after,
        repeats: n_after.div_ceil(*n_before),
    });
    Ok(Balanced { labels: labels.collect(), rows: taken })
}

/// Rows per label after balancing.
fn counts(sizes: &[u64], settings: &Settings) -> Vec<u64> {
    let limits: Vec<u64> = sizes.iter().map(|n| n.saturating_mul(settings.repeats_max)).collect();
    let level = |n: u64| limits.iter().map(|limit| n.min(*limit)).collect();
    match settings.to {
        To::Down => level(sizes.iter().copied().min().unwrap_or(0)),
        To::Up => level(sizes.iter().copied().max().unwrap_or(0)),
        To::Temperature => {
            let weights = temperature_weights(sizes, settings.temperature, None);
            capped_shares(&weights, &limits, sizes.iter().sum())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn check(sizes: &[u64], settings: Settings, expected: &[u64]) {
        assert_eq!(counts(sizes, &settings), expected, "{sizes:?} {settings:?}");
    }

    #[test]
    fn counts_by_hand() {
        let to = |to, repeats_max| Settings { to, repeats_max, ..Settings::default() };
        check(&[8, 3, 5], to(To::Down, 1), &[3, 3, 3]);
        check(&[8, 3, 5], to(To::Up, 4), &[8, 8, 8]);
        check(&[80, 3, 5], to(To::Up, 4), &[80, 12, 20]);
        // Square roots 10 and 1 of 101 rows: 91.8 and 9.2.
        check(&[100, 1], Settings { to: To::Temperature, temperature: 2.0, repeats_max: 50 }, &[92, 9]);
        // The cap of 4 leaves the rest to the large label, which then is as large as before but for three.
        check(&[100, 1], Settings { to: To::Temperature, temperature: 2.0, repeats_max: 4 }, &[97, 4]);
        check(&[7, 2], Settings { to: To::Temperature, temperature: 1.0, repeats_max: 1 }, &[7, 2]);
        check(&[], to(To::Up, 1), &[]);
    }

    #[test]
    fn settings_out_of_range_are_named() {
        for (settings, name) in [
            (Settings { temperature: 0.5, ..Settings::default() }, "balance.temperature"),
            (Settings { temperature: f64::NAN, ..Settings::default() }, "balance.temperature"),
            (Settings { repeats_max: 0, ..Settings::default() }, "balance.repeats_max"),
        ] {
            let error = balance(&["a"], &settings, 1).unwrap_err().to_string();
            assert!(error.contains(name), "{error}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 96, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn rows_of_a_label_are_taken_equally_often(
            labels in prop::collection::vec(0u8..4, 1..80), to in prop::sample::select(vec![To::Down, To::Up, To::Temperature]),
            repeats_max in 1u64..6, seed in any::<u64>()
        ) {
            let names = ["a", "b", "c", "d"];
            let labels: Vec<&str> = labels.iter().map(|label| names[usize::from(*label)]).collect();
            let settings = Settings { to, repeats_max, ..Settings::default() };
            let balanced = balance(&labels, &settings, seed).unwrap();
            prop_assert_eq!(&balanced, &balance(&labels, &settings, seed).unwrap());
            let taken = |row: usize| balanced.rows.iter().filter(|it| **it == row).count() as u64;
            for label in &balanced.labels {
                let times: Vec<u64> = (0..labels.len()).filter(|row| labels[*row] == label.label).map(taken).collect();
                let (least, most) = (*times.iter().min().unwrap(), *times.iter().max().unwrap());
                prop_assert!(most - least <= 1 && most <= repeats_max);
                prop_assert_eq!((most, times.iter().sum::<u64>()), (label.repeats, label.n_after));
            }
        }
    }
}
