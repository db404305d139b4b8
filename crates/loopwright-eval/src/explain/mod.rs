//! Why did the model answer this? Weights for the parts of a message, and the training rows nearest to it.
//!
//! A message is cut into a few [`segment::Segment`]s. A *coalition* is a subset of them, written as a bit mask; its
//! *value* is what the caller's closure says for the text that is left when the other segments are taken out (for
//! instance the log-probability of the given answer). On these values rest two explanations:
//!
//! - [`shapley::exact`]: each segment's average contribution over all orders of adding them (Shapley 1953). Exact,
//!   since all 2ⁿ coalitions are asked; the contributions add up to the value of the whole text less that of none.
//! - [`lime::fit`]: the weights of a linear model fitted around the message (Ribeiro et al. 2016), with its R² and a
//!   flag that says whether other random draws name the same segments.
//!
//! [`explain`] makes both from one set of model calls. [`nearest::nearest`] finds the rows.

pub mod lime;
pub mod nearest;
mod ridge;
pub mod segment;
pub mod shapley;

use crate::error::{BoxError, Error, Result};
use lime::{LimeFit, LimeSettings};
use segment::{Segment, join, segments};
use serde::{Deserialize, Serialize};
use shapley::ShapleyValues;
use std::collections::BTreeMap;

/// A model as this module sees it: the value of each text it is handed, in order.
pub type TextScores<'a> = dyn FnMut(&[String]) -> Result<Vec<f64>, BoxError> + 'a;

/// The value of each coalition it is handed, in order; bit i of a mask stands for segment i.
pub type CoalitionValues<'a> = dyn FnMut(&[u32]) -> Result<Vec<f64>, BoxError> + 'a;

/// How to explain a message.
#[derive(Clone, Debug, PartialEq)]
pub struct ExplainSettings {
    /// Segments at most; each one more doubles the model calls. At most [`shapley::N_SEGMENTS_MAX`].
    pub n_segments_max: usize,
    /// LIME's settings.
    pub lime: LimeSettings,
}

impl Default for ExplainSettings {
    fn default() -> Self {
        Self { n_segments_max: 10, lime: LimeSettings::default() }
    }
}

/// A message explained.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Explanation {
    /// The message.
    pub text: String,
    /// Its segments, in order.
    pub segments: Vec<Segment>,
    /// Exact Shapley values, one per segment.
    pub shapley: ShapleyValues,
    /// LIME's weights, one per segment.
    pub lime: LimeFit,
    /// Texts that the model scored.
    pub n_texts_scored: u64,
}

/// Explains a message. `score` gives the value of each text it is handed, in order: at most
/// [`shapley::N_BATCH`] texts a call, each distinct coalition once.
///
/// ```
/// use loopwright_eval::explain::{ExplainSettings, explain};
/// let has_refund = |texts: &[String]| Ok(texts.iter().map(|t| f64::from(u8::from(t.contains("refund")))).collect());
/// let e = explain("Hello there, I want a refund today.", &ExplainSettings::default(), &mut { has_refund }).unwrap();
/// let most = (0..e.segments.len()).max_by(|a, b| e.shapley.values[*a].total_cmp(&e.shapley.values[*b])).unwrap();
/// assert!(e.segments[most].text.contains("refund"));
/// assert!((e.shapley.values[most] - 1.0).abs() < 1e-9);
/// ```
pub fn explain(text: &str, settings: &ExplainSettings, score: &mut TextScores<'_>) -> Result<Explanation> {
    let segments = segments(text, settings.n_segments_max.min(shapley::N_SEGMENTS_MAX));
    if segments.is_empty() {
        return Err(Error::Input("expected a message with at least one word to explain".into()));
    }
    let mut known = Known::default();
    let mut values = |masks: &[u32]| known.values(masks, &segments, score);
    let shapley = shapley::exact(segments.len(), &mut values)?;
    let lime = lime::fit(segments.len(), &settings.lime, &mut values)?;
    let n_texts_scored = known.values.len() as u64;
    Ok(Explanation { text: text.to_string(), segments, shapley, lime, n_texts_scored })
}

