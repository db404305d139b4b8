//! How likely a model finds given answers.

use crate::{
    cache::KvCache,
    error::{Error, Kind, Result},
    generate::log_probability,
    model::Model,
    sample::log_probabilities,
    steady::Segment,
};
use candle_core::{Device, Tensor};

/// Positions of one batch, padding included.
const BATCH_POSITIONS: usize = 4096;

/// Sum of the log-probabilities of `continuation`'s tokens after each prompt. Prompts may differ in length; they run
/// side by side, longest with longest.
pub fn score_continuations(model: &Model, prompts: &[Vec<u32>], continuation: &[u32]) -> Result<Vec<f32>> {
    if let Some(empty) = prompts.iter().position(Vec::is_empty) {
        return Err(Error::new(Kind::BadInput, format!("prompt {empty} has no tokens to continue")));
    }
    if model.is_held() {
        return prompts.iter().map(|prompt| score_held(model, prompt, continuation)).collect();
    }
    let mut order: Vec<usize> = (0..prompts.len()).collect();
    order.sort_by_key(|i| (std::cmp::Reverse(prompts[*i].len()), *i));
    let mut scores = vec![0f32; prompts.len()];
    let mut rest = order.as_slice();
    while let Some(longest) = rest.first().filter(|_| !continuation.is_empty()) {
        let width = prompts[*longest].len() + continuation.len() - 1;
        let (now, later) = rest.split_at((BATCH_POSITIONS / width).clamp(1, rest.len()));
        score_batch(model, prompts, continuation, now)?.into_iter().zip(now).for_each(|(score, i)| scores[*i] = score);
        rest = later;
    }
    Ok(scores)
}

/// The same of one prompt, by a model that is held for answers.
fn score_held(model: &Model, prompt: &[u32], continuation: &[u32]) -> Result<f32> {
    let Some((_, read)) = continuation.split_last() else { return Ok(0.0) };
    let tokens = [prompt, read].concat();
    let cache = &mut KvCache::new(model);
    let n_logits = continuation.len();
    let logits = model.step(&mut [Segment { tokens: &tokens, cache, adapter: model.adapter(), n_logits }])?;
    Ok(continuation.iter().zip(logits).map(|(token, logits)| log_probability(logits, *token)).sum())
}

/// A token with its log-probability after those before it.
#[derive(Clone, Debug, PartialEq)]
pub struct ScoredToken {
    /// The token.
    pub token: u32,
    /// Natural logarithm of its probability; 0 for the first, which follows nothing.
    pub logprob: f32,
    /// The likeliest tokens in its place with theirs, likeliest first; none for the first.
    pub top: Vec<(u32, f32)>,
}

/// Rows of logits held at a time.
const N_ROWS: usize = 128;

/// Each token of a text with its log-probability after those before it, and the `n_top` likeliest in its place.
pub fn score_tokens(model: &Model, tokens: &[u32], n_top: usize) -> Result<Vec<ScoredToken>> {
    let Some(first) = tokens.first() else { return Ok(Vec::new()) };
    let mut scored = vec![ScoredToken { token: *first, logprob: 0.0, top: Vec::new() }];
    let mut cache = KvCache::new(model);
    for (read, next) in tokens[..tokens.len() - 1].chunks(N_ROWS).zip(tokens[1..].chunks(N_ROWS)) {
        let segment = Segment { tokens: read, cache: &mut cache, adapter: model.adapter(), n_logits: read.len() };
        let logits = model.step(&mut [segment])?;
        scored.extend(next.iter().zip(&logits).map(|(token, logits)| scored_token(*token, logits, n_top)));
    }
    Ok(scored)
}

fn scored_token(token: u32, logits: &[f32], n_top: usize) -> ScoredToken {
    let (logprob, top) = log_probabilities(logits, token, n_top);
    ScoredToken { token, logprob, top }
}

fn score_batch(model: &Model, prompts: &[Vec<u32>], continuation: &[u32], which: &[usize]) -> Result<Vec<f32>> {
    let read = &continuation[..continuation.len() - 1];
    let width = which.iter().map(|i| prompts[*i].len()).max().unwrap_or(0) + read.len();
    let mut tokens = Vec::with_capacity(which.len() * width);
    let mut rows = Vec::with_capacity(which.len() * continuation.len());
    for (row, i) in which.iter().enumerate() {
        let first = row * width + prompts[*i].len() - 1;
        rows.extend((first..first + continuation.len()).map(|row| row as u32));
        tokens.extend(prompts[*i].iter().chain(read));
        tokens.resize((row + 1) * width, crate::chat::PAD);
    }
    let tokens = Tensor::from_vec(tokens, (which.len(), width), &Device::Cpu)?;
    let logits = model.logits_at(&tokens, &rows)?.to_vec2::<f32>()?;
    let mut logits = logits.into_iter();
    let sum = |_| continuation.iter().zip(&mut logits).map(|(token, logits)| log_probability(logits, *token)).sum();
    Ok(which.iter().map(sum).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::ModelConfig;

    #[test]
    fn tokens_are_scored_as_continuations_are() {
        let model = Model::init(&ModelConfig::sized(300, 32, 1, 2), 5).unwrap();
        let tokens: Vec<u32> = (0..N_ROWS as u32 + 9).map(|i| 5 + i * 7 % 290).collect();
        let scored = score_tokens(&model, &tokens, 3).unwrap();
        assert_eq!((scored.len(), scored[0].logprob, scored[0].top.len()), (tokens.len(), 0.0, 0));
        for (i, one) in scored.iter().enumerate().skip(1) {
            let [expected] = score_continuations(&model, &[tokens[..i].to_vec()], &tokens[i..=i]).unwrap()[..] else {
                panic!()
            };
            // Two ways of adding up the same: in one pass with a cache, and anew for each prefix.
            assert!((one.logprob - expected).abs() < 1e-3, "{i}: {} {expected}", one.logprob);
            assert!(one.top.len() == 3 && one.top.is_sorted_by(|a, b| a.1 >= b.1));
            assert!(one.logprob <= one.top[0].1);
        }
    }
}
