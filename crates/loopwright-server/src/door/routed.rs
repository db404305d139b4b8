//! The step through the gateway: a route's policy decides who answers, and who gets a copy.

use super::{About, Notes, choose, input_of, kept, ours, start_of};
use crate::{
    AppState,
    auth::Caller,
    headers::{ATTEMPTS, PROVIDER},
    routes::draft::{Arrival, Draft},
};
use axum::http::{HeaderMap, HeaderValue};
use futures::StreamExt as _;
use loopwright_serve::{
    Error,
    ask::Ask,
    event::{Event, Events, Progress, Used},
    gateway::{Passage, Served, Shadow, Target},
    price::Price,
};
use loopwright_types::{id::TraceId, key::Amount};
use std::time::Instant;

/// Has a request answered. `about` says afterwards who did, or who was asked last.
pub(super) async fn ask(
    state: &AppState,
    about: &mut About,
    ask: &Ask,
    caller: &Caller,
    progress: Progress,
) -> Result<Events, Error> {
    let gateway = state.gateway();
    let asked = about.clone();
    let own = || ask_own(state, &asked, ask, caller, progress.clone());
    let outcome = gateway.answer(Passage { id: asked.id.as_str(), ask }, own).await;
    let is_provider = outcome.served.as_ref().is_some_and(|served| served.target != Target::Own);
    if let Some(served) = &outcome.served {
        tell(state, about, ask, served);
    }
    let events = outcome.result?;
    Ok(if is_provider { estimated(events, progress) } else { events })
}

/// Asks our own model that was chosen for this request.
async fn ask_own(
    state: &AppState,
    about: &About,
    ask: &Ask,
    caller: &Caller,
    progress: Progress,
) -> Result<Events, Error> {
    let chosen = choose::own(state, ask, &about.id)?;
    let about = About { chosen, ..about.clone() };
    ours::ask(state, &about, ask.clone(), caller, progress).await
}

/// Who answered, in the trace and in the answer's headers.
fn tell(state: &AppState, about: &mut About, ask: &Ask, served: &Served) {
    if served.target == Target::Own
        && let Ok(chosen) = choose::own(state, ask, &about.id)
    {
        about.chosen = chosen;
    }
    tell_of(state, about, served);
}

/// The same where our own variant is known already.
pub(super) fn tell_of(state: &AppState, about: &mut About, served: &Served) {
    if let target @ Target::Provider { provider, model } = &served.target {
        about.chosen.variant = choose::variant(&served.variant, target);
        about.notes.lock().price = state.gateway().upstream().price(provider, model).unwrap_or_default();
    }
    let provider = HeaderValue::from_str(served.target.provider());
    about.headers.extend(provider.ok().map(|provider| (PROVIDER, provider)));
    about.headers.insert(ATTEMPTS, served.n_tries.into());
}

/// The dearest of what may answer on a route, for the money that is set aside: ours at this price, or a provider.
pub(super) fn dearest(state: &AppState, route: &str, own: Price) -> Price {
    let gateway = state.gateway();
    let of = |target: Target| match target {
        Target::Own => None,
        Target::Provider { provider, model } => gateway.upstream().price(&provider, &model),
    };
    gateway.policy(route).targets().filter_map(of).fold(own, Price::dearer)
}

/// Bytes of text for a token: providers say what they used at the end, and an answer may be cut short before.
const BYTES_PER_TOKEN: usize = 4;

/// The same events, with `progress` told as they pass.
fn estimated(events: Events, progress: Progress) -> Events {
    let mut n_bytes = 0;
    let told = events.inspect(move |event| match event {
        Ok(Event::Usage(used)) => progress.set(*used),
        Ok(Event::Text { text, .. } | Event::Reasoning { text, .. } | Event::ToolCall { arguments: text, .. }) => {
            n_bytes += text.len();
            let completion_tokens = u32::try_from(n_bytes.div_ceil(BYTES_PER_TOKEN)).unwrap_or(u32::MAX);
            progress.set(Used { completion_tokens, ..Used::default() });
        }
        Ok(Event::Finish { .. }) | Err(_) => {}
    });
    told.boxed()
}

/// Sends copies to the route's shadows. The answer does not wait for them, and nobody sees theirs but the traces.
pub(super) fn copy(state: &AppState, about: &About, ask: &Ask, caller: &Caller) {
    let gateway = state.gateway();
    for shadow in gateway.shadows(&ask.route, about.id.as_str()) {
        let ask = Ask { stream: false, ..ask.clone() };
        // Nobody's key pays for a copy.
        let (state, about, caller) = (state.clone(), about.clone(), Caller::of_server(SHADOW, caller.key.as_str()));
        let gateway = gateway.clone();
        state.clone().copies().start(async move {
            let Some((draft, about, progress)) = begin(&state, &about, &ask, &caller, &shadow) else { return };
            let own = || ask_own(&state, &about, &ask, &caller, progress.clone());
            let answered = gateway.copy(&shadow, &ask, own).await;
            match answered {
                Ok(events) => {
                    // A shadow's tokens are kept by its trace; the events themselves are for nobody.
                    let events = estimated(events, progress.clone());
                    let mut events = kept::kept(&state, &about, draft, events, progress.clone());
                    while events.next().await.is_some() {}
                }
                Err(error) => drop(kept::refused(draft, about.clone(), error).await),
            }
        });
    }
}

/// What pays for copies.
const SHADOW: &str = "shadow";

/// A trace of its own for a copy.
fn begin(
    state: &AppState,
    about: &About,
    ask: &Ask,
    caller: &Caller,
    shadow: &Shadow,
) -> Option<(Draft, About, Progress)> {
    let id = TraceId::new(state.store().new_id("trace"));
    let arrival = Arrival { at: state.store().now(), instant: Instant::now() };
    let mut chosen = about.chosen.clone();
    let notes = Notes::default();
    match &shadow.target {
        Target::Own => {
            chosen.variant.name = shadow.name.clone();
            notes.lock().price = state.rules(&chosen.route).price;
        }
        target @ Target::Provider { provider, model } => {
            chosen.variant = choose::variant(&shadow.name, target);
            notes.lock().price = state.gateway().upstream().price(provider, model).unwrap_or_default();
        }
    }
    let reservation = state.ledger().reserve(&caller.record, Amount::default(), arrival.at).ok()?;
    let about = About { id, arrival, asked: ask.route.clone(), chosen, headers: HeaderMap::new(), notes };
    let mut draft = Draft::new(state, start_of(&about, caller, ask), reservation);
    draft.set_input(input_of(&ask.prompt));
    Some((draft, about, Progress::default()))
}
