//! Rows of a matrix by number: the token embedding, and the choice of the rows a loss looks at.
//!
//! table [n, width], ids of length rows, y [rows, width].

use super::{read, slice, tensor};
use candle_core::{CpuStorage, CustomOp1, Layout, Result, Shape, Tensor, bail};

struct Gather {
    ids: Vec<u32>,
}

/// `table[ids[i]]` as row i.
pub(crate) fn gather(table: &Tensor, ids: Vec<u32>) -> Result<Tensor> {
    table.apply_op1(Gather { ids })
}

impl CustomOp1 for Gather {
    fn name(&self) -> &'static str {
        "gather"
    }

    fn cpu_fwd(&self, storage: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let table = slice(storage, layout)?;
        let (n, width) = layout.shape().dims2()?;
        let mut out = Vec::with_capacity(self.ids.len() * width);
        for &id in &self.ids {
            let id = id as usize;
            if id >= n {
                bail!("row {id} asked of a table of {n} rows");
            }
            out.extend_from_slice(&table[id * width..(id + 1) * width]);
        }
        Ok((CpuStorage::F32(out), Shape::from((self.ids.len(), width))))
    }

    /// Each row of the table collects the gradients of the places it was copied to, in their order.
    fn bwd(&self, table: &Tensor, _: &Tensor, grad: &Tensor) -> Result<Option<Tensor>> {
        let (n, width) = table.dims2()?;
        let grad = grad.contiguous()?;
        let dy = read(&grad)?;
        let mut dtable = vec![0f32; n * width];
        for (&id, dy) in self.ids.iter().zip(dy.chunks_exact(width)) {
            let row = &mut dtable[id as usize * width..][..width];
            row.iter_mut().zip(dy).for_each(|(sum, dy)| *sum += dy);
        }
        Ok(Some(tensor(dtable, (n, width))?))
    }
}
