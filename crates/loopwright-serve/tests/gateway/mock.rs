//! A provider on loopback that does what a test says: answers, hangs, lies or breaks off, at any byte.

use serde_json::Value;
use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::{Arc, Mutex},
};
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::{TcpListener, TcpStream},
    sync::Notify,
    task::JoinHandle,
};

/// A request as it came.
#[derive(Clone, Debug)]
pub struct Got {
    pub line: String,
    pub headers: BTreeMap<String, String>,
    pub body: Value,
}

/// What a provider does next.
#[derive(Clone, Debug)]
pub enum Act {
    /// Sends these bytes.
    Send(Vec<u8>),
    /// Waits until the test says so.
    Wait(Arc<Notify>),
    /// Never says anything again.
    Hang,
    /// Hangs up.
    Close,
    /// Sends these bytes again and again until nobody listens.
    Flood(Vec<u8>),
}

/// A running provider. Dropping it ends it.
pub struct Mock {
    pub addr: SocketAddr,
    got: Arc<Mutex<Vec<Got>>>,
    n_come: Arc<Mutex<usize>>,
    n_gone: Arc<Mutex<usize>>,
    task: JoinHandle<()>,
}

impl Drop for Mock {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Mock {
    /// A provider that answers its nth request (from 0) as `answer` says.
    pub async fn start(answer: impl Fn(usize, &Got) -> Vec<Act> + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let got: Arc<Mutex<Vec<Got>>> = Arc::default();
        let (n_come, n_gone): (Arc<Mutex<usize>>, Arc<Mutex<usize>>) = Default::default();
        let (seen, come, gone, answer) = (got.clone(), n_come.clone(), n_gone.clone(), Arc::new(answer));
        let task = tokio::spawn(async move {
            let mut connections = tokio::task::JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                stream.set_nodelay(true).unwrap();
                *come.lock().unwrap() += 1;
                let (seen, gone, answer) = (seen.clone(), gone.clone(), answer.clone());
                connections.spawn(async move {
                    serve(stream, &seen, answer.as_ref()).await;
                    *gone.lock().unwrap() += 1;
                });
            }
        });
        Self { addr, got, n_come, n_gone, task }
    }

    /// One that answers every request the same.
    pub async fn always(acts: Vec<Act>) -> Self {
        Self::start(move |_, _| acts.clone()).await
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.addr)
    }

    /// The requests so far.
    pub fn got(&self) -> Vec<Got> {
        self.got.lock().unwrap().clone()
    }

    pub fn n_asked(&self) -> usize {
        self.got.lock().unwrap().len()
    }

    /// Connections that were made.
    pub fn n_come(&self) -> usize {
        *self.n_come.lock().unwrap()
    }

    /// Connections that have ended.
    pub fn n_gone(&self) -> usize {
        *self.n_gone.lock().unwrap()
    }
}

async fn serve(stream: TcpStream, seen: &Mutex<Vec<Got>>, answer: &(dyn Fn(usize, &Got) -> Vec<Act> + Send + Sync)) {
    let mut stream = BufReader::new(stream);
    while let Some(got) = read(&mut stream).await {
        let nth = {
            let mut seen = seen.lock().unwrap();
            seen.push(got.clone());
            seen.len() - 1
        };
        for act in answer(nth, &got) {
            let is_there = match act {
                Act::Send(bytes) => stream.get_mut().write_all(&bytes).await.is_ok(),
                Act::Wait(notify) => gone_or(&mut stream, notify.notified()).await,
                Act::Hang => gone_or(&mut stream, std::future::pending()).await,
                Act::Close => false,
                Act::Flood(bytes) => {
                    while stream.get_mut().write_all(&bytes).await.is_ok() {}
                    false
                }
            };
            if !is_there {
                return;
            }
        }
    }
}

/// Waits for something, or for the client to hang up: false.
async fn gone_or(stream: &mut BufReader<TcpStream>, wait: impl Future<Output = ()>) -> bool {
    let mut byte = [0];
    tokio::select! {
        read = stream.get_mut().read(&mut byte) => matches!(read, Ok(1..)),
        () = wait => true,
    }
}

async fn read(stream: &mut BufReader<TcpStream>) -> Option<Got> {
    let mut line = String::new();
    if stream.read_line(&mut line).await.ok()? == 0 {
        return None;
    }
    let mut headers = BTreeMap::new();
    loop {
        let mut header = String::new();
        stream.read_line(&mut header).await.ok()?;
        match header.trim_end().split_once(": ") {
            Some((name, value)) => headers.insert(name.to_ascii_lowercase(), value.to_string()),
            None => break,
        };
    }
    let length = headers.get("content-length").and_then(|n| n.parse().ok()).unwrap_or(0);
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await.ok()?;
    Some(Got { line: line.trim_end().into(), headers, body: serde_json::from_slice(&body).unwrap_or_default() })
}

/// A whole answer.
pub fn reply(status: u16, headers: &[(&str, &str)], body: &str) -> Vec<Act> {
    let mut head = format!("HTTP/1.1 {status} Mock\r\ncontent-length: {}\r\n", body.len());
    for (name, value) in headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    vec![Act::Send(format!("{head}\r\n{body}").into_bytes())]
}

pub fn json(body: &Value) -> Vec<Act> {
    reply(200, &[("content-type", "application/json")], &body.to_string())
}

/// The head of a stream.
pub fn stream_head(media: &str) -> Act {
    Act::Send(format!("HTTP/1.1 200 OK\r\ncontent-type: {media}\r\ntransfer-encoding: chunked\r\n\r\n").into_bytes())
}

/// A chunk of a stream.
pub fn chunk(bytes: &[u8]) -> Act {
    Act::Send([format!("{:x}\r\n", bytes.len()).as_bytes(), bytes, b"\r\n"].concat())
}

/// The end of a stream.
pub fn last_chunk() -> Act {
    Act::Send(b"0\r\n\r\n".to_vec())
}

/// A stream of server-sent events, each a chunk of its own.
pub fn sse(events: &[&str]) -> Vec<Act> {
    let chunks = events.iter().map(|event| chunk(format!("{event}\n\n").as_bytes()));
    [stream_head("text/event-stream")].into_iter().chain(chunks).chain([last_chunk()]).collect()
}

/// An answer of a server that speaks OpenAI's language.
pub fn hello(text: &str) -> Value {
    serde_json::json!({
        "id": "chatcmpl-1", "object": "chat.completion", "model": "m", "created": 1,
        "choices": [{"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 5, "completion_tokens": 2, "total_tokens": 7},
    })
}

/// The same as a stream.
pub fn hello_stream(text: &str) -> Vec<Act> {
    let delta = serde_json::json!({"choices": [{"index": 0, "delta": {"content": text}}]});
    let end = serde_json::json!({"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]});
    let usage = serde_json::json!({"choices": [], "usage": {"prompt_tokens": 5, "completion_tokens": 2}});
    sse(&[&format!("data: {delta}"), &format!("data: {end}"), &format!("data: {usage}"), "data: [DONE]"])
}
