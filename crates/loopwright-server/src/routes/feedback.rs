//! `POST /v1/feedback`: what somebody says about an answer.

use crate::{
    AppState,
    auth::Caller,
    body::read_body,
    errors::{ApiError, ApiResult},
    headers::TRACE_ID,
};
use axum::{
    Json,
    extract::{Request, State},
    http::{HeaderMap, StatusCode},
};
use loopwright_observe::{
    Kind,
    feedback::{self, NewFeedback},
};
use loopwright_serve::wire::read_json;
use loopwright_types::{feedback::Feedback, id::TraceId};
use serde::{Deserialize, Serialize};

/// The body. Unknown fields are refused: a misspelt `thumb_up` must not pass as feedback that says nothing.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct FeedbackBody {
    /// The answer it is about; may come in the `x-trace-id` header instead.
    trace_id: Option<TraceId>,
    thumb_up: Option<bool>,
    correction: Option<String>,
    comment: Option<String>,
    source: Option<String>,
}

/// What was kept.
#[derive(Debug, Serialize)]
pub struct FeedbackAnswer {
    /// The feedback's id.
    pub id: String,
    /// `feedback`.
    pub object: &'static str,
    /// The answer it is about.
    pub trace_id: String,
}

/// `POST /v1/feedback`.
pub async fn give(
    caller: Caller,
    State(state): State<AppState>,
    request: Request,
) -> ApiResult<(StatusCode, Json<FeedbackAnswer>)> {
    let (parts, body) = request.into_parts();
    let settings = state.settings();
    let body = read_body(body, settings.body_bytes_max, settings.body_time_max).await?;
    let new = new_feedback(read_json(&body)?, &parts.headers)?;
    let kept = keep(&state, &format!("key:{}", caller.key), new).await.map_err(to_api)?;
    let answer = FeedbackAnswer { id: kept.id.0, object: "feedback", trace_id: kept.trace.0 };
    Ok((StatusCode::CREATED, Json(answer)))
}

fn new_feedback(body: FeedbackBody, headers: &HeaderMap) -> ApiResult<NewFeedback> {
    let in_header = || headers.get(TRACE_ID).and_then(|value| value.to_str().ok()).map(TraceId::new);
    let trace = body.trace_id.or_else(in_header).ok_or_else(|| {
        ApiError::invalid(
            "missing_trace_id",
            "`trace_id` is missing; it is the completion's `id` and the `x-trace-id` header",
        )
        .with_param("trace_id")
    })?;
    let source = body.source.unwrap_or_else(|| "user".into());
    Ok(NewFeedback { trace, thumb_up: body.thumb_up, correction: body.correction, comment: body.comment, source })
}

/// An answer given a moment ago may still be on its way to the store: then it is written out first.
async fn keep(state: &AppState, actor: &str, new: NewFeedback) -> loopwright_observe::Result<Feedback> {
    let redactor = &state.settings().redactor;
    match feedback::receive(state.store(), redactor, actor, new.clone()).await {
        Err(error) if error.kind() == Kind::NotFound => {
            state.sink().flush().await?;
            feedback::receive(state.store(), redactor, actor, new).await
        }
        kept => kept,
    }
}

fn to_api(error: loopwright_observe::Error) -> ApiError {
    match error.kind() {
        Kind::Invalid => ApiError::invalid("invalid_value", error.to_string()),
        Kind::NotFound => ApiError::not_found(error.to_string()).with_param("trace_id"),
        Kind::Store | Kind::Lost => ApiError::internal(&error),
    }
}
