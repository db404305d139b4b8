//! Leaves out texts that a language model finds too odd or too plain.
//!
//! CCNet (Wenzek et al. 2020, section 3.3) sorts web text by its perplexity under a model of an encyclopaedia: what the
//! model finds very improbable is mostly no prose; Marion et al. 2023 ("When Less is More") cut off both ends. Useful
//! bounds depend on the model and the language, so none is set: look at the percentiles of your rows first (CCNet cuts
//! its rows into thirds).

use crate::{Error, Result, draft::Reason};
use serde::{Deserialize, Serialize};

/// The step's name.
pub const STEP: &str = "perplexity";

/// The bounds; at least one of them is given.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// Least perplexity of a text that stays.
    pub min: Option<f64>,
    /// Largest perplexity of a text that stays.
    pub max: Option<f64>,
}

impl Settings {
    /// Refuses bounds that let everything pass, or nothing.
    pub fn check(&self) -> Result<()> {
        let expected = "one bound or two, `min` not above `max`";
        match (self.min, self.max) {
            (None, None) => Err(Error::setting("perplexity.min, max", "not given", expected)),
            (min, max) if min.unwrap_or(0.0) <= max.unwrap_or(f64::INFINITY) => Ok(()),
            (min, max) => Err(Error::setting("perplexity.min, max", format!("{min:?}, {max:?}"), expected)),
        }
    }
}

/// Why a text of this perplexity goes, if it does.
pub(crate) fn check(perplexity: f64, settings: &Settings) -> Option<Reason> {
    match (settings.min, settings.max) {
        _ if perplexity.is_nan() => Some(Reason::new("no_perplexity", "the model gives the text no perplexity")),
        (Some(min), _) if perplexity < min => {
            Some(Reason::new("low_perplexity", format!("perplexity {perplexity:.1}, below {min}")))
        }
        (_, Some(max)) if perplexity > max => {
            Some(Reason::new("high_perplexity", format!("perplexity {perplexity:.1}, above {max}")))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_ends_go() {
        let settings = Settings { min: Some(10.0), max: Some(100.0) };
        let class = |perplexity: f64| check(perplexity, &settings).map(|reason| reason.class);
        assert_eq!(class(9.9).as_deref(), Some("low_perplexity"));
        assert_eq!(class(100.1).as_deref(), Some("high_perplexity"));
        assert_eq!(class(f64::NAN).as_deref(), Some("no_perplexity"));
        assert_eq!((class(10.0), class(100.0)), (None, None));
    }

    #[test]
    fn bounds_must_bound_something() {
        let check = |min, max| Settings { min, max }.check().is_ok();
        assert!(check(Some(1.0), None) && check(None, Some(1.0)) && check(Some(1.0), Some(1.0)));
        assert!(!check(None, None) && !check(Some(2.0), Some(1.0)) && !check(Some(f64::NAN), None));
    }
}
