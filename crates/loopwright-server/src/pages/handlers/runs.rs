//! `GET /runs`, `GET /runs/{id}`

use crate::{
    AppState,
    auth::SignedIn,
    pages::{
        answer::{Page, PageError, PageResult},
        view::{runs, shell::Section},
    },
};
use axum::extract::{Path, State};
use loopwright_store::ListQuery;
use loopwright_types::run::Run;

/// `GET /runs`
pub async fn list(_: SignedIn, State(state): State<AppState>) -> PageResult {
    let all: Vec<Run> = state.store().list(&ListQuery::default()).await?;
    Ok(Page(runs::runs(&all, state.store().now())))
}

/// `GET /runs/{id}`
pub async fn show(_: SignedIn, State(state): State<AppState>, Path(id): Path<String>) -> PageResult {
    let store = state.store();
    let Some(run) = store.get::<Run>(&id).await? else {
        return Err(PageError::Missing { section: Section::Runs, what: "run", id, list: ("/runs", "Runs") });
    };
    let points = store.run_metrics(&run.id, None).await?;
    Ok(Page(runs::run(&run, &points, store.now())))
}
