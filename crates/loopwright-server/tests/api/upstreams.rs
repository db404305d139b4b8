//! Routes that providers answer, as clients meet them: through the router, with providers on loopback.

use crate::{
    desk::{Desk, desk_with},
    mock::{Act, Mock, chunk, hello, hello_stream, json as whole, reply, stream_head},
};
use loopwright_serve::{
    gateway::{BreakerSettings, FallbackSettings, GatewaySettings, RoutePolicy, ShadowSettings, VariantSettings},
    upstream::{ProviderKind, ProviderSettings},
};
use loopwright_store::TraceQuery;
use loopwright_types::trace::Trace;
use serde_json::json;
use std::{sync::Arc, time::Instant};
use tokio::sync::Notify;

fn variant(provider: &str) -> VariantSettings {
    VariantSettings { provider: provider.into(), model: "m".into(), weight: 1, name: String::new() }
}

fn fallback(provider: &str) -> FallbackSettings {
    FallbackSettings { provider: provider.into(), model: "m".into() }
}

fn policy(provider: &str) -> RoutePolicy {
    RoutePolicy {
        variants: vec![variant(provider)],
        retries: 0,
        retry_base_ms: 1,
        retry_max_ms: 2,
        ..RoutePolicy::default()
    }
}

fn settings(routes: &[(&str, RoutePolicy)], mocks: &[(&str, &Mock)]) -> GatewaySettings {
    let provider = |mock: &Mock| ProviderSettings {
        base_url: mock.url(),
        allow_private: true,
        ..ProviderSettings::new(ProviderKind::OpenAi)
    };
    GatewaySettings {
        providers: mocks.iter().map(|(name, mock)| (name.to_string(), provider(mock))).collect(),
        routes: routes.iter().map(|(name, policy)| (name.to_string(), policy.clone())).collect(),
    }
}

async fn desk(gateway: GatewaySettings) -> Desk {
    desk_with(move |settings| settings.gateway = gateway).await
}

fn failing(status: u16) -> Vec<Act> {
    reply(status, &[("content-type", "application/json")], "{\"error\": {\"message\": \"out of order\"}}")
}

/// The traces, oldest first, once there are so many.
async fn traces(desk: &Desk, n: usize) -> Vec<Trace> {
    desk.until("the traces are kept", async || {
        desk.server.state().sink().flush().await.unwrap();
        desk.store.traces(&TraceQuery::default()).await.unwrap().len() >= n
    })
    .await;
    let mut traces = desk.store.traces(&TraceQuery::default()).await.unwrap();
    traces.sort_by_key(|trace| trace.at);
    traces
}

#[tokio::test]
async fn a_route_of_providers_needs_no_model() {
    let a = Mock::always(whole(&hello("from afar"))).await;
    let desk = desk(settings(&[("chat", policy("a"))], &[("a", &a)])).await;
    let reply = desk.chat(json!({"model": "chat"})).await;
    assert_eq!((reply.status, reply.json()["choices"][0]["message"]["content"].as_str()), (200, Some("from afar")));
    assert_eq!(reply.json()["usage"]["total_tokens"], 7);
    assert_eq!(reply.headers["x-loopwright-variant"], "a/m");
    assert_eq!((&*reply.headers["x-loopwright-provider"], &*reply.headers["x-loopwright-attempts"]), ("a", "1"));
    let trace = &traces(&desk, 1).await[0];
    assert_eq!((trace.variant.as_str(), trace.model.provider_model()), ("a/m", Some("a/m")));
    assert_eq!((trace.output.as_str(), trace.tokens_in, trace.tokens_out), ("from afar", 5, 2));

    let models = desk.get("/v1/models").await.json();
    let ids: Vec<&str> = models["data"].as_array().unwrap().iter().map(|it| it["id"].as_str().unwrap()).collect();
    assert_eq!(ids, ["chat", "support"]);
    assert_eq!(desk.get("/v1/models/chat").await.status, 200);
    let unknown = desk.chat(json!({"model": "gpt-4o"})).await;
    assert!(unknown.body.contains("`chat`, `support`"), "{}", unknown.body);
    // The deployed route is served as before.
    assert_eq!(desk.chat(json!({})).await.headers["x-loopwright-variant"], "live");
}

