//! Providers and routes of the project file: who answers, and what is done when somebody does not.

use super::{
    price::PriceSettings,
    resolved::At,
    written::{NAMED_SECTIONS, PROVIDER},
};
use crate::error::Result;
use loopwright_serve::{
    cache::CacheSettings,
    gateway::{
        BreakerSettings, Choose, FallbackSettings, GatewaySettings, OWN, RoutePolicy, ShadowSettings, Sticky,
        VariantSettings,
    },
    guardrails::RuleSettings,
};
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, path::Path};

/// `[route.NAME]`: see the commented default for each key.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(missing_docs)]
pub struct RouteSettings {
    pub max_answer_tokens: u32,
    pub canary_share_percent: u32,
    pub canary_alpha: f64,
    pub price: PriceSettings,
    pub guard: Vec<RuleSettings>,
    pub cache: CacheSettings,
    pub prompt: String,
    pub variants: Vec<VariantSettings>,
    pub fallbacks: Vec<FallbackSettings>,
    pub shadow: Vec<ShadowSettings>,
    pub choose: Choose,
    pub sticky: Sticky,
    pub retries: u32,
    pub retry_base_ms: u64,
    pub retry_max_ms: u64,
    pub hedge_after_ms: u64,
    pub timeout_ms: u64,
    pub first_token_timeout_ms: u64,
    pub breaker: BreakerSettings,
}

impl RouteSettings {
    /// What it says of targets and policy. Without variants our own models answer.
    pub fn policy(&self) -> RoutePolicy {
        let variants = match self.variants.is_empty() {
            true => RoutePolicy::default().variants,
            false => self.variants.clone(),
        };
        RoutePolicy {
            variants,
            fallbacks: self.fallbacks.clone(),
            shadow: self.shadow.clone(),
            choose: self.choose,
            sticky: self.sticky,
            retries: self.retries,
            retry_base_ms: self.retry_base_ms,
            retry_max_ms: self.retry_max_ms,
            hedge_after_ms: self.hedge_after_ms,
            timeout_ms: self.timeout_ms,
            first_token_timeout_ms: self.first_token_timeout_ms,
            breaker: self.breaker,
        }
    }
}

/// Routes by name.
pub(super) type Routes = BTreeMap<String, RouteSettings>;

/// Every provider and every route that is written.
pub(super) fn gateway(written: &toml::Table, defaults: &toml::Table, path: &Path) -> Result<(GatewaySettings, Routes)> {
    let names = |section: &str| -> Vec<String> {
        written.get(section).and_then(toml::Value::as_table).into_iter().flat_map(|t| t.keys().cloned()).collect()
    };
    let (mut gateway, mut routes) = (GatewaySettings::default(), Routes::new());
    for name in names(PROVIDER) {
        let at = At { written, defaults, name: &name, path };
        gateway.providers.insert(name.clone(), at.section(PROVIDER)?);
    }
    for name in names("route") {
        let route: RouteSettings = At { written, defaults, name: &name, path }.section("route")?;
        gateway.routes.insert(name.clone(), route.policy());
        routes.insert(name, route);
    }
    Ok((gateway, routes))
}

/// True for a route that providers alone answer, and that no other section speaks of.
pub(super) fn is_route_only(written: &toml::Table, defaults: &toml::Table, name: &str, path: &Path) -> Result<bool> {
    let is_written = |section: &str| written.get(section).is_some_and(|table| table.get(name).is_some());
    if NAMED_SECTIONS.iter().filter(|section| **section != "route").any(|section| is_written(section)) {
        return Ok(false);
    }
    let route: RouteSettings = At { written, defaults, name, path }.section("route")?;
    Ok(!route.policy().needs_own())
}

/// What must hold between providers and the routes that name them.
pub(super) fn check_gateway(gateway: &GatewaySettings) -> Result<(), String> {
    for (name, provider) in &gateway.providers {
        let is_plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-' || c == '_';
        if name.is_empty() || !name.chars().all(is_plain) {
            return Err(format!("`{name}` cannot name a provider: use a-z, 0-9, `-` and `_`"));
        }
        if name == OWN {
            return Err(format!("[provider.{name}] cannot be called so: `own` are this server's own models"));
        }
        provider.check().map_err(|problem| format!("[provider.{name}] {problem}"))?;
    }
    for (name, policy) in &gateway.routes {
        let has_provider = |provider: &str| gateway.providers.contains_key(provider);
        policy.check(has_provider).map_err(|problem| format!("[route.{name}] {problem}"))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::project::{DEFAULT_FILE, Project};
    use loopwright_serve::upstream::{ProviderKind, ProviderSettings};

    fn resolve(text: &str) -> Result<Project> {
        Project::resolve(text, Path::new("p"))
    }

    #[test]
    fn a_route_of_providers_is_no_loop() {
        let provider = "[provider.near]\nbase_url = \"http://127.0.0.1:9/v1\"\nallow_private = true\n";
        let route =
            "[route.chat]\nvariants = [{provider = \"near\", model = \"m\", weight = 3}]\nbreaker = {open_ms = 5}\n";
        let project = resolve(&format!("{provider}{route}")).unwrap();
        assert!(project.loops.is_empty());
        assert!(project.the_loop(None).unwrap_err().to_string().contains("no loop"));
        let policy = &project.gateway.routes["chat"];
        assert_eq!((policy.variants[0].weight, policy.retries, policy.breaker.open_ms), (3, 1, 5));
        assert_eq!(policy.breaker.window_ms, 30_000);
        let price = "prices = {\"m\" = {input = 1, output = 2.5}}\n";
        let project = resolve(&format!("{provider}{price}{route}[data.support]\n")).unwrap();
        assert_eq!(project.the_loop(None).unwrap().name, "support");
        assert_eq!(project.gateway.providers["near"].prices["m"].output, 2.5);
        let mixed = "fallbacks = [{provider = \"own\"}]\n";
        assert_eq!(resolve(&format!("{provider}{route}{mixed}")).unwrap().loops.len(), 1, "it trains a model");
    }

    #[test]
    fn the_defaults_of_the_gateway_are_those_of_the_code() {
        let project = resolve(DEFAULT_FILE).unwrap();
        assert_eq!(project.gateway.routes["support"], RoutePolicy::default());
        let example = &project.gateway.providers["example"];
        assert_eq!(*example, ProviderSettings::new(ProviderKind::OpenAi));
    }

    #[test]
    fn nonsense_is_refused_with_its_place() {
        let check = |text: &str, says: &str| {
            let error = resolve(text).unwrap_err();
            assert!(error.to_string().contains(says), "{error}");
        };
        check(
            "[route.a]\nvariants = [{provider = \"x\", model = \"m\"}]\n",
            "[route.a] there is no section [provider.x]",
        );
        check("[route.a]\nvariants = [{modell = \"m\"}]\n", "a value in [route.a]");
        check("[route.a]\nbreaker = {open = 1}\n", "a value in [route.a]");
        check("[data.a]\n[provider.own]\n", "`own` are this server's own models");
        check("[data.a]\n[provider.B]\n", "cannot name a provider");
        check("[data.a]\n[provider.x]\nkind = \"cohere\"\n", "a value in [provider.x]");
        check("[data.a]\n[provider.x]\nbase_url = \"http://llm.example/v1\"\n", "[provider.x] base_url");
        check("[data.a]\n[provider.x]\napi_key = \"sk-1\"\n", "unknown key `api_key`");
    }
}
