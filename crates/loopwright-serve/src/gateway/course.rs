//! The course of one request: which target is tried, how often, after which wait. Pure: time and randomness come in.

use super::{
    policy::{Choose, RoutePolicy},
    table::bucket,
};
use crate::{Error, Kind, Trouble};

/// A target as the choice sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// Its weight; fallbacks have none.
    pub weight: u32,
    /// Does its breaker let requests through?
    pub is_open_to_requests: bool,
    /// Requests under way.
    pub n_in_flight: u32,
}

/// The variant that answers a request with this key; none if no breaker lets one through.
///
/// By weight, the key alone decides, so that the same key always meets the same variant; a variant that is being left
/// alone hands its keys to the others. `draws` are two numbers from 0 to 1, for the choice by load.
pub fn choose(choose: Choose, route: &str, key: &str, variants: &[Candidate], draws: [f64; 2]) -> Option<usize> {
    let pick = |admit: &dyn Fn(usize) -> bool| {
        let weight = |index: usize| if admit(index) { u64::from(variants[index].weight) } else { 0 };
        let mut rest = bucket(route, key, (0..variants.len()).map(weight).sum())?;
        (0..variants.len()).find(|index| {
            let is_it = rest < weight(*index);
            rest = rest.saturating_sub(weight(*index));
            is_it
        })
    };
    match choose {
        Choose::Weighted => {
            let first = pick(&|_| true)?;
            if variants[first].is_open_to_requests { Some(first) } else { pick(&|i| variants[i].is_open_to_requests) }
        }
        Choose::LeastLoaded => {
            let able: Vec<usize> =
                (0..variants.len()).filter(|i| variants[*i].weight > 0 && variants[*i].is_open_to_requests).collect();
            let at = |draw: f64, n: usize| ((draw * n as f64) as usize).min(n.saturating_sub(1));
            let one = *able.get(at(draws[0], able.len()))?;
            // The other among those that are left.
            let others: Vec<usize> = able.iter().copied().filter(|index| *index != one).collect();
            let two = others.get(at(draws[1], others.len())).copied().unwrap_or(one);
            Some(if variants[two].n_in_flight < variants[one].n_in_flight { two } else { one })
        }
    }
}

/// What a failure says about trying again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// The same target may do better next time.
    Again {
        /// Not before so long.
        retry_after_ms: Option<u64>,
    },
    /// Another target may do better.
    Elsewhere,
    /// Nobody would.
    Final,
}

/// What an error says about trying again.
pub fn failure(error: &Error) -> Failure {
    match error {
        Error::Upstream { trouble, retry_after_ms, .. } => match trouble {
            Trouble::Refused => Failure::Final,
            Trouble::Unable | Trouble::Key | Trouble::Missing | Trouble::Address => Failure::Elsewhere,
            _ => Failure::Again { retry_after_ms: *retry_after_ms },
        },
        Error::Late { .. } => Failure::Again { retry_after_ms: None },
        // A larger model may take the prompt.
        Error::ContextTooLong { .. } => Failure::Elsewhere,
        error => match error.kind() {
            Kind::Busy | Kind::Unavailable | Kind::Internal | Kind::BadGateway | Kind::TimedOut => Failure::Elsewhere,
            Kind::Invalid | Kind::NotFound | Kind::Unauthenticated | Kind::Forbidden => Failure::Final,
        },
    }
}

/// True if this failure tells that the target is unwell. A refusal of one request does not, nor does a full queue.
pub fn is_sign_of_illness(error: &Error) -> bool {
    match error {
        Error::Upstream { trouble, .. } => {
            !matches!(trouble, Trouble::Refused | Trouble::Unable | Trouble::Busy | Trouble::Address)
        }
        Error::Late { .. } => true,
        error => error.kind() == Kind::Internal,
    }
}

