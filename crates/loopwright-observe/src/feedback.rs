//! What people say about an answer, checked and masked before it is kept.

use crate::{Error, Kind, Result};
use loopwright_guard::Redactor;
use loopwright_store::{Change, Store};
use loopwright_types::{
    Entity, EntityRef, Timestamp,
    event::NewEvent,
    feedback::Feedback,
    id::{FeedbackId, TraceId},
    subject::Subject,
    trace::Trace,
};
use serde::Deserialize;

/// Who may give feedback.
pub const SOURCES: [&str; 3] = ["user", "annotator", "judge"];
/// Longest correction (a label), in characters.
pub const CORRECTION_CHARS_MAX: usize = 200;
/// Longest comment, in characters.
pub const COMMENT_CHARS_MAX: usize = 4_000;

/// Feedback as it comes in.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewFeedback {
    /// The answer it is about.
    pub trace: TraceId,
    /// Thumb up or down.
    #[serde(default)]
    pub thumb_up: Option<bool>,
    /// The right label.
    #[serde(default)]
    pub correction: Option<String>,
    /// A remark in free text.
    #[serde(default)]
    pub comment: Option<String>,
    /// One of [`SOURCES`].
    #[serde(default = "user")]
    pub source: String,
}

fn user() -> String {
    "user".into()
}

/// Checks feedback and makes the record of it; the comment is masked, `known` being identifying strings of its author.
///
/// Fails if nothing is said, if a text is too long, if the source is unknown, or if the correction holds personal data
/// (it is a label, and labels are learned from).
pub fn make(
    new: NewFeedback,
    id: FeedbackId,
    at: Timestamp,
    redactor: &Redactor,
    known: &[String],
) -> Result<Feedback> {
    let given = |text: Option<String>| text.map(|text| text.trim().to_string()).filter(|text| !text.is_empty());
    let (correction, comment) = (given(new.correction), given(new.comment));
    if new.thumb_up.is_none() && correction.is_none() && comment.is_none() {
        return Err(Error::invalid("feedback says nothing: expected `thumb_up`, `correction` or `comment`"));
    }
    if !SOURCES.contains(&new.source.as_str()) {
        return Err(Error::invalid(format!(
            "expected the source `user`, `annotator` or `judge`, got `{}`",
            new.source
        )));
    }
    check_length("correction", correction.as_deref(), CORRECTION_CHARS_MAX)?;
    check_length("comment", comment.as_deref(), COMMENT_CHARS_MAX)?;
    if correction.as_ref().is_some_and(|label| redactor.redact(label, known).text != *label) {
        return Err(Error::invalid("the correction holds personal data: expected a label"));
    }
    let comment = comment.map(|text| redactor.redact(&text, known).text);
    Ok(Feedback { id, trace: new.trace, thumb_up: new.thumb_up, correction, comment, source: new.source, at })
}

fn check_length(what: &str, text: Option<&str>, max: usize) -> Result<()> {
    let n = text.map_or(0, |text| text.chars().count());
    if n > max { Err(Error::invalid(format!("the {what} has {n} characters, expected at most {max}"))) } else { Ok(()) }
}

/// Checks feedback, keeps it, and writes the event `feedback.received`.
///
/// Fails with [`Kind::NotFound`] if there is no such trace, also when the trace has not left the sink yet: the server
/// flushes the sink and tries once more.
pub async fn receive(store: &Store, redactor: &Redactor, actor: &str, new: NewFeedback) -> Result<Feedback> {
    let trace = find(store, &new.trace).await?;
    let known = known_strings(store, &trace).await?;
    let feedback = make(new, FeedbackId::new(store.new_id("fb")), store.now(), redactor, &known)?;
    let body = serde_json::json!({
        "feedback": feedback.id,
        "source": feedback.source,
        "thumb_up": feedback.thumb_up,
        "has_correction": feedback.correction.is_some(),
        "has_comment": feedback.comment.is_some(),
    });
    let event = NewEvent::new(actor, "feedback.received", EntityRef::new("trace", trace.id.as_str())).with_body(body);
    let written = store.apply(event, vec![Change::Feedback(vec![feedback.clone()])]).await;
    written.map_err(|source| Error::store(format!("failed to keep feedback on trace `{}`", trace.id), source))?;
    Ok(feedback)
}

async fn find(store: &Store, id: &TraceId) -> Result<Trace> {
    let found = store.trace(id).await.map_err(|source| Error::store(format!("failed to read trace `{id}`"), source))?;
    found.ok_or_else(|| Error::new(Kind::NotFound, format!("there is no trace `{id}`")))
}

/// Identifying strings of the person whose words a trace holds.
pub(crate) async fn known_strings(store: &Store, trace: &Trace) -> Result<Vec<String>> {
    let Some(id) = &trace.subject else { return Ok(Vec::new()) };
    let subject = store.get::<Subject>(id.as_str()).await;
    let subject = subject.map_err(|source| Error::store(format!("failed to read {} `{id}`", Subject::KIND), source))?;
    Ok(subject
        .map(|subject| subject.identifiers.into_values().chain([subject.external_id]).collect())
        .unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;
    use loopwright_guard::RedactPolicy;

    fn new(correction: Option<&str>, comment: Option<&str>, source: &str) -> NewFeedback {
        NewFeedback {
            trace: "t1".into(),
            thumb_up: None,
            correction: correction.map(Into::into),
            comment: comment.map(Into::into),
            source: source.into(),
        }
    }

    fn make_it(new: NewFeedback) -> Result<Feedback> {
        make(new, "f1".into(), Timestamp(5), &Redactor::new(&RedactPolicy::default()), &["Ilse Brandt".to_string()])
    }

    #[test]
    fn comments_are_masked_and_texts_trimmed() {
        let feedback =
            make_it(new(Some(" refund "), Some("wrong! write to a.b@example.org or Ilse Brandt"), "user")).unwrap();
        assert_eq!(feedback.correction.as_deref(), Some("refund"));
        assert_eq!(feedback.comment.as_deref(), Some("wrong! write to <EMAIL> or <PERSON>"));
        assert_eq!((feedback.id.as_str(), feedback.at), ("f1", Timestamp(5)));
    }

    #[test]
    fn nonsense_is_refused() {
        let refused = |new: NewFeedback, said: &str| {
            let error = make_it(new).unwrap_err();
            assert_eq!(error.kind(), Kind::Invalid);
            assert!(error.to_string().contains(said), "{error}");
        };
        refused(new(None, None, "user"), "says nothing");
        refused(new(Some("  "), Some(""), "user"), "says nothing");
        refused(new(Some("refund"), None, "robot"), "`robot`");
        refused(new(Some(&"x".repeat(201)), None, "user"), "at most 200");
        refused(new(None, Some(&"x".repeat(4_001)), "user"), "at most 4000");
        refused(new(Some("Ilse Brandt"), None, "user"), "personal data");
        refused(new(Some("mail a.b@example.org"), None, "user"), "personal data");
    }

    #[test]
    fn unknown_fields_are_refused() {
        assert!(serde_json::from_str::<NewFeedback>(r#"{"trace":"t","thumb":true}"#).is_err());
        let parsed: NewFeedback = serde_json::from_str(r#"{"trace":"t","thumb_up":true}"#).unwrap();
        assert_eq!(parsed.source, "user");
    }
}
