//! The cache: what is found again, what is not, and what goes first.

use super::*;
use crate::{GatheredChoice, ask::Sampling, event::Used};
use loopwright_types::key::Scope;
use proptest::prelude::*;

fn key(id: &str, owner: &str) -> ApiKey {
    ApiKey {
        id: id.into(),
        owner: owner.into(),
        hash: Digest::of(b""),
        scope: Scope::Inference,
        created_at: Timestamp(0),
        revoked_at: None,
        expires_at: None,
        routes: Vec::new(),
        limits: Vec::new(),
    }
}

fn ask(question: &str) -> Ask {
    Ask {
        route: "support".into(),
        prompt: Prompt::Chat(vec![Message::text_of(Role::System, "be kind"), Message::text_of(Role::User, question)]),
        n: 1,
        max_tokens: None,
        stop: Vec::new(),
        sampling: Sampling::default(),
        logprobs: None,
        format: Format::Text,
        tools: Vec::new(),
        tool_choice: Default::default(),
        parallel_tool_calls: true,
        stream: false,
        user: None,
        session: None,
        tag: None,
    }
}

fn answer(text: &str) -> Gathered {
    let choice = GatheredChoice { text: text.into(), finish: Some(FinishReason::Stop), ..GatheredChoice::default() };
    Gathered { choices: vec![choice], used: Used { prompt_tokens: 3, completion_tokens: 2, ..Used::default() } }
}

fn settings(mode: CacheMode, scope: CacheScope) -> CacheSettings {
    CacheSettings { mode, scope, embed: Some(ModelRef::new("e5", 1)), ..CacheSettings::default() }
}

fn found_by(settings: &CacheSettings, key: &ApiKey, ask: &Ask, version: u32) -> Option<CacheKey> {
    CacheKey::of(settings, key, ask, ("support", &ModelRef::new("m", version)), None)
}

#[test]
fn an_answer_is_found_by_all_that_could_change_it() {
    let exact = settings(CacheMode::Exact, CacheScope::Key);
    let by = |key: &ApiKey, ask: &Ask, version| found_by(&exact, key, ask, version).map(|it| it.exact);
    let (one, base) = (key("k1", "a"), ask("where?"));
    let same =
        Ask { stream: true, user: Some("u".into()), session: Some("s".into()), tag: Some("t".into()), ..base.clone() };
    assert_eq!(by(&one, &base, 1), by(&one, &same, 1));
    let longer = Ask { max_tokens: Some(9), ..base.clone() };
    for other in [by(&key("k2", "a"), &base, 1), by(&one, &base, 2), by(&one, &longer, 1), by(&one, &ask("when?"), 1)] {
        assert_ne!(by(&one, &base, 1), other);
    }
    let warm =
        |seed| Ask { sampling: Sampling { temperature: Some(1.0), seed, ..Sampling::default() }, ..base.clone() };
    assert_eq!(by(&one, &warm(None), 1), None, "chance has a part in it");
    assert!(by(&one, &warm(Some(1)), 1).is_some());
    assert_eq!(found_by(&CacheSettings::default(), &one, &base, 1), None, "off");
}

#[test]
fn keys_share_what_the_scope_says() {
    let shares = |scope, a: &ApiKey, b: &ApiKey| {
        let settings = settings(CacheMode::Exact, scope);
        found_by(&settings, a, &ask("?"), 1) == found_by(&settings, b, &ask("?"), 1)
    };
    let (a1, a2, b) = (key("k1", "a"), key("k2", "a"), key("k3", "b"));
    assert_eq!([shares(CacheScope::Key, &a1, &a2), shares(CacheScope::Key, &a1, &b)], [false, false]);
    assert_eq!([shares(CacheScope::Owner, &a1, &a2), shares(CacheScope::Owner, &a1, &b)], [true, false]);
    assert_eq!([shares(CacheScope::Route, &a1, &a2), shares(CacheScope::Route, &a1, &b)], [true, true]);
    // An owner who is called as a key shares nothing with it.
    let named = key("k9", "k1");
    let (by_key, by_owner) =
        (settings(CacheMode::Exact, CacheScope::Key), settings(CacheMode::Exact, CacheScope::Owner));
    assert_ne!(found_by(&by_key, &a1, &ask("?"), 1), found_by(&by_owner, &named, &ask("?"), 1));
}

#[test]
fn answers_have_a_time_and_only_whole_ones_are_kept() {
    let exact = settings(CacheMode::Exact, CacheScope::Key);
    let found = |ask: &Ask| found_by(&exact, &key("k", "a"), ask, 1).unwrap();
    let cache = AnswerCache::default();
    cache.put(&exact, found(&ask("1")), answer("yes"), None, Timestamp(0));
    assert_eq!(cache.get(&found(&ask("1")), Timestamp(3_599_999)).unwrap().choices[0].text, "yes");
    assert!(cache.get(&found(&ask("1")), Timestamp(3_600_000)).is_none());
    assert_eq!(cache.size(), (0, 0), "what is over is gone");
    for reason in [None, Some(FinishReason::Length), Some(FinishReason::ContentFilter)] {
        let mut cut = answer("part");
        cut.choices[0].finish = reason;
        cache.put(&exact, found(&ask("2")), cut, None, Timestamp(0));
    }
    cache.put(&exact, found(&ask("2")), Gathered::default(), None, Timestamp(0));
    assert_eq!(cache.size().0, 0);
}

