//! The products with 512-bit vectors and their instructions for bytes (AVX-512 VNNI).
//!
//! A kernel takes one row of the matrix and up to four rows of x. Every row of x has sums of its own, added in the same order
//! for any number of rows.

use super::{
    GROUP, Rows, SUPER, SUPER_BYTES, Seen, View, q4k,
    rows::{Rounded, SCALES},
};
use std::{arch::x86_64::*, sync::OnceLock};

/// Whether this processor has the instructions.
pub(super) fn available() -> bool {
    static AVAILABLE: OnceLock<bool> = OnceLock::new();
    *AVAILABLE.get_or_init(|| {
        is_x86_feature_detected!("avx512f")
            && is_x86_feature_detected!("avx512bw")
            && is_x86_feature_detected!("avx512vl")
            && is_x86_feature_detected!("avx512dq")
            && is_x86_feature_detected!("avx512vnni")
            && is_x86_feature_detected!("f16c")
            && is_x86_feature_detected!("fma")
    })
}

/// See [`View::dots`]. Only where [`available`].
pub(super) fn dots(matrix: View, x: &Rows, first: usize, out: &mut [&mut [f32]]) {
    assert_eq!(x.width, matrix.shape[1], "rows of another width");
    let mut line = 0;
    for group in out.chunks_mut(GROUP) {
        match group.len() {
            1 => lines::<1>(matrix, x, (first, line), group),
            2 => lines::<2>(matrix, x, (first, line), group),
            3 => lines::<3>(matrix, x, (first, line), group),
            _ => lines::<GROUP>(matrix, x, (first, line), group),
        }
        line += group.len();
    }
}

/// The dot products of N rows of x from `line` on.
#[allow(unsafe_code)]
fn lines<const N: usize>(matrix: View, x: &Rows, (first, line): (usize, usize), out: &mut [&mut [f32]]) {
    let n = out.first().map_or(0, |out| out.len());
    assert!(first + n <= matrix.shape[0] && line + N <= x.n_rows(), "rows outside of the matrix");
    let width = x.width;
    for i in 0..n {
        let row = first + i;
        // SAFETY: the processor has the instructions, as `dots` is called only then. The assertion above and the lengths that
        // `Matrix::new` and `Rounded::new` give to their parts (whole rows, and room behind the last for one vector) keep all
        // reads inside of them.
        let sums = unsafe {
            match matrix.numbers {
                Seen::F32(numbers) => f32s::<N>(numbers.as_ptr().add(row * width), width, plain::<N>(x, line)),
                Seen::Bf16(numbers) => bf16s::<N>(numbers.as_ptr().add(row * width), width, plain::<N>(x, line)),
                Seen::Q8 { codes, scales } => {
                    let blocks = width / super::BLOCK;
                    let w = (codes.as_ptr().add(row * width), scales.as_ptr().add(row * blocks));
                    q8s::<N>(w, blocks, rounded::<N>(x, line))
                }
                Seen::Q4(numbers) => {
                    let supers = width / SUPER;
                    q4s::<N>(numbers.as_ptr().add(row * supers * SUPER_BYTES), supers, rounded::<N>(x, line))
                }
            }
        };
        for (out, sum) in out.iter_mut().zip(sums) {
            out[i] = sum;
        }
    }
}

/// Where N rows of x begin.
fn plain<const N: usize>(x: &Rows, line: usize) -> [*const f32; N] {
    std::array::from_fn(|i| x.numbers[(line + i) * x.width..].as_ptr())
}

/// A row of x in 8 bits.
#[derive(Clone, Copy)]
struct Row {
    codes: *const i8,
    scales: *const f32,
    sums: *const f32,
}

fn rounded<const N: usize>(x: &Rows, line: usize) -> [Row; N] {
    let Rounded { blocks, codes, scales, sums } =
        x.rounded.as_ref().expect("rows for matrices in few bits are rounded when they are made");
    std::array::from_fn(|i| {
        let at = (line + i) * blocks;
        Row { codes: codes[at * super::BLOCK..].as_ptr(), scales: scales[at..].as_ptr(), sums: sums[at..].as_ptr() }
    })
}

/// Up to 16 lanes of the rest of a row.
fn mask(rest: usize) -> __mmask16 {
    if rest >= 16 { 0xffff } else { (1u16 << rest) - 1 }
}

