//! Numbers into bf16 and `Q8_0`.

use super::BLOCK;
use crate::kernel::rounded_bf16;
use half::f16;

/// Bytes of a block of `Q8_0` in a GGUF file: a scale in half precision and 32 signed bytes.
pub(super) const Q8_BYTES: usize = 2 + BLOCK;

pub(super) fn bf16(numbers: &[f32]) -> Vec<u16> {
    numbers.iter().map(|x| (rounded_bf16(*x).to_bits() >> 16) as u16).collect()
}

/// Each block by its largest size: x ≈ scale · code with code in −127..127.
pub(super) fn q8(numbers: &[f32]) -> Vec<u8> {
    let mut blocks = Vec::with_capacity(numbers.len() / BLOCK * Q8_BYTES);
    for block in numbers.chunks_exact(BLOCK) {
        let scale = block.iter().fold(0f32, |a, x| a.max(x.abs())) / 127.0;
        let inverse = if scale > 0.0 { 1.0 / scale } else { 0.0 };
        blocks.extend(f16::from_f32(scale).to_bits().to_le_bytes());
        blocks.extend(block.iter().map(|x| ((x * inverse).round().clamp(-127.0, 127.0) as i8).cast_unsigned()));
    }
    blocks
}
