//! Connections to one provider, kept for the next request.
//!
//! A connection is driven by whoever reads from it, in the same task: a stream's chunks pass from the socket to the client
//! without waking another task for each of them. One that nobody reads from is looked at before it is used again.

use super::connect::{Connector, Timed};
use bytes::Bytes;
use futures::FutureExt as _;
use http_body_util::Full;
use hyper::{
    Request, Response,
    body::{Body, Frame, Incoming, SizeHint},
    client::conn::http1::{Builder, Connection, SendRequest},
    header::{HOST, HeaderValue},
    http::{Uri, uri::PathAndQuery},
};
use hyper_rustls::{HttpsConnector, MaybeHttpsStream};
use hyper_util::rt::TokioIo;
use std::{
    fmt,
    future::{Future, poll_fn},
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    task::{Context, Poll, ready},
    time::{Duration, Instant},
};
use tokio::net::TcpStream;
use tower_service::Service;

type Io = MaybeHttpsStream<TokioIo<TcpStream>>;
type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// Most bytes of an answer's head.
const HEAD_BYTES_MAX: usize = 64 << 10;
/// Idle connections kept for each provider, and how long.
const N_IDLE_MAX: usize = 256;
const IDLE_TIME_MAX: Duration = Duration::from_secs(55);

/// Why a request was not answered.
#[derive(Debug)]
pub(super) enum Fault {
    /// There is no connection.
    Connect(BoxError),
    /// The connection failed.
    Http(hyper::Error),
}

/// Asks a provider.
#[derive(Clone)]
pub(super) struct Pool {
    connector: Timed<HttpsConnector<Connector>>,
    idle: Arc<Idle>,
}

impl fmt::Debug for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pool").field("n_idle", &self.idle.lines().waiting.len()).finish_non_exhaustive()
    }
}

/// A connection and the way into it.
struct Line {
    sender: SendRequest<Full<Bytes>>,
    connection: Pin<Box<Connection<Io, Full<Bytes>>>>,
}

#[derive(Default)]
struct Idle(Mutex<Lines>);

#[derive(Default)]
struct Lines {
    /// Those used last come last.
    waiting: Vec<(Instant, Line)>,
    /// Does somebody close those that wait for too long?
    is_swept: bool,
}

impl Pool {
    pub(super) fn new(connector: Timed<HttpsConnector<Connector>>) -> Self {
        Self { connector, idle: Arc::default() }
    }

    /// Sends a request to its absolute address; ready with the answer's head. Dropping it, or the body before its end, closes the
    /// connection.
    pub(super) async fn request(&self, mut request: Request<Full<Bytes>>) -> Result<Response<Reading>, Fault> {
        let uri = request.uri().clone();
        if let Some(host) = host(&uri) {
            request.headers_mut().insert(HOST, host);
        }
        let path = uri.path_and_query().cloned().unwrap_or_else(|| PathAndQuery::from_static("/"));
        *request.uri_mut() = Uri::from(path);
        // A kept connection may be closed by the provider in this very moment: a request that was not sent is sent again.
        while let Some(mut line) = self.idle.take() {
            match line.send(request).await {
                Ok(response) => return Ok(self.reading(response, line)),
                Err((_, Some(unsent))) => request = unsent,
                Err((error, None)) => return Err(Fault::Http(error)),
            }
        }
        let mut line = self.connect(uri).await?;
        let sent = line.send(request).await.map_err(|(error, _)| Fault::Http(error))?;
        Ok(self.reading(sent, line))
    }

    fn reading(&self, response: Response<Incoming>, line: Line) -> Response<Reading> {
        response.map(|body| Reading { body, line: Some(line), idle: self.idle.clone() })
    }

    async fn connect(&self, uri: Uri) -> Result<Line, Fault> {
        let mut connector = self.connector.clone();
        poll_fn(|context| connector.poll_ready(context)).await.map_err(Fault::Connect)?;
        let io = connector.call(uri).await.map_err(Fault::Connect)?;
        let made = Builder::new().max_buf_size(HEAD_BYTES_MAX).handshake(io).await;
        let (sender, connection) = made.map_err(Fault::Http)?;
        Ok(Line { sender, connection: Box::pin(connection) })
    }
}

