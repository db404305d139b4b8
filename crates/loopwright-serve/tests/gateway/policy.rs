//! What a route makes of its targets: fallbacks, retries, hedges, breakers, shadows, shares.

use crate::{
    mock::{Act, Mock, hello, hello_stream, json, reply},
    scene::{ask, gateway, policy, question, read, streamed, surroundings, told, variant},
};
use futures::{FutureExt, StreamExt};
use loopwright_serve::{
    Error,
    event::Event,
    gateway::{
        BreakerSettings, Choose, FallbackSettings, Gateway, Part, Passage, RoutePolicy, ShadowSettings, Sticky, Target,
        breaker::BreakerState,
    },
};
use std::{sync::Arc, time::Duration};
use tokio::sync::Notify;

fn failing(status: u16) -> Vec<Act> {
    reply(status, &[("content-type", "application/json")], "{\"error\": {\"message\": \"no\"}}")
}

fn fallback(provider: &str) -> FallbackSettings {
    FallbackSettings { provider: provider.into(), model: "m".into() }
}

fn with_fallback() -> RoutePolicy {
    RoutePolicy { fallbacks: vec![fallback("b")], ..policy(vec![variant("a", 1)]) }
}

#[tokio::test]
async fn a_failure_is_tried_again_and_then_elsewhere() {
    let (a, b) = (Mock::always(failing(500)).await, Mock::always(json(&hello("from b"))).await);
    let gateway = gateway(with_fallback(), &[("a", &a), ("b", &b)]);
    let outcome = ask(&gateway, "t", &question()).await;
    assert_eq!(told(outcome).await, ("from b".into(), "b/m".into(), 3));
    assert_eq!((a.n_asked(), b.n_asked()), (2, 1));
}

#[tokio::test]
async fn a_second_try_may_do() {
    let a = Mock::start(|nth, _| if nth == 0 { failing(503) } else { json(&hello("late")) }).await;
    let gateway = gateway(policy(vec![variant("a", 1)]), &[("a", &a)]);
    assert_eq!(told(ask(&gateway, "t", &question()).await).await, ("late".into(), "a".into(), 2));
}

#[tokio::test]
async fn a_wrong_request_is_asked_once_and_a_wrong_key_elsewhere() {
    let (a, b) = (Mock::always(failing(400)).await, Mock::always(json(&hello("x"))).await);
    let refusing = gateway(with_fallback(), &[("a", &a), ("b", &b)]);
    let outcome = ask(&refusing, "t", &question()).await;
    assert_eq!(outcome.result.err().unwrap().code(), "provider_refused");
    assert_eq!((a.n_asked(), b.n_asked()), (1, 0));
    let a = Mock::always(failing(401)).await;
    let locked = gateway(with_fallback(), &[("a", &a), ("b", &b)]);
    assert_eq!(told(ask(&locked, "t", &question()).await).await, ("x".into(), "b/m".into(), 2));
}

#[tokio::test]
async fn nothing_is_tried_again_once_an_answer_has_begun() {
    let delta = b"data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"Hi\"}}]}\n\n";
    let acts = vec![crate::mock::stream_head("text/event-stream"), crate::mock::chunk(delta), Act::Close];
    let (a, b) = (Mock::always(acts).await, Mock::always(hello_stream("x")).await);
    let gateway = gateway(with_fallback(), &[("a", &a), ("b", &b)]);
    let error = read(ask(&gateway, "t", &streamed()).await.result).await.unwrap_err();
    assert_eq!(error.code(), "provider_broken_off");
    assert_eq!((a.n_asked(), b.n_asked()), (1, 0));
    assert_eq!(gateway.view("chat")[0].condition.n_failed, 1, "it counts against the target all the same");
}

#[tokio::test]
async fn a_stream_that_breaks_off_before_its_first_token_goes_elsewhere() {
    let acts = vec![crate::mock::stream_head("text/event-stream"), Act::Close];
    let (a, b) = (Mock::always(acts).await, Mock::always(hello_stream("from b")).await);
    let gateway = gateway(RoutePolicy { retries: 0, ..with_fallback() }, &[("a", &a), ("b", &b)]);
    assert_eq!(told(ask(&gateway, "t", &streamed()).await).await, ("from b".into(), "b/m".into(), 2));
}

#[tokio::test]
async fn a_first_token_that_is_late_goes_elsewhere_and_the_slow_try_is_cancelled() {
    let (a, b) = (Mock::always(vec![Act::Hang]).await, Mock::always(json(&hello("quick"))).await);
    let settings = RoutePolicy { retries: 0, first_token_timeout_ms: 500, ..with_fallback() };
    let gateway = gateway(settings, &[("a", &a), ("b", &b)]);
    assert_eq!(told(ask(&gateway, "t", &question()).await).await, ("quick".into(), "b/m".into(), 2));
    until(|| a.n_gone() == 1).await;
}

