//! What a route asks of requests and answers: from its settings to the rules that the server holds.

use super::gateway::RouteSettings;
use loopwright_serve::{guardrails::Guard, price::Price, rules::RouteRules};
use serde::{Deserialize, Serialize};

/// What tokens cost, in dollars per million.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PriceSettings {
    /// Prompt tokens.
    pub input_per_million_usd: f64,
    /// Answer tokens.
    pub output_per_million_usd: f64,
    /// Prompt tokens that are read from a cache; as others, if this is not given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cached_input_per_million_usd: Option<f64>,
}

impl PriceSettings {
    /// The price in whole micro-dollars. The error says in words what is wrong.
    pub fn price(&self) -> Result<Price, String> {
        let input = self.input_per_million_usd;
        let cached = self.cached_input_per_million_usd.unwrap_or(input);
        Price::from_usd_per_million(input, self.output_per_million_usd, cached)
    }
}

impl RouteSettings {
    /// What the route asks of requests and answers. The error says in words what is wrong.
    pub fn rules(&self) -> Result<RouteRules, String> {
        self.cache.check().map_err(|says| format!("cache: {says}"))?;
        Ok(RouteRules {
            price: self.price.price().map_err(|says| format!("price: {says}"))?,
            guard: Guard::new(&self.guard).map_err(|says| format!("guard: {says}"))?,
            cache: self.cache.clone(),
            prompt: Some(self.prompt.clone()).filter(|prompt| !prompt.is_empty()),
        })
    }
}

#[cfg(test)]
mod tests {
    use crate::project::Project;
    use std::path::Path;

    #[test]
    fn a_route_says_what_it_asks() {
        let text = r#"
[route.desk]
price = { input_per_million_usd = 0.15, output_per_million_usd = 3 }
guard = [
    { rule = "pii", kinds = ["email", "card"] },
    { rule = "schema", schema = { type = "object" }, on_error = "open" },
]
cache = { mode = "exact", scope = "owner", ttl_s = 60 }
"#;
        let project = Project::resolve(text, Path::new("p")).unwrap();
        let route = &project.the_loop(None).unwrap().route;
        let rules = route.rules().unwrap();
        assert_eq!((rules.price.input, rules.price.cached_input, rules.price.output), (150_000, 150_000, 3_000_000));
        assert!(rules.guard.guards_answers());
        assert_eq!((rules.cache.ttl_s, rules.cache.entries_max), (60, 1000));
    }
}
