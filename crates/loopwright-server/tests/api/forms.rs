//! Answers in a form: tools, JSON, grammars, several at once, with log-probabilities. The desk's models write nonsense;
//! what holds them to a form makes sense of it.

use crate::{
    desk::{Desk, desk},
    events::{chunks, named},
};
use serde_json::{Value, json};

/// Short and bounded, so that any model comes to its end.
fn schema() -> Value {
    json!({
        "type": "object",
        "properties": {"kind": {"enum": ["parcel", "card"]}, "urgent": {"type": "boolean"}},
        "required": ["kind", "urgent"],
        "additionalProperties": false,
    })
}

fn tools() -> Value {
    json!([{"type": "function", "function": {"name": "route", "description": "Routes it.", "parameters": schema()}}])
}

fn is_of_schema(text: &str) {
    let value: Value = serde_json::from_str(text).unwrap_or_else(|e| panic!("{e}: {text}"));
    assert!(["parcel", "card"].contains(&value["kind"].as_str().unwrap()) && value["urgent"].is_boolean(), "{text}");
    assert_eq!(value.as_object().unwrap().len(), 2);
}

async fn chat(desk: &Desk, mut fields: Value) -> Value {
    fields["max_tokens"] = json!(200);
    let reply = desk.chat(fields).await;
    assert_eq!(reply.status, 200, "{}", reply.body);
    reply.json()["choices"][0].clone()
}

#[tokio::test]
async fn json_of_a_schema_is_always_valid() {
    let desk = desk().await;
    let format = json!({"type": "json_schema", "json_schema": {"name": "ticket", "schema": schema(), "strict": true}});
    for seed in 0..8 {
        let choice = chat(&desk, json!({"response_format": format, "temperature": 1.0, "seed": seed})).await;
        assert_eq!(choice["finish_reason"], "stop");
        is_of_schema(choice["message"]["content"].as_str().unwrap());
    }
    let body = json!({"model": "support", "input": "x", "text": {"format": {"type": "json_schema", "name": "t", "schema": schema()}}});
    let response = desk.post("/v1/responses", &body.to_string()).await.json();
    is_of_schema(response["output"][0]["content"][0]["text"].as_str().unwrap());
    let messages = json!([{"role": "user", "content": "x"}]);
    let body = json!({"model": "support", "max_tokens": 200, "messages": messages, "output_config": {"format": {"type": "json_schema", "schema": schema()}}});
    is_of_schema(desk.post("/v1/messages", &body.to_string()).await.json()["content"][0]["text"].as_str().unwrap());
}

#[tokio::test]
async fn regular_expressions_choices_and_grammars_are_held() {
    let desk = desk().await;
    let answer = async |fields: Value| chat(&desk, fields).await["message"]["content"].as_str().unwrap().to_owned();
    let number = answer(json!({"guided_regex": "[0-9]{3}-[a-f]{2}"})).await;
    assert!(number.len() == 6 && number.as_bytes()[3] == b'-', "{number}");
    let choice = answer(json!({"guided_choice": ["yes", "no"]})).await;
    assert!(["yes", "no"].contains(&choice.as_str()), "{choice}");
    let grammar = answer(json!({"structured_outputs": {"grammar": "start: \"<\" (\"a\" | \"b\") \">\""}})).await;
    assert!(["<a>", "<b>"].contains(&grammar.as_str()), "{grammar}");
    let wrong = desk.chat(json!({"guided_regex": "("})).await;
    assert_eq!((wrong.status, wrong.error_code().as_str()), (400, "invalid_schema"));
}

#[tokio::test]
async fn a_required_call_is_made_in_both_modes() {
    let desk = desk().await;
    for choice in [json!("required"), json!({"type": "function", "function": {"name": "route"}})] {
        let fields = json!({"tools": tools(), "tool_choice": choice, "parallel_tool_calls": false});
        let whole = chat(&desk, fields.clone()).await;
        assert_eq!((&whole["finish_reason"], &whole["message"]["content"]), (&json!("tool_calls"), &Value::Null));
        let calls = whole["message"]["tool_calls"].as_array().unwrap();
        assert_eq!((calls.len(), &calls[0]["function"]["name"]), (1, &json!("route")));
        is_of_schema(calls[0]["function"]["arguments"].as_str().unwrap());

        let mut streamed = fields;
        streamed["stream"] = json!(true);
        streamed["max_tokens"] = json!(200);
        let chunks = chunks(&desk.chat(streamed).await.body);
        let deltas: Vec<&Value> = chunks.iter().map(|chunk| &chunk["choices"][0]["delta"]).collect();
        let parts: Vec<&Value> = deltas.iter().filter_map(|delta| delta["tool_calls"].as_array()).flatten().collect();
        assert!(parts.iter().all(|part| part["index"] == 0));
        assert_eq!(parts.iter().filter(|part| part["id"].is_string()).count(), 1);
        assert_eq!(parts[0]["function"]["name"], "route");
        let arguments: String = parts.iter().map(|part| part["function"]["arguments"].as_str().unwrap()).collect();
        assert_eq!(json!(arguments), calls[0]["function"]["arguments"]);
        assert!(deltas.iter().all(|delta| delta["content"].as_str().unwrap_or_default().is_empty()), "{deltas:?}");
        assert_eq!(chunks.last().unwrap()["choices"][0]["finish_reason"], "tool_calls");
    }
}

