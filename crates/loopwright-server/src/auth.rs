//! Who is asking: a key on `/v1`, a key or a session on pages.

use crate::{AppState, errors::ApiError};
use axum::{
    extract::{ConnectInfo, FromRequestParts},
    http::{HeaderMap, HeaderValue, header, request::Parts},
    response::{IntoResponse, Redirect, Response},
};
use loopwright_serve::keys;
use loopwright_types::{
    Digest, Timestamp,
    id::KeyId,
    key::{ApiKey, Scope},
};
use std::{net::SocketAddr, sync::Arc};

/// The session's cookie.
pub const SESSION_COOKIE: &str = "loopwright_session";

/// A caller of `/v1` whose key is good for inference. As a handler's argument it refuses everybody else.
#[derive(Clone, Debug)]
pub struct Caller {
    /// The key's public half.
    pub key: KeyId,
    /// All that is known of it.
    pub record: Arc<ApiKey>,
}

impl Caller {
    /// Somebody who asks without a key, such as a page of this server: nothing limits them but the engine.
    pub fn of_server(name: &str, owner: &str) -> Self {
        let key = KeyId::new(name);
        let record = ApiKey {
            id: key.clone(),
            owner: owner.to_owned(),
            hash: Digest::of(b"no secret opens this"),
            scope: Scope::Inference,
            created_at: Timestamp(0),
            revoked_at: None,
            expires_at: None,
            routes: Vec::new(),
            limits: Vec::new(),
        };
        Self { key, record: Arc::new(record) }
    }
}

impl FromRequestParts<AppState> for Caller {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &AppState) -> Result<Self, ApiError> {
        let live = state.live();
        let secret = bearer(&parts.headers).or_else(|| api_key(&parts.headers));
        let key = live.keys.verify(secret, Scope::Inference, state.store().now())?;
        Ok(Self { key: key.id.clone(), record: key.clone() })
    }
}

/// Somebody who may see pages: signed in, or with an administrator's key. As a handler's argument it sends everybody
/// else to the sign-in page.
#[derive(Clone, Debug)]
pub struct SignedIn {
    /// Who, as an event's actor: `key:<id>` or `session`.
    pub actor: String,
}

impl FromRequestParts<AppState> for SignedIn {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, state: &AppState) -> Result<Self, Response> {
        match administrator(&parts.headers, state) {
            Ok(actor) => Ok(Self { actor }),
            // Programs want the error, browsers the form.
            Err(error) if bearer(&parts.headers).is_some() => Err(error.into_response()),
            Err(_) => Err(Redirect::to("/sign-in").into_response()),
        }
    }
}

/// Somebody who may read the counts: anyone on this machine, or an administrator.
#[derive(Clone, Debug)]
pub struct Observer;

impl FromRequestParts<AppState> for Observer {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &AppState) -> Result<Self, ApiError> {
        let peer = parts.extensions.get::<ConnectInfo<SocketAddr>>();
        if peer.is_some_and(|ConnectInfo(addr)| addr.ip().to_canonical().is_loopback()) {
            return Ok(Self);
        }
        administrator(&parts.headers, state).map(|_| Self)
    }
}

fn administrator(headers: &HeaderMap, state: &AppState) -> Result<String, ApiError> {
    if let Some(session) = session_cookie(headers)
        && state.sessions().is_open(session, state.store().now())
    {
        return Ok("session".into());
    }
    let live = state.live();
    let key = live.keys.verify(bearer(headers), Scope::Admin, state.store().now())?;
    Ok(format!("key:{}", key.id))
}

fn bearer(headers: &HeaderMap) -> Option<&str> {
    headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok()).and_then(keys::bearer)
}

/// The key as Anthropic's clients send it.
fn api_key(headers: &HeaderMap) -> Option<&str> {
    headers.get("x-api-key").and_then(|value| value.to_str().ok()).map(str::trim).filter(|key| !key.is_empty())
}

/// The session's secret, if the request carries the cookie (RFC 6265 section 4.2).
pub fn session_cookie(headers: &HeaderMap) -> Option<&str> {
    let cookies = headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
    let mut pairs = cookies.flat_map(|line| line.split(';')).filter_map(|pair| pair.trim().split_once('='));
    pairs.find(|(name, _)| *name == SESSION_COOKIE).map(|(_, value)| value)
}

/// The header that gives a browser its session; it ends after `lasts_s` seconds (0 takes it away).
///
/// `HttpOnly` keeps it from scripts, `SameSite=Strict` from other sites' links and forms.
pub fn set_session_cookie(session: &str, lasts_s: i64) -> HeaderValue {
    let text = format!("{SESSION_COOKIE}={session}; Path=/; HttpOnly; SameSite=Strict; Max-Age={lasts_s}");
    HeaderValue::from_str(&text).expect("session secrets are hex digits")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_session_is_found_among_other_cookies() {
        let check = |lines: &[&str], expected: Option<&str>| {
            let mut headers = HeaderMap::new();
            for line in lines {
                headers.append(header::COOKIE, HeaderValue::from_str(line).unwrap());
            }
            assert_eq!(session_cookie(&headers), expected, "{lines:?}");
        };
        check(&["a=1; loopwright_session=lw_5; b=2"], Some("lw_5"));
        check(&["a=1", "loopwright_session=lw_5"], Some("lw_5"));
        check(&["xloopwright_session=lw_5"], None);
        check(&[], None);
    }
}
