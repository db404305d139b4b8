//! From a budget of false alarms to the level of a test.
//!
//! **The guarantee.** While the traffic comes from the same source as the reference, each check alarms with probability
//! at most alpha (see [`crate::drift`]). By linearity of expectation, `n` checks give at most `n × alpha` false alarms
//! on average, however the checks depend on each other. So `alpha = budget / checks` keeps a monthly budget.
//!
//! The budget says nothing about missed drift: a smaller budget needs more rows, or a stronger shift, to alarm.

use crate::{Error, Result};

/// Fewest permutations that [`n_permutations_for`] asks for.
pub const N_PERMUTATIONS_MIN: u32 = 199;
/// Most permutations that a check accepts.
pub const N_PERMUTATIONS_MAX: u32 = 100_000;
/// Largest level that a check is given, however large the budget.
pub const ALPHA_MAX: f64 = 0.2;

/// The level of each check that keeps the budget.
///
/// ```
/// # use loopwright_observe::budget::alpha_for;
/// assert_eq!(alpha_for(0.5, 30.0).unwrap(), 0.5 / 30.0);
/// assert!(alpha_for(0.0, 30.0).is_err());
/// ```
pub fn alpha_for(false_alarms_per_month: f64, checks_per_month: f64) -> Result<f64> {
    let positive = |x: f64| x > 0.0 && x.is_finite();
    if !positive(false_alarms_per_month) || !positive(checks_per_month) {
        return Err(Error::invalid(format!(
            "expected a positive budget and number of checks, got {false_alarms_per_month} false alarms in {checks_per_month} checks a month"
        )));
    }
    Ok((false_alarms_per_month / checks_per_month).min(ALPHA_MAX))
}

/// Permutations that a test at this level needs: 20 per expected exceedance, so that the p-value is not too coarse.
///
/// ```
/// # use loopwright_observe::budget::n_permutations_for;
/// assert_eq!(n_permutations_for(0.01).unwrap(), 1_999);
/// assert_eq!(n_permutations_for(0.2).unwrap(), 199);
/// ```
pub fn n_permutations_for(alpha: f64) -> Result<u32> {
    let wanted = (20.0 / alpha).ceil() - 1.0;
    if !(alpha > 0.0 && alpha < 1.0) || wanted > f64::from(N_PERMUTATIONS_MAX) {
        return Err(Error::invalid(format!(
            "expected a level between {} and 1, got {alpha}",
            20.0 / f64::from(N_PERMUTATIONS_MAX)
        )));
    }
    Ok((wanted as u32).max(N_PERMUTATIONS_MIN))
}
