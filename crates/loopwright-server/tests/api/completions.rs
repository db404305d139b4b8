//! `/v1/completions`: texts and tokens continued, prompts in lists, and what benchmarks ask for.

use crate::{
    client::Reply,
    desk::{Desk, desk},
    events::chunks,
};
use serde_json::{Value, json};

async fn complete(desk: &Desk, fields: Value) -> Reply {
    let mut body = json!({"model": "support", "prompt": "where is", "max_tokens": 4, "temperature": 0});
    for (name, value) in fields.as_object().unwrap() {
        body[name] = value.clone();
    }
    desk.post("/v1/completions", &body.to_string()).await
}

async fn tokens(desk: &Desk, text: &str) -> Vec<u32> {
    let body = json!({"model": "support", "prompt": text, "add_special_tokens": false});
    let reply = desk.post("/tokenize", &body.to_string()).await.json();
    serde_json::from_value(reply["tokens"].clone()).unwrap()
}

#[tokio::test]
async fn a_text_and_its_tokens_are_continued_alike() {
    let desk = desk().await;
    let reply = complete(&desk, json!({})).await;
    assert_eq!(reply.status, 200, "{}", reply.body);
    let text = reply.json();
    assert_eq!((&text["object"], &text["model"]), (&json!("text_completion"), &json!("support")));
    let choice = &text["choices"][0];
    assert_eq!((&choice["finish_reason"], &choice["logprobs"]), (&json!("length"), &Value::Null));
    let ids = tokens(&desk, "where is").await;
    assert_eq!(text["usage"]["prompt_tokens"], ids.len());
    let same = complete(&desk, json!({"prompt": ids})).await.json();
    assert_eq!(same["choices"], text["choices"]);
    assert_eq!(reply.headers["x-trace-id"], text["id"].as_str().unwrap());
}

#[tokio::test]
async fn several_prompts_are_answered_in_order_and_each_leaves_a_trace() {
    let desk = desk().await;
    let many = complete(&desk, json!({"prompt": ["where is", "my card"]})).await.json();
    for (i, prompt) in ["where is", "my card"].into_iter().enumerate() {
        let one = complete(&desk, json!({"prompt": prompt})).await.json();
        assert_eq!(many["choices"][i]["text"], one["choices"][0]["text"], "{prompt}");
        assert_eq!(many["choices"][i]["index"], i);
    }
    assert_eq!(many["usage"]["completion_tokens"], 8);
    desk.server.state().sink().flush().await.unwrap();
    assert_eq!(desk.store.traces(&Default::default()).await.unwrap().len(), 4);
}

#[tokio::test]
async fn an_echo_is_scored_token_by_token() {
    let desk = desk().await;
    let ids = tokens(&desk, "the parcel has not arrived").await;
    let asked = json!({"prompt": [ids], "echo": true, "logprobs": 1, "max_tokens": 1});
    let choice = complete(&desk, asked).await.json()["choices"][0].clone();
    assert!(choice["text"].as_str().unwrap().starts_with("the parcel has not arrived"), "{choice}");
    let scores = &choice["logprobs"];
    let list = |name: &str| scores[name].as_array().unwrap().clone();
    assert!(list("tokens").len() >= ids.len());
    assert_eq!((&list("token_logprobs")[0], &list("top_logprobs")[0]), (&Value::Null, &Value::Null));
    for i in 1..ids.len() {
        let (token, logprob) =
            (list("tokens")[i].as_str().unwrap().to_owned(), list("token_logprobs")[i].as_f64().unwrap());
        let top = list("top_logprobs")[i].as_object().unwrap().clone();
        assert!(logprob < 0.0 && top[&token].as_f64() == Some(logprob), "{i}: {top:?}");
        assert!(top.values().all(|other| other.as_f64().unwrap() <= 0.0));
    }
    let model = loopwright_types::ModelRef::new("desk", 1);
    let sum: f64 = list("token_logprobs")[1..ids.len()].iter().map(|score| score.as_f64().unwrap()).sum();
    let engine = desk.server.state().engine();
    let expected = engine.score(&model, vec![ids[..1].to_vec()], ids[1..].to_vec()).await.unwrap()[0];
    assert!((sum - f64::from(expected)).abs() < 1e-2, "{sum} {expected}");

    let only = complete(&desk, json!({"echo": true, "max_tokens": 0})).await.json();
    assert_eq!(only["choices"][0]["text"], "where is");
}

#[tokio::test]
async fn a_stream_adds_up_to_the_whole() {
    let desk = desk().await;
    let asked = json!({"prompt": ["where is", "my card"], "echo": true});
    let whole = complete(&desk, asked.clone()).await.json();
    let mut streamed = asked;
    streamed["stream"] = json!(true);
    streamed["stream_options"] = json!({"include_usage": true});
    let chunks = chunks(&complete(&desk, streamed).await.body);
    for i in 0..2 {
        let of_choice =
            || chunks.iter().flat_map(|chunk| chunk["choices"].as_array().unwrap()).filter(|c| c["index"] == i);
        let text: String = of_choice().map(|choice| choice["text"].as_str().unwrap()).collect();
        assert_eq!(json!(text), whole["choices"][i]["text"]);
        assert_eq!(of_choice().filter(|choice| !choice["finish_reason"].is_null()).count(), 1);
    }
    assert_eq!(chunks.last().unwrap()["usage"]["total_tokens"], whole["usage"]["total_tokens"]);
}

#[tokio::test]
async fn wrong_requests_are_told_what_is_wrong() {
    let desk = desk().await;
    for (fields, status, code) in [
        (json!({"model": "gpt"}), 404, "model_not_found"),
        (json!({"suffix": "end"}), 400, "unsupported_parameter"),
        (json!({"prompt": []}), 400, "invalid_value"),
        (json!({"prompt": "parcel ".repeat(4000)}), 400, "context_length_exceeded"),
        (json!({"prompt": [999_999]}), 400, "invalid_value"),
    ] {
        let reply = complete(&desk, fields.clone()).await;
        assert_eq!((reply.status, reply.error_code().as_str()), (status, code), "{fields}");
    }
}
