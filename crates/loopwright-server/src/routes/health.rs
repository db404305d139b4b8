//! `GET /health`: up, and with which models. Answers as soon as the port is open; models load behind it.

use crate::{
    AppState,
    door::provider_routes,
    live::{Live, ModelStatus, RouteStatus},
};
use axum::{Json, extract::State};
use loopwright_serve::gateway::{Gateway, Part, TargetView};
use serde::Serialize;

/// What `/health` says.
#[derive(Debug, Serialize)]
pub struct Health {
    /// `ok`, or `degraded` if a model was refused, a route has none that is ready, or traces were lost.
    pub status: &'static str,
    /// The program's version.
    pub version: &'static str,
    /// The models that routes ask for.
    pub models: Vec<ModelHealth>,
    /// The routes.
    pub routes: Vec<RouteHealth>,
    /// The way from answers to their traces.
    pub traces: TracesHealth,
}

/// The way from answers to their traces.
#[derive(Debug, Serialize)]
pub struct TracesHealth {
    /// Traces lost since the start; each loss is told in the event log as well.
    pub n_dropped: u64,
    /// Bytes in the journal that the database does not have yet.
    pub journal_bytes: u64,
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
    let live = state.live();
    let traces = TracesHealth { n_dropped: state.sink().n_dropped(), journal_bytes: state.sink().n_journal_bytes() };
    let mut health = health(&live, traces);
    let gateway = state.gateway();
    let hosted = provider_routes(&state).into_iter().filter(|name| live.routes.get(name).is_none());
    health.routes.extend(hosted.map(|name| hosted_route(&gateway, name)));
    Json(health)
}

/// A route that providers answer: it needs no model to be ready.
fn hosted_route(gateway: &Gateway, name: String) -> RouteHealth {
    let variant = |view: TargetView| match view.part {
        Part::Variant { weight, of } => {
            let weight_percent = (f64::from(weight) * 100.0 / f64::from(of.max(1))).round() as u32;
            Some(VariantHealth { name: view.name, model: view.target.to_string(), weight_percent })
        }
        Part::Fallback | Part::Shadow { .. } => None,
    };
    let variants = gateway.view(&name).into_iter().filter_map(variant).collect();
    RouteHealth { name, state: RouteStatus::AsAsked, variants }
}

fn health(live: &Live, traces: TracesHealth) -> Health {
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
        // Lost traces are no passing trouble: somebody has to look.
        status: if live.is_degraded() || traces.n_dropped > 0 { "degraded" } else { "ok" },
        version: env!("CARGO_PKG_VERSION"),
        models: models.collect(),
        routes: routes.collect(),
        traces,
    }
}
