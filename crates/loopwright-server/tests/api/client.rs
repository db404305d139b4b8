//! A small HTTP/1.1 client: one request per connection, nothing hidden.

use serde_json::Value;
use std::{collections::BTreeMap, net::SocketAddr};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

/// A whole answer.
#[derive(Debug)]
pub struct Reply {
    pub status: u16,
    pub headers: BTreeMap<String, String>,
    pub body: String,
}

impl Reply {
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|e| panic!("{e}: {}", self.body))
    }

    /// The code of an error in OpenAI's shape, whose four fields must be there.
    pub fn error_code(&self) -> String {
        let json = self.json();
        let error = json["error"].as_object().unwrap_or_else(|| panic!("{}", self.body));
        assert!(error["message"].as_str().is_some_and(|text| !text.is_empty()), "{}", self.body);
        assert!(error["type"].is_string() && error.contains_key("param"), "{}", self.body);
        error["code"].as_str().unwrap_or_else(|| panic!("{}", self.body)).to_string()
    }
}

/// A request whose answer has not been read.
pub struct Open(TcpStream);

impl Open {
    pub async fn send(addr: SocketAddr, head: &str, headers: &[(&str, &str)], body: &[u8]) -> Self {
        let mut stream = TcpStream::connect(addr).await.unwrap();
        stream.write_all(&request(addr, head, headers, body)).await.unwrap();
        Self(stream)
    }

    /// Reads until the answer holds `marker`; returns what was read.
    pub async fn read_until(&mut self, marker: &str) -> String {
        let mut read = Vec::new();
        let mut buffer = [0; 4096];
        while !String::from_utf8_lossy(&read).contains(marker) {
            let n = self.0.read(&mut buffer).await.unwrap();
            assert!(n > 0, "ended before `{marker}`: {}", String::from_utf8_lossy(&read));
            read.extend_from_slice(&buffer[..n]);
        }
        String::from_utf8_lossy(&read).into_owned()
    }

    /// Reads the whole answer.
    pub async fn reply(mut self) -> Reply {
        let mut bytes = Vec::new();
        self.0.read_to_end(&mut bytes).await.unwrap();
        parse(&bytes)
    }

    /// A request and its whole answer; none if the server went away before its end.
    pub async fn try_ask(addr: SocketAddr, head: &str, headers: &[(&str, &str)], body: &[u8]) -> Option<Reply> {
        let mut stream = TcpStream::connect(addr).await.ok()?;
        stream.write_all(&request(addr, head, headers, body)).await.ok()?;
        let mut bytes = Vec::new();
        stream.read_to_end(&mut bytes).await.ok()?;
        let head_end = bytes.windows(4).position(|w| w == b"\r\n\r\n")?;
        let head = String::from_utf8_lossy(&bytes[..head_end]).to_ascii_lowercase();
        let body = &bytes[head_end + 4..];
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse::<usize>().ok());
        let is_whole = match length {
            Some(length) => body.len() == length,
            None => body.ends_with(b"0\r\n\r\n"),
        };
        is_whole.then(|| parse(&bytes))
    }
}

fn request(addr: SocketAddr, head: &str, headers: &[(&str, &str)], body: &[u8]) -> Vec<u8> {
    let mut request =
        format!("{head} HTTP/1.1\r\nhost: {addr}\r\nconnection: close\r\ncontent-length: {}\r\n", body.len());
    for (name, value) in headers {
        request.push_str(&format!("{name}: {value}\r\n"));
    }
    request.push_str("\r\n");
    [request.as_bytes(), body].concat()
}

fn parse(bytes: &[u8]) -> Reply {
    let end = bytes
        .windows(4)
        .position(|w| w == b"\r\n\r\n")
        .unwrap_or_else(|| panic!("no answer: {:?}", String::from_utf8_lossy(bytes)));
    let head = String::from_utf8(bytes[..end].to_vec()).unwrap();
    let mut lines = head.split("\r\n");
    let status = lines.next().unwrap().split(' ').nth(1).unwrap().parse().unwrap();
    let headers: BTreeMap<String, String> = lines
        .map(|line| line.split_once(": ").unwrap())
        .map(|(name, value)| (name.to_ascii_lowercase(), value.to_string()))
        .collect();
    let body = &bytes[end + 4..];
    let body = match headers.get("transfer-encoding").map(String::as_str) {
        Some("chunked") => unchunk(body),
        _ => body.to_vec(),
    };
    Reply { status, headers, body: String::from_utf8(body).unwrap() }
}

/// RFC 9112 section 7.1.
fn unchunk(mut rest: &[u8]) -> Vec<u8> {
    let mut body = Vec::new();
    loop {
        let line_end = rest.windows(2).position(|w| w == b"\r\n").unwrap();
        let size = usize::from_str_radix(std::str::from_utf8(&rest[..line_end]).unwrap(), 16).unwrap();
        if size == 0 {
            return body;
        }
        let start = line_end + 2;
        body.extend_from_slice(&rest[start..start + size]);
        rest = &rest[start + size + 2..];
    }
}
