//! The gateway: the routes of the project file, the providers behind them, and how each target fares.

use super::{
    breaker::BreakerState,
    course::RetryBudget,
    health::{Condition, Health},
    policy::{BreakerSettings, RoutePolicy, Target},
    table::bucket,
};
use crate::upstream::{ProviderSettings, Surroundings, Upstream};
use rand::{RngExt as _, SeedableRng as _, rngs::StdRng};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, PoisonError},
};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// What the project file says of providers and routes.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct GatewaySettings {
    /// `[provider.NAME]`
    pub providers: BTreeMap<String, ProviderSettings>,
    /// What `[route.NAME]` says of targets and policy.
    pub routes: BTreeMap<String, RoutePolicy>,
}

/// Routes, providers and their health. [`Gateway::answer`] has a request answered.
#[derive(Debug)]
pub struct Gateway {
    upstream: Upstream,
    routes: BTreeMap<String, Lane>,
    /// For routes that the project file does not speak of: our own models alone.
    plain: Lane,
    random: Mutex<StdRng>,
    shadow_places: Arc<Semaphore>,
}

/// A route as the gateway sees it.
#[derive(Debug)]
pub(super) struct Lane {
    pub(super) policy: RoutePolicy,
    /// Variants, then fallbacks, then shadows.
    pub(super) slots: Vec<Slot>,
    pub(super) n_variants: usize,
    pub(super) n_fallbacks: usize,
    pub(super) budget: Mutex<RetryBudget>,
}

/// A target of a route.
#[derive(Clone, Debug)]
pub(super) struct Slot {
    pub(super) target: Target,
    pub(super) name: String,
    pub(super) weight: u32,
    pub(super) health: Arc<Health>,
}

/// What a target does on a route.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Part {
    /// Answers its share.
    Variant {
        /// Its weight.
        weight: u32,
        /// The sum of the route's weights.
        of: u32,
    },
    /// Is asked next.
    Fallback,
    /// Gets copies.
    Shadow {
        /// Of this share of the requests.
        share: f64,
    },
}

/// A target of a route at a moment, for people.
#[derive(Clone, Debug, PartialEq)]
pub struct TargetView {
    /// Its name in traces.
    pub name: String,
    /// Who it is.
    pub target: Target,
    /// What it does.
    pub part: Part,
    /// How it fares.
    pub condition: Condition,
}

/// Most copies under way.
const N_SHADOWS_MAX: usize = 64;

impl Gateway {
    /// A gateway that has asked nobody yet. The same seed draws the same numbers.
    pub fn new(settings: GatewaySettings, surroundings: Surroundings, seed: u64) -> Self {
        Self::made(settings, surroundings, seed, |_, _, settings| Health::new(settings))
    }

    /// The same with other settings. What is known of targets that stay is kept.
    pub fn changed(&self, settings: GatewaySettings, surroundings: Surroundings, seed: u64) -> Self {
        Self::made(settings, surroundings, seed, |route, name, breaker| {
            let same = self.routes.get(route).filter(|lane| lane.policy.breaker == breaker);
            let slot = same.and_then(|lane| lane.slots.iter().find(|slot| slot.name == name));
            slot.map_or_else(|| Health::new(breaker), |slot| slot.health.clone())
        })
    }

    fn made(
        mut settings: GatewaySettings,
        surroundings: Surroundings,
        seed: u64,
        health: impl Fn(&str, &str, BreakerSettings) -> Arc<Health>,
    ) -> Self {
        // A provider that no route names is nobody's business: not even certificates are read for it.
        let targets = settings.routes.values().flat_map(|policy| policy.targets());
        let named: BTreeSet<String> = targets.map(|target| target.provider().to_string()).collect();
        settings.providers.retain(|name, _| named.contains(name));
        let lane = |(name, policy): (String, RoutePolicy)| {
            let lane = Lane::new(policy, |slot, breaker| health(&name, slot, breaker));
            (name, lane)
        };
        Self {
            upstream: Upstream::new(settings.providers, surroundings),
            routes: settings.routes.into_iter().map(lane).collect(),
            plain: Lane::new(RoutePolicy::default(), |_, breaker| Health::new(breaker)),
            random: Mutex::new(StdRng::seed_from_u64(seed)),
            shadow_places: Arc::new(Semaphore::new(N_SHADOWS_MAX)),
        }
    }

    /// The providers.
    pub fn upstream(&self) -> &Upstream {
        &self.upstream
    }

    /// The routes that the project file speaks of.
    pub fn routes(&self) -> impl Iterator<Item = (&str, &RoutePolicy)> {
        self.routes.iter().map(|(name, lane)| (name.as_str(), &lane.policy))
    }

    /// What a route does with a request; our own models alone where the project file says nothing.
    pub fn policy(&self, route: &str) -> &RoutePolicy {
        &self.lane(route).policy
    }

    /// True if this route can answer without a model of ours.
    pub fn has_provider(&self, route: &str) -> bool {
        self.policy(route).targets().any(|target| target != Target::Own)
    }

