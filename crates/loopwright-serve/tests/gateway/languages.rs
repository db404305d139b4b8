//! What each kind of provider is asked and how its answers are read, whole and as streams.

use crate::{
    mock::{Act, Mock, chunk, hello, json, last_chunk, sse, stream_head},
    scene::{all, near, question, read, streamed, upstream},
};
use loopwright_serve::{
    ask::{Ask, Format, Message, Part, Prompt, Role, Tool, ToolCall, ToolChoice},
    event::{Event, FinishReason, Used},
    upstream::{Inputs, ProviderKind, ProviderSettings},
};
use serde_json::{Value, json as value};

/// Asks a provider that answers so; gives its request, and the events of the answer.
async fn exchange(kind: ProviderKind, acts: Vec<Act>, ask: &Ask) -> (crate::mock::Got, Vec<Event>) {
    let mock = Mock::always(acts).await;
    let upstream = upstream(near(kind, &mock));
    let events = all(upstream.ask("p", "model-1", ask).await.unwrap()).await;
    (mock.got()[0].clone(), events)
}

fn text(text: &str) -> Event {
    Event::Text { choice: 0, text: text.into(), logprobs: Vec::new() }
}

fn finish(reason: FinishReason) -> Event {
    Event::Finish { choice: 0, reason }
}

fn call(index: u32, head: Option<(&str, &str)>, arguments: &str) -> Event {
    let (id, name) = head.map(|(id, name)| (id.to_string(), name.to_string())).unzip();
    Event::ToolCall { choice: 0, index, id, name, arguments: arguments.into() }
}

fn usage(prompt_tokens: u32, cached_tokens: u32, completion_tokens: u32) -> Event {
    Event::Usage(Used { prompt_tokens, cached_tokens, completion_tokens, reasoning_tokens: 0 })
}

/// A conversation with a call and its result, an image and a tool.
fn rich() -> Ask {
    let call = ToolCall { id: "call_1".into(), name: "find".into(), arguments: "{\"id\":7}".into() };
    let result = Message { tool_call_id: Some("call_1".into()), ..Message::text_of(Role::Tool, "it is on its way") };
    let image = Message {
        parts: vec![Part::Text("what is this?".into()), Part::Image("data:image/png;base64,AAAA".into())],
        ..Message::text_of(Role::User, "")
    };
    let called = Message { parts: vec![], tool_calls: vec![call], ..Message::text_of(Role::Assistant, "") };
    let parameters = value!({"type": "object", "properties": {"id": {"type": "integer"}}});
    let tool = Tool { name: "find".into(), description: Some("finds".into()), parameters, strict: false };
    let mut ask = question();
    ask.prompt = Prompt::Chat(vec![Message::text_of(Role::System, "be brief"), image, called, result]);
    ask.tools = vec![tool];
    ask.tool_choice = ToolChoice::Required;
    ask
}

#[tokio::test]
async fn openai_is_asked_and_read() {
    let (got, events) = exchange(ProviderKind::OpenAi, json(&hello("Hello!")), &rich()).await;
    assert_eq!(got.line, "POST /chat/completions HTTP/1.1");
    assert_eq!(got.headers["authorization"], "Bearer sk-secret");
    let messages = &got.body["messages"];
    assert_eq!(messages[1]["content"][1]["image_url"]["url"], "data:image/png;base64,AAAA");
    assert_eq!(messages[2]["content"], Value::Null);
    assert_eq!(messages[2]["tool_calls"][0]["function"], value!({"name": "find", "arguments": "{\"id\":7}"}));
    assert_eq!((&messages[3]["role"], &messages[3]["tool_call_id"]), (&value!("tool"), &value!("call_1")));
    assert_eq!(got.body["tools"][0]["function"]["name"], "find");
    let rest = ["tool_choice", "temperature", "stop", "max_tokens", "model"].map(|name| got.body[name].clone());
    assert_eq!(rest, [value!("required"), value!(0.7), value!(["END"]), value!(64), value!("model-1")]);
    assert!(got.body.get("stream").is_none() && got.body.get("n").is_none());
    assert_eq!(events, [text("Hello!"), finish(FinishReason::Stop), usage(5, 0, 2)]);
}

