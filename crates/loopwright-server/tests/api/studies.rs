//! Searching from outside: asking for points and telling what came of them.

use crate::desk::desk;
use serde_json::{Value, json};

fn study(name: &str) -> Value {
    json!({
        "name": name,
        "direction": "minimise",
        "space": {
            "x": {"type": "float", "low": -5.0, "high": 5.0},
            "kind": {"type": "categorical", "choices": ["a", "b"]},
        },
        "sampler": {"name": "random"},
        "pruner": {"name": "median", "n_startup_trials": 2, "n_warmup_steps": 0},
        "seed": 3,
    })
}

#[tokio::test]
async fn any_trainer_asks_and_tells() {
    let desk = desk().await;
    let made = desk.post("/v1/studies", &study("mine").to_string()).await;
    assert_eq!(made.status, 201, "{}", made.body);
    assert_eq!(desk.post("/v1/studies", &study("mine").to_string()).await.status, 200, "the same study is the same");
    let given = desk.post("/v1/studies/mine/enqueue", &json!({"x": 0.5}).to_string()).await;
    assert_eq!(given.status, 204, "{}", given.body);
    for number in 0..4_i32 {
        let trial = desk.post("/v1/studies/mine/ask", "").await.json();
        assert_eq!(trial["number"], number);
        let x = trial["params"]["x"].as_f64().unwrap();
        if number == 0 {
            assert!((x - 0.5).abs() < 1e-12);
        }
        let report = format!("/v1/studies/mine/trials/{number}/report");
        // The later, the worse: once two are complete, others are given up.
        let answer = desk.post(&report, &json!({"step": 1, "value": f64::from(number)}).to_string()).await;
        assert_eq!(answer.json()["prune"], number >= 2, "{}", answer.body);
        let told = if number >= 2 { json!({"pruned": true}) } else { json!({"value": x * x}) };
        let ended = desk.post(&format!("/v1/studies/mine/trials/{number}/tell"), &told.to_string()).await;
        assert_eq!(ended.status, 200, "{}", ended.body);
    }
    let shown = desk.get("/v1/studies/mine").await.json();
    assert_eq!(shown["study"]["trials"].as_array().unwrap().len(), 4);
    assert_eq!(desk.get("/v1/studies").await.json()["data"][0]["name"], "mine");
    assert_eq!(desk.store.last_event().await.unwrap().unwrap().event.kind, "trial.ended");
}

#[tokio::test]
async fn what_is_wrong_is_told() {
    let desk = desk().await;
    desk.post("/v1/studies", &study("mine").to_string()).await;
    let mut other = study("mine");
    other["seed"] = json!(4);
    let mut misspelt = study("new");
    misspelt["smapler"] = json!({"name": "random"});
    let mut upside_down = study("new");
    upside_down["space"]["x"]["low"] = json!(9.0);
    for (path, body, status, word) in [
        ("/v1/studies", other, 400, "another study"),
        ("/v1/studies", misspelt, 400, "smapler"),
        ("/v1/studies", upside_down, 400, "`x`"),
        ("/v1/studies/none/ask", json!({}), 404, "no study `none`"),
        ("/v1/studies/mine/trials/7/tell", json!({"value": 1.0}), 400, "trial 7"),
        ("/v1/studies/mine/trials/0/tell", json!({"score": 1.0}), 400, "score"),
        ("/v1/studies/mine/enqueue", json!({"x": 77.0}), 400, "77"),
    ] {
        let reply = desk.post(path, &body.to_string()).await;
        assert_eq!(reply.status, status, "{path}: {}", reply.body);
        assert!(reply.body.contains(word), "{path}: {}", reply.body);
    }
    assert_eq!(desk.ask("GET /v1/studies", &[], "").await.status, 401);
}
