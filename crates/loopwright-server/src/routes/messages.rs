//! Anthropic's `POST /v1/messages` and `POST /v1/messages/count_tokens`, errors in Anthropic's own shape.

use crate::{
    AppState,
    auth::Caller,
    body::read_body,
    door::{self, Asking, Refused},
    errors::{ApiError, ErrorCode},
};
use axum::{
    Json,
    body::Bytes,
    extract::{Request, State},
    http::{StatusCode, header, request::Parts},
    response::{IntoResponse, Response},
};
use loopwright_serve::wire::{MessageWriter, anthropic_error, read_count, read_message};
use serde_json::json;
use std::time::Instant;

type Asks = Result<Caller, ApiError>;

/// `POST /v1/messages`.
pub async fn create(caller: Asks, State(state): State<AppState>, request: Request) -> Response {
    let since = Instant::now();
    let answer = async {
        let (caller, parts, body) = read(caller, &state, request).await?;
        let ask = read_message(&body)?;
        let (stream, stops) = (ask.stream, ask.stop.clone());
        let answering = door::answer(&state, Asking::now(&state, caller, parts.headers, ask, since)).await?;
        let writer = MessageWriter::new(answering.about.head(), stops);
        door::send(answering, writer, stream).await
    };
    answer.await.unwrap_or_else(|refused: Refused| refused.written(written))
}

/// `POST /v1/messages/count_tokens`.
pub async fn count(caller: Asks, State(state): State<AppState>, request: Request) -> Response {
    let answer = async {
        let (_, _, body) = read(caller, &state, request).await?;
        let ask = read_count(&body)?;
        let chosen = door::named(&state.live().routes, &ask.route, "count")?;
        let n_tokens = door::prompt(&state, &chosen.variant.model, &ask).await?.len();
        Ok(Json(json!({"input_tokens": n_tokens})).into_response())
    };
    answer.await.unwrap_or_else(|refused: Refused| refused.written(written))
}

async fn read(caller: Asks, state: &AppState, request: Request) -> Result<(Caller, Parts, Bytes), Refused> {
    let caller = caller?;
    let settings = state.settings();
    let (parts, body) = request.into_parts();
    let body = read_body(body, settings.body_bytes_max, settings.body_time_max).await?;
    Ok((caller, parts, body))
}

/// An error as Anthropic's clients read it.
fn written(error: ApiError) -> Response {
    let kind = match error.status {
        StatusCode::UNAUTHORIZED => "authentication_error",
        StatusCode::FORBIDDEN => "permission_error",
        StatusCode::NOT_FOUND => "not_found_error",
        StatusCode::PAYLOAD_TOO_LARGE => "request_too_large",
        StatusCode::TOO_MANY_REQUESTS => "rate_limit_error",
        StatusCode::SERVICE_UNAVAILABLE => "overloaded_error",
        status if status.is_client_error() => "invalid_request_error",
        _ => "api_error",
    };
    let code = ErrorCode(error.code().to_owned());
    let mut response = (error.status, Json(anthropic_error(kind, &error.body.error.message))).into_response();
    if let Some(seconds) = error.retry_after_s {
        response.headers_mut().insert(header::RETRY_AFTER, seconds.into());
    }
    response.extensions_mut().insert(code);
    response
}