#[tokio::test]
async fn the_routes_bound_holds_over_all_tries_and_within_a_stream() {
    let a = Mock::always(vec![Act::Hang]).await;
    let settings = RoutePolicy { timeout_ms: 400, ..policy(vec![variant("a", 1)]) };
    let hanging = gateway(settings.clone(), &[("a", &a)]);
    let error = ask(&hanging, "t", &question()).await.result.err().unwrap();
    assert_eq!(error.to_string(), "the route `chat` did not answer within 400 ms (timeout_ms)");
    let delta = b"data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"Hi\"}}]}\n\n";
    let acts = vec![crate::mock::stream_head("text/event-stream"), crate::mock::chunk(delta), Act::Hang];
    let b = Mock::always(acts).await;
    let streaming = gateway(settings, &[("a", &b)]);
    let mut events = ask(&streaming, "t", &streamed()).await.result.unwrap();
    assert!(events.next().await.unwrap().is_ok());
    assert_eq!(events.next().await.unwrap().unwrap_err().code(), "timeout");
    assert!(events.next().await.is_none());
}

#[tokio::test]
async fn a_hedge_wins_over_a_slow_target_which_is_cancelled() {
    let (a, b) = (Mock::always(vec![Act::Hang]).await, Mock::always(hello_stream("hedged")).await);
    let gateway = gateway(RoutePolicy { hedge_after_ms: 20, ..with_fallback() }, &[("a", &a), ("b", &b)]);
    assert_eq!(told(ask(&gateway, "t", &streamed()).await).await, ("hedged".into(), "b/m".into(), 2));
    until(|| a.n_gone() == 1).await;
    let condition = gateway.view("chat")[0].condition;
    assert_eq!((condition.n_in_flight, condition.n_failed), (0, 0), "losing a race is no failure");
}

#[tokio::test]
async fn a_quick_target_is_not_hedged_and_a_slow_one_may_still_win() {
    let b = Mock::always(vec![Act::Hang]).await;
    let a = Mock::always(json(&hello("a"))).await;
    let quick = gateway(RoutePolicy { hedge_after_ms: 10_000, ..with_fallback() }, &[("a", &a), ("b", &b)]);
    assert_eq!(told(ask(&quick, "t", &question()).await).await.2, 1);
    let go = Arc::new(Notify::new());
    let slow = [vec![Act::Wait(go.clone())], json(&hello("slow a"))].concat();
    let a = Mock::always(slow).await;
    let hedged = gateway(RoutePolicy { hedge_after_ms: 10, ..with_fallback() }, &[("a", &a), ("b", &b)]);
    let question = question();
    let asking = ask(&hedged, "t", &question);
    let releasing = async {
        until(|| b.n_asked() == 1).await;
        go.notify_one();
    };
    let (outcome, ()) = tokio::join!(asking, releasing);
    assert_eq!(told(outcome).await, ("slow a".into(), "a".into(), 2));
}

#[tokio::test]
async fn a_breaker_opens_leaves_the_target_alone_and_closes_again() {
    let is_well = Arc::new(std::sync::atomic::AtomicBool::new(false));
    let asked = is_well.clone();
    let a = Mock::start(move |_, _| match asked.load(std::sync::atomic::Ordering::Relaxed) {
        true => json(&hello("well")),
        false => failing(500),
    })
    .await;
    let b = Mock::always(json(&hello("from b"))).await;
    let breaker = BreakerSettings { min_requests: 4, open_ms: 1_000, probes: 1, ..BreakerSettings::default() };
    let gateway = gateway(RoutePolicy { retries: 0, breaker, ..with_fallback() }, &[("a", &a), ("b", &b)]);
    for _ in 0..4 {
        assert_eq!(told(ask(&gateway, "t", &question()).await).await.1, "b/m");
    }
    assert!(matches!(gateway.view("chat")[0].condition.breaker, BreakerState::Open { .. }));
    assert_eq!(told(ask(&gateway, "t", &question()).await).await, ("from b".into(), "b/m".into(), 1), "a is not asked");
    assert_eq!((a.n_asked(), gateway.n_open("a")), (4, 1));
    is_well.store(true, std::sync::atomic::Ordering::Relaxed);
    until(|| gateway.view("chat")[0].condition.breaker == BreakerState::HalfOpen).await;
    assert_eq!(told(ask(&gateway, "t", &question()).await).await.1, "a");
    assert_eq!(gateway.view("chat")[0].condition.breaker, BreakerState::Closed);
}

