//! `POST /v1/responses`.

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
use loopwright_serve::wire::{ResponseWriter, read_response};
use std::time::Instant;

/// `POST /v1/responses`.
pub async fn create(caller: Caller, State(state): State<AppState>, request: Request) -> Result<Response, Refused> {
    let since = Instant::now();
    let settings = state.settings();
    let (parts, body) = request.into_parts();
    let asked = read_response(&read_body(body, settings.body_bytes_max, settings.body_time_max).await?)?;
    let stream = asked.ask.stream;
    let answering = door::answer(&state, Asking::now(&state, caller, parts.headers, asked.ask, since)).await?;
    let writer = ResponseWriter::new(answering.about.head(), asked.settings);
    door::send(answering, writer, stream).await
}
