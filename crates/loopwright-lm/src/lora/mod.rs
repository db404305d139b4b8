//! Low-rank adapters (Hu et al. 2021), in memory and in PEFT's file layout.
//!
//! Each chosen map W [out, in] gets A [r, in] and B [out, r] and acts as W + s·B A, with s = alpha/r, or alpha/√r where
//! the rank is high (rsLoRA, Kalajdzievski 2023). B starts at 0, so a new adapter changes nothing. On a model with a head
//! of classes an adapter holds a copy of that head, too, which learns as a whole.

mod peft;

pub use peft::{ADAPTER_CONFIG_FILE, ADAPTER_WEIGHTS_FILE};

use crate::{
    architecture::Architecture,
    body::{LANGUAGE_HEAD, Place, class_head},
    error::{Error, Kind, Result},
    init::{generator, uniform},
    layers::HEAD_PLACE,
    model::Model,
};
use candle_core::{Device, Var};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// Stands for every map but the head in a list of targets.
pub const ALL_LINEAR: &str = "all-linear";

/// Size and place of an adapter.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LoraConfig {
    /// Rank of each update.
    pub r: usize,
    /// The update is scaled by `alpha / r`.
    pub alpha: f64,
    /// Share of each update's input that is zeroed in training, in [0, 1).
    pub dropout: f64,
    /// Maps to adapt, by the last parts of their names: in decoders `q_proj`, `k_proj`, `v_proj`, `o_proj`, `gate_proj`,
    /// `up_proj`, `down_proj`, `lm_head`; in encoders `query`, `key`, `value`, `dense` and so on. [`ALL_LINEAR`] stands
    /// for all but the head.
    pub targets: Vec<String>,
    /// Scales the update by `alpha / √r` instead.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub use_rslora: bool,
}

impl Default for LoraConfig {
    /// Rank 32, scale 2, no dropout, every map of a decoder and its head.
    fn default() -> Self {
        let maps = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj", LANGUAGE_HEAD];
        let targets = maps.iter().map(|name| (*name).to_owned()).collect();
        Self { r: 32, alpha: 64.0, dropout: 0.0, targets, use_rslora: false }
    }
}

impl LoraConfig {
    /// Refuses what no adapter can have, by key, expected and got. Names of maps are checked against a model.
    pub fn check(&self) -> Result<()> {
        let refuse = |message: String| Err(Error::new(Kind::BadConfig, format!("adapter configuration: {message}")));
        if self.r == 0 {
            return refuse("`r` must be positive, got 0".into());
        }
        if !(self.alpha.is_finite() && self.alpha > 0.0) {
            return refuse(format!("`alpha` must be positive, got {}", self.alpha));
        }
        if !(0.0..1.0).contains(&self.dropout) {
            return refuse(format!("`dropout` must be at least 0 and below 1, got {}", self.dropout));
        }
        if self.targets.is_empty() {
            return refuse("`targets` must name at least one map".into());
        }
        Ok(())
    }

    /// Factor of the update.
    pub fn scale(&self) -> f64 {
        match self.use_rslora {
            true => self.alpha / (self.r as f64).sqrt(),
            false => self.alpha / self.r as f64,
        }
    }

    /// Whether a map of this name is to be adapted.
    pub(crate) fn wants(&self, path: &str) -> bool {
        self.targets.iter().any(|target| names(target, path))
    }

    /// Refuses targets that name no map of a model.
    pub(crate) fn check_targets(&self, places: &[Place], has_head: bool) -> Result<()> {
        let head = has_head.then_some(LANGUAGE_HEAD);
        let paths = || places.iter().map(|place| place.path.as_str()).chain(head);
        let Some(unknown) = self.targets.iter().find(|target| !paths().any(|path| names(target, path))) else {
            return Ok(());
        };
        let mut known: Vec<&str> = paths().filter_map(|path| path.rsplit('.').next()).collect();
        let mut seen = std::collections::BTreeSet::new();
        known.retain(|name| seen.insert(*name));
        let known = known.join(", ");
        let message = format!("adapter configuration: `targets` must be among {known}, {ALL_LINEAR}, got `{unknown}`");
        Err(Error::new(Kind::BadConfig, message))
    }
}

