//! What a route does with a request, as the project file says it.

use serde::{Deserialize, Serialize};
use std::fmt;

/// The word for the models of this server, in place of a provider's name.
pub const OWN: &str = "own";

/// Who answers: the model versions that are deployed on the route, or a provider's model.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Target {
    /// What `loopwright deploy` put on the route, a canary among it.
    Own,
    /// A provider's model.
    Provider {
        /// The provider's name in the project file.
        provider: String,
        /// The model's name there.
        model: String,
    },
}

impl Target {
    /// From the two words of the project file.
    pub fn new(provider: &str, model: &str) -> Self {
        match provider {
            OWN | "" => Self::Own,
            _ => Self::Provider { provider: provider.into(), model: model.into() },
        }
    }

    /// The provider's name; `own` for our models.
    pub fn provider(&self) -> &str {
        match self {
            Self::Own => OWN,
            Self::Provider { provider, .. } => provider,
        }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Own => f.write_str(OWN),
            Self::Provider { provider, model } => write!(f, "{provider}/{model}"),
        }
    }
}

/// A variant, as written: `{provider = "openai", model = "gpt-4o", weight = 90, name = "a"}`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct VariantSettings {
    /// A provider's name, or `own`.
    pub provider: String,
    /// The model's name there; left out with `own`.
    #[serde(default)]
    pub model: String,
    /// Its share of the sum of all weights.
    #[serde(default = "one")]
    pub weight: u32,
    /// In traces and headers; the target where it is left out.
    #[serde(default)]
    pub name: String,
}

fn one() -> u32 {
    1
}

impl VariantSettings {
    /// Who answers.
    pub fn target(&self) -> Target {
        Target::new(&self.provider, &self.model)
    }

    /// Its name.
    pub fn name(&self) -> String {
        if self.name.is_empty() { self.target().to_string() } else { self.name.clone() }
    }
}

/// Who is asked next, as written: `{provider = "anthropic", model = "claude-sonnet-4-5"}`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FallbackSettings {
    /// A provider's name, or `own`.
    pub provider: String,
    /// The model's name there; left out with `own`.
    #[serde(default)]
    pub model: String,
}

/// Who gets copies, as written: `{provider = "own", share = 0.1}`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ShadowSettings {
    /// A provider's name, or `own`.
    pub provider: String,
    /// The model's name there; left out with `own`.
    #[serde(default)]
    pub model: String,
    /// Share of the requests that are copied, from 0 to 1.
    pub share: f64,
}

/// How a variant is chosen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Choose {
    /// By weight.
    #[default]
    Weighted,
    /// The less busy of two drawn at random (Mitzenmacher 2001).
    LeastLoaded,
}

/// Whose requests always meet the same variant.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Sticky {
    /// Nobody's: each request is drawn anew.
    #[default]
    None,
    /// A user's, where the request names one.
    User,
    /// A session's, where the request names one.
    Session,
}

/// When a target is left alone.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct BreakerSettings {
    /// From this share of failures on, from 0 to 1; 1.01 and more never.
    pub failure_share: f64,
    /// Not before so many requests.
    pub min_requests: u32,
    /// Seen in so many milliseconds.
    pub window_ms: u64,
    /// For so long.
    pub open_ms: u64,
    /// Then so many requests try whether it is well again; one failure leaves it alone once more.
    pub probes: u32,
}

impl Default for BreakerSettings {
    fn default() -> Self {
        Self { failure_share: 0.5, min_requests: 10, window_ms: 30_000, open_ms: 10_000, probes: 2 }
    }
}

/// What a route does with a request. The keys are those of `[route.NAME]`; see the commented default file.
#[derive(Clone, Debug, PartialEq)]
pub struct RoutePolicy {
    /// Who answers; never empty.
    pub variants: Vec<VariantSettings>,
    /// Who is asked next, in order.
    pub fallbacks: Vec<FallbackSettings>,
    /// Who gets copies.
    pub shadow: Vec<ShadowSettings>,
    /// How a variant is chosen.
    pub choose: Choose,
    /// Whose requests stay together.
    pub sticky: Sticky,
    /// Further tries of one target.
    pub retries: u32,
    /// Longest wait before the first of them; each further one may wait twice as long.
    pub retry_base_ms: u64,
    /// Longest wait at all.
    pub retry_max_ms: u64,
    /// A second target is asked as well after so long; 0 never.
    pub hedge_after_ms: u64,
    /// The whole answer, tries and waits included.
    pub timeout_ms: u64,
    /// The first token of one try; 0 leaves it to `timeout_ms`.
    pub first_token_timeout_ms: u64,
    /// When a target is left alone.
    pub breaker: BreakerSettings,
}

