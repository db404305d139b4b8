//! Keys with limits: what they may ask, how much, what it costs, and what is left of it after a restart.

use crate::desk::{Desk, body, desk_with, key_record, put, start};
use loopwright_serve::{price::Price, rules::RouteRules};
use loopwright_server::ServerSettings;
use loopwright_types::{
    Timestamp,
    key::{ApiKey, Limit, Measure, Scope, Window},
};
use serde_json::json;

/// A dollar a token, so that costs are large and easy to add up.
fn priced(settings: &mut ServerSettings) {
    let price = Price::from_usd_per_million(1e6, 1e6, 1e6).unwrap();
    settings.rules.insert("support".into(), RouteRules { price, ..RouteRules::default() });
}

async fn limit(desk: &Desk, change: impl FnOnce(&mut ApiKey)) {
    let mut key = key_record(&desk.store, 1, Scope::Inference, false);
    change(&mut key);
    put(&desk.store, "api_key.updated", &key).await;
    desk.settled().await;
}

fn at_most(of: Measure, window: Window, at_most: u64) -> Vec<Limit> {
    vec![Limit { of, window, at_most }]
}

#[tokio::test]
async fn a_key_asks_so_often_and_is_told_how_often_still() {
    let desk = desk_with(|_| {}).await;
    limit(&desk, |key| key.limits = at_most(Measure::Requests, Window::Minute, 2)).await;
    for left in ["1", "0"] {
        let reply = desk.chat(json!({})).await;
        assert_eq!(reply.status, 200, "{}", reply.body);
        assert_eq!(reply.headers["x-ratelimit-limit-requests"], "2");
        assert_eq!(reply.headers["x-ratelimit-remaining-requests"], left);
        let reset = &reply.headers["x-ratelimit-reset-requests"];
        assert!(reset.starts_with("1m") || reset.starts_with("59."), "{reset}");
    }
    let refused = desk.chat(json!({})).await;
    assert_eq!((refused.status, refused.error_code().as_str()), (429, "rate_limit_exceeded"));
    assert_eq!(refused.headers["x-ratelimit-remaining-requests"], "0");
    let wait: u64 = refused.headers["retry-after"].parse().unwrap();
    assert!((1..=61).contains(&wait), "{wait}");
    let metrics = desk.ask("GET /metrics", &[], "").await.body;
    assert!(metrics.contains("loopwright_refused_total{status=\"429\",code=\"rate_limit_exceeded\"} 1"), "{metrics}");
}

#[tokio::test]
async fn a_key_is_good_for_its_routes_and_its_time() {
    let desk = desk_with(|_| {}).await;
    limit(&desk, |key| key.routes = vec!["other".into()]).await;
    let reply = desk.chat(json!({})).await;
    assert_eq!((reply.status, reply.error_code().as_str()), (403, "model_not_allowed"));
    limit(&desk, |key| key.expires_at = Some(Timestamp(1))).await;
    let reply = desk.chat(json!({})).await;
    assert_eq!((reply.status, reply.error_code().as_str()), (401, "expired_api_key"));
}

#[tokio::test]
async fn an_answer_tells_its_cost_and_the_budget_ends_where_it_should() {
    let desk = desk_with(priced).await;
    let reply = desk.chat(json!({})).await;
    let usage = reply.json()["usage"]["total_tokens"].as_u64().unwrap();
    assert_eq!(reply.headers["x-loopwright-cost-usd"], format!("{usage}.000000"));
    assert!(!reply.headers.contains_key("x-ratelimit-limit-requests"), "it has no limit");
    // What is left is less than the next request may cost at most, however little it would cost.
    limit(&desk, |key| key.limits = at_most(Measure::MicroUsd, Window::Total, (usage + 50) * 1_000_000)).await;
    let refused = desk.chat(json!({})).await;
    assert_eq!((refused.status, refused.error_code().as_str()), (429, "insufficient_quota"));
    assert_eq!(refused.headers["x-loopwright-budget-remaining-usd"], "50.000000");
    assert!(!refused.headers.contains_key("retry-after"), "a total never comes back");
    limit(&desk, |key| key.limits = at_most(Measure::MicroUsd, Window::Total, 100_000_000_000)).await;
    assert_eq!(desk.chat(json!({})).await.status, 200);
}

