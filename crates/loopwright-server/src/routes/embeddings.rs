//! `POST /v1/embeddings`.

use super::draft::Arrival;
use crate::{
    AppState,
    auth::Caller,
    body::read_body,
    door::{self, Refused},
};
use axum::{
    Json,
    extract::{Request, State},
    response::{IntoResponse, Response},
};
use loopwright_serve::wire::embeddings::{embeddings_json, read_embedding};
use std::time::Instant;

/// `POST /v1/embeddings`.
pub async fn embed(caller: Caller, State(state): State<AppState>, request: Request) -> Result<Response, Refused> {
    let arrival = Arrival { at: state.store().now(), instant: Instant::now() };
    let settings = state.settings();
    let (parts, body) = request.into_parts();
    let ask = read_embedding(&read_body(body, settings.body_bytes_max, settings.body_time_max).await?)?;
    let base64 = ask.base64;
    let embedded = door::embed(&state, caller, arrival, &parts.headers, ask).await?;
    let body = embeddings_json(&embedded.about.asked, &embedded.vectors, base64, embedded.n_tokens);
    let mut response = Json(body).into_response();
    embedded.about.mark(&mut response);
    Ok(response)
}
