//! Mixes sources or labels by weight, by leaving rows out.
//!
//! Without `rows_total`, as many rows stay as have the proportions of the weights; with it, so many, and what a kind does
//! not have goes to the others by their weights ([`crate::sample::mix`], there with repeats). A kind without a weight is
//! left out. The seed chooses the rows.

use super::quota::{self, By};
use crate::{
    Error, Result,
    draft::{Draft, StepOutput},
    sample::mix::{capped_shares, shares},
};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The step's name.
pub const STEP: &str = "mix";

/// The mixture.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// What is weighed.
    pub by: By,
    /// Weights by name; only their proportions count.
    pub weights: BTreeMap<String, f64>,
    /// Rows in all; by default as many as have the proportions.
    pub rows_total: Option<u64>,
}

impl Default for Settings {
    fn default() -> Self {
        Self { by: By::Source, weights: BTreeMap::new(), rows_total: None }
    }
}

impl Settings {
    /// Refuses weights that leave nothing.
    pub fn check(&self) -> Result<()> {
        if let Some((name, wrong)) = self.weights.iter().find(|(_, weight)| !weight.is_finite() || **weight < 0.0) {
            return Err(Error::setting(&format!("mix.weights.{name}"), wrong, "finite and not negative"));
        }
        if !self.weights.values().any(|weight| *weight > 0.0) {
            return Err(Error::setting("mix.weights", self.weights.len(), "at least one weight above 0"));
        }
        Ok(())
    }

    /// How many rows each kind keeps.
    pub(crate) fn counts(&self, kinds: &[(String, u64)]) -> Vec<u64> {
        let weights: Vec<f64> = kinds.iter().map(|(kind, _)| self.weights.get(kind).copied().unwrap_or(0.0)).collect();
        let limits: Vec<u64> = kinds.iter().map(|(_, n)| *n).collect();
        match self.rows_total {
            Some(total) => capped_shares(&weights, &limits, total),
            None => {
                // The kind that is the first to run out sets the total.
                let sum: f64 = weights.iter().sum();
                let heavy = weights.iter().zip(&limits).filter(|(weight, _)| **weight > 0.0);
                let total = heavy.map(|(weight, n)| *n as f64 * sum / weight).fold(f64::INFINITY, f64::min);
                let total = if total.is_finite() { (total + 1e-9).floor() as u64 } else { 0 };
                shares(&weights, total).into_iter().zip(&limits).map(|(count, n)| count.min(*n)).collect()
            }
        }
    }
}

/// Drops what is beyond the mixture.
pub fn apply(drafts: Vec<Draft>, settings: &Settings, seed: u64) -> StepOutput {
    quota::apply(STEP, drafts, settings.by, |kinds| settings.counts(kinds), seed)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(weights: &[(&str, f64)], rows_total: Option<u64>, expected: &[u64]) {
        let weights = weights.iter().map(|(name, weight)| ((*name).to_string(), *weight)).collect();
        let settings = Settings { weights, rows_total, ..Settings::default() };
        assert!(settings.check().is_ok());
        let kinds = [("a", 100), ("b", 30), ("c", 10)].map(|(name, n)| (name.to_string(), n));
        assert_eq!(settings.counts(&kinds), expected, "{settings:?}");
    }

    #[test]
    fn shares_by_hand() {
        // b runs out first: 30 rows are 30%.
        check(&[("a", 7.0), ("b", 3.0)], None, &[70, 30, 0]);
        check(&[("a", 1.0), ("b", 1.0), ("c", 1.0)], None, &[10, 10, 10]);
        check(&[("a", 1.0), ("b", 1.0)], Some(40), &[20, 20, 0]);
        // b has only 30 of its 50.
        check(&[("a", 1.0), ("b", 1.0)], Some(100), &[70, 30, 0]);
        check(&[("a", 1.0), ("nowhere", 1.0)], None, &[100, 0, 0]);
        check(&[("nowhere", 1.0)], None, &[0, 0, 0]);
    }

    #[test]
    fn weights_must_leave_something() {
        let check = |weight: f64| Settings { weights: [("a".into(), weight)].into(), ..Settings::default() }.check();
        assert!(check(0.0).is_err() && check(f64::NAN).is_err() && check(-1.0).is_err());
        assert!(Settings::default().check().is_err());
    }
}
