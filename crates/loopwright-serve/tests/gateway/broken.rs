//! Providers that fail, hang, lie, break off or send garbage, at each phase: a clear error, and never a wait without end.

use crate::{
    mock::{Act, Mock, chunk, hello, json, reply, stream_head},
    scene::{NOW, near, question, read, streamed, surroundings, upstream},
};
use futures::{FutureExt, StreamExt};
use loopwright_serve::{
    Error, Kind,
    ask::Ask,
    upstream::{ProviderKind, ProviderSettings, Surroundings, Upstream},
};
use std::{collections::BTreeMap, net::SocketAddr, sync::Arc, time::Duration};

const JSON: (&str, &str) = ("content-type", "application/json");

/// The error of a provider that does this.
async fn error(acts: Vec<Act>, ask: &Ask) -> Error {
    let mock = Mock::always(acts).await;
    let upstream = upstream(near(ProviderKind::OpenAi, &mock));
    let asking = async { read(upstream.ask("p", "m", ask).await).await };
    let result = tokio::time::timeout(Duration::from_secs(30), asking).await.expect("an error comes in time");
    result.expect_err("it must not be taken for an answer")
}

async fn check(acts: Vec<Act>, ask: &Ask, code: &str, says: &str) {
    let error = error(acts, ask).await;
    assert_eq!(error.code(), code, "{error}");
    let text = error.to_string();
    assert!(text.contains("`p`") && text.contains(says), "{text}");
}

#[tokio::test]
async fn statuses_become_kinds_and_the_providers_words_are_kept() {
    for (status, code, kind) in [
        (400, "provider_refused", Kind::Invalid),
        (422, "provider_refused", Kind::Invalid),
        (401, "provider_key", Kind::BadGateway),
        (403, "provider_key", Kind::BadGateway),
        (404, "provider_model_not_found", Kind::BadGateway),
        (408, "provider_timeout", Kind::TimedOut),
        (429, "rate_limit_exceeded", Kind::Busy),
        (529, "rate_limit_exceeded", Kind::Busy),
        (500, "provider_failed", Kind::BadGateway),
        (503, "provider_failed", Kind::BadGateway),
    ] {
        let body = "{\"error\": {\"message\": \"because of reasons\", \"type\": \"x\"}}";
        let error = error(reply(status, &[JSON], body), &question()).await;
        assert_eq!((error.code(), error.kind()), (code, kind), "{status}");
        assert!(error.to_string().ends_with(&format!("({status}): because of reasons")), "{error}");
    }
}

#[tokio::test]
async fn words_are_bounded_whatever_form_they_have() {
    let says = async |body: &str| {
        let error = error(reply(500, &[JSON], body), &question()).await.to_string();
        error.split_once("(500): ").unwrap().1.to_string()
    };
    assert_eq!(says("{\"message\": \"plain\"}").await, "plain");
    assert_eq!(says("[{\"error\": {\"message\": \"in a list\"}}]").await, "in a list");
    assert_eq!(says("{\"error\": \"a text\"}").await, "a text");
    assert_eq!(says("<h1>Bad\r\nGateway</h1>").await, "<h1>Bad  Gateway</h1>");
    assert_eq!(says("").await, "it gave no reason");
    assert_eq!(says(&"x".repeat(5_000)).await.chars().count(), 1_001);
}

#[tokio::test]
async fn when_to_come_back_is_passed_on() {
    let busy = reply(429, &[JSON, ("retry-after", "7")], "{\"error\": {\"message\": \"slow\"}}");
    assert_eq!(error(busy, &question()).await.retry_after_ms(), Some(7_000));
    let precise = reply(429, &[JSON, ("retry-after", "7"), ("retry-after-ms", "250")], "{}");
    assert_eq!(error(precise, &question()).await.retry_after_ms(), Some(250));
}

