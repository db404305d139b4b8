//! Published families against the reference implementation: for each a tiny checkpoint made by Hugging Face transformers
//! and PEFT (`tests/reference/make_fixtures.py`), with what those libraries compute from it.
//!
//! Tolerances: logits are near 1 to 10 and both sides sum in f32, about a hundred terms deep, so 1e-4 absolute. A sampled
//! gradient may be off by 1e-3 of the whole gradient's norm. Losses over 20 steps of AdamW agree to 1e-3 of themselves.

use candle_core::{Device, Tensor, Var};
use loopwright_lm::{
    AdamW, AdamWSettings, Adapter, Batch, Checkpoint, Form, GenerateSettings, Kind, KvCache, Model, ModelConfig,
    Tokenizer, chat::SPECIAL_TOKENS, generate, held_bytes,
};
use serde::Deserialize;
use std::{
    collections::HashMap,
    path::{Path, PathBuf},
};

const LOGITS: f32 = 1e-4;

#[derive(Deserialize)]
struct Row {
    tokens: Vec<u32>,
    counts: Vec<bool>,
    label: u32,
}

#[derive(Deserialize)]
struct Expected {
    tokens: Vec<Vec<u32>>,
    batches: Vec<Vec<Row>>,
    greedy: Option<Vec<u32>>,
    #[serde(default)]
    full_losses: Vec<f32>,
    #[serde(default)]
    lora_losses: Vec<f32>,
}

pub struct Fixture {
    pub dir: PathBuf,
    expected: Expected,
    tensors: HashMap<String, Tensor>,
}

pub fn fixture(name: &str) -> Fixture {
    let dir = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name);
    let expected = serde_json::from_slice(&std::fs::read(dir.join("expected.json")).unwrap()).unwrap();
    let tensors = candle_core::safetensors::load(dir.join("expected.safetensors"), &Device::Cpu).unwrap();
    Fixture { dir, expected, tensors }
}

fn numbers(tensor: &Tensor) -> Vec<f32> {
    tensor.flatten_all().unwrap().to_vec1().unwrap()
}

/// Largest distance of two lists of the same length.
fn distance(got: &[f32], want: &[f32]) -> f32 {
    assert_eq!(got.len(), want.len());
    got.iter().zip(want).map(|(got, want)| (got - want).abs()).fold(0.0, f32::max)
}

impl Fixture {
    fn model(&self) -> Model {
        Model::load(&self.dir).unwrap_or_else(|error| panic!("{}: {error:?}", self.dir.display()))
    }

    fn has_classes(&self) -> bool {
        self.dir.to_str().unwrap().ends_with("_classes")
    }

    fn numbers(&self, name: &str) -> Vec<f32> {
        numbers(&self.tensors[name])
    }

    fn logits(&self, model: &Model) -> Vec<f32> {
        if self.has_classes() {
            let texts: Vec<&[u32]> = self.expected.batches[0].iter().map(|row| row.tokens.as_slice()).collect();
            return model.classify(&texts).unwrap().concat();
        }
        let tokens = Tensor::new(self.expected.tokens.clone(), &Device::Cpu).unwrap();
        numbers(&model.forward(&tokens, None).unwrap())
    }

    fn loss(&self, model: &Model, batch: usize) -> Tensor {
        let rows = &self.expected.batches[batch];
        if self.has_classes() {
            let texts: Vec<&[u32]> = rows.iter().map(|row| row.tokens.as_slice()).collect();
            let classes: Vec<u32> = rows.iter().map(|row| row.label).collect();
            return model.class_loss(&texts, &classes, 0).unwrap();
        }
        let rows: Vec<(&[u32], &[bool])> =
            rows.iter().map(|row| (row.tokens.as_slice(), row.counts.as_slice())).collect();
        model.loss(&Batch::new(&rows, 0).unwrap(), 0).unwrap()
    }

    fn check_gradients(&self, model: &Model, prefix: &str) {
        let parameters: Vec<(String, Var)> = model.trainable_parameters();
        let known = self.tensors.keys().filter(|key| key.starts_with(&format!("{prefix}."))).count();
        assert_eq!(parameters.len(), known, "{prefix}: as many weights learn here as there");
        let gradients = self.loss(model, 0).backward().unwrap();
        for (name, var) in &parameters {
            let got = gradients.get(var).unwrap_or_else(|| panic!("`{name}` got no gradient"));
            let got = numbers(got);
            let want = self.numbers(&format!("{prefix}.{name}"));
            let norm = got.iter().map(|x| x * x).sum::<f32>().sqrt();
            let stride = (got.len() / 64).max(1);
            let samples: Vec<f32> = std::iter::once(norm).chain(got.into_iter().step_by(stride).take(64)).collect();
            let gap = distance(&samples, &want);
            assert!(gap < 1e-3 * want[0] + 1e-6, "{prefix} `{name}`: off by {gap}, norm {}", want[0]);
        }
    }

