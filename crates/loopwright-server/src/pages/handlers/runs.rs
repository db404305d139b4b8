//! `GET /runs`, `GET /runs/{id}`

use crate::{
    AppState,
    auth::SignedIn,
    pages::{
        answer::{Page, PageError, PageResult},
        view::{runs, shell::Section},
    },
};
use axum::extract::{Path, RawQuery, State};
use loopwright_store::ListQuery;
use loopwright_types::run::Run;

/// `GET /runs`
pub async fn list(_: SignedIn, State(state): State<AppState>) -> PageResult {
    let all: Vec<Run> = state.store().list(&ListQuery::default()).await?;
    Ok(Page(runs::runs(&all, state.store().now())))
}

/// Runs that are compared at most.
const COMPARED_MAX: usize = 8;

/// `GET /runs/compare?run=…&run=…`
pub async fn compare(_: SignedIn, State(state): State<AppState>, RawQuery(query): RawQuery) -> PageResult {
    let store = state.store();
    let all: Vec<Run> = store.list(&ListQuery::default()).await?;
    let query = query.unwrap_or_default();
    let pairs = url::form_urlencoded::parse(query.as_bytes());
    let wanted: Vec<String> =
        pairs.filter(|(name, _)| name == "run" || name == "runs").map(|(_, id)| id.into_owned()).collect();
    let mut compared = Vec::new();
    for run in all.iter().filter(|run| wanted.contains(&run.id.0)).take(COMPARED_MAX) {
        compared.push((run.clone(), store.run_metrics(&run.id, None).await?));
    }
    Ok(Page(runs::compare(&compared, &all)))
}

/// `GET /runs/{id}`
pub async fn show(_: SignedIn, State(state): State<AppState>, Path(id): Path<String>) -> PageResult {
    let store = state.store();
    let Some(run) = store.get::<Run>(&id).await? else {
        return Err(PageError::Missing { section: Section::Runs, what: "run", id, list: ("/runs", "Runs") });
    };
    let points = store.run_metrics(&run.id, None).await?;
    let samples = store.run_samples(&run.id).await?;
    Ok(Page(runs::run(&run, &points, &samples, store.now())))
}
