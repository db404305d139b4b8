//! Two honest baselines, fitted on the model's own training rows: a language model that does not beat them is not
//! worth its cost.
//!
//! - [`Majority`] always answers the most frequent label.
//! - [`Linear`] is multinomial logistic regression on hashed n-grams of words and characters.

mod features;
mod linear;
mod majority;

pub use features::{Features, N_BUCKETS};
pub use linear::{Linear, LinearSettings};
pub use majority::Majority;

use crate::error::Result;
use serde::{Deserialize, Serialize};

/// The name of the majority baseline in [`loopwright_types::score::Scores`].
pub const MAJORITY: &str = "majority";
/// The name of the linear baseline in [`loopwright_types::score::Scores`].
pub const LINEAR: &str = "linear n-grams";

/// A text and its label.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LabelledText<'a> {
    /// The text.
    pub text: &'a str,
    /// Its label.
    pub label: &'a str,
}

/// What a baseline answers, row by row.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BaselineAnswers {
    /// [`MAJORITY`] or [`LINEAR`].
    pub name: String,
    /// One label per judged row, in the rows' order.
    pub labels: Vec<String>,
}

/// Fits both baselines on `train` and lets them answer `texts`: majority first, then linear.
pub fn answer_all(train: &[LabelledText<'_>], texts: &[&str], seed: u64) -> Result<[BaselineAnswers; 2]> {
    let majority = Majority::fit(train)?;
    let linear = Linear::fit(train, &LinearSettings { seed, ..LinearSettings::default() })?;
    Ok([
        BaselineAnswers { name: MAJORITY.into(), labels: vec![majority.label().to_string(); texts.len()] },
        BaselineAnswers { name: LINEAR.into(), labels: linear.predict_all(texts) },
    ])
}
