//! Linear maps whose matrix does not learn, and may be held in few bits: it is unpacked for one product and dropped.
//!
//! y = x Wᵀ + b, x [rows, in], W [out, in], b [out]; dx = dy W. What the graph keeps of W is what is held anyway, so a base
//! in 4 bits costs 4 bits a number and one matrix at a time in f32 (Dettmers et al. 2023).

use super::{read, slice, tensor};
use crate::{
    matrix::{Blend, Mat, Precision, multiply},
    packed::Packed,
};
use candle_core::{CpuStorage, CustomOp1, Layout, Result, Shape, Tensor};
use std::{ops::Deref, sync::Arc};

/// A matrix without gradient.
#[derive(Clone)]
pub(crate) enum Frozen {
    Full(Tensor),
    Packed(Arc<Packed>),
}

impl Frozen {
    /// Its numbers, row after row, while they are looked at.
    pub(crate) fn numbers(&self) -> Result<Box<dyn Deref<Target = [f32]> + '_>> {
        Ok(match self {
            Self::Full(weight) => Box::new(read(weight)?),
            Self::Packed(packed) => Box::new(packed.unpacked()),
        })
    }
}

/// y = x Wᵀ + b of a packed matrix.
pub(crate) fn packed_linear(
    x: &Tensor,
    weight: Arc<Packed>,
    bias: Option<Tensor>,
    precision: Precision,
) -> Result<Tensor> {
    x.apply_op1(PackedLinear { weight, bias, precision })
}

struct PackedLinear {
    weight: Arc<Packed>,
    bias: Option<Tensor>,
    precision: Precision,
}

impl CustomOp1 for PackedLinear {
    fn name(&self) -> &'static str {
        "packed-linear"
    }

    fn cpu_fwd(&self, s1: &CpuStorage, l1: &Layout) -> Result<(CpuStorage, Shape)> {
        let ((rows, _), [n_out, n_in]) = (l1.shape().dims2()?, self.weight.shape());
        let mut out = match &self.bias {
            Some(bias) => read(bias)?.repeat(rows),
            None => vec![0f32; rows * n_out],
        };
        let weight = self.weight.unpacked();
        let x = Mat::new(slice(s1, l1)?, rows, n_in);
        multiply(&mut out, x, Mat::new(&weight, n_out, n_in).t(), Blend::ADD.at(self.precision));
        Ok((CpuStorage::F32(out), Shape::from((rows, n_out))))
    }

    fn bwd(&self, x: &Tensor, _: &Tensor, grad: &Tensor) -> Result<Option<Tensor>> {
        let ((rows, _), [n_out, n_in]) = (x.dims2()?, self.weight.shape());
        let grad = grad.contiguous()?;
        let mut dx = vec![0f32; rows * n_in];
        let weight = self.weight.unpacked();
        multiply(
            &mut dx,
            Mat::new(&read(&grad)?, rows, n_out),
            Mat::new(&weight, n_out, n_in),
            Blend::SET.at(self.precision),
        );
        Ok(Some(tensor(dx, (rows, n_in))?))
    }
}
