//! Embeddings: the same door for what has no answer in words.

use super::{About, Notes, Refused, choose, kept, limits};
use crate::{
    AppState,
    auth::Caller,
    routes::draft::{Arrival, Draft, DraftStart},
};
use axum::http::HeaderMap;
use loopwright_serve::{
    Error,
    ask::Prompt,
    event::Used,
    wire::embeddings::{EmbedAsk, shortened},
};
use loopwright_types::model::ModelRef;

/// Embeddings of texts.
pub struct Embedded {
    /// Which request this is, and who answered.
    pub about: About,
    /// In the order of the texts.
    pub vectors: Vec<Vec<f32>>,
    /// Tokens of all texts.
    pub n_tokens: u32,
}

/// Embeds texts, or says why not.
pub async fn embed(
    state: &AppState,
    caller: Caller,
    arrival: Arrival,
    headers: &HeaderMap,
    ask: EmbedAsk,
) -> Result<Embedded, Refused> {
    let id = choose::trace_id(state, headers).await;
    let chosen = choose::named(&state.live().routes, &ask.route, id.as_str())?;
    let price = state.rules(&chosen.route).price;
    let (reservation, headers) = limits::reserve_reading(state, &caller, &ask.texts, &chosen.route, &price)?;
    let notes = Notes::default();
    notes.lock().price = price;
    let about = About { id, arrival, asked: ask.route.clone(), chosen, headers, notes };
    let start = DraftStart {
        id: about.id.clone(),
        arrival,
        route: about.chosen.route.clone(),
        variant: about.chosen.variant.clone(),
        key: caller.key,
        user: ask.user.clone(),
        tag: ask.tag.clone(),
        notes: about.notes.clone(),
    };
    let mut draft = Draft::new(state, start, reservation);
    draft.set_input(ask.texts.first().map(super::input_of).unwrap_or_default());
    match vectors(state, &about.chosen.variant.model, ask).await {
        Ok((vectors, n_tokens)) => {
            draft.add("", Used { prompt_tokens: n_tokens, ..Used::default() });
            draft.end(200, "stop").await;
            Ok(Embedded { about, vectors, n_tokens })
        }
        Err(error) => Err(kept::refused(draft, about, error).await),
    }
}

async fn vectors(state: &AppState, model: &ModelRef, ask: EmbedAsk) -> Result<(Vec<Vec<f32>>, u32), Error> {
    let engine = state.engine();
    let context = engine.describe(model).await?.context;
    let (mut vectors, mut n_tokens) = (Vec::with_capacity(ask.texts.len()), 0u32);
    for text in ask.texts {
        let tokens = match text {
            Prompt::Text(text) => engine.tokenize_whole(model, text).await?,
            Prompt::Tokens(tokens) => {
                engine.check_tokens(model, &tokens, "input").await?;
                tokens
            }
            Prompt::Chat(messages) => engine.encode_talk(model, messages, Vec::new()).await?,
        };
        let n = u32::try_from(tokens.len()).unwrap_or(u32::MAX);
        if n > context {
            return Err(Error::ContextTooLong { limit: context, n_tokens: n });
        }
        n_tokens = n_tokens.saturating_add(n);
        vectors.push(shortened(engine.embed(model, tokens).await?, ask.dimensions)?);
    }
    Ok((vectors, n_tokens))
}