#[tokio::test]
async fn many_at_once_never_pass_a_budget_and_the_store_has_every_cent() {
    let desk = desk_with(priced).await;
    let (budget, n) = (300_000_000, 24);
    limit(&desk, |key| key.limits = at_most(Measure::MicroUsd, Window::Month, budget)).await;
    let asked = futures::future::join_all((0..n).map(|_| desk.chat(json!({})))).await;
    let answered: Vec<_> = asked.iter().filter(|reply| reply.status == 200).collect();
    assert!(!answered.is_empty() && answered.len() < n, "{} of {n}", answered.len());
    assert!(asked.iter().all(|reply| matches!(reply.status, 200 | 429)));
    let cost: u64 = answered.iter().map(|reply| reply.json()["usage"]["total_tokens"].as_u64().unwrap()).sum();
    assert!(cost * 1_000_000 <= budget);
    desk.server.state().sink().flush().await.unwrap();
    let kept = desk.store.spendings(Some(&"key_1".into()), Timestamp(0)).await.unwrap();
    let total = kept.iter().find(|it| it.minute.is_none()).unwrap().used;
    assert_eq!((total.requests, total.micro_usd), (answered.len() as u64, cost * 1_000_000));
    let (used, held) = desk.server.state().ledger().total(&"key_1".into());
    assert_eq!((used, held.micro_usd), (total, 0), "nothing is reserved any more");
}

#[tokio::test]
async fn what_was_used_counts_after_a_restart() {
    let desk = desk_with(priced).await;
    let reply = desk.chat(json!({})).await;
    let usage = reply.json()["usage"]["total_tokens"].as_u64().unwrap();
    let store = desk.store.clone();
    desk.server.shutdown().await.unwrap();
    let server = start(&store, priced).await;
    let (used, _) = server.state().ledger().total(&"key_1".into());
    assert_eq!((used.requests, used.tokens, used.micro_usd), (1, usage, usage * 1_000_000));
    server.shutdown().await.unwrap();
}

#[tokio::test]
async fn a_client_that_goes_away_pays_for_what_was_said() {
    let desk = desk_with(priced).await;
    let mut open = desk.open_chat(json!({"stream": true, "max_tokens": 2000})).await;
    open.read_until("\"content\"").await;
    drop(open);
    let total = || desk.server.state().ledger().total(&"key_1".into());
    desk.until("the request is settled", async || total().1.micro_usd == 0).await;
    let (used, _) = total();
    assert!(used.micro_usd > 0 && used.micro_usd < 2_000_000_000, "{used:?}");
    desk.server.state().sink().flush().await.unwrap();
    let traces = desk.store.traces(&Default::default()).await.unwrap();
    assert_eq!((traces[0].status, traces[0].detail.cost_micro_usd), (499, used.micro_usd));
}

#[tokio::test]
async fn a_trace_is_in_the_journal_before_the_last_byte_goes_out() {
    let desk = desk_with(|settings| settings.sink.gather = std::time::Duration::from_secs(3600)).await;
    let reply = desk.post("/v1/chat/completions", &body(json!({"stream": true}))).await;
    assert!(reply.body.contains("[DONE]"));
    // A second server on the same project would find it, if this one were killed now.
    let journal = desk.store.layout().journal_segment(0, 1);
    let bytes = std::fs::read(journal).unwrap();
    let text = String::from_utf8_lossy(&bytes);
    assert!(text.contains("\"entry\":\"opened\"") && text.contains("\"entry\":\"closed\""), "{text}");
    assert!(text.contains(&reply.headers["x-trace-id"]));
}
