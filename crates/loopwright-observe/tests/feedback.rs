//! Feedback against a store.
#![allow(clippy::unwrap_used, reason = "a test all through: its functions stop where it should stop")]

use loopwright_guard::{RedactPolicy, Redactor};
use loopwright_observe::{
    Kind,
    feedback::{NewFeedback, receive},
};
use loopwright_store::{Change, FeedbackQuery, Store};
use loopwright_types::{EntityRef, ModelRef, Timestamp, event::NewEvent, trace::Trace};

fn trace(id: &str) -> Trace {
    Trace {
        id: id.into(),
        at: Timestamp(1),
        route: "support".into(),
        variant: "live".into(),
        model: ModelRef::new("support", 1),
        key: None,
        subject: None,
        input: "where is it".into(),
        output: "refund".into(),
        tokens_in: 3,
        tokens_out: 1,
        latency_ms: 2.0,
        first_token_ms: 1.0,
        status: 200,
        finish: "stop".into(),
        tag: None,
        detail: Default::default(),
    }
}

fn said(trace: &str) -> NewFeedback {
    NewFeedback {
        trace: trace.into(),
        thumb_up: Some(false),
        correction: Some("delivery".into()),
        comment: Some("I am a.b@example.org".into()),
        source: "user".into(),
    }
}

#[tokio::test]
async fn feedback_is_kept_masked_and_only_on_traces_that_exist() {
    let store = Store::in_memory().await.unwrap();
    let redactor = Redactor::new(&RedactPolicy::default());
    let recorded = NewEvent::new("server", "traces.recorded", EntityRef::new("trace", "t1"));
    store.apply(recorded, vec![Change::Traces(vec![trace("t1")])]).await.unwrap();

    let error = receive(&store, &redactor, "server", said("t2")).await.unwrap_err();
    assert_eq!((error.kind(), error.to_string()), (Kind::NotFound, "there is no trace `t2`".to_string()));

    let kept = receive(&store, &redactor, "server", said("t1")).await.unwrap();
    assert_eq!(store.feedback(&FeedbackQuery::default()).await.unwrap().as_slice(), std::slice::from_ref(&kept));
    assert_eq!(kept.comment.as_deref(), Some("I am <EMAIL>"));
    let event = store.last_event().await.unwrap().unwrap();
    assert_eq!(event.event.kind, "feedback.received");
    assert!(!event.event.body.to_string().contains("delivery"), "the log holds no words of a person");
}
