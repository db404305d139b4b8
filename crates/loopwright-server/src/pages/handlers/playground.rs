//! `GET`, `POST /playground`: a conversation with any route, or with two side by side. Every turn goes through the same door
//! as a client's request, and leaves a trace like one.

use crate::{
    AppState,
    auth::{Caller, SignedIn},
    door::{self, Asking},
    pages::{
        answer::{Page, PageError},
        origin,
        view::playground::{Side, Talk, Turn, playground},
    },
};
use axum::{
    Form,
    extract::State,
    http::{HeaderMap, StatusCode},
};
use futures::StreamExt;
use loopwright_serve::{
    Gathered,
    ask::{Ask, Format, Message, Prompt, Role, Sampling, ToolChoice},
};
use serde::Deserialize;
use std::time::Instant;

/// Longest message, in characters.
const MESSAGE_CHARS_MAX: usize = 20_000;
/// Turns that a page remembers; older ones leave the conversation.
const N_TURNS_MAX: usize = 20;
/// Longest answer that can be asked for here.
const ANSWER_TOKENS_MAX: u32 = 4_096;

/// The form's fields.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Said {
    route: String,
    beside: String,
    system: String,
    message: String,
    temperature: String,
    max_tokens: String,
    /// The conversation so far, as the last page wrote it.
    talk: String,
    /// "Start again" was pressed.
    clear: String,
}

/// `GET /playground`
pub async fn show(_: SignedIn, State(state): State<AppState>) -> Page {
    let mut talk = Talk { routes: routes(&state), ..Talk::default() };
    talk.route = talk.routes.first().cloned().unwrap_or_default();
    Page(playground(&talk))
}

/// `POST /playground`
pub async fn say(
    who: SignedIn,
    State(state): State<AppState>,
    headers: HeaderMap,
    Form(said): Form<Said>,
) -> Result<Page, PageError> {
    if !origin::is_own(&headers) {
        let why = "The form does not come from a page of this server.".into();
        return Err(PageError::Refused { status: StatusCode::FORBIDDEN, why, way_back: "/playground".into() });
    }
    let mut talk = read(&state, &said);
    if !said.clear.is_empty() {
        talk.turns.clear();
    } else if let Err(problem) = check(&said, &talk) {
        talk.problem = Some(problem);
        talk.message = said.message;
    } else {
        let names = [&talk.route, &talk.beside].into_iter().filter(|name| !name.is_empty()).enumerate();
        let asks = names.map(|(side, route)| answered(&state, &who, &talk, (side, route), &said));
        let sides = futures::future::join_all(asks).await;
        talk.turns.push(Turn { message: said.message, sides });
        talk.turns.drain(..talk.turns.len().saturating_sub(N_TURNS_MAX));
    }
    Ok(Page(playground(&talk)))
}

/// The routes that can be asked.
fn routes(state: &AppState) -> Vec<String> {
    let mut names: Vec<String> = state.live().routes.routes().map(|route| route.name.clone()).collect();
    names.extend(door::provider_routes(state));
    names.sort();
    names.dedup();
    names
}

fn read(state: &AppState, said: &Said) -> Talk {
    Talk {
        routes: routes(state),
        route: said.route.clone(),
        beside: said.beside.clone(),
        system: said.system.clone(),
        temperature: said.temperature.clone(),
        max_tokens: said.max_tokens.clone(),
        // What a browser sends back is only shown and said to models again; what cannot be read is left out.
        turns: serde_json::from_str(&said.talk).unwrap_or_default(),
        ..Talk::default()
    }
}

fn check(said: &Said, talk: &Talk) -> Result<(), String> {
    if said.message.trim().is_empty() {
        return Err("Write a message first.".into());
    }
    let n = said.message.chars().count().max(said.system.chars().count());
    if n > MESSAGE_CHARS_MAX {
        return Err(format!("A message may have {MESSAGE_CHARS_MAX} characters; this one has {n}."));
    }
    if !talk.routes.contains(&said.route) {
        return Err(format!("There is no route `{}` now; choose another.", said.route));
    }
    if !said.beside.is_empty() && !talk.routes.contains(&said.beside) {
        return Err(format!("There is no route `{}` now; choose another.", said.beside));
    }
    if !said.temperature.is_empty() && !said.temperature.parse().is_ok_and(|t: f32| (0.0..=2.0).contains(&t)) {
        return Err("The temperature must be a number from 0 to 2, or empty.".into());
    }
    let fits = |n: u32| (1..=ANSWER_TOKENS_MAX).contains(&n);
    if !said.max_tokens.is_empty() && !said.max_tokens.parse().is_ok_and(fits) {
        return Err(format!("Answer tokens must be a number from 1 to {ANSWER_TOKENS_MAX}, or empty."));
    }
    Ok(())
}

