//! Matrices as they are held for answers: in f32, in bf16, or in blocks of few bits, multiplied without being unpacked.
//!
//! y = x Wᵀ, x [rows, in], W [out, in]. Each element of y is a dot product whose order of adding depends on the width
//! alone: a row's result is the same to the bit whichever rows stand beside it, so an answer does not depend on who shares
//! its batch. In few bits x is rounded to 8 bits as well, in blocks of 32 numbers with a scale each, and products within a
//! block are added as whole numbers. In bf16 x is rounded to bf16 where the processor has a tile unit ([`crate::tiles`]), whose
//! panels the matrix then lies in.
//!
//! - `Q8_0`: 32 numbers share a scale in half precision; each is a signed byte. 8.5 bits a number.
//! - `Q4_K`: 256 numbers share two scales in half precision; each 32 of them have a scale and a least number in 6 bits, and
//!   each number has 4 bits. 4.5 bits a number.
//!
//! Both are the GGML project's formats, number for number. They lie in another order, sixteen rows beside one another (see
//! [`panel`]), and the 6 bits of `Q4_K` take 8 (4.625 bits a number).

mod pack;
mod panel;
mod plain;
mod q4k;
mod rows;
mod tiled;
#[cfg(target_arch = "x86_64")]
mod vectors;

use crate::{
    error::{Error, Kind, Result},
    ops::tensor,
    team, tiles,
    weights::from_bf16,
};
use candle_core::Tensor;
use panel::{LANES, Q4, Q8};
pub(crate) use q4k::unpack as unpack_q4k;
use rows::Rows;
use serde::{Deserialize, Serialize};
use tiled::Tiled;

/// Numbers that share a scale in `Q8_0`, and in the rows that are multiplied.
pub(crate) const BLOCK: usize = 32;

/// Numbers of a block of `Q4_K`.
pub(crate) const SUPER: usize = 256;

/// Bytes of a block of `Q4_K`.
pub(crate) const SUPER_BYTES: usize = 144;

/// Rows of x that are many: the matrix passes by more than once for them.
const MANY: usize = 4;

/// Rows of a matrix that lie together, in any form.
const PANEL: usize = if LANES > tiles::PANEL { LANES } else { tiles::PANEL };

/// Bytes of a matrix that a task multiplies with many rows: they stay in the nearer caches.
const TASK_BYTES: usize = 1 << 17;

/// How the weights of a served model are held; what takes less is the greater.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Form {
    /// 32 bits a number, as they were trained.
    #[default]
    F32,
    /// 16 bits a number.
    Bf16,
    /// 8.5 bits a number.
    Q8_0,
    /// 4.5 bits a number; matrices whose rows are not whole blocks of 256 are held in `Q8_0`.
    Q4K,
}

impl Form {
    /// The name in settings.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::F32 => "f32",
            Self::Bf16 => "bf16",
            Self::Q8_0 => "q8_0",
            Self::Q4K => "q4_k",
        }
    }

    /// The form of that name.
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::F32, Self::Bf16, Self::Q8_0, Self::Q4K].into_iter().find(|form| form.as_str() == name)
    }

    /// The nearest form that rows of a width can be held in.
    pub(crate) fn fitting(self, width: usize) -> Self {
        match self {
            Self::Q4K if !width.is_multiple_of(SUPER) => Self::Q8_0.fitting(width),
            Self::Q8_0 if !width.is_multiple_of(BLOCK) => Self::Bf16,
            form => form,
        }
    }
}

/// Numbers in whole blocks of a form, as GGUF files have them.
pub(crate) fn packed_bytes(numbers: &[f32], form: Form) -> Vec<u8> {
    match form {
        Form::F32 => numbers.iter().flat_map(|x| x.to_le_bytes()).collect(),
        Form::Bf16 => pack::bf16(numbers).into_iter().flat_map(u16::to_le_bytes).collect(),
        Form::Q8_0 => pack::q8(numbers),
        Form::Q4K => q4k::pack(numbers),
    }
}

/// A matrix [out, in].
pub(crate) struct Matrix {
    shape: [usize; 2],
    numbers: Numbers,
}

/// A matrix that is being looked at, [out, in].
#[derive(Clone, Copy)]
pub(crate) struct View<'a> {
    pub shape: [usize; 2],
    numbers: Seen<'a>,
}

