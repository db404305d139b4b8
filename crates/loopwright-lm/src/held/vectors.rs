//! The products with 512-bit vectors and their instructions for bytes (AVX-512 VNNI).
//!
//! In f32 and bf16 a kernel takes four rows of the matrix and up to four of x. In few bits it takes a panel of sixteen rows and
//! up to eight of x: a vector holds a quad of each row, and a quad of x goes to all lanes, so no sum is ever taken across
//! lanes. Every row of x has sums of its own, added in the same order for any number of rows.

use super::{
    BLOCK, Rows, SUPER, Seen, View,
    panel::{BIAS, LANES, Line, Q4Block},
    q4k,
    rows::{Block, Group, QUAD, QUADS},
};
use std::{arch::x86_64::*, sync::OnceLock};

/// Rows of the matrix, and at most of x, that a kernel for f32 and bf16 takes.
const TILE: usize = 4;

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
    let n = out.first().map_or(0, |out| out.len());
    let [n_out, width] = matrix.shape;
    assert!(x.width == width && first + n <= n_out && out.len() <= x.n_rows(), "rows outside of the matrix");
    match matrix.numbers {
        Seen::F32(numbers) => tiles(&numbers[first * width..(first + n) * width], x, out),
        Seen::Bf16(numbers) => tiles(&numbers[first * width..(first + n) * width], x, out),
        Seen::Tiled(panels) => panels.dots(x, first, out),
        Seen::Q8(panels) => {
            assert!(first.is_multiple_of(LANES), "rows from within a panel");
            let n_blocks = width / BLOCK;
            let at = first / LANES * n_blocks;
            let codes = panels.codes[at * QUADS..].chunks_exact(n_blocks * QUADS);
            panels_of(codes.zip(panels.scales[at..].chunks_exact(n_blocks)), x, out);
        }
        Seen::Q4(panels) => {
            assert!(first.is_multiple_of(LANES), "rows from within a panel");
            let n_blocks = width / SUPER;
            panels_of(panels.0[first / LANES * n_blocks..].chunks_exact(n_blocks), x, out);
        }
    }
}

// ---- rounding ------------------------------------------------------------------------------------------------------------

/// Rounds a row to 8 bits, block by block, as [`super::rows::round`] does. Only where [`available`].
pub(super) fn round_row(row: &[f32], mut put: impl FnMut(usize, Block)) {
    for (b, block) in row.as_chunks::<BLOCK>().0.iter().enumerate() {
        // SAFETY: called only where the processor has the instructions.
        #[allow(unsafe_code)]
        put(b, unsafe { round(block) });
    }
}

/// # Safety
/// Only where [`available`].
#[allow(unsafe_code)]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq")]
unsafe fn round(block: &[f32; BLOCK]) -> Block {
    // SAFETY: the block has two vectors of sixteen numbers.
    let halves = unsafe { [_mm512_loadu_ps(block.as_ptr()), _mm512_loadu_ps(block.as_ptr().add(LANES))] };
    let largest = _mm512_max_ps(_mm512_abs_ps(halves[0]), _mm512_abs_ps(halves[1]));
    let scale = _mm512_reduce_max_ps(largest) / 127.0;
    let inverse = _mm512_set1_ps(if scale > 0.0 { 1.0 / scale } else { 0.0 });
    let rounded = halves.map(|half| _mm512_cvtps_epi32(_mm512_mul_ps(half, inverse)));
    let sum = _mm512_reduce_add_epi32(_mm512_add_epi32(rounded[0], rounded[1]));
    let mut codes = [0i8; BLOCK];
    for (rounded, codes) in rounded.into_iter().zip(codes.chunks_exact_mut(LANES)) {
        // SAFETY: sixteen bytes are written to as many.
        unsafe { _mm_storeu_si128(codes.as_mut_ptr().cast(), _mm512_cvtsepi32_epi8(rounded)) };
    }
    // Quiet and signalling NaN, and both infinities.
    let is_odd = halves.iter().any(|half| _mm512_fpclass_ps_mask::<0x99>(*half) != 0);
    (codes, if is_odd { f32::NAN } else { scale }, sum)
}

// ---- few bits ------------------------------------------------------------------------------------------------------------

