//! A provider's answer on its way: whole in bounded memory, or as a stream with a bound on silence.

use super::{
    exchange::{Framing, Reader},
    pool::Reading,
    tally::{Complaint, Tally, bounded, message_of},
};
use crate::{Error, Trouble, chain, event::Event};
use bytes::Bytes;
use futures::FutureExt as _;
use http_body_util::{BodyExt as _, Limited};
use hyper::{HeaderMap, StatusCode};
use loopwright_types::Timestamp;
use std::time::Duration;
use tokio::sync::OwnedSemaphorePermit;

/// Largest whole answer.
pub(super) const ANSWER_BYTES_MAX: usize = 32 << 20;
/// Of an error's body, so much is read, for so long.
const REFUSAL_BYTES_MAX: usize = 64 << 10;
const REFUSAL_TIME_MAX: Duration = Duration::from_secs(5);

/// A provider's name on every error of it.
#[derive(Clone, Debug)]
pub(super) struct Blame(pub(super) String);

impl Blame {
    pub(super) fn error(&self, trouble: Trouble, message: impl Into<String>) -> Error {
        let message = message.into();
        Error::Upstream { provider: self.0.clone(), trouble, status: None, message, retry_after_ms: None }
    }

    pub(super) fn complaint(&self, complaint: Complaint) -> Error {
        self.error(complaint.trouble, complaint.message)
    }

    pub(super) fn silent(&self, limit: Duration) -> Error {
        self.error(Trouble::Silent, format!("nothing came for {} ms (idle_timeout_ms)", limit.as_millis()))
    }

    /// The error that an answer's status stands for.
    pub(super) async fn refused(
        &self,
        status: StatusCode,
        headers: &HeaderMap,
        body: Reading,
        now: Timestamp,
    ) -> Error {
        let trouble = match status.as_u16() {
            401 | 403 => Trouble::Key,
            404 => Trouble::Missing,
            408 | 504 => Trouble::Silent,
            429 | 529 => Trouble::Busy,
            400..=499 => Trouble::Refused,
            _ => Trouble::Failed,
        };
        let message = match status.is_redirection() {
            true => "it answered with a redirection, which is not followed".into(),
            false => words(body).await,
        };
        let (provider, status) = (self.0.clone(), Some(status.as_u16()));
        Error::Upstream { provider, trouble, status, message, retry_after_ms: retry_after_ms(headers, now) }
    }
}

/// What an error's body says, in words.
async fn words(body: Reading) -> String {
    let reading = Limited::new(body, REFUSAL_BYTES_MAX).collect();
    let bytes = match tokio::time::timeout(REFUSAL_TIME_MAX, reading).await {
        Ok(Ok(read)) => read.to_bytes(),
        Ok(Err(_)) | Err(_) => Bytes::new(),
    };
    // Google wraps an error in a list on its streams.
    let json: Option<serde_json::Value> = serde_json::from_slice(&bytes).ok();
    let said = json.as_ref().and_then(|json| message_of(json.get(0).unwrap_or(json)));
    match said.unwrap_or_else(|| bounded(&String::from_utf8_lossy(&bytes))) {
        words if words.is_empty() => "it gave no reason".into(),
        words => words,
    }
}

/// Longest time to come back that is believed.
const RETRY_AFTER_MS_MAX: u64 = 3_600_000;

/// `retry-after-ms`, or `retry-after` in seconds or as a date (RFC 9110, section 10.2.3).
fn retry_after_ms(headers: &HeaderMap, now: Timestamp) -> Option<u64> {
    let text = |name: &str| headers.get(name)?.to_str().ok().map(str::trim);
    let ms =
        |value: f64| (value.is_finite() && value >= 0.0).then(|| value.ceil().min(RETRY_AFTER_MS_MAX as f64) as u64);
    if let Some(value) = text("retry-after-ms").and_then(|value| value.parse().ok()).and_then(ms) {
        return Some(value);
    }
    let value = text("retry-after")?;
    if let Ok(seconds) = value.parse::<f64>() {
        return ms(seconds * 1_000.0);
    }
    let then = jiff::fmt::rfc2822::parse(value).ok()?.timestamp().as_millisecond();
    u64::try_from(then - now.millis()).ok().map(|ms| ms.min(RETRY_AFTER_MS_MAX))
}

