//! The parts that blocks are made of, and one way through them: a linear map with the adapter's update on it, a norm.

use crate::{
    architecture::NormKind,
    error::{Error, Kind, Result},
    held::{Matrix, View},
    lora::{Adapter, LoraPair},
    matrix::Precision,
    ops::{self, Dropout, Frozen, LoraWeights},
    packed::Packed,
    steady::{self, Group},
};
use candle_core::{Tensor, Var};
use std::{ops::Range, sync::Arc};

/// The place of the language head among the maps that an adapter may change; the others are numbered from 0.
pub(crate) const HEAD_PLACE: usize = usize::MAX;

/// A linear map, [out, in] and perhaps a bias [out].
pub(crate) struct Linear {
    pub place: usize,
    pub weight: Weight,
    pub bias: Option<Var>,
}

/// The matrix of a linear map.
#[derive(Clone)]
pub(crate) enum Weight {
    /// In f32, and able to learn.
    Full(Var),
    /// In few bits, and frozen.
    Packed(Arc<Packed>),
    /// For answers alone.
    Held(Arc<Matrix>),
}

impl Weight {
    /// The weight of a head, which is never held in few bits.
    pub(crate) fn full(&self) -> Result<&Var> {
        match self {
            Self::Full(var) => Ok(var),
            Self::Packed(_) | Self::Held(_) => Err(for_answers_alone()),
        }
    }

    /// The matrix where it is multiplied without learning; `full` are the numbers of one that is not held for answers.
    pub(crate) fn view<'a>(&'a self, full: Option<&'a [f32]>) -> Result<View<'a>> {
        let shape = match self {
            Self::Held(matrix) => return Ok(matrix.view()),
            Self::Packed(packed) => packed.shape(),
            Self::Full(var) => var.dims2()?.into(),
        };
        Ok(View::full(full.unwrap_or_default(), shape))
    }

    /// What is looked at where nothing learns; none of a matrix that is held for answers.
    pub(crate) fn frozen(&self) -> Option<Frozen> {
        match self {
            Self::Full(var) => Some(Frozen::Full(var.as_detached_tensor())),
            Self::Packed(packed) => Some(Frozen::Packed(Arc::clone(packed))),
            Self::Held(_) => None,
        }
    }
}

fn for_answers_alone() -> Error {
    let message = "this model is held for answers alone: it neither learns nor measures a loss";
    Error::new(Kind::BadInput, message)
}

/// A norm over rows.
pub(crate) struct Norm {
    pub kind: NormKind,
    pub eps: f64,
    pub gain: Var,
    /// Present in layer norms.
    pub bias: Option<Var>,
}

/// How a forward pass goes: for an answer, or for gradients.
#[derive(Clone, Copy)]
pub(crate) enum Mode {
    /// No graph is kept.
    Answer,
    /// The same, and each row's numbers do not depend on the rows beside it.
    Steady,
    /// Trainable weights are tracked; dropout takes its masks from this seed.
    Learn(u64),
}

/// Adapters on the base.
#[derive(Clone, Copy)]
pub(crate) enum Adapters<'a> {
    /// One, or none, for all rows.
    All(Option<&'a Adapter>),
    /// Neighbouring rows have theirs; in steady passes alone.
    Groups(&'a [Group<'a>]),
}

/// One forward pass: its mode, and the adapters on the base.
#[derive(Clone, Copy)]
pub(crate) struct Pass<'a> {
    pub adapters: Adapters<'a>,
    pub mode: Mode,
    /// Of the products.
    pub precision: Precision,
}