/// A panel that can be multiplied with N rows of x.
trait Panel: Copy {
    /// # Safety
    /// Only where [`available`]; `x` has N rows of the panel's width.
    #[allow(unsafe_code)]
    unsafe fn times<const N: usize>(self, x: Group) -> [__m512; N];
}

fn panels_of<P: Panel>(panels: impl Iterator<Item = P> + Clone, x: &Rows, out: &mut [&mut [f32]]) {
    for (lines, group) in x.rounded().groups() {
        let out = &mut out[lines];
        let panels = panels.clone();
        // SAFETY: `dots` is called only where the processor has the instructions.
        #[allow(unsafe_code)]
        unsafe {
            match out.len() {
                1 => panels_with::<P, 1>(panels, group, out),
                2 => panels_with::<P, 2>(panels, group, out),
                3 => panels_with::<P, 3>(panels, group, out),
                4 => panels_with::<P, 4>(panels, group, out),
                5 => panels_with::<P, 5>(panels, group, out),
                6 => panels_with::<P, 6>(panels, group, out),
                7 => panels_with::<P, 7>(panels, group, out),
                _ => panels_with::<P, 8>(panels, group, out),
            }
        }
    }
}

/// # Safety
/// Only where [`available`].
#[allow(unsafe_code)]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni,f16c,fma")]
unsafe fn panels_with<P: Panel, const N: usize>(panels: impl Iterator<Item = P>, x: Group, out: &mut [&mut [f32]]) {
    assert_eq!(out.len(), N, "rows of a group");
    let n = out[0].len();
    for (at, panel) in (0..n).step_by(LANES).zip(panels) {
        // SAFETY: the processor has the instructions.
        let sums = unsafe { panel.times::<N>(x) };
        let many = (n - at).min(LANES);
        for (out, sums) in out.iter_mut().zip(sums) {
            store(&mut out[at..at + many], sums);
        }
    }
}

/// Writes as many lanes as there are numbers, at most sixteen.
#[target_feature(enable = "avx512f")]
#[inline]
fn store(out: &mut [f32], lanes: __m512) {
    // SAFETY: no more lanes are written than there are numbers.
    #[allow(unsafe_code)]
    match out.len() {
        LANES => unsafe { _mm512_storeu_ps(out.as_mut_ptr(), lanes) },
        n => unsafe { _mm512_mask_storeu_ps(out.as_mut_ptr(), mask(n), lanes) },
    }
}

/// Up to 16 lanes.
fn mask(n: usize) -> __mmask16 {
    if n >= 16 { 0xffff } else { (1u16 << n) - 1 }
}

impl Panel for (&[Line], &[[u16; LANES]]) {
    #[allow(unsafe_code)]
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni,f16c,fma")]
    #[inline]
    unsafe fn times<const N: usize>(self, x: Group) -> [__m512; N] {
        unsafe { q8s(self.0, self.1, x) }
    }
}

impl Panel for &[Q4Block] {
    #[allow(unsafe_code)]
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni,f16c,fma")]
    #[inline]
    unsafe fn times<const N: usize>(self, x: Group) -> [__m512; N] {
        unsafe { q4s(self, x) }
    }
}

/// A quad of x in all lanes.
#[target_feature(enable = "avx512f")]
fn everywhere(quad: [i8; QUAD]) -> __m512i {
    _mm512_set1_epi32(i32::from_ne_bytes(quad.map(i8::cast_unsigned)))
}

/// # Safety
/// Only where [`available`].
#[allow(unsafe_code)]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni,f16c,fma")]
unsafe fn q8s<const N: usize>(codes: &[Line], scales: &[[u16; LANES]], x: Group) -> [__m512; N] {
    let mut sums = [_mm512_setzero_ps(); N];
    let quads = x.quads.as_chunks::<N>().0.as_chunks::<QUADS>().0;
    let of_x = x.scales.as_chunks::<N>().0.iter().zip(x.sums.as_chunks::<N>().0);
    for (((codes, scales), quads), (x_scales, x_sums)) in
        codes.as_chunks::<QUADS>().0.iter().zip(scales).zip(quads).zip(of_x)
    {
        // The bias of the codes is taken off before it is added.
        let mut whole: [__m512i; N] =
            std::array::from_fn(|i| _mm512_set1_epi32(x_sums[i].wrapping_mul(-i32::from(BIAS))));
        for (codes, quads) in codes.iter().zip(quads) {
            // SAFETY: a line is 64 bytes.
            let codes = unsafe { _mm512_loadu_si512(codes.0.as_ptr().cast()) };
            for i in 0..N {
                whole[i] = _mm512_dpbusd_epi32(whole[i], codes, everywhere(quads[i]));
            }
        }
        // SAFETY: sixteen numbers of 16 bits are 32 bytes.
        let of_w = unsafe { _mm512_cvtph_ps(_mm256_loadu_si256(scales.as_ptr().cast())) };
        for i in 0..N {
            let scale = _mm512_mul_ps(of_w, _mm512_set1_ps(x_scales[i]));
            sums[i] = _mm512_fmadd_ps(_mm512_cvtepi32_ps(whole[i]), scale, sums[i]);
        }
    }
    sums
}

