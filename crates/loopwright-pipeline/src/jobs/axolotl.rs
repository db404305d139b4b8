//! Settings from an axolotl configuration, and what of it has no counterpart here.

use crate::{
    error::{Doing, Error, Result},
    project::{TrainSettings, own_names, train_aliases},
};
use loopwright_types::ModelRef;
use serde::Deserialize;
use serde_json::Value;
use std::path::Path;

/// Settings, and what was said that they do not hold.
#[derive(Clone, Debug, PartialEq)]
pub struct Read {
    /// The settings, over those that there were.
    pub train: TrainSettings,
    /// One line for each key that has no effect, with the reason.
    pub unsupported: Vec<String>,
}

/// Keys with a counterpart of the same name, besides the aliases.
const SAME: [&str; 18] = [
    "gradient_accumulation_steps",
    "gradient_checkpointing",
    "load_in_4bit",
    "load_in_8bit",
    "max_steps",
    "warmup_steps",
    "warmup_ratio",
    "lr_scheduler",
    "weight_decay",
    "max_grad_norm",
    "adam_beta1",
    "adam_beta2",
    "adam_epsilon",
    "eval_steps",
    "early_stopping_patience",
    "lora_r",
    "lora_alpha",
    "lora_dropout",
];

/// Keys that change no result here, or only say where things go, and need no word.
const SILENT: [&str; 21] = [
    "logging_steps",
    "flash_attention",
    "xformers_attention",
    "sdp_attention",
    "gradient_checkpointing_kwargs",
    "tf32",
    "group_by_length",
    "dataset_prepared_path",
    "output_dir",
    "strict",
    "wandb_project",
    "wandb_entity",
    "wandb_watch",
    "wandb_name",
    "wandb_log_model",
    "saves_per_epoch",
    "save_total_limit",
    "save_safetensors",
    "special_tokens",
    "tokens",
    "debug",
];

/// Reads a configuration over settings.
pub fn read(path: &Path, train: &TrainSettings) -> Result<Read> {
    let text = std::fs::read_to_string(path).doing(|| format!("failed to read `{}`", path.display()))?;
    let fields = loopwright_sources::yaml::fields(&text)
        .map_err(|problem| Error::user(format!("`{}` is not YAML: {problem}", path.display())))?;
    let mut table = toml::Table::new();
    let mut unsupported = Vec::new();
    for (key, value) in &fields {
        if let Err(why) = take(key, value, &mut table) {
            unsupported.push(format!("`{key}: {}` has no effect: {why}", shown(value)));
        }
    }
    own_names(&mut table, train_aliases());
    let mut full = toml::Table::try_from(train).map_err(|error| Error::bug("settings are no table").because(error))?;
    for (key, value) in table {
        let value = match (&full[&key], value) {
            (toml::Value::Float(_), toml::Value::Integer(whole)) => toml::Value::Float(whole as f64),
            (_, value) => value,
        };
        full.insert(key, value);
    }
    let train = TrainSettings::deserialize(toml::Value::Table(full))
        .doing(|| format!("a value in `{}` has the wrong type", path.display()))?;
    Ok(Read { train, unsupported })
}

fn shown(value: &Value) -> String {
    let text = value.to_string();
    if text.chars().count() > 40 { text.chars().take(40).chain(['…']).collect() } else { text }
}

