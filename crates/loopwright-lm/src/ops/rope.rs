//! Rotary position embedding (Su et al. 2021), in the half-split layout of Llama's published weights: element i of a head
//! turns with element i + width/2 by the angle position · fᵢ. Plain frequencies are fᵢ = θ^(−2i/width); scaled ones come
//! from [`crate::architecture`]. Cosine and sine may be stretched by a factor (YaRN, Peng et al. 2023).

use std::sync::OnceLock;

/// Positions whose angles are computed at once, when the first of them is asked for: a model may know 131,072 positions
/// and see a few hundred.
const BLOCK_POSITIONS: usize = 256;

/// Cosines and sines for every position.
pub(crate) struct Rope {
    /// Angle of each pair of elements for one position, [head width / 2].
    frequencies: Vec<f64>,
    factor: f64,
    blocks: Vec<OnceLock<Block>>,
}

/// Cosines and sines, [`BLOCK_POSITIONS`, head width / 2].
struct Block {
    cos: Vec<f32>,
    sin: Vec<f32>,
}

impl Rope {
    /// For heads of twice as many elements as there are frequencies.
    pub(crate) fn new(frequencies: Vec<f64>, factor: f64, positions: usize) -> Self {
        let blocks = (0..positions.div_ceil(BLOCK_POSITIONS)).map(|_| OnceLock::new()).collect();
        Self { frequencies, factor, blocks }
    }

    /// Turns every head of every row, row 0 being at position `first`. `width` is that of a row.
    #[inline(always)]
    pub(crate) fn turn(&self, rows: &mut [f32], width: usize, first: usize) {
        self.rotate(rows, width, first, 1.0);
    }

    /// The transpose of [`Rope::turn`], and so its gradient.
    #[inline(always)]
    pub(crate) fn turn_back(&self, rows: &mut [f32], width: usize, first: usize) {
        self.rotate(rows, width, first, -1.0);
    }

    fn block(&self, index: usize) -> &Block {
        self.blocks[index].get_or_init(|| {
            let first = index * BLOCK_POSITIONS;
            let of = |function: fn(f64) -> f64| {
                let row = |position| self.frequencies.iter().map(move |f| position as f64 * f);
                let angles = (first..first + BLOCK_POSITIONS).flat_map(row);
                angles.map(|angle| (function(angle) * self.factor) as f32).collect()
            };
            Block { cos: of(f64::cos), sin: of(f64::sin) }
        })
    }

    #[inline(always)]
    fn rotate(&self, rows: &mut [f32], width: usize, first: usize, sign: f32) {
        let half = self.frequencies.len();
        for (i, row) in rows.chunks_exact_mut(width).enumerate() {
            let block = self.block((first + i) / BLOCK_POSITIONS);
            let at = (first + i) % BLOCK_POSITIONS * half;
            let (cos, sin) = (&block.cos[at..at + half], &block.sin[at..at + half]);
            for head in row.chunks_exact_mut(2 * half) {
                let (low, high) = head.split_at_mut(half);
                for (((a, b), c), s) in low.iter_mut().zip(high).zip(cos).zip(sin) {
                    let s = s * sign;
                    (*a, *b) = (*a * c - *b * s, *b * c + *a * s);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quarter_turn_and_back() {
        // Width 2 has one angle, position · θ⁰ = position: (1, 0) goes to (cos p, sin p). The rows cross a block's end.
        let rope = Rope::new(vec![1.0], 1.0, 300);
        let mut rows = [1.0, 0.0, 1.0, 0.0];
        rope.turn(&mut rows, 2, 255);
        for (got, want) in rows.iter().zip([255f32.cos(), 255f32.sin(), 256f32.cos(), 256f32.sin()]) {
            assert!((got - want).abs() < 1e-6);
        }
        rope.turn_back(&mut rows, 2, 255);
        for (got, want) in rows.iter().zip([1.0, 0.0, 1.0, 0.0]) {
            assert!((got - want).abs() < 1e-6);
        }
    }
}
