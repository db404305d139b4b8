//! A request on its way through the gateway: tries, retries, hedges and fallbacks until the first event of an answer.
//!
//! Once there is a first event, that answer is the answer: nothing is tried again after a byte went to the client.

use super::{
    course::{Candidate, Course, Failure, Moment, Step, choose, failure, is_sign_of_illness},
    gate::{Gateway, Lane, Shadow},
    health::Visit,
    policy::{Choose, Sticky, Target},
};
use crate::{
    Error, Result, Trouble,
    ask::Ask,
    event::{Event, Events, Used},
    upstream::Inputs,
};
use futures::{FutureExt as _, StreamExt as _, future::BoxFuture, stream, stream::FuturesUnordered};
use std::{future::Future, time::Duration};
use tokio::time::{Instant, sleep, timeout, timeout_at};

/// Who answered, and after how many tries.
#[derive(Clone, Debug, PartialEq)]
pub struct Served {
    /// The variant's name; a fallback is called by its target.
    pub variant: String,
    /// Who it is.
    pub target: Target,
    /// Tries made, hedges among them.
    pub n_tries: u32,
}

/// What came of a request.
pub struct Outcome<T> {
    /// Who answered, or was asked last; none if nobody could be asked.
    pub served: Option<Served>,
    /// The answer.
    pub result: Result<T>,
}

/// A request for the gateway.
#[derive(Clone, Copy, Debug)]
pub struct Passage<'a> {
    /// The request's id: decides its variant where nothing is sticky.
    pub id: &'a str,
    /// What is asked.
    pub ask: &'a Ask,
}

impl Gateway {
    /// Has a request answered. `own` asks this server's own models; it may be called several times.
    ///
    /// Ready with the first event. Dropping the events, or this before, cancels every try under way.
    pub async fn answer<O, F>(&self, passage: Passage<'_>, own: O) -> Outcome<Events>
    where
        O: Fn() -> F + Sync,
        F: Future<Output = Result<Events>> + Send,
    {
        let (route, ask) = (passage.ask.route.as_str(), passage.ask);
        let lane = self.lane(route);
        let deadline = Instant::now() + Duration::from_millis(lane.policy.timeout_ms);
        let key = key(lane, passage);
        let walk = Walk { gateway: self, lane, route, deadline };
        walk.go(key, |slot| walk.events(slot, ask, &own).boxed()).await
    }

    /// Has texts embedded, with the same policy.
    pub async fn embed<O, F>(&self, route: &str, id: &str, inputs: Inputs<'_>, own: O) -> Outcome<(Vec<Vec<f32>>, Used)>
    where
        O: Fn() -> F + Sync,
        F: Future<Output = Result<(Vec<Vec<f32>>, Used)>> + Send,
    {
        let lane = self.lane(route);
        let deadline = Instant::now() + Duration::from_millis(lane.policy.timeout_ms);
        let walk = Walk { gateway: self, lane, route, deadline };
        walk.go(id, |slot| walk.embeddings(slot, inputs, &own).boxed()).await
    }

    /// Has a shadow answer its copy. The caller drains the events and keeps them from the client.
    pub async fn copy<O, F>(&self, shadow: &Shadow, ask: &Ask, own: O) -> Result<Events>
    where
        O: Fn() -> F + Sync,
        F: Future<Output = Result<Events>> + Send,
    {
        let (route, lane) = (ask.route.as_str(), self.lane(&ask.route));
        let deadline = Instant::now() + Duration::from_millis(lane.policy.timeout_ms);
        let walk = Walk { gateway: self, lane, route, deadline };
        match timeout_at(deadline, walk.events(shadow.slot, ask, &own)).await {
            Ok(result) => result,
            Err(_) => Err(walk.late()),
        }
    }
}

/// What decides about the variant.
fn key<'a>(lane: &Lane, passage: Passage<'a>) -> &'a str {
    let named = match lane.policy.sticky {
        Sticky::None => None,
        Sticky::User => passage.ask.user.as_deref(),
        Sticky::Session => passage.ask.session.as_deref(),
    };
    named.unwrap_or(passage.id)
}

#[derive(Clone, Copy)]
struct Walk<'a> {
    gateway: &'a Gateway,
    lane: &'a Lane,
    route: &'a str,
    deadline: Instant,
}

