//! `GET /health`: up, and with which models. Answers as soon as the port is open; models load behind it.

use crate::{
    AppState,
    live::{Live, ModelStatus, RouteStatus},
};
use axum::{Json, extract::State};
use serde::Serialize;

/// What `/health` says.
#[derive(Debug, Serialize)]
pub struct Health {
    /// `ok`, or `degraded` if a model was refused or a route has none that is ready.
    pub status: &'static str,
    /// The program's version.
    pub version: &'static str,
    /// The models that routes ask for.
    pub models: Vec<ModelHealth>,
    /// The routes.
    pub routes: Vec<RouteHealth>,
}

/// One model version.
#[derive(Debug, Serialize)]
pub struct ModelHealth {
    /// `name@version`.
    pub model: String,
    /// Where it stands, with the reason if it was refused.
    #[serde(flatten)]
    pub status: ModelStatus,
}

/// One route as it is served.
#[derive(Debug, Serialize)]
pub struct RouteHealth {
    /// Its name.
    pub name: String,
    /// How closely it follows its record.
    pub state: RouteStatus,
    /// Who answers.
    pub variants: Vec<VariantHealth>,
}

/// One variant of a route.
#[derive(Debug, Serialize)]
pub struct VariantHealth {
    /// `live` or `canary`.
    pub name: String,
    /// `name@version`.
    pub model: String,
    /// Its share.
    pub weight_percent: u32,
}

/// `GET /health`.
pub async fn show(State(state): State<AppState>) -> Json<Health> {
    Json(health(&state.live()))
}

fn health(live: &Live) -> Health {
    let models =
        live.models.iter().map(|(model, status)| ModelHealth { model: model.to_string(), status: status.clone() });
    let routes = live.routes.routes().map(|route| RouteHealth {
        name: route.name.clone(),
        state: live.route_states.get(&route.name).copied().unwrap_or(RouteStatus::Empty),
        variants: route
            .variants
            .iter()
            .map(|variant| VariantHealth {
                name: variant.name.clone(),
                model: variant.model.to_string(),
                weight_percent: variant.weight_percent,
            })
            .collect(),
    });
    Health {
        status: if live.is_degraded() { "degraded" } else { "ok" },
        version: env!("CARGO_PKG_VERSION"),
        models: models.collect(),
        routes: routes.collect(),
    }
}
