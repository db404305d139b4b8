//! Headers that every answer carries, and the count of those that got no further than the door.

use crate::{AppState, errors::ErrorCode};
use axum::{
    extract::{Request, State},
    http::{HeaderMap, HeaderName, HeaderValue, header},
    middleware::Next,
    response::Response,
};

/// The trace's id, on every answer of a model.
pub const TRACE_ID: HeaderName = HeaderName::from_static("x-trace-id");
/// The client's own id of a request, given back; ours where it sent none.
pub const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// The variant that answered.
pub const VARIANT: HeaderName = HeaderName::from_static("x-loopwright-variant");
/// The provider that answered; `own` for a model of this server.
pub const PROVIDER: HeaderName = HeaderName::from_static("x-loopwright-provider");
/// How many tries that took.
pub const ATTEMPTS: HeaderName = HeaderName::from_static("x-loopwright-attempts");

/// Pages are markup, one style sheet and one icon from this server; they have no scripts and no inline styles.
const PAGE_POLICY: &str =
    "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'";

const REQUEST_ID_CHARS_MAX: usize = 128;

/// Left with an answer that was counted where more was known about it.
#[derive(Clone, Copy, Debug)]
pub struct Counted;

/// Adds the headers, and counts the answers under `/v1` that nobody counted yet.
pub async fn add(State(state): State<AppState>, request: Request, next: Next) -> Response {
    let is_api = is_api(&request);
    let given = request_id(request.headers());
    let mut response = next.run(request).await;
    let made = || response.headers().get(TRACE_ID).cloned();
    let id = given.or_else(made).or_else(|| HeaderValue::from_str(&state.store().new_id("req")).ok());
    if is_api {
        count(&state, &response);
    }
    let headers = response.headers_mut();
    if let Some(id) = id {
        headers.insert(REQUEST_ID, id);
    }
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    if !is_api {
        headers.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(PAGE_POLICY));
        headers.insert(header::X_FRAME_OPTIONS, HeaderValue::from_static("DENY"));
        // Not `no-referrer`: with it a browser sends `Origin: null` with the pages' own forms, and they are refused.
        headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("same-origin"));
    }
    response
}

/// True for a browser that asks for a page.
pub fn wants_page(request: &Request) -> bool {
    let accepts = request.headers().get(header::ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or_default();
    !is_api(request) && accepts.contains("text/html")
}

fn is_api(request: &Request) -> bool {
    let path = request.uri().path();
    path == "/v1" || path.starts_with("/v1/")
}

/// The client's id, if it is fit to be written in a log.
fn request_id(headers: &HeaderMap) -> Option<HeaderValue> {
    let id = headers.get(REQUEST_ID)?;
    let text = id.to_str().ok()?;
    let is_fit = !text.is_empty() && text.len() <= REQUEST_ID_CHARS_MAX && text.bytes().all(|b| b.is_ascii_graphic());
    is_fit.then(|| id.clone())
}

fn count(state: &AppState, response: &Response) {
    if response.extensions().get::<Counted>().is_some() || response.status().is_success() {
        return;
    }
    let code = response.extensions().get::<ErrorCode>().map_or("", |code| code.0.as_str());
    state.meters().refuse(response.status().as_u16(), code);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_plain_ids_of_bounded_length_are_given_back() {
        let check = |text: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(REQUEST_ID, HeaderValue::from_str(text).unwrap());
            request_id(&headers).is_some()
        };
        assert!(check("req-1"));
        for bad in ["", "a b", &"x".repeat(129)] {
            assert!(!check(bad), "{bad}");
        }
    }
}