    /// Blocks computed twice give the same gradients, whatever their norms and windows.
    fn check_recomputed(&self, model: &Model) {
        let rows = &self.expected.batches[0];
        let rows: Vec<(&[u32], &[bool])> =
            rows.iter().map(|row| (row.tokens.as_slice(), row.counts.as_slice())).collect();
        let batch = Batch::new(&rows, 0).unwrap();
        let want = model.loss(&batch, 0).unwrap().backward().unwrap();
        let (_, got) = model.loss_and_gradients(&batch, batch.weight().unwrap(), 0).unwrap();
        for (name, var) in model.trainable_parameters() {
            let gap = distance(&numbers(got.get(&var).unwrap()), &numbers(want.get(&var).unwrap()));
            assert!(gap < 1e-6, "recomputed `{name}`: off by {gap}");
        }
    }

    fn check_curve(&self, model: &Model, lr: f64, want: &[f32], what: &str) {
        let mut optimizer = AdamW::new(model.trainable_parameters(), AdamWSettings::default());
        let mut worst = 0f32;
        for (step, want) in want.iter().enumerate() {
            let loss = self.loss(model, step % self.expected.batches.len());
            optimizer.step(&loss.backward().unwrap(), lr).unwrap();
            let got = loss.to_scalar::<f32>().unwrap();
            worst = worst.max((got - want).abs() / want);
        }
        report(&format!("{} {what} losses, relative", self.dir.display()), worst);
        assert!(worst < 1e-3, "{what}: losses differ by a share of {worst}");
        assert!(want[want.len() - 1] < want[0], "{what}: nothing was learned");
    }
}

/// Shown with `--nocapture`: what was measured.
#[allow(clippy::print_stderr)]
fn report(what: &str, figure: f32) {
    let what = what.rsplit('/').next().unwrap();
    eprintln!("measured {what}: {figure:.2e}");
}

fn check_logits(fixture: &Fixture, model: &Model, name: &str) {
    let gap = distance(&fixture.logits(model), &fixture.numbers(name));
    report(&format!("{} {name}, absolute", fixture.dir.display()), gap);
    assert!(gap < LOGITS, "{name}: off by {gap}");
}

fn check(name: &str) {
    let fixture = fixture(name);
    let model = fixture.model();
    check_logits(&fixture, &model, "logits");
    if let Some(want) = &fixture.expected.greedy {
        let settings = GenerateSettings { max_tokens: 20, stop_ids: vec![], ..Default::default() };
        let answer = generate(&model, &want[..6], &settings).unwrap();
        assert_eq!(answer.tokens, want[6..], "the greedy answer");
        check_cache(&model, want);
    }
    fixture.check_gradients(&model, "full");
    let start = Adapter::load(&fixture.dir.join("adapter_start"), &model).unwrap();
    let adapted = model.with_adapter(&start);
    fixture.check_gradients(&adapted, "lora");
    if !fixture.has_classes() {
        fixture.check_recomputed(&model);
        fixture.check_recomputed(&adapted);
    }
    let trained = model.with_adapter(&Adapter::load(&fixture.dir.join("adapter"), &model).unwrap());
    check_logits(&fixture, &trained, "lora_logits");
    check_merged(&fixture, &trained);
    fixture.check_curve(&adapted, 1e-2, &fixture.expected.lora_losses, "adapter");
    // Trained here, the adapter ends where PEFT's did.
    let gap = distance(&fixture.logits(&adapted), &fixture.numbers("lora_logits"));
    report(&format!("{name} logits after training, absolute"), gap);
    assert!(gap < 0.05, "after training: off by {gap}");
    fixture.check_curve(&model, 3e-3, &fixture.expected.full_losses, "full");
}

