//! `GET /traces`, `GET /traces/{id}`

use crate::{
    AppState,
    auth::SignedIn,
    pages::{
        answer::{Page, PageError, PageResult},
        view::{
            pager::Slice,
            shell::Section,
            trace::{TracePage, trace},
            traces::{Filters, traces},
        },
    },
};
use axum::extract::{Path, Query, State};
use loopwright_store::{FeedbackQuery, ListQuery, Result, Store, TraceQuery};
use loopwright_types::{DatasetVersion, ModelRef, ModelVersion, deployment::Route, explain::Explanation, id::TraceId};
use serde::Deserialize;

/// Traces on a page of the list.
const PAGE_SIZE: u64 = 50;
/// Pieces of feedback shown under a trace.
const FEEDBACK_SHOWN: u32 = 200;

/// The list's query.
#[derive(Default, Deserialize)]
#[serde(default)]
pub struct Asked {
    route: String,
    variant: String,
    tag: String,
    text: String,
    page: Option<u64>,
}

/// `GET /traces`
pub async fn list(_: SignedIn, State(state): State<AppState>, Query(asked): Query<Asked>) -> PageResult {
    let store = state.store();
    let given = |text: &str| Some(text.to_string()).filter(|text| !text.is_empty());
    let mut query = TraceQuery {
        route: given(&asked.route),
        variant: given(&asked.variant),
        tag: given(&asked.tag),
        text_contains: given(&asked.text),
        limit: PAGE_SIZE as u32,
        ..TraceQuery::default()
    };
    let slice = Slice::new(asked.page, PAGE_SIZE, store.count_traces(&query).await?);
    query.offset = u32::try_from(slice.offset()).unwrap_or(u32::MAX);
    let found = store.traces(&query).await?;
    let routes: Vec<Route> = store.list(&ListQuery::default()).await?;
    let names: Vec<String> = routes.into_iter().map(|route| route.name).collect();
    let filters = Filters { route: asked.route, variant: asked.variant, tag: asked.tag, text: asked.text };
    Ok(Page(traces(&found, &filters, &names, slice, store.now())))
}

/// The query of one trace's page.
#[derive(Deserialize)]
pub struct After {
    stored: Option<String>,
}

/// `GET /traces/{id}`
pub async fn show(
    _: SignedIn,
    State(state): State<AppState>,
    Path(id): Path<String>,
    Query(after): Query<After>,
) -> PageResult {
    let store = state.store();
    let id = TraceId::new(id);
    let Some(found) = store.trace(&id).await? else { return Err(missing(id)) };
    let on_it = FeedbackQuery { trace: Some(id.clone()), limit: FEEDBACK_SHOWN, ..FeedbackQuery::default() };
    let mut explanations: Vec<Explanation> = store.list(&ListQuery::default()).await?;
    explanations.retain(|explanation| explanation.trace.as_ref() == Some(&id));
    let shown = TracePage {
        feedback: store.feedback(&on_it).await?,
        explanations,
        labels: labels(store, &found.model).await?,
        just_stored: after.stored.is_some(),
        trace: found,
    };
    Ok(Page(trace(&shown, store.now())))
}

/// There is no such trace.
pub fn missing(id: TraceId) -> PageError {
    PageError::Missing { section: Section::Traces, what: "trace", id: id.0, list: ("/traces", "Traces") }
}

/// The labels that the answering model learned.
async fn labels(store: &Store, model: &ModelRef) -> Result<Vec<String>> {
    let Some(version) = store.get::<ModelVersion>(&model.to_string()).await? else { return Ok(Vec::new()) };
    let Some(dataset) = version.dataset else { return Ok(Vec::new()) };
    let dataset = store.get::<DatasetVersion>(&dataset.to_string()).await?;
    Ok(dataset.map_or_else(Vec::new, |dataset| dataset.card.labels.into_keys().collect()))
}
