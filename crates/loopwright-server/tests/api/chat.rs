//! Whole answers, the errors of requests, and the traces of both.

use crate::desk::{CONTEXT, desk, desk_with};
use loopwright_server::Stickiness;
use loopwright_store::TraceQuery;
use serde_json::{Value, json};
use std::sync::Arc;

#[tokio::test]
async fn an_answer_has_the_shape_that_clients_expect() {
    let desk = desk().await;
    let reply = desk.chat(json!({})).await;
    assert_eq!(reply.status, 200, "{}", reply.body);
    let json = reply.json();
    assert_eq!((&json["object"], &json["model"]), (&json!("chat.completion"), &json!("support")));
    assert_eq!(json["system_fingerprint"], "desk@1");
    let choice = &json["choices"][0];
    assert_eq!(
        (&choice["index"], &choice["finish_reason"], &choice["logprobs"]),
        (&json!(0), &json!("length"), &Value::Null)
    );
    assert_eq!((&choice["message"]["role"], &choice["message"]["refusal"]), (&json!("assistant"), &Value::Null));
    assert!(choice["message"]["content"].as_str().is_some_and(|text| !text.is_empty()), "{json}");
    let usage = &json["usage"];
    assert_eq!(usage["completion_tokens"], 6);
    let sum = usage["prompt_tokens"].as_u64().unwrap() + 6;
    assert_eq!(usage["total_tokens"], sum);
    assert_eq!(reply.headers["x-trace-id"], json["id"].as_str().unwrap());
    assert_eq!(reply.headers["x-request-id"], json["id"].as_str().unwrap());
    assert_eq!(reply.headers["x-loopwright-variant"], "live");
    assert_eq!(desk.chat(json!({})).await.json()["choices"], json["choices"], "the default is greedy");
}

#[tokio::test]
async fn wrong_requests_are_told_what_is_wrong() {
    let desk = desk().await;
    let long = "parcel ".repeat(CONTEXT);
    for (fields, status, code) in [
        (json!({"model": "gpt-4o"}), 404, "model_not_found"),
        (json!({"messages": []}), 400, "invalid_value"),
        (json!({"messages": "hello"}), 400, "invalid_body"),
        (json!({"n": 0}), 400, "invalid_value"),
        (json!({"max_tokens": 0}), 400, "invalid_value"),
        (json!({"max_tokens": -1}), 400, "invalid_body"),
        (json!({"temperature": 9}), 400, "invalid_value"),
        (json!({"tools": [{"type": "function"}]}), 400, "invalid_value"),
        (json!({"functions": [{"name": "f"}]}), 400, "unsupported_parameter"),
        (json!({"messages": [{"role": "user", "content": long}]}), 400, "context_length_exceeded"),
        (json!({"messages": [{"role": "user", "content": long}], "stream": true}), 400, "context_length_exceeded"),
    ] {
        let reply = desk.chat(fields.clone()).await;
        assert_eq!((reply.status, reply.error_code().as_str()), (status, code), "{fields}");
    }
    let unknown = desk.chat(json!({"model": "gpt-4o"})).await.json();
    assert!(unknown["error"]["message"].as_str().unwrap().contains("`support`"), "{unknown}");
    let broken = desk.post("/v1/chat/completions", "{\"model\": \"support\",\n  oops}").await;
    assert_eq!((broken.status, broken.error_code().as_str()), (400, "invalid_json"));
    assert!(broken.body.contains("line 2 column 3"), "{}", broken.body);
}

#[tokio::test]
async fn unknown_paths_and_methods_answer_in_json() {
    let desk = desk().await;
    for (head, status, code) in [
        ("GET /v1/nothing", 404, "not_found"),
        ("GET /v1", 404, "not_found"),
        ("GET /v1/chat/completions", 405, "method_not_allowed"),
        ("DELETE /v1/models", 405, "method_not_allowed"),
        ("GET /nothing", 404, "not_found"),
    ] {
        let reply = desk.ask(head, &[], "").await;
        assert_eq!((reply.status, reply.error_code().as_str()), (status, code), "{head}");
    }
    let page = desk.ask("GET /nothing", &[("accept", "text/html")], "").await;
    assert_eq!(page.status, 404);
    assert!(page.body.contains("<html"), "{}", page.body);
}

