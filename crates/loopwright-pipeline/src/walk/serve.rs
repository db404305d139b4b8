//! Stages 6 and 7: the model behind its route, and a month of traffic over HTTP.

use super::{Walk, create::MONTH_2, turn};
use crate::{
    error::{Doing, Error, Result},
    jobs::{
        curate, customers, deploy,
        replay::{Door, ReplayRow, ReplaySettings, Replayed, replay},
        train,
    },
    runner::Marks,
};
use loopwright_store::{TableKey, TraceQuery};
use loopwright_types::{
    ModelRef, SourceRow, Split,
    id::{RowId, SubjectId},
    openai::ChatResponse,
    score::Interval,
};
use serde::{Deserialize, Serialize};
use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant},
};

/// Tag of the first month's replay.
pub(crate) const WATCH_1: &str = "month-1";
/// Share of answers that customers react to.
pub(crate) const FEEDBACK_SHARE: f64 = 0.6;
/// A model is loaded within this time.
const LOADED_WITHIN: Duration = Duration::from_secs(30);

/// The first answer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Served {
    /// The route.
    pub route: String,
    /// Who answers.
    pub model: ModelRef,
    /// The held-out row that was asked. Its text is not repeated here: a step's result outlives an erasure.
    pub row: RowId,
    /// What was answered.
    pub answer: String,
    /// From request to answer.
    pub latency_ms: f64,
    /// Events of the same answer as a stream.
    pub n_stream_events: u64,
}

pub(crate) async fn serve(walk: Walk, _: Marks) -> Result<Served> {
    let model = train::newest_adapter(&walk.ctx, &walk.it).await?.model;
    deploy::deploy(&walk.ctx, &walk.it, &model).await?;
    wait_until_ready(&walk.door, &model).await?;
    let dataset = curate::require_newest(&walk.ctx, &walk.it).await?.dataset;
    let rows = walk.ctx.store.tables().read_examples(&dataset, Some(Split::Test)).await?;
    let row = rows.into_iter().next().ok_or_else(|| Error::bug("the judged dataset has no test rows"))?;
    let began = Instant::now();
    let answer: ChatResponse =
        ask(&walk, &row.text, false).await?.json().await.outside(|| "failed to read the first answer".into())?;
    let latency_ms = began.elapsed().as_secs_f64() * 1000.0;
    let stream =
        ask(&walk, &row.text, true).await?.text().await.outside(|| "failed to read the streamed answer".into())?;
    let events: Vec<&str> = stream.lines().filter_map(|line| line.strip_prefix("data: ")).collect();
    if events.last() != Some(&"[DONE]") {
        return Err(Error::bug("the streamed answer does not end with `[DONE]`"));
    }
    let text = answer.choices.into_iter().next().and_then(|choice| choice.message.content).unwrap_or_default();
    Ok(Served {
        route: walk.it.name.clone(),
        model,
        row: row.row_id,
        answer: text,
        latency_ms,
        n_stream_events: events.len() as u64,
    })
}

async fn ask(walk: &Walk, question: &str, stream: bool) -> Result<reqwest::Response> {
    let body = serde_json::json!({
        "model": walk.it.name,
        "messages": [{"role": "user", "content": question}],
        "stream": stream,
    });
    let url = format!("{}/v1/chat/completions", walk.door.base_url);
    let client = reqwest::Client::builder().no_proxy().build().outside(|| "failed to make an HTTP client".into())?;
    let response = client.post(&url).bearer_auth(&walk.door.api_key).json(&body).send().await;
    let response = response.outside(|| format!("failed to ask `{url}`"))?;
    let status = response.status();
    if status.is_success() {
        return Ok(response);
    }
    Err(Error::outside(format!("`{url}` answered {status}: {}", response.text().await.unwrap_or_default())))
}

/// Waits until the server has verified and loaded a version.
pub(crate) async fn wait_until_ready(door: &Door, model: &ModelRef) -> Result<()> {
    let client = reqwest::Client::builder().no_proxy().build().outside(|| "failed to make an HTTP client".into())?;
    let url = format!("{}/health", door.base_url);
    let began = Instant::now();
    loop {
        let response = client.get(&url).send().await.outside(|| format!("failed to ask `{url}`"))?;
        let health: serde_json::Value = response.json().await.outside(|| format!("failed to read `{url}`"))?;
        let name = model.to_string();
        let list = |key: &str| health[key].as_array().cloned().unwrap_or_default();
        let is_served = list("routes")
            .iter()
            .any(|route| route["variants"].as_array().into_iter().flatten().any(|v| v["model"] == *name));
        let refused =
            list("models").into_iter().find(|status| status["model"] == *name && status["state"] == "refused");
        match refused {
            _ if is_served => return Ok(()),
            Some(status) => {
                let reason = status["reason"].as_str().unwrap_or("no reason given");
                return Err(Error::user(format!("the server refuses `{model}`: {reason}")));
            }
            _ if began.elapsed() > LOADED_WITHIN => {
                return Err(Error::outside(format!("`{model}` was not loaded within {} s", LOADED_WITHIN.as_secs())));
            }
            _ => tokio::time::sleep(Duration::from_millis(50)).await,
        }
    }
}

