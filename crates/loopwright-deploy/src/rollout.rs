//! Moving a route's traffic from one model version to another, as pure functions from route to route.
//!
//! [`stable`] opens a route, [`start`] gives a candidate a share of it, [`apply`] carries out what the sequential test
//! says, and [`replace_live`] is a person's own decision. Every route that comes out has weights that add up to 100 and
//! exactly one live variant.
//!
//! ```
//! use loopwright_deploy::rollout::{self, Decision};
//! use loopwright_types::{ModelRef, Timestamp, deployment::Evidence};
//!
//! # fn main() -> loopwright_deploy::Result<()> {
//! let route = rollout::stable("support", ModelRef::new("support", 1), Timestamp(0));
//! let route = rollout::start(&route, &ModelRef::new("support", 2), 20, 0.05, Timestamp(1))?;
//! let evidence = Evidence { n_live: 40, n_candidate: 40, e_better: 25.0, e_better_max: 25.0, ..Evidence::default() };
//! let route = rollout::apply(&route, evidence, Decision::Promote, Timestamp(2))?;
//! assert_eq!(rollout::live(&route)?.model, ModelRef::new("support", 2));
//! # Ok(())
//! # }
//! ```

use crate::{Error, Result};
use loopwright_types::{
    ModelRef, Timestamp,
    deployment::{CANARY, Evidence, LIVE, Rollout, RolloutState, Route, Variant},
};

/// Largest share of traffic that a candidate may get before it is promoted, in percent.
pub const SHARE_PERCENT_MAX: u32 = 90;
/// Largest error bound that still means anything.
pub const ALPHA_MAX: f64 = 0.5;

/// What to do with a running rollout.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Not decided: keep both answering.
    Continue,
    /// The candidate becomes live.
    Promote,
    /// The candidate is withdrawn.
    RollBack,
    /// The traffic has ended without a decision: the live variant stays.
    Stop,
}

/// A route on which one version answers everything.
pub fn stable(name: &str, model: ModelRef, now: Timestamp) -> Route {
    Route { name: name.into(), variants: vec![variant(LIVE, model, 100)], rollout: None, updated_at: now }
}

/// The variant that answers by default.
pub fn live(route: &Route) -> Result<&Variant> {
    let missing = || Error::damaged(format!("route `{}` has no live variant", route.name));
    route.variants.iter().find(|variant| variant.name == LIVE).ok_or_else(missing)
}

/// The rollout that is under way, if any.
pub fn running(route: &Route) -> Option<&Rollout> {
    route.rollout.as_ref().filter(|rollout| rollout.state == RolloutState::Running)
}

/// Gives a candidate a share of the traffic (1 to 90 percent). `alpha` bounds the probability of ever promoting a
/// candidate that is no better.
pub fn start(route: &Route, candidate: &ModelRef, share_percent: u32, alpha: f64, now: Timestamp) -> Result<Route> {
    let live = live(route)?.model.clone();
    if let Some(rollout) = running(route) {
        return Err(Error::refused(format!(
            "route `{}` already tries {}: promote it or roll it back first",
            route.name, rollout.candidate
        )));
    }
    if live == *candidate {
        return Err(Error::refused(format!("{candidate} is already live on route `{}`", route.name)));
    }
    if !(1..=SHARE_PERCENT_MAX).contains(&share_percent) {
        return Err(Error::refused(format!(
            "expected a share of 1 to {SHARE_PERCENT_MAX} percent, got {share_percent}"
        )));
    }
    if !(alpha > 0.0 && alpha <= ALPHA_MAX) {
        return Err(Error::refused(format!("expected alpha above 0 and at most {ALPHA_MAX}, got {alpha}")));
    }
    let rollout = Rollout {
        candidate: candidate.clone(),
        live: live.clone(),
        share_percent,
        alpha,
        state: RolloutState::Running,
        evidence: Evidence { e_better: 1.0, e_worse: 1.0, e_better_max: 1.0, ..Evidence::default() },
        started_at: now,
        decided_at: None,
    };
    let variants = vec![variant(LIVE, live, 100 - share_percent), variant(CANARY, candidate.clone(), share_percent)];
    Ok(Route { name: route.name.clone(), variants, rollout: Some(rollout), updated_at: now })
}

