//! Rotary position embedding (Su et al. 2021), in the half-split layout of Llama's published weights: element i of a head
//! turns with element i + width/2 by the angle position · θ^(−2i/width).

/// Cosines and sines for every position, [positions, head width / 2].
pub(crate) struct Rope {
    cos: Vec<f32>,
    sin: Vec<f32>,
    half: usize,
}

impl Rope {
    pub(crate) fn new(head_dim: usize, positions: usize, theta: f64) -> Self {
        let half = head_dim / 2;
        let angles = (0..positions)
            .flat_map(|position| {
                (0..half).map(move |i| position as f64 * theta.powf(-2.0 * i as f64 / head_dim as f64))
            })
            .collect::<Vec<f64>>();
        Self {
            cos: angles.iter().map(|a| a.cos() as f32).collect(),
            sin: angles.iter().map(|a| a.sin() as f32).collect(),
            half,
        }
    }

    /// Turns every head of every row, row 0 being at position `first`. `width` is that of a row.
    #[inline(always)]
    pub(crate) fn turn(&self, rows: &mut [f32], width: usize, first: usize) {
        self.rotate(rows, width, first, 1.0);
    }

    /// The inverse of [`Rope::turn`], and so its gradient.
    #[inline(always)]
    pub(crate) fn turn_back(&self, rows: &mut [f32], width: usize, first: usize) {
        self.rotate(rows, width, first, -1.0);
    }

    #[inline(always)]
    fn rotate(&self, rows: &mut [f32], width: usize, first: usize, sign: f32) {
        for (i, row) in rows.chunks_exact_mut(width).enumerate() {
            let at = (first + i) * self.half;
            let (cos, sin) = (&self.cos[at..at + self.half], &self.sin[at..at + self.half]);
            for head in row.chunks_exact_mut(2 * self.half) {
                let (low, high) = head.split_at_mut(self.half);
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
        // Width 2 has one angle, position · θ⁰ = position: (1, 0) goes to (cos p, sin p).
        let rope = Rope::new(2, 4, 10_000.0);
        let mut rows = [1.0, 0.0, 1.0, 0.0];
        rope.turn(&mut rows, 2, 2);
        for (got, want) in rows.iter().zip([2f32.cos(), 2f32.sin(), 3f32.cos(), 3f32.sin()]) {
            assert!((got - want).abs() < 1e-6);
        }
        rope.turn_back(&mut rows, 2, 2);
        for (got, want) in rows.iter().zip([1.0, 0.0, 1.0, 0.0]) {
            assert!((got - want).abs() < 1e-6);
        }
    }
}