/// Whether a target names a map: by its whole path or the last parts of it, as in PEFT.
fn names(target: &str, path: &str) -> bool {
    match path.strip_suffix(target) {
        Some(rest) => rest.is_empty() || rest.ends_with('.'),
        None => target == ALL_LINEAR && path != LANGUAGE_HEAD,
    }
}

/// A and B of one map.
#[derive(Clone, Debug)]
pub(crate) struct LoraPair {
    pub a: Var,
    pub b: Var,
}

/// Low-rank updates for one shape of model. Clones share the weights; [`Adapter::copy`] does not.
#[derive(Clone, Debug)]
pub struct Adapter {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    config: LoraConfig,
    /// Names of the maps by their places, and what changes them.
    maps: Vec<(String, Option<LoraPair>)>,
    head: Option<LoraPair>,
    /// Name, weight and bias of a head of classes that takes the base's place.
    class_head: Option<(String, Var, Option<Var>)>,
}

/// Before every name in PEFT's files.
const PEFT_ROOT: &str = "base_model.model.";

impl Adapter {
    /// A new adapter that changes nothing yet: A uniform over ±1/√in, B zero, as PEFT starts them; a head of classes as
    /// the base has it.
    pub fn init(model: &Model, config: &LoraConfig, seed: u64) -> Result<Self> {
        let base = model.named_parameters();
        Self::build(model, config, |name, shape| {
            let n = shape.iter().product::<usize>();
            let numbers = match () {
                () if name.ends_with(A_WEIGHT) => {
                    uniform(&mut generator(seed, name), n, 1.0 / (shape[1] as f64).sqrt())
                }
                () if name.ends_with(B_WEIGHT) => vec![0.0; n],
                () => {
                    let name = name.trim_start_matches(PEFT_ROOT);
                    let var = base.iter().find(|(known, _)| known == name).map(|(_, var)| var);
                    var.map(|var| var.flatten_all()?.to_vec1::<f32>()).transpose()?.unwrap_or_else(|| vec![0.0; n])
                }
            };
            Ok(Var::from_vec(numbers, shape, &Device::Cpu)?)
        })
    }

    /// Every weight is asked of `var` by PEFT's name and its shape, in a fixed order.
    fn build(model: &Model, config: &LoraConfig, mut var: impl FnMut(&str, &[usize]) -> Result<Var>) -> Result<Self> {
        config.check()?;
        let (architecture, places) = (model.config(), model.places());
        let has_head = architecture.task == crate::architecture::Task::Language;
        config.check_targets(places, has_head)?;
        let mut pair = |path: &str, [n_out, n_in]: [usize; 2]| {
            let a = var(&format!("{PEFT_ROOT}{path}{A_WEIGHT}"), &[config.r, n_in])?;
            let b = var(&format!("{PEFT_ROOT}{path}{B_WEIGHT}"), &[n_out, config.r])?;
            Ok::<_, Error>(LoraPair { a, b })
        };
        let mut maps = Vec::with_capacity(places.len());
        for place in places {
            let pair = config.wants(&place.path).then(|| pair(&place.path, place.shape)).transpose()?;
            maps.push((place.path.clone(), pair));
        }
        let table = [architecture.vocab_size, architecture.hidden_size];
        let wants_head = has_head && config.wants(LANGUAGE_HEAD);
        let head = wants_head.then(|| pair(LANGUAGE_HEAD, table)).transpose()?;
        let class_head = build_class_head(architecture, &mut var)?;
        Ok(Self { inner: Arc::new(Inner { config: config.clone(), maps, head, class_head }) })
    }

