//! `POST /v1/chat/completions`.

use crate::{
    AppState,
    auth::Caller,
    body::read_body,
    door::{self, Asking, Refused},
};
use axum::{
    extract::{Request, State},
    response::Response,
};
use loopwright_serve::wire::{ChatWriter, read_chat};
use std::time::Instant;

/// `POST /v1/chat/completions`.
pub async fn complete(caller: Caller, State(state): State<AppState>, request: Request) -> Result<Response, Refused> {
    let since = Instant::now();
    let settings = state.settings();
    let (parts, body) = request.into_parts();
    let asked = read_chat(&read_body(body, settings.body_bytes_max, settings.body_time_max).await?)?;
    let (n, logprobs, stream) = (asked.ask.n, asked.ask.logprobs.is_some(), asked.ask.stream);
    let answering = door::answer(&state, Asking::now(&state, caller, parts.headers, asked.ask, since)).await?;
    let writer = ChatWriter::new(answering.about.head(), n, asked.include_usage, logprobs);
    door::send(answering, writer, stream).await
}
