//! Rows and the datasets made of them.

use crate::{
    Conversation, Digest, Entity, Timestamp,
    entity::versioned_ref,
    id::{RowId, SubjectId, TraceId},
};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

versioned_ref!(
    /// A dataset version, written `name@version`.
    DatasetRef, "dataset_version", "a dataset version"
);

/// A row as it was collected: text in clear, nothing cleaned.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct SourceRow {
    /// Stable across imports of the same source.
    pub row_id: String,
    /// Where it came from (a file name or URL).
    pub source: String,
    /// Position in the source, from 1, the header not counted.
    pub row_index: u64,
    /// The message, unchanged.
    pub text: String,
    /// The label that the source gives, if any.
    pub label: Option<String>,
    /// Whose words these are.
    pub subject: Option<SubjectId>,
    /// The group attribute used for fairness figures (e.g. a customer segment).
    pub group: Option<String>,
    /// When it was written, if the source says.
    pub at: Option<Timestamp>,
    /// Under which licence it may be used, if the source or the project says.
    pub licence: Option<String>,
    /// What the person agreed to, or the purposes it may serve.
    pub tags: Vec<String>,
    /// The turns, if the row is a conversation or a preference; `text` is their rendering.
    pub conversation: Option<Conversation>,
}

/// A row that could not be read: kept aside with its reason.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RejectedRow {
    /// The source's name.
    pub source: String,
    /// Line in the file, from 1.
    pub line: u64,
    /// Why it was refused.
    pub reason: String,
    /// The start of the raw text (at most 200 characters), so that a person can mend it.
    pub excerpt: String,
}

/// What was last collected for a dataset: by it, a later import tells what is new.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Collection {
    /// The dataset.
    pub dataset: String,
    /// The files whose rows are in the raw table, by the names that the rows carry.
    pub files: BTreeMap<String, CollectedFile>,
    /// When.
    pub at: Timestamp,
}

/// A file as it was when it was read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CollectedFile {
    /// Its size in bytes.
    pub size_bytes: u64,
    /// Its content.
    pub digest: Digest,
}

impl Entity for Collection {
    const KIND: &'static str = "collection";

    fn id(&self) -> String {
        self.dataset.clone()
    }
}

/// The part of a dataset version a row belongs to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Split {
    /// Learned from.
    #[default]
    Train,
    /// Watched while training, and the reference for drift.
    Validation,
    /// Held out for judging.
    Test,
}

impl Split {
    /// The stored word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Train => "train",
            Self::Validation => "validation",
            Self::Test => "test",
        }
    }
}

impl std::str::FromStr for Split {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "train" => Ok(Self::Train),
            "validation" => Ok(Self::Validation),
            "test" => Ok(Self::Test),
            _ => Err(format!("expected `train`, `validation` or `test`, got `{text}`")),
        }
    }
}

/// Where an example came from.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Origin {
    /// A row of an imported source.
    #[default]
    Source,
    /// A correction that somebody gave on a served answer.
    Correction {
        /// The answer that was corrected.
        trace: TraceId,
    },
    /// Nobody wrote it: a generator made it of another row.
    Augmented {
        /// The row that it was made of.
        parent: RowId,
        /// What made it, e.g. `noise`.
        generator: String,
    },
}

/// A curated row of a dataset version: normalised, redacted, labelled, in one split.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Example {
    /// The source row's id (the trace's, for a correction; the parent's and more, for an augmented row).
    pub row_id: RowId,
    /// Normalised text with personal data masked.
    pub text: String,
    /// The label; empty for rows that are learned as they stand.
    pub label: String,
    /// The split.
    pub split: Split,
    /// Whose words these are.
    pub subject: Option<SubjectId>,
    /// Group attribute for fairness figures.
    pub group: Option<String>,
    /// ISO 639-3 code of the detected language, or `und`.
    pub language: String,
    /// Near-duplicate cluster: rows with the same number are near-duplicates of each other and share a split.
    pub cluster: u64,
    /// Source name.
    pub source: String,
    /// Where it came from.
    pub origin: Origin,
    /// When it was written, if the source says.
    pub at: Option<Timestamp>,
    /// Under which licence it may be used, if the source or the project says.
    pub licence: Option<String>,
    /// What the person agreed to, or the purposes it may serve.
    pub tags: Vec<String>,
    /// The turns, if the row is a conversation or a preference; `text` is their rendering.
    pub conversation: Option<Conversation>,
}

