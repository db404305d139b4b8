//! What is particular about published folders: tensors beside the model's own, heads stored twice, and the configuration
//! that goes with weights in f32.

use crate::{
    architecture::{Architecture, Family, Task},
    body::{BERT_ROOT, LANGUAGE_HEAD},
    error::{Error, Kind, Result},
    weights::WeightFile,
};
use serde_json::Value;

/// Leaves out what published files hold beside a model's weights: tables of angles and positions, which follow from the
/// configuration, and of a BERT without classes the pooler and the heads of its first training.
pub(super) fn leave_aside(architecture: &Architecture, file: &mut WeightFile) {
    let encoder = architecture.family == Family::Bert;
    if encoder {
        // The oldest files call a norm's weights so.
        file.rename(|name| {
            name.replace(".LayerNorm.gamma", ".LayerNorm.weight").replace(".LayerNorm.beta", ".LayerNorm.bias")
        });
    }
    if encoder && architecture.task == Task::Features {
        file.rename(|name| name.strip_prefix(BERT_ROOT).unwrap_or(name).to_owned());
        file.drop_where(|name| name.starts_with("cls.") || name.starts_with("pooler."));
    }
    file.drop_where(|name| match encoder {
        true => name.ends_with("embeddings.position_ids"),
        false => name.ends_with(".rotary_emb.inv_freq"),
    });
}

/// A file may hold a tied head a second time; it must be the embedding, whose name, shape and numbers are given.
pub(super) fn check_tied_head(
    architecture: &Architecture,
    (embedding_name, shape, embedding): (&str, &[usize], &[f32]),
    file: &mut WeightFile,
) -> Result<()> {
    let name = format!("{LANGUAGE_HEAD}.weight");
    if !architecture.tie_word_embeddings || architecture.task != Task::Language || !file.has(&name) {
        return Ok(());
    }
    match file.take(&name, shape)? == embedding {
        true => Ok(()),
        false => Err(Error::new(
            Kind::BadFile,
            format!("`tie_word_embeddings` is true, but tensor `{name}` differs from `{embedding_name}`"),
        )),
    }
}

/// The configuration that goes with weights in f32 and with every end of an answer that was found. One that says so
/// already is kept to the byte.
pub(super) fn settled_config(mut value: Value, bytes: Vec<u8>, architecture: &Architecture) -> Result<Vec<u8>> {
    let mut changed = false;
    if Architecture::from_json(&value)?.eos_token_ids != architecture.eos_token_ids {
        value["eos_token_id"] = architecture.eos_token_ids.clone().into();
        changed = true;
    }
    for key in ["dtype", "torch_dtype"] {
        if let Some(dtype) = value.get_mut(key).filter(|dtype| *dtype != "float32") {
            *dtype = "float32".into();
            changed = true;
        }
    }
    if let Some(classes) = value.get_mut("architectures").and_then(Value::as_array_mut) {
        // The heads of its first training are not kept.
        for class in classes.iter_mut().filter(|class| *class == "BertForMaskedLM" || *class == "BertForPreTraining") {
            *class = "BertModel".into();
            changed = true;
        }
    }
    if changed { written(&value) } else { Ok(bytes) }
}

/// The same of weights that are no published folder's.
pub(super) fn settled_value(value: Value, architecture: &Architecture) -> Result<Value> {
    let bytes = written(&value)?;
    let settled = settled_config(value, bytes, architecture)?;
    serde_json::from_slice(&settled)
        .map_err(|source| Error::caused(Kind::Bug, "failed to read our own model configuration", source))
}

pub(super) fn untied_config(bytes: &[u8]) -> Result<Vec<u8>> {
    let failed = |source| Error::caused(Kind::Bug, "failed to read our own model configuration", source);
    let mut value: Value = serde_json::from_slice(bytes).map_err(failed)?;
    value["tie_word_embeddings"] = false.into();
    written(&value)
}

/// The configuration of the same body under a head of classes.
pub(crate) fn config_of_classes(mut config: Value, family: Family, names: &[String]) -> Result<Value> {
    if names.len() < 2 {
        let message = format!("a head of classes needs at least two of them, got {}", names.len());
        return Err(Error::new(Kind::BadInput, message));
    }
    let numbered = || names.iter().enumerate();
    config["architectures"] = vec![family.class_of_classes()].into();
    config["id2label"] = numbered().map(|(i, name)| (i.to_string(), Value::from(name.as_str()))).collect();
    config["label2id"] = numbered().map(|(i, name)| (name.clone(), Value::from(i))).collect();
    config["problem_type"] = "single_label_classification".into();
    if let Some(keys) = config.as_object_mut() {
        keys.remove("num_labels");
    }
    Ok(config)
}

/// The bytes of a configuration.
pub(super) fn written(value: &Value) -> Result<Vec<u8>> {
    let mut json = serde_json::to_vec_pretty(value)
        .map_err(|source| Error::caused(Kind::Bug, "failed to write a model configuration as JSON", source))?;
    json.push(b'\n');
    Ok(json)
}
