//! What a route serves while its record asks for models that are not ready.

use loopwright_types::{deployment::Route, model::ModelRef};
use std::collections::BTreeSet;

/// How a route is served.
#[derive(Clone, Debug, PartialEq)]
pub enum Settled {
    /// As its record says.
    AsAsked(Route),
    /// As before: the record asks for a model that is not ready.
    Kept(Route),
    /// As its record says, without the variants whose models are not ready.
    Reduced(Route),
    /// Not at all: nothing it names is ready.
    Empty(Route),
}

impl Settled {
    /// The route to put in the table.
    pub fn into_route(self) -> Route {
        match self {
            Self::AsAsked(route) | Self::Kept(route) | Self::Reduced(route) | Self::Empty(route) => route,
        }
    }
}

/// Decides how to serve a route, given what is being served under its name and which models are ready.
///
/// A changed route takes effect whole or not at all: until every model it gives weight to is ready, the former one
/// stays. Only without a former one (after a start) does it begin with the variants that are ready.
pub fn settle(served: Option<&Route>, asked: &Route, ready: &BTreeSet<ModelRef>) -> Settled {
    let is_ready = |route: &Route| route.variants.iter().all(|v| v.weight_percent == 0 || ready.contains(&v.model));
    if is_ready(asked) {
        return Settled::AsAsked(asked.clone());
    }
    let mut reduced = asked.clone();
    reduced.variants.retain(|variant| ready.contains(&variant.model));
    if let Some(served) = served.filter(|route| !route.variants.is_empty() && **route != reduced && is_ready(route)) {
        return Settled::Kept(served.clone());
    }
    if reduced.variants.iter().all(|variant| variant.weight_percent == 0) {
        reduced.variants.clear();
        return Settled::Empty(reduced);
    }
    Settled::Reduced(reduced)
}

#[cfg(test)]
mod tests {
    use super::*;
    use loopwright_types::{Timestamp, deployment::Variant};

    fn route(variants: &[(u32, u32)]) -> Route {
        let variants = variants.iter().map(|(version, weight)| Variant {
            name: format!("v{version}"),
            model: ModelRef::new("m", *version),
            weight_percent: *weight,
        });
        Route { name: "support".into(), variants: variants.collect(), rollout: None, updated_at: Timestamp(0) }
    }

    fn check(served: Option<&[(u32, u32)]>, asked: &[(u32, u32)], ready: &[u32], expected: Settled) {
        let ready = ready.iter().map(|version| ModelRef::new("m", *version)).collect();
        assert_eq!(settle(served.map(route).as_ref(), &route(asked), &ready), expected);
    }

    #[test]
    fn a_change_takes_effect_whole_or_not_at_all() {
        let live: &[(u32, u32)] = &[(1, 100)];
        let canary: &[(u32, u32)] = &[(1, 80), (2, 20)];
        check(Some(live), canary, &[1, 2], Settled::AsAsked(route(canary)));
        check(Some(live), canary, &[1], Settled::Kept(route(live)));
        check(None, canary, &[1], Settled::Reduced(route(&[(1, 80)])));
        check(None, canary, &[], Settled::Empty(route(&[])));
    }

    #[test]
    fn settling_again_changes_nothing() {
        let canary: &[(u32, u32)] = &[(1, 80), (2, 20)];
        check(Some(&[(1, 80)]), canary, &[1], Settled::Reduced(route(&[(1, 80)])));
        check(Some(&[]), canary, &[], Settled::Empty(route(&[])));
    }

    #[test]
    fn a_withdrawn_model_is_not_kept() {
        check(Some(&[(1, 100)]), &[(2, 100)], &[], Settled::Empty(route(&[])));
        check(Some(&[(1, 50), (3, 50)]), &[(2, 50), (3, 50)], &[3], Settled::Reduced(route(&[(3, 50)])));
    }

    #[test]
    fn a_variant_without_weight_need_not_be_ready() {
        check(None, &[(1, 100), (2, 0)], &[1], Settled::AsAsked(route(&[(1, 100), (2, 0)])));
    }
}
