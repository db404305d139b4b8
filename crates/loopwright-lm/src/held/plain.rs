//! The products without special instructions: for processors that have none, and as what the others are held against.

use super::{BLOCK, Rows, SUPER, SUPER_BYTES, Seen, View, q4k, rows::Rounded};
use crate::{
    kernel::{dot, wide},
    weights::{from_bf16, from_f16},
};

/// See [`View::dots`].
pub(super) fn dots(matrix: View, x: &Rows, first: usize, out: &mut [&mut [f32]]) {
    let width = matrix.shape[1];
    wide!({
        let mut unpacked = Vec::new();
        for i in 0..out.first().map_or(0, |line| line.len()) {
            let row = first + i;
            match matrix.numbers {
                Seen::F32(numbers) => {
                    let w = &numbers[row * width..(row + 1) * width];
                    each(out, i, |line| dot(w, &x.numbers[line * width..(line + 1) * width]));
                }
                Seen::Bf16(numbers) => {
                    unpacked.clear();
                    unpacked.extend(numbers[row * width..(row + 1) * width].iter().map(|x| from_bf16(*x)));
                    each(out, i, |line| dot(&unpacked, &x.numbers[line * width..(line + 1) * width]));
                }
                Seen::Q8 { codes, scales } => {
                    let (codes, scales) = (&codes[row * width..(row + 1) * width], &scales[row * width / BLOCK..]);
                    with_rounded(x, |x| each(out, i, |line| q8(codes, scales, x, line)));
                }
                Seen::Q4(blocks) => {
                    let bytes = width / SUPER * SUPER_BYTES;
                    let blocks = &blocks[row * bytes..(row + 1) * bytes];
                    with_rounded(x, |x| each(out, i, |line| q4(blocks, x, line)));
                }
            }
        }
    });
}

#[inline(always)]
fn each(out: &mut [&mut [f32]], i: usize, of: impl Fn(usize) -> f32) {
    for (line, out) in out.iter_mut().enumerate() {
        out[i] = of(line);
    }
}

#[inline(always)]
fn with_rounded(x: &Rows, work: impl FnOnce(&Rounded)) {
    work(x.rounded.as_ref().expect("rows for matrices in few bits are rounded when they are made"));
}

#[inline(always)]
fn q8(codes: &[i8], scales: &[u16], x: &Rounded, line: usize) -> f32 {
    let at = line * x.blocks;
    let mut sum = 0f32;
    for (b, w) in codes.chunks_exact(BLOCK).enumerate() {
        let x_codes = &x.codes[(at + b) * BLOCK..][..BLOCK];
        let whole: i32 = w.iter().zip(x_codes).map(|(a, b)| i32::from(*a) * i32::from(*b)).sum();
        sum += from_f16(scales[b]) * x.scales[at + b] * whole as f32;
    }
    sum
}

#[inline(always)]
fn q4(blocks: &[u8], x: &Rounded, line: usize) -> f32 {
    let mut sum = 0f32;
    for (s, block) in blocks.chunks_exact(SUPER_BYTES).enumerate() {
        let (d, m) = q4k::scales(block);
        let (scales, least) = q4k::parts(&block[4..q4k::CODES]);
        for part in 0..q4k::PARTS {
            let at = line * x.blocks + s * q4k::PARTS + part;
            let codes = &block[q4k::CODES + part / 2 * BLOCK..][..BLOCK];
            let x_codes = &x.codes[at * BLOCK..][..BLOCK];
            let shift = part % 2 * 4;
            let whole: i32 = codes.iter().zip(x_codes).map(|(a, b)| i32::from(a >> shift & 15) * i32::from(*b)).sum();
            sum += d * f32::from(scales[part]) * x.scales[at] * whole as f32;
            sum -= m * f32::from(least[part]) * x.sums[at] / 128.0;
        }
    }
    sum
}
