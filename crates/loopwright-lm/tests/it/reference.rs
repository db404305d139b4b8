//! The forward pass against one written as plainly as the formula, in f64 and without any of the crate's operations.

use crate::{adapted, config, model};
use candle_core::{Device, Tensor};
use loopwright_lm::{KvCache, Model};
use std::collections::BTreeMap;

type Rows = Vec<Vec<f64>>;

/// Weights by name, with the adapter's update B·A·alpha/r added to each map.
fn weights(model: &Model) -> BTreeMap<String, Rows> {
    let rows = |tensor: &Tensor| -> Rows {
        let tensor = if tensor.rank() == 1 { tensor.unsqueeze(0).unwrap() } else { tensor.clone() };
        tensor.to_vec2::<f32>().unwrap().iter().map(|row| row.iter().map(|x| f64::from(*x)).collect()).collect()
    };
    let mut weights: BTreeMap<String, Rows> =
        model.named_parameters().iter().map(|(name, var)| (name.clone(), rows(var))).collect();
    let embedding = weights["model.embed_tokens.weight"].clone();
    weights.entry("lm_head.weight".into()).or_insert(embedding);
    if let Some(adapter) = model.adapter() {
        let scale = adapter.config().alpha / adapter.config().r as f64;
        let updates: BTreeMap<String, Rows> =
            adapter.named_parameters().iter().map(|(name, var)| (name.clone(), rows(var))).collect();
        for (name, a) in updates.iter().filter(|(name, _)| name.ends_with("lora_A.weight")) {
            let b = &updates[&name.replace("lora_A", "lora_B")];
            let path = name.trim_start_matches("base_model.model.").replace("lora_A.weight", "weight");
            let weight = weights.get_mut(&path).unwrap();
            for (row, b) in weight.iter_mut().zip(b) {
                for (column, x) in row.iter_mut().enumerate() {
                    *x += scale * b.iter().zip(a).map(|(b, a)| b * a[column]).sum::<f64>();
                }
            }
        }
    }
    weights
}

fn apply(weight: &Rows, x: &[f64]) -> Vec<f64> {
    weight.iter().map(|row| row.iter().zip(x).map(|(w, x)| w * x).sum()).collect()
}

fn norm(gain: &Rows, x: &[f64]) -> Vec<f64> {
    let mean = x.iter().map(|x| x * x).sum::<f64>() / x.len() as f64;
    x.iter().zip(&gain[0]).map(|(x, g)| x / (mean + 1e-5).sqrt() * g).collect()
}

fn rope(x: &mut [f64], width: usize, position: usize) {
    for head in x.chunks_mut(width) {
        for i in 0..width / 2 {
            let angle = position as f64 / 10_000f64.powf(2.0 * i as f64 / width as f64);
            let (a, b) = (head[i], head[i + width / 2]);
            head[i] = a * angle.cos() - b * angle.sin();
            head[i + width / 2] = b * angle.cos() + a * angle.sin();
        }
    }
}

