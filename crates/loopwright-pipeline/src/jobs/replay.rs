//! Replay: traffic over HTTP, as clients would send it, with the feedback that people would give.

use crate::{
    context::Context,
    error::{Doing, Error, Result},
};
use futures::{StreamExt, TryStreamExt, stream};
use loopwright_store::TraceQuery;
use loopwright_types::{id::TraceId, openai::ChatResponse};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};
use std::{
    collections::BTreeSet,
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

/// Requests under way at once.
const CONCURRENCY: usize = 4;
/// Tries per request when the server is busy or not yet up.
const TRIES_MAX: u32 = 8;

/// A door to ask at.
#[derive(Clone, Debug)]
pub struct Door {
    /// E.g. `http://127.0.0.1:8700`.
    pub base_url: String,
    /// A key with the right to ask.
    pub api_key: String,
}

/// A message to send.
#[derive(Clone, Debug)]
pub struct ReplayRow {
    /// Tells this message from every other of the replay.
    pub row_id: String,
    /// What the customer writes.
    pub text: String,
    /// Who writes, as the organisation names them.
    pub user: Option<String>,
    /// What the right answer is, for those who give feedback.
    pub truth: Option<String>,
}

/// How to replay.
#[derive(Clone, Debug)]
pub struct ReplaySettings {
    /// The route to ask.
    pub route: String,
    /// Marks the traces of this replay.
    pub tag: String,
    /// Share of answers that get feedback.
    pub feedback_share: f64,
    /// Seed of who gives feedback.
    pub seed: u64,
}

/// What came back.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Replayed {
    /// Requests sent now.
    pub n_sent: u64,
    /// Requests that had been answered by an earlier, killed replay.
    pub n_before: u64,
    /// Requests that ended in an error.
    pub n_errors: u64,
    /// Pieces of feedback given now.
    pub n_feedback: u64,
}

/// The trace that a request of a replay becomes: known beforehand, so that a killed replay sends nothing twice.
pub fn trace_id(tag: &str, row_id: &str) -> TraceId {
    TraceId::from_request_key(&request_key(tag, row_id))
}

fn request_key(tag: &str, row_id: &str) -> String {
    format!("{tag}/{row_id}")
}

/// Sends the rows that no trace answers yet, and gives feedback on a seeded share of them.
pub async fn replay(ctx: &Context, door: &Door, rows: &[ReplayRow], settings: &ReplaySettings) -> Result<Replayed> {
    let done: BTreeSet<TraceId> = answered(ctx, &settings.tag).await?;
    let todo: Vec<&ReplayRow> =
        rows.iter().filter(|row| !done.contains(&trace_id(&settings.tag, &row.row_id))).collect();
    let client = reqwest::Client::builder()
        .timeout(Duration::from_secs(60))
        .tcp_nodelay(true)
        .no_proxy()
        .build()
        .outside(|| "failed to make an HTTP client".into())?;
    let sender = Sender { client, door, settings, n_done: AtomicU64::new(done.len() as u64) };
    let total = rows.len() as u64;
    let results: Vec<Sent> = stream::iter(todo)
        .map(|row| async {
            let sent = sender.send(row).await?;
            let n_done = sender.n_done.fetch_add(1, Ordering::Relaxed) + 1;
            ctx.progress("requests", n_done, total, String::new());
            Ok::<_, Error>(sent)
        })
        .buffer_unordered(CONCURRENCY)
        .try_collect()
        .await?;
    let count = |test: fn(&Sent) -> bool| results.iter().filter(|sent| test(sent)).count() as u64;
    Ok(Replayed {
        n_sent: results.len() as u64,
        n_before: done.len() as u64,
        n_errors: count(|sent| !sent.answered),
        n_feedback: count(|sent| sent.feedback),
    })
}

async fn answered(ctx: &Context, tag: &str) -> Result<BTreeSet<TraceId>> {
    let query = TraceQuery { tag: Some(tag.to_string()), limit: u32::MAX, ..Default::default() };
    Ok(ctx.store.traces(&query).await?.into_iter().map(|trace| trace.id).collect())
}

struct Sent {
    answered: bool,
    feedback: bool,
}

struct Sender<'a> {
    client: reqwest::Client,
    door: &'a Door,
    settings: &'a ReplaySettings,
    n_done: AtomicU64,
}

impl Sender<'_> {
    async fn send(&self, row: &ReplayRow) -> Result<Sent> {
        let mut body = serde_json::json!({
            "model": self.settings.route,
            "messages": [{"role": "user", "content": row.text}],
            "temperature": 0,
            "metadata": {"tag": self.settings.tag},
        });
        if let Some(user) = &row.user {
            body["user"] = user.as_str().into();
        }
        let key = request_key(&self.settings.tag, &row.row_id);
        let response = self.post("/v1/chat/completions", &body, Some(&key)).await?;
        if !response.status().is_success() {
            return Ok(Sent { answered: false, feedback: false });
        }
        let answer: ChatResponse = response.json().await.outside(|| "failed to read an answer of the server".into())?;
        let text = answer.choices.first().and_then(|choice| choice.message.content.clone()).unwrap_or_default();
        let feedback = self.gives_feedback(row).then_some(row.truth.as_deref()).flatten();
        if let Some(truth) = feedback {
            self.give(&answer.id, truth, &text).await?;
        }
        Ok(Sent { answered: true, feedback: feedback.is_some() })
    }

    /// The same people speak up however often and in whatever order the replay runs.
    fn gives_feedback(&self, row: &ReplayRow) -> bool {
        let digest = loopwright_types::Digest::of(request_key(&self.settings.tag, &row.row_id).as_bytes());
        let own = u64::from_str_radix(&digest.hex()[..16], 16).expect("sixteen hex digits make a u64");
        ChaCha8Rng::seed_from_u64(self.settings.seed ^ own).random_bool(self.settings.feedback_share)
    }

    async fn give(&self, trace: &str, truth: &str, answer: &str) -> Result<()> {
        let right = loopwright_eval::answer::parse(answer).ok().is_some_and(|label| label == truth);
        let body = match right {
            true => serde_json::json!({"trace_id": trace, "thumb_up": true}),
            false => serde_json::json!({"trace_id": trace, "thumb_up": false, "correction": truth}),
        };
        let response = self.post("/v1/feedback", &body, None).await?;
        let status = response.status();
        if status.is_success() {
            return Ok(());
        }
        let text = response.text().await.unwrap_or_default();
        Err(Error::outside(format!("feedback on trace `{trace}` was answered with {status}: {text}")))
    }

    /// Posts, waiting and trying again while the server is busy.
    async fn post(&self, path: &str, body: &serde_json::Value, key: Option<&str>) -> Result<reqwest::Response> {
        let url = format!("{}{path}", self.door.base_url);
        for attempt in 1..=TRIES_MAX {
            let mut request = self.client.post(&url).bearer_auth(&self.door.api_key).json(body);
            if let Some(key) = key {
                request = request.header("idempotency-key", key);
            }
            let busy = match request.send().await {
                Ok(response) if !matches!(response.status().as_u16(), 429 | 503) => return Ok(response),
                Ok(_) => None,
                Err(error) => Some(error),
            };
            if attempt == TRIES_MAX {
                let error = Error::outside(format!("`{url}` did not answer in {TRIES_MAX} tries"));
                return Err(busy.into_iter().fold(error, |error, cause| error.because(cause)));
            }
            tokio::time::sleep(Duration::from_millis(50 << attempt.min(6))).await;
        }
        Err(Error::bug("a bounded loop of tries ended without a result"))
    }
}
