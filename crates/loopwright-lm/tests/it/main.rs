//! The decoder as its users see it: gradients, a slow reference, files, answers.
// The lint knows test functions, not what they call.
#![allow(clippy::unwrap_used)]

mod answers;
mod company;
mod families;
mod few_bits;
mod files;
mod gradients;
mod import;
mod reference;
mod tokenizers;

use candle_core::Tensor;
use loopwright_lm::{Adapter, LoraConfig, Model, ModelConfig};

/// Two blocks, grouped queries, odd sizes, few tokens.
pub fn config(tied: bool) -> ModelConfig {
    ModelConfig {
        intermediate_size: 22,
        num_key_value_heads: 2,
        head_dim: Some(6),
        max_position_embeddings: 12,
        tie_word_embeddings: tied,
        ..ModelConfig::sized(19, 20, 2, 4)
    }
}

/// Replaces every weight by numbers spread over ±`limit` (norms over 1 ± `limit`), so that no gradient is 0 by chance.
pub fn scatter(parameters: &[(String, candle_core::Var)], limit: f32) {
    for (i, (_, var)) in parameters.iter().enumerate() {
        let middle = if var.rank() == 1 { 1.0 } else { 0.0 };
        let numbers = (0..var.elem_count()).map(|n| middle + limit * noise(n as u64 * 1_000_003 + i as u64)).collect();
        var.set(&Tensor::from_vec(numbers, var.shape(), var.device()).unwrap()).unwrap();
    }
}

/// A number in [-1, 1) for each index.
pub fn noise(index: u64) -> f32 {
    let mixed = (index ^ 0x5bd1_e995).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let mixed = (mixed ^ (mixed >> 29)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    ((mixed >> 40) as f32 / (1u64 << 23) as f32) - 1.0
}

/// A base with scattered weights.
pub fn model(tied: bool) -> Model {
    let model = Model::init(&config(tied), 1).unwrap();
    scatter(&model.named_parameters(), 0.4);
    model
}

/// The same under a scattered adapter on every map.
pub fn adapted(tied: bool, dropout: f64) -> Model {
    let model = model(tied);
    let adapter = Adapter::init(&model, &LoraConfig { r: 3, alpha: 4.0, dropout, ..Default::default() }, 2).unwrap();
    scatter(&adapter.named_parameters(), 0.3);
    model.with_adapter(&adapter)
}
