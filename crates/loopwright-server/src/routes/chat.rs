//! `POST /v1/chat/completions`.

use super::draft::{Arrival, Draft, DraftStart};
use crate::{
    AppState,
    auth::Caller,
    body::read_body,
    errors::{ApiError, ApiResult},
    headers::{Counted, TRACE_ID, VARIANT},
    settings::Stickiness,
};
use axum::{
    Json,
    body::{Body, Bytes},
    extract::{Request, State},
    http::{HeaderMap, HeaderValue, header},
    response::{IntoResponse, Response},
};
use futures::{Stream, stream};
use loopwright_serve::{
    Error, GenerateRequest, Piece,
    ask::Sampling,
    gateway::bucket,
    wire::{Answer, ChatPlan, DONE_FRAME, error_body, read_chat, sse_frame},
};
use loopwright_types::{
    deployment::Variant,
    id::TraceId,
    openai::{ChatMessage, Content},
};
use std::{collections::VecDeque, convert::Infallible, time::Instant};
use tokio::sync::mpsc;

type Pieces = mpsc::Receiver<Result<Piece, Error>>;

/// `POST /v1/chat/completions`.
pub async fn complete(caller: Caller, State(state): State<AppState>, request: Request) -> ApiResult<Response> {
    let arrival = Arrival { at: state.store().now(), instant: Instant::now() };
    let settings = state.settings();
    let (parts, body) = request.into_parts();
    let body = read_body(body, settings.body_bytes_max, settings.body_time_max).await?;
    let plan = read_chat(&body, &settings.chat)?;
    let id = trace_id(&state, &parts.headers).await;
    let variant = choose(&state, &plan, &id)?;
    let owner = caller.key.0.clone();
    let draft = Draft::new(
        &state,
        DraftStart {
            id: id.clone(),
            arrival,
            route: plan.route.clone(),
            variant: variant.clone(),
            key: caller.key,
            user: plan.user.clone(),
            tag: plan.tag.clone(),
            input: plan.last_user_text(),
        },
    );
    let answer = Answer {
        id: id.0.clone(),
        created: arrival.at.millis().div_euclid(1000),
        route: plan.route.clone(),
        fingerprint: variant.model.to_string(),
        include_usage: plan.include_usage,
    };
    let mut response = match begin(&state, &plan, &variant, (&id, owner)).await {
        Ok(pieces) if plan.stream => streamed(draft, answer, pieces).await,
        Ok(pieces) => whole(draft, answer, pieces).await,
        Err(error) => fail(draft, error),
    };
    response.headers_mut().extend(about(&id, &variant));
    response.extensions_mut().insert(Counted);
    Ok(response)
}

/// A client that sends an `idempotency-key` can tell its request's trace beforehand, and so find out after a crash which
/// requests were answered. A key that has its trace already gets a fresh id: no request can hide behind another.
async fn trace_id(state: &AppState, headers: &HeaderMap) -> TraceId {
    let fresh = || TraceId::new(state.store().new_id("trace"));
    let Some(key) = headers.get("idempotency-key").and_then(|key| key.to_str().ok()) else { return fresh() };
    let id = TraceId::from_request_key(key);
    match state.store().trace(&id).await {
        Ok(None) => id,
        Ok(Some(_)) | Err(_) => fresh(),
    }
}

fn choose(state: &AppState, plan: &ChatPlan, id: &TraceId) -> Result<Variant, Error> {
    let key = match (state.settings().stickiness, &plan.user) {
        (Stickiness::User, Some(user)) => user.as_str(),
        _ => id.as_str(),
    };
    state.live().routes.choose(&plan.route, key).cloned()
}

/// Encodes the conversation and hands it to the engine.
async fn begin(
    state: &AppState,
    plan: &ChatPlan,
    variant: &Variant,
    (id, owner): (&TraceId, String),
) -> Result<Pieces, Error> {
    let preparer = &state.settings().preparer;
    let prepare = |message: &ChatMessage| match message.role.as_str() {
        "user" => ChatMessage { role: message.role.clone(), content: Some(Content::Text(preparer(&message.text()))) },
        _ => message.clone(),
    };
    let prompt = state.engine().encode_chat(&variant.model, plan.messages.iter().map(prepare).collect()).await?;
    state.engine().generate(GenerateRequest {
        model: variant.model.clone(),
        prompt,
        n: 1,
        max_tokens: plan.max_tokens,
        stop: plan.stop.clone(),
        sampling: Sampling {
            temperature: Some(plan.temperature),
            top_p: Some(plan.top_p),
            // Without a seed each request draws its own numbers, which its trace's id tells again.
            seed: plan.seed.or_else(|| bucket("seed", id.as_str(), u64::MAX)),
            ..Sampling::default()
        },
        logprobs: None,
        constraint: None,
        owner,
    })
}