/// The `host` header: a scheme's own port is left out, as browsers do.
fn host(uri: &Uri) -> Option<HeaderValue> {
    let own_port = if uri.scheme_str() == Some("http") { 80 } else { 443 };
    let host = uri.host()?;
    let text = match uri.port_u16().filter(|port| *port != own_port) {
        Some(port) => format!("{host}:{port}"),
        None => host.to_string(),
    };
    HeaderValue::from_str(&text).ok()
}

impl Line {
    /// Sends a request; an error gives it back if nothing of it was sent.
    async fn send(
        &mut self,
        request: Request<Full<Bytes>>,
    ) -> Result<Response<Incoming>, (hyper::Error, Option<Request<Full<Bytes>>>)> {
        let mut sending = std::pin::pin!(self.sender.try_send_request(request));
        let mut is_over = false;
        let sent = poll_fn(|context| {
            loop {
                if let Poll::Ready(sent) = sending.as_mut().poll(context) {
                    return Poll::Ready(sent);
                }
                // An end of the connection is told to the request as well.
                if is_over {
                    return Poll::Pending;
                }
                is_over = self.connection.as_mut().poll(context).is_ready();
                if !is_over {
                    return sending.as_mut().poll(context);
                }
            }
        });
        sent.await.map_err(|mut error| {
            let unsent = error.take_message();
            (error.into_error(), unsent)
        })
    }

    /// True if another request can be sent.
    fn is_open(&mut self, context: &mut Context<'_>) -> bool {
        self.connection.as_mut().poll(context).is_pending()
            && matches!(self.sender.poll_ready(context), Poll::Ready(Ok(())))
    }
}

impl Idle {
    fn lines(&self) -> MutexGuard<'_, Lines> {
        // A list is whole after every single change.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The connection that was used last and is still open.
    fn take(&self) -> Option<Line> {
        loop {
            let (since, mut line) = self.lines().waiting.pop()?;
            let is_open = poll_fn(|context| Poll::Ready(line.is_open(context))).now_or_never();
            if since.elapsed() < IDLE_TIME_MAX && is_open == Some(true) {
                return Some(line);
            }
        }
    }

    fn keep(self: &Arc<Self>, line: Line) {
        let mut lines = self.lines();
        if lines.waiting.len() < N_IDLE_MAX {
            lines.waiting.push((Instant::now(), line));
        }
        if !std::mem::replace(&mut lines.is_swept, true) {
            tokio::spawn(sweep(Arc::downgrade(self)));
        }
    }
}

/// Closes connections that were idle for long, until there are none.
async fn sweep(idle: Weak<Idle>) {
    loop {
        tokio::time::sleep(IDLE_TIME_MAX).await;
        let Some(idle) = idle.upgrade() else { return };
        let mut lines = idle.lines();
        lines.waiting.retain(|(since, _)| since.elapsed() < IDLE_TIME_MAX);
        if lines.waiting.is_empty() {
            lines.is_swept = false;
            return;
        }
    }
}

/// An answer's body. At its end the connection is kept.
pub(super) struct Reading {
    body: Incoming,
    line: Option<Line>,
    idle: Arc<Idle>,
}

impl Body for Reading {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let this = self.get_mut();
        let mut frame = Pin::new(&mut this.body).poll_frame(context);
        if frame.is_pending()
            && let Some(line) = &mut this.line
        {
            // An end of the connection shows in the body.
            if line.connection.as_mut().poll(context).is_ready() {
                this.line = None;
            }
            frame = Pin::new(&mut this.body).poll_frame(context);
        }
        let frame = ready!(frame);
        if frame.is_none()
            && let Some(mut line) = this.line.take()
            && line.is_open(context)
        {
            this.idle.keep(line);
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        // The end has to be asked for once, which keeps the connection.
        self.body.is_end_stream() && self.line.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
