//! An answer by one of our own models.

use super::About;
use crate::{AppState, auth::Caller};
use loopwright_serve::{
    Error, GenerateRequest,
    ask::{Ask, Message, Prompt, Role, Sampling},
    event::{Events, Progress},
    gateway::bucket,
    pieces,
};
use loopwright_types::openai::{ChatMessage, Content};

/// Hands a request to the engine.
pub(super) async fn ask(
    state: &AppState,
    about: &About,
    ask: Ask,
    caller: &Caller,
    progress: Progress,
) -> Result<Events, Error> {
    let model = &about.chosen.variant.model;
    let defaults = &state.settings().chat;
    let prompt = match &ask.prompt {
        Prompt::Chat(messages) => {
            let messages = messages.iter().map(|message| plain(&prepared(state, message))).collect();
            state.engine().encode_chat(model, messages).await?
        }
        Prompt::Text(text) => state.engine().tokenize(model, text.clone()).await?,
        Prompt::Tokens(tokens) => tokens.clone(),
    };
    let pieces = state.engine().generate(GenerateRequest {
        model: model.clone(),
        prompt,
        n: ask.n,
        max_tokens: ask.max_tokens.unwrap_or(defaults.max_tokens),
        stop: ask.stop,
        sampling: Sampling {
            temperature: Some(ask.sampling.temperature.unwrap_or(defaults.temperature)),
            top_p: Some(ask.sampling.top_p.unwrap_or(defaults.top_p)),
            // Without a seed each request draws its own numbers, which its trace's id tells again.
            seed: ask.sampling.seed.or_else(|| bucket("seed", about.id.as_str(), u64::MAX)),
            ..ask.sampling
        },
        logprobs: ask.logprobs,
        constraint: None,
        owner: caller.key.0.clone(),
    })?;
    Ok(pieces::events(pieces, ask.n, progress))
}

/// A user's message in the form that the model learned from.
fn prepared(state: &AppState, message: &Message) -> Message {
    match message.role {
        Role::User => Message::text_of(Role::User, (state.settings().preparer)(&message.text())),
        _ => message.clone(),
    }
}

fn plain(message: &Message) -> ChatMessage {
    let role = match message.role {
        Role::System => "system",
        Role::User => "user",
        Role::Assistant => "assistant",
        Role::Tool => "tool",
    };
    ChatMessage { role: role.into(), content: Some(Content::Text(message.text())) }
}
