//! A parameter as samplers see it: a number between 0 and 1, or the index of a choice.
//!
//! A real number is scaled to `[0, 1]`, by its logarithm where `log` says so. The values of a whole or stepped number
//! are the middles of cells of equal width (of equal ratio bounds with `log`), so that a uniform draw gives each of them
//! the same chance, as in Optuna. A choice is its index: `0.0`, `1.0` …

use super::param::{Categorical, Float, Int, Param};
use serde_json::Value;

/// The scale of a parameter.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Axis {
    /// A real number between `low` and `high`.
    Real { low: f64, high: f64, log: bool },
    /// `low + k · step` for `k` below `n`; with `log` (and a step of 1) in cells of logarithms. `whole` ones are integers.
    Grid { low: f64, step: f64, n: u64, log: bool, whole: bool },
    /// One of a list.
    Choice { choices: Vec<Value> },
}

impl Axis {
    pub(super) fn of(param: &Param) -> Self {
        match param {
            Param::Float(Float { low, high, step: None, log, .. }) => Self::Real { low: *low, high: *high, log: *log },
            Param::Float(Float { low, high, step: Some(step), .. }) => {
                // A thousandth of a step in favour of `high`: 0.1 · 3 must reach 0.3.
                let n = ((high - low) / step + 1e-3).floor() as u64 + 1;
                Self::Grid { low: *low, step: *step, n, log: false, whole: false }
            }
            Param::Int(Int { low, high, log, step, .. }) => {
                let step = step.unwrap_or(1);
                let n = ((high - low) / step) as u64 + 1;
                Self::Grid { low: *low as f64, step: step as f64, n, log: *log, whole: true }
            }
            Param::Categorical(Categorical { choices, .. }) => Self::Choice { choices: choices.clone() },
        }
    }

    /// Whether it is a choice, whose coordinates are indices rather than numbers between 0 and 1.
    pub(crate) fn is_choice(&self) -> bool {
        matches!(self, Self::Choice { .. })
    }

    /// How many values it has, if they can be counted.
    pub(crate) fn n_values(&self) -> Option<u64> {
        match self {
            Self::Real { low, high, .. } => (low == high).then_some(1),
            Self::Grid { n, .. } => Some(*n),
            Self::Choice { choices } => Some(choices.len() as u64),
        }
    }

    /// The coordinate for a uniform draw from `[0, 1)`.
    pub(crate) fn place(&self, uniform: f64) -> f64 {
        match self {
            Self::Choice { choices } => (uniform * choices.len() as f64).floor().clamp(0.0, choices.len() as f64 - 1.0),
            _ => self.snap(uniform),
        }
    }

    /// The coordinate of the nearest value of the space.
    pub(crate) fn snap(&self, coordinate: f64) -> f64 {
        match self {
            Self::Real { .. } => coordinate.clamp(0.0, 1.0),
            Self::Grid { .. } => self.middle(self.cell(coordinate)),
            Self::Choice { choices } => coordinate.round().clamp(0.0, choices.len() as f64 - 1.0),
        }
    }

    /// The value at a coordinate.
    pub(crate) fn value(&self, coordinate: f64) -> Value {
        match self {
            Self::Real { low, high, log } => {
                let at = coordinate.clamp(0.0, 1.0);
                let value = if *log { (low.ln() + at * (high / low).ln()).exp() } else { low + at * (high - low) };
                Value::from(value.clamp(*low, *high))
            }
            Self::Grid { low, step, whole, .. } => {
                let value = low + self.cell(coordinate) as f64 * step;
                if *whole { Value::from(value as i64) } else { Value::from(shortest(value)) }
            }
            Self::Choice { choices } => choices[self.snap(coordinate) as usize].clone(),
        }
    }

    /// The coordinate of a value; none if the value is not in the space.
    pub(crate) fn coordinate(&self, value: &Value) -> Option<f64> {
        match self {
            Self::Real { low, high, log } => {
                let value = value.as_f64().filter(|value| low <= value && value <= high)?;
                let (part, whole) =
                    if *log { ((value / low).ln(), (high / low).ln()) } else { (value - low, high - low) };
                Some(if whole > 0.0 { (part / whole).clamp(0.0, 1.0) } else { 0.5 })
            }
            Self::Grid { low, step, n, whole, .. } => {
                let value = if *whole { value.as_i64()? as f64 } else { value.as_f64()? };
                let cell = (value - low) / step;
                let is_inside = (cell - cell.round()).abs() < 1e-6 && cell > -0.5 && cell.round() < *n as f64;
                is_inside.then(|| self.middle(cell.round() as u64))
            }
            Self::Choice { choices } => {
                choices.iter().position(|choice| same_scalar(choice, value)).map(|index| index as f64)
            }
        }
    }

    /// What values it has, for a message.
    pub(crate) fn says(&self) -> String {
        match self {
            Self::Real { low, high, .. } => format!("a number from {low} to {high}"),
            Self::Grid { low, step, n, whole: true, .. } if *step == 1.0 => {
                format!("a whole number from {low} to {}", low + (*n - 1) as f64)
            }
            Self::Grid { low, step, n, .. } => {
                format!("a number from {low} to {} in steps of {step}", shortest(low + (*n - 1) as f64 * step))
            }
            Self::Choice { choices } => {
                let names: Vec<String> = choices.iter().map(Value::to_string).collect();
                format!("one of {}", names.join(", "))
            }
        }
    }

