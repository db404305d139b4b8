//! Model versions: a base, or an adapter on a base.

use crate::{DatasetRef, Digest, Entity, Timestamp, entity::versioned_ref, id::RunId};
use serde::{Deserialize, Serialize};

versioned_ref!(
    /// A model version, written `name@version`.
    ModelRef, "model_version", "a model version"
);

impl ModelRef {
    /// A provider's model, which has no version here: kept as `provider/model@0`.
    ///
    /// ```
    /// use loopwright_types::ModelRef;
    /// let model = ModelRef::of_provider("openai", "gpt-4o");
    /// assert_eq!(model.to_string().parse(), Ok(model.clone()));
    /// assert_eq!(model.provider_model(), Some("openai/gpt-4o"));
    /// assert_eq!(ModelRef::new("support", 3).provider_model(), None);
    /// assert!("support@0".parse::<ModelRef>().is_err());
    /// ```
    pub fn of_provider(provider: &str, model: &str) -> Self {
        Self::new(format!("{provider}/{model}"), 0)
    }

    /// `provider/model`, of a provider's model.
    pub fn provider_model(&self) -> Option<&str> {
        (self.version == 0).then_some(self.name.as_str())
    }
}

/// What the weights are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ModelKind {
    /// A whole model: `config.json`, `model.safetensors`, `tokenizer.json`.
    Base,
    /// A LoRA adapter in PEFT layout: `adapter_config.json`, `adapter_model.safetensors`.
    Adapter,
}

/// What a version may be used for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ModelState {
    /// Trained, not yet passed by a gate.
    Candidate,
    /// Passed its gate.
    Approved,
    /// Must not be served any more (superseded by a rollback, or trained on erased rows).
    Retired,
}

impl ModelState {
    /// The stored word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Candidate => "candidate",
            Self::Approved => "approved",
            Self::Retired => "retired",
        }
    }
}

/// What is known of a model that was made elsewhere.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Imported {
    /// The folder's name.
    pub from: String,
    /// The architecture, e.g. `llama`.
    pub family: String,
    /// Its licence, as the folder says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub licence: Option<String>,
}

/// One model.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ModelVersion {
    /// Name and number.
    pub model: ModelRef,
    /// Base or adapter.
    pub kind: ModelKind,
    /// The base an adapter sits on.
    pub base: Option<ModelRef>,
    /// The version whose weights training started from, if any.
    pub parent: Option<ModelRef>,
    /// The run that made it; none if it came from elsewhere.
    pub run: Option<RunId>,
    /// The rows it learned from here; none if it came from elsewhere.
    pub dataset: Option<DatasetRef>,
    /// Where it came from, if from elsewhere.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub imported: Option<Imported>,
    /// Digest over its files (name, length, bytes; sorted by name).
    pub digest: Digest,
    /// Number of parameters in its files.
    pub n_parameters: u64,
    /// May it be served?
    pub state: ModelState,
    /// Why it was retired, in words.
    pub state_reason: Option<String>,
    /// When it was made.
    pub created_at: Timestamp,
}

impl Entity for ModelVersion {
    const KIND: &'static str = "model_version";

    fn id(&self) -> String {
        self.model.to_string()
    }

    fn state(&self) -> &str {
        self.state.as_str()
    }
}
