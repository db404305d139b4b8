//! `GET /routes`, `GET /routes/{name}`

use crate::{
    AppState,
    auth::SignedIn,
    door::provider_routes,
    live::ModelStatus,
    pages::{
        answer::{Page, PageError, PageResult},
        view::{
            routes::{self, Hosted, Refused},
            shell::Section,
            targets,
        },
    },
};
use axum::extract::{Path, State};
use loopwright_store::ListQuery;
use loopwright_types::{ModelRef, deployment::Route};
use maud::{Markup, html};

/// `GET /routes`
pub async fn list(_: SignedIn, State(state): State<AppState>) -> PageResult {
    let all: Vec<Route> = state.store().list(&ListQuery::default()).await?;
    let gateway = state.gateway();
    let is_hosted = |name: &String| all.iter().all(|route| route.name != *name);
    let hosted = provider_routes(&state).into_iter().filter(is_hosted).map(|name| {
        let targets: Vec<String> = gateway.view(&name).iter().map(|it| targets::who(&it.target)).collect();
        Hosted { targets: targets.join(", "), name }
    });
    Ok(Page(routes::routes(&all, &hosted.collect::<Vec<_>>(), state.store().now())))
}

/// `GET /routes/{name}`
pub async fn show(_: SignedIn, State(state): State<AppState>, Path(id): Path<String>) -> PageResult {
    let live = live(&state, &id);
    let Some(route) = state.store().get::<Route>(&id).await? else {
        if state.gateway().has_provider(&id) {
            return Ok(Page(routes::hosted(&id, &live)));
        }
        return Err(PageError::Missing { section: Section::Routes, what: "route", id, list: ("/routes", "Routes") });
    };
    Ok(Page(routes::route(&route, &refused(&state), &live, state.store().now())))
}

/// A route's targets and traffic at this moment.
fn live(state: &AppState, route: &str) -> Markup {
    let (views, series) = (state.gateway().view(route), state.traffic().summary());
    html! { (targets::targets(&views)) (targets::traffic(route, &series)) }
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
