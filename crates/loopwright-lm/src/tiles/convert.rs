//! One tile: numbers read, rounded to bf16, and laid out, with the vector instructions that come with the tile unit.

use super::{
    DEPTH, TILE,
    pack::{Form, Line},
};
use crate::matrix::Mat;
use std::arch::x86_64::*;

/// The lines of a tile.
type Lines = [__m512i; TILE];

/// Packs up to 16 lanes of up to 32 numbers into the first 16 lines.
#[allow(unsafe_code)]
pub(super) fn pack_tile(of: Mat, form: Form, lines: &mut [Line]) {
    assert!(super::available(), "packing for a tile unit that is not there");
    assert!(of.n_rows() <= TILE && of.n_cols() <= DEPTH, "more than a tile holds");
    assert!(lines.len() >= TILE, "a tile leaves its panel");
    // SAFETY: `available` has found the vector instructions; the sizes are checked above, and a `Mat` lies in its slice.
    unsafe { pack(of, form, lines) }
}

#[allow(unsafe_code)]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512bf16")]
unsafe fn pack(of: Mat, form: Form, lines: &mut [Line]) {
    let mut tile: Lines = [_mm512_setzero_si512(); TILE];
    let lies = match of.neighbours_in_rows() {
        true => {
            // SAFETY: as the caller's.
            unsafe { read_rows(of, &mut tile) };
            Form::Rows
        }
        false => {
            // SAFETY: as the caller's.
            unsafe { read_pairs(of, &mut tile) };
            Form::Pairs
        }
    };
    if lies != form {
        transpose(&mut tile);
    }
    for (line, numbers) in lines.iter_mut().zip(tile.iter()) {
        // SAFETY: a line is 64 bytes, and aligned.
        unsafe { _mm512_store_si512(line.0.as_mut_ptr().cast(), *numbers) };
    }
}

/// The lowest `n` of 16.
fn first(n: usize) -> __mmask16 {
    ((1u32 << n.min(16)) - 1) as __mmask16
}

/// A lane to a line.
#[allow(unsafe_code)]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512bf16")]
unsafe fn read_rows(of: Mat, tile: &mut Lines) {
    let n = of.n_cols();
    let (low, high) = (first(n), first(n.saturating_sub(16)));
    for (i, line) in tile.iter_mut().enumerate().take(of.n_rows()) {
        let row = of.row_start(i);
        // SAFETY: the masks let only the row's `n` numbers be read.
        let (x, y) = unsafe { (_mm512_maskz_loadu_ps(low, row), _mm512_maskz_loadu_ps(high, row.wrapping_add(16))) };
        *line = rounded(x, y);
    }
}

/// A pair of neighbours of every lane to a line.
#[allow(unsafe_code)]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512bf16")]
unsafe fn read_pairs(of: Mat, tile: &mut Lines) {
    let (lanes, n) = (first(of.n_rows()), of.n_cols());
    let interleave = _mm512_set_epi16(
        31, 15, 30, 14, 29, 13, 28, 12, 27, 11, 26, 10, 25, 9, 24, 8, 23, 7, 22, 6, 21, 5, 20, 4, 19, 3, 18, 2, 17, 1,
        16, 0,
    );
    for (pair, line) in tile.iter_mut().enumerate().take(n.div_ceil(2)) {
        let odd = if 2 * pair + 1 < n { lanes } else { 0 };
        // SAFETY: the masks let only the numbers of lanes that exist be read, and none of a column that does not.
        let (x, y) = unsafe {
            let even = _mm512_maskz_loadu_ps(lanes, of.column_start(2 * pair));
            (even, _mm512_maskz_loadu_ps(odd, of.column_start((2 * pair + 1).min(n - 1))))
        };
        *line = _mm512_permutexvar_epi16(interleave, rounded(x, y));
    }
}

/// 32 numbers in bf16.
#[inline]
#[allow(unsafe_code)]
#[target_feature(enable = "avx512f,avx512bf16")]
fn rounded(x: __m512, y: __m512) -> __m512i {
    // SAFETY: both are 64 bytes of plain numbers.
    unsafe { std::mem::transmute::<__m512bh, __m512i>(_mm512_cvtne2ps_pbh(y, x)) }
}

/// 16 × 16 pairs of 32 bits, transposed: neighbouring lines by pairs, by quarters, and whole quarters at last.
#[target_feature(enable = "avx512f")]
fn transpose(lines: &mut Lines) {
    let mut a = *lines;
    for i in 0..8 {
        a[2 * i] = _mm512_unpacklo_epi32(lines[2 * i], lines[2 * i + 1]);
        a[2 * i + 1] = _mm512_unpackhi_epi32(lines[2 * i], lines[2 * i + 1]);
    }
    let mut b = a;
    for i in 0..4 {
        b[4 * i] = _mm512_unpacklo_epi64(a[4 * i], a[4 * i + 2]);
        b[4 * i + 1] = _mm512_unpackhi_epi64(a[4 * i], a[4 * i + 2]);
        b[4 * i + 2] = _mm512_unpacklo_epi64(a[4 * i + 1], a[4 * i + 3]);
        b[4 * i + 3] = _mm512_unpackhi_epi64(a[4 * i + 1], a[4 * i + 3]);
    }
    for i in 0..4 {
        let (low, high) =
            (_mm512_shuffle_i32x4::<0x88>(b[i], b[4 + i]), _mm512_shuffle_i32x4::<0x88>(b[8 + i], b[12 + i]));
        lines[i] = _mm512_shuffle_i32x4::<0x88>(low, high);
        lines[8 + i] = _mm512_shuffle_i32x4::<0xdd>(low, high);
        let (low, high) =
            (_mm512_shuffle_i32x4::<0xdd>(b[i], b[4 + i]), _mm512_shuffle_i32x4::<0xdd>(b[8 + i], b[12 + i]));
        lines[4 + i] = _mm512_shuffle_i32x4::<0x88>(low, high);
        lines[12 + i] = _mm512_shuffle_i32x4::<0xdd>(low, high);
    }
}
