//! Fresh weights, drawn so that each tensor depends on the seed and its own name alone.
//!
//! Matrices are normal with deviation 1/√in (0.02 for embeddings); maps that add to the residual are scaled down by
//! √(2·layers) (Radford et al. 2019); norms start by changing nothing, biases at
//! 0.

use crate::{
    architecture::{Architecture, NormKind},
    error::Result,
};
use candle_core::{Device, Var};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use sha2::{Digest, Sha256};

/// Draws the tensors of one model.
pub(crate) struct Source {
    seed: u64,
    residual_scale: f64,
    /// What a gain holds that changes nothing.
    gain: f32,
}

impl Source {
    pub(crate) fn new(architecture: &Architecture, seed: u64) -> Self {
        let residual_scale = 1.0 / (2.0 * architecture.num_hidden_layers as f64).sqrt();
        Self { seed, residual_scale, gain: if architecture.norm == NormKind::RmsPlusOne { 0.0 } else { 1.0 } }
    }

    pub(crate) fn var(&mut self, name: &str, shape: &[usize]) -> Result<Var> {
        let n = shape.iter().product();
        let numbers = match shape {
            [_, n_in] => {
                let has = |parts: &[&str]| parts.iter().any(|part| name.contains(part));
                let deviation = if has(&["embed_tokens", "lm_head", "_embeddings"]) {
                    EMBEDDING_DEVIATION
                } else if has(&["o_proj", "down_proj", "output.dense"]) {
                    self.residual_scale / (*n_in as f64).sqrt()
                } else {
                    1.0 / (*n_in as f64).sqrt()
                };
                normal(&mut generator(self.seed, name), n, deviation)
            }
            _ if name.ends_with(".bias") => vec![0.0; n],
            _ => vec![self.gain; n],
        };
        Ok(Var::from_vec(numbers, shape, &Device::Cpu)?)
    }
}

/// Deviation of embedding rows, as in GPT-2.
const EMBEDDING_DEVIATION: f64 = 0.02;

/// A generator of its own for each seed and name.
pub(crate) fn generator(seed: u64, name: &str) -> ChaCha8Rng {
    let mut hash = Sha256::new();
    hash.update(seed.to_le_bytes());
    hash.update(name.as_bytes());
    ChaCha8Rng::from_seed(hash.finalize().into())
}

/// Normal numbers by Box and Muller (1958).
fn normal(rng: &mut ChaCha8Rng, n: usize, deviation: f64) -> Vec<f32> {
    (0..n)
        .map(|_| {
            let radius = (-2.0 * (1.0 - rng.random::<f64>()).ln()).sqrt();
            (radius * (std::f64::consts::TAU * rng.random::<f64>()).cos() * deviation) as f32
        })
        .collect()
}

/// Numbers uniform over [-limit, limit).
pub(crate) fn uniform(rng: &mut ChaCha8Rng, n: usize, limit: f64) -> Vec<f32> {
    (0..n).map(|_| ((rng.random::<f64>() * 2.0 - 1.0) * limit) as f32).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn normal_numbers_have_their_deviation() {
        let numbers = normal(&mut generator(1, "x"), 100_000, 0.5);
        let mean = numbers.iter().map(|x| f64::from(*x)).sum::<f64>() / 1e5;
        let variance = numbers.iter().map(|x| f64::from(*x).powi(2)).sum::<f64>() / 1e5;
        // Five standard errors: 0.5/√1e5 of the mean, 0.25·√(2/1e5) of the variance.
        assert!(mean.abs() < 0.0080, "{mean}");
        assert!((variance - 0.25).abs() < 0.0056, "{variance}");
        assert_ne!(numbers, normal(&mut generator(1, "y"), 100_000, 0.5));
        assert_eq!(numbers, normal(&mut generator(1, "x"), 100_000, 0.5));
    }
}