/// The cached forward, in pieces longer and shorter than any window, equals the plain one.
fn check_cache(model: &Model, tokens: &[u32]) {
    let row = |tokens: &[u32]| Tensor::new(tokens, &Device::Cpu).unwrap().unsqueeze(0).unwrap();
    let want = numbers(&model.forward(&row(tokens), None).unwrap());
    for pieces in [vec![1; 26], vec![9, 8, 1, 1, 7], vec![2, 3, 1, 20]] {
        let (mut cache, mut got, mut read) = (KvCache::new(model), Vec::new(), 0);
        for piece in pieces {
            got.extend(numbers(&model.forward(&row(&tokens[read..read + piece]), Some(&mut cache)).unwrap()));
            read += piece;
        }
        let gap = distance(&got, &want);
        assert!(gap < LOGITS, "cached: off by {gap}");
    }
}

/// The merged model computes the same, and is the same after a round trip through files.
fn check_merged(fixture: &Fixture, adapted: &Model) {
    let merged = adapted.merged().unwrap();
    assert!(merged.adapter().is_none());
    check_logits(fixture, &merged, "lora_logits");
    let dir = tempfile::tempdir().unwrap();
    merged.save(dir.path()).unwrap();
    let reread = Model::load(dir.path()).unwrap();
    assert_eq!(fixture.logits(&reread), fixture.logits(&merged));
}

#[test]
fn llama() {
    check("llama");
}

#[test]
fn llama_with_biases() {
    check("llama_bias");
}

#[test]
fn mistral_in_several_files() {
    assert!(!fixture("mistral").dir.join("model.safetensors").exists());
    check("mistral");
}

#[test]
fn qwen2() {
    check("qwen2");
}

#[test]
fn qwen3() {
    check("qwen3");
}

#[test]
fn smollm3() {
    check("smollm3");
}

#[test]
fn gemma() {
    check("gemma");
}

#[test]
fn gemma2() {
    check("gemma2");
}

#[test]
fn gemma3() {
    check("gemma3");
}

#[test]
fn qwen2_with_classes() {
    check("qwen2_classes");
}

#[test]
fn bert_with_classes() {
    check("bert_classes");
}

#[test]
fn bert_embeddings() {
    let fixture = fixture("bert");
    let model = fixture.model();
    let adapted = model.with_adapter(&Adapter::load(&fixture.dir.join("adapter"), &model).unwrap());
    for (name, model) in [("hidden", &model), ("lora_hidden", &adapted), ("lora_hidden", &adapted.merged().unwrap())] {
        let hidden = fixture.tensors[name].to_vec3::<f32>().unwrap();
        for (tokens, rows) in fixture.expected.tokens.iter().zip(hidden) {
            let mut mean = vec![0f32; 32];
            rows.iter().for_each(|row| mean.iter_mut().zip(row).for_each(|(sum, x)| *sum += x));
            let length = mean.iter().map(|x| x * x).sum::<f32>().sqrt();
            mean.iter_mut().for_each(|x| *x /= length);
            let gap = distance(&model.embed(tokens).unwrap(), &mean);
            report(&format!("bert embeddings from {name}, absolute"), gap);
            assert!(gap < 1e-5, "{name}: off by {gap}");
        }
    }
}

#[derive(Deserialize)]
struct GgufExpected {
    tokens: Vec<u32>,
    logits: Vec<Vec<f32>>,
}

/// Q8_0, F16 and BF16, as the transformers library reads the same files (`tests/reference/make_gguf.py`).
#[test]
fn gguf_files() {
    let dir = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/gguf");
    let expected: HashMap<String, GgufExpected> =
        serde_json::from_slice(&std::fs::read(dir.join("expected.json")).unwrap()).unwrap();
    assert_eq!(expected.len(), 3);
    for (name, expected) in expected {
        let model = Model::load_gguf(&dir.join(format!("{name}.gguf"))).unwrap();
        let tokens = Tensor::new(&*expected.tokens, &Device::Cpu).unwrap().unsqueeze(0).unwrap();
        let logits = |model: &Model| numbers(&model.forward(&tokens, None).unwrap());
        let gap = distance(&logits(&model), &expected.logits.concat());
        report(&format!("gguf {name} logits, absolute"), gap);
        assert!(gap < LOGITS, "{name}: off by {gap}");
        // Held for answers, in the file's own blocks where there are such.
        let held = Model::load_gguf_held(&dir.join(format!("{name}.gguf")), None).unwrap();
        assert!(held.is_held() && held.n_parameters() == model.n_parameters());
        let steady = numbers(&held.forward(&tokens, Some(&mut KvCache::new(&held))).unwrap());
        let want = expected.logits.concat();
        let off = steady.iter().zip(&want).map(|(a, b)| (a - b).powi(2)).sum::<f32>().sqrt();
        let share = off / want.iter().map(|x| x * x).sum::<f32>().sqrt();
        // Rows are rounded to 8 bits before they meet blocks of 8: 1/254 of the largest of 32 numbers, over two layers.
        // In bf16 they may be rounded to 8 significant bits.
        let bound = match (held.base_bytes(), model.base_bytes()) {
            (held, full) if held * 2 < full => 0.05,
            (held, full) if held < full => 0.01,
            _ => 1e-4,
        };
        report(&format!("gguf {name} held, share"), share);
        assert!(share < bound, "{name} held: off by {share}");
        // Written as a folder, it is a model like any other.
        let copy = tempfile::tempdir().unwrap();
        model.save(copy.path()).unwrap();
        assert_eq!(logits(&Model::load(copy.path()).unwrap()), logits(&model));
    }
}