pub(crate) fn say_served(walk: &Walk, it: &Served) {
    walk.ctx.say(format!(
        "`{}` answers on route `{}`: {} in {:.0} ms, the same as a stream",
        it.model, it.route, it.answer, it.latency_ms
    ));
}

/// What a replay left behind.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Watched {
    /// Requests sent and feedback given, in the process that finished the stage.
    pub replayed: Replayed,
    /// Traces kept.
    pub n_traces: u64,
    /// Tokens in and out.
    pub n_tokens: u64,
    /// Median and 95th percentile of the latency in milliseconds.
    pub latency_ms: [f64; 2],
    /// Accuracy as feedback tells it.
    pub accuracy: Option<Interval>,
    /// Messages sent that held personal data of their author.
    pub n_with_personal_data: u64,
    /// Traces in which a string of its author is still readable: must be 0.
    pub n_leaks: u64,
}

pub(crate) async fn watch(walk: Walk, _: Marks) -> Result<Watched> {
    let dataset = curate::require_newest(&walk.ctx, &walk.it).await?.dataset;
    let test = walk.ctx.store.tables().read_examples(&dataset, Some(Split::Test)).await?;
    let ids: BTreeSet<String> = test.into_iter().map(|row| row.row_id.0).collect();
    let raw = walk.ctx.store.tables().read_source_rows(&TableKey::Raw { dataset: walk.it.name.clone() }).await?;
    let rows: Vec<SourceRow> = raw.into_iter().filter(|row| ids.contains(&row.row_id)).collect();
    replay_month(&walk, &rows, WATCH_1).await
}

/// Replays rows as their authors would send them, and looks at what was kept.
pub(crate) async fn replay_month(walk: &Walk, rows: &[SourceRow], tag: &str) -> Result<Watched> {
    let people = customers::all(&walk.ctx).await?;
    let names: BTreeMap<&SubjectId, &str> = people.iter().map(|s| (&s.id, s.external_id.as_str())).collect();
    let messages: Vec<ReplayRow> = rows
        .iter()
        .map(|row| ReplayRow {
            row_id: row.row_id.clone(),
            text: row.text.clone(),
            user: row.subject.as_ref().and_then(|id| names.get(id)).map(|name| name.to_string()),
            truth: row.label.clone(),
        })
        .collect();
    let settings = ReplaySettings {
        route: walk.it.name.clone(),
        tag: tag.to_string(),
        feedback_share: FEEDBACK_SHARE,
        seed: walk.ctx.seed_for("feedback"),
    };
    let replayed = replay(&walk.ctx, &walk.door, &messages, &settings).await?;
    turn::wait_for_traces(walk, tag, rows.len() as u64 - replayed.n_errors).await?;
    let identifiers = customers::identifiers(&walk.ctx).await?;
    let holds =
        |text: &str, strings: &[String]| strings.iter().any(|s| text.to_lowercase().contains(&s.to_lowercase()));
    let own =
        |subject: &Option<SubjectId>| subject.as_ref().and_then(|id| identifiers.get(id)).cloned().unwrap_or_default();
    let n_with_personal_data = rows.iter().filter(|row| holds(&row.text, &own(&row.subject))).count() as u64;
    let query = TraceQuery { tag: Some(tag.to_string()), limit: u32::MAX, ..Default::default() };
    let traces = walk.ctx.store.traces(&query).await?;
    let n_leaks = traces.iter().filter(|trace| holds(&trace.input, &own(&trace.subject))).count() as u64;
    let figures = turn::figures(walk, &traces, tag).await?;
    Ok(Watched { replayed, n_with_personal_data, n_leaks, ..figures })
}

pub(crate) fn say_watched(walk: &Walk, it: &Watched) {
    let accuracy = it.accuracy.map_or_else(|| "unknown".to_string(), |accuracy| accuracy.to_string());
    walk.ctx.say(format!(
        "{} requests answered over HTTP, p50 {:.1} ms, p95 {:.1} ms; accuracy by feedback {accuracy}",
        it.n_traces, it.latency_ms[0], it.latency_ms[1],
    ));
    walk.ctx.say(format!("{} messages named their author; {} traces still do", it.n_with_personal_data, it.n_leaks));
}

/// The later month's raw rows.
pub(crate) async fn later_rows(walk: &Walk) -> Result<Vec<SourceRow>> {
    crate::jobs::collect::read_rows(&walk.ctx, &walk.it.data, MONTH_2).await
}
