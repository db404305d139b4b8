//! Many sequences in one pass: each as it would be alone.

use crate::{adapted, model, noise, scatter};
use loopwright_lm::{Adapter, Form, KvCache, LoraConfig, Model, ModelConfig, PAGE_TOKENS, PagePool, Segment};

/// A model wide enough for every form, and of more positions than three pages.
fn wide(kv_heads: usize) -> Model {
    let mut config =
        ModelConfig { num_key_value_heads: kv_heads, intermediate_size: 288, ..ModelConfig::sized(70, 256, 2, 4) };
    config.max_position_embeddings = 100;
    let model = Model::init(&config, 5).unwrap();
    scatter(&model.named_parameters(), 0.1);
    model
}

fn adapter(model: &Model, seed: u64) -> Adapter {
    let adapter = Adapter::init(model, &LoraConfig { r: 4, ..LoraConfig::default() }, seed).unwrap();
    scatter(&adapter.named_parameters(), 0.2 / seed as f32);
    adapter
}

fn tokens(n: usize, seed: u64) -> Vec<u32> {
    (0..n).map(|i| ((noise(seed * 1_000 + i as u64) + 1.0) * 34.0) as u32).collect()
}

fn read(model: &Model, cache: &mut KvCache, tokens: &[u32], adapter: Option<&Adapter>) -> Vec<Vec<f32>> {
    model.step(&mut [Segment { tokens, cache, adapter, n_logits: tokens.len() }]).unwrap()
}

#[test]
fn an_answer_is_the_same_to_the_bit_in_any_company_and_in_any_pieces() {
    for form in [Form::F32, Form::Bf16, Form::Q8_0, Form::Q4K] {
        let model = wide(2).held(form).unwrap();
        let (one, two) = (adapter(&model, 1), adapter(&model, 2));
        let texts = [tokens(37, 1), tokens(5, 2), tokens(20, 3), tokens(37, 4)];
        let adapters = [None, Some(&one), Some(&two), Some(&one)];
        let alone: Vec<Vec<Vec<f32>>> = texts
            .iter()
            .zip(adapters)
            .map(|(text, adapter)| read(&model, &mut KvCache::new(&model), text, adapter))
            .collect();
        assert_ne!(alone[0], alone[3], "adapters change the answer");
        for pieces in [37, 1, 7, 16] {
            let mut caches: Vec<KvCache> = texts.iter().map(|_| KvCache::new(&model)).collect();
            let mut got: Vec<Vec<Vec<f32>>> = vec![Vec::new(); texts.len()];
            for start in (0..37).step_by(pieces) {
                let mut segments = Vec::new();
                let mut whose = Vec::new();
                for (i, (text, cache)) in texts.iter().zip(&mut caches).enumerate() {
                    let piece = &text[start.min(text.len())..(start + pieces).min(text.len())];
                    if !piece.is_empty() {
                        whose.extend(vec![i; piece.len()]);
                        segments.push(Segment { tokens: piece, cache, adapter: adapters[i], n_logits: piece.len() });
                    }
                }
                let logits = model.step(&mut segments).unwrap();
                assert_eq!(logits.len(), whose.len());
                logits.into_iter().zip(whose).for_each(|(logits, i)| got[i].push(logits));
            }
            assert_eq!(got, alone, "{form:?} in pieces of {pieces}");
        }
    }
}

#[test]
fn forms_answer_nearly_as_the_whole_model() {
    let whole = wide(4);
    let text = tokens(40, 9);
    let want = read(&whole, &mut KvCache::new(&whole), &text, None).concat();
    let size = want.iter().map(|x| x * x).sum::<f32>().sqrt();
    let gap = |form| {
        let held = whole.held(form).unwrap();
        assert_eq!(held.n_parameters(), whole.n_parameters());
        let got = read(&held, &mut KvCache::new(&held), &text, None).concat();
        got.iter().zip(&want).map(|(a, b)| (a - b).powi(2)).sum::<f32>().sqrt() / size
    };
    assert_eq!(gap(Form::F32), 0.0);
    // Evenly spread numbers: 2⁻⁹ of a number; 1/254 of a block's largest for weights and rows; 1/30 of a block's range.
    let (bf16, q8, q4) = (gap(Form::Bf16), gap(Form::Q8_0), gap(Form::Q4K));
    assert!(1e-5 < bf16 && bf16 < 0.01, "{bf16}");
    assert!(1e-4 < q8 && q8 < 0.03, "{q8}");
    assert!(1e-3 < q4 && q4 < 0.25, "{q4}");
}

