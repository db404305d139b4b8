//! Learning which texts belong together, with the other pairs of a batch as negatives (Henderson et al. 2017; the
//! MultipleNegativesRankingLoss of sentence-transformers).
//!
//! With c the cosine of two texts' embeddings and s a scale, pair i of anchors a and positives p costs
//! −log(exp(s·c(aᵢ, pᵢ)) / Σⱼ exp(s·c(aᵢ, pⱼ))), j over all pairs that are rivals of i, and i itself.

use super::{Input, Model, learn::finite};
use crate::{
    error::{Error, Kind, Result},
    layers::Mode,
    ops,
};
use candle_core::{Device, Tensor};

/// Added to the score of a pair that is no rival: its share of the sum is then 0.
const NO_RIVAL: f32 = -1e9;

impl Model {
    /// Embeddings as [`Model::embed`] makes them, of texts side by side.
    pub fn embed_all(&self, texts: &[&[u32]]) -> Result<Vec<Vec<f32>>> {
        Ok(self.embeddings(texts, Mode::Answer)?.to_vec2()?)
    }

    /// Sum of the costs of these pairs over `total`, with gradients to [`Model::trainable_parameters`]. `are_rivals` says of
    /// two pairs whether the positive of the second is a wrong answer to the anchor of the first.
    pub fn ranking_loss(
        &self,
        pairs: &[(&[u32], &[u32])],
        are_rivals: impl Fn(usize, usize) -> bool,
        (scale, total): (f64, f32),
        dropout_seed: u64,
    ) -> Result<Tensor> {
        let n = pairs.len();
        let (anchors, positives): (Vec<&[u32]>, Vec<&[u32]>) = pairs.iter().copied().unzip();
        let embeddings = self.embeddings(&[anchors, positives].concat(), Mode::Learn(dropout_seed))?;
        // [pairs, hidden] twice; scores [anchors, positives].
        let (anchors, positives) = (embeddings.narrow(0, 0, n)?, embeddings.narrow(0, n, n)?);
        let scores = (anchors.contiguous()?.matmul(&positives.t()?.contiguous()?)? * scale)?;
        let left_out = |i: usize, j: usize| if i == j || are_rivals(i, j) { 0.0 } else { NO_RIVAL };
        let left_out: Vec<f32> = (0..n * n).map(|cell| left_out(cell / n, cell % n)).collect();
        let scores = (scores + Tensor::from_vec(left_out, (n, n), &Device::Cpu)?)?;
        finite(ops::cross_entropy(&scores, (0..n as u32).collect(), vec![1.0 / total; n])?)
    }