#[tokio::test]
async fn redirections_are_not_followed() {
    let elsewhere = Mock::always(json(&hello("stolen"))).await;
    let moved = reply(307, &[("location", &elsewhere.url())], "");
    check(moved, &question(), "provider_failed", "not followed").await;
    assert_eq!(elsewhere.n_asked(), 0);
}

#[tokio::test]
async fn garbage_is_no_answer() {
    let body = |text: &str| reply(200, &[JSON], text);
    check(body("{\"choices\": [{]}"), &question(), "provider_garbled", "column").await;
    check(body("\u{1F4A9}"), &question(), "provider_garbled", "").await;
    check(body("{\"choices\": \"none\"}"), &question(), "provider_garbled", "").await;
    check(body("{}"), &question(), "provider_broken_off", "ended before").await;
    check(body("{\"error\": {\"message\": \"in a 200\"}}"), &question(), "provider_failed", "in a 200").await;
    let html = reply(200, &[("content-type", "text/html")], "<h1>Welcome</h1>");
    check(html, &question(), "provider_garbled", "expected `application/json`, got `text/html`").await;
    let whole = json(&hello("not a stream"));
    check(whole, &streamed(), "provider_garbled", "expected `text/event-stream`").await;
    check(vec![Act::Send(b"SSH-2.0-OpenSSH_9.6\r\n".to_vec()), Act::Close], &question(), "provider_garbled", "").await;
    check(vec![Act::Close], &question(), "provider_broken_off", "").await;
}

#[tokio::test]
async fn bodies_that_lie_about_their_length_are_noticed() {
    let head = |length: usize| {
        format!("HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n")
    };
    let body = hello("hi").to_string();
    let send = |text: String| vec![Act::Send(text.into_bytes()), Act::Close];
    check(send(head(body.len() + 10) + &body), &question(), "provider_broken_off", "").await;
    check(send(head(body.len() - 10) + &body), &question(), "provider_garbled", "EOF").await;
    let chunked =
        "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\nffffffffffffffff\r\n{";
    check(send(chunked.into()), &question(), "provider_broken_off", "").await;
    let twice = format!(
        "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 5\r\ncontent-length: 6\r\n\r\n{body}"
    );
    check(send(twice), &question(), "provider_garbled", "").await;
}