/// # Safety
/// Only where [`available`].
#[allow(unsafe_code)]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni,f16c,fma")]
unsafe fn q4s<const N: usize>(blocks: &[Q4Block], x: Group) -> [__m512; N] {
    let low_half = _mm512_set1_epi8(15);
    let mut sums = [_mm512_setzero_ps(); N];
    let quads = x.quads.as_chunks::<N>().0.as_chunks::<QUADS>().0.as_chunks::<{ q4k::PARTS }>().0;
    let x_scales = x.scales.as_chunks::<N>().0.as_chunks::<{ q4k::PARTS }>().0;
    let x_sums = x.sums.as_chunks::<N>().0.as_chunks::<{ q4k::PARTS }>().0;
    for (((block, quads), x_scales), x_sums) in blocks.iter().zip(quads).zip(x_scales).zip(x_sums) {
        // SAFETY: sixteen numbers of 16 bits are 32 bytes, sixteen of 8 bits are 16.
        let [d, m] =
            block.scales.each_ref().map(|it| unsafe { _mm512_cvtph_ps(_mm256_loadu_si256(it.as_ptr().cast())) });
        let widen =
            |it: &[u8; LANES]| _mm512_cvtepi32_ps(_mm512_cvtepu8_epi32(unsafe { _mm_loadu_si128(it.as_ptr().cast()) }));
        for (pair, codes) in block.codes.iter().enumerate() {
            let mut whole = [[_mm512_setzero_si512(); N]; 2];
            for (q, codes) in codes.iter().enumerate() {
                // SAFETY: a line is 64 bytes.
                let both = unsafe { _mm512_loadu_si512(codes.0.as_ptr().cast()) };
                let halves = [both, _mm512_srli_epi16::<4>(both)].map(|half| _mm512_and_si512(half, low_half));
                for (half, whole) in whole.iter_mut().enumerate() {
                    for i in 0..N {
                        let of_x = everywhere(quads[2 * pair + half][q][i]);
                        whole[i] = _mm512_dpbusd_epi32(whole[i], halves[half], of_x);
                    }
                }
            }
            for (half, whole) in whole.iter().enumerate() {
                let part = 2 * pair + half;
                let step = _mm512_mul_ps(widen(&block.steps[part]), d);
                let low = _mm512_mul_ps(widen(&block.least[part]), m);
                for i in 0..N {
                    // (step · code − low) · x, summed over the part.
                    let products = _mm512_mul_ps(_mm512_cvtepi32_ps(whole[i]), step);
                    let products = _mm512_fnmadd_ps(low, _mm512_set1_ps(x_sums[part][i] as f32), products);
                    sums[i] = _mm512_fmadd_ps(products, _mm512_set1_ps(x_scales[part][i]), sums[i]);
                }
            }
        }
    }
    sums
}

// ---- f32 and bf16 --------------------------------------------------------------------------------------------------------

/// A number of a matrix that is widened when it is multiplied.
trait Number: Copy {
    /// # Safety
    /// Only where [`available`]; the lanes that `lanes` names can be read.
    #[allow(unsafe_code)]
    unsafe fn read(at: *const Self, lanes: __mmask16) -> __m512;
}

impl Number for f32 {
    #[allow(unsafe_code)]
    #[target_feature(enable = "avx512f")]
    #[inline]
    unsafe fn read(at: *const Self, lanes: __mmask16) -> __m512 {
        unsafe { _mm512_maskz_loadu_ps(lanes, at) }
    }
}

