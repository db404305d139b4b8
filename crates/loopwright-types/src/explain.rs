//! Why a model answered as it did, as a record that a stakeholder can read.

use crate::{
    Entity, Timestamp,
    id::{RowId, TraceId},
    model::ModelRef,
};
use serde::{Deserialize, Serialize};

/// One answer taken apart: what each segment of the message added to the probability of the answer.
///
/// Shapley values (Shapley 1953) are in probability: they add up to `probability - base_probability`, up to
/// `shapley_sum_error`. LIME weights (Ribeiro et al. 2016) are those of a local linear model, in probability too.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Explanation {
    /// Its id.
    pub id: String,
    /// Who answered.
    pub model: ModelRef,
    /// The route that was asked.
    pub route: String,
    /// The kept request, if the message came from one.
    pub trace: Option<TraceId>,
    /// The message, personal data masked.
    pub input: String,
    /// The answer that is explained.
    pub answer: String,
    /// Probability of the answer given the whole message, 0 to 1.
    pub probability: f64,
    /// Probability of the answer with every segment left out, 0 to 1.
    pub base_probability: f64,
    /// The segments, in the order of the message.
    pub segments: Vec<Segment>,
    /// Share of variance that LIME's linear model explains around this message, 0 to 1.
    pub lime_r2: f64,
    /// Did LIME rank the segments alike under different random samples?
    pub lime_stable: bool,
    /// How far the Shapley values are from adding up, absolute.
    pub shapley_sum_error: f64,
    /// Training rows most like the message, nearest first.
    pub nearest: Vec<NearestRow>,
    /// When it was made.
    pub created_at: Timestamp,
}

/// A piece of the message with its share in the answer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Segment {
    /// The piece as it stands in the message.
    pub text: String,
    /// Its Shapley value, in probability: positive speaks for the answer.
    pub shapley: f64,
    /// Its LIME weight, in probability.
    pub lime: f64,
}

/// A row that the model learned from and that resembles the message.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct NearestRow {
    /// The row.
    pub row_id: RowId,
    /// Its text, personal data masked.
    pub text: String,
    /// Its label.
    pub label: String,
    /// Cosine similarity of the model's embeddings, -1 to 1.
    pub similarity: f64,
}

impl Entity for Explanation {
    const KIND: &'static str = "explanation";

    fn id(&self) -> String {
        self.id.clone()
    }
}
