//! Matrices as views of slices, and their product.
//!
//! The product is the `gemm` crate's; in bf16 that of the processor's tile unit, where it has one ([`crate::tiles`]). We split the
//! rows of the result among the threads ourselves: each element is summed by one thread in an order that depends on the
//! shapes alone, so the same input gives the same bits on the same kind of processor.

use crate::{
    kernel::{rounded_bf16, wide},
    tiles,
};
use gemm::Parallelism;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

/// Below so many multiplications a product is not worth waking a second thread.
const SERIAL_PRODUCTS: usize = 1 << 20;

/// Sides from which on the tile unit makes up for packing, measured against the vector units.
const TILE_SIDE: usize = 16;

/// A view of `rows` × `cols` numbers; neighbours in a row are `col_stride` apart, in a column `row_stride`.
#[derive(Clone, Copy)]
pub(crate) struct Mat<'a> {
    data: &'a [f32],
    rows: usize,
    cols: usize,
    row_stride: usize,
    col_stride: usize,
}

impl<'a> Mat<'a> {
    /// Row after row, without gaps.
    pub(crate) fn new(data: &'a [f32], rows: usize, cols: usize) -> Self {
        Self::strided(data, rows, cols, cols)
    }

    /// Rows that start `row_stride` apart: a block of columns of a wider matrix.
    pub(crate) fn strided(data: &'a [f32], rows: usize, cols: usize, row_stride: usize) -> Self {
        let mat = Self { data, rows, cols, row_stride, col_stride: 1 };
        mat.check();
        mat
    }

    /// The transposed view.
    pub(crate) fn t(self) -> Self {
        Self { rows: self.cols, cols: self.rows, row_stride: self.col_stride, col_stride: self.row_stride, ..self }
    }

    /// `n` rows from `start`.
    fn rows_from(self, start: usize, n: usize) -> Self {
        self.block((start, n), (0, self.cols))
    }

    /// So many rows and columns from a place on.
    pub(crate) fn block(self, (row, rows): (usize, usize), (col, cols): (usize, usize)) -> Self {
        let start = (row * self.row_stride + col * self.col_stride).min(self.data.len());
        let mat = Self { data: &self.data[start..], rows, cols, ..self };
        mat.check();
        mat
    }

    pub(crate) fn n_rows(&self) -> usize {
        self.rows
    }

    pub(crate) fn n_cols(&self) -> usize {
        self.cols
    }

    /// Whether the neighbours of a row lie side by side; else those of a column do.
    pub(crate) fn neighbours_in_rows(&self) -> bool {
        self.col_stride == 1
    }

    /// Where a row begins.
    pub(crate) fn row_start(&self, row: usize) -> *const f32 {
        self.data.as_ptr().wrapping_add(row * self.row_stride)
    }

    /// Where a column begins.
    pub(crate) fn column_start(&self, col: usize) -> *const f32 {
        self.data.as_ptr().wrapping_add(col * self.col_stride)
    }

    /// Its numbers rounded to bf16, without the gaps between its rows, or its columns where those lie side by side.
    fn rounded(&self) -> Vec<f32> {
        let (n_lines, n, stride) = match self.neighbours_in_rows() {
            true => (self.rows, self.cols, self.row_stride),
            false => (self.cols, self.rows, self.col_stride),
        };
        let mut out = vec![0f32; n_lines * n];
        wide!({
            for (out, line) in out.chunks_exact_mut(n.max(1)).zip(self.data.chunks(stride.max(1))) {
                out.iter_mut().zip(line).for_each(|(out, x)| *out = rounded_bf16(*x));
            }
        });
        out
    }

    /// The same shape and order over numbers without gaps.
    fn laid_out<'b>(&self, data: &'b [f32]) -> Mat<'b> {
        match self.neighbours_in_rows() {
            true => Mat::new(data, self.rows, self.cols),
            false => Mat::new(data, self.cols, self.rows).t(),
        }
    }

    /// Every element lies inside the slice; the product below relies on it.
    fn check(&self) {
        if self.rows > 0 && self.cols > 0 {
            let last = (self.rows - 1) * self.row_stride + (self.cols - 1) * self.col_stride;
            assert!(last < self.data.len(), "matrix {}×{} leaves its slice", self.rows, self.cols);
        }
    }
}

