//! The model's answer as it must look: a JSON object with one key, `intent`, whose value is a text.
//!
//! Nothing is repaired: an answer that a client's JSON parser would refuse, or that says more than it was asked,
//! counts as no answer, with its reason.

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Why an answer is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, thiserror::Error)]
#[serde(rename_all = "snake_case")]
pub enum InvalidAnswer {
    /// It cannot be read as JSON.
    #[error("not valid JSON")]
    NotJson,
    /// JSON, but a list, a number or a text.
    #[error("not a JSON object")]
    NotAnObject,
    /// The key `intent` is missing.
    #[error("no `intent`")]
    NoIntent,
    /// `intent` is not a text.
    #[error("`intent` is not a text")]
    IntentNotText,
    /// `intent` is empty.
    #[error("`intent` is empty")]
    EmptyIntent,
    /// There are other keys, or `intent` comes twice.
    #[error("keys besides one `intent`")]
    OtherKeys,
}

/// What the answer says, or why it says nothing.
pub type Answer = Result<String, InvalidAnswer>;

/// A word for an answer that is none, where a label is expected (e.g. in a confusion table).
pub const NO_ANSWER: &str = "(no valid answer)";

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Wire {
    intent: String,
}

/// Reads an answer.
///
/// ```
/// use loopwright_eval::answer::{InvalidAnswer, parse};
/// assert_eq!(parse(r#"{"intent": "refund"}"#), Ok("refund".to_string()));
/// assert_eq!(parse(r#"{"intent": "refund"} "#), Ok("refund".to_string()));
/// assert_eq!(parse(r#"{"intent": "refund""#), Err(InvalidAnswer::NotJson));
/// assert_eq!(parse(r#"{"label": "refund"}"#), Err(InvalidAnswer::NoIntent));
/// ```
pub fn parse(text: &str) -> Answer {
    // serde_json would also take the list `["refund"]` for the struct.
    if !text.trim_start().starts_with('{') {
        return Err(reason(text));
    }
    match serde_json::from_str::<Wire>(text) {
        Ok(wire) if wire.intent.trim().is_empty() => Err(InvalidAnswer::EmptyIntent),
        Ok(wire) => Ok(wire.intent),
        Err(_) => Err(reason(text)),
    }
}

fn reason(text: &str) -> InvalidAnswer {
    let Ok(value) = serde_json::from_str::<Value>(text) else { return InvalidAnswer::NotJson };
    let Value::Object(fields) = value else { return InvalidAnswer::NotAnObject };
    match fields.get("intent") {
        None => InvalidAnswer::NoIntent,
        Some(Value::String(_)) => InvalidAnswer::OtherKeys,
        Some(_) => InvalidAnswer::IntentNotText,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn check(text: &str, expected: InvalidAnswer) {
        assert_eq!(parse(text), Err(expected), "{text}");
    }

    #[test]
    fn every_reason_is_told_apart() {
        check("", InvalidAnswer::NotJson);
        check("refund", InvalidAnswer::NotJson);
        check(r#"{"intent": "refund"} and more"#, InvalidAnswer::NotJson);
        check(r#"{"intent": "refund",}"#, InvalidAnswer::NotJson);
        check(r#"["refund"]"#, InvalidAnswer::NotAnObject);
        check(r#""refund""#, InvalidAnswer::NotAnObject);
        check("{}", InvalidAnswer::NoIntent);
        check(r#"{"Intent": "refund"}"#, InvalidAnswer::NoIntent);
        check(r#"{"intent": 7}"#, InvalidAnswer::IntentNotText);
        check(r#"{"intent": null}"#, InvalidAnswer::IntentNotText);
        check(r#"{"intent": " "}"#, InvalidAnswer::EmptyIntent);
        check(r#"{"intent": "a", "sure": true}"#, InvalidAnswer::OtherKeys);
        check(r#"{"intent": "a", "intent": "b"}"#, InvalidAnswer::OtherKeys);
    }

    proptest! {
        #[test]
        fn any_label_survives(label in "\\PC{0,20}[a-z]\\PC{0,20}") {
            let text = serde_json::json!({ "intent": label }).to_string();
            prop_assert_eq!(parse(&text), Ok(label));
        }

        #[test]
        fn any_text_is_read_without_a_panic(text in "\\PC{0,60}") {
            let _ = parse(&text);
        }
    }
}