/// Values of coalitions asked so far, so that none is asked twice.
#[derive(Default)]
struct Known {
    values: BTreeMap<u32, f64>,
}

impl Known {
    fn values(
        &mut self,
        masks: &[u32],
        segments: &[Segment],
        score: &mut TextScores<'_>,
    ) -> Result<Vec<f64>, BoxError> {
        let mut missing: Vec<u32> = masks.iter().copied().filter(|mask| !self.values.contains_key(mask)).collect();
        missing.sort_unstable();
        missing.dedup();
        if !missing.is_empty() {
            let texts: Vec<String> = missing.iter().map(|mask| join(segments, *mask)).collect();
            let scores = score(&texts)?;
            if scores.len() != texts.len() {
                return Err(format!("expected {} scores, got {}", texts.len(), scores.len()).into());
            }
            self.values.extend(missing.into_iter().zip(scores));
        }
        Ok(masks.iter().map(|mask| self.values[mask]).collect())
    }
}

/// Asks the caller's closure for the values of coalitions and checks what comes back.
fn checked_values(masks: &[u32], values_of: &mut CoalitionValues<'_>) -> Result<Vec<f64>> {
    let values = values_of(masks).map_err(|source| Error::Model { n_texts: masks.len(), source })?;
    if values.len() != masks.len() {
        return Err(Error::Input(format!("expected {} values of coalitions, got {}", masks.len(), values.len())));
    }
    match values.iter().position(|value| !value.is_finite()) {
        Some(at) => {
            Err(Error::Input(format!("expected a finite value of coalition {:b}, got {}", masks[at], values[at])))
        }
        None => Ok(values),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;

    #[test]
    fn no_coalition_is_scored_twice() {
        let mut n_scored = 0;
        let mut score = |texts: &[String]| {
            n_scored += texts.len();
            Ok(texts.iter().map(|text| text.len() as f64).collect())
        };
        let text = "My new card has not arrived, and the app says nothing about it.";
        let explanation = explain(text, &ExplainSettings::default(), &mut score).unwrap();
        assert_eq!(n_scored, 1 << explanation.segments.len());
        assert_eq!(explanation.n_texts_scored, n_scored as u64);
    }

    /// The length of a text is nearly additive: both explanations give each segment its own length.
    #[test]
    fn both_explanations_agree_on_an_additive_value() {
        let mut score = |texts: &[String]| {
            Ok(texts.iter().map(|text| text.chars().filter(|c| !c.is_whitespace()).count() as f64).collect())
        };
        let settings =
            ExplainSettings { lime: LimeSettings { ridge: 1e-6, ..Default::default() }, ..Default::default() };
        let explanation = explain("Where is my card? I ordered it in May.", &settings, &mut score).unwrap();
        for (i, segment) in explanation.segments.iter().enumerate() {
            let length = segment.text.chars().filter(|c| !c.is_whitespace()).count() as f64;
            assert!((explanation.shapley.values[i] - length).abs() < 1e-9);
            assert!((explanation.lime.weights[i] - length).abs() < 1e-3, "{:?}", explanation.lime);
        }
        assert!(explanation.lime.r_squared > 0.999 && explanation.lime.is_stable);
    }

    #[test]
    fn failures_keep_their_source() {
        let error = explain("a b c", &ExplainSettings::default(), &mut |_| Err("no memory".into())).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Model);
        assert_eq!(std::error::Error::source(&error).unwrap().to_string(), "no memory");
        let error = explain("a b c", &ExplainSettings::default(), &mut |t| Ok(vec![f64::NAN; t.len()])).unwrap_err();
        assert!(error.to_string().contains("finite"), "{error}");
        assert!(explain("a b c", &ExplainSettings::default(), &mut |_| Ok(vec![])).is_err());
        assert!(explain(" \n", &ExplainSettings::default(), &mut |t| Ok(vec![0.0; t.len()])).is_err());
    }
}
