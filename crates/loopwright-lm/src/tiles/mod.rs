//! Matrix products on the tile unit of newer processors (Intel AMX: eight registers of 16 rows of 64 bytes each).
//!
//! The unit multiplies bf16 numbers and sums in f32: C[16, 16] += A[16, 32] B[32, 16] in one instruction, sixteen times as
//! many multiplications a cycle as the widest vectors do in f32. (A product in f32 can be had from it, too, as six products of
//! the three bf16 parts of each number, Henry, Tang & Heinecke 2019; measured, it was no faster than the vectors.)
//!
//! Both matrices are packed into panels of two tiles: 32 rows of A or 32 columns of B, and within a panel 32 numbers of the
//! inner dimension after another. [`multiply`] walks blocks that fit the second-level cache, `pack`
//! fills panels, `unit` holds the instructions. Elsewhere [`available`] is false, and nothing here is called.

#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
mod convert;
mod pack;
#[cfg_attr(not(all(target_arch = "x86_64", target_os = "linux")), path = "absent.rs")]
mod unit;

pub(crate) use pack::{Form, Panels};
pub(crate) use unit::{Unit, available};

use crate::{
    matrix::{Blend, Mat},
    team,
};
use rayon::prelude::*;
use std::cell::RefCell;

/// Rows and columns of a tile of the result.
pub(crate) const TILE: usize = 16;
/// Numbers of the inner dimension in one tile.
pub(crate) const DEPTH: usize = 32;
/// Rows or columns of a panel.
pub(crate) const PANEL: usize = 2 * TILE;
/// Rows of A that are packed at once, so that they stay in the second-level cache.
const ROWS_AT_ONCE: usize = 128;
/// Columns of B that are packed at once.
const COLUMNS_AT_ONCE: usize = 1024;
/// Numbers of the inner dimension that are packed at once; later ones are added to the result. Fixed, as it decides the
/// order of the sum.
const DEPTH_AT_ONCE: usize = 1024;

thread_local! {
    /// Room for packed panels of A and of B, kept because a training step packs hundreds of times.
    static ROOM: [RefCell<Panels>; 2] = const { [RefCell::new(Panels::new()), RefCell::new(Panels::new())] };
}

/// Lends this thread's room to `work`.
fn with_room<R>(which: usize, work: impl FnOnce(&mut Panels) -> R) -> R {
    let mut panels = ROOM.with(|room| room[which].take());
    let result = work(&mut panels);
    ROOM.with(|room| room[which].replace(panels));
    result
}

/// A whole matrix packed, on all threads.
pub(crate) fn packed(of: Mat, form: Form) -> Panels {
    let mut panels = Panels::new();
    team::each(panels.begin(of).enumerate(), |(panel, lines)| pack::pack_panel(of, form, panel, lines));
    panels
}

/// Product into rows of `out` that start `row_stride` apart, on all threads if `shared`. Each element is summed in an order
/// that depends on the inner size alone, so the threads that share the rows do not change a bit.
pub(crate) fn multiply((out, row_stride): (&mut [f32], usize), (a, b): (Mat, Mat), blend: Blend, shared: bool) {
    let (m, n, k) = (a.n_rows(), b.n_cols(), a.n_cols());
    let threads = if shared { rayon::current_num_threads() } else { 1 };
    let rows_each = m.div_ceil(threads).next_multiple_of(PANEL).min(ROWS_AT_ONCE);
    for column in (0..n).step_by(COLUMNS_AT_ONCE) {
        let columns = COLUMNS_AT_ONCE.min(n - column);
        for depth in (0..k).step_by(DEPTH_AT_ONCE) {
            let depths = DEPTH_AT_ONCE.min(k - depth);
            let blend = if depth == 0 { blend } else { Blend { keep: 1.0, ..blend } };
            with_room(1, |panels| {
                panels.pack(b.block((depth, depths), (column, columns)).t(), Form::Pairs);
                let work = |part: usize, out: &mut [f32]| {
                    let first = part * rows_each;
                    let a = a.block((first, rows_each.min(m - first)), (depth, depths));
                    multiply_rows((&mut out[column..], row_stride), a, (panels, columns), blend);
                };
                match threads == 1 || m <= rows_each {
                    true => out.chunks_mut(rows_each * row_stride).enumerate().for_each(|(part, out)| work(part, out)),
                    false => {
                        let rows = out.par_chunks_mut(rows_each * row_stride).enumerate();
                        rows.for_each(|(part, out)| work(part, out));
                    }
                }
            });
        }
    }
}

