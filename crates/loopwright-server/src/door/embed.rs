//! Embeddings: the same door for what has no answer in words.

use super::{About, Notes, Refused, choose, kept, limits, routed};
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
    upstream::Inputs,
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
    let chosen = match choose::named(&state.live().routes, &ask.route, id.as_str()) {
        Err(_) if state.gateway().has_provider(&ask.route) => choose::hosted(state, &ask.route),
        chosen => chosen?,
    };
    let price = routed::dearest(state, &chosen.route, state.rules(&chosen.route).price);
    let (reservation, headers) = limits::reserve_texts(state, &caller, &ask.texts, &chosen.route, &price)?;
    let notes = Notes::default();
    notes.lock().price = price;
    let mut about = About { id, arrival, asked: ask.route.clone(), chosen, headers, notes };
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
    let made = match state.gateway().has_provider(&about.chosen.route) {
        false => ours(state, &about.chosen.variant.model, &ask).await,
        true => hosted(state, &mut about, &ask).await,
    };
    draft.answered_by(&about.chosen.variant);
    match made {
        Ok((vectors, used)) => {
            draft.add("", used);
            draft.end(200, "stop").await;
            Ok(Embedded { about, vectors, n_tokens: used.prompt_tokens })
        }
        Err(error) => Err(kept::refused(draft, about, error).await),
    }
}

/// Through the gateway, which asks whom the route's policy names.
async fn hosted(state: &AppState, about: &mut About, ask: &EmbedAsk) -> Result<(Vec<Vec<f32>>, Used), Error> {
    let text = |(i, text): (usize, &Prompt)| match text {
        Prompt::Text(text) => Ok(text.clone()),
        Prompt::Tokens(_) | Prompt::Chat(_) => Err(Error::Invalid {
            param: Some(format!("input[{i}]")),
            code: "unsupported_value",
            message: "this route is answered by providers, which take texts and not tokens".into(),
        }),
    };
    let texts = ask.texts.iter().enumerate().map(text).collect::<Result<Vec<String>, Error>>()?;
    let gateway = state.gateway();
    let model = choose::named(&state.live().routes, &ask.route, about.id.as_str()).map(|own| own.variant.model);
    let own = async || match &model {
        Ok(model) => ours(state, model, ask).await,
        Err(_) => Err(Error::RouteNotReady { name: ask.route.clone() }),
    };
    let dimensions = ask.dimensions.and_then(|n| u32::try_from(n).ok());
    let inputs = Inputs { texts: &texts, dimensions };
    let outcome = gateway.embed(&ask.route, about.id.as_str(), inputs, || Box::pin(own()) as Made<'_>).await;
    if let Some(served) = &outcome.served {
        routed::tell_of(state, about, served);
    }
    outcome.result
}

type Made<'a> = futures::future::BoxFuture<'a, Result<(Vec<Vec<f32>>, Used), Error>>;

async fn ours(state: &AppState, model: &ModelRef, ask: &EmbedAsk) -> Result<(Vec<Vec<f32>>, Used), Error> {
    let engine = state.engine();
    let context = engine.describe(model).await?.context;
    let (mut vectors, mut n_tokens) = (Vec::with_capacity(ask.texts.len()), 0u32);
    for text in &ask.texts {
        let tokens = match text.clone() {
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
    Ok((vectors, Used { prompt_tokens: n_tokens, ..Used::default() }))
}
