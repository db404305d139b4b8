//! The shape of a fresh model, read and written as Hugging Face's `config.json`. What a published model's file says is
//! read by [`Architecture`].

use crate::{
    architecture::Architecture,
    error::{Error, Kind, Result},
};
use serde::{Deserialize, Serialize};
use std::path::Path;

/// File name of the configuration in a model's folder.
pub const CONFIG_FILE: &str = "config.json";

/// Shape of a Llama-architecture decoder (Touvron et al. 2023), in the words of Hugging Face's `LlamaConfig`.
///
/// ```
/// let config = loopwright_lm::ModelConfig::small(1_000);
/// assert_eq!(config.head_width(), 32);
/// assert!(config.check().is_ok());
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ModelConfig {
    /// `["LlamaForCausalLM"]`.
    pub architectures: Vec<String>,
    /// `llama`.
    pub model_type: String,
    /// Width of a token's vector.
    pub hidden_size: usize,
    /// Width inside the feed-forward part.
    pub intermediate_size: usize,
    /// Blocks of attention and feed-forward.
    pub num_hidden_layers: usize,
    /// Query heads.
    pub num_attention_heads: usize,
    /// Key and value heads; divides the query heads.
    pub num_key_value_heads: usize,
    /// Width of a head; `hidden_size / num_attention_heads` where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub head_dim: Option<usize>,
    /// Number of tokens known.
    pub vocab_size: usize,
    /// Added to the mean square before its root.
    pub rms_norm_eps: f64,
    /// Base of the rotary angles.
    #[serde(default = "default_theta")]
    pub rope_theta: f64,
    /// Tokens that a prompt and its answer may have together.
    pub max_position_embeddings: usize,
    /// Whether the output head is the embedding matrix.
    #[serde(default)]
    pub tie_word_embeddings: bool,
    /// Activation of the feed-forward part; `silu`.
    pub hidden_act: String,
    /// First token of a text.
    pub bos_token_id: u32,
    /// Last token of an answer.
    pub eos_token_id: u32,
    /// Fills short rows of a batch.
    #[serde(default)]
    pub pad_token_id: Option<u32>,
    /// Bias in the attention's maps.
    #[serde(default)]
    pub attention_bias: bool,
    /// Bias in the feed-forward's maps.
    #[serde(default)]
    pub mlp_bias: bool,
    /// Scaled rotary angles, as [`crate::RopeScaling`] reads them.
    #[serde(default)]
    pub rope_scaling: Option<serde_json::Value>,
    /// Type of the stored numbers; `float32`.
    #[serde(default = "default_dtype")]
    pub torch_dtype: String,
}

fn default_theta() -> f64 {
    10_000.0
}

fn default_dtype() -> String {
    "float32".into()
}

impl ModelConfig {
    /// A decoder that pre-trains in seconds on two cores: width 96, 2 layers, 3 heads, 256 positions, tied embeddings,
    /// and the special tokens of [`crate::chat`].
    pub fn small(vocab_size: usize) -> Self {
        Self::sized(vocab_size, 96, 2, 3)
    }

    /// A decoder of the given width, layers and heads; the feed-forward part is 8/3 as wide, rounded up to 32.
    pub fn sized(vocab_size: usize, hidden_size: usize, layers: usize, heads: usize) -> Self {
        Self {
            architectures: vec!["LlamaForCausalLM".into()],
            model_type: "llama".into(),
            hidden_size,
            intermediate_size: (hidden_size * 8 / 3).next_multiple_of(32),
            num_hidden_layers: layers,
            num_attention_heads: heads,
            num_key_value_heads: heads,
            head_dim: None,
            vocab_size,
            rms_norm_eps: 1e-5,
            rope_theta: default_theta(),
            max_position_embeddings: 256,
            tie_word_embeddings: true,
            hidden_act: "silu".into(),
            bos_token_id: crate::chat::BOS,
            eos_token_id: crate::chat::EOS,
            pad_token_id: Some(crate::chat::PAD),
            attention_bias: false,
            mlp_bias: false,
            rope_scaling: None,
            torch_dtype: default_dtype(),
        }
    }

    /// Width of a head.
    pub fn head_width(&self) -> usize {
        self.head_dim.unwrap_or(self.hidden_size / self.num_attention_heads.max(1))
    }

    /// Refuses shapes that no model can have and features that this crate lacks, by key, expected and got.
    pub fn check(&self) -> Result<()> {
        self.resolve().map(drop)
    }

