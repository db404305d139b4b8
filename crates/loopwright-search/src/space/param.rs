//! A parameter as it is written in a project file.

use crate::{Error, Result};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Integers beyond this are not exact in the arithmetic of a sampler.
const INT_MAX: i64 = 1 << 53;
/// More steps than this are a continuous parameter in all but name.
const STEPS_MAX: f64 = (1u64 << 32) as f64;
/// Choices of one categorical parameter.
const CHOICES_MAX: usize = 1000;

/// One parameter of a search space.
///
/// ```
/// use loopwright_search::Param;
///
/// let rate: Param = serde_json::from_str(r#"{"type": "float", "low": 1e-5, "high": 0.1, "log": true}"#).unwrap();
/// assert_eq!(rate, Param::float(1e-5, 0.1).log());
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "lowercase")]
pub enum Param {
    /// A real number.
    Float(Float),
    /// A whole number.
    Int(Int),
    /// One of a list of values without an order.
    Categorical(Categorical),
}

/// A real number in `[low, high]`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Float {
    /// The least value.
    pub low: f64,
    /// The greatest value.
    pub high: f64,
    /// Equal ratios count as equal distances. Wants `low` above 0, and no `step`.
    #[serde(default, skip_serializing_if = "is_off")]
    pub log: bool,
    /// Only `low`, `low + step`, `low + 2 · step` … up to `high`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub step: Option<f64>,
    /// Only where another parameter has certain values.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub when: Option<When>,
}

/// A whole number in `[low, high]`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Int {
    /// The least value.
    pub low: i64,
    /// The greatest value.
    pub high: i64,
    /// Equal ratios count as equal distances. Wants `low` above 0, and no `step` but 1.
    #[serde(default, skip_serializing_if = "is_off")]
    pub log: bool,
    /// Only `low`, `low + step` … up to `high`. 1 if it is not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub step: Option<i64>,
    /// Only where another parameter has certain values.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub when: Option<When>,
}

/// One of `choices`, which have no order.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Categorical {
    /// Different texts, numbers, booleans or null.
    pub choices: Vec<Value>,
    /// Only where another parameter has certain values.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub when: Option<When>,
}

/// A condition: the parameter is part of a trial only where `param` is, and has one of the values `is`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct When {
    /// A categorical or whole-number parameter of the same space.
    pub param: String,
    /// The values at which this one takes part.
    pub is: Vec<Value>,
}

fn is_off(flag: &bool) -> bool {
    !flag
}

impl Param {
    /// A real number in `[low, high]`.
    pub fn float(low: f64, high: f64) -> Self {
        Self::Float(Float { low, high, log: false, step: None, when: None })
    }

    /// A whole number in `[low, high]`.
    pub fn int(low: i64, high: i64) -> Self {
        Self::Int(Int { low, high, log: false, step: None, when: None })
    }

    /// One of `choices`.
    pub fn categorical<V: Into<Value>>(choices: impl IntoIterator<Item = V>) -> Self {
        Self::Categorical(Categorical { choices: choices.into_iter().map(Into::into).collect(), when: None })
    }

    /// The same number on a logarithmic scale. Choices have no scale and stay as they are.
    pub fn log(mut self) -> Self {
        match &mut self {
            Self::Float(float) => float.log = true,
            Self::Int(int) => int.log = true,
            Self::Categorical(_) => {}
        }
        self
    }

    /// The same parameter, but only where `param` has one of the values `is`.
    pub fn when<V: Into<Value>>(mut self, param: &str, is: impl IntoIterator<Item = V>) -> Self {
        let when = When { param: param.to_string(), is: is.into_iter().map(Into::into).collect() };
        match &mut self {
            Self::Float(float) => float.when = Some(when),
            Self::Int(int) => int.when = Some(when),
            Self::Categorical(categorical) => categorical.when = Some(when),
        }
        self
    }

    /// Its condition, if it has one.
    pub fn condition(&self) -> Option<&When> {
        match self {
            Self::Float(float) => float.when.as_ref(),
            Self::Int(int) => int.when.as_ref(),
            Self::Categorical(categorical) => categorical.when.as_ref(),
        }
    }

    /// What is wrong with it, naming it `name`. Its condition is checked by the space, which knows the others.
    pub(super) fn check(&self, name: &str) -> Result<()> {
        match self {
            Self::Float(float) => float.check(name),
            Self::Int(int) => int.check(name),
            Self::Categorical(categorical) => categorical.check(name),
        }
    }
}

impl Float {
    fn check(&self, name: &str) -> Result<()> {
        let Self { low, high, log, step, .. } = *self;
        if !low.is_finite() || !high.is_finite() || low > high || !(high - low).is_finite() {
            return Err(Error::space(name, "finite `low` up to `high`", format!("low = {low}, high = {high}")));
        }
        if log && low <= 0.0 {
            return Err(Error::space(name, "`low` above 0 with `log = true`", format!("low = {low}")));
        }
        let Some(step) = step else { return Ok(()) };
        if log {
            return Err(Error::space(name, "`log` or `step`, not both", format!("log = true, step = {step}")));
        }
        if !step.is_finite() || step <= 0.0 || (high - low) / step > STEPS_MAX {
            return Err(Error::space(name, "`step` above 0 and at most 2^32 of them", format!("step = {step}")));
        }
        Ok(())
    }
}

impl Int {
    fn check(&self, name: &str) -> Result<()> {
        let Self { low, high, log, step, .. } = *self;
        if low > high || low < -INT_MAX || high > INT_MAX {
            let got = format!("low = {low}, high = {high}");
            return Err(Error::space(name, "`low` up to `high`, both within ±2^53", got));
        }
        if log && low <= 0 {
            return Err(Error::space(name, "`low` above 0 with `log = true`", format!("low = {low}")));
        }
        match step {
            Some(step) if step < 1 => Err(Error::space(name, "`step` of at least 1", format!("step = {step}"))),
            Some(step) if log && step != 1 => {
                Err(Error::space(name, "`log` or `step`, not both", format!("log = true, step = {step}")))
            }
            _ => Ok(()),
        }
    }
}

impl Categorical {
    fn check(&self, name: &str) -> Result<()> {
        let n_choices = self.choices.len();
        if n_choices == 0 || n_choices > CHOICES_MAX {
            return Err(Error::space(name, format!("1 to {CHOICES_MAX} `choices`"), n_choices));
        }
        for (index, choice) in self.choices.iter().enumerate() {
            if choice.is_array() || choice.is_object() {
                return Err(Error::space(name, "`choices` of texts, numbers, booleans or null", choice));
            }
            if self.choices[..index].contains(choice) {
                return Err(Error::space(name, "different `choices`", format!("{choice} twice")));
            }
        }
        Ok(())
    }
}
