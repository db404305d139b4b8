//! The search space: named parameters, some of which take part only under a condition.

mod axis;
mod param;

pub(crate) use axis::Axis;
pub use param::{Categorical, Float, Int, Param, When};

use crate::{Error, Result};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;

/// The values of a trial's parameters, by name. Parameters whose condition does not hold are missing.
pub type Params = BTreeMap<String, Value>;

/// A checked search space. Its parameters are ordered by name.
///
/// It reads as a table of parameters, as under `[tune.NAME.space]` of a project file:
///
/// ```
/// use loopwright_search::Space;
///
/// let space: Space = toml::from_str(
///     r#"
///     optimizer = { type = "categorical", choices = ["adam", "sgd"] }
///     lr = { type = "float", low = 1e-5, high = 1e-1, log = true }
///     momentum = { type = "float", low = 0.0, high = 0.99, when = { param = "optimizer", is = ["sgd"] } }
///     "#,
/// )
/// .unwrap();
/// assert_eq!(space.names().collect::<Vec<_>>(), ["lr", "momentum", "optimizer"]);
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "BTreeMap<String, Value>", into = "BTreeMap<String, Param>")]
pub struct Space {
    names: Vec<String>,
    params: Vec<Param>,
    axes: Vec<Axis>,
    /// For each parameter the one that it depends on, and the coordinates at which it takes part.
    conditions: Vec<Option<(usize, Vec<f64>)>>,
    /// Parameters, each after the one it depends on.
    order: Vec<usize>,
}

impl TryFrom<BTreeMap<String, Value>> for Space {
    type Error = Error;

    fn try_from(written: BTreeMap<String, Value>) -> Result<Self> {
        let read = |(name, value): (String, Value)| {
            let param = Param::deserialize(&value).map_err(|error| {
                let expected = "`type` (float, int or categorical) and its settings";
                Error::space(&name, expected, format!("{value} ({error})"))
            })?;
            Ok((name, param))
        };
        Self::new(written.into_iter().map(read).collect::<Result<Vec<_>>>()?)
    }
}

impl From<Space> for BTreeMap<String, Param> {
    fn from(space: Space) -> Self {
        space.names.into_iter().zip(space.params).collect()
    }
}

impl Space {
    /// Checks parameters and their conditions.
    ///
    /// # Errors
    /// [`Error::Space`] names the first parameter that is defined wrongly.
    pub fn new<N: Into<String>>(params: impl IntoIterator<Item = (N, Param)>) -> Result<Self> {
        let mut sorted = BTreeMap::new();
        for (name, param) in params {
            let name = name.into();
            param.check(&name)?;
            if sorted.insert(name.clone(), param).is_some() {
                return Err(Error::space(&name, "one definition", "two"));
            }
        }
        if sorted.is_empty() {
            return Err(Error::space("(none)", "at least one parameter", "an empty space"));
        }
        let (names, params): (Vec<String>, Vec<Param>) = sorted.into_iter().unzip();
        let axes: Vec<Axis> = params.iter().map(Axis::of).collect();
        let conditions: Vec<_> =
            (0..names.len()).map(|index| condition(&names, &params, &axes, index)).collect::<Result<_>>()?;
        let order = parents_first(&names, &conditions)?;
        Ok(Self { names, params, axes, conditions, order })
    }

