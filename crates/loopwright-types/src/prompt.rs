//! Instructions as records: versions that are written once, and labels that move between them.

use crate::{Entity, Timestamp};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// One version of a prompt, written once.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PromptVersion {
    /// The prompt's name.
    pub name: String,
    /// Counted from 1.
    pub version: u32,
    /// A Jinja template; what it renders becomes the first system message.
    pub template: String,
    /// When it was written.
    pub created_at: Timestamp,
}

impl Entity for PromptVersion {
    const KIND: &'static str = "prompt_version";

    fn id(&self) -> String {
        format!("{}@{}", self.name, self.version)
    }
}

/// A prompt: its newest version, and which version each label means.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Prompt {
    /// Its name.
    pub name: String,
    /// The newest version.
    pub newest: u32,
    /// Labels, such as `production`, and the versions that they mean now.
    pub labels: BTreeMap<String, u32>,
    /// When it last changed.
    pub updated_at: Timestamp,
}

impl Entity for Prompt {
    const KIND: &'static str = "prompt";

    fn id(&self) -> String {
        self.name.clone()
    }
}
