//! Models and adapters on disk: round trips to the bit, and what is refused.

use crate::{adapted, config, model};
use loopwright_lm::{
    ADAPTER_CONFIG_FILE, ADAPTER_WEIGHTS_FILE, Adapter, CONFIG_FILE, Error, Kind, LoraConfig, Model, ModelConfig,
    WEIGHTS_FILE,
};
use std::path::Path;

fn bytes(dir: &Path, file: &str) -> Vec<u8> {
    std::fs::read(dir.join(file)).unwrap()
}

#[test]
fn a_model_round_trips_to_the_bit() {
    for tied in [true, false] {
        let (first, second) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let model = model(tied);
        model.save(first.path()).unwrap();
        let loaded = Model::load(first.path()).unwrap();
        loaded.save(second.path()).unwrap();
        assert_eq!(loaded.config(), model.config());
        for file in [CONFIG_FILE, WEIGHTS_FILE] {
            assert_eq!(bytes(first.path(), file), bytes(second.path(), file));
        }
        for ((name, a), (_, b)) in model.named_parameters().iter().zip(loaded.named_parameters()) {
            let numbers = |var: &candle_core::Var| var.flatten_all().unwrap().to_vec1::<f32>().unwrap();
            assert_eq!(numbers(a), numbers(&b), "{name}");
        }
    }
}

#[test]
fn the_same_seed_gives_the_same_file_and_another_does_not() {
    let save = |seed| {
        let dir = tempfile::tempdir().unwrap();
        Model::init(&config(true), seed).unwrap().save(dir.path()).unwrap();
        bytes(dir.path(), WEIGHTS_FILE)
    };
    assert_eq!(save(3), save(3));
    assert_ne!(save(3), save(4));
}

#[test]
fn an_adapter_round_trips_in_peft_layout() {
    let (first, second) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let model = adapted(true, 0.1);
    let adapter = model.adapter().unwrap();
    adapter.save(first.path()).unwrap();
    let loaded = Adapter::load(first.path(), &model).unwrap();
    loaded.save(second.path()).unwrap();
    for file in [ADAPTER_CONFIG_FILE, ADAPTER_WEIGHTS_FILE] {
        assert_eq!(bytes(first.path(), file), bytes(second.path(), file));
    }
    let names: Vec<String> = loaded.named_parameters().into_iter().map(|(name, _)| name).collect();
    assert_eq!(names[0], "base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight");
    assert_eq!(names.last().unwrap(), "base_model.model.lm_head.lora_B.weight");
    assert_eq!(names.len(), 2 * (2 * 7 + 1));
    let peft: serde_json::Value = serde_json::from_slice(&bytes(first.path(), ADAPTER_CONFIG_FILE)).unwrap();
    assert_eq!((&peft["peft_type"], &peft["r"], &peft["lora_alpha"]), (&"LORA".into(), &3.into(), &4.0.into()));
}

#[test]
fn a_copied_adapter_learns_by_itself() {
    let model = adapted(true, 0.0);
    let original = model.adapter().unwrap();
    let before = original.named_parameters()[0].1.to_vec2::<f32>().unwrap();
    let copy = original.copy().unwrap();
    crate::scatter(&copy.named_parameters(), 0.9);
    assert_eq!(original.named_parameters()[0].1.to_vec2::<f32>().unwrap(), before);
    assert_ne!(copy.named_parameters()[0].1.to_vec2::<f32>().unwrap(), before);
}

/// The error chain in one line.
fn chain(error: &Error) -> String {
    let mut text = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(error) = source {
        text = format!("{text}: {error}");
        source = error.source();
    }
    text
}

fn check(damage: impl FnOnce(&Path), kind: Kind, words: &[&str]) {
    let dir = tempfile::tempdir().unwrap();
    model(true).save(dir.path()).unwrap();
    damage(dir.path());
    let error = Model::load(dir.path()).unwrap_err();
    let text = chain(&error);
    assert_eq!(error.kind(), kind, "{text}");
    words.iter().for_each(|word| assert!(text.contains(word), "expected {word:?} in {text:?}"));
}

#[test]
fn damaged_models_are_refused_with_their_reason() {
    let weights = |dir: &Path| dir.join(WEIGHTS_FILE);
    let cut = |dir: &Path| {
        let all = std::fs::read(weights(dir)).unwrap();
        std::fs::write(weights(dir), &all[..all.len() - 5]).unwrap();
    };
    check(cut, Kind::BadFile, &["not a whole safetensors file"]);
    check(|dir| std::fs::write(weights(dir), b"").unwrap(), Kind::BadFile, &["(0 bytes)"]);
    check(|dir| std::fs::write(weights(dir), b"<!DOCTYPE html>").unwrap(), Kind::BadFile, &["not a whole"]);
    check(|dir| std::fs::remove_file(weights(dir)).unwrap(), Kind::Io, &["failed to read", WEIGHTS_FILE]);
    let wider = |dir: &Path| ModelConfig { intermediate_size: 24, ..config(true) }.save(dir).unwrap();
    let shape = ["model.layers.0.mlp.gate_proj.weight", "expected shape [24, 20]", "got [22, 20]"];
    check(wider, Kind::BadFile, &shape);
    let deeper = |dir: &Path| ModelConfig { num_hidden_layers: 3, ..config(true) }.save(dir).unwrap();
    check(deeper, Kind::BadFile, &["model.layers.2.self_attn.q_proj.weight", "missing"]);
    let flatter = |dir: &Path| ModelConfig { num_hidden_layers: 1, ..config(true) }.save(dir).unwrap();
    check(flatter, Kind::BadFile, &["model.layers.1.", "not part of this model"]);
    check(|dir| std::fs::write(dir.join(CONFIG_FILE), "{}").unwrap(), Kind::BadConfig, &["missing field"]);
}

#[test]
fn an_adapter_of_another_shape_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    adapted(true, 0.0).adapter().unwrap().save(dir.path()).unwrap();
    let other = Model::init(&ModelConfig { hidden_size: 24, ..config(true) }, 1).unwrap();
    let error = Adapter::load(dir.path(), &other).unwrap_err();
    let text = chain(&error);
    assert_eq!(error.kind(), Kind::BadFile);
    assert!(text.contains("q_proj.lora_A.weight") && text.contains("expected shape [3, 24], got [3, 20]"), "{text}");
}

#[test]
fn wrong_adapter_settings_are_refused_by_key() {
    let refused = |config: LoraConfig| chain(&Adapter::init(&model(true), &config, 0).unwrap_err());
    let good = LoraConfig::default();
    assert!(refused(LoraConfig { r: 0, ..good.clone() }).contains("`r`"));
    assert!(refused(LoraConfig { dropout: 1.0, ..good.clone() }).contains("`dropout`"));
    assert!(refused(LoraConfig { alpha: f64::NAN, ..good.clone() }).contains("`alpha`"));
    assert!(refused(LoraConfig { targets: vec!["qproj".into()], ..good }).contains("got `qproj`"));
}
