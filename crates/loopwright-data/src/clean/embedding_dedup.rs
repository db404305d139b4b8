//! Leaves out rows that say the same as another in other words ([`crate::embedding_dedup`], after SemDeDup).
//!
//! Vectors come from an embedding model, if one is given, or from the rows' words ([`crate::embed`]), which find rows
//! that share most of their words in any order, and no synonyms. All vectors are in memory.

pub use crate::embedding_dedup::{Keep, STEP};
use crate::{
    Error, Result,
    draft::{Draft, StepOutput},
    embed::HashedEmbedding,
    embedding_dedup,
    recipe::Resources,
};
use serde::{Deserialize, Serialize};

/// Where vectors come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Vectors {
    /// From words and pairs of words, hashed.
    Words,
    /// From the embedding model of the run.
    Model,
}

/// When rows say the same.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// 1 − ε: the cosine from which two rows are duplicates.
    pub cosine_min: f32,
    /// k; by default the square root of the number of rows.
    pub clusters: Option<usize>,
    /// Which row stays.
    pub keep: Keep,
    /// Where vectors come from.
    pub vectors: Vectors,
    /// Places of a vector from words; more make fewer collisions and take more memory.
    pub width: usize,
}

impl Default for Settings {
    fn default() -> Self {
        let embedding_dedup::Settings { cosine_min, clusters, keep } = embedding_dedup::Settings::default();
        Self { cosine_min, clusters, keep, vectors: Vectors::Words, width: 256 }
    }
}

impl Settings {
    /// Refuses settings that make no sense.
    pub fn check(&self) -> Result<()> {
        if !(1..=65_536).contains(&self.width) {
            return Err(Error::setting("embedding_dedup.width", self.width, "1 to 65536"));
        }
        self.likeness().check()
    }

    /// Whether vectors come from a model.
    pub fn needs_model(&self) -> bool {
        self.vectors == Vectors::Model
    }

    pub(crate) fn likeness(&self) -> embedding_dedup::Settings {
        embedding_dedup::Settings { cosine_min: self.cosine_min, clusters: self.clusters, keep: self.keep }
    }
}

/// Drops rows that another stands for. The seed starts the clustering.
pub fn apply(drafts: Vec<Draft>, settings: &Settings, resources: &Resources<'_>, seed: u64) -> Result<StepOutput> {
    let texts: Vec<&str> = drafts.iter().map(|draft| draft.row.text.as_str()).collect();
    let vectors = match settings.vectors {
        Vectors::Words => HashedEmbedding::learn(&texts, settings.width).embed_all(&texts),
        Vectors::Model => resources.embed()?(&texts)?,
    };
    embedding_dedup::apply_vectors(drafts, &vectors, &settings.likeness(), seed)
}
