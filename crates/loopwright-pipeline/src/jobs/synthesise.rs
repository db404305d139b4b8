//! Synthetic rows: a language model behind an OpenAI-compatible endpoint says in other words what a row says.
//!
//! Each request shows one train row, masked as it stands in its version, with its label, and asks for one new message as
//! JSON. Nothing else of the project leaves it. What comes back is checked like every new row, and read by a classifier
//! besides, since a model may miss the label.

use crate::{
    context::Context,
    error::{Doing, Error, Result},
};
use futures::{StreamExt, TryStreamExt, stream};
use loopwright_data::{
    augment::{Parent, Synthetic, check::STEP, enlarge::Made},
    clean::{repair, whitespace},
};
use loopwright_types::{dataset::DroppedRow, id::RowId};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

/// The generator's name.
pub const GENERATOR: &str = "synthetic";
/// Rows that may be asked for at once.
const ROWS_MAX: usize = 100_000;
/// Requests under way at once.
const CONCURRENCY: usize = 4;
/// Tries per request while the endpoint is busy.
const TRIES_MAX: u32 = 5;
/// Longest wait for an answer.
const TIMEOUT: Duration = Duration::from_secs(120);
/// Longest answer, in tokens.
const ANSWER_TOKENS_MAX: u32 = 300;
/// What is shown of an answer that refuses a request, in characters.
const REFUSAL_CHARS: usize = 200;

/// How many rows are asked for, and of whom.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Synthesis {
    /// Rows asked for.
    pub n_rows: usize,
    /// The endpoint, e.g. `http://127.0.0.1:8700/v1`.
    pub base_url: String,
    /// The model or route.
    pub model: String,
    /// Sent as the bearer; kept nowhere.
    #[serde(skip)]
    pub api_key: Option<String>,
}

impl Synthesis {
    /// Where requests go. Fails on what this program cannot reach.
    fn url(&self) -> Result<String> {
        let base = self.base_url.trim_end_matches('/');
        if !base.starts_with("http://") && !base.starts_with("https://") {
            return Err(Error::user(format!("`{base}` cannot be asked: it is no address of an HTTP server"))
                .hint("name an endpoint that begins with `https://` or `http://`, such as that of `loopwright up`"));
        }
        let base = base.strip_suffix("/v1").unwrap_or(base);
        Ok(format!("{base}/v1/chat/completions"))
    }

    pub(super) fn check(&self) -> Result<()> {
        if !(1..=ROWS_MAX).contains(&self.n_rows) {
            return Err(Error::user(format!("{} synthetic rows cannot be asked for", self.n_rows))
                .hint(format!("ask for 1 to {ROWS_MAX}")));
        }
        self.url().map(|_| ())
    }
}

