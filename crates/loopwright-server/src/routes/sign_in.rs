//! Signing in to the pages: with a one-time link (which `up` prints) or with an administrator's key.

use crate::{
    AppState,
    auth::{session_cookie, set_session_cookie},
    errors::{self, ApiResult},
    pages,
    sessions::SESSION_MS,
};
use axum::{
    Form,
    extract::{Query, State},
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Redirect, Response},
};
use loopwright_serve::keys;
use loopwright_types::key::Scope;
use serde::Deserialize;

/// The query of a sign-in link.
#[derive(Debug, Deserialize)]
pub struct LinkQuery {
    /// The one-time secret.
    pub token: Option<String>,
}

/// The form's field.
#[derive(Debug, Deserialize)]
pub struct KeyForm {
    /// An administrator's key.
    pub key: String,
}

/// `GET /sign-in`: the form, or with `?token=` the session.
pub async fn open(State(state): State<AppState>, Query(query): Query<LinkQuery>) -> ApiResult<Response> {
    let Some(link) = query.token else {
        return Ok(pages::sign_in(None).into_response());
    };
    let session = keys::fresh_secret()?;
    if state.sessions().redeem(&link, &session, state.store().now()) {
        return Ok(welcome(&session));
    }
    let problem = "This link was used already or is too old. Sign in with an administrator's key, or start the server again for a new link.";
    Ok((StatusCode::UNAUTHORIZED, pages::sign_in(Some(problem))).into_response())
}

/// `POST /sign-in`: the session for an administrator's key.
pub async fn with_key(State(state): State<AppState>, Form(form): Form<KeyForm>) -> ApiResult<Response> {
    match state.live().keys.verify(Some(form.key.trim()), Scope::Admin, state.store().now()) {
        Ok(key) => tracing::info!(key = %key.id, "an administrator signed in"),
        Err(error) => {
            let problem = errors::chain(&error);
            return Ok((StatusCode::UNAUTHORIZED, pages::sign_in(Some(&problem))).into_response());
        }
    }
    let session = keys::fresh_secret()?;
    state.sessions().open(&session, state.store().now());
    Ok(welcome(&session))
}

/// `POST /sign-out`: ends the session.
pub async fn close(State(state): State<AppState>, headers: HeaderMap) -> Response {
    if let Some(session) = session_cookie(&headers) {
        state.sessions().close(session);
    }
    ([(header::SET_COOKIE, set_session_cookie("", 0))], Redirect::to("/sign-in")).into_response()
}

/// Not a redirect: a browser that followed a link from another site would not send a strict cookie along with it.
fn welcome(session: &str) -> Response {
    let cookie = set_session_cookie(session, SESSION_MS / 1000);
    ([(header::SET_COOKIE, cookie)], [(header::CACHE_CONTROL, "no-store")], pages::signed_in()).into_response()
}
