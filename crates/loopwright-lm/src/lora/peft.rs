//! `adapter_config.json` and `adapter_model.safetensors`, as the PEFT library writes and reads them.

use super::{ALL_LINEAR, Adapter, LoraConfig};
use crate::{
    architecture::{Architecture, Keys, Task},
    body::class_head,
    error::{Error, Kind, Result},
    model::Model,
    weights::{self, WeightFile},
};
use serde::Serialize;
use serde_json::Value;
use std::path::Path;

/// File name of an adapter's configuration.
pub const ADAPTER_CONFIG_FILE: &str = "adapter_config.json";
/// File name of an adapter's weights.
pub const ADAPTER_WEIGHTS_FILE: &str = "adapter_model.safetensors";

/// What we write; PEFT has defaults for the rest.
#[derive(Serialize)]
struct Written<'a> {
    peft_type: &'a str,
    task_type: Option<&'a str>,
    base_model_name_or_path: Option<&'a str>,
    r: usize,
    lora_alpha: f64,
    lora_dropout: f64,
    target_modules: Vec<&'a str>,
    bias: &'a str,
    fan_in_fan_out: bool,
    inference_mode: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    modules_to_save: Option<Vec<&'a str>>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    use_rslora: bool,
}

/// Keys that say where an adapter comes from and how it began, and do not change what it computes.
const INERT: &[&str] = &[
    "auto_mapping",
    "base_model_name_or_path",
    "ensure_weight_tying",
    "inference_mode",
    "megatron_core",
    "peft_version",
    "qalora_group_size",
    "revision",
    "runtime_config",
];

impl Adapter {
    /// Reads a PEFT folder for a model of this shape. Refuses what we do not compute by its key, and missing, misshapen
    /// and unknown tensors by name.
    pub fn load(dir: &Path, model: &Model) -> Result<Self> {
        let config = LoraConfig::load(dir, model.config())?;
        let mut file = WeightFile::read(&dir.join(ADAPTER_WEIGHTS_FILE))?;
        let adapter = Self::build(model, &config, |name, shape| file.take_var(name, shape))?;
        file.finish()?;
        Ok(adapter)
    }

    /// Writes `adapter_config.json` and `adapter_model.safetensors` into an existing folder; the same weights give the
    /// same bytes.
    pub fn save(&self, dir: &Path) -> Result<()> {
        let (config, inner) = (self.config(), &self.inner);
        let mut target_modules: Vec<&str> = match config.targets.iter().any(|target| target == ALL_LINEAR) {
            false => config.targets.iter().map(String::as_str).collect(),
            // PEFT's own word for it would take in maps by a rule of its own; the names say what there is.
            true => self.target_names(),
        };
        target_modules.sort_unstable();
        target_modules.dedup();
        let class_head = inner.class_head.as_ref().map(|(name, ..)| name.as_str());
        let written = Written {
            peft_type: "LORA",
            task_type: match class_head {
                Some(_) => Some("SEQ_CLS"),
                None if inner.maps.iter().any(|(path, _)| path.starts_with("encoder.")) => Some("FEATURE_EXTRACTION"),
                None => Some("CAUSAL_LM"),
            },
            base_model_name_or_path: None,
            r: config.r,
            lora_alpha: config.alpha,
            lora_dropout: config.dropout,
            target_modules,
            bias: "none",
            fan_in_fan_out: false,
            inference_mode: true,
            modules_to_save: class_head.map(|name| vec![name]),
            use_rslora: config.use_rslora,
        };
        let mut json = serde_json::to_string_pretty(&written)
            .map_err(|source| Error::caused(Kind::Bug, "failed to write an adapter configuration as JSON", source))?;
        json.push('\n');
        weights::write_file(&dir.join(ADAPTER_CONFIG_FILE), json.as_bytes())?;
        let tensors: Vec<_> =
            self.named_parameters().into_iter().map(|(name, var)| (name, var.as_detached_tensor())).collect();
        weights::write(&dir.join(ADAPTER_WEIGHTS_FILE), &tensors)
    }