/// A row left out of a version, and why.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DroppedRow {
    /// The row.
    pub row_id: RowId,
    /// The operator that dropped it, e.g. `near_dedup`.
    pub step: String,
    /// The reason with its figure, e.g. `near-duplicate of row-12 (similarity 0.91)`.
    pub reason: String,
    /// Whose words they were.
    pub subject: Option<SubjectId>,
}

/// Rows in, out, changed and dropped in one curation step.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StepCount {
    /// The operator's name.
    pub step: String,
    /// Rows that went in.
    pub n_in: u64,
    /// Rows that came out.
    pub n_out: u64,
    /// Rows whose text or label the step changed.
    pub n_changed: u64,
    /// Dropped rows by reason class.
    pub dropped: BTreeMap<String, u64>,
}

/// Rows whose length lies in a range.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LengthBin {
    /// Longest text of the bin, in characters; the one before it ends the bin below.
    pub chars_max: u64,
    /// Rows in it.
    pub n_rows: u64,
}

/// Rows whose number of tokens lies in a range.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TokensBin {
    /// Most tokens of a row in the bin; the one before it ends the bin below.
    pub tokens_max: u64,
    /// Rows in it.
    pub n_rows: u64,
}

/// How many tokens the kept rows' texts have.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RowTokens {
    /// Whose tokens: a model version such as `smollm@1`, or `pieces`, as GPT-2 cuts a text before it merges bytes.
    pub counted_by: String,
    /// Tokens of all rows.
    pub n_tokens: u64,
    /// Tokens of a row: minimum, median, 95th percentile, maximum.
    pub per_row: [u64; 4],
    /// Rows by their number of tokens, in bins that grow.
    pub bins: Vec<TokensBin>,
}

impl RowTokens {
    /// What counted where no tokenizer was known.
    pub const PIECES: &str = "pieces";

    /// How they were counted, as the end of a sentence.
    pub fn counted(&self) -> String {
        match self.counted_by.as_str() {
            Self::PIECES => {
                "counted in pieces (runs of letters, digits and signs), of which a tokenizer makes as many tokens or more"
                    .to_string()
            }
            model => format!("counted with the tokenizer of {model}"),
        }
    }
}

/// What a person should know about a dataset version before using it
/// (after "Data Cards", Pushkarna et al. 2022).
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct DataCard {
    /// One entry per curation step, in order.
    pub steps: Vec<StepCount>,
    /// Rows that could not be read at all.
    pub n_rejected: u64,
    /// Rows per split.
    pub splits: BTreeMap<String, u64>,
    /// Rows per label.
    pub labels: BTreeMap<String, u64>,
    /// Rows per group attribute.
    pub groups: BTreeMap<String, u64>,
    /// Rows per language before the language filter.
    pub languages: BTreeMap<String, u64>,
    /// Text length in characters: minimum, median, 95th percentile, maximum.
    pub length_chars: [u64; 4],
    /// Rows by length, in bins that grow.
    #[serde(default)]
    pub lengths: Vec<LengthBin>,
    /// Tokens of the rows; cards of earlier versions have none.
    #[serde(default)]
    pub tokens: Option<RowTokens>,
    /// Rows per source.
    #[serde(default)]
    pub sources: BTreeMap<String, u64>,
    /// Rows per licence; those without one are not counted.
    #[serde(default)]
    pub licences: BTreeMap<String, u64>,
    /// Rows per tag.
    #[serde(default)]
    pub tags: BTreeMap<String, u64>,
    /// Rows per month (`2026-01`, UTC) and source, of rows that say when they were written.
    #[serde(default)]
    pub months: BTreeMap<String, BTreeMap<String, u64>>,
    /// Words (stretches between white space) of all kept rows.
    #[serde(default)]
    pub n_words: u64,
    /// Bytes of text of all kept rows.
    #[serde(default)]
    pub n_bytes: u64,
    /// Exact duplicates removed.
    pub n_exact_duplicates: u64,
    /// Near-duplicates removed.
    pub n_near_duplicates: u64,
    /// Masked spans per kind, over the kept rows.
    pub pii: BTreeMap<String, u64>,
    /// Rows that differ in label from most of their neighbours, suspected mislabelled and dropped.
    pub n_label_conflicts: u64,
    /// Rows left out because their author opted out of training.
    pub n_opted_out: u64,
    /// Rows left out because their author was erased.
    pub n_erased: u64,
    /// Corrections added from feedback.
    pub n_corrections: u64,
    /// Rows that a generator made, by generator.
    #[serde(default)]
    pub n_augmented: BTreeMap<String, u64>,
}