/// # Safety
/// `w` and each of `x` hold `width` numbers.
#[allow(unsafe_code)]
#[target_feature(enable = "avx512f,fma")]
unsafe fn f32s<const N: usize>(w: *const f32, width: usize, x: [*const f32; N]) -> [f32; N] {
    let mut even = [_mm512_setzero_ps(); N];
    let mut odd = [_mm512_setzero_ps(); N];
    let mut at = 0;
    unsafe {
        while at + 32 <= width {
            let (w0, w1) = (_mm512_loadu_ps(w.add(at)), _mm512_loadu_ps(w.add(at + 16)));
            for i in 0..N {
                even[i] = _mm512_fmadd_ps(w0, _mm512_loadu_ps(x[i].add(at)), even[i]);
                odd[i] = _mm512_fmadd_ps(w1, _mm512_loadu_ps(x[i].add(at + 16)), odd[i]);
            }
            at += 32;
        }
        while at < width {
            let lanes = mask(width - at);
            let w0 = _mm512_maskz_loadu_ps(lanes, w.add(at));
            for i in 0..N {
                even[i] = _mm512_fmadd_ps(w0, _mm512_maskz_loadu_ps(lanes, x[i].add(at)), even[i]);
            }
            at += 16;
        }
    }
    std::array::from_fn(|i| _mm512_reduce_add_ps(_mm512_add_ps(even[i], odd[i])))
}

/// # Safety
/// `w` and each of `x` hold `width` numbers.
#[allow(unsafe_code)]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,fma")]
unsafe fn bf16s<const N: usize>(w: *const u16, width: usize, x: [*const f32; N]) -> [f32; N] {
    let widen = |bits: __m256i| _mm512_castsi512_ps(_mm512_slli_epi32::<16>(_mm512_cvtepu16_epi32(bits)));
    let mut even = [_mm512_setzero_ps(); N];
    let mut odd = [_mm512_setzero_ps(); N];
    let mut at = 0;
    unsafe {
        while at + 32 <= width {
            let both = _mm512_loadu_si512(w.add(at).cast());
            let (w0, w1) = (widen(_mm512_castsi512_si256(both)), widen(_mm512_extracti64x4_epi64::<1>(both)));
            for i in 0..N {
                even[i] = _mm512_fmadd_ps(w0, _mm512_loadu_ps(x[i].add(at)), even[i]);
                odd[i] = _mm512_fmadd_ps(w1, _mm512_loadu_ps(x[i].add(at + 16)), odd[i]);
            }
            at += 32;
        }
        while at < width {
            let lanes = mask(width - at);
            let w0 = widen(_mm256_maskz_loadu_epi16(lanes, w.add(at).cast()));
            for i in 0..N {
                even[i] = _mm512_fmadd_ps(w0, _mm512_maskz_loadu_ps(lanes, x[i].add(at)), even[i]);
            }
            at += 16;
        }
    }
    std::array::from_fn(|i| _mm512_reduce_add_ps(_mm512_add_ps(even[i], odd[i])))
}

/// Lanes 0 to 7 from one place, 8 to 15 from the next.
#[target_feature(enable = "avx512f")]
fn pair_of(first: i32) -> __m512i {
    let steps = _mm512_setr_epi32(0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1);
    _mm512_add_epi32(steps, _mm512_set1_epi32(first))
}

/// The instruction multiplies unsigned bytes by signed ones: 128 is added to each byte of the matrix and taken off in the end,
/// by way of the sums that come with x.
///
/// # Safety
/// `w` holds `blocks` blocks and their scales, with room for a vector behind the last; each of `x` as many, filled up to a
/// whole number of [`SCALES`].
#[allow(unsafe_code)]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni,f16c,fma")]
unsafe fn q8s<const N: usize>((w, scales): (*const i8, *const u16), blocks: usize, x: [Row; N]) -> [f32; N] {
    let flip = _mm512_set1_epi8(-128);
    let mut sums = [_mm512_setzero_ps(); N];
    let mut off = [_mm512_setzero_ps(); N];
    let mut first = 0;
    while first < blocks {
        let n = (blocks - first).min(SCALES);
        unsafe {
            let halves = _mm256_maskz_loadu_epi16(mask(n), scales.add(first).cast());
            let of_w = _mm512_cvtph_ps(halves);
            let mut of_both = [_mm512_setzero_ps(); N];
            for i in 0..N {
                of_both[i] = _mm512_mul_ps(of_w, _mm512_loadu_ps(x[i].scales.add(first)));
                off[i] = _mm512_fmadd_ps(of_w, _mm512_loadu_ps(x[i].sums.add(first)), off[i]);
            }
            let mut step = 0;
            while step < n {
                let at = (first + step) * super::BLOCK;
                let codes = _mm512_xor_si512(_mm512_loadu_si512(w.add(at).cast()), flip);
                let lanes = pair_of(step as i32);
                for i in 0..N {
                    let of_x = _mm512_loadu_si512(x[i].codes.add(at).cast());
                    let whole = _mm512_cvtepi32_ps(_mm512_dpbusd_epi32(_mm512_setzero_si512(), codes, of_x));
                    sums[i] = _mm512_fmadd_ps(whole, _mm512_permutexvar_ps(lanes, of_both[i]), sums[i]);
                }
                step += 2;
            }
        }
        first += SCALES;
    }
    std::array::from_fn(|i| _mm512_reduce_add_ps(_mm512_sub_ps(sums[i], off[i])))
}