#[tokio::test]
async fn openais_streams_are_read() {
    let delta = |delta: Value, end: Value| {
        format!("data: {}", value!({"choices": [{"index": 0, "delta": delta, "finish_reason": end}]}))
    };
    let logprobs = value!({"content": [{"token": "Hi", "logprob": -0.5, "bytes": [72, 105],
        "top_logprobs": [{"token": "Yo", "logprob": -1.5, "bytes": null}]}]});
    let first = format!(
        "data: {}",
        value!({"choices": [{"index": 0, "delta": {"role": "assistant", "content": "Hi"}, "logprobs": logprobs}]})
    );
    let part = |part: Value| delta(value!({"tool_calls": [part]}), Value::Null);
    let events = [
        first,
        delta(value!({"reasoning": "hm", "reasoning_content": "hm"}), Value::Null),
        part(value!({"index": 0, "id": "c1", "type": "function", "function": {"name": "find", "arguments": ""}})),
        part(value!({"index": 0, "function": {"arguments": "{\"id\""}})),
        part(value!({"index": 0, "id": "c1", "function": {"arguments": ":7}"}})),
        part(value!({"index": 1, "id": "c2", "function": {"name": "stop"}})),
        delta(value!({}), value!("tool_calls")),
        format!(
            "data: {}",
            value!({"choices": [], "usage": {"prompt_tokens": 9, "completion_tokens": 4,
                "prompt_tokens_details": {"cached_tokens": 3}}})
        ),
        "data: [DONE]".to_string(),
    ];
    let acts = sse(&events.each_ref().map(String::as_str));
    let ask = Ask { logprobs: Some(1), ..streamed() };
    let (got, events) = exchange(ProviderKind::OpenAi, acts, &ask).await;
    assert_eq!(got.body["stream_options"], value!({"include_usage": true}));
    assert_eq!((&got.body["logprobs"], &got.body["top_logprobs"]), (&value!(true), &value!(1)));
    let Event::Text { logprobs, .. } = &events[0] else { panic!("{events:?}") };
    assert_eq!((logprobs[0].logprob, logprobs[0].top[0].bytes.as_slice()), (-0.5, b"Yo".as_slice()));
    assert_eq!(
        events[1..],
        [
            Event::Reasoning { choice: 0, text: "hm".into() },
            call(0, Some(("c1", "find")), ""),
            call(0, None, "{\"id\""),
            call(0, None, ":7}"),
            call(1, Some(("c2", "stop")), ""),
            call(1, None, "{}"),
            finish(FinishReason::ToolCalls),
            usage(9, 3, 4),
        ]
    );
}

#[tokio::test]
async fn azure_has_deployments_and_completions_have_a_door_of_their_own() {
    let mock = Mock::start(|_, got| match got.line.contains("/chat/") {
        true => json(&hello("a")),
        false => json(&value!({"choices": [{"index": 0, "text": "b", "finish_reason": "length"}]})),
    })
    .await;
    let settings = ProviderSettings {
        deployment: "my dep".into(),
        api_version: "2025-01-01".into(),
        ..near(ProviderKind::Azure, &mock)
    };
    let upstream = upstream(settings);
    read(upstream.ask("p", "model-1", &question()).await).await.unwrap();
    let plain = Ask { prompt: Prompt::Text("once".into()), ..question() };
    let events = all(upstream.ask("p", "model-1", &plain).await.unwrap()).await;
    // Nothing said what was used: a token for each four bytes of prompt and answer.
    assert_eq!(events, [text("b"), finish(FinishReason::Length), usage(1, 0, 1)]);
    let got = mock.got();
    assert_eq!(got[0].line, "POST /openai/deployments/my%20dep/chat/completions?api-version=2025-01-01 HTTP/1.1");
    assert_eq!(
        (&got[0].headers["api-key"], &got[0].body["max_completion_tokens"]),
        (&"sk-secret".to_string(), &value!(64))
    );
    assert_eq!(got[1].line, "POST /openai/deployments/my%20dep/completions?api-version=2025-01-01 HTTP/1.1");
    assert_eq!((&got[1].body["prompt"], &got[1].body["max_tokens"]), (&value!("once"), &value!(64)));
}