/// How exact the products of a forward or backward pass are. Sums are in f32 either way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Precision {
    /// Numbers of 24 significant bits.
    #[default]
    F32,
    /// Numbers are rounded to bf16, 8 significant bits, before they are multiplied. Weights, gradients, norms, softmax and
    /// optimiser stay in f32.
    Bf16,
}

/// Name of what multiplies matrices on this machine: results are the same to the bit where it is.
pub fn product_unit() -> &'static str {
    #[cfg(target_arch = "x86_64")]
    return match (tiles::available(), is_x86_feature_detected!("avx512f"), is_x86_feature_detected!("fma")) {
        (true, ..) => "AVX-512, AMX for bf16",
        (_, true, _) => "AVX-512",
        (.., true) => "AVX2",
        _ => "SSE",
    };
    #[cfg(not(target_arch = "x86_64"))]
    return std::env::consts::ARCH;
}

/// `out = keep · out + scale · a b`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Blend {
    /// Factor of what `out` held. 0 ignores it.
    pub keep: f32,
    /// Factor of the product.
    pub scale: f32,
    pub precision: Precision,
}

impl Blend {
    /// `out = a b`.
    pub(crate) const SET: Self = Self { keep: 0.0, scale: 1.0, precision: Precision::F32 };
    /// `out += a b`.
    pub(crate) const ADD: Self = Self { keep: 1.0, scale: 1.0, precision: Precision::F32 };

    /// The same for a factor of the product.
    pub(crate) fn scaled(self, scale: f32) -> Self {
        Self { scale, ..self }
    }

    /// The same in another precision.
    pub(crate) fn at(self, precision: Precision) -> Self {
        Self { precision, ..self }
    }
}

/// Product into `out`, which is `a.rows` × `b.cols` without gaps. Large ones use all threads.
pub(crate) fn multiply(out: &mut [f32], a: Mat, b: Mat, blend: Blend) {
    assert_eq!(out.len(), a.rows * b.cols, "product of the wrong size");
    assert_eq!(a.cols, b.rows, "inner sizes differ");
    let threads = rayon::current_num_threads();
    let alone = threads == 1 || a.rows < 2 || a.rows * b.cols * a.cols < SERIAL_PRODUCTS;
    if suits_tiles(a, b, blend.precision) {
        return tiles::multiply((out, b.cols), (a, b), blend, !alone);
    }
    with_rounded(blend.precision, (a, b), |a, b| {
        if alone {
            return on_vectors(out, b.cols, a, b, blend);
        }
        let rows_each = a.rows.div_ceil(threads).next_multiple_of(16);
        out.par_chunks_mut(rows_each * b.cols).enumerate().for_each(|(part, out)| {
            let a = a.rows_from(part * rows_each, out.len() / b.cols);
            on_vectors(out, b.cols, a, b, blend);
        });
    });
}

/// Product into rows of `out` that start `row_stride` apart, on this thread.
pub(crate) fn multiply_block(out: &mut [f32], row_stride: usize, a: Mat, b: Mat, blend: Blend) {
    assert_eq!(a.cols, b.rows, "inner sizes differ");
    match suits_tiles(a, b, blend.precision) {
        true => tiles::multiply((out, row_stride), (a, b), blend, false),
        false => with_rounded(blend.precision, (a, b), |a, b| on_vectors(out, row_stride, a, b, blend)),
    }
}

/// Whether a product is one for the tile unit, where there is one. Shapes and precision alone decide.
fn suits_tiles(a: Mat, b: Mat, precision: Precision) -> bool {
    precision == Precision::Bf16 && a.rows.min(b.cols).min(a.cols) >= TILE_SIDE && tiles::available()
}

/// Both matrices in a precision, for units that multiply f32 alone.
fn with_rounded<R>(precision: Precision, (a, b): (Mat, Mat), work: impl FnOnce(Mat, Mat) -> R) -> R {
    match precision {
        Precision::F32 => work(a, b),
        Precision::Bf16 => {
            let (of_a, of_b) = (a.rounded(), b.rounded());
            work(a.laid_out(&of_a), b.laid_out(&of_b))
        }
    }
}

