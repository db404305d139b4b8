//! Rows that are multiplied with held matrices, as their kernels want them.

#[cfg(target_arch = "x86_64")]
use super::vectors;
use super::{BLOCK, Seen, View, tiled::Lanes};
use crate::team;
use std::ops::Range;

/// Rows of x that a kernel for few bits takes at a time: their bytes lie side by side.
pub(super) const GROUP: usize = 8;

/// Numbers whose bytes are multiplied together.
pub(super) const QUAD: usize = 4;

/// Quads of a block.
pub(super) const QUADS: usize = BLOCK / QUAD;

/// Rows [n, width].
pub(super) struct Rows<'a> {
    pub(super) numbers: &'a [f32],
    pub(super) width: usize,
    /// Present if a matrix wants the rows in 8 bits.
    pub(super) rounded: Option<Rounded>,
    /// Present if a matrix lies in panels of the tile unit.
    pub(super) lanes: Option<Lanes>,
}

/// Rows in 8 bits: each block of 32 numbers as signed bytes times a scale. Up to [`GROUP`] rows lie together, so that a kernel
/// finds what it wants of each of them at a fixed distance.
pub(super) struct Rounded {
    n: usize,
    /// Blocks of a row.
    blocks: usize,
    /// [group, block, quad, row of the group]
    quads: Vec<[i8; QUAD]>,
    /// [group, block, row of the group]
    scales: Vec<f32>,
    /// Sums of the blocks' bytes: [group, block, row of the group]
    sums: Vec<i32>,
}

/// Some rows that lie together.
#[derive(Clone, Copy)]
pub(super) struct Group<'a> {
    /// [block, quad, row]
    pub quads: &'a [[i8; QUAD]],
    /// [block, row]
    pub scales: &'a [f32],
    /// [block, row]
    pub sums: &'a [i32],
}

impl<'a> Rows<'a> {
    /// Rows of a width as well in the forms that the matrices want.
    pub(super) fn new(numbers: &'a [f32], width: usize, matrices: &[View]) -> Self {
        let in_8_bits = matrices.iter().any(|matrix| matches!(matrix.numbers, Seen::Q8(_) | Seen::Q4(_)));
        let in_tiles = matrices.iter().any(|matrix| matches!(matrix.numbers, Seen::Tiled(_)));
        Self {
            numbers,
            width,
            rounded: in_8_bits.then(|| Rounded::new(numbers, width)),
            lanes: in_tiles.then(|| Lanes::new(numbers, width)),
        }
    }

    pub(super) fn n_rows(&self) -> usize {
        self.numbers.len() / self.width.max(1)
    }

    /// What matrices in few bits are multiplied with.
    pub(super) fn rounded(&self) -> &Rounded {
        self.rounded.as_ref().expect("rows for matrices in few bits are rounded when they are made")
    }
}

impl Rounded {
    fn new(numbers: &[f32], width: usize) -> Self {
        let (n, blocks) = (numbers.len() / width.max(1), width / BLOCK);
        let mut rounded = Self {
            n,
            blocks,
            quads: vec![[0; QUAD]; n * blocks * QUADS],
            scales: vec![0.0; n * blocks],
            sums: vec![0; n * blocks],
        };
        let each = GROUP * blocks;
        let parts = rounded.quads.chunks_mut((each * QUADS).max(1)).zip(rounded.scales.chunks_mut(each.max(1)));
        let parts = parts.zip(rounded.sums.chunks_mut(each.max(1))).zip(numbers.chunks((GROUP * width).max(1)));
        team::each(parts, |(((quads, scales), sums), numbers)| {
            let m = numbers.len() / width;
            for (line, row) in numbers.chunks_exact(width).enumerate() {
                round_row(row, |b, (codes, scale, sum)| {
                    (scales[b * m + line], sums[b * m + line]) = (scale, sum);
                    for (q, quad) in codes.as_chunks::<QUAD>().0.iter().enumerate() {
                        quads[(b * QUADS + q) * m + line] = *quad;
                    }
                });
            }
        });
        rounded
    }

    /// The first row of a row's group, and how many rows it has.
    fn group_of(&self, line: usize) -> (usize, usize) {
        let first = line / GROUP * GROUP;
        (first, GROUP.min(self.n - first))
    }

    /// Groups from the first row on.
    pub(super) fn groups(&self) -> impl Iterator<Item = (Range<usize>, Group<'_>)> {
        (0..self.n).step_by(GROUP).map(|line| {
            let (first, m) = self.group_of(line);
            let parts = first * self.blocks..(first + m) * self.blocks;
            let quads = &self.quads[parts.start * QUADS..parts.end * QUADS];
            (first..first + m, Group { quads, scales: &self.scales[parts.clone()], sums: &self.sums[parts] })
        })
    }
}

/// A block's bytes, its scale, and the sum of its bytes.
pub(super) type Block = ([i8; BLOCK], f32, i32);

/// Rounds a row, block by block.
fn round_row(row: &[f32], mut put: impl FnMut(usize, Block)) {
    #[cfg(target_arch = "x86_64")]
    if vectors::available() {
        return vectors::round_row(row, put);
    }
    for (b, block) in row.as_chunks::<BLOCK>().0.iter().enumerate() {
        put(b, round(block));
    }
}

/// Rounds a block.
pub(super) fn round(block: &[f32; BLOCK]) -> Block {
    let mut largest = [0f32; 16];
    for half in block.as_chunks::<16>().0 {
        for i in 0..16 {
            largest[i] = if half[i].abs() > largest[i] { half[i].abs() } else { largest[i] };
        }
    }
    let largest = largest.iter().fold(0f32, |a, b| if *b > a { *b } else { a });
    let scale = largest / 127.0;
    let inverse = if scale > 0.0 { 1.0 / scale } else { 0.0 };
    let mut codes = [0; BLOCK];
    let mut sum = 0i32;
    for i in 0..BLOCK {
        // To the nearest, by adding and taking off 1.5·2²³; what is not a number becomes 0, and shows in the scale.
        let shifted = block[i] * inverse + 12_582_912.0;
        let code = (shifted.to_bits() as i32).wrapping_sub(0x4b40_0000).clamp(-127, 127);
        codes[i] = code as i8;
        sum += code;
    }
    // A NaN passes every comparison above unseen.
    let scale = if block.iter().all(|x| x.is_finite()) { scale } else { f32::NAN };
    (codes, scale, sum)
}
