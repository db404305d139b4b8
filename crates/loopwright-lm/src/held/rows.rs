//! Rows that are multiplied with held matrices, as their kernels want them.

use super::BLOCK;
use crate::kernel::wide;

/// Blocks whose scales a kernel reads at a time; the scales of a row are filled up to a whole number of them.
pub(super) const SCALES: usize = 16;

/// Rows [n, width].
pub(crate) struct Rows<'a> {
    pub(super) numbers: &'a [f32],
    pub(super) width: usize,
    /// Present if a matrix wants the rows in 8 bits.
    pub(super) rounded: Option<Rounded>,
}

/// Rows in 8 bits: each block of 32 numbers as signed bytes times a scale.
pub(super) struct Rounded {
    /// Blocks of a row, those that fill it up with zeros among them.
    pub blocks: usize,
    /// [n, blocks · 32]
    pub codes: Vec<i8>,
    /// [n, blocks]
    pub scales: Vec<f32>,
    /// 128 · scale · sum of the block's bytes: [n, blocks].
    pub sums: Vec<f32>,
}

impl<'a> Rows<'a> {
    /// Rows of a width, rounded to 8 bits as well if that is asked for.
    pub(crate) fn new(numbers: &'a [f32], width: usize, in_8_bits: bool) -> Self {
        Self { numbers, width, rounded: in_8_bits.then(|| Rounded::new(numbers, width)) }
    }

    pub(crate) fn n_rows(&self) -> usize {
        self.numbers.len() / self.width.max(1)
    }
}

impl Rounded {
    fn new(numbers: &[f32], width: usize) -> Self {
        let n = numbers.len() / width.max(1);
        let blocks = width.div_ceil(BLOCK).next_multiple_of(SCALES);
        let mut rounded = Self {
            blocks,
            codes: vec![0; n * blocks * BLOCK],
            scales: vec![0.0; n * blocks],
            sums: vec![0.0; n * blocks],
        };
        let rows = numbers.chunks_exact(width.max(1)).zip(rounded.codes.chunks_exact_mut(blocks * BLOCK));
        let rows = rows.zip(rounded.scales.chunks_exact_mut(blocks)).zip(rounded.sums.chunks_exact_mut(blocks));
        wide!({
            for (((row, codes), scales), sums) in rows {
                let parts = row.chunks(BLOCK).zip(codes.chunks_exact_mut(BLOCK)).zip(scales).zip(sums);
                for (((part, codes), scale), sum) in parts {
                    (*scale, *sum) = round(part, codes);
                }
            }
        });
        rounded
    }
}

/// Rounds a block; gives its scale and its sum.
#[inline(always)]
fn round(part: &[f32], codes: &mut [i8]) -> (f32, f32) {
    let mut block = [0f32; BLOCK];
    block[..part.len()].copy_from_slice(part);
    let mut largest = [0f32; 16];
    for half in block.as_chunks::<16>().0 {
        for i in 0..16 {
            largest[i] = if half[i].abs() > largest[i] { half[i].abs() } else { largest[i] };
        }
    }
    let largest = largest.iter().fold(0f32, |a, b| if *b > a { *b } else { a });
    let scale = largest / 127.0;
    let inverse = if scale > 0.0 { 1.0 / scale } else { 0.0 };
    let mut sum = 0i32;
    for i in 0..BLOCK {
        // To the nearest, by adding and taking off 1.5·2²³; what is not a number becomes 0, and shows in the scale.
        let shifted = block[i] * inverse + 12_582_912.0;
        let code = (shifted.to_bits() as i32).wrapping_sub(0x4b40_0000).clamp(-127, 127);
        codes[i] = code as i8;
        sum += code;
    }
    // A NaN passes every comparison above unseen.
    let scale = if part.iter().all(|x| x.is_finite()) { scale } else { f32::NAN };
    (scale, scale * (128 * sum) as f32)
}
