//! Reading server-sent events.

use serde_json::Value;

/// The payloads of a stream of OpenAI's; the last must be `[DONE]`.
pub fn chunks(body: &str) -> Vec<Value> {
    let mut frames: Vec<&str> =
        body.split_terminator("\n\n").map(|frame| frame.strip_prefix("data: ").unwrap()).collect();
    assert_eq!(frames.pop(), Some("[DONE]"), "{body}");
    frames.iter().map(|frame| serde_json::from_str(frame).unwrap()).collect()
}

/// Names and payloads of a stream whose events have names.
pub fn named(body: &str) -> Vec<(String, Value)> {
    let frame = |frame: &str| {
        let (name, data) = frame.split_once('\n').unwrap();
        let data: Value = serde_json::from_str(data.strip_prefix("data: ").unwrap()).unwrap();
        let name = name.strip_prefix("event: ").unwrap();
        assert_eq!(data["type"], name, "{frame}");
        (name.to_owned(), data)
    };
    body.split_terminator("\n\n").map(frame).collect()
}