#[tokio::test]
async fn when_every_target_is_left_alone_the_client_hears_when_to_come_back() {
    let a = Mock::always(failing(500)).await;
    let breaker = BreakerSettings { min_requests: 1, open_ms: 30_000, ..BreakerSettings::default() };
    let gateway = gateway(RoutePolicy { retries: 0, breaker, ..policy(vec![variant("a", 1)]) }, &[("a", &a)]);
    ask(&gateway, "t", &question()).await;
    let outcome = ask(&gateway, "t", &question()).await;
    let error = outcome.result.err().unwrap();
    assert_eq!((error.code(), outcome.served), ("no_target_available", None));
    assert!((1..=30_000).contains(&error.retry_after_ms().unwrap()));
    assert_eq!(a.n_asked(), 1);
}

#[tokio::test]
async fn a_target_that_says_when_to_come_back_is_not_asked_before() {
    let busy = reply(429, &[("content-type", "application/json"), ("retry-after", "30")], "{}");
    let (a, b) = (Mock::always(busy).await, Mock::always(json(&hello("from b"))).await);
    let gateway = gateway(with_fallback(), &[("a", &a), ("b", &b)]);
    for n_tries in [2, 1, 1] {
        assert_eq!(told(ask(&gateway, "t", &question()).await).await, ("from b".into(), "b/m".into(), n_tries));
    }
    assert_eq!((a.n_asked(), gateway.view("chat")[0].condition.breaker), (1, BreakerState::Closed));
}

#[tokio::test]
async fn shares_and_stickiness_hold_through_the_gateway() {
    let (a, b) = (Mock::always(json(&hello("a"))).await, Mock::always(json(&hello("b"))).await);
    let settings = RoutePolicy { sticky: Sticky::User, ..policy(vec![variant("a", 3), variant("b", 1)]) };
    let gateway = gateway(settings, &[("a", &a), ("b", &b)]);
    let mut n_b = 0;
    for i in 0..200 {
        let outcome = ask(&gateway, &format!("trace_{i}"), &question()).await;
        n_b += u32::from(outcome.served.unwrap().variant == "b");
    }
    // Binomial(200, 0.25) has a standard deviation of 6.1: five of them on either side.
    assert!((20..=80).contains(&n_b), "{n_b}");
    let mut mine = question();
    mine.user = Some("ada".into());
    let first = ask(&gateway, "trace_0", &mine).await.served.unwrap().variant;
    for i in 1..20 {
        assert_eq!(ask(&gateway, &format!("trace_{i}"), &mine).await.served.unwrap().variant, first);
    }
}

#[tokio::test]
async fn the_less_busy_target_is_asked() {
    let (a, b) = (Mock::always(vec![Act::Hang]).await, Mock::always(vec![Act::Hang]).await);
    let settings = RoutePolicy { choose: Choose::LeastLoaded, ..policy(vec![variant("a", 1), variant("b", 1)]) };
    let gateway = gateway(settings, &[("a", &a), ("b", &b)]);
    let question = question();
    let mut open = Vec::new();
    for _ in 0..8 {
        let mut asking = Box::pin(ask(&gateway, "t", &question));
        assert!(futures::poll!(&mut asking).is_pending());
        open.push(asking);
    }
    let loads: Vec<u32> = gateway.view("chat").iter().map(|it| it.condition.n_in_flight).collect();
    assert_eq!(loads, [4, 4]);
    drop(open);
    assert!(gateway.view("chat").iter().all(|it| it.condition.n_in_flight == 0));
}

#[tokio::test]
async fn our_own_models_are_a_target_like_others() {
    let a = Mock::always(failing(500)).await;
    let own = FallbackSettings { provider: "own".into(), model: String::new() };
    let settings = RoutePolicy { retries: 0, fallbacks: vec![own], ..policy(vec![variant("a", 1)]) };
    let gateway = gateway(settings, &[("a", &a)]);
    let question = question();
    let ours = || {
        let event = Event::Text { choice: 0, text: "ours".into(), logprobs: Vec::new() };
        let end = Event::Usage(loopwright_serve::event::Used::default());
        async { Ok(futures::stream::iter([Ok(event), Ok(end)]).boxed()) }
    };
    let outcome = gateway.answer(Passage { id: "t", ask: &question }, ours).await;
    assert_eq!(outcome.served.as_ref().unwrap().target, Target::Own);
    assert_eq!(told(outcome).await.0, "ours");
    let unready = ask(&gateway, "t", &question).await.result.err().unwrap();
    assert!(matches!(unready, Error::RouteNotReady { .. }), "{unready}");
    assert!(!gateway.has_provider("another") && gateway.has_provider("chat"));
}

