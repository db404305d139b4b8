//! Whole folders: what fits together is read and written again, and what does not is refused with its reason.

use crate::{families::fixture, tokenizers::folder};
use loopwright_lm::{
    ADAPTER_CONFIG_FILE, Adapter, Architecture, CONFIG_FILE, Checkpoint, Kind, Model, ModelConfig,
    TOKENIZER_CONFIG_FILE, TOKENIZER_FILE, WEIGHTS_FILE,
};
use serde_json::{Value, json};
use std::path::Path;

/// The error chain in one line.
fn chain(error: &loopwright_lm::Error) -> String {
    let mut text = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(error) = source {
        text = format!("{text}: {error}");
        source = error.source();
    }
    text
}

/// A model of so many tokens beside one of the tokenizers.
fn assemble(vocab_size: usize) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    Model::init(&ModelConfig::sized(vocab_size, 16, 1, 2), 1).unwrap().save(dir.path()).unwrap();
    for file in [TOKENIZER_FILE, TOKENIZER_CONFIG_FILE, "chat_template.jinja"] {
        std::fs::copy(folder("bytes").join(file), dir.path().join(file)).unwrap();
    }
    dir
}

fn edit(dir: &Path, file: &str, change: impl FnOnce(&mut Value)) {
    let path = dir.join(file);
    let mut value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    change(&mut value);
    std::fs::write(path, value.to_string()).unwrap();
}

