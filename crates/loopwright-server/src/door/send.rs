//! Sending an answer: whole, or as server-sent events.

use super::{About, Answering, Refused};
use crate::errors::ApiError;
use axum::{
    Json,
    body::{Body, Bytes},
    http::{HeaderMap, HeaderName, HeaderValue, header},
    response::{IntoResponse, Response},
};
use futures::{Stream, StreamExt, stream};
use loopwright_serve::{
    Error, Gathered,
    event::{Event, Events, Progress},
    wire::Writer,
};
use std::convert::Infallible;

/// Sends an answer as its API writes it. An error before the first event still gets its own status.
pub async fn send(answering: Answering, writer: impl Writer + 'static, as_stream: bool) -> Result<Response, Refused> {
    let Answering { about, events, progress } = answering;
    let sent = if as_stream { streamed(events, writer, &progress).await } else { whole(events, writer).await };
    match sent {
        Ok(mut response) => {
            about.mark(&mut response);
            Ok(response)
        }
        Err(error) => Err(refused(about, error)),
    }
}

fn refused(about: About, error: Error) -> Refused {
    Refused { error: Box::new(ApiError::from(error)), about: Some(Box::new(about)), headers: HeaderMap::new() }
}

async fn whole(mut events: Events, writer: impl Writer) -> Result<Response, Error> {
    let mut answer = Gathered::default();
    while let Some(event) = events.next().await {
        answer.add(&event?);
    }
    Ok(Json(writer.whole(&answer)).into_response())
}

async fn streamed(
    mut events: Events,
    mut writer: impl Writer + 'static,
    progress: &Progress,
) -> Result<Response, Error> {
    let first = events.next().await.transpose()?;
    let mut frames = writer.begin(progress.used());
    frames.push_str(&first.as_ref().map(|event| writer.event(event)).unwrap_or_default());
    Ok(sse(frames_of(Some(frames), events, writer)))
}

/// Events that are written together if they are there together: one write to the socket instead of many.
const TOGETHER_MAX: usize = 64;

/// Frames as they come; each item is at least one.
fn frames_of(
    first: Option<String>,
    events: Events,
    writer: impl Writer + 'static,
) -> impl Stream<Item = Result<Bytes, Infallible>> + Send {
    let state = (first, Some(events.ready_chunks(TOGETHER_MAX)), writer, false);
    stream::unfold(state, async |(mut first, mut events, mut writer, is_begun)| {
        let mut frames = first.take().unwrap_or_default();
        if is_begun {
            // The server writes once nothing more is ready: the first frames are not to wait for those behind them.
            tokio::task::yield_now().await;
        }
        let begins = !frames.is_empty();
        while frames.is_empty() {
            let Some(open) = &mut events else { return None };
            let is_over = match open.next().await {
                Some(together) => together.into_iter().any(|next| write(&mut writer, next, &mut frames)),
                None => {
                    frames.push_str(&writer.end());
                    true
                }
            };
            if is_over {
                events = None;
            }
        }
        Some((Ok(Bytes::from(frames)), (None, events, writer, begins)))
    })
}

/// Writes an event. True for an error: nothing follows it.
fn write(writer: &mut impl Writer, next: Result<Event, Error>, frames: &mut String) -> bool {
    match &next {
        Ok(event) => frames.push_str(&writer.event(event)),
        Err(error) => frames.push_str(&writer.failed(error)),
    }
    next.is_err()
}

/// A response of server-sent events.
pub(crate) fn sse(frames: impl Stream<Item = Result<Bytes, Infallible>> + Send + 'static) -> Response {
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream; charset=utf-8")),
        (header::CACHE_CONTROL, HeaderValue::from_static("no-cache")),
        // A proxy that collects the stream before it passes it on would undo it.
        (HeaderName::from_static("x-accel-buffering"), HeaderValue::from_static("no")),
    ];
    (headers, Body::from_stream(frames)).into_response()
}
