//! `GET /v1/models`: the routes, under the name that OpenAI's clients know them by.

use crate::{AppState, auth::Caller, door::provider_routes, errors::ApiResult};
use axum::{
    Json,
    extract::{Path, State},
};
use loopwright_serve::Error;
use loopwright_types::deployment::Route;
use serde::Serialize;

/// A list, as OpenAI writes them.
#[derive(Debug, Serialize)]
pub struct ModelList {
    /// `list`.
    pub object: &'static str,
    /// The routes.
    pub data: Vec<ModelEntry>,
}

/// A route, as OpenAI writes models.
#[derive(Debug, Serialize)]
pub struct ModelEntry {
    /// The route's name.
    pub id: String,
    /// `model`.
    pub object: &'static str,
    /// Unix seconds of its last change.
    pub created: i64,
    /// `loopwright`.
    pub owned_by: &'static str,
}

impl From<&Route> for ModelEntry {
    fn from(route: &Route) -> Self {
        let created = route.updated_at.millis().div_euclid(1000);
        Self { id: route.name.clone(), object: "model", created, owned_by: "loopwright" }
    }
}

impl ModelEntry {
    /// A route that providers answer, which has no record of a change.
    fn of_providers(name: String) -> Self {
        Self { id: name, object: "model", created: 0, owned_by: "loopwright" }
    }
}

/// `GET /v1/models`.
pub async fn list(_: Caller, State(state): State<AppState>) -> Json<ModelList> {
    let live = state.live();
    let others = provider_routes(&state).into_iter().filter(|name| live.routes.get(name).is_none());
    let mut data: Vec<ModelEntry> =
        live.routes.routes().map(ModelEntry::from).chain(others.map(ModelEntry::of_providers)).collect();
    data.sort_by(|a, b| a.id.cmp(&b.id));
    Json(ModelList { object: "list", data })
}

/// `GET /v1/models/{name}`.
pub async fn show(_: Caller, State(state): State<AppState>, Path(name): Path<String>) -> ApiResult<Json<ModelEntry>> {
    let live = state.live();
    match live.routes.get(&name) {
        Some(route) => Ok(Json(route.into())),
        None if state.gateway().has_provider(&name) => Ok(Json(ModelEntry::of_providers(name))),
        None => {
            let mut available: Vec<String> = live.routes.routes().map(|route| route.name.clone()).collect();
            available.extend(provider_routes(&state));
            Err(Error::RouteNotFound { name, available }.into())
        }
    }
}
