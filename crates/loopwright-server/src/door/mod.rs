//! The door that every API goes through: from what a client asks to the events of its answer.
//!
//! [`answer`] is a list of steps. A step takes what the steps before it found out, and either goes on, answers in the
//! place of the steps after it, or refuses. Whatever happens after a variant was chosen leaves a trace.

mod choose;
mod kept;
mod ours;
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
pub(crate) use choose::provider_routes;
use loopwright_serve::{
    Error,
    ask::{Ask, Prompt, Role},
    event::{Events, Progress},
    wire::Head,
};
use loopwright_types::id::TraceId;
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
        response.extensions_mut().insert(Counted);
    }
}

/// A request that is not answered.
#[derive(Debug)]
pub struct Refused {
    /// Why.
    pub error: ApiError,
    /// Which request this is, once that is known.
    pub about: Option<About>,
}

impl From<Error> for Refused {
    fn from(error: Error) -> Self {
        Self { error: error.into(), about: None }
    }
}

impl From<ApiError> for Refused {
    fn from(error: ApiError) -> Self {
        Self { error, about: None }
    }
}

impl Refused {
    /// The error as an answer, in the shape that `write` gives it.
    pub fn written(self, write: impl FnOnce(ApiError) -> Response) -> Response {
        let mut response = write(self.error);
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
    let Asking { caller, arrival, headers, ask } = asking;
    // 1. Which request this is, and which variant of which route answers.
    let id = choose::trace_id(state, &headers).await;
    let chosen = choose::choose(state, &ask, &id)?;
    // 2. From here on there is a trace, however the request ends.
    let mut draft = Draft::new(state, start_of(&id, arrival, &chosen, &caller, &ask));
    let mut about = About { id, arrival, asked: ask.route.clone(), chosen, headers: HeaderMap::new() };
    // 3. Copies go to shadows; the route's policy has the answer begin, by a model of ours or by a provider.
    let progress = Progress::default();
    routed::copy(state, &about, &ask, &caller);
    let result = routed::ask(state, &mut about, &ask, &caller, progress.clone()).await;
    draft.answered_by(&about.chosen.variant);
    let events = match result {
        Ok(events) => events,
        Err(error) => return Err(kept::refused(draft, about, error)),
    };
    // 4. What is said is kept, and what it took.
    Ok(Answering { about, events: kept::kept(draft, events, progress) })
}

fn start_of(id: &TraceId, arrival: Arrival, chosen: &Chosen, caller: &Caller, ask: &Ask) -> DraftStart {
    DraftStart {
        id: id.clone(),
        arrival,
        route: chosen.route.clone(),
        variant: chosen.variant.clone(),
        key: caller.key.clone(),
        user: ask.user.clone(),
        tag: ask.tag.clone(),
        input: input_of(&ask.prompt),
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