/// Stores the evidence and carries out the decision.
///
/// Fails if no rollout is running, if the evidence contradicts itself or forgets what was already seen, or if it does
/// not carry a promotion (`e_better_max` below `1 / alpha`): the stated error rate holds whoever calls.
pub fn apply(route: &Route, evidence: Evidence, decision: Decision, now: Timestamp) -> Result<Route> {
    live(route)?;
    let rollout =
        running(route).ok_or_else(|| Error::refused(format!("route `{}` has no running rollout", route.name)))?;
    check(&evidence, &rollout.evidence)?;
    let e_value = evidence.e_better.max(evidence.e_better_max);
    let needed = 1.0 / rollout.alpha;
    if decision == Decision::Promote && e_value < needed {
        return Err(Error::refused(format!(
            "the evidence does not carry a promotion: its e-value is {e_value:.2}, expected at least {needed:.2}"
        )));
    }
    let (state, variants) = match decision {
        Decision::Continue => (RolloutState::Running, route.variants.clone()),
        Decision::Promote => (RolloutState::Promoted, vec![variant(LIVE, rollout.candidate.clone(), 100)]),
        Decision::RollBack => (RolloutState::RolledBack, vec![variant(LIVE, rollout.live.clone(), 100)]),
        Decision::Stop => (RolloutState::Undecided, vec![variant(LIVE, rollout.live.clone(), 100)]),
    };
    let decided_at = (decision != Decision::Continue).then_some(now);
    let rollout = Rollout { state, evidence, decided_at, ..rollout.clone() };
    Ok(Route { name: route.name.clone(), variants, rollout: Some(rollout), updated_at: now })
}

/// Makes a version live at once, by a person's decision: a first deployment, a return to an older version, or the
/// retirement of one. A running rollout ends undecided.
pub fn replace_live(route: &Route, model: &ModelRef, now: Timestamp) -> Result<Route> {
    if running(route).is_none() && live(route)?.model == *model {
        return Err(Error::refused(format!("{model} is already live on route `{}`", route.name)));
    }
    let rollout = route.rollout.clone().map(|rollout| match rollout.state {
        RolloutState::Running => Rollout { state: RolloutState::Undecided, decided_at: Some(now), ..rollout },
        _ => rollout,
    });
    Ok(Route { name: route.name.clone(), variants: vec![variant(LIVE, model.clone(), 100)], rollout, updated_at: now })
}

fn variant(name: &str, model: ModelRef, weight_percent: u32) -> Variant {
    Variant { name: name.into(), model, weight_percent }
}