#[test]
fn questions_that_mean_the_same_are_found_within_their_group() {
    let semantic = settings(CacheMode::Semantic, CacheScope::Key);
    let found = |ask: &Ask| found_by(&semantic, &key("k", "a"), ask, 1).unwrap();
    let cache = AnswerCache::default();
    cache.put(&semantic, found(&ask("where is it")), answer("there"), Some(vec![1.0, 0.0]), Timestamp(0));
    cache.put(&semantic, found(&ask("who are you")), answer("me"), Some(vec![0.0, 2.0]), Timestamp(0));
    let near = |ask: &Ask, vector: [f32; 2]| {
        cache.nearest(&found(ask), &vector, 0.9, Timestamp(1)).map(|it| it.choices[0].text.clone())
    };
    assert_eq!(near(&ask("where's it"), [0.9, 0.1]).as_deref(), Some("there"));
    assert_eq!(near(&ask("x"), [0.0, 0.5]).as_deref(), Some("me"));
    assert_eq!(near(&ask("x"), [0.7, 0.7]), None, "too far from both");
    assert_eq!(near(&Ask { max_tokens: Some(1), ..ask("where's it") }, [1.0, 0.0]), None, "another group");
    let mut turns = ask("and now?");
    let Prompt::Chat(messages) = &mut turns.prompt else { unreachable!() };
    messages.insert(1, Message::text_of(Role::Assistant, "hi"));
    assert_eq!(found(&turns).group, None, "what was said before matters");
    assert_eq!(found(&Ask { format: Format::Json, ..ask("x") }).group, None);
    assert_eq!(found(&ask("where is it")).question, "where is it");
}

#[test]
fn a_person_is_forgotten() {
    let exact = settings(CacheMode::Exact, CacheScope::Key);
    let of = |question: &str, subject: Option<&str>| {
        let subject = subject.map(SubjectId::from);
        CacheKey::of(&exact, &key("k", "a"), &ask(question), ("r", &ModelRef::new("m", 1)), subject).unwrap()
    };
    let cache = AnswerCache::default();
    for (question, subject) in [("1", Some("s1")), ("2", Some("s1")), ("3", Some("s2")), ("4", None)] {
        cache.put(&exact, of(question, subject), answer("x"), None, Timestamp(0));
    }
    assert_eq!((cache.forget(&"s1".into()), cache.size().0), (2, 2));
    assert!(cache.get(&of("1", None), Timestamp(1)).is_none());
    assert!(cache.get(&of("3", None), Timestamp(1)).is_some());
}

#[test]
fn an_answer_given_again_is_the_same_answer() {
    let mut given = answer(&"ü".repeat(150));
    given.choices.push(GatheredChoice {
        reasoning: "hm".into(),
        tool_calls: vec![crate::ask::ToolCall { id: "c".into(), name: "f".into(), arguments: "{}".into() }],
        finish: Some(FinishReason::ToolCalls),
        ..GatheredChoice::default()
    });
    let mut again = Gathered::default();
    events_of(&given).iter().for_each(|event| again.add(event));
    assert_eq!(again, given);
}

#[test]
fn senseless_settings_are_refused() {
    let check = |change: fn(&mut CacheSettings)| {
        let mut settings = CacheSettings::default();
        change(&mut settings);
        settings.check().is_ok()
    };
    assert!(check(|_| {}));
    assert!(!check(|it| it.ttl_s = 0));
    assert!(!check(|it| it.threshold = 1.5));
    assert!(!check(|it| it.mode = CacheMode::Semantic));
    assert!(!check(|it| it.embed = Some(ModelRef::new("m", 1))));
}

proptest! {
    /// The bounds hold after every step, and what was used last is still there.
    #[test]
    fn bounds_hold_and_the_oldest_go_first(
        steps in prop::collection::vec((0u8..12, 0usize..300), 1..60), entries_max in 1usize..6, bytes_max in 800usize..3000,
    ) {
        let settings = CacheSettings { mode: CacheMode::Exact, entries_max, bytes_max, ..CacheSettings::default() };
        let cache = AnswerCache::default();
        for (name, length) in steps {
            let found = found_by(&settings, &key("k", "a"), &ask(&name.to_string()), 1).unwrap();
            let fits = n_bytes(&answer(&"x".repeat(length))) <= bytes_max;
            cache.put(&settings, found.clone(), answer(&"x".repeat(length)), None, Timestamp(0));
            let (n, bytes) = cache.size();
            prop_assert!(n <= entries_max && bytes <= bytes_max);
            prop_assert!(!fits || cache.get(&found, Timestamp(1)).is_some());
        }
    }
}
