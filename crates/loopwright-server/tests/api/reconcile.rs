//! Records change, and what is served follows: without a restart, and never to a model that must not be served.

use crate::desk::{PATIENCE, desk, desk_with, put_key, put_model, put_route, start, write_model};
use loopwright_server::{
    REFUSED,
    live::{ModelStatus, RouteStatus},
};
use loopwright_store::{ObjectKey, Store};
use loopwright_types::{ModelRef, key::Scope, model::ModelState};
use serde_json::json;
use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

async fn n_refusals(store: &Store) -> usize {
    store.events(0, 1000).await.unwrap().iter().filter(|event| event.event.kind == REFUSED).count()
}

#[tokio::test]
async fn a_changed_route_is_served_without_a_restart() {
    let desk = desk().await;
    assert_eq!(desk.chat(json!({})).await.json()["system_fingerprint"], "desk@1");
    write_model(&desk.store, 2).await;
    put_route(&desk.store, &[("live", 2, 100)]).await;
    let live = desk.settled().await;
    assert_eq!(desk.chat(json!({})).await.json()["system_fingerprint"], "desk@2");
    assert_eq!(live.models.keys().map(|model| model.version).collect::<Vec<_>>(), [2], "the old version is unloaded");
    assert_eq!(desk.server.state().engine().loaded(), [ModelRef::new("desk", 2)]);
}

#[tokio::test]
async fn changes_of_another_process_are_seen() {
    let desk = desk().await;
    // A second store on the same folder tells this process nothing, as another process would.
    let other = Store::open(desk.store.dir()).await.unwrap();
    write_model(&other, 2).await;
    put_route(&other, &[("live", 2, 100)]).await;
    let secret = put_key(&other, 9, Scope::Inference).await;
    desk.settled().await;
    let headers = [("authorization", format!("Bearer {secret}"))];
    let headers: Vec<(&str, &str)> = headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let reply = desk.ask("POST /v1/chat/completions", &headers, &crate::desk::body(json!({}))).await;
    assert_eq!((reply.status, &reply.json()["system_fingerprint"]), (200, &json!("desk@2")));
}

#[tokio::test]
async fn a_canary_gets_its_share() {
    let desk = desk().await;
    write_model(&desk.store, 2).await;
    put_route(&desk.store, &[("live", 1, 70), ("canary", 2, 30)]).await;
    desk.settled().await;
    let mut n_canary = 0;
    for _ in 0..100 {
        let reply = desk.chat(json!({"max_tokens": 1})).await;
        let is_canary = reply.headers["x-loopwright-variant"] == "canary";
        assert_eq!(reply.json()["system_fingerprint"], if is_canary { "desk@2" } else { "desk@1" });
        n_canary += u32::from(is_canary);
    }
    // Binomial(100, 0.3) has a standard deviation of 4.6; six of them on either side.
    assert!((3..=57).contains(&n_canary), "{n_canary}");
}

#[tokio::test]
async fn a_model_that_fails_its_verification_is_refused_and_the_old_one_stays() {
    let is_good = Arc::new(AtomicBool::new(false));
    let asked = is_good.clone();
    let desk = desk_with(move |settings| {
        settings.verifier = Arc::new(move |model| match model.version == 1 || asked.load(Ordering::Relaxed) {
            true => Ok(()),
            false => Err("its signature does not fit".into()),
        });
    })
    .await;
    write_model(&desk.store, 2).await;
    put_route(&desk.store, &[("live", 2, 100)]).await;
    let live = desk.settled().await;
    let reason = "its signature does not fit".to_string();
    assert_eq!(live.models[&ModelRef::new("desk", 2)], ModelStatus::Refused { reason: reason.clone() });
    assert_eq!(live.route_states["support"], RouteStatus::Kept);
    assert_eq!(desk.chat(json!({})).await.json()["system_fingerprint"], "desk@1");
    let health = desk.ask("GET /health", &[], "").await.json();
    assert_eq!((&health["status"], &health["routes"][0]["state"]), (&json!("degraded"), &json!("kept")));
    assert_eq!(health["models"][1], json!({"model": "desk@2", "state": "refused", "reason": reason}));
    let event =
        desk.store.events(0, 1000).await.unwrap().into_iter().find(|event| event.event.kind == REFUSED).unwrap();
    assert_eq!(
        (event.event.about.to_string().as_str(), &event.event.body["reason"]),
        ("model_version:desk@2", &json!(reason))
    );

    // Another change asks again, and records the same refusal no second time.
    put_key(&desk.store, 5, Scope::Inference).await;
    desk.settled().await;
    assert_eq!(n_refusals(&desk.store).await, 1);

    is_good.store(true, Ordering::Relaxed);
    put_key(&desk.store, 6, Scope::Inference).await;
    let live = desk.settled().await;
    assert_eq!(live.route_states["support"], RouteStatus::AsAsked);
    assert_eq!(desk.chat(json!({})).await.json()["system_fingerprint"], "desk@2");
}

#[tokio::test]
async fn a_retired_or_damaged_or_missing_model_is_not_served() {
    let desk = desk().await;
    put_model(&desk.store, &ModelRef::new("desk", 1), ModelState::Retired).await;
    let live = desk.settled().await;
    assert_eq!(live.models[&ModelRef::new("desk", 1)], ModelStatus::Refused { reason: "it is retired".into() });
    let reply = desk.chat(json!({})).await;
    assert_eq!((reply.status, reply.error_code().as_str()), (503, "model_not_ready"));
    assert_eq!(reply.headers["retry-after"], "1");
    assert!(desk.server.state().engine().loaded().is_empty());

    write_model(&desk.store, 2).await;
    let dir = desk.store.objects().local_dir(&ObjectKey::ModelDir { model: ModelRef::new("desk", 2) }).unwrap();
    std::fs::write(dir.join("model.safetensors"), b"cut short").unwrap();
    put_route(&desk.store, &[("live", 2, 60), ("canary", 3, 40)]).await;
    let live = desk.settled().await;
    let reason = |version| match &live.models[&ModelRef::new("desk", version)] {
        ModelStatus::Refused { reason } => reason.clone(),
        status => panic!("{status:?}"),
    };
    assert!(reason(2).contains("failed to load the model `desk@2`: "), "{}", reason(2));
    assert_eq!(reason(3), "there is no such model version");
    assert_eq!(live.route_states["support"], RouteStatus::Empty);
}

#[tokio::test]
async fn after_a_restart_a_route_serves_with_the_variants_that_are_ready() {
    let desk = desk().await;
    write_model(&desk.store, 2).await;
    put_route(&desk.store, &[("live", 1, 80), ("canary", 2, 20)]).await;
    desk.settled().await;
    desk.server.shutdown().await.unwrap();
    let server = start(&desk.store, |settings| {
        settings.verifier = Arc::new(|model| if model.version == 2 { Err("tampered with".into()) } else { Ok(()) });
    })
    .await;
    let live = server.settled(PATIENCE).await.unwrap();
    assert_eq!(live.route_states["support"], RouteStatus::Reduced);
    let variants: Vec<&str> = live.routes.get("support").unwrap().variants.iter().map(|v| v.name.as_str()).collect();
    assert_eq!(variants, ["live"]);
}