#[test]
fn a_folder_is_read_and_written_again() {
    let (dir, copy, second) = (assemble(310), tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    std::fs::write(dir.path().join("generation_config.json"), r#"{"eos_token_id": [2, 7]}"#).unwrap();
    edit(dir.path(), CONFIG_FILE, |json| json["eos_token_id"] = 5.into());
    let checkpoint = Checkpoint::read(dir.path()).unwrap();
    assert_eq!(checkpoint.model.config().eos_token_ids, [5, 2, 7]);
    assert_eq!(checkpoint.template.as_ref().unwrap().special_token("eos_token"), Some("<|end|>"));
    checkpoint.save(copy.path()).unwrap();
    let again = Checkpoint::read(copy.path()).unwrap();
    assert_eq!(again.model.config(), checkpoint.model.config());
    again.save(second.path()).unwrap();
    for entry in std::fs::read_dir(copy.path()).unwrap() {
        let name = entry.unwrap().file_name();
        let read = |dir: &Path| std::fs::read(dir.join(&name)).unwrap();
        assert_eq!(read(copy.path()), read(second.path()), "{name:?}");
    }
}

#[test]
fn a_tokenizer_of_another_model_is_refused() {
    let n_tokens = Checkpoint::read(assemble(400).path()).unwrap().tokenizer.vocab_size();
    let error = Checkpoint::read(assemble(n_tokens - 1).path()).unwrap_err();
    assert!(error.kind() == Kind::BadFile && error.to_string().contains(&format!("got {n_tokens}")), "{error}");
    let dir = assemble(400);
    edit(dir.path(), CONFIG_FILE, |json| json["eos_token_id"] = 399.into());
    let error = Checkpoint::read(dir.path()).unwrap_err();
    assert!(error.to_string().contains("`eos_token_id`") && error.to_string().contains("got 399"), "{error}");
    edit(dir.path(), CONFIG_FILE, |json| json["eos_token_id"] = 400.into());
    assert!(
        chain(&Checkpoint::read(dir.path()).unwrap_err()).contains("`eos_token_id` must be below `vocab_size` (400)")
    );
}

#[test]
fn another_pooling_is_refused() {
    let dir = assemble(400);
    std::fs::create_dir(dir.path().join("1_Pooling")).unwrap();
    let read = |modes: Value| {
        std::fs::write(dir.path().join("1_Pooling/config.json"), modes.to_string()).unwrap();
        Checkpoint::read(dir.path())
    };
    assert!(read(json!({"pooling_mode_mean_tokens": true, "pooling_mode_cls_token": false})).is_ok());
    let error = read(json!({"pooling_mode_mean_tokens": false, "pooling_mode_cls_token": true})).unwrap_err();
    assert!(error.to_string().contains("got `pooling_mode_cls_token`"), "{error}");
}

#[test]
fn pickled_weights_are_refused_by_name() {
    let dir = assemble(400);
    std::fs::remove_file(dir.path().join(WEIGHTS_FILE)).unwrap();
    for name in ["pytorch_model.bin", "model.pt", "last.ckpt"] {
        let path = dir.path().join(name);
        std::fs::write(&path, b"\x80\x02").unwrap();
        let error = Model::load(dir.path()).unwrap_err();
        assert_eq!(error.kind(), Kind::BadFile);
        let text = error.to_string();
        assert!(text.contains(name) && text.contains("safetensors") && text.contains("hint: "), "{text}");
        std::fs::remove_file(path).unwrap();
    }
}

#[test]
fn an_index_that_does_not_hold_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let mistral = fixture("mistral").dir;
    for entry in std::fs::read_dir(&mistral).unwrap().map(Result::unwrap).filter(|entry| entry.path().is_file()) {
        std::fs::copy(entry.path(), dir.path().join(entry.file_name())).unwrap();
    }
    let index = "model.safetensors.index.json";
    let refused = |change: &dyn Fn(&mut Value)| {
        std::fs::copy(mistral.join(index), dir.path().join(index)).unwrap();
        edit(dir.path(), index, |json| change(&mut json["weight_map"]));
        chain(&Model::load(dir.path()).unwrap_err())
    };
    let outside = refused(&|map| map["model.norm.weight"] = "../model.safetensors".into());
    assert!(outside.contains("`../model.safetensors`"), "{outside}");
    let missing = refused(&|map| map["model.extra.weight"] = map["model.norm.weight"].clone());
    assert!(missing.contains("tensor `model.extra.weight` is missing"), "{missing}");
    assert!(refused(&|map| map["lm_head.weight"] = "none.safetensors".into()).contains("none.safetensors"));
    assert!(refused(&|map| *map = json!(3)).contains("is not an index"));
}

/// What changes the output and is not computed here is refused by its key, in each family.
#[test]
fn configurations_are_refused_by_key() {
    let refused = |name: &str, key: &str, value: Value, words: &str| {
        let path = fixture(name).dir.join(CONFIG_FILE);
        let mut config: Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
        config[key] = value;
        let error = Architecture::from_json(&config).unwrap_err();
        let text = error.to_string();
        assert!(error.kind() == Kind::BadConfig && text.contains(&format!("`{key}")) && text.contains(words), "{text}");
    };
    refused("llama", "model_type", "gpt2".into(), "");
    refused("llama", "architectures", json!(["LlamaForTokenClassification"]), "LlamaForTokenClassification");
    refused("llama", "rope_parameters", json!({"rope_type": "dynamic", "factor": 2.0}), "\"dynamic\"");
    refused("llama", "quantization_config", json!({"bits": 4}), "is not supported");
    refused("llama", "logit_scale", json!(0.5), "is not supported, got 0.5");
    refused("llama", "hidden_act", "gelu".into(), "must be \"silu\"");
    refused("mistral", "sliding_window", json!("wide"), "positive");
    refused("qwen2", "layer_types", json!(["full_attention"]), "each of 2 layers");
    refused("qwen2", "layer_types", json!(["full_attention", "chunked_attention"]), "chunked_attention");
    refused("qwen2", "use_mrope", json!(true), "is not supported");
    refused("smollm3", "no_rope_layers", json!([1]), "each of 3 layers");
    refused("gemma", "hidden_act", "relu".into(), "gelu_pytorch_tanh");
    refused("gemma2", "attn_logit_softcapping", json!(-1.0), "positive");
    refused("gemma3", "use_bidirectional_attention", json!(true), "false");
    refused("bert", "position_embedding_type", "relative_key".into(), "absolute");
    refused("bert", "is_decoder", json!(true), "false");
    refused("qwen2_classes", "problem_type", "regression".into(), "single_label_classification");
}

/// The names of older releases of the library mean the same.
#[test]
fn older_files_resolve_alike() {
    let resolve = |name: &str, change: &dyn Fn(&mut Value)| {
        let path = fixture(name).dir.join(CONFIG_FILE);
        let mut config: Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
        change(&mut config);
        Architecture::from_json(&config).unwrap()
    };
    let remove = |json: &mut Value, keys: &[&str]| {
        keys.iter().for_each(|key| drop(json.as_object_mut().unwrap().remove(*key)));
    };
    let same =
        |name: &str, change: &dyn Fn(&mut Value)| assert_eq!(resolve(name, change), resolve(name, &|_| ()), "{name}");
    same("llama", &|json| {
        let mut rope = json["rope_parameters"].clone();
        json["rope_theta"] = rope.as_object_mut().unwrap().remove("rope_theta").unwrap();
        json["rope_scaling"] = rope;
        json["torch_dtype"] = "float16".into();
        remove(json, &["rope_parameters", "dtype"]);
    });
    same("qwen2", &|json| {
        json["rope_theta"] = 10000.0.into();
        remove(json, &["rope_parameters", "layer_types"]);
    });
    same("gemma2", &|json| {
        json["rope_theta"] = 10000.0.into();
        json["hidden_act"] = "gelu_pytorch_tanh".into();
        remove(json, &["rope_parameters", "layer_types", "tie_word_embeddings"]);
    });
    same("gemma3", &|json| {
        json["rope_theta"] = 5000.0.into();
        json["rope_local_base_freq"] = 100.0.into();
        json["rope_scaling"] = json!({"rope_type": "linear", "factor": 2.0});
        json["sliding_window_pattern"] = 2.into();
        remove(json, &["rope_parameters", "layer_types", "_sliding_window_pattern"]);
    });
    same("gemma", &|json| {
        json["hidden_act"] = "gelu".into();
        json["hidden_activation"] = Value::Null;
    });
    same("smollm3", &|json| remove(json, &["no_rope_layers", "layer_types"]));
}

#[test]
fn adapters_of_other_methods_are_refused_by_key() {
    let fixture = fixture("llama");
    let model = Model::load(&fixture.dir).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let start = fixture.dir.join("adapter");
    for file in std::fs::read_dir(&start).unwrap().map(Result::unwrap) {
        std::fs::copy(file.path(), dir.path().join(file.file_name())).unwrap();
    }
    let refused = |key: &str, value: Value| {
        std::fs::copy(start.join(ADAPTER_CONFIG_FILE), dir.path().join(ADAPTER_CONFIG_FILE)).unwrap();
        edit(dir.path(), ADAPTER_CONFIG_FILE, |json| json[key] = value);
        let error = Adapter::load(dir.path(), &model).unwrap_err();
        let text = chain(&error);
        assert!(text.contains(&format!("`{key}")), "{text}");
    };
    refused("use_dora", json!(true));
    refused("peft_type", json!("LOHA"));
    refused("bias", json!("all"));
    refused("rank_pattern", json!({"q_proj": 3}));
    refused("alpha_pattern", json!({"q_proj": 3}));
    refused("layers_to_transform", json!([0]));
    refused("modules_to_save", json!(["lm_head"]));
    refused("init_lora_weights", json!("pissa"));
    refused("fan_in_fan_out", json!(true));
    refused("target_modules", json!("q_.*"));
    refused("task_type", json!("SEQ_CLS"));
    refused("lora_bias", json!(true));
    refused("trainable_token_indices", json!([1]));
}
