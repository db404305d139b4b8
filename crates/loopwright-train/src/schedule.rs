//! The learning rate of each step: a linear rise, then down to nothing, or level.

use serde::{Deserialize, Serialize};

/// How the learning rate falls after its rise.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Schedule {
    /// Half a cosine (Loshchilov & Hutter 2017).
    #[default]
    Cosine,
    /// A straight line.
    Linear,
    /// It stays.
    Constant,
}

/// Learning rate of a step, counted from 0, of `n_steps`, the first `n_warmup` of which rise.
///
/// ```
/// use loopwright_train::{Schedule, learning_rate};
/// let rates: Vec<f64> = (0..6).map(|step| learning_rate(Schedule::Cosine, step, (6, 2), 1.0)).collect();
/// // Two steps up (1/2, 1), then the cosine over the four that are left: (1 + cos(π·i/4))/2.
/// let want = [0.5, 1.0, 1.0, 0.8535534, 0.5, 0.1464466];
/// assert!(rates.iter().zip(want).all(|(got, want)| (got - want).abs() < 1e-6));
/// let rates: Vec<f64> = (0..6).map(|step| learning_rate(Schedule::Linear, step, (6, 2), 1.0)).collect();
/// assert_eq!(rates, [0.5, 1.0, 1.0, 0.75, 0.5, 0.25]);
/// ```
pub fn learning_rate(schedule: Schedule, step: u64, (n_steps, n_warmup): (u64, u64), highest: f64) -> f64 {
    let (step, n_warmup) = (step as f64, n_warmup as f64);
    if step < n_warmup {
        return highest * (step + 1.0) / n_warmup;
    }
    let done = ((step - n_warmup) / (n_steps as f64 - n_warmup).max(1.0)).min(1.0);
    match schedule {
        Schedule::Cosine => highest * 0.5 * (1.0 + (std::f64::consts::PI * done).cos()),
        Schedule::Linear => highest * (1.0 - done),
        Schedule::Constant => highest,
    }
}