#[tokio::test]
async fn anthropic_is_asked_and_read() {
    let answer = value!({
        "type": "message", "role": "assistant", "stop_reason": "tool_use",
        "content": [{"type": "thinking", "thinking": "hm"}, {"type": "text", "text": "Let me look."},
            {"type": "tool_use", "id": "t1", "name": "find", "input": {"id": 7}}],
        "usage": {"input_tokens": 10, "cache_read_input_tokens": 4, "cache_creation_input_tokens": 1, "output_tokens": 6},
    });
    let (got, events) = exchange(ProviderKind::Anthropic, json(&answer), &rich()).await;
    assert_eq!(got.line, "POST /v1/messages HTTP/1.1");
    assert_eq!((&*got.headers["x-api-key"], &*got.headers["anthropic-version"]), ("sk-secret", "2023-06-01"));
    assert_eq!((&got.body["system"], &got.body["max_tokens"]), (&value!("be brief"), &value!(64)));
    let source = value!({"type": "base64", "media_type": "image/png", "data": "AAAA"});
    assert_eq!(got.body["messages"][0]["content"][1], value!({"type": "image", "source": source}));
    let used = value!({"type": "tool_use", "id": "call_1", "name": "find", "input": {"id": 7}});
    assert_eq!(got.body["messages"][1], value!({"role": "assistant", "content": [used]}));
    let result = value!({"type": "tool_result", "tool_use_id": "call_1", "content": "it is on its way"});
    assert_eq!(got.body["messages"][2], value!({"role": "user", "content": [result]}));
    assert_eq!((&got.body["tool_choice"], &got.body["stop_sequences"]), (&value!({"type": "any"}), &value!(["END"])));
    assert_eq!(
        events,
        [
            Event::Reasoning { choice: 0, text: "hm".into() },
            text("Let me look."),
            call(0, Some(("t1", "find")), ""),
            call(0, None, "{\"id\":7}"),
            finish(FinishReason::ToolCalls),
            usage(15, 4, 6),
        ]
    );
}

#[tokio::test]
async fn a_stop_text_of_the_request_is_known_by_its_place() {
    let answer = |sequence: &str| {
        value!({
            "type": "message", "role": "assistant", "stop_reason": "stop_sequence", "stop_sequence": sequence,
            "content": [{"type": "text", "text": "so"}], "usage": {"input_tokens": 1, "output_tokens": 1},
        })
    };
    let mut ask = question();
    ask.stop = vec!["STOP".into(), "END".into()];
    for (sequence, reason) in [("END", FinishReason::StopText(1)), ("other", FinishReason::Stop)] {
        let (_, events) = exchange(ProviderKind::Anthropic, json(&answer(sequence)), &ask).await;
        assert_eq!(events[1], finish(reason), "{sequence}");
    }
    // Amazon does not tell which; of one there is no doubt.
    let answer = value!({
        "output": {"message": {"role": "assistant", "content": [{"text": "so"}]}}, "stopReason": "stop_sequence",
        "usage": {"inputTokens": 1, "outputTokens": 1, "totalTokens": 2},
    });
    for (n, reason) in [(2, FinishReason::Stop), (1, FinishReason::StopText(0))] {
        ask.stop.truncate(n);
        let (_, events) = exchange(ProviderKind::Bedrock, json(&answer), &ask).await;
        assert_eq!(events[1], finish(reason), "{n}");
    }
}

fn anthropic_stream(blocks: &[Value], stop: &str) -> Vec<Act> {
    let start = value!({"type": "message_start", "message": {"usage": {"input_tokens": 10, "output_tokens": 1}}});
    let end = value!({"type": "message_delta", "delta": {"stop_reason": stop}, "usage": {"output_tokens": 6}});
    let middle = blocks.iter().cloned();
    let all =
        [start, value!({"type": "ping"})].into_iter().chain(middle).chain([end, value!({"type": "message_stop"})]);
    let events: Vec<String> =
        all.map(|event| format!("event: {}\ndata: {event}", event["type"].as_str().unwrap())).collect();
    sse(&events.iter().map(String::as_str).collect::<Vec<_>>())
}