#[tokio::test]
async fn shadows_get_their_share_and_no_more_copies_than_there_is_place_for() {
    let (a, b) = (Mock::always(json(&hello("a"))).await, Mock::always(json(&hello("copy"))).await);
    let shadow = |share| ShadowSettings { provider: "b".into(), model: "m".into(), share };
    let settings = RoutePolicy { shadow: vec![shadow(0.25)], ..policy(vec![variant("a", 1)]) };
    let gateway = gateway(settings, &[("a", &a), ("b", &b)]);
    let drawn = (0..400).filter(|i| !gateway.shadows("chat", &format!("t{i}")).is_empty()).count();
    // Binomial(400, 0.25) has a standard deviation of 8.7: five of them on either side.
    assert!((57..=143).contains(&drawn), "{drawn}");
    let held: Vec<_> = (0..2_000).flat_map(|i| gateway.shadows("chat", &format!("t{i}"))).collect();
    assert_eq!(held.len(), 64);
    assert_eq!((held[0].name.as_str(), gateway.view("chat")[1].part), ("shadow b/m", Part::Shadow { share: 0.25 }));
    let question = question();
    let events = gateway.copy(&held[0], &question, || async { Err(Error::Stopped) }).await;
    assert_eq!(read(events).await.unwrap().0, "copy");
    assert_eq!(a.n_asked(), 0);
}

#[tokio::test]
async fn changed_settings_keep_what_is_known_of_targets_that_stay() {
    let a = Mock::always(failing(500)).await;
    let before = gateway(RoutePolicy { retries: 0, ..policy(vec![variant("a", 1)]) }, &[("a", &a)]);
    ask(&before, "t", &question()).await;
    let settings = |policy: RoutePolicy| loopwright_serve::gateway::GatewaySettings {
        providers: [("a".to_string(), crate::scene::near(loopwright_serve::upstream::ProviderKind::OpenAi, &a))].into(),
        routes: [("chat".to_string(), policy)].into(),
    };
    let after: Gateway = before.changed(settings(policy(vec![variant("a", 5)])), surroundings(), 1);
    assert_eq!(after.view("chat")[0].condition.n_failed, 1);
    let stricter = BreakerSettings { min_requests: 1, ..BreakerSettings::default() };
    let other = RoutePolicy { breaker: stricter, ..policy(vec![variant("a", 5)]) };
    assert_eq!(before.changed(settings(other), surroundings(), 1).view("chat")[0].condition.n_seen, 0);
}

#[tokio::test]
async fn probes_open_and_close_a_target_without_requests() {
    let a = Mock::start(|nth, _| if nth < 2 { failing(500) } else { failing(404) }).await;
    let breaker = BreakerSettings { min_requests: 2, open_ms: 1, probes: 1, ..BreakerSettings::default() };
    let gateway = gateway(RoutePolicy { breaker, ..policy(vec![variant("a", 1)]) }, &[("a", &a)]);
    for is_well in [false, false] {
        let found = gateway.upstream().probe("a").await;
        assert_eq!(found.is_ok(), is_well);
        gateway.probed("a", is_well);
    }
    assert_ne!(gateway.view("chat")[0].condition.breaker, BreakerState::Closed);
    until(|| gateway.view("chat")[0].condition.breaker == BreakerState::HalfOpen).await;
    let found = gateway.upstream().probe("a").await;
    assert!(found.is_ok(), "somebody answers there, if only that it knows no such page");
    gateway.probed("a", true);
    assert_eq!(gateway.view("chat")[0].condition.breaker, BreakerState::Closed);
}

#[tokio::test]
async fn events_pass_as_soon_as_they_come() {
    let go = Arc::new(Notify::new());
    let delta = |text: &str| {
        crate::mock::chunk(
            format!("data: {{\"choices\":[{{\"index\":0,\"delta\":{{\"content\":\"{text}\"}}}}]}}\n\n").as_bytes(),
        )
    };
    let acts = vec![
        crate::mock::stream_head("text/event-stream"),
        delta("one"),
        Act::Wait(go.clone()),
        delta("two"),
        Act::Close,
    ];
    let a = Mock::always(acts).await;
    let gateway = gateway(policy(vec![variant("a", 1)]), &[("a", &a)]);
    let mut events = ask(&gateway, "t", &streamed()).await.result.unwrap();
    assert!(matches!(events.next().await, Some(Ok(Event::Text { text, .. })) if text == "one"));
    assert!(events.next().now_or_never().is_none(), "the provider has said no more");
    go.notify_one();
    assert!(matches!(events.next().await, Some(Ok(Event::Text { text, .. })) if text == "two"));
}

/// Waits for something that happens by itself.
async fn until(is_so: impl Fn() -> bool) {
    let waiting = async {
        while !is_so() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), waiting).await.expect("it happens in time");
}
