//! `GET /`

use crate::{
    AppState,
    auth::SignedIn,
    pages::{
        answer::{Page, PageResult},
        view::{
            home::{LoopState, Traffic, home, p95},
            moment, sentence,
        },
    },
};
use axum::extract::{Query, State};
use loopwright_store::{FeedbackQuery, ListQuery, Result, Store, TraceQuery};
use loopwright_types::{
    DatasetVersion, Entity, ModelRef, ModelVersion, Timestamp,
    deployment::{LIVE, Route},
    drift::DriftCheck,
    event::Event,
    job::JobState,
    run::Run,
    score::Evaluation,
};
use serde::Deserialize;

/// Newest requests that the percentile rests on.
const MEASURED_MAX: u32 = 1000;
/// Pieces of feedback that are counted.
const FEEDBACK_MAX: u32 = 10_000;
/// Events shown; events read at a time, and how often, to find as many that are news.
const EVENTS_SHOWN: usize = 12;
const EVENTS_READ: u32 = 500;
const READS_MAX: u32 = 4;
/// Evaluations looked through for the live model's.
const EVALUATIONS_MAX: u32 = 200;
/// Open jobs that are counted.
const JOBS_MAX: u32 = 1000;

/// The page's query.
#[derive(Deserialize)]
pub struct Asked {
    follow: Option<String>,
}

/// `GET /`
pub async fn show(_: SignedIn, State(state): State<AppState>, Query(asked): Query<Asked>) -> PageResult {
    let store = state.store();
    let now = store.now();
    let mut loop_state = read(store, now).await?;
    loop_state.refused = super::routes::refused(&state);
    Ok(Page(home(&loop_state, asked.follow.is_some(), now)))
}

async fn read(store: &Store, now: Timestamp) -> Result<LoopState> {
    let routes: Vec<Route> = store.list(&ListQuery::default()).await?;
    let route = routes.into_iter().max_by_key(|route| route.updated_at);
    let model = model(store, route.as_ref()).await?;
    let id = model.as_ref().map(|it| it.model.clone());
    let all = FeedbackQuery { limit: FEEDBACK_MAX, ..FeedbackQuery::default() };
    let feedback = store.feedback(&all).await?;
    let n_open_jobs = store.jobs(Some(JobState::Queued), JOBS_MAX).await?.len()
        + store.jobs(Some(JobState::Leased), JOBS_MAX).await?.len();
    Ok(LoopState {
        dataset: newest::<DatasetVersion>(store).await?,
        run: newest::<Run>(store).await?,
        evaluation: match &id {
            Some(id) => evaluation(store, id).await?,
            None => None,
        },
        package: match &id {
            Some(id) => store.get(&id.to_string()).await?,
            None => None,
        },
        model,
        route,
        traffic: traffic(store, now).await?,
        n_feedback: feedback.len() as u64,
        n_corrections: feedback.iter().filter(|it| it.correction.is_some()).count() as u64,
        drift: newest::<DriftCheck>(store).await?,
        n_open_jobs: n_open_jobs as u64,
        refused: Vec::new(),
        events: news(store).await?,
    })
}

async fn newest<E: Entity>(store: &Store) -> Result<Option<E>> {
    Ok(store.list(&ListQuery { limit: 1, ..ListQuery::default() }).await?.pop())
}

/// The model that answers by default, or else the newest.
async fn model(store: &Store, route: Option<&Route>) -> Result<Option<ModelVersion>> {
    let live = route.and_then(|route| route.variants.iter().find(|variant| variant.name == LIVE));
    match live {
        Some(variant) => store.get(&variant.model.to_string()).await,
        None => newest(store).await,
    }
}

async fn evaluation(store: &Store, model: &ModelRef) -> Result<Option<Evaluation>> {
    let all: Vec<Evaluation> = store.list(&ListQuery { limit: EVALUATIONS_MAX, ..ListQuery::default() }).await?;
    Ok(all.into_iter().find(|evaluation| evaluation.model == *model))
}

async fn traffic(store: &Store, now: Timestamp) -> Result<Traffic> {
    let today = TraceQuery { since: Some(moment::day_start(now)), limit: MEASURED_MAX, ..TraceQuery::default() };
    let measured: Vec<f64> = store.traces(&today).await?.into_iter().map(|trace| trace.latency_ms).collect();
    Ok(Traffic {
        n_today: store.count_traces(&today).await?,
        n_total: store.count_traces(&TraceQuery::default()).await?,
        p95_ms: p95(measured),
    })
}

/// The last events worth telling, newest first.
async fn news(store: &Store) -> Result<Vec<Event>> {
    let mut news = Vec::new();
    let mut last = store.data_version().await?;
    for _ in 0..READS_MAX {
        let first = last.saturating_sub(u64::from(EVENTS_READ));
        let events = store.events(first, (last - first) as u32).await?;
        news.extend(events.into_iter().rev().filter(sentence::is_news));
        if news.len() >= EVENTS_SHOWN || first == 0 {
            break;
        }
        last = first;
    }
    news.truncate(EVENTS_SHOWN);
    Ok(news)
}