    /// The names, in order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.names.iter().map(String::as_str)
    }

    /// A parameter by name.
    pub fn param(&self, name: &str) -> Option<&Param> {
        self.index(name).map(|index| &self.params[index])
    }

    /// How many parameters there are.
    pub fn len(&self) -> usize {
        self.names.len()
    }

    /// Never: a space has at least one parameter.
    pub fn is_empty(&self) -> bool {
        self.names.is_empty()
    }

    /// Refuses values that are not in the space: a wrong value, a parameter missing or present against its condition.
    ///
    /// # Errors
    /// [`Error::Value`] names the parameter.
    pub fn check(&self, params: &Params) -> Result<()> {
        self.check_given(params)?;
        let (_, active) = self.encode(params);
        for (index, name) in self.names.iter().enumerate() {
            match (active[index], params.get(name)) {
                (true, None) => return Err(Error::value(name, self.axes[index].says(), "nothing")),
                (false, Some(got)) => {
                    return Err(Error::value(name, "nothing, as its condition does not hold", got));
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// Refuses values that no trial could have; parameters may be missing.
    pub(crate) fn check_given(&self, params: &Params) -> Result<()> {
        for (name, value) in params {
            let Some(index) = self.index(name) else {
                let known = self.names.join("`, `");
                return Err(Error::value(name, format!("a parameter of the space (`{known}`)"), value));
            };
            if self.axes[index].coordinate(value).is_none() {
                return Err(Error::value(name, self.axes[index].says(), value));
            }
        }
        Ok(())
    }

    pub(crate) fn axes(&self) -> &[Axis] {
        &self.axes
    }

    pub(crate) fn index(&self, name: &str) -> Option<usize> {
        self.names.binary_search_by(|known| known.as_str().cmp(name)).ok()
    }

    /// The values at a point, without the parameters that take no part there.
    pub(crate) fn decode(&self, point: &[f64]) -> Params {
        let active = self.active(point);
        let chosen = (0..self.len()).filter(|&index| active[index]);
        chosen.map(|index| (self.names[index].clone(), self.axes[index].value(point[index]))).collect()
    }

    /// The point of a trial's values, and which parameters take part. The others stand in the middle.
    pub(crate) fn encode(&self, params: &Params) -> (Vec<f64>, Vec<bool>) {
        let coordinate = |(name, axis): (&String, &Axis)| params.get(name).and_then(|value| axis.coordinate(value));
        let given: Vec<Option<f64>> = self.names.iter().zip(&self.axes).map(coordinate).collect();
        let middle = |axis: &Axis| if axis.is_choice() { 0.0 } else { axis.snap(0.5) };
        let point: Vec<f64> =
            given.iter().zip(&self.axes).map(|(at, axis)| at.unwrap_or_else(|| middle(axis))).collect();
        let active = self.active(&point);
        (point, active)
    }

    /// Which parameters take part at a point.
    pub(crate) fn active(&self, point: &[f64]) -> Vec<bool> {
        let mut active = vec![true; self.len()];
        for &index in &self.order {
            if let Some((parent, is)) = &self.conditions[index] {
                active[index] = active[*parent] && is.contains(&self.axes[*parent].snap(point[*parent]));
            }
        }
        active
    }

    /// Each coordinate moved to the nearest value of the space.
    pub(crate) fn snap(&self, point: &mut [f64]) {
        for (at, axis) in point.iter_mut().zip(&self.axes) {
            *at = axis.snap(*at);
        }
    }
}

/// The resolved condition of a parameter.
fn condition(names: &[String], params: &[Param], axes: &[Axis], index: usize) -> Result<Option<(usize, Vec<f64>)>> {
    let (name, Some(when)) = (&names[index], params[index].condition()) else { return Ok(None) };
    let parent = names
        .iter()
        .position(|known| *known == when.param && known != name)
        .ok_or_else(|| Error::space(name, "`when.param` to be another parameter", format!("`{}`", when.param)))?;
    if axes[parent].n_values().is_none() {
        return Err(Error::space(name, "`when.param` to be categorical or int", format!("the float `{}`", when.param)));
    }
    if when.is.is_empty() {
        return Err(Error::space(name, "values in `when.is`", "none"));
    }
    let place = |value: &Value| {
        let says = || format!("`when.is` to be {} (`{}`)", axes[parent].says(), when.param);
        axes[parent].coordinate(value).ok_or_else(|| Error::space(name, says(), value))
    };
    Ok(Some((parent, when.is.iter().map(place).collect::<Result<_>>()?)))
}

/// An order in which each parameter stands after the one that it depends on.
fn parents_first(names: &[String], conditions: &[Option<(usize, Vec<f64>)>]) -> Result<Vec<usize>> {
    let mut order: Vec<usize> = Vec::new();
    while order.len() < names.len() {
        let is_ready = |index: &usize| match &conditions[*index] {
            None => !order.contains(index),
            Some((parent, _)) => !order.contains(index) && order.contains(parent),
        };
        match (0..names.len()).find(is_ready) {
            Some(index) => order.push(index),
            None => {
                let stuck = (0..names.len()).find(|index| !order.contains(index)).unwrap_or(0);
                return Err(Error::space(&names[stuck], "conditions that end", "conditions in a circle"));
            }
        }
    }
    Ok(order)
}

#[cfg(test)]
mod tests;