/// What to do next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Ask this target after a wait.
    Try {
        /// Its place among the route's targets.
        target: usize,
        /// Milliseconds to wait.
        wait_ms: u64,
    },
    /// Give up.
    Stop,
}

/// What is known when a try has failed.
#[derive(Clone, Copy, Debug)]
pub struct Moment {
    /// What the failure says.
    pub failure: Failure,
    /// Does the route's budget allow another try of the same target?
    pub may_retry: bool,
    /// From 0 to 1: full jitter draws the wait from nothing to its longest.
    pub draw: f64,
    /// Milliseconds until the route's bound.
    pub left_ms: u64,
}

/// Most tries of one request, whatever the settings say.
pub const N_TRIES_MAX: u32 = 16;

/// The course of one request.
#[derive(Clone, Debug)]
pub struct Course {
    order: Vec<usize>,
    place: usize,
    n_retries: u32,
    n_tries: u32,
}

impl Course {
    /// A course that begins with the first of these targets and goes on with the others, in order.
    pub fn new(order: Vec<usize>) -> Self {
        Self { order, place: 0, n_retries: 0, n_tries: 0 }
    }

    /// The first try; none if there is no target.
    pub fn begin(&mut self) -> Option<usize> {
        let first = self.order.first().copied();
        self.n_tries += u32::from(first.is_some());
        first
    }

    /// Tries so far, hedges among them.
    pub fn n_tries(&self) -> u32 {
        self.n_tries
    }

    /// The target for a hedge: the next in order, or the same where there is no other.
    pub fn hedge(&mut self) -> Option<usize> {
        if self.n_tries >= N_TRIES_MAX {
            return None;
        }
        self.n_tries += 1;
        if self.place + 1 < self.order.len() {
            self.place += 1;
            self.n_retries = 0;
        }
        self.order.get(self.place).copied()
    }

    /// What to do after a failure: the same target again, as long as it may help; then the next one.
    pub fn next(&mut self, policy: &RoutePolicy, moment: Moment) -> Step {
        if self.n_tries >= N_TRIES_MAX {
            return Step::Stop;
        }
        if let Failure::Again { retry_after_ms } = moment.failure
            && self.n_retries < policy.retries
            && moment.may_retry
            && let Some(wait_ms) = wait(policy, self.n_retries, retry_after_ms, moment)
        {
            self.n_retries += 1;
            self.n_tries += 1;
            return Step::Try { target: self.order[self.place], wait_ms };
        }
        if moment.failure == Failure::Final || self.place + 1 >= self.order.len() || moment.left_ms == 0 {
            return Step::Stop;
        }
        self.place += 1;
        self.n_retries = 0;
        self.n_tries += 1;
        Step::Try { target: self.order[self.place], wait_ms: 0 }
    }
}

/// The wait before a try of the same target; none if it would be too long.
fn wait(policy: &RoutePolicy, n_retries: u32, retry_after_ms: Option<u64>, moment: Moment) -> Option<u64> {
    let longest = policy.retry_base_ms.saturating_mul(1 << n_retries.min(20)).min(policy.retry_max_ms);
    let drawn = (longest as f64 * moment.draw.clamp(0.0, 1.0)) as u64;
    // Where the provider says when, not before; waiting longer than the longest wait is what fallbacks are for.
    let wait_ms = match retry_after_ms {
        Some(asked) if asked > policy.retry_max_ms => return None,
        Some(asked) => asked.saturating_add(drawn / 2).min(policy.retry_max_ms.max(asked)),
        None => drawn,
    };
    (wait_ms < moment.left_ms).then_some(wait_ms)
}

/// Bounds retries and hedges to a share of the requests, so that they cannot double the load of providers that fail.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RetryBudget {
    tokens: f64,
}

impl RetryBudget {
    /// Retries for each request, in the long run.
    pub const SHARE: f64 = 0.2;
    /// Retries that may be saved up.
    pub const TOKENS_MAX: f64 = 20.0;

