//! `/health`, `/metrics`, `/version`, and headers on pages.

use crate::desk::desk;
use serde_json::json;

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
