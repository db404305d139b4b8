//! The router, as a table.

use crate::{
    AppState, body,
    errors::ApiError,
    headers, pages,
    routes::{
        chat, completions, embeddings, feedback, health, messages, metrics, models, responses, sign_in, studies,
        tokens, version,
    },
};
use axum::{
    Router,
    extract::Request,
    http::StatusCode,
    middleware,
    response::{IntoResponse, Response},
    routing::{get, post},
};

/// Every door of the server.
pub fn router(state: AppState) -> Router {
    Router::new()
        .route("/v1/chat/completions", post(chat::complete))
        .route("/v1/completions", post(completions::complete))
        .route("/v1/embeddings", post(embeddings::embed))
        .route("/v1/responses", post(responses::create))
        .route("/v1/messages", post(messages::create))
        .route("/v1/messages/count_tokens", post(messages::count))
        .route("/v1/models", get(models::list))
        .route("/v1/models/{name}", get(models::show))
        .route("/v1/feedback", post(feedback::give))
        .route("/v1/studies", get(studies::list).post(studies::create))
        .route("/v1/studies/{name}", get(studies::show))
        .route("/v1/studies/{name}/ask", post(studies::ask))
        .route("/v1/studies/{name}/enqueue", post(studies::enqueue))
        .route("/v1/studies/{name}/trials/{number}/report", post(studies::report))
        .route("/v1/studies/{name}/trials/{number}/tell", post(studies::tell))
        .route("/tokenize", post(tokens::tokenize))
        .route("/detokenize", post(tokens::detokenize))
        .route("/tokenizer_info", get(tokens::info))
        .route("/health", get(health::show))
        .route("/version", get(version::show))
        .route("/metrics", get(metrics::show))
        .route("/sign-in", get(sign_in::open).post(sign_in::with_key))
        .route("/sign-out", post(sign_in::close))
        .merge(pages::router())
        .fallback(no_such_path)
        .method_not_allowed_fallback(no_such_method)
        .layer(middleware::from_fn_with_state(state.clone(), headers::add))
        .layer(middleware::from_fn(body::read_the_rest))
        .with_state(state)
}

async fn no_such_path(request: Request) -> Response {
    let path = request.uri().path();
    if headers::wants_page(&request) {
        return (StatusCode::NOT_FOUND, pages::not_found()).into_response();
    }
    ApiError::not_found(format!("there is nothing at `{} {path}`", request.method())).into_response()
}

async fn no_such_method(request: Request) -> Response {
    let message = format!("`{}` cannot be asked with {}", request.uri().path(), request.method());
    ApiError::new(StatusCode::METHOD_NOT_ALLOWED, "invalid_request_error", "method_not_allowed", message)
        .into_response()
}