/// Takes a key over, or says why not.
fn take(key: &str, value: &Value, table: &mut toml::Table) -> Result<(), String> {
    let is_off = matches!(value, Value::Null | Value::Bool(false));
    match key {
        "base_model" => match value.as_str().map(str::parse::<ModelRef>) {
            Some(Ok(_)) => put(key, value, table),
            _ => Err(
                "take the model over with `loopwright model import DIR` and name its version in `base` of `[train.*]`"
                    .into(),
            ),
        },
        "adapter" => match value.as_str() {
            Some("lora") => put(key, value, table),
            // With `load_in_4bit`, which such a configuration sets.
            Some("qlora") => {
                table.insert("method".into(), "lora".into());
                Ok(())
            }
            None => {
                table.insert("method".into(), "full".into());
                Ok(())
            }
            Some(_) => Err("adapters are `lora`".into()),
        },
        "lora_target_linear" if value == &Value::Bool(true) => {
            table.insert("lora_targets".into(), vec!["all-linear"].into());
            Ok(())
        }
        "peft_use_rslora" => put("use_rslora", value, table),
        "optimizer" => match value.as_str() {
            Some("adamw_torch" | "adamw_torch_fused" | "adamw_hf") => Ok(()),
            _ => Err("the optimiser is AdamW in f32".into()),
        },
        "train_on_inputs" if is_off => Ok(()),
        "train_on_inputs" => Err("the loss is taken on what the assistant says".into()),
        "bf16" | "bfloat16" if matches!(value.as_str(), None | Some("auto" | "true")) && !is_off => {
            table.insert("bf16".into(), true.into());
            Ok(())
        }
        "bf16" | "fp16" | "bfloat16" | "float16" if !is_off => {
            Err("products are in f32, or in bf16 with `bf16: true`; weights are in f32".into())
        }
        "datasets" | "test_datasets" | "val_set_size" | "chat_template" => {
            Err("rows and their splits come from `[data.*]`, the chat template from the model's folder".into())
        }
        "seed" => Err("the seed is the project's".into()),
        "sample_packing" | "pad_to_sequence_len" | "eval_sample_packing" if !is_off => {
            Err("plain texts are packed; conversations lie in batches of like length".into())
        }
        _ if is_off || SILENT.contains(&key) => Ok(()),
        _ if SAME.contains(&key) || train_aliases().iter().any(|(alias, _)| *alias == key) => put(key, value, table),
        _ => Err("it is not known here".into()),
    }
}

fn put(key: &str, value: &Value, table: &mut toml::Table) -> Result<(), String> {
    let value = toml::Value::try_from(value).map_err(|error| error.to_string())?;
    table.insert(key.to_string(), value);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::project::{DEFAULT_FILE, Project};
    use loopwright_train::{Method, Schedule};
    use std::collections::BTreeSet;

    fn read_text(text: &str) -> Result<Read> {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), text).unwrap();
        let project = Project::resolve(DEFAULT_FILE, Path::new("p")).unwrap();
        read(file.path(), &project.the_loop(None).unwrap().train)
    }

    #[test]
    fn a_configuration_is_taken_over_and_the_rest_is_said() {
        let text = "base_model: NousResearch/Llama-3.2-1B\nadapter: qlora\nload_in_4bit: true\nlora_r: 8\nlora_alpha: 16\n\
                    lora_dropout: 0.05\nlora_target_modules:\n  - q_proj\n  - v_proj\nsequence_len: 512\nmicro_batch_size: 2\n\
                    gradient_accumulation_steps: 4\nnum_epochs: 2\noptimizer: adamw_bnb_8bit\nlr_scheduler: linear\n\
                    learning_rate: 2e-4\nbf16: auto\nwarmup_steps: 10\nweight_decay: 0.01\nflash_attention: true\n\
                    wandb_project:\nmystery: 7\n";
        let Read { train, unsupported } = read_text(text).unwrap();
        assert_eq!((train.lora_r, train.lora_alpha, train.lora_dropout), (8, 16.0, 0.05));
        assert_eq!(train.lora_targets, ["q_proj", "v_proj"]);
        assert_eq!((train.context_tokens, train.batch_size, train.gradient_accumulation_steps), (512, 2, 4));
        assert_eq!((train.epochs, train.lr, train.warmup_steps, train.weight_decay), (2, 2e-4, 10, 0.01));
        assert_eq!((train.method, train.lr_scheduler), (Method::Lora, Schedule::Linear));
        let said: BTreeSet<&str> = unsupported.iter().filter_map(|line| line.split([':', '`']).nth(1)).collect();
        assert_eq!(said, ["base_model", "mystery", "optimizer"].into());
        assert!(train.load_in_4bit && !train.load_in_8bit && train.bf16);
        let said = read_text("bf16: full\nfp16: true\n").unwrap().unsupported;
        assert_eq!(said.len(), 2, "{said:?}");
        assert!(unsupported[0].contains("loopwright model import"));
    }

    #[test]
    fn wrong_values_and_files_are_refused() {
        assert!(read_text("lora_r: many\n").unwrap_err().to_string().contains("wrong type"));
        assert!(read_text("a: [\n").unwrap_err().to_string().contains("not YAML"));
        assert_eq!(read_text("adapter:\nlora_target_linear: true\n").unwrap().train.method, Method::Full);
    }
}
