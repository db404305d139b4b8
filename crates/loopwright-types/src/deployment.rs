//! Packages, routes and rollouts.

use crate::{Digest, Entity, Timestamp, model::ModelRef, score::Interval};
use serde::{Deserialize, Serialize};

/// A model version as a signed OCI image layout.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Package {
    /// The packed version.
    pub model: ModelRef,
    /// Digest of the OCI manifest.
    pub digest: Digest,
    /// All layers and documents, in bytes.
    pub size_bytes: u64,
    /// Fingerprint of the key that signed it (SHA-256 of the public key's DER).
    pub signed_by: String,
    /// When it was built.
    pub created_at: Timestamp,
}

impl Entity for Package {
    const KIND: &'static str = "package";

    fn id(&self) -> String {
        self.model.to_string()
    }
}

/// A door for clients: a model name that stays while the versions behind it change.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Route {
    /// The name clients send as `model`.
    pub name: String,
    /// Who answers; weights in percent add up to 100.
    pub variants: Vec<Variant>,
    /// The change under way, if any.
    pub rollout: Option<Rollout>,
    /// When it last changed.
    pub updated_at: Timestamp,
}

impl Entity for Route {
    const KIND: &'static str = "route";

    fn id(&self) -> String {
        self.name.clone()
    }

    fn state(&self) -> &str {
        match &self.rollout {
            Some(rollout) => rollout.state.as_str(),
            None => "stable",
        }
    }
}

/// One answering model of a route.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Variant {
    /// `live` or `canary`.
    pub name: String,
    /// The version.
    pub model: ModelRef,
    /// Share of requests, in percent.
    pub weight_percent: u32,
}

/// Name of the variant that answers by default.
pub const LIVE: &str = "live";
/// Name of the variant on trial.
pub const CANARY: &str = "canary";

/// A canary on trial against the live variant.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Rollout {
    /// The candidate.
    pub candidate: ModelRef,
    /// The version it would replace.
    pub live: ModelRef,
    /// The candidate's share of traffic, in percent.
    pub share_percent: u32,
    /// Bound on the probability of ever promoting a candidate that is no better.
    pub alpha: f64,
    /// Where it stands.
    pub state: RolloutState,
    /// What has been seen so far.
    pub evidence: Evidence,
    /// When it began.
    pub started_at: Timestamp,
    /// When it was decided.
    pub decided_at: Option<Timestamp>,
}

/// Where a rollout stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RolloutState {
    /// Both answer; not decided yet.
    Running,
    /// The candidate became live.
    Promoted,
    /// The candidate was withdrawn.
    RolledBack,
    /// The traffic ended before either bound was reached; the live variant stays.
    Undecided,
}

impl RolloutState {
    /// The stored word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Promoted => "promoted",
            Self::RolledBack => "rolled_back",
            Self::Undecided => "undecided",
        }
    }
}

/// The state of an always-valid sequential comparison of two streams of right-or-wrong outcomes.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Evidence {
    /// Judged answers of the live variant.
    pub n_live: u64,
    /// Right ones among them.
    pub n_live_right: u64,
    /// Judged answers of the candidate.
    pub n_candidate: u64,
    /// Right ones among them.
    pub n_candidate_right: u64,
    /// Pairs where only the candidate was right.
    pub n_only_candidate: u64,
    /// Pairs where only the live variant was right.
    pub n_only_live: u64,
    /// Pairs in all.
    pub n_pairs: u64,
    /// E-value against "the candidate is no better"; 1/alpha promotes.
    pub e_better: f64,
    /// E-value against "the candidate is no worse"; 1/alpha rolls back.
    pub e_worse: f64,
    /// Largest `e_better` seen: the always-valid p-value is its reciprocal.
    pub e_better_max: f64,
    /// Accuracy of the live variant so far.
    pub live_accuracy: Option<Interval>,
    /// Accuracy of the candidate so far.
    pub candidate_accuracy: Option<Interval>,
}