#[tokio::test]
async fn anthropics_streams_are_read() {
    let blocks = [
        value!({"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}}),
        value!({"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "Hel"}}),
        value!({"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "lo"}}),
        value!({"type": "content_block_stop", "index": 0}),
        value!({"type": "content_block_start", "index": 1, "content_block": {"type": "tool_use", "id": "t1", "name": "find", "input": {}}}),
        value!({"type": "content_block_delta", "index": 1, "delta": {"type": "input_json_delta", "partial_json": "{\"id\":7}"}}),
        value!({"type": "content_block_start", "index": 2, "content_block": {"type": "brand_new_kind"}}),
        value!({"type": "content_block_delta", "index": 2, "delta": {"type": "input_json_delta", "partial_json": "{}"}}),
    ];
    let (_, events) = exchange(ProviderKind::Anthropic, anthropic_stream(&blocks, "tool_use"), &streamed()).await;
    let calls = [call(0, Some(("t1", "find")), ""), call(0, None, "{\"id\":7}")];
    let expected =
        [vec![text("Hel"), text("lo")], calls.to_vec(), vec![finish(FinishReason::ToolCalls), usage(10, 0, 6)]];
    assert_eq!(events, expected.concat());
}

#[tokio::test]
async fn json_comes_as_a_tools_arguments_where_a_provider_holds_no_other_form() {
    let schema = value!({"type": "object", "required": ["a"]});
    let format = Format::Schema { name: "s".into(), schema: schema.clone(), strict: true };
    let start = value!({"type": "content_block_start", "index": 0, "content_block": {"type": "tool_use", "id": "t", "name": "answer", "input": {}}});
    let delta = value!({"type": "content_block_delta", "index": 0, "delta": {"type": "input_json_delta", "partial_json": "{\"a\":1}"}});
    let ask = Ask { format: format.clone(), ..streamed() };
    let (got, events) = exchange(ProviderKind::Anthropic, anthropic_stream(&[start, delta], "tool_use"), &ask).await;
    assert_eq!((&got.body["tools"][0]["input_schema"], &got.body["tool_choice"]["name"]), (&schema, &value!("answer")));
    assert_eq!(events, [text("{\"a\":1}"), finish(FinishReason::Stop), usage(10, 0, 6)]);

    let answer = value!({"output": {"message": {"content": [{"toolUse": {"toolUseId": "t", "name": "answer", "input": {"a": 1}}}]}},
        "stopReason": "tool_use", "usage": {"inputTokens": 1, "outputTokens": 2}});
    let (_, events) = exchange(ProviderKind::Bedrock, json(&answer), &Ask { format, ..question() }).await;
    assert_eq!(events, [text("{\"a\":1}"), finish(FinishReason::Stop), usage(1, 0, 2)]);
}

#[tokio::test]
async fn gemini_is_asked_and_read() {
    let answer = value!({
        "candidates": [{"index": 0, "finishReason": "STOP", "content": {"role": "model", "parts": [
            {"text": "thinking", "thought": true}, {"text": "Hi"}, {"functionCall": {"name": "find", "args": {"id": 7}}}]}}],
        "usageMetadata": {"promptTokenCount": 8, "candidatesTokenCount": 3, "thoughtsTokenCount": 2, "cachedContentTokenCount": 1},
    });
    let (got, events) = exchange(ProviderKind::Gemini, json(&answer), &rich()).await;
    assert_eq!(got.line, "POST /models/model-1:generateContent HTTP/1.1");
    assert_eq!(got.headers["x-goog-api-key"], "sk-secret");
    assert_eq!(got.body["systemInstruction"], value!({"parts": [{"text": "be brief"}]}));
    let contents = &got.body["contents"];
    assert_eq!(contents[0]["parts"][1], value!({"inlineData": {"mimeType": "image/png", "data": "AAAA"}}));
    assert_eq!(
        contents[1],
        value!({"role": "model", "parts": [{"functionCall": {"name": "find", "args": {"id": 7}}}]})
    );
    let result = value!({"name": "find", "response": {"result": "it is on its way"}});
    assert_eq!(contents[2]["parts"][0]["functionResponse"], result);
    assert_eq!(got.body["toolConfig"]["functionCallingConfig"]["mode"], "ANY");
    let settings = &got.body["generationConfig"];
    assert_eq!((&settings["maxOutputTokens"], &settings["stopSequences"]), (&value!(64), &value!(["END"])));
    let used = Used { prompt_tokens: 8, cached_tokens: 1, completion_tokens: 5, reasoning_tokens: 2 };
    assert_eq!(
        events,
        [
            Event::Reasoning { choice: 0, text: "thinking".into() },
            text("Hi"),
            call(0, Some(("call_0_0", "find")), "{\"id\":7}"),
            finish(FinishReason::ToolCalls),
            Event::Usage(used),
        ]
    );
}

#[tokio::test]
async fn geminis_streams_are_read() {
    let part = |text: &str, end: Value| {
        let parts = value!([{"text": text}]);
        format!(
            "data: {}",
            value!({"candidates": [{"content": {"parts": parts}, "finishReason": end}],
            "usageMetadata": {"promptTokenCount": 8, "candidatesTokenCount": 3}})
        )
    };
    let acts = sse(&[&part("Hel", Value::Null), &part("lo", value!("MAX_TOKENS"))]);
    let schema = value!({"type": "object"});
    let format = Format::Schema { name: "s".into(), schema: schema.clone(), strict: true };
    let (got, events) = exchange(ProviderKind::Gemini, acts, &Ask { format, ..streamed() }).await;
    assert_eq!(got.line, "POST /models/model-1:streamGenerateContent?alt=sse HTTP/1.1");
    assert_eq!(got.body["generationConfig"]["responseJsonSchema"], schema);
    assert_eq!(events, [text("Hel"), text("lo"), finish(FinishReason::Length), usage(8, 0, 3)]);
    let blocked = sse(&["data: {\"promptFeedback\": {\"blockReason\": \"SAFETY\"}}"]);
    let (_, events) = exchange(ProviderKind::Gemini, blocked, &streamed()).await;
    assert_eq!(events[0], finish(FinishReason::ContentFilter));
}

#[tokio::test]
async fn bedrock_is_asked_signed_and_read() {
    let answer = value!({
        "output": {"message": {"role": "assistant", "content": [{"text": "Hi"}, {"toolUse": {"toolUseId": "t1", "name": "find", "input": {"id": 7}}}]}},
        "stopReason": "tool_use", "usage": {"inputTokens": 8, "outputTokens": 3, "totalTokens": 11, "cacheReadInputTokens": 2},
    });
    let (got, events) = exchange(ProviderKind::Bedrock, json(&answer), &rich()).await;
    assert_eq!(got.line, "POST /model/model-1/converse HTTP/1.1");
    let signed = &got.headers["authorization"];
    let head = "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20260102/eu-central-1/bedrock/aws4_request, \
                SignedHeaders=content-type;host;x-amz-date;x-amz-security-token, Signature=";
    assert!(signed.starts_with(head), "{signed}");
    assert_eq!((&*got.headers["x-amz-date"], &*got.headers["x-amz-security-token"]), ("20260102T030405Z", "session"));
    assert_eq!(got.body["system"], value!([{"text": "be brief"}]));
    let image = value!({"image": {"format": "png", "source": {"bytes": "AAAA"}}});
    assert_eq!(got.body["messages"][0]["content"][1], image);
    let result = value!({"toolResult": {"toolUseId": "call_1", "content": [{"text": "it is on its way"}]}});
    assert_eq!(got.body["messages"][2]["content"][0], result);
    assert_eq!(got.body["toolConfig"]["toolChoice"], value!({"any": {}}));
    assert_eq!(got.body["inferenceConfig"], value!({"maxTokens": 64, "temperature": 0.7, "stopSequences": ["END"]}));
    let calls = [call(0, Some(("t1", "find")), ""), call(0, None, "{\"id\":7}")];
    assert_eq!(
        events,
        [vec![text("Hi")], calls.to_vec(), vec![finish(FinishReason::ToolCalls), usage(10, 2, 3)]].concat()
    );
}

/// A message of Amazon's event stream.
fn frame(kind: &str, name: &str, payload: &Value) -> Vec<u8> {
    let mut head = Vec::new();
    for (name, value) in [(":message-type", kind), (&*format!(":{kind}-type"), name)] {
        head.push(name.len() as u8);
        head.extend_from_slice(name.as_bytes());
        head.push(7);
        head.extend_from_slice(&(value.len() as u16).to_be_bytes());
        head.extend_from_slice(value.as_bytes());
    }
    let payload = payload.to_string();
    let total = (16 + head.len() + payload.len()) as u32;
    let mut bytes = [total.to_be_bytes(), (head.len() as u32).to_be_bytes()].concat();
    bytes.extend_from_slice(&crc32fast::hash(&bytes).to_be_bytes());
    bytes.extend_from_slice(&head);
    bytes.extend_from_slice(payload.as_bytes());
    bytes.extend_from_slice(&crc32fast::hash(&bytes).to_be_bytes());
    bytes
}

fn frames(frames: &[Vec<u8>]) -> Vec<Act> {
    let head = stream_head("application/vnd.amazon.eventstream");
    [head].into_iter().chain(frames.iter().map(|frame| chunk(frame))).chain([last_chunk()]).collect()
}

#[tokio::test]
async fn bedrocks_streams_are_read_and_their_exceptions_told() {
    let event = |name: &str, payload: Value| frame("event", name, &payload);
    let acts = frames(&[
        event("messageStart", value!({"role": "assistant"})),
        event("contentBlockDelta", value!({"contentBlockIndex": 0, "delta": {"text": "Hi"}})),
        event("contentBlockStop", value!({"contentBlockIndex": 0})),
        event(
            "contentBlockStart",
            value!({"contentBlockIndex": 1, "start": {"toolUse": {"toolUseId": "t1", "name": "find"}}}),
        ),
        event("contentBlockDelta", value!({"contentBlockIndex": 1, "delta": {"toolUse": {"input": "{\"id\":7}"}}})),
        event("messageStop", value!({"stopReason": "tool_use"})),
        event("metadata", value!({"usage": {"inputTokens": 8, "outputTokens": 3}})),
    ]);
    let (got, events) = exchange(ProviderKind::Bedrock, acts, &streamed()).await;
    assert_eq!(got.line, "POST /model/model-1/converse-stream HTTP/1.1");
    let calls = [call(0, Some(("t1", "find")), ""), call(0, None, "{\"id\":7}")];
    assert_eq!(
        events,
        [vec![text("Hi")], calls.to_vec(), vec![finish(FinishReason::ToolCalls), usage(8, 0, 3)]].concat()
    );

    let acts = frames(&[frame("exception", "throttlingException", &value!({"message": "slow down"}))]);
    let mock = Mock::always(acts).await;
    let upstream = upstream(near(ProviderKind::Bedrock, &mock));
    let error = read(upstream.ask("p", "m", &streamed()).await).await.unwrap_err();
    assert_eq!(error.code(), "rate_limit_exceeded");
    assert!(error.to_string().ends_with("throttlingException: slow down"), "{error}");
}

#[tokio::test]
async fn what_a_provider_cannot_do_is_refused_by_name() {
    let mock = Mock::always(json(&hello("x"))).await;
    let check = async |kind: ProviderKind, change: &dyn Fn(&mut Ask), says: &str| {
        let mut ask = question();
        change(&mut ask);
        let error = upstream(near(kind, &mock)).ask("p", "m", &ask).await.err().unwrap();
        assert_eq!(error.code(), "unsupported_by_provider");
        assert!(error.to_string().contains(says), "{error}");
    };
    for kind in [ProviderKind::Anthropic, ProviderKind::Bedrock] {
        check(kind, &|ask| ask.n = 2, "`n`").await;
        check(kind, &|ask| ask.sampling.frequency_penalty = Some(1.0), "`frequency_penalty`").await;
    }
    for kind in [ProviderKind::Anthropic, ProviderKind::Bedrock, ProviderKind::Gemini] {
        check(kind, &|ask| ask.logprobs = Some(1), "`logprobs`").await;
        check(kind, &|ask| ask.prompt = Prompt::Tokens(vec![1]), "token ids").await;
    }
    check(ProviderKind::OpenAi, &|ask| ask.format = Format::Regex("a+".into()), "regular expressions").await;
    assert_eq!(mock.n_asked(), 0, "nobody was asked");
}

#[tokio::test]
async fn embeddings_come_in_the_order_of_their_texts() {
    let answer = value!({"data": [{"index": 1, "embedding": [0.5]}, {"index": 0, "embedding": [0.25]}],
        "usage": {"prompt_tokens": 4, "total_tokens": 4}});
    let mock = Mock::always(json(&answer)).await;
    let upstream = upstream(near(ProviderKind::OpenAi, &mock));
    let texts = ["a".to_string(), "b".to_string()];
    let inputs = Inputs { texts: &texts, dimensions: Some(1) };
    let (embeddings, used) = upstream.embed("p", "e", &inputs).await.unwrap();
    assert_eq!((embeddings, used.prompt_tokens), (vec![vec![0.25], vec![0.5]], 4));
    let got = &mock.got()[0];
    assert_eq!((&*got.line, &got.body["dimensions"]), ("POST /embeddings HTTP/1.1", &value!(1)));
    let one = Inputs { texts: &texts[..1], dimensions: None };
    assert_eq!(upstream.embed("p", "e", &one).await.unwrap_err().code(), "provider_garbled");
}
