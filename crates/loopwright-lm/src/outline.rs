//! What a model will be, from its configuration alone: how many numbers it has, what they take in memory, and what an
//! adapter on it would hold. No weight is read.

use crate::{
    architecture::{self, Architecture, Task},
    body::{self, LANGUAGE_HEAD, Place},
    error::Result,
    lora::LoraConfig,
    packed::Bits,
};
use candle_core::{Device, Var};
use serde_json::Value;
use std::path::Path;

/// A model's shape without its weights.
///
/// ```
/// use loopwright_lm::{Bits, LoraConfig, Model, ModelConfig, Outline};
/// let model = Model::init(&ModelConfig::sized(300, 64, 2, 2), 1)?;
/// let dir = tempfile::tempdir()?;
/// model.save(dir.path())?;
/// let outline = Outline::read(dir.path())?;
/// assert_eq!(outline.n_parameters(), model.n_parameters());
/// assert_eq!(outline.base_bytes(Some(Bits::Nf4)), model.packed(Bits::Nf4)?.base_bytes());
/// // Rank 2 on 2 queries' maps [64, 64]: A and B of each.
/// let config = LoraConfig { r: 2, targets: vec!["q_proj".into()], ..LoraConfig::default() };
/// assert_eq!(outline.adapter_parameters(&config)?, 2 * 2 * (64 + 64));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct Outline {
    architecture: Architecture,
    config: Value,
    /// Names and shapes of all weights.
    parameters: Vec<(String, Vec<usize>)>,
    places: Vec<Place>,
}

impl Outline {
    /// Reads `config.json` in a model's folder. Refuses what [`crate::Model::load`] refuses of it.
    pub fn read(dir: &Path) -> Result<Self> {
        Self::ending(dir, None)
    }

    /// The same, where one more token ends an answer.
    pub(crate) fn ending(dir: &Path, end: Option<u32>) -> Result<Self> {
        let (mut architecture, config, _) = architecture::read(dir)?;
        architecture.end_with(end);
        Self::of(architecture, config)
    }

    /// From a `config.json`.
    pub fn from_json(config: &Value) -> Result<Self> {
        Self::of(Architecture::from_json(config)?, config.clone())
    }

    /// The shape of [`crate::Model::with_classes`].
    pub fn with_classes(&self, names: &[String]) -> Result<Self> {
        let config = crate::model::config_of_classes(self.config.clone(), self.architecture.family, names)?;
        Self::from_json(&config)
    }

    fn of(architecture: Architecture, config: Value) -> Result<Self> {
        let mut parameters = Vec::new();
        // Building asks for every weight by name and shape, and looks into none.
        let none = Var::from_vec(vec![0f32], 1, &Device::Cpu)?;
        let built = body::build(&architecture, &mut |name, shape| {
            parameters.push((name.to_owned(), shape.to_vec()));
            Ok(none.clone())
        })?;
        Ok(Self { architecture, config, parameters, places: built.places })
    }

    /// The model's shape.
    pub fn config(&self) -> &Architecture {
        &self.architecture
    }

    /// Numbers in its weights.
    pub fn n_parameters(&self) -> u64 {
        self.parameters.iter().map(|(_, shape)| shape.iter().product::<usize>() as u64).sum()
    }

    /// Bytes of its weights, held in f32 or with its linear maps in few bits.
    pub fn base_bytes(&self, bits: Option<Bits>) -> u64 {
        let full = 4 * self.n_parameters();
        let Some(bits) = bits else { return full };
        let saved = |place: &Place| (4 * place.shape[0] * place.shape[1] - bits.size_bytes(place.shape)) as u64;
        full - self.places.iter().map(saved).sum::<u64>()
    }

    /// Numbers in the largest linear map that an adapter may change.
    pub fn largest_map(&self) -> u64 {
        self.places.iter().map(|place| (place.shape[0] * place.shape[1]) as u64).max().unwrap_or(0)
    }

    /// Numbers in a new adapter. Refuses targets that name no map of the model.
    pub fn adapter_parameters(&self, config: &LoraConfig) -> Result<u64> {
        let of = &self.architecture;
        let has_head = of.task == Task::Language;
        config.check_targets(&self.places, has_head)?;
        let pair = |shape: [usize; 2]| (config.r * (shape[0] + shape[1])) as u64;
        let maps: u64 = self.places.iter().filter(|it| config.wants(&it.path)).map(|it| pair(it.shape)).sum();
        let head = has_head && config.wants(LANGUAGE_HEAD);
        let classes = match (&of.task, of.is_encoder()) {
            (Task::Classes(names), has_bias) => (names.len() * (of.hidden_size + usize::from(has_bias))) as u64,
            _ => 0,
        };
        Ok(maps + if head { pair([of.vocab_size, of.hidden_size]) } else { 0 } + classes)
    }
}