/// Saved in few bits, a folder holds what the model would hold of itself, to the bit, and never grows in memory.
#[test]
fn folders_in_few_bits() {
    let model = Model::init(&ModelConfig { num_key_value_heads: 2, ..ModelConfig::sized(320, 256, 2, 4) }, 11).unwrap();
    let tokens = Tensor::new(&[[5u32, 9, 300, 17, 44]], &Device::Cpu).unwrap();
    let answer = |model: &Model| numbers(&model.forward(&tokens, Some(&mut KvCache::new(model))).unwrap());
    for form in [Form::F32, Form::Bf16, Form::Q8_0, Form::Q4K] {
        let dir = tempfile::tempdir().unwrap();
        model.save_in_form(dir.path(), form).unwrap();
        Tokenizer::train_bpe(&["a text"], 265, &SPECIAL_TOKENS).unwrap().save(dir.path()).unwrap();
        let held = Checkpoint::read_held(dir.path(), Form::F32).unwrap().model;
        assert_eq!(answer(&held), answer(&model.held(form).unwrap()), "{form:?}");
        let reckoned = held_bytes(dir.path(), Form::F32).unwrap();
        assert!(reckoned.abs_diff(held.base_bytes()) * 20 < held.base_bytes(), "{form:?}: {reckoned}");
        // It learns like any other.
        let whole = Model::load(dir.path()).unwrap();
        assert!(!whole.is_held() && whole.config() == model.config());
        assert_eq!(whole.forward(&tokens, None).unwrap().dims(), [1, 5, 320]);
    }
    let encoder = Model::init_family(&loopwright_lm::encoder_config(40, (32, 1, 4), 16, &["low", "high"]), 3).unwrap();
    assert_eq!(encoder.save_in_form(Path::new("nowhere"), Form::Q8_0).unwrap_err().kind(), Kind::BadInput);
}

/// A fresh encoder learns which class a text is of by a token that stands anywhere in it.
#[test]
fn a_fresh_encoder_learns_classes() {
    let config = loopwright_lm::encoder_config(40, (32, 1, 4), 16, &["low", "middle", "high"]);
    let model = Model::init_family(&config, 3).unwrap();
    assert_eq!(model.n_parameters(), Model::init_family(&config, 4).unwrap().n_parameters());
    let text = |i: u32| -> Vec<u32> {
        let mut tokens: Vec<u32> = (0..5 + i % 4).map(|t| 10 + (i * 7 + t * 11) % 30).collect();
        let at = (i * 5) as usize % tokens.len();
        tokens[at] = 5 + i % 3;
        tokens
    };
    let batch = |from: u32| -> (Vec<Vec<u32>>, Vec<u32>) { (from..from + 24).map(|i| (text(i), i % 3)).unzip() };
    let mut optimizer = AdamW::new(model.trainable_parameters(), AdamWSettings::default());
    for step in 0..60 {
        let (texts, classes) = batch(24 * (step % 8));
        let texts: Vec<&[u32]> = texts.iter().map(Vec::as_slice).collect();
        let loss = model.class_loss(&texts, &classes, u64::from(step)).unwrap();
        optimizer.step(&loss.backward().unwrap(), 3e-3).unwrap();
    }
    let (texts, classes) = batch(1_000);
    let texts: Vec<&[u32]> = texts.iter().map(Vec::as_slice).collect();
    let logits = model.classify(&texts).unwrap();
    let right =
        logits.iter().zip(&classes).filter(|(row, class)| loopwright_lm::sample::greedy(row) == **class).count();
    // A third would be right by chance.
    assert!(right >= 22, "{right} of 24 are right");
}