/// Logits of every position of one sequence.
fn forward(model: &Model, tokens: &[u32]) -> Rows {
    let (w, config) = (weights(model), model.config());
    let (heads, width) = (config.num_attention_heads, config.head_dim);
    let group = heads / config.num_key_value_heads;
    let mut hidden: Rows = tokens.iter().map(|t| w["model.embed_tokens.weight"][*t as usize].clone()).collect();
    for layer in 0..config.num_hidden_layers {
        let of = |name: &str| &w[&format!("model.layers.{layer}.{name}.weight")];
        let normed: Rows = hidden.iter().map(|x| norm(of("input_layernorm"), x)).collect();
        let turned = |name: &str| -> Rows {
            let turn = |(position, x): (usize, &Vec<f64>)| {
                let mut y = apply(of(name), x);
                rope(&mut y, width, position);
                y
            };
            normed.iter().enumerate().map(turn).collect()
        };
        let (q, k) = (turned("self_attn.q_proj"), turned("self_attn.k_proj"));
        let v: Rows = normed.iter().map(|x| apply(of("self_attn.v_proj"), x)).collect();
        for position in 0..tokens.len() {
            let mut mixed = vec![0.0; heads * width];
            for head in 0..heads {
                let (at, kv) = (head * width, head / group * width);
                let score = |past: usize| -> f64 {
                    (0..width).map(|i| q[position][at + i] * k[past][kv + i]).sum::<f64>() / (width as f64).sqrt()
                };
                let shares: Vec<f64> = (0..=position).map(|past| score(past).exp()).collect();
                let sum: f64 = shares.iter().sum();
                for (past, share) in shares.iter().enumerate() {
                    (0..width).for_each(|i| mixed[at + i] += share / sum * v[past][kv + i]);
                }
            }
            let update = apply(of("self_attn.o_proj"), &mixed);
            hidden[position].iter_mut().zip(update).for_each(|(x, u)| *x += u);
        }
        for x in &mut hidden {
            let n = norm(of("post_attention_layernorm"), x);
            let (gate, up) = (apply(of("mlp.gate_proj"), &n), apply(of("mlp.up_proj"), &n));
            let inner: Vec<f64> = gate.iter().zip(up).map(|(g, u)| g / (1.0 + (-g).exp()) * u).collect();
            let update = apply(of("mlp.down_proj"), &inner);
            x.iter_mut().zip(update).for_each(|(x, u)| *x += u);
        }
    }
    hidden.iter().map(|x| apply(&w["lm_head.weight"], &norm(&w["model.norm.weight"], x))).collect()
}

/// f32 against f64 over about a hundred sums of tens of terms near 1: 1e-6 each, 1e-4 with room.
fn close(got: &[f32], want: &[f64], what: &str) {
    assert_eq!(got.len(), want.len());
    for (got, want) in got.iter().zip(want) {
        assert!((f64::from(*got) - want).abs() < 1e-4, "{what}: got {got}, expected {want}");
    }
}

const TOKENS: [u32; 9] = [1, 7, 3, 18, 0, 5, 7, 7, 11];

fn models() -> [(&'static str, Model); 4] {
    [
        ("tied", model(true)),
        ("untied", model(false)),
        ("tied, adapted", adapted(true, 0.5)),
        ("untied, adapted", adapted(false, 0.0)),
    ]
}

#[test]
fn a_whole_sequence_and_one_beside_a_longer_one() {
    for (what, model) in models() {
        let want = forward(&model, &TOKENS);
        let short = forward(&model, &TOKENS[..4]);
        let mut rows = TOKENS.to_vec();
        rows.extend(TOKENS[..4].iter().chain(&[0; 5]));
        let got = model.forward(&Tensor::from_vec(rows, (2, 9), &Device::Cpu).unwrap(), None).unwrap();
        let got = got.to_vec3::<f32>().unwrap();
        want.iter().zip(&got[0]).for_each(|(want, got)| close(got, want, what));
        short.iter().zip(&got[1]).for_each(|(want, got)| close(got, want, what));
    }
}

#[test]
fn through_the_cache_in_pieces() {
    for (what, model) in models() {
        let want = forward(&model, &TOKENS);
        let mut cache = KvCache::new(&model);
        let mut read = 0;
        for piece in [5, 1, 1, 2] {
            let tokens = Tensor::new(&TOKENS[read..read + piece], &Device::Cpu).unwrap().unsqueeze(0).unwrap();
            let got = model.forward(&tokens, Some(&mut cache)).unwrap().to_vec3::<f32>().unwrap();
            got[0].iter().zip(&want[read..]).for_each(|(got, want)| close(got, want, what));
            read += piece;
            assert_eq!(cache.n_tokens(), read);
        }
        assert_eq!(cache.room(), config(true).max_position_embeddings - TOKENS.len());
    }
}

#[test]
fn a_new_adapter_changes_nothing() {
    let model = model(true);
    let adapter = loopwright_lm::Adapter::init(&model, &Default::default(), 3).unwrap();
    let tokens = Tensor::new(&[TOKENS], &Device::Cpu).unwrap();
    let plain = model.forward(&tokens, None).unwrap().flatten_all().unwrap().to_vec1::<f32>().unwrap();
    let adapted = model.with_adapter(&adapter).forward(&tokens, None).unwrap();
    assert_eq!(plain, adapted.flatten_all().unwrap().to_vec1::<f32>().unwrap());
}
