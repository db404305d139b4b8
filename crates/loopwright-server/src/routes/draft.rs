//! The trace of a request while it is being answered. However the request ends, its trace is kept and counted once.

use crate::{AppState, door::Notes};
use futures::FutureExt as _;
use loopwright_observe::{entry::Opened, sink::RawTrace};
use loopwright_serve::{event::Used, ledger::Reservation};
use loopwright_types::{
    Timestamp,
    deployment::Variant,
    id::{KeyId, TraceId},
    key::Amount,
    trace::{CacheState, Trace, TraceDetail},
};
use std::time::Instant;

/// The word for a request whose client went away before the end.
const CANCELLED: &str = "cancelled";
/// The status kept for it (nginx's word; nobody receives it).
const CANCELLED_STATUS: u16 = 499;

/// When a request arrived, on both clocks.
#[derive(Clone, Copy, Debug)]
pub struct Arrival {
    /// For the record.
    pub at: Timestamp,
    /// For durations.
    pub instant: Instant,
}

/// What is known once a variant was chosen.
#[derive(Clone, Debug)]
pub struct DraftStart {
    /// The request's id.
    pub id: TraceId,
    /// When it arrived.
    pub arrival: Arrival,
    /// The route asked for.
    pub route: String,
    /// Who answers.
    pub variant: Variant,
    /// The key that pays.
    pub key: KeyId,
    /// The end user as the client names them; becomes a pseudonym here.
    pub user: Option<String>,
    /// The client's tag.
    pub tag: Option<String>,
    /// What the request's steps find out.
    pub notes: Notes,
}

/// A trace in the making, and the money set aside for its request.
pub struct Draft {
    state: AppState,
    trace: Trace,
    arrival: Instant,
    notes: Notes,
    /// Present until the request has ended.
    reservation: Option<Reservation>,
    used: Used,
    has_first_token: bool,
}

impl Draft {
    /// A trace that counts as cancelled until it is ended otherwise. The journal is told that the request was let in.
    pub fn new(state: &AppState, start: DraftStart, reservation: Reservation) -> Self {
        let subject = start.user.as_deref().map(|user| state.store().subject_id(user));
        let trace = Trace {
            id: start.id,
            at: start.arrival.at,
            route: start.route,
            variant: start.variant.name,
            model: start.variant.model,
            key: Some(start.key),
            subject,
            input: String::new(),
            output: String::new(),
            tokens_in: 0,
            tokens_out: 0,
            latency_ms: 0.0,
            first_token_ms: 0.0,
            status: CANCELLED_STATUS,
            finish: CANCELLED.into(),
            tag: start.tag,
            detail: TraceDetail::default(),
        };
        if let Err(error) = state.sink().open(opened(&trace, reservation.held())) {
            // The request is answered all the same; only a kill before its end would not be told.
            tracing::warn!(error = &error as &dyn std::error::Error, "a request was not written into the journal");
        }
        Self {
            state: state.clone(),
            trace,
            arrival: start.arrival.instant,
            notes: start.notes,
            reservation: Some(reservation),
            used: Used::default(),
            has_first_token: false,
        }
    }

    /// The last user message, not masked for the trace yet.
    pub fn set_input(&mut self, input: String) {
        self.trace.input = input;
    }

    /// Who answers after all.
    pub fn answered_by(&mut self, variant: &Variant) {
        self.trace.variant.clone_from(&variant.name);
        self.trace.model.clone_from(&variant.model);
    }

    /// New text of the answer, and the tokens used so far.
    pub fn add(&mut self, text: &str, used: Used) {
        if !self.has_first_token {
            self.has_first_token = true;
            self.trace.first_token_ms = self.elapsed_ms();
        }
        self.trace.output.push_str(text);
        self.used = used;
    }

    /// The answer so far.
    pub fn output(&self) -> &str {
        &self.trace.output
    }

    /// The request ended with this status, for this reason (`stop`, `length` or an error's code). When this returns, its
    /// trace survives the end of the process.
    pub async fn end(mut self, status: u16, finish: &str) {
        self.trace.status = status;
        self.trace.finish = finish.into();
        let Some(trace) = self.close() else { return };
        let sink = self.state.sink().clone();
        let mut keeping = Box::pin(async move {
            if let Err(error) = sink.keep(trace).await {
                tracing::error!(error = &error as &dyn std::error::Error, "a trace is lost");
            }
        });
        // Most are kept without any waiting. What has to wait gets a task of its own: a client that goes away now cannot
        // stop it halfway.
        if (&mut keeping).now_or_never().is_some() {
            return;
        }
        if let Err(problem) = tokio::spawn(keeping).await {
            tracing::error!(%problem, "a trace is lost");
        }
    }

    fn elapsed_ms(&self) -> f64 {
        self.arrival.elapsed().as_secs_f64() * 1000.0
    }

    /// Settles what the request used, once, and returns its trace.
    fn close(&mut self) -> Option<RawTrace> {
        let reservation = self.reservation.take()?;
        let mut trace = self.trace.clone();
        trace.latency_ms = self.elapsed_ms();
        (trace.tokens_in, trace.tokens_out) = (self.used.prompt_tokens, self.used.completion_tokens);
        let mut noted = self.notes.lock();
        let is_cached = matches!(noted.detail.cache, CacheState::Hit | CacheState::Semantic);
        let cost = if is_cached { 0 } else { noted.price.cost_micro_usd(&self.used) };
        noted.cost_micro_usd = Some(cost);
        let tokens_cached = self.used.cached_tokens;
        trace.detail = TraceDetail { cost_micro_usd: cost, tokens_cached, ..noted.detail.clone() };
        drop(noted);
        reservation.settle(trace.used(), self.state.store().now());
        Some(RawTrace(trace))
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        if let Some(trace) = self.close() {
            // A full sink drops the trace and counts it: here nobody can wait.
            self.state.sink().record(trace);
        }
    }
}

fn opened(trace: &Trace, reserved: Amount) -> Opened {
    Opened {
        id: trace.id.clone(),
        at: trace.at,
        route: trace.route.clone(),
        variant: trace.variant.clone(),
        model: trace.model.clone(),
        key: trace.key.clone(),
        subject: trace.subject.clone(),
        tag: trace.tag.clone(),
        reserved,
    }
}
