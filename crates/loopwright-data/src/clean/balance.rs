//! Evens out labels, sources or groups by leaving rows out.
//!
//! To `down`, every kind keeps as many rows as the smallest has (random undersampling). To `temperature`, kind i keeps
//! n₀·(nᵢ/n₀)^(1/T) of its nᵢ rows, with n₀ the rows of the smallest: T = 1 leaves everything as it is, T → ∞ is `down`.
//! These are the shares of mT5 (Xue et al. 2021, section 3.1) with as many rows as are there without taking one twice.
//! A step never repeats a row, since a row of a version stands for itself; to repeat the rows of rare labels while
//! learning, there is [`crate::sample::balance`]. The seed chooses the rows.

use super::quota::{self, By};
use crate::{
    Error, Result,
    draft::{Draft, StepOutput},
};
use serde::{Deserialize, Serialize};

/// The step's name.
pub const STEP: &str = "balance";

/// How far the kinds are evened out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum To {
    /// To the smallest kind.
    Down,
    /// To shares nᵢ^(1/T).
    Temperature,
}

/// What is evened out, and how far.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// What makes a kind.
    pub by: By,
    /// How far they are evened out.
    pub to: To,
    /// T, from 1 (nothing changes; mT5: 3.3); used by `temperature` only.
    pub temperature: f64,
}

impl Default for Settings {
    fn default() -> Self {
        Self { by: By::Label, to: To::Temperature, temperature: 3.3 }
    }
}

impl Settings {
    /// Refuses settings that make no sense.
    pub fn check(&self) -> Result<()> {
        let is_fine = self.temperature >= 1.0 && self.temperature.is_finite();
        is_fine.then_some(()).ok_or_else(|| Error::setting("balance.temperature", self.temperature, "1 or more"))
    }

    /// How many rows each kind keeps.
    pub(crate) fn counts(&self, kinds: &[(String, u64)]) -> Vec<u64> {
        let least = kinds.iter().map(|(_, n)| *n).min().unwrap_or(0);
        let share = |n: u64| match self.to {
            To::Down => least,
            // Rounding in the last bits must not take more than there is.
            To::Temperature => {
                let ratio = n as f64 / least.max(1) as f64;
                ((least as f64 * ratio.powf(1.0 / self.temperature)).round() as u64).min(n)
            }
        };
        kinds.iter().map(|(_, n)| share(*n)).collect()
    }
}

/// Drops what is beyond the shares.
pub fn apply(drafts: Vec<Draft>, settings: &Settings, seed: u64) -> StepOutput {
    quota::apply(STEP, drafts, settings.by, |kinds| settings.counts(kinds), seed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use loopwright_types::SourceRow;

    fn check(sizes: &[u64], settings: Settings, expected: &[u64]) {
        let kinds: Vec<(String, u64)> = sizes.iter().map(|n| (String::new(), *n)).collect();
        assert_eq!(settings.counts(&kinds), expected, "{sizes:?} {settings:?}");
    }

    #[test]
    fn shares_by_hand() {
        let to = |to, temperature| Settings { to, temperature, ..Settings::default() };
        check(&[100, 25, 4], to(To::Down, 1.0), &[4, 4, 4]);
        check(&[100, 25, 4], to(To::Temperature, 1.0), &[100, 25, 4]);
        // 4·√25 = 20, 4·√6.25 = 10.
        check(&[100, 25, 4], to(To::Temperature, 2.0), &[20, 10, 4]);
        check(&[], to(To::Temperature, 2.0), &[]);
    }

    #[test]
    fn the_reason_tells_the_share() {
        let row = |n: usize, label: &str| {
            Draft::new(SourceRow { row_id: n.to_string(), label: Some(label.into()), ..SourceRow::default() })
        };
        let rows: Vec<Draft> = (0..9).map(|n| row(n, if n % 3 == 0 { "b" } else { "a" })).collect();
        let settings = Settings { to: To::Down, ..Settings::default() };
        let out = apply(rows.clone(), &settings, 5);
        assert_eq!((out.drafts.len(), out.dropped.len()), (6, 3));
        assert_eq!(out.dropped[0].reason, "label `a` has 6 rows, of which 3 are taken");
        assert_eq!(out, apply(rows, &settings, 5));
    }
}
