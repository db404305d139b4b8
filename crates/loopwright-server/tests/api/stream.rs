//! Streamed answers: framing, usage, and clients that go away.

use crate::{desk::desk, events::chunks};
use loopwright_store::TraceQuery;
use serde_json::json;

#[tokio::test]
async fn a_stream_says_the_same_as_a_whole_answer() {
    let desk = desk().await;
    let whole = desk.chat(json!({})).await.json();
    let reply = desk.chat(json!({"stream": true})).await;
    assert_eq!(reply.status, 200);
    assert!(reply.headers["content-type"].starts_with("text/event-stream"));
    assert_eq!(reply.headers["x-loopwright-variant"], "live");
    let chunks = chunks(&reply.body);
    assert_eq!(chunks[0]["choices"][0]["delta"], json!({"role": "assistant", "content": ""}));
    let text: String = chunks.iter().filter_map(|chunk| chunk["choices"][0]["delta"]["content"].as_str()).collect();
    assert_eq!(json!(text), whole["choices"][0]["message"]["content"]);
    let last = chunks.last().unwrap();
    assert_eq!((&last["choices"][0]["finish_reason"], &last["choices"][0]["delta"]), (&json!("length"), &json!({})));
    for chunk in &chunks {
        assert_eq!(
            (&chunk["object"], &chunk["id"]),
            (&json!("chat.completion.chunk"), &json!(reply.headers["x-trace-id"]))
        );
        assert!(!chunk.as_object().unwrap().contains_key("usage"), "{chunk}");
    }
}

#[tokio::test]
async fn usage_comes_last_and_only_when_asked_for() {
    let desk = desk().await;
    let whole = desk.chat(json!({})).await.json();
    let chunks = chunks(&desk.chat(json!({"stream": true, "stream_options": {"include_usage": true}})).await.body);
    let (last, others) = chunks.split_last().unwrap();
    assert_eq!((&last["choices"], &last["usage"]), (&json!([]), &whole["usage"]));
    assert!(others.iter().all(|chunk| chunk["usage"].is_null() && chunk.as_object().unwrap().contains_key("usage")));
}

#[tokio::test]
async fn a_client_that_goes_away_cancels_its_answer() {
    let desk = desk().await;
    for (stream, marker) in [(true, "\"content\""), (false, "")] {
        let before = desk.server.state().engine().stats().n_cancelled;
        let mut open = desk.open_chat(json!({"stream": stream, "max_tokens": 2000})).await;
        open.read_until(marker).await;
        desk.until("the engine has begun", async || desk.server.state().engine().stats().n_running > 0).await;
        drop(open);
        desk.until("the engine sees it", async || desk.server.state().engine().stats().n_cancelled > before).await;
    }
    desk.server.state().sink().flush().await.unwrap();
    let traces = desk.store.traces(&TraceQuery::default()).await.unwrap();
    assert_eq!(traces.len(), 2);
    for trace in traces {
        assert_eq!((trace.status, trace.finish.as_str()), (499, "cancelled"));
        assert!(trace.tokens_out < 2000, "{}", trace.tokens_out);
    }
}
