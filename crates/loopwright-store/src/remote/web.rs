//! A file on the web, over HTTP with or without TLS.
//!
//! A transfer that breaks is taken up where it broke, under the file's tag (RFC 9110, sections 13.1.5 and 14.2), if the
//! server serves ranges. Whether a file is as it was is told by its tag or its time; a server that gives neither is asked
//! for the whole file.

use super::{
    CONNECT_TIMEOUT, RemotePart, RemoteReader, SILENCE_TIMEOUT, TRIES_MAX, file_name, refuse, shown, wait_before,
};
use crate::{Kind, Result, error::Doing};
use bytes::Bytes;
use futures::{Stream, StreamExt};
use loopwright_types::Digest;
use reqwest::{
    Client, Response, StatusCode,
    header::{ACCEPT_ENCODING, ETAG, HeaderMap, IF_RANGE, LAST_MODIFIED, RANGE},
};
use sha2::{Digest as _, Sha256};
use std::io;
use url::Url;

/// A file on the web.
#[derive(Debug)]
pub(super) struct WebFile {
    url: Url,
    client: Client,
}

impl WebFile {
    pub(super) fn of(source: &str) -> Result<Self> {
        let url = Url::parse(source).map_err(|error| refuse(source, &error.to_string()))?;
        if url.password().is_some() || !url.username().is_empty() {
            return Err(refuse(source, "it holds a user's name or password")
                .with_hint("fetch the file with a tool that keeps secrets, or serve it from a bucket"));
        }
        let client = Client::builder().connect_timeout(CONNECT_TIMEOUT).read_timeout(SILENCE_TIMEOUT).build();
        Ok(Self { client: client.doing(|| "make an HTTP client".into())?, url })
    }

    /// The file, as it is now.
    pub(super) async fn part(&self) -> Result<RemotePart> {
        let response = self.get(None).await?;
        let size_bytes = response.content_length();
        let name = shown(self.url.as_str());
        let digest = match tag(response.headers()) {
            Some(tag) => Digest::of_parts([name.as_bytes(), tag.as_bytes(), &size_bytes.unwrap_or(0).to_le_bytes()]),
            None => self.digest(response).await?,
        };
        Ok(RemotePart { path: file_name(self.url.path()).to_string(), name, size_bytes, digest })
    }

    pub(super) async fn open(&self) -> Result<RemoteReader> {
        let response = self.get(None).await?;
        let transfer = Transfer {
            tag: response.headers().get(ETAG).and_then(|tag| tag.to_str().ok()).map(str::to_string),
            url: self.url.clone(),
            client: self.client.clone(),
            response: Some(response),
            n_read: 0,
            attempt: 0,
        };
        Ok(RemoteReader::of(transfer.chunks()))
    }

    async fn digest(&self, response: Response) -> Result<Digest> {
        let (mut hash, mut chunks) = (Sha256::new(), response.bytes_stream());
        while let Some(chunk) = chunks.next().await {
            hash.update(chunk.doing(|| format!("read `{}`", shown(self.url.as_str())))?);
        }
        Ok(Digest::from_hash(&hash.finalize()))
    }

    async fn get(&self, range: Option<(u64, &str)>) -> Result<Response> {
        let doing = || format!("read the source `{}`", shown(self.url.as_str()));
        let mut attempt = 0;
        loop {
            attempt += 1;
            // What is packed stays packed: the file is taken as it lies there.
            let mut request = self.client.get(self.url.clone()).header(ACCEPT_ENCODING, "identity");
            if let Some((from, tag)) = range {
                request = request.header(RANGE, format!("bytes={from}-")).header(IF_RANGE, tag);
            }
            match request.send().await.map_err(reqwest::Error::without_url) {
                Ok(response) if is_passing(response.status()) && attempt < TRIES_MAX => {}
                Ok(response) => return self.checked(response),
                Err(error) if attempt < TRIES_MAX && !error.is_builder() && !error.is_redirect() => {}
                Err(error) => return Err(error).doing(doing),
            }
            tokio::time::sleep(wait_before(attempt)).await;
        }
    }

    fn checked(&self, response: Response) -> Result<Response> {
        let status = response.status();
        if status.is_success() {
            return Ok(response);
        }
        let hint = match status {
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
                "the server wants a login; a signed address or a bucket works"
            }
            StatusCode::NOT_FOUND | StatusCode::GONE => "check the address for a typing error",
            _ => "try again later, or fetch the file by hand",
        };
        Err(refuse(self.url.as_str(), &format!("the server answered {status}")).with_kind(Kind::Io).with_hint(hint))
    }
}

/// Statuses that may pass: the server is busy, or something between us broke.
fn is_passing(status: StatusCode) -> bool {
    matches!(status.as_u16(), 408 | 425 | 429 | 500 | 502 | 503 | 504)
}

/// What tells the file's bytes from others: its tag or its time.
fn tag(headers: &HeaderMap) -> Option<String> {
    let value = headers.get(ETAG).or_else(|| headers.get(LAST_MODIFIED))?;
    value.to_str().ok().map(str::to_string)
}

/// A file on its way.
struct Transfer {
    client: Client,
    url: Url,
    tag: Option<String>,
    response: Option<Response>,
    n_read: u64,
    attempt: u32,
}

impl Transfer {
    fn chunks(self) -> impl Stream<Item = io::Result<Bytes>> + Send {
        futures::stream::try_unfold(self, |mut transfer| async move {
            Ok(transfer.next().await?.map(|chunk| (chunk, transfer)))
        })
    }

    async fn next(&mut self) -> io::Result<Option<Bytes>> {
        loop {
            let Some(response) = &mut self.response else {
                self.response = Some(self.go_on().await?);
                continue;
            };
            match response.chunk().await.map_err(reqwest::Error::without_url) {
                Ok(chunk) => {
                    self.n_read += chunk.as_ref().map_or(0, |chunk| chunk.len() as u64);
                    return Ok(chunk);
                }
                Err(error) => {
                    self.attempt += 1;
                    if self.attempt >= TRIES_MAX || !self.can_go_on() {
                        return Err(io::Error::other(error));
                    }
                    self.response = None;
                }
            }
        }
    }

    /// A weak tag names no exact bytes (RFC 9110, section 8.8.1).
    fn can_go_on(&self) -> bool {
        self.tag.as_deref().is_some_and(|tag| !tag.starts_with("W/"))
    }

    /// Asks for the rest.
    async fn go_on(&self) -> io::Result<Response> {
        tokio::time::sleep(wait_before(self.attempt)).await;
        let file = WebFile { url: self.url.clone(), client: self.client.clone() };
        let tag = self.tag.as_deref().unwrap_or_default();
        let response = file.get(Some((self.n_read, tag))).await.map_err(io::Error::other)?;
        if response.status() != StatusCode::PARTIAL_CONTENT {
            let problem =
                format!("the transfer broke after {} bytes and the server gives no part of the file", self.n_read);
            return Err(io::Error::other(problem));
        }
        Ok(response)
    }
}
