//! What plots of a study show, as plain data: the pictures are made elsewhere.
//!
//! The fourth plot, importance, is [`importances`](crate::importance::importances).

use crate::{space::Param, study::Study};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// A point of the history: the value of a complete trial, and the best value until then.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct HistoryPoint {
    /// The trial.
    pub number: u64,
    /// Its value.
    pub value: f64,
    /// The best value of it and all complete trials with a lower number.
    pub best: f64,
}

/// Values against one parameter.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Slice {
    /// The parameter.
    pub param: String,
    /// Whether its axis should be logarithmic.
    pub log: bool,
    /// The complete trials in which it takes part.
    pub points: Vec<SlicePoint>,
}

/// A point of a slice.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SlicePoint {
    /// The trial; later ones may be drawn darker.
    pub number: u64,
    /// The parameter's value.
    pub at: Value,
    /// The trial's value.
    pub value: f64,
}

/// Parallel coordinates: an axis per parameter, a line per complete trial.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Parallel {
    /// The parameters, in order, as they are defined.
    pub axes: Vec<(String, Param)>,
    /// The trials.
    pub lines: Vec<Line>,
}

/// A line of parallel coordinates.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Line {
    /// The trial.
    pub number: u64,
    /// A place between 0 and 1 on each axis; none where the parameter takes no part.
    pub places: Vec<Option<f64>>,
    /// The trial's value.
    pub value: f64,
}

/// The history of complete trials.
pub fn history(study: &Study) -> Vec<HistoryPoint> {
    let direction = study.settings().direction;
    let mut best: Option<f64> = None;
    let complete = study.trials().iter().filter_map(|trial| Some((trial.number, trial.value()?)));
    let point = |(number, value): (u64, f64)| {
        let so_far = best.filter(|best| direction.loss(*best) <= direction.loss(value)).unwrap_or(value);
        best = Some(so_far);
        HistoryPoint { number, value, best: so_far }
    };
    complete.map(point).collect()
}

/// A slice per parameter.
pub fn slices(study: &Study) -> Vec<Slice> {
    let space = &study.settings().space;
    let slice = |name: &str| {
        let point = |trial: &crate::Trial| {
            Some(SlicePoint { number: trial.number, at: trial.params.get(name)?.clone(), value: trial.value()? })
        };
        let log = match space.param(name) {
            Some(Param::Float(float)) => float.log,
            Some(Param::Int(int)) => int.log,
            _ => false,
        };
        Slice { param: name.to_string(), log, points: study.trials().iter().filter_map(point).collect() }
    };
    space.names().map(slice).collect()
}

/// Parallel coordinates of the complete trials.
pub fn parallel(study: &Study) -> Parallel {
    let space = &study.settings().space;
    let axes = space.names().filter_map(|name| Some((name.to_string(), space.param(name)?.clone()))).collect();
    let line = |trial: &crate::Trial| {
        let value = trial.value()?;
        let (point, active) = space.encode(&trial.params);
        let place = |((at, is_active), axis): ((&f64, &bool), &crate::space::Axis)| {
            let last = axis.n_values().map_or(1.0, |n| (n.max(2) - 1) as f64);
            is_active.then(|| if axis.is_choice() { at / last } else { *at })
        };
        let places = point.iter().zip(&active).zip(space.axes()).map(place).collect();
        Some(Line { number: trial.number, places, value })
    };
    Parallel { axes, lines: study.trials().iter().filter_map(line).collect() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Direction, Sampler, Settings, Space};
    use serde_json::json;

    fn study() -> Study {
        let space = Space::new([
            ("kind", Param::categorical(["a", "b", "c"])),
            ("rate", Param::float(1e-4, 1.0).log().when("kind", ["b"])),
        ])
        .unwrap();
        let mut study = Study::new(Settings {
            space,
            direction: Direction::Maximise,
            sampler: Sampler::Random,
            pruner: Default::default(),
            seed: 0,
        })
        .unwrap();
        for (params, value) in [
            (json!({"kind": "a"}), 1.0),
            (json!({"kind": "b", "rate": 0.01}), 3.0),
            (json!({"kind": "c"}), 2.0),
            (json!({"kind": "c"}), f64::NAN),
        ] {
            study.enqueue(serde_json::from_value(params).unwrap()).unwrap();
            let number = study.ask().unwrap().number;
            study.tell(number, value).unwrap();
        }
        study
    }

    #[test]
    fn the_history_keeps_the_best() {
        let points: Vec<(u64, f64)> = history(&study()).iter().map(|point| (point.number, point.best)).collect();
        assert_eq!(points, [(0, 1.0), (1, 3.0), (2, 3.0)]);
    }

    #[test]
    fn slices_and_lines_leave_out_what_takes_no_part() {
        let slices = slices(&study());
        assert_eq!((slices[1].param.as_str(), slices[1].log, slices[1].points.len()), ("rate", true, 1));
        assert_eq!(slices[1].points[0], SlicePoint { number: 1, at: json!(0.01), value: 3.0 });
        let lines = parallel(&study()).lines;
        assert_eq!(lines[0].places, [Some(0.0), None]);
        assert_eq!((lines[1].places[0], lines[2].places[0]), (Some(0.5), Some(1.0)));
        assert!((lines[1].places[1].unwrap() - 0.5).abs() < 1e-12);
    }
}
