//! Killed with SIGKILL under load, a server loses no trace and no cent: what its clients saw the end of is in the store, once.

use crate::{
    client::Open,
    desk::{PATIENCE, body, put_key, put_route, start, write_model},
};
use loopwright_observe::{
    entry::{KILLED, Killed},
    fold::recover,
};
use loopwright_serve::{price::Price, rules::RouteRules};
use loopwright_store::{Store, TraceQuery};
use loopwright_types::{Timestamp, key::Scope, trace::Trace};
use serde_json::json;
use std::{
    collections::BTreeMap,
    net::SocketAddr,
    path::Path,
    process::{Child, Command, Stdio},
    time::Duration,
};

/// Names the project folder to the process that is to be killed.
const FOLDER: &str = "LOOPWRIGHT_TEST_KILLED";
/// Clients at a time.
const N_CLIENTS: usize = 8;

/// Not a test by itself: the server in a process of its own, until it is killed. Without a folder there is nothing to do.
#[tokio::test]
async fn a_server_to_be_killed() {
    let Some(dir) = std::env::var_os(FOLDER) else { return };
    let dir = Path::new(&dir);
    let store = Store::create_or_open(dir).await.unwrap();
    if store.last_event().await.unwrap().is_none() {
        write_model(&store, 1).await;
        put_route(&store, &[("live", 1, 100)]).await;
        put_key(&store, 1, Scope::Inference).await;
    }
    let server = start(&store, |settings| {
        let price = Price::from_usd_per_million(3.0, 7.0, 3.0).unwrap();
        settings.rules.insert("support".into(), RouteRules { price, ..RouteRules::default() });
    })
    .await;
    server.settled(PATIENCE).await.unwrap();
    std::fs::write(dir.join("address.new"), server.local_addr().to_string()).unwrap();
    std::fs::rename(dir.join("address.new"), dir.join("address")).unwrap();
    tokio::time::sleep(PATIENCE).await;
}

async fn spawn(dir: &Path) -> (Child, SocketAddr) {
    let address = dir.join("address");
    let _ = std::fs::remove_file(&address);
    let child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "killed::a_server_to_be_killed"])
        .env(FOLDER, dir)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let waiting = async {
        loop {
            if let Ok(text) = std::fs::read_to_string(&address) {
                return text.parse().unwrap();
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    (child, tokio::time::timeout(PATIENCE, waiting).await.expect("the server starts"))
}

/// Asks one thing after the other until the server is gone; returns what it saw the end of: traces and their tokens.
async fn client(address: SocketAddr, number: usize) -> Vec<(String, u64, u64)> {
    let bearer = format!("Bearer {}", loopwright_serve::keys::secret_from(&[1; 32]));
    let mut seen = Vec::new();
    for i in 0.. {
        let stream = (number + i).is_multiple_of(2);
        let fields = json!({"stream": stream, "stream_options": {"include_usage": true}, "max_tokens": 3 + i % 5});
        let mut fields = fields;
        if !stream {
            fields.as_object_mut().unwrap().remove("stream_options");
        }
        let headers = [("authorization", bearer.as_str())];
        let Some(reply) = Open::try_ask(address, "POST /v1/chat/completions", &headers, body(fields).as_bytes()).await
        else {
            return seen;
        };
        assert_eq!(reply.status, 200, "{}", reply.body);
        let usage = if stream {
            let frames = reply.body.lines().filter_map(|line| line.strip_prefix("data: "));
            let all: Vec<&str> = frames.collect();
            if all.last() != Some(&"[DONE]") {
                return seen;
            }
            serde_json::from_str::<serde_json::Value>(all[all.len() - 2]).unwrap()["usage"].clone()
        } else {
            reply.json()["usage"].clone()
        };
        let tokens = |name: &str| usage[name].as_u64().unwrap_or_else(|| panic!("{usage}: {}", reply.body));
        seen.push((reply.headers["x-trace-id"].clone(), tokens("prompt_tokens"), tokens("completion_tokens")));
    }
    seen
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_killed_under_load_loses_no_trace_and_no_cent() {
    let dir = tempfile::tempdir().unwrap();
    let mut seen: BTreeMap<String, (u64, u64)> = BTreeMap::new();
    for (round, load_ms) in [300, 450, 220].into_iter().enumerate() {
        let (mut child, address) = spawn(dir.path()).await;
        let clients: Vec<_> = (0..N_CLIENTS).map(|number| tokio::spawn(client(address, number + round))).collect();
        tokio::time::sleep(Duration::from_millis(load_ms)).await;
        // SIGKILL: the process has no say in it.
        child.kill().unwrap();
        child.wait().unwrap();
        for client in clients {
            for (id, tokens_in, tokens_out) in client.await.unwrap() {
                assert!(seen.insert(id, (tokens_in, tokens_out)).is_none(), "each request has a trace of its own");
            }
        }
    }
    assert!(seen.len() > 3 * N_CLIENTS, "{} answers are no load", seen.len());
    let store = Store::open(dir.path()).await.unwrap();
    recover(&store, Killed::Release).await.unwrap();
    recover(&store, Killed::Release).await.unwrap();
    let all = TraceQuery { limit: u32::MAX, ..TraceQuery::default() };
    let traces: BTreeMap<String, Trace> =
        store.traces(&all).await.unwrap().into_iter().map(|trace| (trace.id.0.clone(), trace)).collect();
    for (id, (tokens_in, tokens_out)) in &seen {
        let trace =
            traces.get(id).unwrap_or_else(|| panic!("{id} is lost, of {} seen, {} kept", seen.len(), traces.len()));
        assert_eq!((u64::from(trace.tokens_in), u64::from(trace.tokens_out)), (*tokens_in, *tokens_out), "{id}");
        assert_eq!(trace.detail.cost_micro_usd, 3 * tokens_in + 7 * tokens_out, "{id}");
        assert_ne!(trace.finish, KILLED);
    }
    // Requests under way at a kill have traces, too: at most one of each client in each round.
    assert!(traces.len() - seen.len() <= 3 * N_CLIENTS, "{} kept, {} seen", traces.len(), seen.len());
    let kept = store.spendings(Some(&"key_1".into()), Timestamp(0)).await.unwrap();
    let total = kept.iter().find(|it| it.minute.is_none()).unwrap().used;
    let cost: u64 = traces.values().map(|trace| trace.detail.cost_micro_usd).sum();
    assert_eq!(
        (total.requests, total.micro_usd),
        (traces.len() as u64, cost),
        "the key's account is the sum of its traces"
    );
    assert_eq!(store.verify_events().await.unwrap().broken, None);
}