/// Reads a whole body.
pub(super) async fn whole(body: Reading, blame: &Blame) -> Result<Bytes, Error> {
    match Limited::new(body, ANSWER_BYTES_MAX).collect().await {
        Ok(read) => Ok(read.to_bytes()),
        Err(error) if error.is::<http_body_util::LengthLimitError>() => {
            Err(blame.error(Trouble::Garbled, format!("it is larger than {ANSWER_BYTES_MAX} bytes")))
        }
        Err(error) => Err(blame.error(Trouble::BrokenOff, chain(error.as_ref()))),
    }
}

/// Fails on a body of another type than expected.
pub(super) fn check_media(headers: &HeaderMap, expected: &str, blame: &Blame) -> Result<(), Error> {
    let got = headers.get(hyper::header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let media = got.split(';').next().unwrap_or_default().trim();
    if media.eq_ignore_ascii_case(expected) {
        return Ok(());
    }
    Err(blame.error(Trouble::Garbled, format!("expected `{expected}`, got `{}`", bounded(got))))
}

/// A stream on its way. Dropping it closes the connection, which cancels the request.
pub(super) struct Streaming {
    pub(super) body: Reading,
    pub(super) framing: Framing,
    pub(super) reader: Box<dyn Reader>,
    pub(super) tally: Tally,
    pub(super) blame: Blame,
    pub(super) idle: Duration,
    pub(super) state: State,
    pub(super) _permit: OwnedSemaphorePermit,
}

/// Where a stream stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// More is to come from the provider.
    Open,
    /// The provider has said everything.
    Closed,
    /// It failed, and that was told.
    Failed,
}

impl Streaming {
    /// The next event; none at the end.
    pub(super) async fn next(&mut self) -> Option<Result<Event, Error>> {
        loop {
            if let Some(event) = self.tally.next() {
                return Some(Ok(event));
            }
            match self.state {
                State::Closed | State::Failed => return None,
                State::Open => {}
            }
            if let Err(error) = self.advance().await {
                self.state = State::Failed;
                return Some(Err(error));
            }
        }
    }

    async fn advance(&mut self) -> Result<(), Error> {
        let frame = tokio::time::timeout(self.idle, self.body.frame()).await;
        match frame.map_err(|_| self.blame.silent(self.idle))? {
            Some(Ok(frame)) => {
                if let Some(bytes) = frame.data_ref() {
                    let read = self.framing.take(bytes, self.reader.as_mut(), &mut self.tally);
                    read.map_err(|complaint| self.blame.complaint(complaint))?;
                }
                if !self.reader.is_done() {
                    return Ok(());
                }
                // The end of the body, where it is there already: the connection can then be used again.
                let _ = self.body.frame().now_or_never();
            }
            Some(Err(error)) => return Err(self.blame.error(Trouble::BrokenOff, chain(&error))),
            None => {}
        }
        self.state = State::Closed;
        self.tally.close().map_err(|complaint| self.blame.complaint(complaint))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_to_come_back_are_read_in_every_form() {
        let now = Timestamp(1_445_412_470_000); // 2015-10-21T07:27:50Z
        let check = |name: &'static str, value: &str, expected: Option<u64>| {
            let headers =
                HeaderMap::from_iter([(hyper::header::HeaderName::from_static(name), value.parse().unwrap())]);
            assert_eq!(retry_after_ms(&headers, now), expected, "{name}: {value}");
        };
        check("retry-after", "7", Some(7_000));
        check("retry-after", "0.25", Some(250));
        check("retry-after", "Wed, 21 Oct 2015 07:28:00 GMT", Some(10_000));
        check("retry-after", "Wed, 21 Oct 2015 07:27:00 GMT", None);
        check("retry-after", "1e12", Some(RETRY_AFTER_MS_MAX));
        check("retry-after-ms", "1500", Some(1_500));
        for bad in ["soon", "-1", "NaN", "inf"] {
            check("retry-after", bad, None);
        }
    }
}
