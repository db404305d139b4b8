//! Loops over single rows: dot product, exponential, softmax, and the dispatch to the processor's vector instructions.
//!
//! Sums run in a fixed number of lanes, so the compiler may use vectors of any width and the result stays the same.

use rayon::prelude::*;

/// Lanes of a sum; a multiple of every vector width.
const LANES: usize = 32;

/// Rows that one task takes. Fixed, so that partial sums do not depend on the number of threads.
pub(crate) const ROWS_PER_TASK: usize = 64;

/// Works an expression out with the widest vector instructions of this processor.
///
/// The expression becomes a closure that is inlined into a function with these instructions; left to itself the compiler
/// keeps it apart, and compiles it without them. What it consumes makes it a closure that can be called only once: any other
/// would be called through a function that the compiler makes, and which is not inlined.
macro_rules! wide {
    ($work:expr) => {{
        let once = $crate::kernel::Once;
        pulp::Arch::new().dispatch(
            #[inline(always)]
            || {
                let _consumed = once;
                $work
            },
        )
    }};
}
pub(crate) use wide;

/// What [`wide`] consumes.
pub(crate) struct Once;

/// Does each task, on all threads where there are several. A single one stays on the caller's thread, so that short work,
/// as for one token of an answer, never waits for another thread to wake.
pub(crate) fn each<T: Send>(tasks: impl Iterator<Item = T>, work: impl Fn(T) + Sync + Send) {
    let mut tasks: Vec<T> = tasks.collect();
    match tasks.len() {
        1 => tasks.drain(..).for_each(work),
        _ => tasks.into_par_iter().for_each(work),
    }
}

/// The same, with the results in the order of the tasks.
pub(crate) fn map<T: Send, R: Send>(tasks: impl Iterator<Item = T>, work: impl Fn(T) -> R + Sync + Send) -> Vec<R> {
    let mut tasks: Vec<T> = tasks.collect();
    match tasks.len() {
        1 => tasks.drain(..).map(work).collect(),
        _ => tasks.into_par_iter().map(work).collect(),
    }
}

/// Sum of `a[i] · b[i]`.
#[inline(always)]
pub(crate) fn dot(a: &[f32], b: &[f32]) -> f32 {
    let (a_blocks, a_rest) = a.as_chunks::<LANES>();
    let (b_blocks, b_rest) = b.as_chunks::<LANES>();
    let mut lanes = [0f32; LANES];
    for (x, y) in a_blocks.iter().zip(b_blocks) {
        for i in 0..LANES {
            lanes[i] += x[i] * y[i];
        }
    }
    let rest: f32 = a_rest.iter().zip(b_rest).map(|(x, y)| x * y).sum();
    sum_lanes(lanes) + rest
}

#[inline(always)]
fn sum_lanes(mut lanes: [f32; LANES]) -> f32 {
    let mut width = LANES / 2;
    while width > 0 {
        for i in 0..width {
            lanes[i] += lanes[i + width];
        }
        width /= 2;
    }
    lanes[0]
}

/// e^x within 2 units in the last place over [-87, 88]; 0 below. Written without branches so that it vectorises.
///
/// x = n·ln 2 + r with |r| ≤ ln 2 / 2; e^r by its Taylor polynomial of degree 6, 2^n by the exponent's bits. The
/// rounding constant 1.5·2²³ leaves n in the low bits of the sum.
#[inline(always)]
#[allow(clippy::excessive_precision)]
pub(crate) fn exp(x: f32) -> f32 {
    const ROUND: f32 = 12_582_912.0;
    const LN2_HIGH: f32 = 0.693_359_375;
    const LN2_LOW: f32 = -2.121_944_4e-4;
    let clamped = x.clamp(-87.0, 88.0);
    let shifted = clamped * std::f32::consts::LOG2_E + ROUND;
    let n = shifted - ROUND;
    let r = clamped - n * LN2_HIGH - n * LN2_LOW;
    let mut p = 1.0 / 720.0;
    p = p * r + 1.0 / 120.0;
    p = p * r + 1.0 / 24.0;
    p = p * r + 1.0 / 6.0;
    p = p * r + 0.5;
    p = p * r + 1.0;
    p = p * r + 1.0;
    let exponent = shifted.to_bits().wrapping_sub(ROUND.to_bits()).wrapping_add(127) << 23;
    let result = p * f32::from_bits(exponent);
    if x < -87.0 { 0.0 } else { result }
}