#[tokio::test]
async fn a_fallback_answers_after_a_failure() {
    let (a, b) = (Mock::always(failing(500)).await, Mock::always(whole(&hello("b"))).await);
    let chat = RoutePolicy { fallbacks: vec![fallback("b")], retries: 1, ..policy("a") };
    let desk = desk(settings(&[("chat", chat)], &[("a", &a), ("b", &b)])).await;
    let reply = desk.chat(json!({"model": "chat"})).await;
    assert_eq!((reply.status, &*reply.headers["x-loopwright-provider"]), (200, "b"));
    assert_eq!(reply.headers["x-loopwright-attempts"], "3");
    assert_eq!(traces(&desk, 1).await[0].variant, "b/m");
}

#[tokio::test]
async fn our_own_model_stands_in_for_a_provider_that_hangs() {
    let a = Mock::always(vec![Act::Hang]).await;
    let support = RoutePolicy { fallbacks: vec![fallback("own")], first_token_timeout_ms: 1_000, ..policy("a") };
    let desk = desk(settings(&[("support", support)], &[("a", &a)])).await;
    for stream in [false, true] {
        let reply = desk.chat(json!({"stream": stream})).await;
        assert_eq!((reply.status, &*reply.headers["x-loopwright-variant"]), (200, "live"), "{}", reply.body);
        assert_eq!((&*reply.headers["x-loopwright-provider"], &*reply.headers["x-loopwright-attempts"]), ("own", "2"));
    }
    assert!(traces(&desk, 2).await.iter().all(|trace| trace.variant == "live" && trace.model.version == 1));
}

#[tokio::test]
async fn failures_come_in_openais_shape_with_the_providers_words() {
    let answers = [(429, 429, "rate_limit_exceeded"), (500, 502, "provider_failed"), (400, 400, "provider_refused")];
    for (theirs, ours, code) in answers {
        let a = Mock::always(failing(theirs)).await;
        let desk = desk(settings(&[("chat", policy("a"))], &[("a", &a)])).await;
        for stream in [false, true] {
            let reply = desk.chat(json!({"model": "chat", "stream": stream})).await;
            assert_eq!((reply.status, reply.error_code().as_str()), (ours, code));
            assert!(reply.body.contains("out of order"), "{}", reply.body);
        }
        let trace = &traces(&desk, 2).await[0];
        assert_eq!((trace.status, trace.finish.as_str(), trace.variant.as_str()), (ours, code, "a/m"));
    }
}

#[tokio::test]
async fn a_stream_passes_as_it_comes_and_its_cancellation_too() {
    let go = Arc::new(Notify::new());
    let delta = |text: &str| {
        chunk(format!("data: {}\n\n", json!({"choices": [{"index": 0, "delta": {"content": text}}]})).as_bytes())
    };
    let acts = vec![stream_head("text/event-stream"), delta("one"), Act::Wait(go.clone()), delta("two"), Act::Hang];
    let a = Mock::always(acts).await;
    let desk = desk(settings(&[("chat", policy("a"))], &[("a", &a)])).await;
    let mut open = desk.open_chat(json!({"model": "chat", "stream": true})).await;
    let head = open.read_until("\"one\"").await;
    assert!(head.contains("x-loopwright-provider: a") && !head.contains("two"), "{head}");
    go.notify_one();
    open.read_until("\"two\"").await;
    drop(open);
    desk.until("the provider sees the client go", async || a.n_gone() == 1).await;
    let trace = &traces(&desk, 1).await[0];
    assert_eq!((trace.status, trace.output.as_str(), trace.variant.as_str()), (499, "onetwo", "a/m"));
}

