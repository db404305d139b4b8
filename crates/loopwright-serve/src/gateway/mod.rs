//! The gateway: from a model name on the wire to whoever answers, a model version of ours or a provider.
//!
//! A client names a route. [`Gateway`] has its policy from the project file: variants, fallbacks, retries, hedges,
//! breakers, shadows. Where our own models are asked, [`RouteTable`] picks one of the
//! [`Route`](loopwright_types::deployment::Route)'s deployed versions by weight, from a hash, so that the same trace
//! always meets the same variant. What a changed route may do before its models are ready is decided in [`settle`].
//!
//! The rules ([`course`], [`breaker`], [`RouteTable`]) are pure; [`Gateway::answer`] follows them.

pub mod breaker;
pub mod course;
mod gate;
mod health;
mod policy;
mod settle;
mod table;
mod walk;

pub use gate::{Gateway, GatewaySettings, Part, Shadow, TargetView};
pub use health::{Condition, Health, Visit};
pub use policy::{
    BreakerSettings, Choose, FallbackSettings, OWN, RoutePolicy, ShadowSettings, Sticky, Target, VariantSettings,
};
pub use settle::{Settled, settle};
pub use table::{RouteTable, answer_tokens_max, bucket};
pub use walk::{Outcome, Passage, Served};
