//! Which variant of a route answers a request.

use crate::{Error, Result};
use loopwright_types::{
    Digest,
    deployment::{Route, Variant},
};
use std::collections::BTreeMap;

/// The routes that are being served.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RouteTable {
    routes: BTreeMap<String, Route>,
}

impl RouteTable {
    /// A table of these routes. A later one of the same name wins.
    pub fn new(routes: impl IntoIterator<Item = Route>) -> Self {
        Self { routes: routes.into_iter().map(|route| (route.name.clone(), route)).collect() }
    }

    /// The routes by name.
    pub fn routes(&self) -> impl Iterator<Item = &Route> {
        self.routes.values()
    }

    /// The route of that name.
    pub fn get(&self, name: &str) -> Option<&Route> {
        self.routes.get(name)
    }

    /// The variant that answers the request with this key (a trace id, or a user's name for a sticky choice).
    ///
    /// Weights are shares of their sum, so that a route that lost a variant still serves all its traffic.
    pub fn choose(&self, name: &str, key: &str) -> Result<&Variant> {
        let route = self.get(name).ok_or_else(|| Error::RouteNotFound {
            name: name.into(),
            available: self.routes.keys().cloned().collect(),
        })?;
        let total = route.variants.iter().map(|variant| u64::from(variant.weight_percent)).sum();
        let mut rest = bucket(name, key, total).ok_or_else(|| Error::RouteNotReady { name: name.into() })?;
        for variant in &route.variants {
            let weight = u64::from(variant.weight_percent);
            if rest < weight {
                return Ok(variant);
            }
            rest -= weight;
        }
        Err(Error::RouteNotReady { name: name.into() })
    }
}

/// A number below `n_buckets` that depends on nothing but the route and the key; `None` if there are no buckets.
///
/// The first 64 bits of a SHA-256: over 100 buckets the shares are even to 1 part in 10^17.
pub fn bucket(route: &str, key: &str, n_buckets: u64) -> Option<u64> {
    let digest = Digest::of_parts([route.as_bytes(), key.as_bytes()]);
    let number = u64::from_str_radix(&digest.hex()[..16], 16).expect("a digest is 64 hex digits");
    number.checked_rem(n_buckets)
}

/// How many tokens the answer may have: what was asked for, cut to what the context still holds.
///
/// A prompt that leaves room for none is refused. An answer that ends at the bound says so with `finish_reason: length`.
pub fn answer_tokens_max(n_prompt: usize, asked: u32, context: u32) -> Result<u32> {
    let n_tokens = u32::try_from(n_prompt).unwrap_or(u32::MAX);
    match context.checked_sub(n_tokens) {
        None | Some(0) => Err(Error::ContextTooLong { limit: context, n_tokens }),
        Some(room) => Ok(asked.min(room)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use loopwright_types::{Timestamp, model::ModelRef};

    fn route(name: &str, weights: &[(&str, u32)]) -> Route {
        let variants = weights.iter().enumerate().map(|(i, (name, weight))| Variant {
            name: name.to_string(),
            model: ModelRef::new("m", i as u32 + 1),
            weight_percent: *weight,
        });
        Route { name: name.into(), variants: variants.collect(), rollout: None, updated_at: Timestamp(0) }
    }

    fn n_canary(weights: &[(&str, u32)], n: u32) -> usize {
        let table = RouteTable::new([route("support", weights)]);
        (0..n).filter(|i| table.choose("support", &format!("trace_{i}")).unwrap().name == "canary").count()
    }

    #[test]
    fn shares_come_out_as_the_weights_say() {
        // Binomial(10,000, 0.2) has a standard deviation of 40: five of them on either side.
        assert!(n_canary(&[("live", 80), ("canary", 20)], 10_000).abs_diff(2_000) <= 200);
        assert_eq!(n_canary(&[("live", 100), ("canary", 0)], 1_000), 0);
        assert_eq!(n_canary(&[("live", 0), ("canary", 100)], 1_000), 1_000);
        assert_eq!(n_canary(&[("canary", 20)], 100), 100, "the rest of a route takes all its traffic");
    }

    #[test]
    fn the_same_key_always_meets_the_same_variant_and_a_larger_share_only_adds() {
        let small = RouteTable::new([route("support", &[("canary", 10), ("live", 90)])]);
        let large = RouteTable::new([route("support", &[("canary", 30), ("live", 70)])]);
        for i in 0..500 {
            let user = format!("user-{i}");
            let before = &small.choose("support", &user).unwrap().name;
            assert_eq!(before, &small.choose("support", &user).unwrap().name);
            if before == "canary" {
                assert_eq!(large.choose("support", &user).unwrap().name, "canary");
            }
        }
    }

    #[test]
    fn unknown_and_empty_routes_are_told_apart() {
        let table = RouteTable::new([route("support", &[("live", 100)]), route("idle", &[])]);
        let unknown = table.choose("gpt-4o", "t").unwrap_err();
        assert_eq!(unknown.to_string(), "the model `gpt-4o` does not exist; there is `idle`, `support`");
        assert_eq!(unknown.code(), "model_not_found");
        assert_eq!(table.choose("idle", "t").unwrap_err().code(), "model_not_ready");
        assert!(RouteTable::default().choose("x", "t").unwrap_err().to_string().ends_with("no route is deployed yet"));
    }

    #[test]
    fn answers_are_cut_to_the_context_and_prompts_refused_beyond_it() {
        assert_eq!(answer_tokens_max(10, 5, 64).unwrap(), 5);
        assert_eq!(answer_tokens_max(60, 50, 64).unwrap(), 4);
        for n in [64, 65, 1 << 40] {
            assert_eq!(answer_tokens_max(n, 1, 64).unwrap_err().code(), "context_length_exceeded");
        }
    }
}