#[derive(Clone, Copy)]
enum Seen<'a> {
    F32(&'a [f32]),
    Bf16(&'a [u16]),
    Tiled(&'a Tiled),
    Q8(&'a Q8),
    Q4(&'a Q4),
}

enum Numbers {
    F32(Vec<f32>),
    Bf16(Vec<u16>),
    /// In bf16 as well.
    Tiled(Tiled),
    Q8(Q8),
    Q4(Q4),
}

impl Matrix {
    /// Numbers in a form; in the nearest that fits where rows are not whole blocks.
    pub(crate) fn new(numbers: &[f32], shape: [usize; 2], form: Form) -> Self {
        let numbers = match form.fitting(shape[1]) {
            Form::F32 => Numbers::F32(numbers.to_vec()),
            Form::Bf16 if tiles::available() => Numbers::Tiled(Tiled::new(numbers, shape)),
            Form::Bf16 => Numbers::Bf16(pack::bf16(numbers)),
            Form::Q8_0 => Numbers::Q8(Q8::new(&pack::q8(numbers), shape)),
            Form::Q4K => Numbers::Q4(Q4::new(&q4k::pack(numbers), shape)),
        };
        Self { shape, numbers }
    }

    /// Blocks as they lie in a GGUF file.
    pub(crate) fn from_blocks(blocks: &[u8], shape: [usize; 2], form: Form) -> Option<Self> {
        let numbers = match form {
            Form::Q8_0 if shape[1].is_multiple_of(BLOCK) => Numbers::Q8(Q8::new(blocks, shape)),
            Form::Q4K if shape[1].is_multiple_of(SUPER) => Numbers::Q4(Q4::new(blocks, shape)),
            _ => return None,
        };
        Some(Self { shape, numbers })
    }

    pub(crate) fn n_numbers(&self) -> usize {
        self.shape[0] * self.shape[1]
    }

    /// Bytes held.
    pub(crate) fn size_bytes(&self) -> usize {
        match &self.numbers {
            Numbers::F32(numbers) => numbers.len() * 4,
            Numbers::Bf16(numbers) => numbers.len() * 2,
            Numbers::Tiled(panels) => panels.size_bytes(),
            Numbers::Q8(panels) => panels.size_bytes(),
            Numbers::Q4(panels) => panels.size_bytes(),
        }
    }

    pub(crate) fn view(&self) -> View<'_> {
        let numbers = match &self.numbers {
            Numbers::F32(numbers) => Seen::F32(numbers),
            Numbers::Bf16(numbers) => Seen::Bf16(numbers),
            Numbers::Tiled(panels) => Seen::Tiled(panels),
            Numbers::Q8(panels) => Seen::Q8(panels),
            Numbers::Q4(panels) => Seen::Q4(panels),
        };
        View { shape: self.shape, numbers }
    }

    /// The numbers of a row.
    pub(crate) fn row(&self, row: usize, out: &mut Vec<f32>) {
        let width = self.shape[1];
        let (start, end) = (row * width, (row + 1) * width);
        match &self.numbers {
            Numbers::F32(numbers) => out.extend_from_slice(&numbers[start..end]),
            Numbers::Bf16(numbers) => out.extend(numbers[start..end].iter().map(|x| from_bf16(*x))),
            Numbers::Tiled(panels) => panels.row(row, width, out),
            Numbers::Q8(panels) => panels.row(row, width, out),
            Numbers::Q4(panels) => panels.row(row, width, out),
        }
    }
}

impl Matrix {
    /// Rows by number, [n, in].
    pub(crate) fn rows(&self, ids: &[u32]) -> Result<Tensor> {
        let mut out = Vec::with_capacity(ids.len() * self.shape[1]);
        for id in ids {
            if *id as usize >= self.shape[0] {
                let message = format!("row {id} asked of a table of {} rows", self.shape[0]);
                return Err(Error::new(Kind::BadInput, message));
            }
            self.row(*id as usize, &mut out);
        }
        Ok(tensor(out, (ids.len(), self.shape[1]))?)
    }
}

impl<'a> View<'a> {
    /// A matrix in f32 that lies somewhere else.
    pub(crate) fn full(numbers: &'a [f32], shape: [usize; 2]) -> Self {
        assert!(numbers.len() >= shape[0] * shape[1], "a matrix of {shape:?} in {} numbers", numbers.len());
        Self { shape, numbers: Seen::F32(numbers) }
    }

    /// Bytes of a row.
    fn row_bytes(&self) -> usize {
        let width = self.shape[1];
        match self.numbers {
            Seen::F32(_) => width * 4,
            Seen::Bf16(_) | Seen::Tiled(_) => width * 2,
            Seen::Q8(_) => width + width / BLOCK * 2,
            Seen::Q4(_) => width / SUPER * size_of::<panel::Q4Block>() / LANES,
        }
    }

    /// Dot products of so many of its rows, from `first` on, which begins a panel, with every row of x: `out[i]` becomes those
    /// with x's row i.
    fn dots(self, x: &Rows, first: usize, out: &mut [&mut [f32]]) {
        if let Seen::Tiled(panels) = self.numbers {
            return panels.dots(x, first, out);
        }
        #[cfg(target_arch = "x86_64")]
        if vectors::available() {
            return vectors::dots(self, x, first, out);
        }
        plain::dots(self, x, first, out);
    }
}

/// y = x Wᵀ of several matrices and one x, [rows, width]: [rows, out] for each.
pub(crate) fn times(x: &[f32], width: usize, matrices: &[View]) -> Vec<Vec<f32>> {
    let x = &Rows::new(x, width, matrices);
    let mut outs: Vec<Vec<f32>> = matrices.iter().map(|matrix| vec![0f32; x.n_rows() * matrix.shape[0]]).collect();
    // One task is some rows of one matrix; each writes columns of its own in every row of the result.
    let mut tasks = Vec::new();
    for (matrix, out) in matrices.iter().zip(&mut outs) {
        let n_out = matrix.shape[0];
        let each = rows_of_a_task(*matrix, x.n_rows());
        let mut lines: Vec<_> = out.chunks_exact_mut(n_out.max(1)).map(|line| line.chunks_mut(each)).collect();
        for first in (0..n_out).step_by(each) {
            let columns: Vec<&mut [f32]> = lines.iter_mut().filter_map(Iterator::next).collect();
            tasks.push((*matrix, first, columns));
        }
    }
    team::each(tasks, |(matrix, first, mut columns)| matrix.dots(x, first, &mut columns));
    outs
}

/// Rows of a matrix that one task multiplies: several tasks for each thread, and a task's rows stay in the cache while all of x
/// passes by.
fn rows_of_a_task(matrix: View, n_rows: usize) -> usize {
    let n_out = matrix.shape[0];
    let most = if n_rows > MANY { TASK_BYTES / matrix.row_bytes().max(1) } else { n_out };
    (n_out.div_ceil(4 * team::size())).clamp(1, most.max(1)).next_multiple_of(PANEL)
}

#[cfg(test)]
mod tests;
