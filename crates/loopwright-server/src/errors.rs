//! Errors on the wire: kinds become statuses here and nowhere else, in the shape that OpenAI's clients read.

use axum::{
    Json,
    http::{HeaderName, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
pub use loopwright_serve::chain;
use loopwright_serve::wire::error_body;
use loopwright_types::openai::{ErrorBody, ErrorDetail};

/// An answer that is an error.
#[derive(Clone, Debug)]
pub struct ApiError {
    /// The HTTP status.
    pub status: StatusCode,
    /// What is sent.
    pub body: ErrorBody,
    /// After how many seconds to try again.
    pub retry_after_s: Option<u64>,
}

/// The handlers' result.
pub type ApiResult<T> = Result<T, ApiError>;

impl ApiError {
    /// An error from its parts.
    pub fn new(status: StatusCode, kind: &str, code: &str, message: impl Into<String>) -> Self {
        let detail = ErrorDetail { message: message.into(), kind: kind.into(), param: None, code: Some(code.into()) };
        Self { status, body: ErrorBody { error: detail }, retry_after_s: None }
    }

    /// The request is wrong.
    pub fn invalid(code: &str, message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "invalid_request_error", code, message)
    }

    /// There is no such thing.
    pub fn not_found(message: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, "invalid_request_error", "not_found", message)
    }

    /// The body is larger than this many bytes.
    pub fn too_large(limit_bytes: usize) -> Self {
        let message = format!("the body is larger than {limit_bytes} bytes");
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, "invalid_request_error", "request_too_large", message)
    }

    /// Our fault: logged with its causes, told without them.
    pub fn internal(error: &(dyn std::error::Error + 'static)) -> Self {
        log_if_ours(StatusCode::INTERNAL_SERVER_ERROR, error);
        let message = "the server failed; its log says how";
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "server_error", "internal_error", message)
    }

    /// The status of an error of the engine or the gateway.
    pub fn status_of(error: &loopwright_serve::Error) -> StatusCode {
        use loopwright_serve::Kind;
        match error.kind() {
            Kind::Invalid => StatusCode::BAD_REQUEST,
            Kind::Unauthenticated => StatusCode::UNAUTHORIZED,
            Kind::Forbidden => StatusCode::FORBIDDEN,
            Kind::NotFound => StatusCode::NOT_FOUND,
            Kind::Busy => StatusCode::TOO_MANY_REQUESTS,
            Kind::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
            Kind::BadGateway => StatusCode::BAD_GATEWAY,
            Kind::TimedOut => StatusCode::GATEWAY_TIMEOUT,
            Kind::Internal => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    /// The same error, blamed on a field.
    pub fn with_param(mut self, param: &str) -> Self {
        self.body.error.param = Some(param.into());
        self
    }

    /// The word for programs.
    pub fn code(&self) -> &str {
        self.body.error.code.as_deref().unwrap_or_default()
    }
}

impl From<loopwright_serve::Error> for ApiError {
    fn from(error: loopwright_serve::Error) -> Self {
        use loopwright_serve::Kind;
        let status = Self::status_of(&error);
        let retry_after_s = match (error.retry_after_ms(), error.kind()) {
            (Some(ms), _) => Some(ms.div_ceil(1000)),
            (None, Kind::Unavailable) => Some(1),
            (None, _) => None,
        };
        log_if_ours(status, &error);
        Self { status, body: error_body(&error), retry_after_s }
    }
}

impl From<loopwright_store::Error> for ApiError {
    fn from(error: loopwright_store::Error) -> Self {
        use loopwright_store::Kind;
        let status = match error.kind() {
            Kind::NotFound => StatusCode::NOT_FOUND,
            Kind::Conflict => StatusCode::CONFLICT,
            Kind::Full => StatusCode::INSUFFICIENT_STORAGE,
            Kind::NotAProject | Kind::Damaged | Kind::Io | Kind::Bug => StatusCode::INTERNAL_SERVER_ERROR,
        };
        log_if_ours(status, &error);
        match status {
            StatusCode::NOT_FOUND => Self::not_found(error.to_string()),
            StatusCode::CONFLICT => Self::new(status, "invalid_request_error", "conflict", error.to_string()),
            _ => Self::new(status, "server_error", "internal_error", "the store failed; the server's log says how"),
        }
    }
}

/// Logs an error that the client cannot mend, with its chain of causes.
fn log_if_ours(status: StatusCode, error: &(dyn std::error::Error + 'static)) {
    if status.is_server_error() && !matches!(status.as_u16(), 502..=504) {
        tracing::error!(error = chain(error), "a request failed");
    }
}

/// The error's code, left with the answer for the meters and the trace.
#[derive(Clone, Debug)]
pub struct ErrorCode(pub String);

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let code = ErrorCode(self.code().to_string());
        let mut response = (self.status, Json(self.body)).into_response();
        let mut set = |name: HeaderName, value: HeaderValue| response.headers_mut().insert(name, value);
        if let Some(seconds) = self.retry_after_s {
            set(header::RETRY_AFTER, seconds.into());
        }
        if self.status == StatusCode::UNAUTHORIZED {
            set(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response.extensions_mut().insert(code);
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use loopwright_serve::{Error, Trouble};

    fn upstream(trouble: Trouble, retry_after_ms: Option<u64>) -> Error {
        Error::Upstream { provider: "p".into(), trouble, status: None, message: "m".into(), retry_after_ms }
    }

    #[test]
    fn kinds_become_statuses() {
        for (error, status, retry) in [
            (Error::NoKey, 401, None),
            (Error::MissingScope { needed: "admin" }, 403, None),
            (Error::RouteNotFound { name: "x".into(), available: vec![] }, 404, None),
            (Error::ContextTooLong { limit: 8, n_tokens: 9 }, 400, None),
            (Error::Busy { n_waiting: 3, retry_after_ms: 1_500 }, 429, Some(2)),
            (Error::RouteNotReady { name: "x".into() }, 503, Some(1)),
            (Error::Thread("x".into()), 500, None),
            (upstream(Trouble::Failed, None), 502, None),
            (upstream(Trouble::Silent, None), 504, None),
            (upstream(Trouble::Busy, Some(1_200)), 429, Some(2)),
            (upstream(Trouble::Refused, None), 400, None),
            (Error::Late { route: "x".into(), bound: "timeout_ms", limit_ms: 1 }, 504, None),
            (Error::AllOpen { route: "x".into(), retry_after_ms: 1 }, 503, Some(1)),
        ] {
            let api = ApiError::from(error);
            assert_eq!((api.status.as_u16(), api.retry_after_s), (status, retry), "{api:?}");
        }
    }

    #[test]
    fn a_fault_of_the_store_does_not_tell_its_paths() {
        let error = loopwright_store::Error::new(loopwright_store::Kind::Io, "failed to open /home/a/secret.db");
        assert!(!ApiError::from(error).body.error.message.contains("/home"));
    }

    #[test]
    fn headers_tell_what_to_do_next() {
        let response = ApiError::from(Error::Busy { n_waiting: 1, retry_after_ms: 3_000 }).into_response();
        assert_eq!(response.headers()[header::RETRY_AFTER], "3");
        let response = ApiError::from(Error::UnknownKey).into_response();
        assert_eq!(response.headers()[header::WWW_AUTHENTICATE], "Bearer");
    }
}
