//! An adapter worked into the base's weights: W + s·B A.

use crate::{
    body::{LANGUAGE_HEAD, Place},
    error::{Error, Kind, Result},
    lora::{Adapter, LoraPair},
    matrix::{Blend, Mat, multiply},
};
use candle_core::Var;
use std::collections::BTreeMap;

/// The numbers of every weight of the merged model by name. A head that was tied to the embedding gets a copy of it.
pub(crate) fn merged_weights(
    parameters: &[(String, Var)],
    places: &[Place],
    adapter: &Adapter,
) -> Result<BTreeMap<String, Vec<f32>>> {
    let mut weights = BTreeMap::new();
    for (name, var) in parameters {
        weights.insert(name.clone(), numbers(var)?);
    }
    let scale = adapter.config().scale() as f32;
    for (place, pair) in places.iter().enumerate().filter_map(|(i, place)| Some((place, adapter.pair(i)?))) {
        add(weights.get_mut(&format!("{}.weight", place.path)), pair, scale)?;
    }
    if let Some(pair) = adapter.head() {
        let name = format!("{LANGUAGE_HEAD}.weight");
        if !weights.contains_key(&name) {
            let embedding = parameters.first().map(|(_, var)| numbers(var)).transpose()?.unwrap_or_default();
            weights.insert(name.clone(), embedding);
        }
        add(weights.get_mut(&name), pair, scale)?;
    }
    for (name, var) in adapter.replaced() {
        weights.insert(name, numbers(&var)?);
    }
    Ok(weights)
}

fn numbers(var: &Var) -> Result<Vec<f32>> {
    Ok(var.flatten_all()?.to_vec1::<f32>()?)
}

/// W += s·B A
fn add(weight: Option<&mut Vec<f32>>, pair: &LoraPair, scale: f32) -> Result<()> {
    let Some(weight) = weight else { return Err(Error::new(Kind::Bug, "an adapter changes a map without a weight")) };
    let ((rank, n_in), (n_out, _)) = (pair.a.dims2()?, pair.b.dims2()?);
    let (a, b) = (numbers(&pair.a)?, numbers(&pair.b)?);
    multiply(weight, Mat::new(&b, n_out, rank), Mat::new(&a, rank, n_in), Blend::ADD.scaled(scale));
    Ok(())
}