#[tokio::test]
async fn what_has_no_end_is_cut_off() {
    let head = Act::Send(b"HTTP/1.1 200 OK\r\n".to_vec());
    let endless = vec![head, Act::Flood(b"x-filler: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\r\n".repeat(64))];
    check(endless, &question(), "provider_garbled", "").await;
    let line = vec![stream_head("text/event-stream"), chunk(b"data: "), Act::Flood(chunk_bytes(&[b'a'; 65_536]))];
    check(line, &streamed(), "provider_garbled", "longer than").await;
    let head =
        Act::Send(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n".to_vec());
    check(vec![head, Act::Flood(chunk_bytes(&[b' '; 65_536]))], &question(), "provider_garbled", "larger than").await;
}

fn chunk_bytes(bytes: &[u8]) -> Vec<u8> {
    match chunk(bytes) {
        Act::Send(bytes) => bytes,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn silence_ends_at_every_phase_of_a_stream() {
    let delta = b"data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"Hi\"}}]}\n\n";
    let head = || stream_head("text/event-stream");
    let says = "500 ms (idle_timeout_ms)";
    check(vec![Act::Hang], &streamed(), "provider_timeout", says).await;
    check(vec![Act::Send(b"HTTP/1.1 200 OK\r\ncontent-ty".to_vec()), Act::Hang], &streamed(), "provider_timeout", says)
        .await;
    check(vec![head(), Act::Hang], &streamed(), "provider_timeout", says).await;
    check(vec![head(), chunk(delta), Act::Hang], &streamed(), "provider_timeout", says).await;
    check(vec![head(), chunk(&delta[..20]), Act::Hang], &streamed(), "provider_timeout", says).await;
}

#[tokio::test]
async fn a_stream_that_breaks_off_says_so_after_what_it_said() {
    let delta = b"data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"Hi\"}}]}\n\n";
    for (name, end) in [("cut", vec![Act::Close]), ("ended", vec![Act::Send(b"0\r\n\r\n".to_vec())])] {
        let acts = [vec![stream_head("text/event-stream"), chunk(delta)], end].concat();
        let mock = Mock::always(acts).await;
        let mut events = upstream(near(ProviderKind::OpenAi, &mock)).ask("p", "m", &streamed()).await.unwrap();
        assert!(events.next().await.unwrap().is_ok(), "{name}");
        assert_eq!(events.next().await.unwrap().unwrap_err().code(), "provider_broken_off", "{name}");
        assert!(events.next().await.is_none(), "{name}");
    }
    let error = b"data: {\"error\": {\"message\": \"overloaded\"}}\n\n";
    let acts = vec![stream_head("text/event-stream"), chunk(delta), chunk(error)];
    check(acts, &streamed(), "provider_failed", "overloaded").await;
}

#[tokio::test]
async fn nobody_at_home_is_told_from_a_forbidden_door() {
    let mock = Mock::always(Vec::new()).await;
    let mut settings = near(ProviderKind::OpenAi, &mock);
    drop(mock);
    // The port was free a moment ago; a connection is refused at once, or not made in time.
    settings.connect_timeout_ms = 2_000;
    let refused = upstream(settings).ask("p", "m", &question()).await.err().unwrap();
    assert_eq!(refused.code(), "provider_unreachable", "{refused}");

    for host in ["127.0.0.1:1", "[::1]:1", "10.1.2.3", "169.254.169.254", "[::ffff:127.0.0.1]:1", "0.0.0.0:1"] {
        let settings =
            ProviderSettings { base_url: format!("https://{host}/v1"), ..ProviderSettings::new(ProviderKind::OpenAi) };
        let error = upstream(settings).ask("p", "m", &question()).await.err().unwrap();
        assert_eq!(error.code(), "provider_address_refused", "{host}: {error}");
    }
}

#[tokio::test]
async fn the_way_to_a_connection_is_bounded_by_name_address_and_tls() {
    let ask_with = async |base_url: String, surroundings: Surroundings| {
        let settings = ProviderSettings {
            base_url,
            allow_private: true,
            connect_timeout_ms: 100,
            ..ProviderSettings::new(ProviderKind::OpenAi)
        };
        let upstream = Upstream::new(BTreeMap::from([("p".to_string(), settings)]), surroundings);
        let question = question();
        let asking = upstream.ask("p", "m", &question).map(|result| result.err().unwrap());
        tokio::time::timeout(Duration::from_secs(30), asking).await.expect("an error comes in time")
    };
    let resolver: loopwright_serve::upstream::Resolver = Arc::new(|_, _| Box::pin(std::future::pending()));
    let error = ask_with("https://slow.example".into(), Surroundings { resolver, ..surroundings() }).await;
    assert!(error.to_string().ends_with("no connection within 100 ms (connect_timeout_ms)"), "{error}");
    // Somebody who accepts and then says nothing, and somebody who does not speak TLS.
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = silent.local_addr().unwrap();
    let error = ask_with(format!("https://{address}"), surroundings()).await;
    assert!(error.to_string().contains("connect_timeout_ms"), "{error}");
    let plain = Mock::always(json(&hello("plain"))).await;
    let error = ask_with(format!("https://{}", plain.addr), surroundings()).await;
    assert_eq!((error.code(), plain.n_asked()), ("provider_unreachable", 0), "{error}");
}

#[tokio::test]
async fn a_name_that_leads_home_is_not_followed() {
    let mock = Mock::always(json(&hello("inside"))).await;
    let port = mock.addr.port();
    let resolver: loopwright_serve::upstream::Resolver =
        Arc::new(move |_, _| Box::pin(async move { Ok(vec![SocketAddr::from(([127, 0, 0, 1], port))]) }));
    let surroundings = Surroundings { resolver, ..surroundings() };
    let with = |allow_private: bool| {
        let base_url = format!("http://rebound.example:{port}");
        let settings = ProviderSettings { base_url, allow_private, ..ProviderSettings::new(ProviderKind::OpenAi) };
        Upstream::new(BTreeMap::from([("p".to_string(), settings)]), surroundings.clone())
    };
    let error = with(false).ask("p", "m", &question()).await.err().unwrap();
    assert_eq!(error.code(), "provider_address_refused", "{error}");
    assert_eq!(mock.n_asked(), 0);
    assert_eq!(read(with(true).ask("p", "m", &question()).await).await.unwrap().0, "inside");
}

#[tokio::test]
async fn a_missing_key_is_named_and_a_present_one_is_not_told() {
    let mock = Mock::always(reply(401, &[JSON], "{\"error\": {\"message\": \"bad key\"}}")).await;
    let settings = ProviderSettings { api_key_env: "NOT_SET".into(), ..near(ProviderKind::OpenAi, &mock) };
    let upstream = upstream(settings);
    let error = upstream.ask("p", "m", &question()).await.err().unwrap();
    assert!(error.to_string().contains("`NOT_SET` is not set"), "{error}");
    assert_eq!(mock.n_asked(), 0);
    assert!(!format!("{upstream:?} {:?}", surroundings()).contains("sk-secret"));
    assert_eq!(NOW.to_string(), "2026-01-02T03:04:05.000Z");
}

#[tokio::test]
async fn requests_at_a_time_are_bounded() {
    let mock = Mock::always(vec![Act::Hang]).await;
    let settings = ProviderSettings { in_flight_max: 1, ..near(ProviderKind::OpenAi, &mock) };
    let upstream = upstream(settings);
    let ask = question();
    let mut first = Box::pin(upstream.ask("p", "m", &ask));
    assert!(futures::poll!(&mut first).is_pending());
    let error = upstream.ask("p", "m", &ask).await.err().unwrap();
    assert_eq!((error.code(), error.to_string().contains("in_flight_max")), ("rate_limit_exceeded", true));
    drop(first);
    assert!(futures::poll!(Box::pin(upstream.ask("p", "m", &ask))).is_pending(), "the place is free again");
}

#[tokio::test]
async fn connections_are_used_again() {
    let mock = Mock::start(|_, got| match got.body["stream"] == true {
        true => crate::mock::hello_stream("b"),
        false => json(&hello("a")),
    })
    .await;
    let upstream = upstream(near(ProviderKind::OpenAi, &mock));
    for ask in [question(), streamed(), question(), streamed()] {
        read(upstream.ask("p", "m", &ask).await).await.unwrap();
    }
    assert_eq!((mock.n_asked(), mock.n_come(), mock.n_gone()), (4, 1, 0));
}

#[tokio::test]
async fn a_connection_that_was_closed_meanwhile_is_replaced() {
    let mock = Mock::always([json(&hello("a")), vec![Act::Close]].concat()).await;
    let upstream = upstream(near(ProviderKind::OpenAi, &mock));
    for n in 1..=3 {
        read(upstream.ask("p", "m", &question()).await).await.unwrap();
        while mock.n_gone() < n {
            tokio::task::yield_now().await;
        }
    }
    assert_eq!((mock.n_asked(), mock.n_come()), (3, 3));
}

#[tokio::test]
async fn a_stream_that_nobody_reads_to_its_end_costs_its_connection() {
    let mock = Mock::always(vec![stream_head("text/event-stream"), Act::Hang]).await;
    let upstream = upstream(near(ProviderKind::OpenAi, &mock));
    drop(upstream.ask("p", "m", &streamed()).await.unwrap());
    while mock.n_gone() < 1 {
        tokio::task::yield_now().await;
    }
}
