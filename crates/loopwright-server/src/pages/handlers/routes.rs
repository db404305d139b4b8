//! `GET /routes`, `GET /routes/{name}`

use crate::{
    AppState,
    auth::SignedIn,
    live::ModelStatus,
    pages::{
        answer::{Page, PageError, PageResult},
        view::{
            routes::{self, Refused},
            shell::Section,
        },
    },
};
use axum::extract::{Path, State};
use loopwright_store::ListQuery;
use loopwright_types::{ModelRef, deployment::Route};

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
    Ok(Page(routes::route(&route, &refused(&state), state.store().now())))
}

/// The models that the server will not serve.
pub fn refused(state: &AppState) -> Vec<Refused> {
    let live = state.live();
    let reason = |(model, status): (&ModelRef, &ModelStatus)| match status {
        ModelStatus::Refused { reason } => Some(Refused { model: model.clone(), reason: reason.clone() }),
        ModelStatus::Loading | ModelStatus::Ready => None,
    };
    live.models.iter().filter_map(reason).collect()
}
