//! What people say about an answer.

use crate::desk::desk;
use loopwright_store::FeedbackQuery;
use serde_json::json;

#[tokio::test]
async fn feedback_is_kept_right_after_the_answer_with_its_comment_masked() {
    let desk = desk().await;
    let id = desk.chat(json!({})).await.json()["id"].as_str().unwrap().to_string();
    let body = json!({"trace_id": id, "thumb_up": false, "correction": "refund", "comment": "ask jo@example.org"});
    let reply = desk.post("/v1/feedback", &body.to_string()).await;
    assert_eq!(reply.status, 201, "{}", reply.body);
    assert_eq!(reply.json()["trace_id"], id);
    let kept = desk.store.feedback(&FeedbackQuery::default()).await.unwrap();
    assert_eq!((kept.len(), kept[0].trace.as_str(), kept[0].thumb_up), (1, id.as_str(), Some(false)));
    assert_eq!((kept[0].correction.as_deref(), kept[0].comment.as_deref()), (Some("refund"), Some("ask <EMAIL>")));
    assert_eq!(desk.store.last_event().await.unwrap().unwrap().event.actor, "key:key_1");
}

#[tokio::test]
async fn the_trace_may_come_in_a_header() {
    let desk = desk().await;
    let id = desk.chat(json!({})).await.headers["x-trace-id"].clone();
    let headers = [("authorization", desk.bearer()), ("x-trace-id", id.clone())];
    let headers: Vec<(&str, &str)> = headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let reply = desk.ask("POST /v1/feedback", &headers, r#"{"thumb_up": true}"#).await;
    assert_eq!((reply.status, reply.json()["trace_id"].as_str()), (201, Some(id.as_str())));
}

#[tokio::test]
async fn wrong_feedback_is_told_what_is_wrong() {
    let desk = desk().await;
    let id = desk.chat(json!({})).await.json()["id"].as_str().unwrap().to_string();
    for (body, status, code) in [
        (json!({"thumb_up": true}), 400, "missing_trace_id"),
        (json!({"trace_id": "trace_none", "thumb_up": true}), 404, "not_found"),
        (json!({"trace_id": id}), 400, "invalid_value"),
        (json!({"trace_id": id, "thumbs_up": true}), 400, "invalid_body"),
        (json!({"trace_id": id, "thumb_up": true, "source": "robot"}), 400, "invalid_value"),
    ] {
        let reply = desk.post("/v1/feedback", &body.to_string()).await;
        assert_eq!((reply.status, reply.error_code().as_str()), (status, code), "{body}");
    }
    assert!(desk.store.feedback(&FeedbackQuery::default()).await.unwrap().is_empty());
}
