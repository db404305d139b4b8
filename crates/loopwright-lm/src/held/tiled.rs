//! Matrices in bf16 in panels of the tile unit, and rows that are multiplied with them.
//!
//! A panel is 32 rows of the matrix, packed once when it is made, in pairs of neighbours; the rows of x are packed for each
//! product. The unit multiplies 16 of them at a time, and one row takes as long as sixteen, which a matrix that comes from
//! memory does not let show.

use super::Rows;
use crate::{
    matrix::{Blend, Mat},
    tiles::{self, DEPTH, Form, PANEL, Panels, TILE, Unit},
    weights::from_bf16,
};

/// A matrix [out, in] in bf16.
pub(super) struct Tiled(Panels);

/// Rows of x in bf16.
pub(super) struct Lanes(Panels);

impl Tiled {
    pub(super) fn new(numbers: &[f32], [n_out, width]: [usize; 2]) -> Self {
        Self(tiles::packed(Mat::new(numbers, n_out, width), Form::Pairs))
    }

    pub(super) fn size_bytes(&self) -> usize {
        self.0.size_bytes()
    }

    /// The numbers of a row of so many.
    pub(super) fn row(&self, row: usize, width: usize, out: &mut Vec<f32>) {
        let Some(panel) = self.0.panels().nth(row / PANEL) else { return };
        let (half, lane) = (row % PANEL / TILE, row % TILE);
        let end = out.len() + width;
        for step in panel.chunks_exact(PANEL) {
            for pair in &step[half * TILE..][..TILE] {
                out.extend(pair.0[2 * lane..][..2].iter().map(|x| from_bf16(*x)));
            }
        }
        // A step is filled up with zeros.
        out.truncate(end);
        debug_assert!(width.next_multiple_of(DEPTH) * PANEL == panel.len() * DEPTH);
    }

    /// See [`super::View::dots`].
    pub(super) fn dots(&self, x: &Rows, first: usize, out: &mut [&mut [f32]]) {
        assert!(first.is_multiple_of(PANEL), "rows from within a panel");
        let n = out.first().map_or(0, |out| out.len());
        let lanes = x.lanes.as_ref().expect("rows for the tile unit are packed when they are made");
        let unit = Unit::configured();
        let mut product = [0f32; PANEL * PANEL];
        for (at, panel) in (0..n).step_by(PANEL).zip(self.0.panels().skip(first / PANEL)) {
            let many = (n - at).min(PANEL);
            for (lines, lanes) in out.chunks_mut(PANEL).zip(lanes.0.panels()) {
                unit.multiply((&mut product, PANEL), (PANEL, PANEL), (lanes, panel), Blend::SET);
                for (line, product) in lines.iter_mut().zip(product.chunks_exact(PANEL)) {
                    line[at..at + many].copy_from_slice(&product[..many]);
                }
            }
        }
    }
}

impl Lanes {
    pub(super) fn new(numbers: &[f32], width: usize) -> Self {
        Self(tiles::packed(Mat::new(numbers, numbers.len() / width.max(1), width), Form::Rows))
    }
}