    /// What a model of this configuration computes.
    pub fn resolve(&self) -> Result<Architecture> {
        let value = serde_json::to_value(self)
            .map_err(|source| Error::caused(Kind::Bug, "failed to write a model configuration as JSON", source))?;
        Architecture::from_json(&value)
    }

    /// Reads and checks `config.json` in a model's folder.
    pub fn load(dir: &Path) -> Result<Self> {
        let path = dir.join(CONFIG_FILE);
        let bytes = std::fs::read(&path).map_err(|source| Error::io("read", &path, source))?;
        let config: Self = serde_json::from_slice(&bytes).map_err(|source| {
            Error::caused(
                Kind::BadConfig,
                format!("failed to read the model configuration `{}`", path.display()),
                source,
            )
        })?;
        config.check()?;
        Ok(config)
    }

    /// Writes `config.json` into a model's folder.
    pub fn save(&self, dir: &Path) -> Result<()> {
        crate::weights::write_file(&dir.join(CONFIG_FILE), &self.to_json()?)
    }

    /// The bytes of `config.json`.
    pub(crate) fn to_json(&self) -> Result<Vec<u8>> {
        let mut json = serde_json::to_vec_pretty(self)
            .map_err(|source| Error::caused(Kind::Bug, "failed to write a model configuration as JSON", source))?;
        json.push(b'\n');
        Ok(json)
    }
}

/// The `config.json` of a small encoder written like BERT that tells classes apart, for [`crate::Model::init_family`]: of the
/// given width, layers and heads, four times as wide in the feed-forward part, and with room for `positions` tokens.
pub fn encoder_config(
    vocab_size: usize,
    (hidden_size, layers, heads): (usize, usize, usize),
    positions: usize,
    classes: &[&str],
) -> serde_json::Value {
    let names: serde_json::Map<_, _> =
        classes.iter().enumerate().map(|(i, name)| (i.to_string(), (*name).into())).collect();
    let numbers: serde_json::Map<_, _> =
        classes.iter().enumerate().map(|(i, name)| ((*name).to_owned(), i.into())).collect();
    serde_json::json!({
        "architectures": ["BertForSequenceClassification"],
        "model_type": "bert",
        "hidden_size": hidden_size,
        "intermediate_size": 4 * hidden_size,
        "num_hidden_layers": layers,
        "num_attention_heads": heads,
        "vocab_size": vocab_size,
        "max_position_embeddings": positions,
        "type_vocab_size": 2,
        "layer_norm_eps": 1e-12,
        "hidden_act": "gelu",
        "pad_token_id": crate::chat::PAD,
        "id2label": names,
        "label2id": numbers,
        "torch_dtype": "float32",
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(change: impl Fn(&mut serde_json::Value), want: &str) {
        let dir = tempfile::tempdir().unwrap();
        let mut json = serde_json::to_value(ModelConfig::small(300)).unwrap();
        change(&mut json);
        std::fs::write(dir.path().join(CONFIG_FILE), json.to_string()).unwrap();
        let error = ModelConfig::load(dir.path()).unwrap_err();
        assert_eq!(error.kind(), Kind::BadConfig);
        let source = std::error::Error::source(&error).map(ToString::to_string).unwrap_or_default();
        let text = format!("{error} {source}");
        assert!(text.contains(want), "{text}");
    }

    #[test]
    fn wrong_configurations_are_refused_by_key() {
        check(
            |json| {
                json.as_object_mut().unwrap().remove("hidden_size");
            },
            "missing field `hidden_size`",
        );
        check(|json| json["num_key_value_heads"] = 2.into(), "`num_key_value_heads` must divide");
        check(|json| json["num_attention_heads"] = 4.into(), "`num_key_value_heads`");
        check(|json| json["hidden_act"] = "gelu".into(), "`hidden_act`");
        check(|json| json["vocab_size"] = 0.into(), "`vocab_size` must be positive");
        check(|json| json["architectures"] = serde_json::json!(["GPT2LMHeadModel"]), "`architectures`");
        check(|json| json["rope_scaling"] = serde_json::json!({"factor": 2}), "`rope_scaling`");
    }

    #[test]
    fn a_written_configuration_is_read_back() {
        let dir = tempfile::tempdir().unwrap();
        let config = ModelConfig { head_dim: Some(16), ..ModelConfig::small(300) };
        config.save(dir.path()).unwrap();
        assert_eq!(ModelConfig::load(dir.path()).unwrap(), config);
    }
}