async fn whole(mut draft: Draft, answer: Answer, mut pieces: Pieces) -> Response {
    loop {
        match pieces.recv().await.unwrap_or(Err(Error::Stopped)) {
            Err(error) => return fail(draft, error),
            Ok(piece) => {
                draft.add(&piece.text, piece.used.into());
                if let Some(finish) = piece.finish {
                    let body = answer.whole(draft.output().to_string(), finish.as_str(), piece.used.into());
                    draft.end(200, finish.as_str());
                    return Json(body).into_response();
                }
            }
        }
    }
}

/// Waits for the first piece, so that an error before it still gets its own status.
async fn streamed(draft: Draft, answer: Answer, mut pieces: Pieces) -> Response {
    let first = match pieces.recv().await.unwrap_or(Err(Error::Stopped)) {
        Ok(piece) => piece,
        Err(error) => return fail(draft, error),
    };
    let mut stream = AnswerStream { draft: Some(draft), answer, pieces, frames: VecDeque::new() };
    stream.frames.push_back(sse_frame(&stream.answer.first_chunk()));
    stream.take(Ok(first));
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream; charset=utf-8")),
        (header::CACHE_CONTROL, HeaderValue::from_static("no-cache")),
        // A proxy that collects the stream before it passes it on would undo it.
        (header::HeaderName::from_static("x-accel-buffering"), HeaderValue::from_static("no")),
    ];
    (headers, Body::from_stream(stream.frames())).into_response()
}

/// An answer on its way. Dropped before its end, it drops the engine's receiver, which cancels the request.
struct AnswerStream {
    /// Present until the answer has ended.
    draft: Option<Draft>,
    answer: Answer,
    pieces: Pieces,
    frames: VecDeque<String>,
}

impl AnswerStream {
    fn frames(self) -> impl Stream<Item = Result<Bytes, Infallible>> {
        stream::unfold(self, async |mut this| {
            while this.frames.is_empty() && this.draft.is_some() {
                let piece = this.pieces.recv().await.unwrap_or(Err(Error::Stopped));
                this.take(piece);
            }
            let frames: String = this.frames.drain(..).collect();
            (!frames.is_empty()).then(|| (Ok(Bytes::from(frames)), this))
        })
    }

    /// Turns one piece into frames.
    fn take(&mut self, piece: Result<Piece, Error>) {
        let Some(mut draft) = self.draft.take() else { return };
        match piece {
            Err(error) => {
                self.frames.push_back(sse_frame(&error_body(&error)));
                draft.end(ApiError::from(error).status.as_u16(), "error");
            }
            Ok(piece) => {
                draft.add(&piece.text, piece.used.into());
                if !piece.text.is_empty() {
                    self.frames.push_back(sse_frame(&self.answer.text_chunk(piece.text)));
                }
                match piece.finish {
                    None => self.draft = Some(draft),
                    Some(finish) => {
                        self.frames.push_back(sse_frame(&self.answer.finish_chunk(finish.as_str())));
                        self.frames.extend(self.answer.usage_chunk(piece.used.into()).map(|chunk| sse_frame(&chunk)));
                        self.frames.push_back(DONE_FRAME.into());
                        draft.end(200, finish.as_str());
                    }
                }
            }
        }
    }
}

fn fail(draft: Draft, error: Error) -> Response {
    let error = ApiError::from(error);
    draft.end(error.status.as_u16(), error.code());
    error.into_response()
}

/// Headers that say which request this is and who answered.
fn about(id: &TraceId, variant: &Variant) -> HeaderMap {
    let values = [(TRACE_ID, id.as_str()), (VARIANT, variant.name.as_str())];
    values.into_iter().filter_map(|(name, value)| Some((name, HeaderValue::from_str(value).ok()?))).collect()
}
