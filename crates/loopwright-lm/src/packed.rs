//! A frozen matrix in few bits: QLoRA's 4-bit NormalFloat (Dettmers et al. 2023), or 8-bit integers (Dettmers et al. 2022).
//!
//! The numbers of W, row after row, lie in blocks: 64 numbers in 4 bits, a whole row in 8. A block keeps the largest size
//! among its numbers, m, and each number x as the code of the level nearest to x/m: one of the 16 levels of NF4, which are
//! quantiles of the normal distribution, or one of ±k/127. In 4 bits the sizes are themselves held in 8 bits (the paper's
//! double quantisation): in groups of 256, as their mean plus ±k/127 of the group's widest distance from it. The paper's
//! library has levels of another spacing for these; ours are even. 4.13 bits a number, or 8 and 32 for each row.

use crate::kernel::each;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// Numbers that share a size in 4 bits.
const BLOCK: usize = 64;
/// Sizes that share a scale.
const GROUP: usize = 256;
/// Numbers that one task unpacks, about.
const NUMBERS_PER_TASK: usize = 1 << 16;
/// The greatest code of an 8-bit number.
const I8_MAX: f32 = 127.0;

/// The 16 levels of NF4, as the paper's appendix E prints them.
pub const NF4_LEVELS: [f32; 16] = [
    -1.0,
    -0.696_192_8,
    -0.525_073_05,
    -0.394_917_5,
    -0.284_441_38,
    -0.184_773_43,
    -0.091_050_036,
    0.0,
    0.079_580_3,
    0.160_930_2,
    0.246_112_3,
    0.337_915_24,
    0.440_709_83,
    0.562_617,
    0.722_956_84,
    1.0,
];

/// How a frozen base is held.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Bits {
    /// 4-bit NormalFloat with doubly quantised sizes.
    Nf4,
    /// 8-bit integers.
    Int8,
}

impl Bits {
    /// Bytes that a matrix [rows, cols] takes.
    ///
    /// ```
    /// use loopwright_lm::Bits;
    /// // 4 bits a number, a byte for each block of 64, and two f32 for each group of 256 blocks.
    /// assert_eq!(Bits::Nf4.size_bytes([64, 256]), 64 * 256 / 2 + 256 + 8);
    /// // A byte for each number and an f32 for each row.
    /// assert_eq!(Bits::Int8.size_bytes([64, 256]), 64 * 256 + 64 * 4);
    /// ```
    pub fn size_bytes(self, [rows, cols]: [usize; 2]) -> usize {
        let (n, blocks) = (rows * cols, (rows * cols).div_ceil(BLOCK));
        match self {
            Self::Nf4 => n.div_ceil(2) + blocks + blocks.div_ceil(GROUP) * 8,
            Self::Int8 => n + rows * 4,
        }
    }
}

/// A matrix in few bits, [rows, cols].
pub(crate) struct Packed {
    shape: [usize; 2],
    codes: Codes,
}

enum Codes {
    /// Two codes a byte, the first in the high half.
    Nf4 {
        codes: Vec<u8>,
        sizes: Sizes,
    },
    Int8 {
        codes: Vec<i8>,
        sizes: Vec<f32>,
    },
}

/// The sizes of blocks in 8 bits.
struct Sizes {
    codes: Vec<i8>,
    /// Mean and scale of each group.
    groups: Vec<(f32, f32)>,
}

impl Packed {
    pub(crate) fn new(numbers: &[f32], shape: [usize; 2], bits: Bits) -> Self {
        let codes = match bits {
            Bits::Nf4 => {
                let sizes = Sizes::new(&numbers.chunks(BLOCK).map(largest).collect::<Vec<_>>());
                // Codes go with the sizes as they will be read, not as they were.
                let code = |i: usize| nf4_code(share(numbers[i], sizes.get(i / BLOCK)));
                let pair = |i: usize| code(i) << 4 | if i + 1 < numbers.len() { code(i + 1) } else { ZERO };
                Codes::Nf4 { codes: (0..numbers.len()).step_by(2).map(pair).collect(), sizes }
            }
            Bits::Int8 => {
                let sizes: Vec<f32> = numbers.chunks(shape[1].max(1)).map(largest).collect();
                let code = |(i, x): (usize, &f32)| i8_code(share(*x, sizes[i / shape[1]]));
                Codes::Int8 { codes: numbers.iter().enumerate().map(code).collect(), sizes }
            }
        };
        Self { shape, codes }
    }

    pub(crate) fn shape(&self) -> [usize; 2] {
        self.shape
    }

