//! How matrices in few bits lie: sixteen rows make a panel, in which four neighbouring numbers of each row follow one another,
//! row after row. So one vector holds a quad of every row, and a sum per row grows in a lane of its own.

use super::{
    BLOCK, SUPER, SUPER_BYTES, pack, q4k,
    rows::{QUAD, QUADS},
};
use crate::weights::from_f16;

/// Rows of a panel: 32-bit lanes of the widest vector.
pub(super) const LANES: usize = 16;

/// Bytes of a vector, which is a quad of each row.
pub(super) const LINE: usize = LANES * QUAD;

/// What is added to bytes of `Q8_0`, since the instruction wants them without a sign.
pub(super) const BIAS: u8 = 128;

/// A vector of bytes where vectors are read fastest.
#[derive(Clone, Copy)]
#[repr(align(64))]
pub(super) struct Line(pub [u8; LINE]);

/// A matrix in `Q8_0`. Rows that fill the last panel up are zero.
pub(super) struct Q8 {
    /// Bytes plus [`BIAS`]: [panel, block, quad], a line each.
    pub codes: Vec<Line>,
    /// In half precision: [panel, block, row].
    pub scales: Vec<[u16; LANES]>,
}

/// A matrix in `Q4_K`. Rows that fill the last panel up are zero.
pub(super) struct Q4(
    /// [panel, block of 256 numbers]
    pub Vec<Q4Block>,
);

/// A block of 256 numbers of each row of a panel.
#[derive(Clone, Copy)]
#[repr(C, align(64))]
pub(super) struct Q4Block {
    /// Of the scales and of the least numbers, in half precision.
    pub scales: [[u16; LANES]; 2],
    /// Scales of the parts: [part, row].
    pub steps: [[u8; LANES]; q4k::PARTS],
    /// Least numbers of the parts: [part, row].
    pub least: [[u8; LANES]; q4k::PARTS],
    /// Two parts to a byte: [pair of parts, quad].
    pub codes: [[Line; QUADS]; q4k::PARTS / 2],
}

const EMPTY: Q4Block = Q4Block {
    scales: [[0; LANES]; 2],
    steps: [[0; LANES]; q4k::PARTS],
    least: [[0; LANES]; q4k::PARTS],
    codes: [[Line([0; LINE]); QUADS]; q4k::PARTS / 2],
};

impl Q8 {
    /// From the blocks of all rows, as GGUF files have them.
    pub(super) fn new(blocks: &[u8], [n_out, width]: [usize; 2]) -> Self {
        let (n_panels, n_blocks) = (n_out.div_ceil(LANES), width / BLOCK);
        let mut codes = vec![Line([BIAS; LINE]); n_panels * n_blocks * QUADS];
        let mut scales = vec![[0; LANES]; n_panels * n_blocks];
        for (i, block) in blocks.chunks_exact(pack::Q8_BYTES).enumerate() {
            let (row, b) = (i / n_blocks, i % n_blocks);
            let (at, lane) = (row / LANES * n_blocks + b, row % LANES);
            scales[at][lane] = u16::from_le_bytes([block[0], block[1]]);
            for (q, quad) in block[2..].as_chunks::<QUAD>().0.iter().enumerate() {
                let quad = quad.map(|code| code.wrapping_add(BIAS));
                codes[at * QUADS + q].0[lane * QUAD..][..QUAD].copy_from_slice(&quad);
            }
        }
        Self { codes, scales }
    }

    pub(super) fn size_bytes(&self) -> usize {
        self.codes.len() * LINE + self.scales.len() * LANES * 2
    }

    /// The numbers of a row of so many.
    pub(super) fn row(&self, row: usize, width: usize, out: &mut Vec<f32>) {
        let (n_blocks, lane) = (width / BLOCK, row % LANES);
        let first = row / LANES * n_blocks;
        for at in first..first + n_blocks {
            let scale = from_f16(self.scales[at][lane]);
            for line in &self.codes[at * QUADS..][..QUADS] {
                out.extend(
                    line.0[lane * QUAD..][..QUAD].iter().map(|code| f32::from(code.wrapping_sub(BIAS) as i8) * scale),
                );
            }
        }
    }
}

impl Q4 {
    /// From the blocks of all rows, as GGUF files have them.
    pub(super) fn new(blocks: &[u8], [n_out, width]: [usize; 2]) -> Self {
        let n_blocks = width / SUPER;
        let mut panels = vec![EMPTY; n_out.div_ceil(LANES) * n_blocks];
        for (i, block) in blocks.chunks_exact(SUPER_BYTES).enumerate() {
            let (row, b) = (i / n_blocks, i % n_blocks);
            let (panel, lane) = (&mut panels[row / LANES * n_blocks + b], row % LANES);
            let (steps, least) = q4k::parts(&block[4..q4k::CODES]);
            for which in 0..2 {
                panel.scales[which][lane] = u16::from_le_bytes([block[2 * which], block[2 * which + 1]]);
            }
            for part in 0..q4k::PARTS {
                (panel.steps[part][lane], panel.least[part][lane]) = (steps[part], least[part]);
            }
            for (pair, codes) in block[q4k::CODES..].chunks_exact(BLOCK).enumerate() {
                for (q, quad) in codes.chunks_exact(QUAD).enumerate() {
                    panel.codes[pair][q].0[lane * QUAD..][..QUAD].copy_from_slice(quad);
                }
            }
        }
        Self(panels)
    }

    pub(super) fn size_bytes(&self) -> usize {
        std::mem::size_of_val(self.0.as_slice())
    }

    /// The numbers of a row of so many.
    pub(super) fn row(&self, row: usize, width: usize, out: &mut Vec<f32>) {
        let (n_blocks, lane) = (width / SUPER, row % LANES);
        for block in &self.0[row / LANES * n_blocks..][..n_blocks] {
            let [d, m] = block.scales.map(|scales| from_f16(scales[lane]));
            for part in 0..q4k::PARTS {
                let step = d * f32::from(block.steps[part][lane]);
                let low = m * f32::from(block.least[part][lane]);
                let codes = block.codes[part / 2].iter().flat_map(|line| &line.0[lane * QUAD..][..QUAD]);
                out.extend(codes.map(|byte| step * f32::from(byte >> (part % 2 * 4) & 15) - low));
            }
        }
    }
}
