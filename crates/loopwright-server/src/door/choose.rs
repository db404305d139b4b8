//! Which request this is, and who answers it.

use crate::{AppState, settings::Stickiness};
use axum::http::HeaderMap;
use loopwright_serve::{
    Error,
    ask::Ask,
    gateway::{OWN, RouteTable, Sticky, Target},
};
use loopwright_types::{deployment::Variant, id::TraceId, model::ModelRef};

/// Who answers a request.
#[derive(Clone, Debug, PartialEq)]
pub struct Chosen {
    /// The route that serves it.
    pub route: String,
    /// Its variant.
    pub variant: Variant,
}

/// A client that sends an `idempotency-key` can tell its request's trace beforehand, and so find out after a crash which
/// requests were answered. A key that has its trace already gets a fresh id: no request can hide behind another.
pub(super) async fn trace_id(state: &AppState, headers: &HeaderMap) -> TraceId {
    let fresh = || TraceId::new(state.store().new_id("trace"));
    let Some(key) = headers.get("idempotency-key").and_then(|key| key.to_str().ok()) else { return fresh() };
    let id = TraceId::from_request_key(key);
    match state.store().trace(&id).await {
        Ok(None) => id,
        Ok(Some(_)) | Err(_) => fresh(),
    }
}

/// The variant that answers this request, if a model of ours does.
pub(super) fn own(state: &AppState, ask: &Ask, id: &TraceId) -> Result<Chosen, Error> {
    let sticky = state.gateway().policy(&ask.route).sticky;
    let key = match (state.settings().stickiness, sticky) {
        (Stickiness::User, _) | (_, Sticky::User) => ask.user.as_deref(),
        (_, Sticky::Session) => ask.session.as_deref(),
        (Stickiness::Request, Sticky::None) => None,
    };
    named(&state.live().routes, &ask.route, key.unwrap_or(id.as_str()))
}

/// Who stands for a request until it is answered: our variant, or the first target of a route that providers answer.
pub(super) fn choose(state: &AppState, ask: &Ask, id: &TraceId) -> Result<Chosen, Error> {
    let gateway = state.gateway();
    match own(state, ask, id) {
        Ok(chosen) => Ok(chosen),
        Err(_) if gateway.has_provider(&ask.route) => Ok(hosted(state, &ask.route)),
        Err(Error::RouteNotFound { name, mut available }) => {
            available.extend(provider_routes(state));
            available.sort();
            available.dedup();
            Err(Error::RouteNotFound { name, available })
        }
        Err(error) => Err(error),
    }
}

/// The first target of a route that providers answer.
pub(super) fn hosted(state: &AppState, route: &str) -> Chosen {
    let first = state.gateway().policy(route).variants.first().map(|it| variant(&it.name(), &it.target()));
    Chosen { route: route.to_owned(), variant: first.unwrap_or_else(|| variant("", &Target::Own)) }
}

/// A target as the variant that traces name.
pub(super) fn variant(name: &str, target: &Target) -> Variant {
    let model = match target {
        Target::Own => ModelRef::of_provider(OWN, "none"),
        Target::Provider { provider, model } => ModelRef::of_provider(provider, model),
    };
    Variant { name: name.into(), model, weight_percent: 0 }
}

/// The routes that providers answer.
pub(crate) fn provider_routes(state: &AppState) -> Vec<String> {
    let gateway = state.gateway();
    let names = gateway.routes().map(|(name, _)| name);
    names.filter(|name| gateway.has_provider(name)).map(str::to_string).collect()
}

/// A client names a route; or, as `name@version`, a model version that some route gives traffic to.
pub(crate) fn named(routes: &RouteTable, name: &str, key: &str) -> Result<Chosen, Error> {
    match routes.choose(name, key) {
        Ok(variant) => Ok(Chosen { route: name.to_owned(), variant: variant.clone() }),
        Err(error @ Error::RouteNotFound { .. }) => version(routes, name).ok_or(error),
        Err(error) => Err(error),
    }
}

fn version(routes: &RouteTable, name: &str) -> Option<Chosen> {
    let model: ModelRef = name.parse().ok()?;
    routes.routes().find_map(|route| {
        let serves = |variant: &&Variant| variant.model == model && variant.weight_percent > 0;
        let variant = route.variants.iter().find(serves)?;
        Some(Chosen { route: route.name.clone(), variant: variant.clone() })
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use loopwright_types::{Timestamp, deployment::Route};

    #[test]
    fn a_version_is_found_where_a_route_gives_it_traffic() {
        let variant = |name: &str, version, weight_percent| Variant {
            name: name.into(),
            model: ModelRef::new("desk", version),
            weight_percent,
        };
        let variants = vec![variant("live", 1, 80), variant("canary", 2, 20), variant("old", 3, 0)];
        let routes =
            RouteTable::new([Route { name: "support".into(), variants, rollout: None, updated_at: Timestamp(0) }]);
        let chosen = named(&routes, "desk@2", "any").unwrap();
        assert_eq!((chosen.route.as_str(), chosen.variant.name.as_str()), ("support", "canary"));
        assert_eq!(named(&routes, "support", "any").unwrap().route, "support");
        for missing in ["desk@3", "desk@9", "desk", "other@1"] {
            assert_eq!(named(&routes, missing, "any").unwrap_err().code(), "model_not_found", "{missing}");
        }
    }
}