impl Default for RoutePolicy {
    fn default() -> Self {
        let own = VariantSettings { provider: OWN.into(), model: String::new(), weight: 1, name: String::new() };
        Self {
            variants: vec![own],
            fallbacks: Vec::new(),
            shadow: Vec::new(),
            choose: Choose::default(),
            sticky: Sticky::default(),
            retries: 1,
            retry_base_ms: 200,
            retry_max_ms: 2_000,
            hedge_after_ms: 0,
            timeout_ms: 600_000,
            first_token_timeout_ms: 0,
            breaker: BreakerSettings::default(),
        }
    }
}

/// Most targets of a route.
const N_TARGETS_MAX: usize = 32;

impl RoutePolicy {
    /// Every target that it names: variants, fallbacks, shadows.
    pub fn targets(&self) -> impl Iterator<Item = Target> {
        let variants = self.variants.iter().map(VariantSettings::target);
        let fallbacks = self.fallbacks.iter().map(|it| Target::new(&it.provider, &it.model));
        variants.chain(fallbacks).chain(self.shadow.iter().map(|it| Target::new(&it.provider, &it.model)))
    }

    /// True if a model of ours may answer.
    pub fn needs_own(&self) -> bool {
        self.targets().any(|target| target == Target::Own)
    }

    /// What is wrong with it, in words; `has_provider` says which providers there are.
    pub fn check(&self, has_provider: impl Fn(&str) -> bool) -> Result<(), String> {
        if self.variants.iter().all(|variant| variant.weight == 0) {
            return Err("variants: at least one must have a weight above 0".into());
        }
        if self.targets().count() > N_TARGETS_MAX {
            return Err(format!("variants, fallbacks and shadow must name at most {N_TARGETS_MAX} targets together"));
        }
        for target in self.targets() {
            match &target {
                Target::Provider { provider, .. } if !has_provider(provider) => {
                    return Err(format!("there is no section [provider.{provider}]"));
                }
                Target::Provider { model, provider } if model.is_empty() => {
                    return Err(format!("provider `{provider}` is named without a model"));
                }
                _ => {}
            }
        }
        let mut names: Vec<String> = self.variants.iter().map(VariantSettings::name).collect();
        names.sort();
        if let Some(pair) = names.windows(2).find(|pair| pair[0] == pair[1]) {
            return Err(format!("variants: two are called `{}`; give them a `name`", pair[0]));
        }
        let breaker = &self.breaker;
        let rules = [
            (self.shadow.iter().all(|it| (0.0..=1.0).contains(&it.share)), "shadow: share must lie between 0 and 1"),
            (self.retries <= 5, "retries must be at most 5"),
            (self.timeout_ms > 0, "timeout_ms must be above 0"),
            (self.retry_base_ms <= self.retry_max_ms, "retry_base_ms must not be above retry_max_ms"),
            (breaker.failure_share > 0.0, "breaker: failure_share must be above 0"),
            (
                breaker.window_ms >= 100 && breaker.open_ms > 0,
                "breaker: window_ms must be at least 100, open_ms above 0",
            ),
            (breaker.probes > 0 && breaker.min_requests > 0, "breaker: probes and min_requests must be above 0"),
        ];
        rules.iter().find(|(holds, _)| !holds).map_or(Ok(()), |(_, says)| Err((*says).into()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nonsense_is_refused_in_words() {
        let check = |change: &dyn Fn(&mut RoutePolicy), says: &str| {
            let mut policy = RoutePolicy::default();
            policy.check(|_| true).unwrap();
            change(&mut policy);
            let problem = policy.check(|name| name == "a").unwrap_err();
            assert!(problem.contains(says), "{problem}");
        };
        let variant = |provider: &str, model: &str| VariantSettings {
            provider: provider.into(),
            model: model.into(),
            weight: 1,
            name: String::new(),
        };
        check(&|it| it.variants[0].weight = 0, "weight above 0");
        check(&|it| it.variants = vec![variant("b", "m")], "no section [provider.b]");
        check(&|it| it.variants = vec![variant("a", "")], "without a model");
        check(&|it| it.variants = vec![variant("a", "m"), variant("a", "m")], "two are called `a/m`");
        check(&|it| it.fallbacks = vec![FallbackSettings { provider: "b".into(), model: "m".into() }], "[provider.b]");
        check(&|it| it.variants = vec![variant("own", ""); 33], "at most 32");
        check(
            &|it| it.shadow = vec![ShadowSettings { provider: OWN.into(), model: String::new(), share: 1.5 }],
            "share",
        );
        check(&|it| it.retries = 6, "retries");
        check(&|it| it.retry_base_ms = 3_000, "retry_base_ms");
        check(&|it| it.timeout_ms = 0, "timeout_ms");
        check(&|it| it.breaker.window_ms = 1, "window_ms");
        check(&|it| it.breaker.probes = 0, "probes");
    }
}