    /// Last parts of the names of the maps that it changes.
    fn target_names(&self) -> Vec<&str> {
        let changed = self.inner.maps.iter().filter(|(_, pair)| pair.is_some());
        let mut names: Vec<&str> = changed.filter_map(|(path, _)| path.rsplit('.').next()).collect();
        names.extend(self.inner.head.as_ref().map(|_| crate::body::LANGUAGE_HEAD));
        names
    }
}

impl LoraConfig {
    /// Reads the configuration in a PEFT folder alone, for a model of this shape.
    pub fn load(dir: &Path, architecture: &Architecture) -> Result<Self> {
        let path = dir.join(ADAPTER_CONFIG_FILE);
        let bytes = std::fs::read(&path).map_err(|source| Error::io("read", &path, source))?;
        let failed = |source: Box<dyn std::error::Error + Send + Sync>| {
            let message = format!("failed to read the adapter configuration `{}`", path.display());
            Error::caused(Kind::BadConfig, message, source)
        };
        let value: Value = serde_json::from_slice(&bytes).map_err(|source| failed(source.into()))?;
        read_config(&value, architecture).map_err(|source| failed(source.into()))
    }
}

fn read_config(value: &Value, architecture: &Architecture) -> Result<LoraConfig> {
    let mut keys = Keys::new("adapter configuration", value)?;
    if keys.text("peft_type")? != Some("LORA") {
        let got = value.get("peft_type").unwrap_or(&Value::Null);
        return keys.refuse(format!("`peft_type` must be \"LORA\", got {got}"));
    }
    keys.only("bias", "none")?;
    keys.only("fan_in_fan_out", false)?;
    check_task(&mut keys, architecture)?;
    check_start(&mut keys)?;
    let targets = match keys.value("target_modules") {
        Some(Value::String(all)) if all == ALL_LINEAR => vec![ALL_LINEAR.to_owned()],
        Some(Value::Array(_)) => {
            keys.texts("target_modules")?.unwrap_or_default().into_iter().map(str::to_owned).collect()
        }
        got => {
            let got = got.unwrap_or(&Value::Null);
            return keys.refuse(format!("`target_modules` must be a list of names or \"{ALL_LINEAR}\", got {got}"));
        }
    };
    let config = LoraConfig {
        r: keys.size("r")?,
        alpha: keys.number("lora_alpha")?,
        dropout: keys.number_if("lora_dropout")?.unwrap_or(0.0),
        targets,
        use_rslora: keys.flag("use_rslora")?,
    };
    keys.ignore(INERT);
    keys.finish()?;
    Ok(config)
}

/// The adapter's task must be the model's, and it must hold the head of classes if there is one and nothing else.
fn check_task(keys: &mut Keys, architecture: &Architecture) -> Result<()> {
    let expected = match &architecture.task {
        Task::Language => "CAUSAL_LM",
        Task::Classes(_) => "SEQ_CLS",
        Task::Features => "FEATURE_EXTRACTION",
    };
    keys.only("task_type", expected)?;
    let saved = keys.texts("modules_to_save")?.unwrap_or_default();
    // PEFT lists both names that a head of classes may have.
    let known = |name: &&str| class_head(architecture).is_some() && ["classifier", "score"].contains(name);
    match saved.iter().find(|name| !known(name)) {
        Some(name) => keys.refuse(format!("`modules_to_save` must name the head of classes at most, got `{name}`")),
        None => Ok(()),
    }
}

/// Some ways to begin change the base's weights, which an adapter's file does not show.
fn check_start(keys: &mut Keys) -> Result<()> {
    match keys.value("init_lora_weights") {
        None | Some(Value::Bool(_)) => Ok(()),
        Some(Value::String(kind)) if kind == "gaussian" => Ok(()),
        Some(other) => keys.refuse(format!("`init_lora_weights` must be true, false or \"gaussian\", got {other}")),
    }
}