impl<'a> Walk<'a> {
    /// Tries targets until one of them answers or none is left.
    async fn go<T, A>(&self, key: &str, attempt: A) -> Outcome<T>
    where
        A: Fn(usize) -> BoxFuture<'a, Result<T>>,
        T: Send,
    {
        self.lane.deposit();
        let mut course = Course::new(self.order(key));
        let Some(mut target) = course.begin() else {
            return Outcome { served: None, result: Err(self.all_open()) };
        };
        let mut hedge_left = self.lane.policy.hedge_after_ms > 0;
        let mut told: Option<Error> = None;
        loop {
            let racing = self.race(&mut course, target, &mut hedge_left, &attempt);
            let (last, result) = match timeout_at(self.deadline, racing).await {
                Ok(raced) => raced,
                Err(_) => (target, Err(self.late())),
            };
            let error = match result {
                Ok(answer) => return Outcome { served: Some(self.served(last, &course)), result: Ok(answer) },
                Err(error) => error,
            };
            let step = course.next(&self.lane.policy, self.moment(&error));
            // What a target cannot do at all says less than why the one before it failed.
            let says_less = matches!(error, Error::AllOpen { .. } | Error::Upstream { trouble: Trouble::Unable, .. });
            told = if says_less { told.or(Some(error)) } else { Some(error) };
            match step {
                Step::Try { target: next, wait_ms } => {
                    if next == last {
                        self.lane.withdraw();
                    }
                    if wait_ms > 0 {
                        sleep(Duration::from_millis(wait_ms)).await;
                    }
                    target = next;
                }
                Step::Stop => {
                    let error = told.unwrap_or_else(|| self.all_open());
                    return Outcome { served: Some(self.served(last, &course)), result: Err(error) };
                }
            }
        }
    }

    /// Asks one target, and a second one as well if the first is slow. The first to answer wins; the other is dropped,
    /// which cancels it. If all fail, the last failure counts.
    async fn race<T, A>(
        &self,
        course: &mut Course,
        first: usize,
        hedge_left: &mut bool,
        attempt: &A,
    ) -> (usize, Result<T>)
    where
        A: Fn(usize) -> BoxFuture<'a, Result<T>>,
    {
        let try_it = |slot: usize| attempt(slot).map(move |result| (slot, result));
        let mut running: FuturesUnordered<_> = [try_it(first)].into_iter().collect();
        let hedge_at = Instant::now() + Duration::from_millis(self.lane.policy.hedge_after_ms);
        loop {
            tokio::select! {
                ended = running.next() => match ended {
                    Some((slot, Ok(answer))) => return (slot, Ok(answer)),
                    Some((slot, Err(error))) if running.is_empty() => return (slot, Err(error)),
                    Some(_) => {}
                    None => return (first, Err(self.all_open())),
                },
                () = tokio::time::sleep_until(hedge_at), if *hedge_left => {
                    *hedge_left = false;
                    if self.lane.withdraw() && let Some(second) = course.hedge() {
                        running.push(try_it(second));
                    }
                }
            }
        }
    }

    /// The chosen variant, then the fallbacks that may be asked.
    fn order(&self, key: &str) -> Vec<usize> {
        let lane = self.lane;
        let candidate = |slot: &super::gate::Slot| {
            let (is_open_to_requests, n_in_flight) = slot.health.outlook();
            Candidate { weight: slot.weight, is_open_to_requests, n_in_flight }
        };
        let variants: Vec<Candidate> = lane.slots.iter().take(lane.n_variants).map(candidate).collect();
        let draws = match lane.policy.choose {
            Choose::Weighted => [0.0; 2],
            Choose::LeastLoaded => [self.gateway.draw(), self.gateway.draw()],
        };
        let first = choose(lane.policy.choose, self.route, key, &variants, draws);
        let fallbacks = lane.n_variants..lane.n_variants + lane.n_fallbacks;
        let is_same = |index: usize| first.is_some_and(|first| lane.slots[first].target == lane.slots[index].target);
        let able = fallbacks.filter(|index| !is_same(*index) && lane.slots[*index].health.outlook().0);
        first.into_iter().chain(able).collect()
    }

    fn moment(&self, error: &Error) -> Moment {
        let left = self.deadline.saturating_duration_since(Instant::now());
        // The route's own bound is no failure of a target: there is no time left for another.
        let failure = if left.is_zero() { Failure::Final } else { failure(error) };
        let may_retry = self.lane.may_retry();
        Moment { failure, may_retry, draw: self.gateway.draw(), left_ms: left.as_millis() as u64 }
    }

