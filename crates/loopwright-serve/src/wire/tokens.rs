//! vLLM's tokenizing: texts and conversations as tokens, and back.

use crate::{
    Error, Result,
    ask::{Ask, Prompt},
    wire::{chat::read_chat, fields::read_json},
};
use serde::Deserialize;
use serde_json::{Value, json};

/// What is to be made tokens of.
#[derive(Clone, Debug, PartialEq)]
pub struct TokenizeAsk {
    /// The route, and the text or the conversation.
    pub ask: Box<Ask>,
    /// With the tokens that the model wants around whole texts?
    pub add_special_tokens: bool,
    /// With the tokens' texts as well?
    pub texts: bool,
}

#[derive(Deserialize)]
struct Body {
    model: String,
    prompt: Option<String>,
    messages: Option<Value>,
    add_special_tokens: Option<bool>,
    return_token_strs: Option<bool>,
}

/// What is to be made a text of.
#[derive(Debug, Deserialize)]
pub struct DetokenizeAsk {
    /// The route.
    pub model: String,
    /// The tokens.
    pub tokens: Vec<u32>,
}

/// Reads the body of `POST /tokenize`: a `prompt`, or `messages` with `tools` as chat completions have them.
pub fn read_tokenize(body: &[u8]) -> Result<TokenizeAsk> {
    let fields: Body = read_json(body)?;
    let ask = match (fields.prompt, fields.messages) {
        (None, Some(_)) => read_chat(body)?.ask,
        (Some(prompt), None) => {
            let chat = json!({"model": fields.model, "messages": [{"role": "user", "content": "-"}]});
            Ask { prompt: Prompt::Text(prompt), ..read_chat(chat.to_string().as_bytes())?.ask }
        }
        _ => return Err(Error::invalid("prompt", "invalid_value", "give either `prompt` or `messages`")),
    };
    Ok(TokenizeAsk {
        ask: Box::new(ask),
        add_special_tokens: fields.add_special_tokens.unwrap_or(true),
        texts: fields.return_token_strs.unwrap_or_default(),
    })
}

/// The answer of `POST /tokenize`.
pub fn tokens_json(tokens: &[u32], context: u32, texts: Option<Vec<String>>) -> Value {
    json!({"count": tokens.len(), "max_model_len": context, "tokens": tokens, "token_strs": texts})
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_or_a_conversation_is_read() {
        let read = |body: Value| read_tokenize(body.to_string().as_bytes());
        let text = read(json!({"model": "support", "prompt": "hi", "return_token_strs": true})).unwrap();
        assert_eq!((text.ask.prompt, text.texts), (Prompt::Text("hi".into()), true));
        let chat = read(json!({"model": "support", "messages": [{"role": "user", "content": "hi"}]})).unwrap();
        assert!(matches!(chat.ask.prompt, Prompt::Chat(_)));
        assert_eq!(read(json!({"model": "support"})).unwrap_err().param(), Some("prompt"));
    }
}