/// Can this evidence have grown out of that?
fn check(evidence: &Evidence, before: &Evidence) -> Result<()> {
    let counts = |e: &Evidence| {
        [e.n_live, e.n_live_right, e.n_candidate, e.n_candidate_right, e.n_only_candidate, e.n_only_live, e.n_pairs]
    };
    if counts(evidence).iter().zip(counts(before)).any(|(now, before)| *now < before) {
        return Err(Error::refused("the evidence counts less than what was already seen"));
    }
    if evidence.n_live_right > evidence.n_live || evidence.n_candidate_right > evidence.n_candidate {
        return Err(Error::refused("the evidence counts more right answers than answers"));
    }
    if evidence.n_only_candidate.saturating_add(evidence.n_only_live) > evidence.n_pairs {
        return Err(Error::refused("the evidence counts more unequal pairs than pairs"));
    }
    if [evidence.e_better, evidence.e_worse, evidence.e_better_max].iter().any(|e| e.is_nan() || *e < 0.0) {
        return Err(Error::refused("the evidence has an e-value that is not a number of at least 0"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Kind;
    use proptest::prelude::*;

    fn model(version: u32) -> ModelRef {
        ModelRef::new("support", version)
    }

    fn begun() -> Route {
        start(&stable("support", model(1), Timestamp(0)), &model(2), 20, 0.05, Timestamp(1)).unwrap()
    }

    fn strong() -> Evidence {
        Evidence {
            n_live: 9,
            n_live_right: 5,
            n_candidate: 9,
            n_candidate_right: 9,
            e_better: 20.0,
            e_better_max: 20.0,
            e_worse: 0.1,
            ..Evidence::default()
        }
    }

    fn weights(route: &Route) -> Vec<(&str, u32, u32)> {
        route.variants.iter().map(|v| (v.name.as_str(), v.model.version, v.weight_percent)).collect()
    }

    #[test]
    fn each_decision_has_its_effect() {
        assert_eq!(weights(&begun()), [(LIVE, 1, 80), (CANARY, 2, 20)]);
        let cases = [
            (Decision::Continue, RolloutState::Running, vec![(LIVE, 1, 80), (CANARY, 2, 20)]),
            (Decision::Promote, RolloutState::Promoted, vec![(LIVE, 2, 100)]),
            (Decision::RollBack, RolloutState::RolledBack, vec![(LIVE, 1, 100)]),
            (Decision::Stop, RolloutState::Undecided, vec![(LIVE, 1, 100)]),
        ];
        for (decision, state, expected) in cases {
            let route = apply(&begun(), strong(), decision, Timestamp(5)).unwrap();
            assert_eq!(weights(&route), expected, "{decision:?}");
            let rollout = route.rollout.unwrap();
            assert_eq!((rollout.state, rollout.evidence), (state, strong()));
            assert_eq!(rollout.decided_at, (decision != Decision::Continue).then_some(Timestamp(5)));
        }
    }

    #[test]
    fn nonsense_is_refused() {
        let route = stable("support", model(1), Timestamp(0));
        let refused = |result: Result<Route>| assert_eq!(result.unwrap_err().kind(), Kind::Refused);
        refused(start(&route, &model(1), 20, 0.05, Timestamp(1)));
        for share in [0, 91, 100, u32::MAX] {
            refused(start(&route, &model(2), share, 0.05, Timestamp(1)));
        }
        for alpha in [0.0, -0.1, 0.6, f64::NAN, f64::INFINITY] {
            refused(start(&route, &model(2), 20, alpha, Timestamp(1)));
        }
        refused(start(&begun(), &model(3), 20, 0.05, Timestamp(2)));
        refused(apply(&route, strong(), Decision::Promote, Timestamp(1)));
        refused(replace_live(&route, &model(1), Timestamp(1)));
        let decided = apply(&begun(), strong(), Decision::RollBack, Timestamp(2)).unwrap();
        refused(apply(&decided, strong(), Decision::Promote, Timestamp(3)));
        let broken = Route { variants: Vec::new(), ..route };
        assert_eq!(start(&broken, &model(2), 20, 0.05, Timestamp(1)).unwrap_err().kind(), Kind::Damaged);
    }

    #[test]
    fn a_promotion_needs_its_evidence() {
        let promote = |evidence| apply(&begun(), evidence, Decision::Promote, Timestamp(2));
        assert!(promote(strong()).is_ok());
        // Once 1/alpha was reached, it stays reached.
        assert!(promote(Evidence { e_better: 3.0, ..strong() }).is_ok());
        assert!(promote(Evidence { e_better: 19.9, e_better_max: 19.9, ..strong() }).is_err());
        assert!(promote(Evidence { e_better: f64::NAN, ..strong() }).is_err());
        assert!(promote(Evidence { n_live_right: 10, ..strong() }).is_err());
        assert!(promote(Evidence { n_only_live: 1, ..strong() }).is_err());
        let seen = apply(&begun(), strong(), Decision::Continue, Timestamp(2)).unwrap();
        assert!(apply(&seen, Evidence { n_live: 8, ..strong() }, Decision::Continue, Timestamp(3)).is_err());
    }

    #[test]
    fn a_person_may_end_a_rollout_and_go_back() {
        let route = replace_live(&begun(), &model(1), Timestamp(4)).unwrap();
        assert_eq!(weights(&route), [(LIVE, 1, 100)]);
        assert_eq!(route.rollout.as_ref().unwrap().state, RolloutState::Undecided);
        let promoted = apply(&begun(), strong(), Decision::Promote, Timestamp(5)).unwrap();
        let back = replace_live(&promoted, &model(1), Timestamp(6)).unwrap();
        assert_eq!(weights(&back), [(LIVE, 1, 100)]);
        assert_eq!(back.rollout.unwrap().state, RolloutState::Promoted, "what was decided stays on record");
    }

    #[derive(Clone, Debug)]
    enum Action {
        Start { version: u32, share: u32, alpha: f64 },
        Apply { decision: Decision, e: f64, n: u64 },
        Replace { version: u32 },
    }

    fn action() -> impl Strategy<Value = Action> {
        let decision = prop_oneof![
            Just(Decision::Continue),
            Just(Decision::Promote),
            Just(Decision::RollBack),
            Just(Decision::Stop)
        ];
        prop_oneof![
            (1..5u32, 0..101u32, -0.1..0.7f64).prop_map(|(version, share, alpha)| Action::Start {
                version,
                share,
                alpha
            }),
            (decision, 0.0..50.0f64, 0..20u64).prop_map(|(decision, e, n)| Action::Apply { decision, e, n }),
            (1..5u32).prop_map(|version| Action::Replace { version }),
        ]
    }

    proptest! {
        #[test]
        fn any_sequence_keeps_the_route_whole(actions in prop::collection::vec(action(), 0..40)) {
            let mut route = stable("support", model(1), Timestamp(0));
            for (step, action) in actions.into_iter().enumerate() {
                let now = Timestamp(step as i64);
                let next = match action {
                    Action::Start { version, share, alpha } => start(&route, &model(version), share, alpha, now),
                    Action::Apply { decision, e, n } => {
                        let evidence = Evidence { n_live: n, n_candidate: n, e_better: e, e_better_max: e, ..Evidence::default() };
                        let before = running(&route).map(|rollout| rollout.alpha);
                        let result = apply(&route, evidence, decision, now);
                        if let (Ok(next), Some(alpha)) = (&result, before) {
                            let promoted = next.rollout.as_ref().is_some_and(|rollout| rollout.state == RolloutState::Promoted);
                            prop_assert!(!promoted || e >= 1.0 / alpha);
                        }
                        result
                    }
                    Action::Replace { version } => replace_live(&route, &model(version), now),
                };
                if let Ok(next) = next {
                    route = next;
                }
                prop_assert_eq!(route.variants.iter().map(|variant| variant.weight_percent).sum::<u32>(), 100);
                prop_assert_eq!(route.variants.iter().filter(|variant| variant.name == LIVE).count(), 1);
                prop_assert!(live(&route).unwrap().weight_percent >= 100 - SHARE_PERCENT_MAX);
                prop_assert_eq!(route.variants.len() == 2, running(&route).is_some());
            }
        }
    }
}
