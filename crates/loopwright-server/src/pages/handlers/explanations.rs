//! `GET /explanations`, `GET /explanations/{id}`

use crate::{
    AppState,
    auth::SignedIn,
    pages::{
        answer::{Page, PageError, PageResult},
        view::{explanation, shell::Section},
    },
};
use axum::extract::{Path, State};
use loopwright_store::ListQuery;
use loopwright_types::explain::Explanation;

/// `GET /explanations`
pub async fn list(_: SignedIn, State(state): State<AppState>) -> PageResult {
    let all: Vec<Explanation> = state.store().list(&ListQuery::default()).await?;
    Ok(Page(explanation::explanations(&all, state.store().now())))
}

/// `GET /explanations/{id}`
pub async fn show(_: SignedIn, State(state): State<AppState>, Path(id): Path<String>) -> PageResult {
    let Some(found) = state.store().get::<Explanation>(&id).await? else {
        let list = ("/explanations", "Explanations");
        return Err(PageError::Missing { section: Section::Traces, what: "explanation", id, list });
    };
    Ok(Page(explanation::explanation(&found, state.store().now())))
}
