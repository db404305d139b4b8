//! `GET /studies`, `GET /studies/{id}`

use crate::{
    AppState,
    auth::SignedIn,
    pages::{
        answer::{Page, PageError, PageResult},
        view::{shell::Section, studies},
    },
};
use axum::extract::{Path, State};
use loopwright_pipeline::{
    jobs::tune::StudyRecord,
    search::importance::{self, Importance},
};
use loopwright_store::ListQuery;

/// `GET /studies`
pub async fn list(_: SignedIn, State(state): State<AppState>) -> PageResult {
    let all: Vec<StudyRecord> = state.store().list(&ListQuery::default()).await?;
    Ok(Page(studies::studies(&all, state.store().now())))
}

/// `GET /studies/{id}`
pub async fn show(_: SignedIn, State(state): State<AppState>, Path(id): Path<String>) -> PageResult {
    let store = state.store();
    let Some(record) = store.get::<StudyRecord>(&id).await? else {
        return Err(PageError::Missing { section: Section::Studies, what: "study", id, list: ("/studies", "Studies") });
    };
    let study = record.study.clone();
    // A forest is grown for the importances.
    let importances = tokio::task::spawn_blocking(move || importance::importances(&study, 0)).await;
    let importances: Vec<Importance> = importances.ok().and_then(Result::ok).unwrap_or_default();
    Ok(Page(studies::study(&record, &importances, store.now())))
}