/// One side's answer to the newest message.
async fn answered(state: &AppState, who: &SignedIn, talk: &Talk, (side, route): (usize, &String), said: &Said) -> Side {
    let since = Instant::now();
    let caller = Caller::of_server("playground", &who.actor);
    let asking = Asking::now(state, caller, HeaderMap::new(), ask(talk, (side, route), said), since);
    let mut answering = match door::answer(state, asking).await {
        Ok(answering) => answering,
        Err(refused) => {
            let trace = refused.about.map(|about| about.id);
            let problem = Some(refused.error.body.error.message.clone());
            return Side { route: route.clone(), trace, problem, ..Side::default() };
        }
    };
    let (mut gathered, mut first_token_ms, mut problem) = (Gathered::default(), None, None);
    while let Some(event) = answering.events.next().await {
        first_token_ms.get_or_insert_with(|| since.elapsed().as_secs_f64() * 1e3);
        match event {
            Ok(event) => gathered.add(&event),
            Err(error) => problem = Some(error.to_string()),
        }
    }
    let noted = answering.about.notes.lock().clone();
    let answer = gathered.choices.first();
    Side {
        route: route.clone(),
        answered_by: answering.about.chosen.variant.model.to_string(),
        text: answer.map(|answer| answer.text.clone()).unwrap_or_default(),
        finish: answer.and_then(|answer| answer.finish).map(|finish| finish.as_str().to_owned()),
        tokens_in: gathered.used.prompt_tokens,
        tokens_cached: gathered.used.cached_tokens,
        tokens_out: gathered.used.completion_tokens,
        first_token_ms: first_token_ms.unwrap_or_default(),
        whole_ms: since.elapsed().as_secs_f64() * 1e3,
        cost_micro_usd: noted.cost_micro_usd.unwrap_or_default(),
        guard: noted.detail.guard,
        trace: Some(answering.about.id.clone()),
        problem,
    }
}

/// The conversation as this side knows it, and the newest message.
fn ask(talk: &Talk, (side, route): (usize, &String), said: &Said) -> Ask {
    let mut messages = Vec::new();
    if !talk.system.trim().is_empty() {
        messages.push(Message::text_of(Role::System, &talk.system));
    }
    for turn in &talk.turns {
        if let Some(answer) = turn.sides.get(side).filter(|answer| answer.problem.is_none()) {
            messages.push(Message::text_of(Role::User, &turn.message));
            messages.push(Message::text_of(Role::Assistant, &answer.text));
        }
    }
    messages.push(Message::text_of(Role::User, &said.message));
    Ask {
        route: route.clone(),
        prompt: Prompt::Chat(messages),
        n: 1,
        max_tokens: said.max_tokens.parse().ok(),
        stop: Vec::new(),
        sampling: Sampling { temperature: said.temperature.parse().ok(), ..Sampling::default() },
        logprobs: None,
        format: Format::Text,
        tools: Vec::new(),
        tool_choice: ToolChoice::None,
        parallel_tool_calls: false,
        stream: true,
        user: None,
        session: None,
        tag: Some("playground".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(message: &str) -> Said {
        Said { route: "support".into(), message: message.into(), ..Said::default() }
    }

    fn talk() -> Talk {
        Talk { routes: vec!["support".into(), "other".into()], route: "support".into(), ..Talk::default() }
    }

    #[test]
    fn what_cannot_be_asked_is_told_in_words() {
        let says = |said: &Said, words: &str| assert!(check(said, &talk()).unwrap_err().contains(words), "{words}");
        assert_eq!(check(&said("hello"), &talk()), Ok(()));
        says(&said("  "), "Write a message");
        says(&said(&"x".repeat(20_001)), "20001");
        says(&Said { route: "gone".into(), ..said("a") }, "no route `gone`");
        says(&Said { beside: "gone".into(), ..said("a") }, "no route `gone`");
        says(&Said { temperature: "hot".into(), ..said("a") }, "temperature");
        says(&Said { max_tokens: "0".into(), ..said("a") }, "Answer tokens");
    }

    #[test]
    fn each_side_hears_its_own_answers_again() {
        let side = |text: &str, problem: Option<String>| Side { text: text.into(), problem, ..Side::default() };
        let mut talk = Talk { system: "Be brief.".into(), ..talk() };
        let sides = vec![side("left", None), side("", Some("it failed".into()))];
        talk.turns.push(Turn { message: "first".into(), sides });
        let texts = |which: usize| match ask(&talk, (which, &"support".into()), &said("second")).prompt {
            Prompt::Chat(messages) => messages.iter().map(Message::text).collect::<Vec<_>>(),
            other => panic!("{other:?}"),
        };
        assert_eq!(texts(0), ["Be brief.", "first", "left", "second"]);
        assert_eq!(texts(1), ["Be brief.", "second"]);
    }
}
