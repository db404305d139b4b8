//! Low-rank adapters (Hu et al. 2021), in memory and in PEFT's file layout.
//!
//! Each chosen map W [out, in] gets A [r, in] and B [out, r] and acts as W + (alpha/r)·B A. B starts at 0, so a new
//! adapter changes nothing.

use crate::{
    config::ModelConfig,
    error::{Error, Kind, Result},
    init::{generator, uniform},
    model::{MAPS, Model, map_path, map_shape},
    weights::{self, WeightFile},
};
use candle_core::{Device, Var};
use serde::{Deserialize, Serialize};
use std::{path::Path, sync::Arc};

/// File name of an adapter's configuration.
pub const ADAPTER_CONFIG_FILE: &str = "adapter_config.json";
/// File name of an adapter's weights.
pub const ADAPTER_WEIGHTS_FILE: &str = "adapter_model.safetensors";

const HEAD: &str = "lm_head";

/// Size and place of an adapter.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LoraConfig {
    /// Rank of each update.
    pub r: usize,
    /// The update is scaled by `alpha / r`.
    pub alpha: f64,
    /// Share of each update's input that is zeroed in training, in [0, 1).
    pub dropout: f64,
    /// Maps to adapt: `q_proj`, `k_proj`, `v_proj`, `o_proj`, `gate_proj`, `up_proj`, `down_proj`, `lm_head`.
    pub targets: Vec<String>,
}

impl Default for LoraConfig {
    /// Rank 32, scale 2, no dropout, every map and the head.
    fn default() -> Self {
        let targets = MAPS.iter().map(|(name, _)| (*name).to_owned()).chain([HEAD.to_owned()]).collect();
        Self { r: 32, alpha: 64.0, dropout: 0.0, targets }
    }
}

impl LoraConfig {
    /// Refuses what no adapter can have, by key, expected and got.
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
        let known = |target: &String| target == HEAD || MAPS.iter().any(|(name, _)| name == target);
        match self.targets.iter().find(|target| !known(target)) {
            Some(target) => {
                let names = MAPS.map(|(name, _)| name).join(", ");
                refuse(format!("`targets` must be among {names}, {HEAD}, got `{target}`"))
            }
            None => Ok(()),
        }
    }

    fn wants(&self, name: &str) -> bool {
        self.targets.iter().any(|target| target == name)
    }
}

/// PEFT's `adapter_config.json`, as far as we read and write it.
#[derive(Serialize, Deserialize)]
struct PeftConfig {
    peft_type: String,
    task_type: String,
    base_model_name_or_path: Option<String>,
    r: usize,
    lora_alpha: f64,
    #[serde(default)]
    lora_dropout: f64,
    target_modules: Vec<String>,
    #[serde(default = "no_bias")]
    bias: String,
    #[serde(default)]
    fan_in_fan_out: bool,
    #[serde(default)]
    inference_mode: bool,
}

fn no_bias() -> String {
    "none".into()
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
    layers: Vec<[Option<LoraPair>; MAPS.len()]>,
    head: Option<LoraPair>,
}

impl Adapter {
    /// A new adapter that changes nothing yet: A uniform over ±1/√in, B zero, as PEFT starts them.
    pub fn init(model: &Model, config: &LoraConfig, seed: u64) -> Result<Self> {
        Self::build(model.config(), config, |name, shape| {
            let n = shape[0] * shape[1];
            let numbers = match name.ends_with("lora_A.weight") {
                true => uniform(&mut generator(seed, name), n, 1.0 / (shape[1] as f64).sqrt()),
                false => vec![0.0; n],
            };
            Ok(Var::from_vec(numbers, shape, &Device::Cpu)?)
        })
    }

    /// Reads an adapter in PEFT layout and refuses one whose shapes are not this model's, by tensor name.
    pub fn load(dir: &Path, model: &Model) -> Result<Self> {
        let path = dir.join(ADAPTER_CONFIG_FILE);
        let bytes = std::fs::read(&path).map_err(|source| Error::io("read", &path, source))?;
        let peft: PeftConfig = serde_json::from_slice(&bytes).map_err(|source| {
            let message = format!("failed to read the adapter configuration `{}`", path.display());
            Error::caused(Kind::BadConfig, message, source)
        })?;
        if peft.peft_type != "LORA" || peft.bias != "none" || peft.fan_in_fan_out {
            let message = "expected `peft_type` \"LORA\", `bias` \"none\" and `fan_in_fan_out` false";
            return Err(Error::new(Kind::BadConfig, format!("`{}`: {message}", path.display())));
        }
        let config =
            LoraConfig { r: peft.r, alpha: peft.lora_alpha, dropout: peft.lora_dropout, targets: peft.target_modules };
        let mut file = WeightFile::read(&dir.join(ADAPTER_WEIGHTS_FILE))?;
        let adapter = Self::build(model.config(), &config, |name, shape| file.take_var(name, shape))?;
        file.finish()?;
        Ok(adapter)
    }

