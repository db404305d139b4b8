//! The products without special instructions: for processors that have none, and as what the others are held against.

use super::{
    BLOCK, Rows, SUPER, Seen, View,
    panel::{BIAS, LANES, Line, Q4Block},
    q4k,
    rows::{Group, QUAD, QUADS},
};
use crate::{
    kernel::{dot, rounded_bf16, wide},
    weights::{from_bf16, from_f16},
};

/// See [`View::dots`].
pub(super) fn dots(matrix: View, x: &Rows, first: usize, out: &mut [&mut [f32]]) {
    let width = matrix.shape[1];
    let n = out.first().map_or(0, |line| line.len());
    wide!({
        match matrix.numbers {
            Seen::F32(numbers) => {
                for i in 0..n {
                    let w = &numbers[(first + i) * width..][..width];
                    each(out, i, |line| dot(w, &x.numbers[line * width..][..width]));
                }
            }
            Seen::Bf16(numbers) => {
                let mut w = Vec::new();
                for i in 0..n {
                    w.clear();
                    w.extend(numbers[(first + i) * width..][..width].iter().map(|x| from_bf16(*x)));
                    each(out, i, |line| dot(&w, &x.numbers[line * width..][..width]));
                }
            }
            Seen::Tiled(panels) => {
                let x: Vec<f32> = x.numbers.iter().map(|x| rounded_bf16(*x)).collect();
                let mut w = Vec::new();
                for i in 0..n {
                    w.clear();
                    panels.row(first + i, width, &mut w);
                    each(out, i, |line| dot(&w, &x[line * width..][..width]));
                }
            }
            Seen::Q8(panels) => {
                let n_blocks = width / BLOCK;
                in_panels(x, out, |i, group, m, line| {
                    let at = (first + i) / LANES * n_blocks;
                    let codes = &panels.codes[at * QUADS..][..n_blocks * QUADS];
                    q8(codes, &panels.scales[at..][..n_blocks], group, (m, line))
                });
            }
            Seen::Q4(panels) => {
                let n_blocks = width / SUPER;
                in_panels(x, out, |i, group, m, line| {
                    q4(&panels.0[(first + i) / LANES * n_blocks..][..n_blocks], group, (m, line))
                });
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

/// Panel after panel: `of` gives the products of the rows from i on with one row of a group of so many.
#[inline(always)]
fn in_panels(x: &Rows, out: &mut [&mut [f32]], of: impl Fn(usize, Group, usize, usize) -> [f32; LANES]) {
    for (lines, group) in x.rounded().groups() {
        let m = lines.len();
        for (line, out) in out[lines].iter_mut().enumerate() {
            for (panel, out) in out.chunks_mut(LANES).enumerate() {
                let sums = of(panel * LANES, group, m, line);
                out.copy_from_slice(&sums[..out.len()]);
            }
        }
    }
}

#[inline(always)]
fn q8(codes: &[Line], scales: &[[u16; LANES]], x: Group, (m, line): (usize, usize)) -> [f32; LANES] {
    let mut sums = [0f32; LANES];
    for (b, scales) in scales.iter().enumerate() {
        let mut whole = [-i32::from(BIAS) * x.sums[b * m + line]; LANES];
        for q in 0..QUADS {
            add(&mut whole, codes[b * QUADS + q].0, x.quads[(b * QUADS + q) * m + line]);
        }
        for r in 0..LANES {
            sums[r] += from_f16(scales[r]) * x.scales[b * m + line] * whole[r] as f32;
        }
    }
    sums
}

#[inline(always)]
fn q4(blocks: &[Q4Block], x: Group, (m, line): (usize, usize)) -> [f32; LANES] {
    let mut sums = [0f32; LANES];
    for (s, block) in blocks.iter().enumerate() {
        let [d, low] = block.scales.map(|scales| scales.map(from_f16));
        for part in 0..q4k::PARTS {
            let b = s * q4k::PARTS + part;
            let mut whole = [0; LANES];
            for q in 0..QUADS {
                let codes = block.codes[part / 2][q].0.map(|byte| byte >> (part % 2 * 4) & 15);
                add(&mut whole, codes, x.quads[(b * QUADS + q) * m + line]);
            }
            let (scale, sum) = (x.scales[b * m + line], x.sums[b * m + line] as f32);
            for r in 0..LANES {
                let step = d[r] * f32::from(block.steps[part][r]);
                sums[r] += step * scale * whole[r] as f32 - low[r] * f32::from(block.least[part][r]) * scale * sum;
            }
        }
    }
    sums
}

/// Adds the products of a quad of each row with one quad.
#[inline(always)]
fn add(sums: &mut [i32; LANES], codes: [u8; LANES * QUAD], x: [i8; QUAD]) {
    for (sum, codes) in sums.iter_mut().zip(codes.as_chunks::<QUAD>().0) {
        *sum += (0..QUAD).map(|j| i32::from(codes[j]) * i32::from(x[j])).sum::<i32>();
    }
}
