//! `Q4_K`: 256 numbers in 144 bytes. Two half-precision scales d and m, 8 pairs of 6-bit numbers (s, l), one for each 32
//! numbers, and a 4-bit code q for each number: x ≈ d·s·q − m·l. Of each 64 numbers the first 32 are the low halves of 32
//! bytes, the others the high halves.

use super::{BLOCK, SUPER, SUPER_BYTES};
use crate::weights::from_f16;
use half::f16;

/// Parts of a block that have a scale and a least number of their own.
pub(super) const PARTS: usize = SUPER / BLOCK;

/// Where the codes begin, behind the two scales and the twelve bytes of the parts.
pub(super) const CODES: usize = 16;

/// The greatest code.
const CODE_MAX: f32 = 15.0;

/// The greatest scale or least number of a part.
const PART_MAX: f32 = 63.0;

/// Steps that are tried for a part, around the one that its range asks for.
const TRIES: i32 = 20;

/// The scales and least numbers of a block's parts, in 6 bits each.
pub(super) fn parts(bytes: &[u8]) -> ([u8; PARTS], [u8; PARTS]) {
    let (mut scales, mut least) = ([0; PARTS], [0; PARTS]);
    for j in 0..4 {
        scales[j] = bytes[j] & 63;
        least[j] = bytes[j + 4] & 63;
        scales[j + 4] = bytes[j + 8] & 15 | (bytes[j] >> 6) << 4;
        least[j + 4] = bytes[j + 8] >> 4 | (bytes[j + 4] >> 6) << 4;
    }
    (scales, least)
}

fn write_parts(scales: [u8; PARTS], least: [u8; PARTS], out: &mut [u8]) {
    for j in 0..4 {
        out[j] = scales[j] | (scales[j + 4] >> 4) << 6;
        out[j + 4] = least[j] | (least[j + 4] >> 4) << 6;
        out[j + 8] = scales[j + 4] & 15 | least[j + 4] << 4;
    }
}

/// The two scales of a block.
pub(super) fn scales(block: &[u8]) -> (f32, f32) {
    (from_f16(u16::from_le_bytes([block[0], block[1]])), from_f16(u16::from_le_bytes([block[2], block[3]])))
}

/// The numbers of whole blocks.
pub(crate) fn unpack(blocks: &[u8], out: &mut Vec<f32>) {
    for block in blocks.chunks_exact(SUPER_BYTES) {
        let (d, m) = scales(block);
        let (scales, least) = parts(&block[4..CODES]);
        for (pair, codes) in block[CODES..].chunks_exact(BLOCK).enumerate() {
            for (part, shift) in [(2 * pair, 0), (2 * pair + 1, 4)] {
                let (step, low) = (d * f32::from(scales[part]), m * f32::from(least[part]));
                out.extend(codes.iter().map(|byte| step * f32::from(byte >> shift & 15) - low));
            }
        }
    }
}

/// Numbers in whole blocks.
pub(super) fn pack(numbers: &[f32]) -> Vec<u8> {
    let mut out = vec![0u8; numbers.len() / SUPER * SUPER_BYTES];
    for (block, numbers) in out.chunks_exact_mut(SUPER_BYTES).zip(numbers.chunks_exact(SUPER)) {
        pack_block(numbers, block);
    }
    out
}

fn pack_block(numbers: &[f32], out: &mut [u8]) {
    let fits: Vec<(f32, f32)> = numbers.chunks_exact(BLOCK).map(fit).collect();
    let largest = |of: fn(&(f32, f32)) -> f32| fits.iter().map(of).fold(0f32, f32::max) / PART_MAX;
    let (d, m) = (f16::from_f32(largest(|fit| fit.0)), f16::from_f32(largest(|fit| fit.1)));
    out[..2].copy_from_slice(&d.to_bits().to_le_bytes());
    out[2..4].copy_from_slice(&m.to_bits().to_le_bytes());
    let (d, m) = (d.to_f32(), m.to_f32());
    let share = |x: f32, of: f32| if of > 0.0 { (x / of).round().clamp(0.0, PART_MAX) as u8 } else { 0 };
    let (mut steps, mut least) = ([0; PARTS], [0; PARTS]);
    for (j, (step, low)) in fits.iter().enumerate() {
        (steps[j], least[j]) = (share(*step, d), share(*low, m));
    }
    write_parts(steps, least, &mut out[4..CODES]);
    for (j, part) in numbers.chunks_exact(BLOCK).enumerate() {
        // Codes go with the scales as they will be read.
        let (step, low) = (d * f32::from(steps[j]), m * f32::from(least[j]));
        let codes = &mut out[CODES + j / 2 * BLOCK..][..BLOCK];
        for (x, byte) in part.iter().zip(codes) {
            *byte |= code(*x + low, step) << (j % 2 * 4);
        }
    }
}

fn code(above: f32, step: f32) -> u8 {
    // To the nearest: the cast cuts off, and takes what is below 0 for 0.
    if step > 0.0 { (above / step + 0.5).min(CODE_MAX) as u8 } else { 0 }
}

/// The step s and the least number −l (l ≥ 0) whose levels s·q − l are nearest to a part, larger numbers weighing more: for
/// each of some steps the codes are chosen, and for the codes the best s and l by least squares.
fn fit(part: &[f32]) -> (f32, f32) {
    let low = part.iter().fold(0f32, |a, x| a.min(*x));
    let high = part.iter().fold(f32::MIN, |a, x| a.max(*x)).max(low);
    if high <= low {
        return (0.0, -low);
    }
    let mean_square = part.iter().map(|x| x * x).sum::<f32>() / part.len() as f32;
    let weight = |x: f32| mean_square.sqrt() + x.abs();
    let mut best = ((high - low) / CODE_MAX, -low);
    let mut least_error = error(part, best, weight);
    for attempt in 0..=TRIES {
        let step = (high - low) / (CODE_MAX - 1.0 + 0.1 * attempt as f32);
        let Some(tried) = least_squares(part, (step, -low), weight) else { continue };
        let tried_error = error(part, tried, weight);
        if tried_error < least_error {
            (best, least_error) = (tried, tried_error);
        }
    }
    best
}

/// The best (s, l) for the codes that a first (s, l) gives.
fn least_squares(part: &[f32], (step, low): (f32, f32), weight: impl Fn(f32) -> f32) -> Option<(f32, f32)> {
    let (mut w, mut wq, mut wqq, mut wx, mut wqx) = (0f32, 0f32, 0f32, 0f32, 0f32);
    for x in part {
        let (weight, q) = (weight(*x), f32::from(code(x + low, step)));
        w += weight;
        wq += weight * q;
        wqq += weight * q * q;
        wx += weight * x;
        wqx += weight * q * x;
    }
    let determinant = w * wqq - wq * wq;
    if determinant <= 0.0 {
        return None;
    }
    let (step, low) = ((w * wqx - wq * wx) / determinant, (wq * wqx - wqq * wx) / determinant);
    // A least number above 0 cannot be told; the step alone then.
    match (step > 0.0, low >= 0.0) {
        (true, true) => Some((step, low)),
        (true, false) if wqq > 0.0 => Some((wqx / wqq, 0.0)),
        _ => None,
    }
}

fn error(part: &[f32], (step, low): (f32, f32), weight: impl Fn(f32) -> f32) -> f32 {
    let off = |x: f32| step * f32::from(code(x + low, step)) - low - x;
    part.iter().map(|x| weight(*x) * off(*x) * off(*x)).sum()
}
