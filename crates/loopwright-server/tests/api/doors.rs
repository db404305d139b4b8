//! `/health`, `/metrics`, `/version`, and headers on pages.

use crate::desk::desk;
use serde_json::json;
use std::time::Duration;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

#[tokio::test]
async fn health_tells_models_and_routes() {
    let desk = desk().await;
    let health = desk.ask("GET /health", &[], "").await.json();
    assert_eq!(health["status"], "ok");
    assert_eq!(health["models"], json!([{"model": "desk@1", "state": "ready"}]));
    let variants = json!([{"name": "live", "model": "desk@1", "weight_percent": 100}]);
    assert_eq!(health["routes"], json!([{"name": "support", "state": "as_asked", "variants": variants}]));
    assert_eq!(desk.ask("GET /version", &[], "").await.json()["name"], "loopwright");
}

#[tokio::test]
async fn metrics_count_answers_and_refusals() {
    let desk = desk().await;
    desk.chat(json!({})).await;
    desk.chat(json!({"messages": [{"role": "user", "content": [{"type": "input_audio"}]}]})).await;
    desk.ask("GET /v1/models", &[], "").await;
    let reply = desk.ask("GET /metrics", &[], "").await;
    assert!(reply.headers["content-type"].starts_with("text/plain; version=0.0.4"));
    for expected in [
        r#"loopwright_requests_total{route="support",variant="live",status="2xx"} 1"#,
        r#"loopwright_refused_total{status="400",code="unsupported_value"} 1"#,
        r#"loopwright_refused_total{status="401",code="invalid_api_key"} 1"#,
        "loopwright_models_ready 1",
        "loopwright_engine_done_total 1",
        "vllm:num_requests_waiting 0",
    ] {
        assert!(reply.body.lines().any(|line| line == expected), "{expected}\n{}", reply.body);
    }
}

#[tokio::test]
async fn pages_cannot_be_framed_or_leak_their_address() {
    let desk = desk().await;
    let page = desk.ask("GET /sign-in", &[("accept", "text/html")], "").await;
    assert_eq!(page.status, 200);
    assert_eq!(page.headers["x-frame-options"], "DENY");
    assert_eq!(page.headers["referrer-policy"], "same-origin");
    assert_eq!(page.headers["x-content-type-options"], "nosniff");
    assert!(page.headers["content-security-policy"].contains("frame-ancestors 'none'"));
}

#[tokio::test]
async fn a_body_that_nobody_reads_does_not_break_the_connection() {
    let desk = desk().await;
    let mut socket = TcpStream::connect(desk.server.local_addr()).await.unwrap();
    for (path, status) in [("/v1/no-such-door", "404"), ("/v1/chat/completions", "401"), ("/v1/models", "405")] {
        // As many clients do it: first the head, then the body.
        let head = format!("POST {path} HTTP/1.1\r\nhost: here\r\ncontent-length: 9\r\n\r\n");
        socket.write_all(head.as_bytes()).await.unwrap();
        tokio::time::sleep(Duration::from_millis(20)).await;
        socket.write_all(b"{\"a\": 12}").await.unwrap();
        let mut answer = vec![0; 4096];
        let n = socket.read(&mut answer).await.unwrap();
        let answer = String::from_utf8_lossy(&answer[..n]).into_owned();
        assert!(answer.starts_with(&format!("HTTP/1.1 {status}")), "{path}: {answer}");
    }
}