/// # Safety
/// `w` holds `supers` blocks; each of `x` as many numbers, filled up to a whole number of [`SCALES`] blocks.
#[allow(unsafe_code)]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512vnni,f16c,fma")]
unsafe fn q4s<const N: usize>(w: *const u8, supers: usize, x: [Row; N]) -> [f32; N] {
    let low_half = _mm256_set1_epi8(15);
    let mut sums = [_mm512_setzero_ps(); N];
    let mut off = [_mm256_setzero_ps(); N];
    for s in 0..supers {
        unsafe {
            let block = w.add(s * SUPER_BYTES);
            let bytes = std::slice::from_raw_parts(block, q4k::CODES);
            let (d, m) = q4k_scales(block);
            let (scales, least) = q4k::parts(&bytes[4..]);
            let widen =
                |parts: [u8; 8]| _mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(_mm_cvtsi64_si128(i64::from_le_bytes(parts))));
            let steps = _mm256_mul_ps(widen(scales), d);
            // The sums of x are 128 times too large.
            let lows = _mm256_mul_ps(widen(least), _mm256_mul_ps(m, _mm256_set1_ps(1.0 / 128.0)));
            let mut of_both = [_mm512_setzero_ps(); N];
            for i in 0..N {
                let of_x = _mm256_mul_ps(steps, _mm256_loadu_ps(x[i].scales.add(s * q4k::PARTS)));
                of_both[i] = _mm512_castps256_ps512(of_x);
                off[i] = _mm256_fmadd_ps(lows, _mm256_loadu_ps(x[i].sums.add(s * q4k::PARTS)), off[i]);
            }
            for pair in 0..q4k::PARTS / 2 {
                let both = _mm256_loadu_si256(block.add(q4k::CODES + pair * 32).cast());
                let low = _mm256_and_si256(both, low_half);
                let high = _mm256_and_si256(_mm256_srli_epi16::<4>(both), low_half);
                let codes = _mm512_inserti64x4::<1>(_mm512_castsi256_si512(low), high);
                let lanes = pair_of(2 * pair as i32);
                for i in 0..N {
                    let of_x = _mm512_loadu_si512(x[i].codes.add(s * SUPER + pair * 64).cast());
                    let whole = _mm512_cvtepi32_ps(_mm512_dpbusd_epi32(_mm512_setzero_si512(), codes, of_x));
                    sums[i] = _mm512_fmadd_ps(whole, _mm512_permutexvar_ps(lanes, of_both[i]), sums[i]);
                }
            }
        }
    }
    std::array::from_fn(|i| {
        let (low, high) = (_mm512_castps512_ps256(sums[i]), _mm512_extractf32x8_ps::<1>(sums[i]));
        let sum = _mm256_sub_ps(_mm256_add_ps(low, high), off[i]);
        // Zeros in the upper half change no sum.
        _mm512_reduce_add_ps(_mm512_zextps256_ps512(sum))
    })
}

/// The two scales of a block, each in all lanes.
///
/// # Safety
/// `block` holds at least 16 bytes.
#[allow(unsafe_code)]
#[target_feature(enable = "avx512f,avx512vl,f16c")]
unsafe fn q4k_scales(block: *const u8) -> (__m256, __m256) {
    let both = unsafe { _mm_cvtph_ps(_mm_loadl_epi64(block.cast())) };
    (_mm256_broadcastss_ps(both), _mm256_broadcastss_ps(_mm_permute_ps::<1>(both)))
}
