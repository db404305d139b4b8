//! What is being served at this moment: one value, swapped whole when a record changes.

use loopwright_serve::{gateway::RouteTable, keys::KeyRing, prompts::PromptTable};
use loopwright_types::{deployment::Route, model::ModelRef};
use serde::Serialize;
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, PoisonError, RwLock},
};

/// Where a model version stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum ModelStatus {
    /// Being verified and read.
    Loading,
    /// Can answer.
    Ready,
    /// Will not be served.
    Refused {
        /// Why, in words.
        reason: String,
    },
}

/// How closely a route follows its record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum RouteStatus {
    /// Served as its record says.
    AsAsked,
    /// Still served as before: the record names a model that is not ready.
    Kept,
    /// Served without the variants whose models are not ready.
    Reduced,
    /// Not served: none of its models is ready.
    Empty,
}

/// Everything a request needs to know.
#[derive(Clone, Debug, Default)]
pub struct Live {
    /// The last event of the log whose effect is in force; `None` until the records were read once.
    pub as_of: Option<u64>,
    /// The routes as they are served.
    pub routes: RouteTable,
    /// How closely each follows its record.
    pub route_states: BTreeMap<String, RouteStatus>,
    /// The keys.
    pub keys: KeyRing,
    /// The prompt templates.
    pub prompts: PromptTable,
    /// The models that routes ask for.
    pub models: BTreeMap<ModelRef, ModelStatus>,
}

impl Live {
    /// The models that can answer.
    pub fn ready(&self) -> BTreeSet<ModelRef> {
        self.models
            .iter()
            .filter(|(_, status)| **status == ModelStatus::Ready)
            .map(|(model, _)| model.clone())
            .collect()
    }

    /// True if a model was refused or a route cannot be served although nothing is loading any more.
    pub fn is_degraded(&self) -> bool {
        let is_loading = self.models.values().any(|status| *status == ModelStatus::Loading);
        let is_refused = self.models.values().any(|status| matches!(status, ModelStatus::Refused { .. }));
        is_refused || (!is_loading && self.route_states.values().any(|state| *state == RouteStatus::Empty))
    }
}

/// The models that these routes ask for: those that answer most first.
pub fn wanted_models(routes: &[Route]) -> Vec<ModelRef> {
    let mut weights: BTreeMap<&ModelRef, u32> = BTreeMap::new();
    for variant in routes.iter().flat_map(|route| &route.variants) {
        let weight = weights.entry(&variant.model).or_default();
        *weight = (*weight).max(variant.weight_percent);
    }
    let mut wanted: Vec<(&ModelRef, u32)> = weights.into_iter().filter(|(_, weight)| *weight > 0).collect();
    wanted.sort_by_key(|(_, weight)| std::cmp::Reverse(*weight));
    wanted.into_iter().map(|(model, _)| model.clone()).collect()
}

/// The current [`Live`], read by every request and written by one reconciler.
#[derive(Debug, Default)]
pub struct LiveCell(RwLock<Arc<Live>>);

impl LiveCell {
    /// The current value.
    pub fn get(&self) -> Arc<Live> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Puts a new value in its place.
    pub fn set(&self, live: Live) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(live);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use loopwright_types::{Timestamp, deployment::Variant};

    fn route(name: &str, variants: &[(u32, u32)]) -> Route {
        let variants = variants.iter().map(|(version, weight)| Variant {
            name: format!("v{version}"),
            model: ModelRef::new("m", *version),
            weight_percent: *weight,
        });
        Route { name: name.into(), variants: variants.collect(), rollout: None, updated_at: Timestamp(0) }
    }

    #[test]
    fn models_are_wanted_once_and_the_busiest_first() {
        let routes = [route("a", &[(1, 20), (2, 80), (3, 0)]), route("b", &[(4, 100), (1, 90)])];
        let wanted: Vec<u32> = wanted_models(&routes).iter().map(|model| model.version).collect();
        assert_eq!(wanted, [4, 1, 2]);
    }

    #[test]
    fn refusal_and_emptiness_degrade_and_loading_does_not() {
        let mut live = Live::default();
        assert!(!live.is_degraded());
        live.route_states.insert("a".into(), RouteStatus::Empty);
        live.models.insert(ModelRef::new("m", 1), ModelStatus::Loading);
        assert!(!live.is_degraded());
        live.models.insert(ModelRef::new("m", 1), ModelStatus::Ready);
        assert!(live.is_degraded());
        live.route_states.clear();
        assert!(!live.is_degraded());
        live.models.insert(ModelRef::new("m", 1), ModelStatus::Refused { reason: "x".into() });
        assert!(live.is_degraded());
    }
}