    /// A request came.
    pub fn deposit(&mut self) {
        self.tokens = (self.tokens + Self::SHARE).min(Self::TOKENS_MAX);
    }

    /// True if one more is allowed; it is then taken off.
    pub fn withdraw(&mut self) -> bool {
        let may = self.tokens >= 1.0;
        self.tokens -= if may { 1.0 } else { 0.0 };
        may
    }

    /// True if one more would be allowed.
    pub fn has_one(&self) -> bool {
        self.tokens >= 1.0
    }
}

impl Default for RetryBudget {
    fn default() -> Self {
        Self { tokens: Self::TOKENS_MAX }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn candidates(weights: &[u32]) -> Vec<Candidate> {
        let one = |weight: &u32| Candidate { weight: *weight, is_open_to_requests: true, n_in_flight: 0 };
        weights.iter().map(one).collect()
    }

    #[test]
    fn shares_come_out_as_the_weights_say_and_keys_stay() {
        let variants = candidates(&[3, 1, 0]);
        let of = |i: u32| choose(Choose::Weighted, "r", &format!("user-{i}"), &variants, [0.0; 2]).unwrap();
        let counts = (0..8_000).fold([0; 3], |mut counts, i| {
            counts[of(i)] += 1;
            counts
        });
        // Binomial(8,000, 0.25) has a standard deviation of 39: five of them on either side.
        assert!(2_000_u32.abs_diff(counts[1]) <= 195, "{counts:?}");
        assert_eq!(counts[2], 0);
        assert!((0..100).all(|i| of(i) == of(i)));
    }

    #[test]
    fn a_variant_that_is_left_alone_hands_over_its_own_keys_only() {
        let whole = candidates(&[1, 1, 1]);
        let mut ill = whole.clone();
        ill[1].is_open_to_requests = false;
        let mut n_moved = 0;
        for i in 0..300 {
            let of =
                |variants: &[Candidate]| choose(Choose::Weighted, "r", &i.to_string(), variants, [0.0; 2]).unwrap();
            match of(&whole) {
                1 => n_moved += u32::from(of(&ill) != 1),
                other => assert_eq!(of(&ill), other),
            }
        }
        assert!(n_moved > 60);
        ill.iter_mut().for_each(|it| it.is_open_to_requests = false);
        assert_eq!(choose(Choose::Weighted, "r", "x", &ill, [0.0; 2]), None);
        assert_eq!(choose(Choose::LeastLoaded, "r", "x", &ill, [0.0; 2]), None);
    }

    #[test]
    fn the_less_busy_of_two_is_chosen() {
        let mut variants = candidates(&[1, 1, 1, 0]);
        for (variant, n) in variants.iter_mut().zip([5, 2, 9, 0]) {
            variant.n_in_flight = n;
        }
        let of = |draws: [f64; 2]| choose(Choose::LeastLoaded, "r", "", &variants, draws).unwrap();
        assert_eq!(of([0.0, 0.0]), 1, "0 against 1");
        assert_eq!(of([0.0, 0.99]), 0, "0 against 2");
        assert_eq!(of([0.99, 0.99]), 1, "2 against 1");
        let one = candidates(&[1]);
        assert_eq!(choose(Choose::LeastLoaded, "r", "", &one, [0.5, 0.5]), Some(0));
    }

    const AGAIN: Failure = Failure::Again { retry_after_ms: None };

    fn moment(failure: Failure) -> Moment {
        Moment { failure, may_retry: true, draw: 1.0, left_ms: 60_000 }
    }

    #[test]
    fn a_target_is_tried_again_with_growing_waits_and_then_the_next() {
        let policy = RoutePolicy { retries: 2, retry_base_ms: 100, retry_max_ms: 150, ..RoutePolicy::default() };
        let mut course = Course::new(vec![4, 7]);
        assert_eq!(course.begin(), Some(4));
        assert_eq!(course.next(&policy, moment(AGAIN)), Step::Try { target: 4, wait_ms: 100 });
        let half = Moment { draw: 0.5, ..moment(AGAIN) };
        assert_eq!(course.next(&policy, half), Step::Try { target: 4, wait_ms: 75 });
        assert_eq!(course.next(&policy, moment(AGAIN)), Step::Try { target: 7, wait_ms: 0 });
        assert_eq!(course.next(&policy, moment(Failure::Elsewhere)), Step::Stop);
        assert_eq!(course.n_tries(), 4);
    }

    #[test]
    fn what_nobody_can_answer_is_not_tried_again() {
        let policy = RoutePolicy { retries: 2, ..RoutePolicy::default() };
        let begun = || {
            let mut course = Course::new(vec![0, 1]);
            course.begin();
            course
        };
        assert_eq!(begun().next(&policy, moment(Failure::Final)), Step::Stop);
        assert_eq!(begun().next(&policy, moment(Failure::Elsewhere)), Step::Try { target: 1, wait_ms: 0 });
        // Without budget, and where the wait would not fit, the next target is asked at once.
        let next = Step::Try { target: 1, wait_ms: 0 };
        assert_eq!(begun().next(&policy, Moment { may_retry: false, ..moment(AGAIN) }), next);
        assert_eq!(begun().next(&policy, Moment { left_ms: 100, ..moment(AGAIN) }), next);
        let far = Failure::Again { retry_after_ms: Some(30_000) };
        assert_eq!(begun().next(&policy, moment(far)), next);
        let near = Failure::Again { retry_after_ms: Some(1_000) };
        assert_eq!(
            begun().next(&policy, Moment { draw: 0.0, ..moment(near) }),
            Step::Try { target: 0, wait_ms: 1_000 }
        );
        assert_eq!(begun().next(&policy, Moment { left_ms: 0, ..moment(AGAIN) }), Step::Stop);
        assert_eq!(Course::new(Vec::new()).begin(), None);
    }

    #[test]
    fn a_hedge_takes_the_next_target_or_the_same() {
        let mut course = Course::new(vec![3, 5]);
        course.begin();
        assert_eq!((course.hedge(), course.hedge()), (Some(5), Some(5)));
        let mut endless = Course::new(vec![0]);
        endless.begin();
        assert_eq!((0..100).filter_map(|_| endless.hedge()).count() as u32, N_TRIES_MAX - 1);
    }

    #[test]
    fn retries_are_a_share_of_the_requests() {
        let mut budget = RetryBudget::default();
        let n_saved = (0..100).filter(|_| budget.withdraw()).count();
        assert_eq!(n_saved, 20);
        let n = (0..1_000).filter(|_| {
            budget.deposit();
            budget.withdraw()
        });
        // A fifth, give or take what the sums of 0.2 lose.
        assert!(n.count().abs_diff(200) <= 2);
    }

    #[test]
    fn failures_are_told_apart() {
        let upstream = |trouble| Error::Upstream {
            provider: "p".into(),
            trouble,
            status: None,
            message: String::new(),
            retry_after_ms: Some(5),
        };
        assert_eq!(failure(&upstream(Trouble::Refused)), Failure::Final);
        assert_eq!(failure(&upstream(Trouble::Key)), Failure::Elsewhere);
        assert_eq!(failure(&upstream(Trouble::Failed)), Failure::Again { retry_after_ms: Some(5) });
        assert_eq!(failure(&Error::ContextTooLong { limit: 1, n_tokens: 2 }), Failure::Elsewhere);
        assert_eq!(failure(&Error::NoKey), Failure::Final);
        for (trouble, is_ill) in [(Trouble::Busy, false), (Trouble::Refused, false), (Trouble::Silent, true)] {
            assert_eq!(is_sign_of_illness(&upstream(trouble)), is_ill, "{trouble:?}");
        }
    }
}