    /// The lower and upper end of the cell around a coordinate, in coordinates. A real number's cell is a point.
    pub(crate) fn cell_bounds(&self, coordinate: f64) -> (f64, f64) {
        match self {
            Self::Grid { .. } => {
                let cell = self.cell(coordinate);
                (self.edge(cell), self.edge(cell + 1))
            }
            _ => (coordinate, coordinate),
        }
    }

    /// Index of the cell that a coordinate falls into; 0 for other axes.
    pub(crate) fn cell(&self, coordinate: f64) -> u64 {
        let Self::Grid { low, n, log, .. } = self else { return 0 };
        let at = coordinate.clamp(0.0, 1.0);
        let cell = if *log {
            let (from, to) = ((low - 0.5).ln(), (low + *n as f64 - 0.5).ln());
            (from + at * (to - from)).exp().round() - low
        } else {
            (at * *n as f64).floor()
        };
        (cell.max(0.0) as u64).min(n - 1)
    }

    /// The lower end of a cell.
    pub(crate) fn edge(&self, cell: u64) -> f64 {
        let Self::Grid { low, n, log, .. } = self else { return 0.0 };
        if *log {
            let (from, to) = ((low - 0.5).ln(), (low + *n as f64 - 0.5).ln());
            ((low + cell as f64 - 0.5).ln() - from) / (to - from)
        } else {
            cell as f64 / *n as f64
        }
    }

    /// The coordinate that stands for a cell: its value's own place.
    pub(crate) fn middle(&self, cell: u64) -> f64 {
        let Self::Grid { low, n, log, .. } = self else { return 0.0 };
        if *log {
            let (from, to) = ((low - 0.5).ln(), (low + *n as f64 - 0.5).ln());
            ((low + cell as f64).ln() - from) / (to - from)
        } else {
            (cell as f64 + 0.5) / *n as f64
        }
    }
}

/// `0.30000000000000004` as `0.3`: a stepped value without the noise of its addition.
fn shortest(value: f64) -> f64 {
    format!("{value:.12e}").parse().unwrap_or(value)
}

/// Equal scalars; `1` and `1.0` are the same number.
pub(super) fn same_scalar(a: &Value, b: &Value) -> bool {
    a == b || matches!((a.as_f64(), b.as_f64()), (Some(a), Some(b)) if a == b)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn round_trips(param: Param, values: &[Value]) {
        let axis = Axis::of(&param);
        for value in values {
            let coordinate = axis.coordinate(value).unwrap_or_else(|| panic!("{value} is in {}", axis.says()));
            assert!((0.0..=1.0).contains(&coordinate) || axis.is_choice());
            let back = axis.value(coordinate);
            match (back.as_f64(), value.as_f64()) {
                (Some(back), Some(value)) => assert!((back - value).abs() <= 1e-12 * value.abs(), "{back} {value}"),
                _ => assert_eq!(&back, value),
            }
        }
    }

    #[test]
    fn values_come_back() {
        round_trips(Param::float(-2.0, 3.0), &[json!(-2.0), json!(0), json!(3.0)]);
        round_trips(Param::float(1e-5, 0.1).log(), &[json!(1e-5), json!(0.01), json!(0.1)]);
        round_trips(Param::int(1, 1000).log(), &[json!(1), json!(2), json!(37), json!(1000)]);
        round_trips(Param::int(-3, 3), &[json!(-3), json!(0), json!(3)]);
        round_trips(Param::categorical(["a", "b"]), &[json!("a"), json!("b")]);
        round_trips(
            Param::Float(Float { low: 0.0, high: 0.3, log: false, step: Some(0.1), when: None }),
            &[json!(0.1), json!(0.3)],
        );
    }

    #[test]
    fn each_whole_number_has_the_same_share_of_a_uniform_draw() {
        let axis = Axis::of(&Param::int(0, 3));
        let drawn: Vec<i64> = (0..8).filter_map(|i| axis.value(axis.place(i as f64 / 8.0)).as_i64()).collect();
        assert_eq!(drawn, [0, 0, 1, 1, 2, 2, 3, 3]);
    }

    #[test]
    fn a_step_that_does_not_reach_high_stops_below_it() {
        let param = Param::Int(Int { low: 1, high: 8, log: false, step: Some(3), when: None });
        let axis = Axis::of(&param);
        assert_eq!((axis.value(0.0), axis.value(1.0), axis.n_values()), (json!(1), json!(7), Some(3)));
        assert_eq!((axis.coordinate(&json!(8)), axis.coordinate(&json!(2))), (None, None));
    }

    #[test]
    fn values_outside_are_refused() {
        assert_eq!(Axis::of(&Param::float(0.0, 1.0)).coordinate(&json!(1.1)), None);
        assert_eq!(Axis::of(&Param::int(0, 1)).coordinate(&json!(0.5)), None);
        assert_eq!(Axis::of(&Param::categorical(["a"])).coordinate(&json!("b")), None);
    }
}