#[tokio::test]
async fn calls_reach_the_other_apis_too() {
    let desk = desk().await;
    let tool = json!({"type": "function", "name": "route", "parameters": schema()});
    let body = json!({"model": "support", "input": "x", "tools": [tool], "tool_choice": "required", "parallel_tool_calls": false});
    let response = desk.post("/v1/responses", &body.to_string()).await.json();
    let call = &response["output"][0];
    assert_eq!(
        (&call["type"], &call["name"], &response["status"]),
        (&json!("function_call"), &json!("route"), &json!("completed"))
    );
    is_of_schema(call["arguments"].as_str().unwrap());

    let mut body = json!({
        "model": "support", "max_tokens": 200, "messages": [{"role": "user", "content": "x"}],
        "tools": [{"name": "route", "input_schema": schema()}],
        "tool_choice": {"type": "any", "disable_parallel_tool_use": true},
    });
    let message = desk.post("/v1/messages", &body.to_string()).await.json();
    assert_eq!((&message["stop_reason"], &message["content"][0]["type"]), (&json!("tool_use"), &json!("tool_use")));
    is_of_schema(&message["content"][0]["input"].to_string());
    body["stream"] = json!(true);
    let events = named(&desk.post("/v1/messages", &body.to_string()).await.body);
    let json: String = events.iter().filter_map(|(_, data)| data["delta"]["partial_json"].as_str()).collect();
    assert_eq!(serde_json::from_str::<Value>(&json).unwrap(), message["content"][0]["input"]);
}

#[tokio::test]
async fn several_answers_come_at_once() {
    let desk = desk().await;
    let fields = json!({"n": 3, "temperature": 1.0, "seed": 5, "ignore_eos": true});
    let whole = desk.chat(fields.clone()).await.json();
    let choices = whole["choices"].as_array().unwrap();
    assert_eq!(choices.iter().map(|choice| choice["index"].as_u64().unwrap()).collect::<Vec<_>>(), [0, 1, 2]);
    assert_eq!(whole["usage"]["completion_tokens"], 18);
    let texts: std::collections::BTreeSet<&str> =
        choices.iter().map(|choice| choice["message"]["content"].as_str().unwrap()).collect();
    assert!(texts.len() > 1, "each has random numbers of its own");
    let mut streamed = fields;
    streamed["stream"] = json!(true);
    let chunks = chunks(&desk.chat(streamed).await.body);
    for choice in choices {
        let of = chunks.iter().map(|chunk| &chunk["choices"][0]).filter(|part| part["index"] == choice["index"]);
        let text: String = of.filter_map(|part| part["delta"]["content"].as_str()).collect();
        assert_eq!(json!(text), choice["message"]["content"]);
    }
}

#[tokio::test]
async fn log_probabilities_come_with_alternatives() {
    let desk = desk().await;
    let whole = desk.chat(json!({"logprobs": true, "top_logprobs": 2})).await.json();
    let choice = &whole["choices"][0];
    let tokens = choice["logprobs"]["content"].as_array().unwrap();
    assert_eq!(tokens.len(), 6);
    for token in tokens {
        let top = token["top_logprobs"].as_array().unwrap();
        assert_eq!((top.len(), &top[0]["logprob"]), (2, &token["logprob"]), "greedy takes the likeliest");
        assert!(token["logprob"].as_f64().unwrap() < 0.0);
    }
    let bytes: Vec<u8> =
        tokens.iter().flat_map(|token| serde_json::from_value::<Vec<u8>>(token["bytes"].clone()).unwrap()).collect();
    assert_eq!(json!(String::from_utf8_lossy(&bytes)), choice["message"]["content"]);
    let chunks = chunks(&desk.chat(json!({"logprobs": true, "top_logprobs": 2, "stream": true})).await.body);
    let streamed = chunks.iter().filter_map(|chunk| chunk["choices"][0]["logprobs"]["content"].as_array()).flatten();
    assert_eq!(streamed.collect::<Vec<_>>(), tokens.iter().collect::<Vec<_>>());
}

#[tokio::test]
async fn a_bias_bans_and_a_version_can_be_asked_by_name() {
    let desk = desk().await;
    let plain = desk.chat(json!({"logprobs": true, "top_logprobs": 1})).await.json();
    let first = plain["choices"][0]["logprobs"]["content"][0]["token"].as_str().unwrap().to_owned();
    let ids = desk
        .post("/tokenize", &json!({"model": "support", "prompt": first, "add_special_tokens": false}).to_string())
        .await
        .json();
    if let [id] = ids["tokens"].as_array().unwrap().as_slice() {
        let mut bias = serde_json::Map::new();
        bias.insert(id.to_string(), json!(-100));
        let other = desk.chat(json!({"logprobs": true, "logit_bias": bias})).await.json();
        assert_ne!(other["choices"][0]["logprobs"]["content"][0]["token"], json!(first));
    }
    let named = desk.chat(json!({"model": "desk@1"})).await;
    assert_eq!((named.status, &named.json()["model"]), (200, &json!("desk@1")));
    assert_eq!(desk.chat(json!({"model": "desk@7"})).await.status, 404);
}