    /// A route's targets and how they fare, variants first.
    pub fn view(&self, route: &str) -> Vec<TargetView> {
        let lane = self.lane(route);
        let of = lane.slots.iter().take(lane.n_variants).map(|slot| slot.weight).sum();
        let part = |index: usize| match index.checked_sub(lane.n_variants) {
            None => Part::Variant { weight: lane.slots[index].weight, of },
            Some(index) if index < lane.n_fallbacks => Part::Fallback,
            Some(index) => Part::Shadow { share: lane.policy.shadow[index - lane.n_fallbacks].share },
        };
        let view = |(index, slot): (usize, &Slot)| TargetView {
            name: slot.name.clone(),
            target: slot.target.clone(),
            part: part(index),
            condition: slot.health.condition(),
        };
        lane.slots.iter().enumerate().map(view).collect()
    }

    /// Targets of a provider that are being left alone, on any route.
    pub fn n_open(&self, provider: &str) -> usize {
        let slots = self.routes.values().flat_map(|lane| &lane.slots);
        let is_open = |slot: &&Slot| {
            slot.target.provider() == provider && slot.health.condition().breaker != BreakerState::Closed
        };
        slots.filter(is_open).count()
    }

    /// What a probe of a provider found, told to every target of it.
    pub fn probed(&self, provider: &str, is_well: bool) {
        let slots = self.routes.values().flat_map(|lane| &lane.slots);
        slots.filter(|slot| slot.target.provider() == provider).for_each(|slot| slot.health.probed(is_well));
    }

    /// The shadows that get a copy of this request, each with a place among the copies under way. A copy for which
    /// there is no place is not made.
    pub fn shadows(&self, route: &str, id: &str) -> Vec<Shadow> {
        let lane = self.lane(route);
        let first = lane.n_variants + lane.n_fallbacks;
        let is_drawn = |index: &usize| {
            let share = lane.policy.shadow[*index].share;
            // A hash of its own: who gets a copy does not depend on who answers.
            let drawn = bucket(&format!("shadow {index} of {route}"), id, 1_000_000).unwrap_or_default();
            (drawn as f64) < share * 1e6
        };
        let drawn = (0..lane.policy.shadow.len()).filter(is_drawn);
        let shadow = |index: usize| {
            let permit = self.shadow_places.clone().try_acquire_owned().ok()?;
            let slot = &lane.slots[first + index];
            Some(Shadow { slot: first + index, name: slot.name.clone(), target: slot.target.clone(), _permit: permit })
        };
        drawn.filter_map(shadow).collect()
    }

    pub(super) fn lane(&self, route: &str) -> &Lane {
        self.routes.get(route).unwrap_or(&self.plain)
    }

    /// A number from 0 to 1.
    pub(super) fn draw(&self) -> f64 {
        self.random.lock().unwrap_or_else(PoisonError::into_inner).random::<f64>()
    }
}

/// A copy to be made.
#[derive(Debug)]
pub struct Shadow {
    pub(super) slot: usize,
    /// Its name in traces.
    pub name: String,
    /// Who gets it.
    pub target: Target,
    _permit: OwnedSemaphorePermit,
}

impl Lane {
    fn new(policy: RoutePolicy, health: impl Fn(&str, BreakerSettings) -> Arc<Health>) -> Self {
        let slot = |target: Target, name: String, weight: u32| {
            // Our own engine is not left alone: it refuses at once by itself, and there is no other.
            let never = BreakerSettings { failure_share: 2.0, ..policy.breaker };
            let breaker = if target == Target::Own { never } else { policy.breaker };
            Slot { health: health(&name, breaker), target, name, weight }
        };
        let variants = policy.variants.iter().map(|it| slot(it.target(), it.name(), it.weight));
        let fallbacks = policy.fallbacks.iter().map(|it| {
            let target = Target::new(&it.provider, &it.model);
            let name = target.to_string();
            slot(target, name, 0)
        });
        let shadows = policy.shadow.iter().map(|it| {
            let target = Target::new(&it.provider, &it.model);
            let name = format!("shadow {target}");
            slot(target, name, 0)
        });
        Self {
            slots: variants.chain(fallbacks).chain(shadows).collect(),
            n_variants: policy.variants.len(),
            n_fallbacks: policy.fallbacks.len(),
            budget: Mutex::default(),
            policy,
        }
    }

    /// Counts a request towards what may be tried again.
    pub(super) fn deposit(&self) {
        self.budget.lock().unwrap_or_else(PoisonError::into_inner).deposit();
    }

    /// True if another try is allowed.
    pub(super) fn may_retry(&self) -> bool {
        self.budget.lock().unwrap_or_else(PoisonError::into_inner).has_one()
    }

    /// True if another try is allowed, which is then counted.
    pub(super) fn withdraw(&self) -> bool {
        self.budget.lock().unwrap_or_else(PoisonError::into_inner).withdraw()
    }
}
