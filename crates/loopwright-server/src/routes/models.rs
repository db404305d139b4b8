//! `GET /v1/models`: the routes, under the name that OpenAI's clients know them by.

use crate::{AppState, auth::Caller, errors::ApiResult};
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

/// `GET /v1/models`.
pub async fn list(_: Caller, State(state): State<AppState>) -> Json<ModelList> {
    Json(ModelList { object: "list", data: state.live().routes.routes().map(ModelEntry::from).collect() })
}

/// `GET /v1/models/{name}`.
pub async fn show(_: Caller, State(state): State<AppState>, Path(name): Path<String>) -> ApiResult<Json<ModelEntry>> {
    let live = state.live();
    match live.routes.get(&name) {
        Some(route) => Ok(Json(route.into())),
        None => {
            let available = live.routes.routes().map(|route| route.name.clone()).collect();
            Err(Error::RouteNotFound { name, available }.into())
        }
    }
}
