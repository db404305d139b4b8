//! What a route asks of every request and answer: its price, its guardrails, its cache.

use crate::{cache::CacheSettings, guardrails::Guard, price::Price};

/// A route's rules, resolved. By default it is free, unguarded and remembers nothing.
#[derive(Clone, Debug, Default)]
pub struct RouteRules {
    /// What its own models' tokens cost.
    pub price: Price,
    /// What is looked at.
    pub guard: Guard,
    /// What is given again.
    pub cache: CacheSettings,
    /// The prompt that stands before every conversation, as [`crate::prompts`] names them.
    pub prompt: Option<String>,
}
