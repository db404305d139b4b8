//! The door that every API goes through: from what a client asks to the events of its answer.
//!
//! [`answer`] is a list of steps. A step takes what the steps before it found out, and either goes on, answers in the
//! place of the steps after it, or refuses. Whatever happens after a variant was chosen leaves a trace.

mod choose;
mod embed;
mod guarded;
mod kept;
mod limits;
mod merge;
mod notes;
mod ours;
mod prompted;
mod remembered;
mod routed;
mod send;

use crate::{
    AppState,
    auth::Caller,
    errors::ApiError,
    headers::{Counted, TRACE_ID, VARIANT},
    routes::draft::{Arrival, Draft, DraftStart},
};
use axum::{
    http::{HeaderMap, HeaderValue},
    response::{IntoResponse, Response},
};
pub use choose::Chosen;
pub(crate) use choose::{named, provider_routes};
pub use embed::embed;
use loopwright_serve::{
    Error,
    ask::{Ask, Prompt, Role},
    event::{Events, Progress},
    wire::Head,
};
use loopwright_types::id::TraceId;
pub use merge::merged;
pub use notes::Notes;
pub(crate) use ours::prompt;

use remembered::Looked;
pub use send::send;
use std::time::Instant;

/// What comes to the door.
#[derive(Debug)]
pub struct Asking {
    /// Who asks.
    pub caller: Caller,
    /// Since when.
    pub arrival: Arrival,
    /// The request's headers.
    pub headers: HeaderMap,
    /// What is asked.
    pub ask: Ask,
}

impl Asking {
    /// What this caller asks now.
    pub fn now(state: &AppState, caller: Caller, headers: HeaderMap, ask: Ask, since: Instant) -> Self {
        Self { caller, arrival: Arrival { at: state.store().now(), instant: since }, headers, ask }
    }
}

/// What goes back through it.
pub struct Answering {
    /// Which request this is, and who answers.
    pub about: About,
    /// The answer. Dropped before its end, it cancels the request.
    pub events: Events,
    /// Tokens used so far.
    pub progress: Progress,
}

/// Which request this is, and who answers.
#[derive(Clone, Debug)]
pub struct About {
    /// The trace's id.
    pub id: TraceId,
    /// When the request arrived.
    pub arrival: Arrival,
    /// The name that the client asked for.
    pub asked: String,
    /// Who answers.
    pub chosen: Chosen,
    /// More headers of the answer.
    pub headers: HeaderMap,
    /// What the steps find out.
    pub notes: Notes,
}

impl About {
    /// What stays the same over all parts of the answer.
    pub fn head(&self) -> Head {
        Head {
            id: self.id.0.clone(),
            created: self.arrival.at.millis().div_euclid(1000),
            model: self.asked.clone(),
            fingerprint: self
                .chosen
                .variant
                .model
                .provider_model()
                .map_or_else(|| self.chosen.variant.model.to_string(), str::to_string),
        }
    }

    /// Puts the headers on an answer. It is not counted again: its trace is.
    pub fn mark(&self, response: &mut Response) {
        let values = [(TRACE_ID, self.id.as_str()), (VARIANT, self.chosen.variant.name.as_str())];
        let values = values.into_iter().filter_map(|(name, value)| Some((name, HeaderValue::from_str(value).ok()?)));
        response.headers_mut().extend(values);
        response.headers_mut().extend(self.headers.clone());
        response.headers_mut().extend(self.notes.headers());
        response.extensions_mut().insert(Counted);
    }
}

/// A request that is not answered.
#[derive(Debug)]
pub struct Refused {
    /// Why.
    pub error: Box<ApiError>,
    /// Which request this is, once that is known.
    pub about: Option<Box<About>>,
    /// More headers of the answer.
    pub headers: HeaderMap,
}

impl From<Error> for Refused {
    fn from(error: Error) -> Self {
        Self { error: Box::new(error.into()), about: None, headers: HeaderMap::new() }
    }
}

