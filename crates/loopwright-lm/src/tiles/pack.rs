//! Panels: numbers in the order and the format in which the tile unit reads them.
//!
//! A lane is a row of A or a column of B. The tiles of A hold a lane to a line, 32 neighbours of the inner dimension; those
//! of B hold a pair of neighbours of 16 lanes to a line. Seen as 32-bit pairs, each is the other transposed.

use super::{DEPTH, PANEL, TILE, unit};
use crate::matrix::Mat;

/// 32 numbers in bf16: a row of a tile.
#[derive(Clone, Copy, Default)]
#[repr(C, align(64))]
pub(crate) struct Line(pub [u16; 32]);

/// How a tile lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    /// A lane to a line, as the left matrix.
    Rows,
    /// A pair of neighbours of every lane to a line, as the right matrix.
    Pairs,
}

/// A packed block.
pub(crate) struct Panels {
    lines: Vec<Line>,
    n_lanes: usize,
    panel_lines: usize,
}

impl Default for Panels {
    fn default() -> Self {
        Self::new()
    }
}

impl Panels {
    pub(super) const fn new() -> Self {
        Self { lines: Vec::new(), n_lanes: 0, panel_lines: 1 }
    }

    pub(super) fn n_lanes(&self) -> usize {
        self.n_lanes
    }

    /// Panel after panel.
    pub(crate) fn panels(&self) -> impl Iterator<Item = &[Line]> {
        self.lines.chunks_exact(self.panel_lines).take(self.n_lanes.div_ceil(PANEL))
    }

    /// Packs the rows of a matrix as lanes. What is missing from whole tiles becomes zero.
    pub(super) fn pack(&mut self, of: Mat, form: Form) {
        self.begin(of).enumerate().for_each(|(panel, lines)| pack_panel(of, form, panel, lines));
    }

    /// Makes room for a matrix; each panel is then to be packed.
    pub(super) fn begin(&mut self, of: Mat) -> impl Iterator<Item = &mut [Line]> {
        let (n_lanes, panel_lines) = (of.n_rows(), of.n_cols().div_ceil(DEPTH) * PANEL);
        let needed = n_lanes.div_ceil(PANEL) * panel_lines;
        if self.lines.len() < needed {
            self.lines.resize(needed, Line::default());
        }
        (self.n_lanes, self.panel_lines) = (n_lanes, panel_lines);
        self.lines[..needed].chunks_exact_mut(panel_lines.max(1))
    }

    /// Bytes held.
    pub(crate) fn size_bytes(&self) -> usize {
        std::mem::size_of_val(self.lines.as_slice())
    }
}

/// Packs so many lanes of a matrix from that panel's first on.
pub(super) fn pack_panel(of: Mat, form: Form, panel: usize, lines: &mut [Line]) {
    let (n_lanes, depth) = (of.n_rows(), of.n_cols());
    for (step, lines) in lines.chunks_exact_mut(PANEL).enumerate() {
        for half in 0..2 {
            let first = (panel * PANEL + half * TILE).min(n_lanes);
            let lanes = (first, TILE.min(n_lanes - first));
            let depths = (step * DEPTH, DEPTH.min(depth - step * DEPTH));
            unit::pack_tile(of.block(lanes, depths), form, &mut lines[half * TILE..]);
        }
    }
}
