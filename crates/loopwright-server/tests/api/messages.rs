//! Anthropic's `/v1/messages`.

use crate::{
    client::Reply,
    desk::{Desk, desk, desk_with},
    events::named,
};
use serde_json::{Value, json};

async fn message(desk: &Desk, fields: Value) -> Reply {
    let mut body = json!({
        "model": "support",
        "max_tokens": 6,
        "messages": [{"role": "user", "content": "where is my parcel?"}],
    });
    for (name, value) in fields.as_object().unwrap() {
        body[name] = value.clone();
    }
    // As Anthropic's clients send the key.
    let headers = [("x-api-key", desk.key.as_str()), ("anthropic-version", "2023-06-01")];
    desk.ask("POST /v1/messages", &headers, &body.to_string()).await
}

fn kind(reply: &Reply) -> String {
    let body = reply.json();
    assert_eq!(body["type"], "error", "{body}");
    assert!(body["error"]["message"].as_str().is_some_and(|text| !text.is_empty()), "{body}");
    body["error"]["type"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn a_message_says_what_a_chat_completion_says() {
    let desk = desk().await;
    let reply = message(&desk, json!({})).await;
    assert_eq!(reply.status, 200, "{}", reply.body);
    let body = reply.json();
    let chat = desk.chat(json!({})).await.json();
    assert_eq!(
        body["content"][0],
        json!({"type": "text", "text": chat["choices"][0]["message"]["content"], "citations": null})
    );
    assert_eq!(
        (&body["type"], &body["role"], &body["stop_reason"]),
        (&json!("message"), &json!("assistant"), &json!("max_tokens"))
    );
    assert_eq!(
        (&body["usage"]["input_tokens"], &body["usage"]["output_tokens"]),
        (&chat["usage"]["prompt_tokens"], &json!(6))
    );
    assert_eq!(reply.headers["x-trace-id"], body["id"].as_str().unwrap());
}

#[tokio::test]
async fn a_stream_has_anthropics_events() {
    let desk = desk().await;
    let whole = message(&desk, json!({"system": "be brief"})).await.json();
    let reply = message(&desk, json!({"system": "be brief", "stream": true})).await;
    let events = named(&reply.body);
    let mut names: Vec<&str> = events.iter().map(|(name, _)| name.as_str()).collect();
    names.dedup();
    let expected = [
        "message_start",
        "ping",
        "content_block_start",
        "content_block_delta",
        "content_block_stop",
        "message_delta",
        "message_stop",
    ];
    assert_eq!(names, expected);
    let deltas = events.iter().filter(|(name, _)| name == "content_block_delta");
    let text: String = deltas.map(|(_, data)| data["delta"]["text"].as_str().unwrap()).collect();
    assert_eq!(json!(text), whole["content"][0]["text"]);
    let start = &events[0].1["message"];
    // The second time the beginning was read from kept pages.
    let read = |usage: &Value| {
        usage["input_tokens"].as_u64().unwrap() + usage["cache_read_input_tokens"].as_u64().unwrap_or_default()
    };
    assert_eq!((&start["content"], read(&start["usage"])), (&json!([]), read(&whole["usage"])));
    let end = &events[events.len() - 2].1;
    assert_eq!((&end["delta"]["stop_reason"], &end["usage"]["output_tokens"]), (&json!("max_tokens"), &json!(6)));
}

#[tokio::test]
async fn errors_have_anthropics_shape() {
    let desk = desk().await;
    for (fields, status, expected) in [
        (json!({"model": "claude"}), 404, "not_found_error"),
        (json!({"max_tokens": null}), 400, "invalid_request_error"),
        (json!({"messages": []}), 400, "invalid_request_error"),
        (json!({"thinking": {"type": "enabled", "budget_tokens": 1024}}), 400, "invalid_request_error"),
        (json!({"messages": [{"role": "user", "content": "parcel ".repeat(4000)}]}), 400, "invalid_request_error"),
        (json!({"metadata": {"user_id": "x".repeat(2 << 20)}}), 413, "request_too_large"),
    ] {
        let reply = message(&desk, fields).await;
        assert_eq!((reply.status, kind(&reply).as_str()), (status, expected));
    }
    for path in ["POST /v1/messages", "POST /v1/messages/count_tokens"] {
        let stranger = desk.ask(path, &[("x-api-key", "lw_wrong")], "{}").await;
        assert_eq!((stranger.status, kind(&stranger).as_str()), (401, "authentication_error"));
    }
}

#[tokio::test]
async fn a_full_queue_is_told_in_anthropics_words() {
    let desk = desk_with(|settings| settings.engine.n_waiting_max = 0).await;
    let reply = message(&desk, json!({})).await;
    assert_eq!((reply.status, kind(&reply).as_str()), (429, "rate_limit_error"));
    assert!(reply.headers["retry-after"].parse::<u64>().unwrap() >= 1);
}
