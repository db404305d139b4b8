//! API keys, as they are kept: hashed.

use crate::{Digest, Entity, Timestamp, id::KeyId};
use serde::{Deserialize, Serialize};

/// What a key may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Scope {
    /// Ask models and give feedback.
    Inference,
    /// Also read every page and record, and change routes.
    Admin,
}

/// An API key. The secret is 256 random bits, so a plain SHA-256 of it cannot be guessed back.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ApiKey {
    /// The public half.
    pub id: KeyId,
    /// Who holds it.
    pub owner: String,
    /// SHA-256 of the whole secret text.
    pub hash: Digest,
    /// What it may do.
    pub scope: Scope,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it was withdrawn.
    pub revoked_at: Option<Timestamp>,
}

impl Entity for ApiKey {
    const KIND: &'static str = "api_key";

    fn id(&self) -> String {
        self.id.0.clone()
    }

    fn state(&self) -> &str {
        if self.revoked_at.is_some() { "revoked" } else { "active" }
    }
}
