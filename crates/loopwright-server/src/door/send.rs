//! Sending an answer: whole, or as server-sent events.

use super::{About, Answering, Refused};
use crate::errors::ApiError;
use axum::{
    Json,
    body::{Body, Bytes},
    http::{HeaderName, HeaderValue, header},
    response::{IntoResponse, Response},
};
use futures::{Stream, StreamExt, stream};
use loopwright_serve::{
    Error, Gathered,
    event::{Event, Events},
    wire::Writer,
};
use std::convert::Infallible;

/// Sends an answer as its API writes it. An error before the first event still gets its own status.
pub async fn send(answering: Answering, writer: impl Writer + 'static, as_stream: bool) -> Result<Response, Refused> {
    let Answering { about, events } = answering;
    let sent = if as_stream { streamed(events, writer).await } else { whole(events, &writer).await };
    match sent {
        Ok(mut response) => {
            about.mark(&mut response);
            Ok(response)
        }
        Err(error) => Err(refused(about, error)),
    }
}

fn refused(about: About, error: Error) -> Refused {
    Refused { error: ApiError::from(error), about: Some(about) }
}

async fn whole(mut events: Events, writer: &impl Writer) -> Result<Response, Error> {
    let mut answer = Gathered::default();
    while let Some(event) = events.next().await {
        answer.add(&event?);
    }
    Ok(Json(writer.whole(&answer)).into_response())
}

async fn streamed(mut events: Events, mut writer: impl Writer + 'static) -> Result<Response, Error> {
    let first = events.next().await.transpose()?;
    let mut frames = writer.begin();
    frames.push_str(&first.as_ref().map(|event| writer.event(event)).unwrap_or_default());
    Ok(sse(frames_of(Some(frames), events, writer)))
}

/// Frames as they come; each item is at least one.
fn frames_of(
    first: Option<String>,
    events: Events,
    writer: impl Writer + 'static,
) -> impl Stream<Item = Result<Bytes, Infallible>> + Send {
    let state = (first, Some(events), writer);
    stream::unfold(state, async |(mut first, mut events, mut writer)| {
        let mut frames = first.take().unwrap_or_default();
        while frames.is_empty() {
            let Some(open) = &mut events else { return None };
            let next = open.next().await;
            if !matches!(next, Some(Ok(_))) {
                events = None;
            }
            frames = written(&mut writer, next);
        }
        Some((Ok(Bytes::from(frames)), (None, events, writer)))
    })
}

fn written(writer: &mut impl Writer, next: Option<Result<Event, Error>>) -> String {
    match next {
        Some(Ok(event)) => writer.event(&event),
        Some(Err(error)) => writer.failed(&error),
        None => writer.end(),
    }
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
