//! `GET /routes`, `GET /routes/{name}`

use crate::{
    AppState,
    auth::SignedIn,
    pages::{
        answer::{Page, PageError, PageResult},
        view::{routes, shell::Section},
    },
};
use axum::extract::{Path, State};
use loopwright_store::ListQuery;
use loopwright_types::deployment::Route;

/// `GET /routes`
pub async fn list(_: SignedIn, State(state): State<AppState>) -> PageResult {
    let all: Vec<Route> = state.store().list(&ListQuery::default()).await?;
    Ok(Page(routes::routes(&all, state.store().now())))
}

/// `GET /routes/{name}`
pub async fn show(_: SignedIn, State(state): State<AppState>, Path(id): Path<String>) -> PageResult {
    let Some(route) = state.store().get::<Route>(&id).await? else {
        return Err(PageError::Missing { section: Section::Routes, what: "route", id, list: ("/routes", "Routes") });
    };
    Ok(Page(routes::route(&route, state.store().now())))
}
