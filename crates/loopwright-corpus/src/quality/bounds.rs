//! A measured figure against its bound, and the reason that names both.

use crate::Reason;

/// A share; 0 of nothing is 0.
pub(super) fn share(part: usize, whole: usize) -> f64 {
    if whole == 0 { 0.0 } else { part as f64 / whole as f64 }
}

/// A reason, if the figure is above its bound.
pub(super) fn above(class: &str, what: &str, measured: f64, max: f64) -> Option<Reason> {
    (measured > max).then(|| Reason::new(class, format!("{what} is {measured:.3}, above {max}")))
}

/// A reason, if the figure is below its bound.
pub(super) fn below(class: &str, what: &str, measured: f64, min: f64) -> Option<Reason> {
    (measured < min).then(|| Reason::new(class, format!("{what} is {measured:.3}, below {min}")))
}

/// A reason, if there are more than the bound.
pub(super) fn more(class: &str, what: &str, counted: usize, max: usize) -> Option<Reason> {
    (counted > max).then(|| Reason::new(class, format!("{counted} {what}, more than {max}")))
}

/// A reason, if there are fewer than the bound.
pub(super) fn fewer(class: &str, what: &str, counted: usize, min: usize) -> Option<Reason> {
    (counted < min).then(|| Reason::new(class, format!("{counted} {what}, fewer than {min}")))
}
