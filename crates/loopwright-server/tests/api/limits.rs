//! What is too large, too many, or too late.

use crate::desk::{PATIENCE, desk, desk_with, start};
use loopwright_server::{Error, Kind, ServerSettings, serve};
use loopwright_store::Store;
use serde_json::json;
use std::{sync::Arc, time::Duration};

#[tokio::test]
async fn a_body_beyond_the_limit_is_refused_and_the_client_hears_it() {
    let desk = desk().await;
    for n_bytes in [(1 << 20) + 1, 6 << 20] {
        let reply = desk.post("/v1/chat/completions", &"x".repeat(n_bytes)).await;
        assert_eq!((reply.status, reply.error_code().as_str()), (413, "request_too_large"));
    }
}

#[tokio::test]
async fn a_full_queue_answers_429_with_the_time_to_come_back() {
    let desk = desk_with(|settings| {
        settings.engine.n_active_max = 1;
        settings.engine.n_waiting_max = 1;
    })
    .await;
    let stats = || desk.server.state().engine().stats();
    let mut active = desk.open_chat(json!({"stream": true, "max_tokens": 2000})).await;
    active.read_until("\"content\"").await;
    let waiting = desk.open_chat(json!({"max_tokens": 2})).await;
    desk.until("the second waits", async || stats().n_waiting == 1).await;
    let refused = desk.chat(json!({})).await;
    assert_eq!((refused.status, refused.error_code().as_str()), (429, "rate_limit_exceeded"));
    assert!(refused.headers["retry-after"].parse::<u64>().unwrap() >= 1);
    assert_eq!(refused.json()["error"]["type"], "rate_limit_error");
    drop(active);
    assert_eq!(waiting.reply().await.status, 200);
}

#[tokio::test]
async fn a_port_in_use_is_named_with_the_way_out() {
    let desk = desk().await;
    let store = Store::in_memory().await.unwrap();
    let settings = ServerSettings::new(desk.server.local_addr(), store, Arc::new(|_| Ok(())));
    let Err(error) = serve(settings).await else { panic!("the port was free") };
    assert_eq!(error.kind(), Kind::PortInUse);
    let port = desk.server.local_addr().port();
    assert!(error.to_string().contains(&format!("port {port} is in use\nhint: ")), "{error}");
    assert!(matches!(error, Error::PortInUse { .. }));
}

#[tokio::test]
async fn a_shutdown_lets_answers_end_and_keeps_their_traces() {
    let desk = desk().await;
    let mut open = desk.open_chat(json!({"stream": true, "max_tokens": 300})).await;
    open.read_until("\"content\"").await;
    let store = desk.store.clone();
    let (stopped, rest) = tokio::join!(desk.server.shutdown(), open.read_until("[DONE]"));
    stopped.unwrap();
    assert!(rest.contains("\"finish_reason\":\"length\""));
    let traces = store.traces(&Default::default()).await.unwrap();
    assert_eq!((traces.len(), traces[0].tokens_out), (1, 300));
}

#[tokio::test]
async fn a_shutdown_does_not_wait_for_ever() {
    let desk = desk_with(|settings| settings.shutdown_time_max = Duration::from_millis(10)).await;
    let mut open = desk.open_chat(json!({"stream": true, "max_tokens": 2000})).await;
    open.read_until("\"content\"").await;
    let addr = desk.server.local_addr();
    tokio::time::timeout(PATIENCE, desk.server.shutdown()).await.unwrap().unwrap();
    assert!(tokio::net::TcpStream::connect(addr).await.is_err(), "nobody listens any more");
}

#[tokio::test]
async fn health_answers_before_any_model_is_loaded() {
    let store = Store::in_memory().await.unwrap();
    let server = start(&store, |_| {}).await;
    let reply = crate::client::Open::send(server.local_addr(), "GET /health", &[], b"").await.reply().await;
    assert_eq!((reply.status, &reply.json()["status"]), (200, &json!("ok")));
}
