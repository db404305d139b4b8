//! `/v1/embeddings`, `/tokenize` and their like.

use crate::desk::{CONTEXT, Desk, desk};
use serde_json::{Value, json};

async fn embed(desk: &Desk, fields: Value) -> Value {
    let mut body = json!({"model": "support", "input": "where is my parcel"});
    for (name, value) in fields.as_object().unwrap() {
        body[name] = value.clone();
    }
    desk.post("/v1/embeddings", &body.to_string()).await.json()
}

fn vector(value: &Value) -> Vec<f64> {
    value.as_array().unwrap_or_else(|| panic!("{value}")).iter().map(|x| x.as_f64().unwrap()).collect()
}

#[tokio::test]
async fn texts_become_vectors_of_length_one() {
    let desk = desk().await;
    let body = embed(&desk, json!({"input": ["where is my parcel", "my card"]})).await;
    assert_eq!((&body["object"], &body["model"]), (&json!("list"), &json!("support")));
    for i in 0..2 {
        let one = vector(&body["data"][i]["embedding"]);
        let length: f64 = one.iter().map(|x| x * x).sum();
        assert!(one.len() == 32 && (length - 1.0).abs() < 1e-4, "{length}");
    }
    let alone = embed(&desk, json!({})).await;
    assert_eq!(alone["data"][0]["embedding"], body["data"][0]["embedding"]);
    assert!(alone["usage"]["total_tokens"].as_u64() > Some(0));
    let ids =
        desk.post("/tokenize", &json!({"model": "support", "prompt": "where is my parcel"}).to_string()).await.json();
    let by_tokens = embed(&desk, json!({"input": [ids["tokens"]]})).await;
    assert_eq!(by_tokens["data"], alone["data"]);
}

#[tokio::test]
async fn vectors_are_cut_and_written_as_base64() {
    let desk = desk().await;
    let whole = vector(&embed(&desk, json!({})).await["data"][0]["embedding"]);
    let cut = vector(&embed(&desk, json!({"dimensions": 8})).await["data"][0]["embedding"]);
    let length = whole[..8].iter().map(|x| x * x).sum::<f64>().sqrt();
    assert_eq!(cut.len(), 8);
    assert!(cut.iter().zip(&whole).all(|(a, b)| (a - b / length).abs() < 1e-5));
    let base64 = embed(&desk, json!({"encoding_format": "base64"})).await;
    // 32 floats are 128 bytes, which base64 writes as 172 characters.
    assert_eq!(base64["data"][0]["embedding"].as_str().unwrap().len(), 172);
    for (fields, code) in [
        (json!({"dimensions": 33}), "invalid_value"),
        (json!({"input": "parcel ".repeat(CONTEXT)}), "context_length_exceeded"),
        (json!({"model": "none"}), "model_not_found"),
    ] {
        assert_eq!(embed(&desk, fields).await["error"]["code"], code);
    }
}

#[tokio::test]
async fn tokens_go_there_and_back() {
    let desk = desk().await;
    let post = async |path: &str, body: Value| desk.post(path, &body.to_string()).await.json();
    let asked = json!({"model": "support", "prompt": "my parcel", "return_token_strs": true});
    let tokens = post("/tokenize", asked).await;
    assert_eq!(
        (&tokens["max_model_len"], tokens["count"].as_u64()),
        (&json!(CONTEXT), Some(tokens["tokens"].as_array().unwrap().len() as u64))
    );
    let texts: String = tokens["token_strs"].as_array().unwrap().iter().map(|text| text.as_str().unwrap()).collect();
    assert_eq!(texts, "my parcel");
    let text = post("/detokenize", json!({"model": "support", "tokens": tokens["tokens"]})).await;
    assert_eq!(text["prompt"], "my parcel");
    let messages = json!([{"role": "user", "content": "my parcel"}]);
    let chat = post("/tokenize", json!({"model": "support", "messages": messages})).await;
    assert_eq!(chat["count"].as_u64().unwrap(), tokens["count"].as_u64().unwrap() + 3, "with the frame around it");
    let count = post("/v1/messages/count_tokens", json!({"model": "support", "messages": messages})).await;
    assert_eq!(count["input_tokens"], chat["count"]);
    let info = desk.get("/tokenizer_info").await.json();
    assert_eq!((&info["model"], &info["model_version"]), (&json!("support"), &json!("desk@1")));
    assert_eq!(desk.ask("POST /tokenize", &[], "{}").await.status, 401);
}
