//! Sobol's sequence: points that fill the unit cube more evenly than random ones do.
//!
//! Point i has coordinate ⊕ vₖ over the set bits k of i's Gray code, in 32 bits (Sobol 1967; Antonov and Saleev 1979), with
//! the direction numbers of Joe and Kuo (2008). It is scrambled as Owen (1995) proposed: each bit is flipped or not,
//! depending on all bits before it and on the seed, which keeps the evenness and removes the pattern.

mod directions;

use super::Draw;
use crate::space::Space;
use directions::JOE_KUO;

const BITS: usize = 32;
/// Dimensions of the sequence.
pub(crate) const DIMENSIONS: usize = JOE_KUO.len() + 1;

/// The point of a trial. Parameters past [`DIMENSIONS`] are drawn at random.
pub(crate) fn point(space: &Space, index: u64, seed: u64, draw: &mut Draw) -> Vec<f64> {
    let scrambled = |dimension: usize, draw: &mut Draw| {
        if dimension < DIMENSIONS {
            let bits = scramble(coordinate(index as u32, dimension), mix(seed ^ mix(dimension as u64)));
            f64::from(bits) / 2f64.powi(BITS as i32)
        } else {
            draw.uniform()
        }
    };
    space.axes().iter().enumerate().map(|(dimension, axis)| axis.place(scrambled(dimension, draw))).collect()
}

/// A coordinate of the unscrambled sequence, as a fraction of 2³².
fn coordinate(index: u32, dimension: usize) -> u32 {
    let gray = index ^ (index >> 1);
    let directions = directions_of(dimension);
    (0..BITS).filter(|bit| gray >> bit & 1 == 1).fold(0, |sum, bit| sum ^ directions[bit])
}

/// The direction numbers of a dimension, by the recurrence of its polynomial.
fn directions_of(dimension: usize) -> [u32; BITS] {
    let mut v = [0u32; BITS];
    if dimension == 0 {
        for (bit, v) in v.iter_mut().enumerate() {
            *v = 1 << (BITS - 1 - bit);
        }
        return v;
    }
    let (coefficients, initial) = JOE_KUO[dimension - 1];
    let degree = initial.len();
    for bit in 0..BITS {
        v[bit] = match initial.get(bit) {
            Some(m) => m << (BITS - 1 - bit),
            None => {
                let carried = v[bit - degree] ^ (v[bit - degree] >> degree);
                let inner = (1..degree).filter(|k| coefficients >> (degree - 1 - k) & 1 == 1);
                inner.fold(carried, |sum, k| sum ^ v[bit - k])
            }
        };
    }
    v
}

/// Owen's nested scrambling: a bit is flipped by a coin that belongs to the bits above it.
fn scramble(bits: u32, key: u64) -> u32 {
    let coin = |bit: u32| {
        // The marker keeps prefixes of different lengths apart.
        let above = (1u64 << bit) | if bit == 0 { 0 } else { u64::from(bits >> (BITS as u32 - bit)) };
        (mix(key ^ mix(above)) >> 63) as u32
    };
    (0..BITS as u32).fold(bits, |out, bit| out ^ coin(bit) << (BITS as u32 - 1 - bit))
}

/// A hash of 64 bits (SplitMix64; Steele et al. 2014).
fn mix(value: u64) -> u64 {
    let mut z = value.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::space::Param;

    fn plain(index: u32, dimension: usize) -> f64 {
        f64::from(coordinate(index, dimension)) / 2f64.powi(32)
    }

    #[test]
    fn the_first_points_are_those_of_scipy() {
        // scipy.stats.qmc.Sobol(5, scramble=False).random(8), scipy 1.17.1
        let reference = [
            [0.0, 0.0, 0.0, 0.0, 0.0],
            [0.5, 0.5, 0.5, 0.5, 0.5],
            [0.75, 0.25, 0.25, 0.25, 0.75],
            [0.25, 0.75, 0.75, 0.75, 0.25],
            [0.375, 0.375, 0.625, 0.875, 0.375],
            [0.875, 0.875, 0.125, 0.375, 0.875],
            [0.625, 0.125, 0.875, 0.625, 0.625],
            [0.125, 0.625, 0.375, 0.125, 0.125],
        ];
        for (index, point) in reference.iter().enumerate() {
            for (dimension, expected) in point.iter().enumerate() {
                assert_eq!(plain(index as u32, dimension), *expected, "point {index}, dimension {dimension}");
            }
        }
    }

    #[test]
    fn scrambled_points_put_one_into_each_interval() {
        let space = Space::new((0..DIMENSIONS).map(|i| (format!("x{i:02}"), Param::float(0.0, 1.0)))).unwrap();
        let points: Vec<Vec<f64>> = (0..64).map(|i| point(&space, i, 5, &mut Draw::new(5, i))).collect();
        for dimension in 0..DIMENSIONS {
            let mut cells: Vec<usize> = points.iter().map(|point| (point[dimension] * 64.0) as usize).collect();
            cells.sort_unstable();
            assert_eq!(cells, (0..64).collect::<Vec<_>>(), "dimension {dimension}");
        }
        assert_ne!(points[1], point(&space, 1, 6, &mut Draw::new(6, 1)), "the seed matters");
    }
}
