//! Instructions from a prompt template: the route's, or the one that a request names.

use crate::AppState;
use axum::http::HeaderMap;
use loopwright_serve::{
    Error,
    ask::{Ask, Message, Prompt, Role},
};
use serde_json::Value;

/// Names a prompt: `NAME`, `NAME@VERSION` or `NAME:LABEL`; outranks the route's.
pub const PROMPT: &str = "x-loopwright-prompt";
/// Its variables, a JSON object.
pub const PROMPT_VARIABLES: &str = "x-loopwright-prompt-variables";

/// Puts the instructions before the conversation, if the request or the route names a prompt.
pub(super) fn instruct(state: &AppState, headers: &HeaderMap, route: Option<&str>, ask: &mut Ask) -> Result<(), Error> {
    let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let Some(named) = header(PROMPT).or(route).filter(|named| !named.is_empty()) else { return Ok(()) };
    let variables = match header(PROMPT_VARIABLES) {
        None => Value::Object(Default::default()),
        Some(text) => match serde_json::from_str(text) {
            Ok(variables @ Value::Object(_)) => variables,
            _ => return Err(wrong(format!("the header `{PROMPT_VARIABLES}` must be a JSON object, got `{text}`"))),
        },
    };
    let text = state.live().prompts.render(named, &variables)?;
    match &mut ask.prompt {
        Prompt::Chat(messages) => messages.insert(0, Message::text_of(Role::System, text)),
        Prompt::Text(_) | Prompt::Tokens(_) => {
            return Err(wrong(format!("the prompt `{named}` is for conversations; this request is none")));
        }
    }
    Ok(())
}

fn wrong(message: String) -> Error {
    Error::Invalid { param: Some("prompt".into()), code: "invalid_prompt", message }
}
