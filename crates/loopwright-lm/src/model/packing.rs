//! Bases of which the linear maps are held in few bits: what an adapter can be trained on in little memory.

use super::Model;
use crate::{
    body,
    error::{Error, Kind, Result},
    packed::Bits,
};
use candle_core::{Device, Var};

impl Model {
    /// The same base with its linear maps in few bits, but for embeddings and heads. Only an adapter can learn on it.
    ///
    /// ```
    /// use loopwright_lm::{Bits, Model, ModelConfig};
    /// let model = Model::init(&ModelConfig::sized(300, 64, 2, 2), 1)?;
    /// let packed = model.packed(Bits::Nf4)?;
    /// assert_eq!(packed.n_parameters(), model.n_parameters());
    /// // 2 layers of 4·64² + 3·64·192 numbers took 4 bytes each.
    /// assert_eq!(model.base_bytes() - packed.base_bytes(), 2 * 53_248 * 4 - packed.packed_bytes());
    /// # Ok::<(), loopwright_lm::Error>(())
    /// ```
    pub fn packed(&self, bits: Bits) -> Result<Self> {
        self.refuse_packed("packed again")?;
        self.rebuilt(Some(bits))
    }

    /// The same numbers in f32.
    pub fn unpacked(&self) -> Result<Self> {
        self.rebuilt(None)
    }

    fn rebuilt(&self, bits: Option<Bits>) -> Result<Self> {
        let of = &self.base;
        let built = body::build_packed(&of.architecture, bits, &mut |name, shape| {
            if let Some((_, var)) = of.parameters.iter().find(|(known, _)| known == name) {
                return Ok(Var::from_tensor(&var.as_detached_tensor().copy()?)?);
            }
            match of.packed.iter().find(|(known, _)| known == name) {
                Some((_, packed)) => Ok(Var::from_vec(packed.unpacked(), shape, &Device::Cpu)?),
                None => Err(Error::new(Kind::Bug, format!("the model lacks `{name}`"))),
            }
        })?;
        Ok(Self::new(of.architecture.clone(), of.config_json.clone(), built))
    }

    /// Are maps of the base held in few bits?
    pub fn is_packed(&self) -> bool {
        !self.base.packed.is_empty()
    }

    /// Bytes of the base's weights as they are held.
    pub fn base_bytes(&self) -> u64 {
        let full = self.base.parameters.iter().map(|(_, var)| 4 * var.elem_count() as u64);
        let held = self.base.held.iter().map(|matrix| matrix.size_bytes() as u64);
        full.sum::<u64>() + self.packed_bytes() + held.sum::<u64>()
    }

    /// Bytes of those that are held in few bits.
    pub fn packed_bytes(&self) -> u64 {
        self.base.packed.iter().map(|(_, packed)| packed.size_bytes() as u64).sum()
    }

    /// A digest (SHA-256) of each matrix in few bits, by name.
    pub fn packed_digests(&self) -> Vec<(String, [u8; 32])> {
        self.base.packed.iter().map(|(name, packed)| (name.clone(), packed.digest())).collect()
    }

    pub(super) fn n_packed(&self) -> u64 {
        self.base.packed.iter().map(|(_, packed)| packed.n_numbers() as u64).sum()
    }

    pub(super) fn refuse_packed(&self, what: &str) -> Result<()> {
        match self.is_packed() {
            false => Ok(()),
            true => Err(Error::new(
                Kind::BadInput,
                format!(
                    "a base held in few bits cannot be {what}\nhint: load it whole, without `load_in_4bit` and `load_in_8bit`"
                ),
            )),
        }
    }
}
