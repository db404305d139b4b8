//! `GET /metrics`: the counts for Prometheus; open to this machine, elsewhere to administrators.

use crate::{AppState, auth::Observer};
use axum::{
    extract::State,
    http::header,
    response::{IntoResponse, Response},
};

/// `GET /metrics`.
pub async fn show(_: Observer, State(state): State<AppState>) -> Response {
    let text = state.traffic().render()
        + &state.meters().render(&state.gauges())
        + &state.answered().render()
        + &crate::upstreams::render(&state.gateway());
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], text).into_response()
}
