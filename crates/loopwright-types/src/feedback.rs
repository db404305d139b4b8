//! What people say about an answer.

use crate::{
    Timestamp,
    id::{FeedbackId, TraceId},
};
use serde::{Deserialize, Serialize};

/// One piece of feedback on a trace.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Feedback {
    /// Its id.
    pub id: FeedbackId,
    /// The answer it is about.
    pub trace: TraceId,
    /// Thumb up or down, if given.
    pub thumb_up: Option<bool>,
    /// The right label, if given.
    pub correction: Option<String>,
    /// A remark, personal data masked.
    pub comment: Option<String>,
    /// Who says so: `user`, `annotator`, `judge`.
    pub source: String,
    /// When.
    pub at: Timestamp,
}

impl Feedback {
    /// Was the answer right, as far as this feedback tells? A correction outranks a thumb.
    pub fn says_right(&self, answer: Option<&str>) -> Option<bool> {
        match (&self.correction, answer) {
            (Some(right), Some(answer)) => Some(right == answer),
            (Some(_), None) => Some(false),
            (None, _) => self.thumb_up,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_correction_outranks_a_thumb() {
        let mut feedback = Feedback {
            id: "f".into(),
            trace: "t".into(),
            thumb_up: Some(true),
            correction: None,
            comment: None,
            source: "user".into(),
            at: Timestamp(0),
        };
        assert_eq!(feedback.says_right(Some("refund")), Some(true));
        feedback.correction = Some("invoice".into());
        assert_eq!(feedback.says_right(Some("refund")), Some(false));
        assert_eq!(feedback.says_right(Some("invoice")), Some(true));
        assert_eq!(feedback.says_right(None), Some(false));
    }
}
