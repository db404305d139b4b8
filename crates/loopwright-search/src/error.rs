//! What can go wrong, by kind.

use std::fmt::Display;

/// What kind of failure it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A search space contradicts itself.
    Space,
    /// A setting of a sampler, pruner or study is out of its range.
    Setting,
    /// A value does not belong to the space.
    Value,
    /// A trial is not there, or not in the state that was asked for.
    Trial,
    /// There are too few finished trials for what was asked.
    TooFew,
}

/// Why a study cannot be made or go on. A bad *result* is never an error: its trial fails, with the reason.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum Error {
    /// A parameter of a space is defined wrongly.
    #[error("parameter `{param}`: expected {expected}, got {got}")]
    Space {
        /// The parameter.
        param: String,
        /// What it may be.
        expected: String,
        /// What stands there.
        got: String,
    },
    /// A setting is out of its range.
    #[error("`{name}` is {got}, expected {expected}")]
    Setting {
        /// The setting, with its owner: `asha.reduction_factor`.
        name: String,
        /// What it may be.
        expected: String,
        /// Its value.
        got: String,
    },
    /// A given value is not in the space.
    #[error("value of `{param}`: expected {expected}, got {got}")]
    Value {
        /// The parameter.
        param: String,
        /// What it may be.
        expected: String,
        /// What was given.
        got: String,
    },
    /// A trial is not there or in another state.
    #[error("trial {number}: expected {expected}, got {got}")]
    Trial {
        /// Its number.
        number: u64,
        /// What it should be.
        expected: String,
        /// What it is.
        got: String,
    },
    /// Too few finished trials.
    #[error("{what} needs {needed} complete trials, got {got}")]
    TooFew {
        /// What was asked for.
        what: String,
        /// How many it takes.
        needed: usize,
        /// How many there are.
        got: usize,
    },
}

impl Error {
    /// The kind, to match on.
    pub fn kind(&self) -> Kind {
        match self {
            Self::Space { .. } => Kind::Space,
            Self::Setting { .. } => Kind::Setting,
            Self::Value { .. } => Kind::Value,
            Self::Trial { .. } => Kind::Trial,
            Self::TooFew { .. } => Kind::TooFew,
        }
    }

    pub(crate) fn space(param: &str, expected: impl Display, got: impl Display) -> Self {
        Self::Space { param: param.to_string(), expected: expected.to_string(), got: got.to_string() }
    }

    pub(crate) fn setting(name: &str, expected: &str, got: impl Display) -> Self {
        Self::Setting { name: name.to_string(), expected: expected.to_string(), got: got.to_string() }
    }

    pub(crate) fn value(param: &str, expected: impl Display, got: impl Display) -> Self {
        Self::Value { param: param.to_string(), expected: expected.to_string(), got: got.to_string() }
    }

    pub(crate) fn trial(number: u64, expected: &str, got: impl Display) -> Self {
        Self::Trial { number, expected: expected.to_string(), got: got.to_string() }
    }
}

/// A result with this crate's error.
pub type Result<T> = std::result::Result<T, Error>;
