//! `GET /models`, `GET /models/{name@version}`, and `GET /evaluations/{id}`, which leads to its model.

use super::family;
use crate::{
    AppState,
    auth::SignedIn,
    pages::{
        answer::{Page, PageError, PageResult},
        view::{
            link,
            models::{Listed, ModelPage, model, models},
            shell::Section,
        },
    },
};
use axum::{
    extract::{Path, State},
    response::Redirect,
};
use loopwright_store::ListQuery;
use loopwright_types::{Entity as _, ModelRef, ModelVersion, deployment::Route, score::Evaluation};

const LIST: (&str, &str) = ("/models", "Models");

/// `GET /models`
pub async fn list(_: SignedIn, State(state): State<AppState>) -> PageResult {
    let store = state.store();
    let routes: Vec<Route> = store.list(&ListQuery::default()).await?;
    let evaluations: Vec<Evaluation> = store.list(&ListQuery::default()).await?;
    let versions: Vec<ModelVersion> = store.list(&ListQuery::default()).await?;
    let listed: Vec<Listed> = versions
        .into_iter()
        .map(|version| Listed {
            served: served(&routes, &version.model),
            evaluation: evaluations.iter().find(|evaluation| evaluation.model == version.model).cloned(),
            model: version,
        })
        .collect();
    Ok(Page(models(&listed, store.now())))
}

/// `GET /models/{name@version}`
pub async fn show(_: SignedIn, State(state): State<AppState>, Path(id): Path<String>) -> PageResult {
    let store = state.store();
    let Some(version) = store.get::<ModelVersion>(&id).await? else {
        return Err(PageError::Missing { section: Section::Models, what: "model version", id, list: LIST });
    };
    let routes: Vec<Route> = store.list(&ListQuery::default()).await?;
    let mut evaluations: Vec<Evaluation> = store.list(&ListQuery::default()).await?;
    evaluations.retain(|evaluation| evaluation.model == version.model);
    let shown = ModelPage {
        evaluations,
        package: store.get(&id).await?,
        served: served(&routes, &version.model),
        lineage: family::of(store, version.entity_ref()).await?,
        model: version,
    };
    Ok(Page(model(&shown, store.now())))
}

/// `GET /evaluations/{id}`
pub async fn evaluation(
    _: SignedIn,
    State(state): State<AppState>,
    Path(id): Path<String>,
) -> Result<Redirect, PageError> {
    let Some(found) = state.store().get::<Evaluation>(&id).await? else {
        return Err(PageError::Missing { section: Section::Models, what: "evaluation", id, list: LIST });
    };
    Ok(Redirect::to(&format!(
        "/models/{}#{}",
        link::segment(&found.model.to_string()),
        link::segment(found.id.as_str())
    )))
}

/// Routes that send requests to a version, each with the variant and its share.
fn served(routes: &[Route], model: &ModelRef) -> Vec<String> {
    let mut served = Vec::new();
    for route in routes {
        for variant in route.variants.iter().filter(|variant| variant.model == *model) {
            served.push(format!("{} ({}, {}%)", route.name, variant.name, variant.weight_percent));
        }
    }
    served
}