#[tokio::test]
async fn tokens_are_not_held_back() {
    // Each token follows the one before it, so that held-back packets (40 ms each) would add up.
    let delta = |text: &str| format!("data: {}\n\n", json!({"choices": [{"index": 0, "delta": {"content": text}}]}));
    let acts: Vec<Act> = hello_stream("x").into_iter().collect();
    let many: Vec<Act> = (0..50).map(|i| chunk(delta(&format!("t{i}")).as_bytes())).collect();
    let acts = [acts[..1].to_vec(), many, acts[1..].to_vec()].concat();
    let a = Mock::always(acts).await;
    let desk = desk(settings(&[("chat", policy("a"))], &[("a", &a)])).await;
    desk.chat(json!({"model": "chat", "stream": true})).await;
    let begun = Instant::now();
    let reply = desk.chat(json!({"model": "chat", "stream": true})).await;
    let elapsed = begun.elapsed();
    assert!(reply.body.contains("t49") && reply.body.ends_with("data: [DONE]\n\n"), "{}", reply.body);
    // Fifty packets of 40 ms would be two seconds; without them it is a few milliseconds, here with much room.
    assert!(elapsed.as_millis() < 1_500, "{elapsed:?}");
}

#[tokio::test]
async fn a_hedge_answers_for_a_slow_provider() {
    let (a, b) = (Mock::always(vec![Act::Hang]).await, Mock::always(hello_stream("quick")).await);
    let chat = RoutePolicy { fallbacks: vec![fallback("b")], hedge_after_ms: 10, ..policy("a") };
    let desk = desk(settings(&[("chat", chat)], &[("a", &a), ("b", &b)])).await;
    let reply = desk.chat(json!({"model": "chat", "stream": true})).await;
    assert!(reply.body.contains("quick"), "{}", reply.body);
    assert_eq!((&*reply.headers["x-loopwright-provider"], &*reply.headers["x-loopwright-attempts"]), ("b", "2"));
    desk.until("the slow one is cancelled", async || a.n_gone() == 1).await;
}

#[tokio::test]
async fn a_breaker_opens_and_the_client_hears_when_to_come_back() {
    let a = Mock::always(failing(500)).await;
    let breaker = BreakerSettings { min_requests: 2, open_ms: 30_000, ..BreakerSettings::default() };
    let desk = desk(settings(&[("chat", RoutePolicy { breaker, ..policy("a") })], &[("a", &a)])).await;
    for _ in 0..2 {
        assert_eq!(desk.chat(json!({"model": "chat"})).await.status, 502);
    }
    let reply = desk.chat(json!({"model": "chat"})).await;
    assert_eq!((reply.status, reply.error_code().as_str()), (503, "no_target_available"));
    let health = desk.ask("GET /health", &[], "").await.json();
    let variants = json!([{"name": "a/m", "model": "a/m", "weight_percent": 100}]);
    let route = health["routes"].as_array().unwrap().iter().find(|route| route["name"] == "chat").unwrap();
    assert_eq!(route["variants"], variants);
    let metrics = desk.ask("GET /metrics", &[], "").await.body;
    let left_alone = "loopwright_target_left_alone{route=\"chat\",target=\"a/m\"} 1";
    assert!(metrics.lines().any(|line| line == left_alone), "{metrics}");
    let seconds: u32 = reply.headers["retry-after"].parse().unwrap();
    assert!((1..=30).contains(&seconds) && a.n_asked() == 2, "{seconds}");
}