/// 1 / (1 + e^-x)
#[inline(always)]
pub(crate) fn sigmoid(x: f32) -> f32 {
    1.0 / (1.0 + exp(-x))
}

/// (e^2x − 1) / (e^2x + 1)
#[inline(always)]
pub(crate) fn tanh(x: f32) -> f32 {
    2.0 * sigmoid(2.0 * x) - 1.0
}

/// The nearest number of 8 significant bits, ties to even.
#[inline(always)]
pub(crate) fn rounded_bf16(x: f32) -> f32 {
    let bits = x.to_bits();
    let rounded = bits.wrapping_add(0x7fff + (bits >> 16 & 1)) & 0xffff_0000;
    if x.is_nan() { x } else { f32::from_bits(rounded) }
}

/// Largest value; negative infinity when empty.
#[inline(always)]
pub(crate) fn max(row: &[f32]) -> f32 {
    let (blocks, rest) = row.as_chunks::<LANES>();
    let mut lanes = [f32::NEG_INFINITY; LANES];
    for block in blocks {
        for i in 0..LANES {
            lanes[i] = if block[i] > lanes[i] { block[i] } else { lanes[i] };
        }
    }
    lanes.iter().chain(rest).copied().fold(f32::NEG_INFINITY, f32::max)
}

/// Turns scores into probabilities in place and returns log Σ e^score.
#[inline(always)]
pub(crate) fn softmax(row: &mut [f32]) -> f32 {
    let top = max(row);
    let mut lanes = [0f32; LANES];
    let (blocks, rest) = row.as_chunks_mut::<LANES>();
    for block in blocks {
        for i in 0..LANES {
            block[i] = exp(block[i] - top);
            lanes[i] += block[i];
        }
    }
    let mut sum = sum_lanes(lanes);
    for x in rest {
        *x = exp(*x - top);
        sum += *x;
    }
    let scale = 1.0 / sum;
    row.iter_mut().for_each(|x| *x *= scale);
    top + sum.ln()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exp_agrees_with_the_standard_library() {
        for i in -8600..=8700 {
            let x = i as f32 / 100.0;
            let (got, want) = (wide!(exp(x)), x.exp());
            assert!((got - want).abs() <= 4e-7 * want, "exp({x}) = {got}, expected {want}");
        }
        assert_eq!(exp(-200.0), 0.0);
        assert!(exp(f32::NAN).is_nan());
    }

    #[test]
    fn bf16_rounds_to_even() {
        // 8 significant bits: neighbours of 1 are 2⁻⁷ apart, and 1 + 2⁻⁸ lies between two of them.
        let (half, step) = (2f32.powi(-8), 2f32.powi(-7));
        assert_eq!(rounded_bf16(1.0 + half), 1.0);
        assert_eq!(rounded_bf16(1.0 + step + half), 1.0 + 2.0 * step);
        assert_eq!(rounded_bf16(-1.0 - 1.1 * half), -1.0 - step);
        assert_eq!(rounded_bf16(f32::MAX), f32::INFINITY);
        assert!(rounded_bf16(f32::NAN).is_nan());
    }

    #[test]
    fn softmax_of_known_scores() {
        // e^0, e^ln2, e^ln3 sum to 6.
        let mut row = [0.0, 2f32.ln(), 3f32.ln()];
        let log_sum = softmax(&mut row);
        assert!((log_sum - 6f32.ln()).abs() < 1e-6);
        for (got, want) in row.iter().zip([1.0 / 6.0, 2.0 / 6.0, 3.0 / 6.0]) {
            assert!((got - want).abs() < 1e-6);
        }
    }

    #[test]
    fn dot_and_max_take_rows_that_no_vector_fits() {
        let a: Vec<f32> = (0..77).map(|i| i as f32).collect();
        // Σ i² for i < 77 is 76·77·153/6.
        assert_eq!(dot(&a, &a), (76 * 77 * 153 / 6) as f32);
        assert_eq!(max(&a), 76.0);
    }
}
