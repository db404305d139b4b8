//! What a model answers that names what a message is about.

/// The answer with which a model names an intent: a JSON object with that one entry.
///
/// ```
/// assert_eq!(loopwright_types::answer::text_of("refund"), r#"{"intent":"refund"}"#);
/// ```
pub fn text_of(intent: &str) -> String {
    serde_json::json!({ "intent": intent }).to_string()
}