/// Asks for rows, in turn for each parent. Answers that are no row are in the books of what comes back.
pub(super) async fn write(ctx: &Context, parents: &[Parent<'_>], asked: &Synthesis) -> Result<Made> {
    let client = reqwest::Client::builder()
        .timeout(TIMEOUT)
        .no_proxy()
        .build()
        .outside(|| "failed to make an HTTP client".into())?;
    let endpoint = Endpoint { client, url: asked.url()?, asked };
    let n_done = AtomicU64::new(0);
    let total = asked.n_rows as u64;
    let n_parents = parents.len().max(1);
    let parents = parents.iter().cycle().take(if parents.is_empty() { 0 } else { asked.n_rows });
    let answers: Vec<(Parent<'_>, String)> = stream::iter(parents.enumerate())
        .map(|(index, parent)| {
            let (endpoint, n_done) = (&endpoint, &n_done);
            async move {
                let answer = endpoint.ask(parent, index).await?;
                let n_done = n_done.fetch_add(1, Ordering::Relaxed) + 1;
                ctx.progress("asking for rows", n_done, total, String::new());
                Ok::<_, Error>((*parent, answer))
            }
        })
        .buffered(CONCURRENCY)
        .try_collect()
        .await?;
    Ok(gathered(&answers, n_parents))
}

/// Answers as rows; each parent's turn comes again after all others.
fn gathered(answers: &[(Parent<'_>, String)], n_parents: usize) -> Made {
    let mut made = Made { doubted: [GENERATOR.to_string()].into(), ..Made::default() };
    for (index, (parent, answer)) in answers.iter().enumerate() {
        let number = 1 + index / n_parents;
        match read(answer, parent.label) {
            Ok(text) => made.rows.push(Synthetic::new(parent, GENERATOR, number, text)),
            Err((class, reason)) => {
                let counts = made.counts.entry(GENERATOR.to_string()).or_default();
                *counts.entry(class.to_string()).or_default() += 1;
                made.dropped.push(DroppedRow {
                    row_id: RowId(format!("{}~{GENERATOR}-{number}", parent.row_id)),
                    step: STEP.to_string(),
                    reason,
                    subject: parent.subject.cloned(),
                });
            }
        }
    }
    made
}

/// What a model is asked to answer.
#[derive(Deserialize)]
struct Answer {
    text: String,
    label: Option<String>,
}

/// The text of an answer, or a reason class and the reason why it is no row.
fn read(answer: &str, label: &str) -> Result<String, (&'static str, String)> {
    // Models like to talk around their JSON, or fence it.
    let from = answer.find('{').unwrap_or(0);
    let to = answer.rfind('}').map_or(answer.len(), |at| at + 1);
    let json = answer.get(from..to).unwrap_or_default();
    let Ok(read) = serde_json::from_str::<Answer>(json) else {
        return Err(("unreadable", "the answer is not the JSON that was asked for".to_string()));
    };
    if let Some(other) = read.label.filter(|other| other != label) {
        return Err(("label", format!("made for `{label}` but says that it is `{other}`")));
    }
    Ok(whitespace::normalise(&repair::repair(&read.text)))
}

struct Endpoint<'a> {
    client: reqwest::Client,
    url: String,
    asked: &'a Synthesis,
}

impl Endpoint<'_> {
    async fn ask(&self, parent: &Parent<'_>, index: usize) -> Result<String> {
        let body = json!({
            "model": self.asked.model,
            "messages": messages(parent),
            "temperature": 0.9,
            "seed": index,
            "max_tokens": ANSWER_TOKENS_MAX,
        });
        let response = self.post(&body).await?;
        let status = response.status();
        let text = response.text().await.outside(|| format!("failed to read an answer of `{}`", self.url))?;
        if !status.is_success() {
            let text: String = text.chars().take(REFUSAL_CHARS).collect();
            return Err(Error::outside(format!("`{}` answered with {status}: {text}", self.url))
                .hint("the key is read from `OPENAI_API_KEY`; `loopwright key make` makes one for your own server, `loopwright routes` lists its routes"));
        }
        let answer: Value =
            serde_json::from_str(&text).outside(|| format!("`{}` does not answer as a chat endpoint", self.url))?;
        Ok(answer["choices"][0]["message"]["content"].as_str().unwrap_or_default().to_string())
    }

    /// Posts, waiting and trying again while the endpoint is busy.
    async fn post(&self, body: &Value) -> Result<reqwest::Response> {
        let mut attempt = 1;
        loop {
            let mut request = self.client.post(&self.url).json(body);
            if let Some(key) = &self.asked.api_key {
                request = request.bearer_auth(key);
            }
            let response = request.send().await.map_err(|error| {
                Error::outside(format!("failed to ask `{}`", self.url))
                    .because(error)
                    .hint("is it up? `loopwright up` serves this project's routes")
            })?;
            if attempt == TRIES_MAX || !matches!(response.status().as_u16(), 429 | 503) {
                return Ok(response);
            }
            tokio::time::sleep(Duration::from_millis(100 << attempt)).await;
            attempt += 1;
        }
    }
}

fn messages(parent: &Parent<'_>) -> Value {
    let system = "You write example messages for a text classifier. Answer with one JSON object and nothing else: \
                  {\"text\": \"the message\", \"label\": \"its label\"}. Names, addresses and numbers of people never \
                  stand in a message; marks such as <EMAIL> stand for them.";
    let user = format!(
        "Write one new message with the label `{}`. It says what this one says, in other words, as another person would \
         write it:\n\n{}",
        parent.label, parent.text
    );
    json!([{"role": "system", "content": system}, {"role": "user", "content": user}])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_read_with_talk_around_them() {
        let class = |answer: &str| read(answer, "late").map_err(|(class, _)| class);
        for answer in [
            "{\"text\": \"where  is it\"}",
            "Sure:\n```json\n{\"text\": \"where is it\", \"label\": \"late\"}\n```",
            "{\"label\":\"late\",\"text\":\"where is it\",\"more\":1}",
        ] {
            assert_eq!(class(answer), Ok("where is it".to_string()), "{answer}");
        }
        for answer in ["", "}{", "where is it", "{\"text\": 3}", "{\"text\": \"where is it\"", "{\"txt\": \"a\"}", "é}"]
        {
            assert_eq!(class(answer), Err("unreadable"), "{answer}");
        }
        assert_eq!(class("{\"text\": \"a\", \"label\": \"early\"}"), Err("label"));
    }

    #[test]
    fn only_http_is_asked() {
        let url = |base: &str| {
            let base_url = base.to_string();
            Synthesis { n_rows: 1, base_url, model: String::new(), api_key: None }.url().ok()
        };
        let expected = Some("http://a:1/v1/chat/completions".to_string());
        for base in ["http://a:1", "http://a:1/", "http://a:1/v1", "http://a:1/v1/"] {
            assert_eq!(url(base), expected, "{base}");
        }
        assert_eq!(url("https://a/v1").as_deref(), Some("https://a/v1/chat/completions"));
        assert_eq!((url("ftp://a/v1"), url("a:1")), (None, None));
    }
}