impl From<ApiError> for Refused {
    fn from(error: ApiError) -> Self {
        Self { error: Box::new(error), about: None, headers: HeaderMap::new() }
    }
}

impl Refused {
    /// The error as an answer, in the shape that `write` gives it.
    pub fn written(self, write: impl FnOnce(ApiError) -> Response) -> Response {
        let mut response = write(*self.error);
        response.headers_mut().extend(self.headers);
        if let Some(about) = self.about {
            about.mark(&mut response);
        }
        response
    }
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        self.written(ApiError::into_response)
    }
}

/// Answers a request, or says why not.
pub async fn answer(state: &AppState, asking: Asking) -> Result<Answering, Refused> {
    let Asking { caller, arrival, headers, mut ask } = asking;
    // 1. Which request this is, and which variant of which route answers.
    let id = choose::trace_id(state, &headers).await;
    let chosen = choose::choose(state, &ask, &id)?;
    let rules = state.rules(&chosen.route);
    prompted::instruct(state, &headers, rules.prompt.as_deref(), &mut ask)?;
    // 2. Room for it under the key's limits.
    let price = routed::dearest(state, &chosen.route, rules.price);
    let (reservation, headers) = limits::reserve(state, &caller, &ask, &chosen.route, &price)?;
    let notes = Notes::default();
    notes.lock().price = rules.price;
    notes.lock().detail.session = ask.session.clone();
    let mut about = About { id, arrival, asked: ask.route.clone(), chosen, headers, notes };
    // 3. From here on there is a trace, however the request ends.
    let mut draft = Draft::new(state, start_of(&about, &caller, &ask), reservation);
    // 4. What is asked is looked at, and masked.
    let checked = guarded::check(&rules.guard, &mut ask, &about.notes).await;
    draft.set_input(input_of(&ask.prompt));
    if let Err(error) = checked {
        return Err(kept::refused(draft, about, error).await);
    }
    // 5. It may have been answered before.
    let progress = Progress::default();
    let keeping = match remembered::look(state, &rules.cache, (&caller, &about), &ask).await {
        Looked::Found(events) => {
            let events = kept::kept(state, &about, draft, events, progress.clone());
            return Ok(Answering { about, events, progress });
        }
        Looked::Missed(keeping) => keeping,
    };
    // 6. Copies go to shadows; the route's policy has the answer begin, by a model of ours or by a provider.
    let guard = guarded::begin(state, &rules.guard, &mut ask);
    routed::copy(state, &about, &ask, &caller);
    let result = routed::ask(state, &mut about, &ask, &caller, progress.clone()).await;
    draft.answered_by(&about.chosen.variant);
    let events = match result {
        Ok(events) => events,
        Err(error) => return Err(kept::refused(draft, about, error).await),
    };
    // 7. What is said is looked at, remembered, and kept with what it took.
    let events = guarded::guarded(events, guard, about.notes.clone());
    let events = remembered::remembered(state, events, keeping);
    let events = kept::kept(state, &about, draft, events, progress.clone());
    Ok(Answering { about, events, progress })
}

fn start_of(about: &About, caller: &Caller, ask: &Ask) -> DraftStart {
    DraftStart {
        id: about.id.clone(),
        arrival: about.arrival,
        route: about.chosen.route.clone(),
        variant: about.chosen.variant.clone(),
        key: caller.key.clone(),
        user: ask.user.clone(),
        tag: ask.tag.clone(),
        notes: about.notes.clone(),
    }
}

/// The last user message: what a trace keeps as the input.
fn input_of(prompt: &Prompt) -> String {
    match prompt {
        Prompt::Chat(messages) => {
            let last = messages.iter().rev().find(|message| message.role == Role::User);
            last.map(loopwright_serve::ask::Message::text).unwrap_or_default()
        }
        Prompt::Text(text) => text.clone(),
        Prompt::Tokens(_) => String::new(),
    }
}
