//! Reading a request's body within bounds of size and time.

use crate::errors::{ApiError, ApiResult};
use axum::{
    body::{Body, BodyDataStream, HttpBody},
    extract::Request,
    http::StatusCode,
    middleware::Next,
    response::Response,
};
use bytes::{Bytes, BytesMut};
use futures::StreamExt;
use std::{
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll},
    time::Duration,
};

/// Bytes that are still read and thrown away when a body is too large: a client that is cut off while it sends would
/// not read the answer that says why.
const DRAIN_BYTES_MAX: usize = 16 << 20;

/// How much of a body that nobody asked for is read before its answer, and for how long.
const UNREAD_BYTES_MAX: usize = 64 << 10;
const UNREAD_TIME_MAX: Duration = Duration::from_millis(250);

/// Reads, and throws away, what a handler left of a request's body, within bounds. A connection with an unread body has to be
/// closed, and a client that is still writing, or goes on to its next request, would find it broken without knowing why.
pub async fn read_the_rest(request: Request, next: Next) -> Response {
    let (parts, body) = request.into_parts();
    if body.is_end_stream() {
        return next.run(Request::from_parts(parts, body)).await;
    }
    let lent = Lent(Arc::new(Mutex::new(body)));
    let response = next.run(Request::from_parts(parts, Body::new(lent.clone()))).await;
    if !lent.is_end_stream() {
        let mut frames = Body::new(lent).into_data_stream();
        let reading = async {
            let mut n_bytes = 0;
            while let Some(Ok(frame)) = frames.next().await {
                n_bytes += frame.len();
                if n_bytes > UNREAD_BYTES_MAX {
                    break;
                }
            }
        };
        // What is still not there by then costs the connection.
        let _ = tokio::time::timeout(UNREAD_TIME_MAX, reading).await;
    }
    response
}

/// A body that a handler may read, and that is still there when the handler is done.
#[derive(Clone)]
struct Lent(Arc<Mutex<Body>>);

impl Lent {
    fn with<T>(&self, work: impl FnOnce(&mut Body) -> T) -> T {
        work(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl HttpBody for Lent {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<http_body::Frame<Bytes>, axum::Error>>> {
        self.with(|body| Pin::new(body).poll_frame(context))
    }

    fn is_end_stream(&self) -> bool {
        self.with(|body| body.is_end_stream())
    }

    fn size_hint(&self) -> http_body::SizeHint {
        self.with(|body| body.size_hint())
    }
}

/// Reads a body of at most `limit_bytes` within `time_max`.
pub async fn read_body(body: Body, limit_bytes: usize, time_max: Duration) -> ApiResult<Bytes> {
    match tokio::time::timeout(time_max, read(body.into_data_stream(), limit_bytes)).await {
        Ok(result) => result,
        Err(_) => {
            let message = format!("the body did not arrive within {} s", time_max.as_secs());
            Err(ApiError::new(StatusCode::REQUEST_TIMEOUT, "invalid_request_error", "request_timeout", message))
        }
    }
}

async fn read(mut frames: BodyDataStream, limit_bytes: usize) -> ApiResult<Bytes> {
    let mut bytes = BytesMut::new();
    let mut n_drained = 0;
    while let Some(frame) = frames.next().await {
        let frame = frame.map_err(|e| ApiError::invalid("broken_body", format!("the body broke off: {e}")))?;
        if n_drained == 0 && bytes.len() + frame.len() <= limit_bytes {
            bytes.extend_from_slice(&frame);
            continue;
        }
        n_drained += frame.len();
        bytes.clear();
        if n_drained > DRAIN_BYTES_MAX {
            break;
        }
    }
    if n_drained > 0 { Err(ApiError::too_large(limit_bytes)) } else { Ok(bytes.freeze()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn check(frames: &[&'static str], limit: usize) -> Result<String, u16> {
        let frames: Vec<_> =
            frames.iter().map(|frame| Ok::<_, std::io::Error>(Bytes::from_static(frame.as_bytes()))).collect();
        let body = Body::from_stream(futures::stream::iter(frames));
        let read = read_body(body, limit, Duration::from_secs(5)).await;
        read.map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).map_err(|e| e.status.as_u16())
    }

    #[tokio::test]
    async fn a_body_is_read_up_to_the_limit_and_refused_beyond_it() {
        assert_eq!(check(&["ab", "c"], 3).await, Ok("abc".into()));
        assert_eq!(check(&[], 3).await, Ok(String::new()));
        assert_eq!(check(&["ab", "cd"], 3).await, Err(413));
        // A small frame after the one that was too large does not slip in.
        assert_eq!(check(&["abcd", "e"], 3).await, Err(413));
    }

    #[tokio::test]
    async fn a_body_that_never_comes_is_given_up() {
        let body = Body::from_stream(futures::stream::pending::<Result<Bytes, std::io::Error>>());
        let read = read_body(body, 3, Duration::from_millis(5)).await;
        assert_eq!(read.unwrap_err().status, StatusCode::REQUEST_TIMEOUT);
    }
}
