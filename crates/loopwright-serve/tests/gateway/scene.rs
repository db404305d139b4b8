//! A gateway with providers on loopback.

use crate::mock::Mock;
use futures::StreamExt;
use loopwright_serve::{
    Error,
    ask::{Ask, Format, Message, Prompt, Role, Sampling, ToolChoice},
    event::{Event, Events, Used},
    gateway::{Gateway, GatewaySettings, Outcome, Passage, RoutePolicy, VariantSettings},
    upstream::{ProviderKind, ProviderSettings, Surroundings, Upstream, system_resolver},
};
use loopwright_types::Timestamp;
use std::{collections::BTreeMap, sync::Arc};

/// 2026-01-02T03:04:05Z
pub const NOW: Timestamp = Timestamp(1_767_323_045_000);

pub fn surroundings() -> Surroundings {
    let env = |name: &str| match name {
        "MOCK_KEY" => Some("sk-secret".to_string()),
        "AWS_ACCESS_KEY_ID" => Some("AKIDEXAMPLE".into()),
        "AWS_SECRET_ACCESS_KEY" => Some("wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY".into()),
        "AWS_SESSION_TOKEN" => Some("session".into()),
        _ => None,
    };
    Surroundings { env: Arc::new(env), clock: Arc::new(|| NOW), resolver: system_resolver() }
}

/// Settings of a provider on loopback.
pub fn near(kind: ProviderKind, mock: &Mock) -> ProviderSettings {
    ProviderSettings {
        base_url: mock.url(),
        allow_private: true,
        api_key_env: if kind == ProviderKind::Bedrock { String::new() } else { "MOCK_KEY".into() },
        region: "eu-central-1".into(),
        idle_timeout_ms: 500,
        ..ProviderSettings::new(kind)
    }
}

pub fn upstream(settings: ProviderSettings) -> Upstream {
    Upstream::new(BTreeMap::from([("p".to_string(), settings)]), surroundings())
}

pub fn question() -> Ask {
    Ask {
        route: "chat".into(),
        prompt: Prompt::Chat(vec![
            Message::text_of(Role::System, "be brief"),
            Message::text_of(Role::User, "hello there"),
        ]),
        n: 1,
        max_tokens: Some(64),
        stop: vec!["END".into()],
        sampling: Sampling { temperature: Some(0.7), ..Sampling::default() },
        logprobs: None,
        format: Format::Text,
        tools: Vec::new(),
        tool_choice: ToolChoice::Auto,
        parallel_tool_calls: true,
        stream: false,
        user: None,
        session: None,
        tag: None,
    }
}

pub fn streamed() -> Ask {
    Ask { stream: true, ..question() }
}

/// Text and tokens of an answer, or its error.
pub async fn read(events: Result<Events, Error>) -> Result<(String, Used), Error> {
    let (mut text, mut used) = (String::new(), None);
    let mut events = events?;
    while let Some(event) = events.next().await {
        assert!(used.is_none(), "usage comes last");
        match event? {
            Event::Text { text: more, .. } => text.push_str(&more),
            Event::Usage(it) => used = Some(it),
            _ => {}
        }
    }
    Ok((text, used.expect("usage comes at the end")))
}

pub async fn all(events: Events) -> Vec<Event> {
    events.map(|event| event.unwrap()).collect().await
}

pub fn variant(provider: &str, weight: u32) -> VariantSettings {
    VariantSettings { provider: provider.into(), model: "m".into(), weight, name: provider.into() }
}

/// A policy that waits for nothing.
pub fn policy(variants: Vec<VariantSettings>) -> RoutePolicy {
    RoutePolicy { variants, retry_base_ms: 1, retry_max_ms: 2, timeout_ms: 30_000, ..RoutePolicy::default() }
}

/// A gateway with a route `chat` and providers of OpenAI's language.
pub fn gateway(policy: RoutePolicy, mocks: &[(&str, &Mock)]) -> Gateway {
    let provider = |(name, mock): &(&str, &Mock)| (name.to_string(), near(ProviderKind::OpenAi, mock));
    let providers: BTreeMap<String, ProviderSettings> = mocks.iter().map(provider).collect();
    policy.check(|name| providers.contains_key(name)).unwrap();
    let settings = GatewaySettings { providers, routes: BTreeMap::from([("chat".into(), policy)]) };
    Gateway::new(settings, surroundings(), 7)
}

pub async fn ask(gateway: &Gateway, id: &str, ask: &Ask) -> Outcome<Events> {
    gateway.answer(Passage { id, ask }, || async { Err(Error::RouteNotReady { name: "chat".into() }) }).await
}

/// The text of an answer, who gave it and after how many tries.
pub async fn told(outcome: Outcome<Events>) -> (String, String, u32) {
    let served = outcome.served.unwrap();
    let (text, _) = read(outcome.result).await.unwrap();
    (text, served.variant, served.n_tries)
}