/// Product in f32 on the vector units.
#[allow(unsafe_code)]
fn on_vectors(out: &mut [f32], row_stride: usize, a: Mat, b: Mat, blend: Blend) {
    let (m, n, k) = (a.rows, b.cols, a.cols);
    if m == 0 || n == 0 {
        return;
    }
    assert!(row_stride >= n && (m - 1) * row_stride + n <= out.len(), "product leaves its slice");
    a.check();
    b.check();
    // SAFETY: the two `check`s bound every read of `a` and `b` by their slices, the assertion above bounds every write,
    // and `out` is borrowed exclusively, so nothing read here is written.
    unsafe {
        gemm::gemm(
            m,
            n,
            k,
            out.as_mut_ptr(),
            1,
            row_stride as isize,
            blend.keep != 0.0,
            a.data.as_ptr(),
            a.col_stride as isize,
            a.row_stride as isize,
            b.data.as_ptr(),
            b.col_stride as isize,
            b.row_stride as isize,
            blend.keep,
            blend.scale,
            false,
            false,
            false,
            Parallelism::None,
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn product_of_transposed_and_strided_views() {
        // a = [[1,2],[3,4],[5,6]], b = the first two columns of a 2×3 matrix.
        let a = [1., 2., 3., 4., 5., 6.];
        let b = [1., 0., 9., 2., 1., 9.];
        let mut out = vec![1.0; 6];
        multiply(&mut out, Mat::new(&a, 3, 2), Mat::strided(&b, 2, 2, 3), Blend::ADD.scaled(2.0));
        assert_eq!(out, [1. + 2. * 5., 1. + 2. * 2., 1. + 2. * 11., 1. + 2. * 4., 1. + 2. * 17., 1. + 2. * 6.]);
        let mut square = vec![0.0; 4];
        multiply(&mut square, Mat::new(&a, 3, 2).t(), Mat::new(&a, 3, 2), Blend::SET);
        assert_eq!(square, [35., 44., 44., 56.]);
    }

    #[test]
    fn rounding_keeps_the_places_of_strided_and_turned_views() {
        let numbers: Vec<f32> = (0..60).map(|i| 1.0 + i as f32 / 37.0).collect();
        let near = |view: Mat, rows: usize, cols: usize, at: &dyn Fn(usize, usize) -> usize| {
            let rounded = view.rounded();
            let same = view.laid_out(&rounded);
            assert_eq!((rounded.len(), same.rows, same.cols), (rows * cols, rows, cols));
            for (i, j) in (0..rows).flat_map(|i| (0..cols).map(move |j| (i, j))) {
                let got = same.data[i * same.row_stride + j * same.col_stride];
                assert_eq!(got, rounded_bf16(numbers[at(i, j)]), "[{i}, {j}]");
            }
        };
        near(Mat::strided(&numbers[3..], 5, 4, 12), 5, 4, &|i, j| 3 + 12 * i + j);
        near(Mat::strided(&numbers[3..], 5, 4, 12).t(), 4, 5, &|i, j| 3 + 12 * j + i);
        near(Mat::new(&numbers, 60, 1), 60, 1, &|i, _| i);
    }

    #[test]
    fn the_split_among_threads_does_not_change_a_bit() {
        let (m, k, n) = (150, 130, 70);
        assert!(m * k * n > SERIAL_PRODUCTS);
        let a: Vec<f32> = (0..m * k).map(|i| ((i * 37 % 101) as f32 - 50.0) / 17.0).collect();
        let b: Vec<f32> = (0..k * n).map(|i| ((i * 53 % 97) as f32 - 48.0) / 13.0).collect();
        let on = |threads: usize| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            let mut out = vec![0.0; m * n];
            pool.install(|| multiply(&mut out, Mat::new(&a, m, k), Mat::new(&b, k, n), Blend::SET));
            out
        };
        let one = on(1);
        assert_eq!(one, on(2));
        assert_eq!(one, on(3));
    }
}