/// Product of some rows of A with packed columns of B.
fn multiply_rows((out, row_stride): (&mut [f32], usize), a: Mat, (columns, n_columns): (&Panels, usize), blend: Blend) {
    with_room(0, |rows| {
        rows.pack(a, Form::Rows);
        let unit = unit::Unit::configured();
        for (j, b) in columns.panels().enumerate() {
            for (i, a) in rows.panels().enumerate() {
                let at = i * PANEL * row_stride + j * PANEL;
                let size = (PANEL.min(rows.n_lanes() - i * PANEL), PANEL.min(n_columns - j * PANEL));
                unit.multiply((&mut out[at..], row_stride), size, (a, b), blend);
            }
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbers(n: usize, step: usize) -> Vec<f32> {
        (0..n).map(|i| ((i * step % 1009) as f32 - 504.0) / 301.0 * if i % 7 == 0 { 1e-3 } else { 1.0 }).collect()
    }

    /// out = keep·start + scale·a b in f64.
    fn exactly(a: &[f64], b: &[f64], (m, k, n): (usize, usize, usize)) -> Vec<f64> {
        let cell = |i: usize, j: usize| (0..k).map(|d| a[i * k + d] * b[d * n + j]).sum::<f64>();
        (0..m).flat_map(|i| (0..n).map(move |j| (i, j))).map(|(i, j)| cell(i, j)).collect()
    }

    fn transposed(x: &[f32], rows: usize, cols: usize) -> Vec<f32> {
        (0..cols).flat_map(|j| (0..rows).map(move |i| x[i * cols + j])).collect()
    }

    /// Largest distance from the exact product, by the largest Σ|a||b|.
    fn error(got: &[f32], a: &[f32], b: &[f32], shape: (usize, usize, usize)) -> f64 {
        let wide = |x: &[f32]| x.iter().map(|x| f64::from(*x)).collect::<Vec<_>>();
        let sizes = |x: &[f32]| x.iter().map(|x| f64::from(x.abs())).collect::<Vec<_>>();
        let (want, scale) = (exactly(&wide(a), &wide(b), shape), exactly(&sizes(a), &sizes(b), shape));
        let scale = scale.iter().copied().fold(0.0, f64::max);
        got.iter().zip(&want).map(|(got, want)| (f64::from(*got) - want).abs()).fold(0.0, f64::max) / scale
    }

    #[test]
    fn products_of_every_layout_are_as_exact_as_said() {
        if !available() {
            return eprintln!("skipped: this processor has no tile unit");
        }
        for shape @ (m, k, n) in [(1, 1, 1), (33, 32, 31), (40, 70, 100), (16, 33, 16), (150, 1100, 37), (7, 64, 1030)]
        {
            let (a, b) = (numbers(m * k, 37), numbers(k * n, 53));
            let (a_turned, b_turned) = (transposed(&a, m, k), transposed(&b, k, n));
            let lefts = [Mat::new(&a, m, k), Mat::new(&a_turned, k, m).t()];
            let rights = [Mat::new(&b, k, n), Mat::new(&b_turned, n, k).t()];
            for (left, right) in lefts.iter().flat_map(|left| rights.iter().map(move |right| (*left, *right))) {
                let mut out = vec![f32::NAN; m * n];
                multiply((&mut out, n), (left, right), Blend::SET, true);
                let error = error(&out, &a, &b, shape);
                assert!(error < 8e-3, "{shape:?}: {error:e}");
            }
        }
    }

    #[test]
    fn a_product_blends_into_rows_of_a_wider_matrix_and_leaves_the_rest() {
        if !available() {
            return eprintln!("skipped: this processor has no tile unit");
        }
        let (m, k, n, stride) = (35, 40, 33, 50);
        let (a, b) = (numbers(m * k, 11), numbers(k * n, 29));
        let mut plain = vec![0f32; m * n];
        multiply((&mut plain, n), (Mat::new(&a, m, k), Mat::new(&b, k, n)), Blend::SET, false);
        for blend in [Blend::SET, Blend::ADD, Blend { keep: 0.5, ..Blend::SET.scaled(-2.0) }] {
            let mut out = vec![3f32; (m - 1) * stride + n];
            multiply((&mut out, stride), (Mat::new(&a, m, k), Mat::new(&b, k, n)), blend, false);
            for (i, row) in out.chunks(stride).enumerate() {
                for (j, got) in row.iter().enumerate() {
                    let want = if j < n { blend.keep * 3.0 + blend.scale * plain[i * n + j] } else { 3.0 };
                    assert!((got - want).abs() < 1e-4, "{blend:?} [{i}, {j}]: {got}, expected {want}");
                }
            }
        }
    }

    #[test]
    fn threads_change_no_bit() {
        if !available() {
            return eprintln!("skipped: this processor has no tile unit");
        }
        let (m, k, n) = (300, 1200, 90);
        let (a, b) = (numbers(m * k, 37), numbers(k * n, 53));
        let on = |threads: usize| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            let mut out = vec![0.0; m * n];
            let (a, b) = (Mat::new(&a, m, k), Mat::new(&b, k, n));
            pool.install(|| multiply((&mut out, n), (a, b), Blend::SET, true));
            out
        };
        assert_eq!(on(1), on(2));
        assert_eq!(on(1), on(3));
    }

    #[test]
    fn what_is_not_finite_stays_so() {
        if !available() {
            return eprintln!("skipped: this processor has no tile unit");
        }
        let (mut a, b) = (vec![1f32; 32 * 32], vec![1f32; 32 * 32]);
        (a[5], a[3 * 32]) = (f32::NAN, f32::INFINITY);
        let mut out = vec![0f32; 32 * 32];
        multiply((&mut out, 32), (Mat::new(&a, 32, 32), Mat::new(&b, 32, 32)), Blend::SET, false);
        assert!(out[0].is_nan() && !out[3 * 32].is_finite() && out[32] == 32.0);
    }
}