impl Number for u16 {
    /// bf16 is the upper half of f32.
    #[allow(unsafe_code)]
    #[target_feature(enable = "avx512f,avx512bw,avx512vl")]
    #[inline]
    unsafe fn read(at: *const Self, lanes: __mmask16) -> __m512 {
        let bits = unsafe { _mm256_maskz_loadu_epi16(lanes, at.cast()) };
        _mm512_castsi512_ps(_mm512_slli_epi32::<16>(_mm512_cvtepu16_epi32(bits)))
    }
}

fn tiles<W: Number>(w: &[W], x: &Rows, out: &mut [&mut [f32]]) {
    for (out, x) in out.chunks_mut(TILE).zip(x.numbers.chunks(TILE * x.width.max(1))) {
        match out.len() {
            1 => tiles_of::<W, 1>(w, x, out),
            2 => tiles_of::<W, 2>(w, x, out),
            3 => tiles_of::<W, 3>(w, x, out),
            _ => tiles_of::<W, TILE>(w, x, out),
        }
    }
}

/// All rows of w with N of x.
#[allow(unsafe_code)]
fn tiles_of<W: Number, const N: usize>(w: &[W], x: &[f32], out: &mut [&mut [f32]]) {
    let n = out[0].len();
    let width = w.len() / n.max(1);
    assert!(out.len() == N && x.len() >= N * width, "rows of a tile");
    for (at, w) in (0..n).step_by(TILE).zip(w.chunks(TILE * width.max(1))) {
        let many = (n - at).min(TILE);
        // Of a tile with fewer rows the last is taken again; its sums are left aside.
        let rows: [&[W]; TILE] = std::array::from_fn(|r| &w[r.min(many - 1) * width..][..width]);
        let lines: [&[f32]; N] = std::array::from_fn(|i| &x[i * width..][..width]);
        // SAFETY: `dots` is called only where the processor has the instructions; all rows have the same width.
        let sums = unsafe { tile(rows, lines) };
        for (out, sums) in out.iter_mut().zip(sums) {
            out[at..at + many].copy_from_slice(&sums[..many]);
        }
    }
}

/// # Safety
/// Only where [`available`]; all rows have the same width.
#[allow(unsafe_code)]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,fma")]
unsafe fn tile<W: Number, const N: usize>(w: [&[W]; TILE], x: [&[f32]; N]) -> [[f32; TILE]; N] {
    let width = w[0].len();
    let mut sums = [[_mm512_setzero_ps(); TILE]; N];
    let mut at = 0;
    while at < width {
        let lanes = mask(width - at);
        // SAFETY: the mask leaves out what lies behind the rows.
        unsafe {
            let w: [__m512; TILE] = std::array::from_fn(|r| W::read(w[r].as_ptr().add(at), lanes));
            for i in 0..N {
                let x = _mm512_maskz_loadu_ps(lanes, x[i].as_ptr().add(at));
                for r in 0..TILE {
                    sums[i][r] = _mm512_fmadd_ps(w[r], x, sums[i][r]);
                }
            }
        }
        at += 16;
    }
    sums.map(|sums| across(sums))
}

/// The sum of each vector's lanes.
#[target_feature(enable = "avx512f,avx512dq")]
fn across([a, b, c, d]: [__m512; TILE]) -> [f32; TILE] {
    let halves = |a, b| _mm512_add_ps(_mm512_unpacklo_ps(a, b), _mm512_unpackhi_ps(a, b));
    let pairs = |a, b| {
        let (a, b) = (_mm512_castps_pd(a), _mm512_castps_pd(b));
        _mm512_add_ps(_mm512_castpd_ps(_mm512_unpacklo_pd(a, b)), _mm512_castpd_ps(_mm512_unpackhi_pd(a, b)))
    };
    // Each quarter of the vector now holds a sum of each, one in every lane.
    let quarters = pairs(halves(a, b), halves(c, d));
    let eighths = _mm256_add_ps(_mm512_castps512_ps256(quarters), _mm512_extractf32x8_ps::<1>(quarters));
    let sums = _mm_add_ps(_mm256_castps256_ps128(eighths), _mm256_extractf128_ps::<1>(eighths));
    let mut out = [0f32; TILE];
    // SAFETY: four numbers are 16 bytes.
    #[allow(unsafe_code)]
    unsafe {
        _mm_storeu_ps(out.as_mut_ptr(), sums);
    }
    out
}
