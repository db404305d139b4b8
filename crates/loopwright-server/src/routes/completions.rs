//! `POST /v1/completions`.

use crate::{
    AppState,
    auth::Caller,
    body::read_body,
    door::{self, Answering, Asking, Refused},
};
use axum::{
    extract::{Request, State},
    http::HeaderMap,
    response::Response,
};
use futures::{StreamExt, future};
use loopwright_serve::{
    Error,
    ask::{Ask, Prompt},
    event::{Event, Events},
    wire::{CompletionWriter, Echo, read_completion},
};
use loopwright_types::model::ModelRef;
use std::{collections::BTreeMap, time::Instant};

/// `POST /v1/completions`.
pub async fn complete(caller: Caller, State(state): State<AppState>, request: Request) -> Result<Response, Refused> {
    let since = Instant::now();
    let settings = state.settings();
    let (parts, body) = request.into_parts();
    let asked = read_completion(&read_body(body, settings.body_bytes_max, settings.body_time_max).await?)?;
    let Some(first) = asked.asks.first() else { return Err(Error::Stopped.into()) };
    let (n, logprobs, stream) = (first.n, first.logprobs, first.stream);
    let (mut answers, mut echoes) = (Vec::new(), BTreeMap::new());
    for (i, ask) in (0u32..).zip(asked.asks) {
        // The key that a client knows its request by stands for one trace: the first prompt's.
        let headers = if i == 0 { parts.headers.clone() } else { HeaderMap::new() };
        let prompt = asked.echo.then(|| ask.clone());
        let answering = door::answer(&state, Asking::now(&state, caller.clone(), headers, ask, since)).await?;
        if let Some(ask) = prompt {
            let echo = echo_of(&state, &answering.about.chosen.variant.model, &ask).await?;
            echoes.extend((0..n).map(|choice| (i * n + choice, echo.clone())));
        }
        answers.push(answering);
    }
    let answering = one(answers, n, asked.only_echo)?;
    let writer = CompletionWriter::new(answering.about.head(), asked.include_usage, logprobs, echoes);
    door::send(answering, writer, stream).await
}

/// The answers to all prompts as one, known by the first.
fn one(answers: Vec<Answering>, n: u32, only_echo: bool) -> Result<Answering, Refused> {
    let (mut first, mut all) = (None, Vec::new());
    for Answering { about, events, progress } in answers {
        all.push(if only_echo { silent(events) } else { events });
        first.get_or_insert((about, progress));
    }
    let (about, progress) = first.ok_or(Error::Stopped)?;
    Ok(Answering { about, events: door::merged(all, n), progress })
}

/// An answer without its text.
fn silent(events: Events) -> Events {
    events.filter(|event| future::ready(!matches!(event, Ok(Event::Text { .. })))).boxed()
}

/// A prompt as text, and its tokens' log-probabilities where they were asked for.
async fn echo_of(state: &AppState, model: &ModelRef, ask: &Ask) -> Result<Echo, Error> {
    let tokens = match &ask.prompt {
        Prompt::Text(text) if ask.logprobs.is_none() => return Ok(Echo { text: text.clone(), logprobs: Vec::new() }),
        _ => door::prompt(state, model, ask).await?,
    };
    let text = match &ask.prompt {
        Prompt::Text(text) => text.clone(),
        _ => state.engine().detokenize(model, tokens.clone()).await?,
    };
    let logprobs = match ask.logprobs {
        None => Vec::new(),
        Some(n) => state.engine().score_tokens(model, tokens, n).await?,
    };
    Ok(Echo { text, logprobs })
}
