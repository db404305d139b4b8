//! `/v1/responses`.

use crate::{
    client::Reply,
    desk::{Desk, desk},
    events::named,
};
use serde_json::{Value, json};

async fn respond(desk: &Desk, fields: Value) -> Reply {
    let mut body = json!({"model": "support", "input": "where is my parcel?", "max_output_tokens": 16});
    for (name, value) in fields.as_object().unwrap() {
        body[name] = value.clone();
    }
    desk.post("/v1/responses", &body.to_string()).await
}

#[tokio::test]
async fn a_response_says_what_a_chat_completion_says() {
    let desk = desk().await;
    let reply = respond(&desk, json!({})).await;
    assert_eq!(reply.status, 200, "{}", reply.body);
    let response = reply.json();
    let chat = desk.chat(json!({"max_tokens": 16})).await.json();
    assert_eq!(response["output"][0]["content"][0]["text"], chat["choices"][0]["message"]["content"]);
    // The desk's model never ends by itself.
    assert_eq!(
        (&response["status"], &response["incomplete_details"]["reason"]),
        (&json!("incomplete"), &json!("max_output_tokens"))
    );
    assert_eq!(response["usage"]["output_tokens"], 16);
    assert_eq!(reply.headers["x-trace-id"], response["id"].as_str().unwrap());
}

#[tokio::test]
async fn a_stream_builds_up_the_same_response() {
    let desk = desk().await;
    let whole = respond(&desk, json!({"instructions": "be brief"})).await.json();
    let events = named(&respond(&desk, json!({"instructions": "be brief", "stream": true})).await.body);
    assert_eq!((events[0].0.as_str(), events[1].0.as_str()), ("response.created", "response.in_progress"));
    let deltas = events.iter().filter(|(name, _)| name == "response.output_text.delta");
    let text: String = deltas.map(|(_, data)| data["delta"].as_str().unwrap()).collect();
    assert_eq!(json!(text), whole["output"][0]["content"][0]["text"]);
    let (last, data) = events.last().unwrap();
    assert_eq!(last, "response.incomplete");
    // The second time the beginning was read from kept pages.
    for field in ["input_tokens", "output_tokens", "total_tokens"] {
        assert_eq!(data["response"]["usage"][field], whole["usage"][field]);
    }
    let numbers: Vec<u64> = events.iter().map(|(_, data)| data["sequence_number"].as_u64().unwrap()).collect();
    assert_eq!(numbers, (0..events.len() as u64).collect::<Vec<_>>());
}

#[tokio::test]
async fn wrong_requests_have_openais_errors() {
    let desk = desk().await;
    for (fields, status, code) in [
        (json!({"model": "gpt"}), 404, "model_not_found"),
        (json!({"previous_response_id": "resp_1"}), 400, "unsupported_parameter"),
        (json!({"input": []}), 400, "invalid_value"),
        (
            json!({"input": [{"role": "user", "content": [{"type": "input_image", "image_url": "data:x"}]}]}),
            400,
            "unsupported_value",
        ),
    ] {
        let reply = respond(&desk, fields.clone()).await;
        assert_eq!((reply.status, reply.error_code().as_str()), (status, code), "{fields}");
    }
}