    fn build(
        model: &ModelConfig,
        config: &LoraConfig,
        mut var: impl FnMut(&str, &[usize]) -> Result<Var>,
    ) -> Result<Self> {
        config.check()?;
        let mut pair = |path: String, [n_out, n_in]: [usize; 2]| {
            let a = var(&format!("base_model.model.{path}.lora_A.weight"), &[config.r, n_in])?;
            let b = var(&format!("base_model.model.{path}.lora_B.weight"), &[n_out, config.r])?;
            Ok::<_, Error>(LoraPair { a, b })
        };
        let mut layers = Vec::with_capacity(model.num_hidden_layers);
        for layer in 0..model.num_hidden_layers {
            let mut maps = [const { None }; MAPS.len()];
            for (map, slot) in maps.iter_mut().enumerate().filter(|(map, _)| config.wants(MAPS[*map].0)) {
                *slot = Some(pair(map_path(layer, map), map_shape(model, map))?);
            }
            layers.push(maps);
        }
        let head =
            config.wants(HEAD).then(|| pair(HEAD.to_owned(), [model.vocab_size, model.hidden_size])).transpose()?;
        Ok(Self { inner: Arc::new(Inner { config: config.clone(), layers, head }) })
    }

    /// Writes `adapter_config.json` and `adapter_model.safetensors` into an existing folder; the same weights give the
    /// same bytes.
    pub fn save(&self, dir: &Path) -> Result<()> {
        let config = self.config();
        let mut target_modules = config.targets.clone();
        target_modules.sort();
        let peft = PeftConfig {
            peft_type: "LORA".into(),
            task_type: "CAUSAL_LM".into(),
            base_model_name_or_path: None,
            r: config.r,
            lora_alpha: config.alpha,
            lora_dropout: config.dropout,
            target_modules,
            bias: no_bias(),
            fan_in_fan_out: false,
            inference_mode: true,
        };
        let mut json = serde_json::to_string_pretty(&peft)
            .map_err(|source| Error::caused(Kind::Bug, "failed to write an adapter configuration as JSON", source))?;
        json.push('\n');
        weights::write_file(&dir.join(ADAPTER_CONFIG_FILE), json.as_bytes())?;
        let tensors: Vec<_> =
            self.named_parameters().into_iter().map(|(name, var)| (name, var.as_detached_tensor())).collect();
        weights::write(&dir.join(ADAPTER_WEIGHTS_FILE), &tensors)
    }

    /// An adapter with the same numbers in weights of its own, for training to go on from.
    pub fn copy(&self) -> Result<Self> {
        let pair = |pair: &LoraPair| {
            let var = |var: &Var| Ok::<_, Error>(Var::from_tensor(&var.as_detached_tensor().copy()?)?);
            Ok::<_, Error>(LoraPair { a: var(&pair.a)?, b: var(&pair.b)? })
        };
        let layers = self.inner.layers.iter().map(|maps| {
            let mut copies = [const { None }; MAPS.len()];
            for (copy, original) in copies.iter_mut().zip(maps) {
                *copy = original.as_ref().map(pair).transpose()?;
            }
            Ok(copies)
        });
        let inner = Inner {
            config: self.inner.config.clone(),
            layers: layers.collect::<Result<_>>()?,
            head: self.inner.head.as_ref().map(pair).transpose()?,
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
        let mut push = |path: String, pair: &LoraPair| {
            named.push((format!("base_model.model.{path}.lora_A.weight"), pair.a.clone()));
            named.push((format!("base_model.model.{path}.lora_B.weight"), pair.b.clone()));
        };
        for (layer, maps) in self.inner.layers.iter().enumerate() {
            for (map, pair) in maps.iter().enumerate() {
                pair.iter().for_each(|pair| push(map_path(layer, map), pair));
            }
        }
        self.inner.head.iter().for_each(|pair| push(HEAD.to_owned(), pair));
        named
    }

    pub(crate) fn pair(&self, layer: usize, map: usize) -> Option<&LoraPair> {
        self.inner.layers.get(layer).and_then(|maps| maps[map].as_ref())
    }

    pub(crate) fn head(&self) -> Option<&LoraPair> {
        self.inner.head.as_ref()
    }
}