    /// Mean of each text's last hidden states, scaled to length 1: [texts, hidden].
    fn embeddings(&self, texts: &[&[u32]], mode: Mode) -> Result<Tensor> {
        if texts.is_empty() {
            return Err(Error::new(Kind::BadInput, "there are no texts to embed"));
        }
        let (tokens, lengths) = self.side_by_side(texts)?;
        let (n, longest) = tokens.dims2()?;
        let weights = |length: usize| (0..longest).map(move |i| if i < length { 1.0 / length as f32 } else { 0.0 });
        let weights: Vec<f32> = lengths.iter().flat_map(|length| weights(*length)).collect();
        let input = Input { lengths: Some(lengths), ..Input::default() };
        let rows = self.normed_rows(&tokens, input, self.pass(mode))?;
        // [texts, tokens, hidden] times [texts, tokens, 1], summed over tokens.
        let rows = rows.reshape((n, longest, self.config().hidden_size))?;
        let mean = rows.broadcast_mul(&Tensor::from_vec(weights, (n, longest, 1), &Device::Cpu)?)?.sum(1)?;
        let length = (mean.sqr()?.sum_keepdim(1)? + f64::from(f32::MIN_POSITIVE))?.sqrt()?;
        Ok(mean.broadcast_div(&length)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{ModelConfig, encoder_config};
    use candle_core::Var;

    const PAIRS: [(&[u32], &[u32]); 3] =
        [(&[1, 7, 8, 9], &[1, 7, 10]), (&[1, 11], &[1, 12, 13, 14, 15]), (&[1, 16, 17], &[1, 18, 17])];

    fn models() -> [Model; 2] {
        let mut config = encoder_config(24, (16, 2, 2), 16, &[]);
        config["architectures"] = vec!["BertModel"].into();
        let models = [
            Model::init(&ModelConfig { max_position_embeddings: 16, ..ModelConfig::sized(24, 16, 2, 2) }, 1).unwrap(),
            Model::init_family(&config, 1).unwrap(),
        ];
        for model in &models {
            // Embeddings that differ: fresh ones are near to each other.
            for (i, (_, var)) in model.named_parameters().iter().enumerate().filter(|(_, (_, var))| var.rank() == 2) {
                let number = |n: usize| (((n * 7919 + i * 101 + 13) % 997) as f32 / 498.5 - 1.0) * 0.4;
                let numbers: Vec<f32> = (0..var.elem_count()).map(number).collect();
                var.set(&Tensor::from_vec(numbers, var.shape(), var.device()).unwrap()).unwrap();
            }
        }
        models
    }

    #[test]
    fn texts_side_by_side_are_embedded_as_alone() {
        for model in models() {
            let texts: Vec<&[u32]> = PAIRS.iter().flat_map(|(a, b)| [*a, *b]).collect();
            for (text, got) in texts.iter().zip(model.embed_all(&texts).unwrap()) {
                let want = model.embed(text).unwrap();
                // Sums of 16 products in another order.
                assert!(got.iter().zip(&want).all(|(a, b)| (a - b).abs() < 1e-5), "{got:?} {want:?}");
            }
        }
    }

    #[test]
    fn the_loss_is_its_formula_and_its_gradient_the_slope() {
        for model in models() {
            // Pairs 0 and 2 belong together.
            let are_rivals = |i: usize, j: usize| i % 2 != j % 2;
            let value = || model.ranking_loss(&PAIRS, are_rivals, (5.0, 3.0), 0).unwrap();
            let embed = |text: &[u32]| model.embed(text).unwrap();
            let cosine = |i: usize, j: usize| -> f64 {
                let (a, p) = (embed(PAIRS[i].0), embed(PAIRS[j].1));
                a.iter().zip(&p).map(|(a, p)| f64::from(*a) * f64::from(*p)).sum()
            };
            let cost = |i: usize| {
                let sum: f64 =
                    (0..3).filter(|j| i == *j || are_rivals(i, *j)).map(|j| (5.0 * cosine(i, j)).exp()).sum();
                sum.ln() - 5.0 * cosine(i, i)
            };
            let want = (cost(0) + cost(1) + cost(2)) / 3.0;
            let loss = f64::from(value().to_scalar::<f32>().unwrap());
            assert!((loss - want).abs() < 1e-5, "{loss} {want}");
            let gradients = value().backward().unwrap();
            let learning = |(name, _): &(String, Var)| !name.starts_with("lm_head");
            let mut n_long = 0;
            for (name, var) in model.trainable_parameters().into_iter().filter(learning) {
                let gradient = gradients.get(&var).unwrap_or_else(|| panic!("`{name}` got no gradient"));
                let length = f64::from(gradient.sqr().unwrap().sum_all().unwrap().to_scalar::<f32>().unwrap().sqrt());
                n_long += u32::from(length > 1e-2);
                let before = var.as_detached_tensor().copy().unwrap();
                let moved = |by: f64| {
                    var.set(&(&before + (gradient * (by / length.max(1e-9))).unwrap()).unwrap()).unwrap();
                    let value = f64::from(value().to_scalar::<f32>().unwrap());
                    var.set(&before).unwrap();
                    value
                };
                // f32 losses near 1 are exact to 1e-7, over a distance of 2e-2 to 1e-5; the third derivative adds 1e-4 or so.
                let slope = (moved(1e-2) - moved(-1e-2)) / 2e-2;
                assert!((slope - length).abs() < 4e-4 + 0.02 * length, "`{name}`: gradient {length}, slope {slope}");
            }
            assert!(n_long > 10, "{n_long} gradients are long enough to judge");
        }
    }
}