#[tokio::test]
async fn shadows_answer_into_traces_and_never_delay() {
    let (a, b) = (Mock::always(whole(&hello("seen"))).await, Mock::always(whole(&hello("unseen"))).await);
    let shadow = |provider: &str| ShadowSettings { provider: provider.into(), model: "m".into(), share: 1.0 };
    let chat = RoutePolicy { shadow: vec![shadow("b")], ..policy("a") };
    let support = RoutePolicy { shadow: vec![shadow("hung")], ..RoutePolicy::default() };
    let hung = Mock::always(vec![Act::Hang]).await;
    let routes = [("chat", chat), ("support", support)];
    let desk = desk(settings(&routes, &[("a", &a), ("b", &b), ("hung", &hung)])).await;
    let reply = desk.chat(json!({"model": "chat", "stream": false})).await;
    assert!(reply.body.contains("seen") && !reply.body.contains("unseen"));
    let mut traces = traces(&desk, 2).await;
    traces.sort_by(|x, y| x.variant.cmp(&y.variant));
    let told: Vec<(&str, &str)> = traces.iter().map(|it| (it.variant.as_str(), it.output.as_str())).collect();
    assert_eq!(told, [("a/m", "seen"), ("shadow b/m", "unseen")]);
    // A shadow that never answers holds nothing up.
    assert_eq!(desk.chat(json!({})).await.status, 200);
    desk.until("the copy was sent", async || hung.n_asked() == 1).await;
}

#[tokio::test]
async fn private_addresses_are_refused_unless_allowed() {
    let a = Mock::always(whole(&hello("inside"))).await;
    let mut gateway = settings(&[("chat", policy("a"))], &[("a", &a)]);
    gateway.providers.get_mut("a").unwrap().allow_private = false;
    let desk = desk(gateway).await;
    let reply = desk.chat(json!({"model": "chat"})).await;
    assert_eq!((reply.status, reply.error_code().as_str()), (502, "provider_address_refused"));
    assert_eq!(a.n_asked(), 0);
}

#[tokio::test]
async fn changed_settings_are_in_force_from_the_next_request_on() {
    let (a, b) = (Mock::always(whole(&hello("a"))).await, Mock::always(whole(&hello("b"))).await);
    let mocks = [("a", &a), ("b", &b)];
    let desk = desk(settings(&[("chat", policy("a"))], &mocks)).await;
    assert_eq!(desk.chat(json!({"model": "chat"})).await.headers["x-loopwright-provider"], "a");
    desk.server.state().change_gateway(settings(&[("chat", policy("b"))], &mocks));
    assert_eq!(desk.chat(json!({"model": "chat"})).await.headers["x-loopwright-provider"], "b");
}

#[tokio::test]
async fn probes_find_a_provider_that_is_down() {
    let a = Mock::always(failing(500)).await;
    let breaker = BreakerSettings { min_requests: 1, open_ms: 60_000, ..BreakerSettings::default() };
    let mut gateway = settings(&[("chat", RoutePolicy { breaker, ..policy("a") })], &[("a", &a)]);
    gateway.providers.get_mut("a").unwrap().probe_every_ms = 1;
    let desk = desk(gateway).await;
    desk.until("a probe finds out", async || desk.server.state().gateway().n_open("a") == 1).await;
    let n_asked = a.n_asked();
    assert_eq!(desk.chat(json!({"model": "chat"})).await.status, 503);
    assert!(a.got()[..n_asked].iter().all(|got| got.line.starts_with("GET / ")));
}

#[tokio::test]
async fn the_routes_page_shows_targets_and_their_state() {
    let a = Mock::always(failing(500)).await;
    let breaker = BreakerSettings { min_requests: 1, open_ms: 60_000, ..BreakerSettings::default() };
    let desk = desk(settings(&[("chat", RoutePolicy { breaker, ..policy("a") })], &[("a", &a)])).await;
    desk.chat(json!({"model": "chat"})).await;
    traces(&desk, 1).await;
    let link = desk.server.sign_in_url().unwrap();
    let path = link.split_once("/sign-in").map(|(_, rest)| format!("/sign-in{rest}")).unwrap();
    let signed = desk.ask(&format!("GET {path}"), &[], "").await;
    let cookie = signed.headers["set-cookie"].split(';').next().unwrap().to_string();
    let list = desk.ask("GET /routes", &[("cookie", &cookie)], "").await;
    assert!(list.body.contains("/routes/chat") && list.body.contains("m at a"), "{}", list.body);
    let page = desk.ask("GET /routes/chat", &[("cookie", &cookie)], "").await.body;
    for part in ["m at a", "open for", "100.0%", "Traffic since the server began"] {
        assert!(page.contains(part), "{part} in {page}");
    }
}