impl<'a> Pass<'a> {
    /// The adapter of all rows.
    pub(crate) fn adapter(&self) -> Option<&'a Adapter> {
        match self.adapters {
            Adapters::All(adapter) => adapter,
            Adapters::Groups(_) => None,
        }
    }

    /// The rows of each adapter.
    pub(crate) fn groups(&self, n_rows: usize) -> Vec<(Range<usize>, Option<&'a Adapter>)> {
        match self.adapters {
            Adapters::All(adapter) => vec![(0..n_rows, adapter)],
            Adapters::Groups(groups) => {
                let starts = [0].into_iter().chain(groups.iter().map(|(end, _)| *end));
                starts.zip(groups).map(|(start, (end, adapter))| (start..*end, *adapter)).collect()
            }
        }
    }

    /// A base weight: tracked only while the base itself learns.
    pub(crate) fn weight(&self, var: &Var) -> Tensor {
        match self.mode {
            Mode::Learn(_) if self.adapter().is_none() => var.as_tensor().clone(),
            _ => var.as_detached_tensor(),
        }
    }

    /// A weight that learns under an adapter as well as without.
    pub(crate) fn own(&self, var: &Var) -> Tensor {
        match self.mode {
            Mode::Learn(_) => var.as_tensor().clone(),
            Mode::Answer | Mode::Steady => var.as_detached_tensor(),
        }
    }

    /// x Wᵀ + b, with the low-rank update if the adapter has one.
    pub(crate) fn linear(&self, map: &Linear, x: &Tensor) -> Result<Tensor> {
        if matches!(self.mode, Mode::Steady) {
            return Ok(steady::maps(self, &[map], x)?.remove(0));
        }
        let bias = map.bias.as_ref().map(|bias| self.weight(bias));
        let weight = match &map.weight {
            Weight::Full(var) => Frozen::Full(self.weight(var)),
            Weight::Packed(packed) => Frozen::Packed(Arc::clone(packed)),
            Weight::Held(_) => return Err(for_answers_alone()),
        };
        match (self.pair(map), weight, bias) {
            (Some((adapter, pair)), weight, bias) => self.adapted(x, (weight, bias), (adapter, pair), map.place as u64),
            (None, Frozen::Packed(packed), bias) => Ok(ops::packed_linear(x, packed, bias, self.precision)?),
            (None, Frozen::Full(weight), None) => Ok(ops::linear(x, &weight, self.precision)?),
            (None, Frozen::Full(weight), Some(bias)) => Ok(ops::linear_bias(x, &weight, &bias, self.precision)?),
        }
    }

    /// The same of several maps.
    pub(crate) fn linears<const N: usize>(&self, maps: [&Linear; N], x: &Tensor) -> Result<[Tensor; N]> {
        let made = match self.mode {
            Mode::Steady => steady::maps(self, &maps, x)?,
            _ => maps.iter().map(|map| self.linear(map, x)).collect::<Result<_>>()?,
        };
        made.try_into().map_err(|_| Error::new(Kind::Bug, "as many results as maps"))
    }

    /// The same, added to a residual.
    pub(crate) fn linear_add(&self, map: &Linear, x: &Tensor, residual: &Tensor) -> Result<Tensor> {
        match (self.pair(map), &map.bias, &map.weight) {
            (None, None, Weight::Full(var)) if !matches!(self.mode, Mode::Steady) => {
                Ok(ops::linear_add(x, &self.weight(var), residual, self.precision)?)
            }
            _ => Ok((residual + self.linear(map, x)?)?),
        }
    }

    /// x Wᵀ + b for a head of classes, of which an adapter holds its own copy.
    pub(crate) fn class_head(&self, head: &Linear, x: &Tensor) -> Result<Tensor> {
        let (weight, bias) = match self.adapter().and_then(Adapter::class_head) {
            Some((weight, bias)) => (self.own(weight), bias.map(|bias| self.own(bias))),
            None => (self.weight(head.weight.full()?), head.bias.as_ref().map(|bias| self.weight(bias))),
        };
        match bias {
            None => Ok(ops::linear(x, &weight, self.precision)?),
            Some(bias) => Ok(ops::linear_bias(x, &weight, &bias, self.precision)?),
        }
    }

    /// The normed rows.
    pub(crate) fn norm(&self, norm: &Norm, x: &Tensor) -> Result<Tensor> {
        let gain = self.weight(&norm.gain);
        match (norm.kind, &norm.bias) {
            (NormKind::Layer, Some(bias)) => Ok(ops::layer_norm(x, &gain, &self.weight(bias), norm.eps)?),
            (NormKind::RmsPlusOne, _) => Ok(ops::rms_norm(x, &gain, norm.eps, 1.0)?),
            _ => Ok(ops::rms_norm(x, &gain, norm.eps, 0.0)?),
        }
    }

    /// Whether the adapter changes a map.
    pub(crate) fn changes(&self, map: &Linear) -> bool {
        self.pair(map).is_some()
    }

    fn pair(&self, map: &Linear) -> Option<(&Adapter, &LoraPair)> {
        self.adapter().and_then(|adapter| adapter.pair(map.place).map(|pair| (adapter, pair)))
    }

    fn adapted(
        &self,
        x: &Tensor,
        (weight, bias): (Frozen, Option<Tensor>),
        (adapter, pair): (&Adapter, &LoraPair),
        place: u64,
    ) -> Result<Tensor> {
        let (scale, share) = (adapter.config().scale() as f32, adapter.config().dropout as f32);
        let dropout = match self.mode {
            Mode::Learn(seed) if share > 0.0 => Some(Dropout { share, key: ops::mix(seed ^ ops::mix(place)) }),
            _ => None,
        };
        let (a, b) = (self.own(&pair.a), self.own(&pair.b));
        let precision = self.precision;
        Ok(ops::lora_linear(x, &a, &b, LoraWeights { weight, bias, scale, dropout, precision })?)
    }
}