    pub(crate) fn n_numbers(&self) -> usize {
        self.shape[0] * self.shape[1]
    }

    /// Bytes held.
    pub(crate) fn size_bytes(&self) -> usize {
        match &self.codes {
            Codes::Nf4 { codes, sizes } => codes.len() + sizes.codes.len() + sizes.groups.len() * 8,
            Codes::Int8 { codes, sizes } => codes.len() + sizes.len() * 4,
        }
    }

    /// The numbers, row after row.
    pub(crate) fn unpacked(&self) -> Vec<f32> {
        let mut numbers = vec![0f32; self.n_numbers()];
        let block = self.block();
        let blocks_per_task = (NUMBERS_PER_TASK / block).max(1);
        let tasks = numbers.chunks_mut(block * blocks_per_task).enumerate();
        each(tasks, |(task, numbers)| {
            for (i, numbers) in numbers.chunks_mut(block).enumerate() {
                self.unpack_block(task * blocks_per_task + i, numbers);
            }
        });
        numbers
    }

    /// Numbers that share a size.
    fn block(&self) -> usize {
        match self.codes {
            Codes::Nf4 { .. } => BLOCK,
            Codes::Int8 { .. } => self.shape[1].max(1),
        }
    }

    fn unpack_block(&self, block: usize, out: &mut [f32]) {
        match &self.codes {
            Codes::Nf4 { codes, sizes } => {
                let (size, codes) = (sizes.get(block), &codes[block * BLOCK / 2..]);
                let levels = NF4_LEVELS.map(|level| level * size);
                for (pair, code) in out.chunks_mut(2).zip(codes) {
                    pair[0] = levels[usize::from(code >> 4)];
                    if let Some(second) = pair.get_mut(1) {
                        *second = levels[usize::from(code & 15)];
                    }
                }
            }
            Codes::Int8 { codes, sizes } => {
                let scale = sizes[block] / I8_MAX;
                out.iter_mut().zip(&codes[block * self.shape[1]..]).for_each(|(x, code)| *x = f32::from(*code) * scale);
            }
        }
    }

    /// SHA-256 over everything that decides the numbers.
    pub(crate) fn digest(&self) -> [u8; 32] {
        let mut hash = Sha256::new();
        // i8 codes as the bytes that they are.
        let signed = |codes: &[i8]| codes.iter().map(|code| *code as u8).collect::<Vec<u8>>();
        match &self.codes {
            Codes::Nf4 { codes, sizes } => {
                hash.update(codes);
                hash.update(signed(&sizes.codes));
                for (mean, scale) in &sizes.groups {
                    hash.update(mean.to_le_bytes());
                    hash.update(scale.to_le_bytes());
                }
            }
            Codes::Int8 { codes, sizes } => {
                codes.chunks(NUMBERS_PER_TASK).for_each(|codes| hash.update(signed(codes)));
                sizes.iter().for_each(|size| hash.update(size.to_le_bytes()));
            }
        }
        hash.finalize().into()
    }
}

impl Sizes {
    fn new(sizes: &[f32]) -> Self {
        let (mut codes, mut groups) = (Vec::with_capacity(sizes.len()), Vec::new());
        for group in sizes.chunks(GROUP) {
            let mean = group.iter().sum::<f32>() / group.len() as f32;
            let scale = group.iter().map(|size| (size - mean).abs()).fold(0.0, f32::max);
            codes.extend(group.iter().map(|size| i8_code(share(size - mean, scale))));
            groups.push((mean, scale));
        }
        Self { codes, groups }
    }

    fn get(&self, block: usize) -> f32 {
        let (mean, scale) = self.groups[block / GROUP];
        // A size near 0 in a group of large ones may come out below it.
        (mean + f32::from(self.codes[block]) / I8_MAX * scale).max(0.0)
    }
}

/// The code of 0 in NF4.
const ZERO: u8 = 7;

fn largest(block: &[f32]) -> f32 {
    block.iter().map(|x| x.abs()).fold(0.0, f32::max)
}

fn share(x: f32, size: f32) -> f32 {
    if size > 0.0 { x / size } else { 0.0 }
}

/// The number of the nearest level.
fn nf4_code(share: f32) -> u8 {
    let below = NF4_LEVELS.windows(2).take_while(|pair| share > (pair[0] + pair[1]) / 2.0);
    below.count() as u8
}

fn i8_code(share: f32) -> i8 {
    (share * I8_MAX).round().clamp(-I8_MAX, I8_MAX) as i8
}