    fn served(&self, slot: usize, course: &Course) -> Served {
        let it = &self.lane.slots[slot];
        Served { variant: it.name.clone(), target: it.target.clone(), n_tries: course.n_tries() }
    }

    fn late(&self) -> Error {
        let limit_ms = self.lane.policy.timeout_ms;
        Error::Late { route: self.route.into(), bound: "timeout_ms", limit_ms }
    }

    fn all_open(&self) -> Error {
        let asked = self.lane.slots.iter().take(self.lane.n_variants + self.lane.n_fallbacks);
        let retry_after_ms = asked.map(|slot| slot.health.opens_in_ms()).min().unwrap_or_default().max(1);
        Error::AllOpen { route: self.route.into(), retry_after_ms }
    }

    /// One try, up to its first event.
    async fn events<O, F>(self, slot: usize, ask: &Ask, own: &O) -> Result<Events>
    where
        O: Fn() -> F + Sync,
        F: Future<Output = Result<Events>> + Send,
    {
        let it = &self.lane.slots[slot];
        let mut visit = it.health.enter().ok_or_else(|| self.all_open())?;
        let work = async {
            let mut events = match &it.target {
                Target::Own => own().await?,
                Target::Provider { provider, model } => self.gateway.upstream().ask(provider, model, ask).await?,
            };
            match events.next().await {
                Some(Ok(first)) => Ok((first, events)),
                Some(Err(error)) => Err(error),
                None => Err(Error::Stopped),
            }
        };
        let (first, events) = tell(&mut visit, self.in_time(work).await)?;
        Ok(Flow { first: Some(first), events, visit, deadline: self.deadline, late: Some(self.late()) }.events())
    }

    async fn embeddings<O, F>(self, slot: usize, inputs: Inputs<'_>, own: &O) -> Result<(Vec<Vec<f32>>, Used)>
    where
        O: Fn() -> F + Sync,
        F: Future<Output = Result<(Vec<Vec<f32>>, Used)>> + Send,
    {
        let it = &self.lane.slots[slot];
        let mut visit = it.health.enter().ok_or_else(|| self.all_open())?;
        let work = async {
            match &it.target {
                Target::Own => own().await,
                Target::Provider { provider, model } => self.gateway.upstream().embed(provider, model, &inputs).await,
            }
        };
        tell(&mut visit, self.in_time(work).await)
    }

    /// Bounds one try by `first_token_timeout_ms`.
    async fn in_time<T>(&self, work: impl Future<Output = Result<T>>) -> Result<T> {
        let limit_ms = self.lane.policy.first_token_timeout_ms;
        if limit_ms == 0 {
            return work.await;
        }
        let late = || Error::Late { route: self.route.into(), bound: "first_token_timeout_ms", limit_ms };
        timeout(Duration::from_millis(limit_ms), work).await.unwrap_or_else(|_| Err(late()))
    }
}

/// What the end of a try says about its target.
fn tell<T>(visit: &mut Visit, result: Result<T>) -> Result<T> {
    match &result {
        Ok(_) => visit.succeed(),
        Err(error) => {
            if is_sign_of_illness(error) {
                visit.fail();
            }
            if matches!(error, Error::Upstream { trouble: Trouble::Busy, .. }) {
                visit.put_aside(error);
            }
        }
    }
    result
}

/// An answer that has begun.
struct Flow {
    first: Option<Event>,
    events: Events,
    visit: Visit,
    deadline: Instant,
    late: Option<Error>,
}

impl Flow {
    fn events(self) -> Events {
        stream::unfold(self, async |mut this| this.next().await.map(|event| (event, this))).boxed()
    }

    async fn next(&mut self) -> Option<Result<Event>> {
        if let Some(first) = self.first.take() {
            return Some(Ok(first));
        }
        // Taken once the bound was reached: then nothing follows.
        self.late.as_ref()?;
        match timeout_at(self.deadline, self.events.next()).await {
            Ok(Some(Err(error))) => {
                if is_sign_of_illness(&error) {
                    self.visit.fail();
                }
                Some(Err(error))
            }
            Ok(event) => event,
            Err(_) => self.late.take().map(Err),
        }
    }
}