#[test]
fn a_steady_pass_equals_the_one_that_trains() {
    for model in [model(true), adapted(false, 0.0)] {
        let text: Vec<u32> = (0..11).map(|i| i * 5 % 19).collect();
        let row = candle_core::Tensor::new(text.as_slice(), &candle_core::Device::Cpu).unwrap().unsqueeze(0).unwrap();
        let want = model.forward(&row, None).unwrap().flatten_all().unwrap().to_vec1::<f32>().unwrap();
        let got = read(&model, &mut KvCache::new(&model), &text, model.adapter()).concat();
        let gap = got.iter().zip(&want).map(|(a, b)| (a - b).abs()).fold(0f32, f32::max);
        assert!(gap < 1e-4, "{gap}");
    }
}

#[test]
fn sequences_share_whole_pages_and_go_their_own_ways_behind_them() {
    let model = wide(2);
    let pool = PagePool::new(KvCache::page_bytes(&model) * 7);
    let text = tokens(40, 1);
    let mut first = KvCache::in_pool(&model, &pool);
    let want = read(&model, &mut first, &text, None);
    assert_eq!(pool.used_bytes(), 3 * KvCache::page_bytes(&model));
    assert!(first.whole_page(2).is_none(), "its last page has room left");
    let pages = (0..2).map(|page| first.whole_page(page).unwrap()).collect();
    let mut second = KvCache::in_pool(&model, &pool).with_prefix(pages);
    assert_eq!(second.n_tokens(), 2 * PAGE_TOKENS);
    assert_eq!(read(&model, &mut second, &text[32..], None), want[32..]);
    // Shared pages count once.
    assert_eq!(pool.used_bytes(), 4 * KvCache::page_bytes(&model));
    // Forgetting half of a shared page and going on elsewhere leaves the other sequence as it was.
    second.truncate(24);
    let other = read(&model, &mut second, &tokens(8, 77), None);
    assert_ne!(other[0], want[24]);
    first.truncate(31);
    assert_eq!(read(&model, &mut first, &text[31..], None), want[31..]);
    drop((first, second));
    assert_eq!(pool.used_bytes(), 0);
}

#[test]
fn a_pool_that_is_used_up_refuses_and_nothing_is_lost() {
    let model = wide(2);
    let pool = PagePool::new(KvCache::page_bytes(&model) * 2);
    let text = tokens(40, 1);
    let mut cache = KvCache::in_pool(&model, &pool);
    assert!(cache.reserve(32) && !cache.reserve(33));
    let mut segments = [Segment { tokens: &text, cache: &mut cache, adapter: None, n_logits: 1 }];
    let refused = model.step(&mut segments).unwrap_err();
    assert!(refused.to_string().contains("used up"), "{refused}");
    cache.truncate(0);
    let got = read(&model, &mut cache, &text[..30], None);
    assert_eq!(got, read(&model, &mut KvCache::new(&model), &text[..30], None));
}

#[test]
fn only_what_is_asked_for_is_computed_and_held_models_do_nothing_else() {
    let model = wide(2);
    let text = tokens(20, 1);
    let all = read(&model, &mut KvCache::new(&model), &text, None);
    let mut cache = KvCache::new(&model);
    let mut step = |tokens: &[u32], n_logits| {
        model.step(&mut [Segment { tokens, cache: &mut cache, adapter: None, n_logits }]).unwrap()
    };
    assert!(step(&text[..7], 0).is_empty());
    assert_eq!(step(&text[7..15], 2), all[13..15]);
    assert!(step(&text[15..19], 0).is_empty());
    assert_eq!(step(&text[19..], 9), all[19..]);
    let held = model.held(Form::Q8_0).unwrap();
    let dir = tempfile::tempdir().unwrap();
    assert!(held.is_held() && held.held(Form::F32).is_err() && held.save(dir.path()).is_err() && held.copy().is_err());
}