#[tokio::test]
async fn the_clients_own_id_is_given_back() {
    let desk = desk().await;
    let headers = [("authorization", desk.bearer()), ("x-request-id", "mine-1".into())];
    let headers: Vec<(&str, &str)> = headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let reply = desk.ask("GET /v1/models", &headers, "").await;
    assert_eq!(reply.headers["x-request-id"], "mine-1");
    assert!(desk.get("/v1/models").await.headers["x-request-id"].starts_with("req_"));
}

#[tokio::test]
async fn routes_are_listed_as_models() {
    let desk = desk().await;
    let list = desk.get("/v1/models").await.json();
    assert_eq!((&list["object"], &list["data"][0]["id"]), (&json!("list"), &json!("support")));
    assert_eq!(desk.get("/v1/models/support").await.json()["object"], "model");
    let missing = desk.get("/v1/models/other").await;
    assert_eq!((missing.status, missing.error_code().as_str()), (404, "model_not_found"));
}

#[tokio::test]
async fn every_request_that_met_a_variant_leaves_a_masked_trace() {
    let desk = desk().await;
    let message = json!([{"role": "user", "content": "mail me at jo@example.org"}]);
    let fields = json!({"messages": message, "user": "customer-7", "metadata": {"tag": "month-1"}});
    let id = desk.chat(fields).await.json()["id"].as_str().unwrap().to_string();
    let long = "parcel ".repeat(CONTEXT);
    desk.chat(json!({"messages": [{"role": "user", "content": long}]})).await;
    desk.chat(json!({"model": "gpt-4o"})).await;
    desk.server.state().sink().flush().await.unwrap();
    let traces = desk.store.traces(&TraceQuery { newest_first: false, ..TraceQuery::default() }).await.unwrap();
    assert_eq!(traces.len(), 2, "an unknown route leaves none");
    let trace = &traces[0];
    assert_eq!((trace.id.as_str(), trace.route.as_str(), trace.variant.as_str()), (id.as_str(), "support", "live"));
    assert_eq!(trace.input, "mail me at <EMAIL>");
    assert_eq!(trace.subject, Some(desk.store.subject_id("customer-7")));
    assert_eq!((trace.tag.as_deref(), trace.key.as_ref().map(|key| key.as_str())), (Some("month-1"), Some("key_1")));
    assert_eq!((trace.status, trace.finish.as_str(), trace.tokens_out), (200, "length", 6));
    assert!(trace.tokens_in > 0 && trace.first_token_ms > 0.0 && trace.latency_ms >= trace.first_token_ms, "{trace:?}");
    assert_eq!((traces[1].status, traces[1].finish.as_str()), (400, "context_length_exceeded"));
}

#[tokio::test]
async fn messages_are_prepared_as_in_training_and_traced_as_sent() {
    let desk = desk_with(|settings| settings.preparer = Arc::new(|text| text.to_lowercase())).await;
    let ask = async |text: &str| desk.chat(json!({"messages": [{"role": "user", "content": text}]})).await.json();
    let (loud, quiet) = (ask("WHERE IS MY PARCEL").await, ask("where is my parcel").await);
    assert_eq!(loud["choices"], quiet["choices"]);
    assert_eq!(loud["usage"], quiet["usage"]);
    desk.server.state().sink().flush().await.unwrap();
    let query = TraceQuery { text_contains: Some("PARCEL".into()), newest_first: false, ..TraceQuery::default() };
    assert_eq!(desk.store.traces(&query).await.unwrap()[0].input, "WHERE IS MY PARCEL");
}

#[tokio::test]
async fn a_user_stays_with_a_variant_where_users_are_sticky() {
    let desk = desk_with(|settings| settings.stickiness = Stickiness::User).await;
    crate::desk::write_model(&desk.store, 2).await;
    crate::desk::put_route(&desk.store, &[("live", 1, 50), ("canary", 2, 50)]).await;
    desk.settled().await;
    let mut seen = std::collections::BTreeSet::new();
    for user in 0..12 {
        let ask = async || {
            desk.chat(json!({"user": format!("u{user}"), "max_tokens": 1})).await.headers["x-loopwright-variant"]
                .clone()
        };
        let variant = ask().await;
        assert_eq!(ask().await, variant);
        seen.insert(variant);
    }
    assert_eq!(seen.len(), 2, "twelve users at 50 % meet both variants");
}