    /// An adapter with the same numbers in weights of its own, for training to go on from.
    pub fn copy(&self) -> Result<Self> {
        let var = |var: &Var| Ok::<_, Error>(Var::from_tensor(&var.as_detached_tensor().copy()?)?);
        let pair = |pair: &LoraPair| Ok::<_, Error>(LoraPair { a: var(&pair.a)?, b: var(&pair.b)? });
        let maps = self.inner.maps.iter().map(|(path, map)| Ok((path.clone(), map.as_ref().map(pair).transpose()?)));
        let class_head = match &self.inner.class_head {
            Some((name, weight, bias)) => Some((name.clone(), var(weight)?, bias.as_ref().map(var).transpose()?)),
            None => None,
        };
        let inner = Inner {
            config: self.inner.config.clone(),
            maps: maps.collect::<Result<_>>()?,
            head: self.inner.head.as_ref().map(pair).transpose()?,
            class_head,
        };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// Its size and place.
    pub fn config(&self) -> &LoraConfig {
        &self.inner.config
    }

    /// Numbers in its weights.
    pub fn n_parameters(&self) -> u64 {
        self.named_parameters().iter().map(|(_, var)| var.elem_count() as u64).sum()
    }

    /// Its weights under PEFT's names.
    pub fn named_parameters(&self) -> Vec<(String, Var)> {
        let mut named = Vec::new();
        let head = self.inner.head.as_ref().map(|pair| (LANGUAGE_HEAD, pair));
        let maps = self.inner.maps.iter().filter_map(|(path, pair)| Some((path.as_str(), pair.as_ref()?)));
        for (path, pair) in maps.chain(head) {
            named.push((format!("{PEFT_ROOT}{path}{A_WEIGHT}"), pair.a.clone()));
            named.push((format!("{PEFT_ROOT}{path}{B_WEIGHT}"), pair.b.clone()));
        }
        named.extend(self.replaced().into_iter().map(|(name, var)| (format!("{PEFT_ROOT}{name}"), var)));
        named
    }

    /// Base weights that it replaces as a whole, under their names.
    pub(crate) fn replaced(&self) -> Vec<(String, Var)> {
        let Some((name, weight, bias)) = &self.inner.class_head else { return Vec::new() };
        let mut named = vec![(format!("{name}.weight"), weight.clone())];
        named.extend(bias.iter().map(|bias| (format!("{name}.bias"), bias.clone())));
        named
    }

    pub(crate) fn pair(&self, place: usize) -> Option<&LoraPair> {
        match place {
            HEAD_PLACE => self.head(),
            _ => self.inner.maps.get(place).and_then(|(_, pair)| pair.as_ref()),
        }
    }

    pub(crate) fn head(&self) -> Option<&LoraPair> {
        self.inner.head.as_ref()
    }

    pub(crate) fn class_head(&self) -> Option<(&Var, Option<&Var>)> {
        self.inner.class_head.as_ref().map(|(_, weight, bias)| (weight, bias.as_ref()))
    }
}

/// Ends of PEFT's names.
const A_WEIGHT: &str = ".lora_A.weight";
const B_WEIGHT: &str = ".lora_B.weight";

fn build_class_head(
    architecture: &Architecture,
    var: &mut impl FnMut(&str, &[usize]) -> Result<Var>,
) -> Result<Option<(String, Var, Option<Var>)>> {
    let (Some(name), crate::architecture::Task::Classes(classes)) = (class_head(architecture), &architecture.task)
    else {
        return Ok(None);
    };
    let weight = var(&format!("{PEFT_ROOT}{name}.weight"), &[classes.len(), architecture.hidden_size])?;
    let has_bias = architecture.is_encoder();
    let bias = has_bias.then(|| var(&format!("{PEFT_ROOT}{name}.bias"), &[classes.len()])).transpose()?;
    Ok(Some((name.to_owned(), weight, bias)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_name_maps_by_their_last_parts() {
        let path = "encoder.layer.0.attention.output.dense";
        assert!(names("dense", path) && names("output.dense", path) && names(path, path));
        assert!(!names("ense", path) && !names("intermediate.dense", path));
        assert!(names(ALL_LINEAR, path) && !names(ALL_LINEAR, LANGUAGE_HEAD));
    }

    #[test]
    fn the_scale_is_that_of_the_method() {
        let config = LoraConfig { r: 16, alpha: 8.0, ..LoraConfig::default() };
        assert_eq!(config.scale(), 0.5);
        assert_eq!(LoraConfig { use_rslora: true, ..config }.scale(), 2.0);
    }
}