#[cfg(test)]
mod tests {
    use super::*;

    fn normal(n: usize) -> Vec<f32> {
        // Sums of twelve uniform numbers have mean 6 and deviation 1 (Irwin & Hall 1927).
        let mut state = 7u64;
        let mut uniform = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 40) as f32 / (1u64 << 24) as f32
        };
        (0..n).map(|_| (0..12).map(|_| uniform()).sum::<f32>() - 6.0).collect()
    }

    #[test]
    fn the_levels_are_the_quantiles_that_they_are_defined_as() {
        // Dettmers et al. 2023, section 3: quantiles of N(0, 1) at 8 even steps from 1 − δ to ½ on the upper side and 7 on the lower
        // one, over the largest of them; δ = ½(1/32 + 1/30). With Φ⁻¹(0.9677083) = 1.848131: Φ⁻¹(0.90924) / 1.848131 = 0.72296
        // and so on. Φ by the error function's series.
        let phi = |z: f64| {
            let mut term = z;
            let mut sum = z;
            for n in 1..60u32 {
                let n = f64::from(n);
                term *= -z * z / 2.0 / n * (2.0 * n - 1.0) / (2.0 * n + 1.0);
                sum += term;
            }
            0.5 + sum / (2.0 * std::f64::consts::PI).sqrt()
        };
        let top = 1.0 - 0.5 * (1.0 / 32.0 + 1.0 / 30.0);
        let largest = {
            let (mut low, mut high) = (0.0, 4.0);
            for _ in 0..60 {
                let middle = (low + high) / 2.0;
                if phi(middle) < top { low = middle } else { high = middle }
            }
            low
        };
        for (i, level) in NF4_LEVELS.iter().enumerate() {
            let want = match i {
                0..=7 => 0.5 - (top - 0.5) * (7 - i) as f64 / 7.0,
                _ => 0.5 + (top - 0.5) * (i - 7) as f64 / 8.0,
            };
            let got = phi(f64::from(*level) * largest);
            assert!((got - want).abs() < 1e-5, "level {i}: {got} is not {want}");
        }
    }

    #[test]
    fn numbers_go_to_the_nearest_level_of_their_block() {
        // m = 2: −2 → −1, 1 → 0.5 lies between 0.4407 and 0.5626, nearer to the former; 0.08 → 0.04 is above 0.0398; 0.07 is below.
        let mut block = vec![-2.0f32, 1.0, 0.08, 0.07];
        block.resize(64, 0.0);
        // One block: its size is its group's mean, and comes back exactly.
        let got = Packed::new(&block, [1, 64], Bits::Nf4).unpacked();
        assert_eq!(got[..5], [-2.0, 2.0 * 0.440_709_83, 2.0 * 0.079_580_3, 0.0, 0.0]);
        let got = Packed::new(&block, [1, 64], Bits::Int8).unpacked();
        // 63.5 rounds away from 0, 5.08 and 4.445 to 5 and 4.
        let scale = 2.0f32 / 127.0;
        assert_eq!(got[..5], [-127.0 * scale, 64.0 * scale, 5.0 * scale, 4.0 * scale, 0.0]);
    }

    #[test]
    fn errors_stay_within_half_a_step_and_memory_is_what_is_said() {
        for (bits, shape) in [(Bits::Nf4, [300usize, 71]), (Bits::Int8, [300, 71]), (Bits::Nf4, [3, 1])] {
            let numbers = normal(shape[0] * shape[1]);
            let packed = Packed::new(&numbers, shape, bits);
            assert_eq!(packed.size_bytes(), bits.size_bytes(shape));
            let got = packed.unpacked();
            assert_eq!(got, packed.unpacked());
            let block = if bits == Bits::Nf4 { BLOCK } else { shape[1] };
            for (want, got) in numbers.chunks(block).zip(got.chunks(block)) {
                // Half the widest gap of NF4 is 0.152; sizes are off by at most 1/254 of the widest distance from their mean.
                let step = if bits == Bits::Nf4 { 0.152 + 0.01 } else { 0.5 / 127.0 + 1e-6 };
                let largest = largest(want);
                assert!(want.iter().zip(got).all(|(want, got)| (want - got).abs() <= step * largest));
            }
        }
    }

    #[test]
    fn blocks_of_nothing_stay_nothing() {
        for bits in [Bits::Nf4, Bits::Int8] {
            assert_eq!(Packed::new(&[0.0; 130], [13, 10], bits).unpacked(), vec![0.0; 130]);
        }
    }
}
