//! Numbers into bf16 and `Q8_0`, and back.

use super::{BLOCK, Numbers};
use crate::{kernel::rounded_bf16, weights::from_f16};
use half::f16;

/// Bytes of a block in a GGUF file.
const BLOCK_BYTES: usize = 2 + BLOCK;

pub(super) fn bf16(numbers: &[f32]) -> Vec<u16> {
    numbers.iter().map(|x| (rounded_bf16(*x).to_bits() >> 16) as u16).collect()
}

/// Each block by its largest size: x ≈ scale · code with code in −127..127.
pub(super) fn q8(numbers: &[f32]) -> Numbers {
    let mut codes = Vec::with_capacity(numbers.len());
    let mut scales = Vec::with_capacity(numbers.len() / BLOCK);
    for block in numbers.chunks_exact(BLOCK) {
        let scale = block.iter().fold(0f32, |a, x| a.max(x.abs())) / 127.0;
        let inverse = if scale > 0.0 { 1.0 / scale } else { 0.0 };
        codes.extend(block.iter().map(|x| (x * inverse).round().clamp(-127.0, 127.0) as i8));
        scales.push(f16::from_f32(scale).to_bits());
    }
    Numbers::Q8 { codes, scales }
}

/// Blocks of a scale and 32 bytes, as they lie in a file.
pub(super) fn q8_from_blocks(blocks: &[u8]) -> Numbers {
    let mut codes = Vec::with_capacity(blocks.len() / BLOCK_BYTES * BLOCK);
    let mut scales = Vec::with_capacity(blocks.len() / BLOCK_BYTES);
    for block in blocks.chunks_exact(BLOCK_BYTES) {
        scales.push(u16::from_le_bytes([block[0], block[1]]));
        codes.extend(block[2..].iter().map(|byte| i8::from_le_bytes([*byte])));
    }
    Numbers::Q8 { codes, scales }
}

pub(super) fn q8_row(codes: &[i8], scales: &[u16], out: &mut Vec<f32>) {
    for (codes, scale) in codes.chunks_exact(BLOCK).zip(scales) {
        let scale = from_f16(*scale);
        out.extend(codes.iter().map(|code| f32::from(*code) * scale));
    }
}