/// An immutable version of a dataset. Only an erasure may rewrite one, and then says so.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DatasetVersion {
    /// Its name and number.
    pub dataset: DatasetRef,
    /// Digest over the rows in order.
    pub digest: Digest,
    /// Kept rows.
    pub n_rows: u64,
    /// The version it was built on.
    pub parent: Option<DatasetRef>,
    /// Its card.
    pub card: DataCard,
    /// Seed of everything random in its making.
    pub seed: u64,
    /// When it was written.
    pub created_at: Timestamp,
    /// The recipe that made it, as written in the project file's terms.
    #[serde(default)]
    pub recipe: serde_json::Value,
    /// When rows were last erased from it, and how many in all.
    pub erased: Option<ErasedRows>,
}

/// Rows that an erasure took out of a version after it was written.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ErasedRows {
    /// Rows taken out so far.
    pub n_rows: u64,
    /// The last time.
    pub at: Timestamp,
}

impl Entity for DatasetVersion {
    const KIND: &'static str = "dataset_version";

    fn id(&self) -> String {
        self.dataset.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_round_trip_and_refuse_nonsense() {
        for text in ["a@1", "with@at@12"] {
            assert_eq!(text.parse::<DatasetRef>().map(|r| r.to_string()), Ok(text.to_string()));
        }
        for text in ["a", "a@", "@1", "a@0", "a@-1", "a@x"] {
            assert!(text.parse::<DatasetRef>().is_err(), "{text}");
        }
        let json = serde_json::to_string(&DatasetRef::new("a", 3)).unwrap();
        assert_eq!(json, "\"a@3\"");
        assert_eq!(serde_json::from_str::<DatasetRef>(&json).unwrap(), DatasetRef::new("a", 3));
    }

    /// A card as it was stored before it counted sources, lengths in bins, or tokens.
    const FIRST_CARD: &str = r#"{
        "steps": [{"step": "length", "n_in": 3, "n_out": 2, "n_changed": 0, "dropped": {"empty": 1}}],
        "n_rejected": 1, "splits": {"train": 2}, "labels": {"refund": 2}, "groups": {}, "languages": {"eng": 2},
        "length_chars": [4, 9, 9, 9], "n_exact_duplicates": 0, "n_near_duplicates": 0, "pii": {},
        "n_label_conflicts": 0, "n_opted_out": 0, "n_erased": 0, "n_corrections": 0}"#;

    #[test]
    fn a_card_of_the_first_format_still_reads() {
        let card: DataCard = serde_json::from_str(FIRST_CARD).unwrap();
        assert_eq!((card.splits["train"], card.length_chars[3], card.steps[0].dropped["empty"]), (2, 9, 1));
        assert_eq!((card.tokens, card.lengths, card.n_words), (None, Vec::new(), 0));
    }

    #[test]
    fn tokens_of_a_card_survive_json() {
        let bins = vec![TokensBin { tokens_max: 5, n_rows: 2 }];
        let tokens = RowTokens { counted_by: "smollm@1".into(), n_tokens: 7, per_row: [2, 2, 5, 5], bins };
        let card = DataCard { tokens: Some(tokens), ..DataCard::default() };
        let json = serde_json::to_string(&card).unwrap();
        assert_eq!(serde_json::from_str::<DataCard>(&json).unwrap(), card);
    }
}
