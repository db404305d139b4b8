//! The trace of a request while it is being answered. However the request ends, its trace is kept and counted once.

use crate::AppState;
use loopwright_observe::sink::RawTrace;
use loopwright_types::{
    Timestamp,
    deployment::Variant,
    id::{KeyId, TraceId},
    openai::Usage,
    trace::Trace,
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
    /// The last user message, not masked yet.
    pub input: String,
}

/// A trace in the making.
pub struct Draft {
    state: AppState,
    trace: Trace,
    arrival: Instant,
    has_first_token: bool,
    is_done: bool,
}

impl Draft {
    /// A trace that counts as cancelled until it is ended otherwise.
    pub fn new(state: &AppState, start: DraftStart) -> Self {
        let subject = start.user.as_deref().map(|user| state.store().subject_id(user));
        let trace = Trace {
            id: start.id,
            at: start.arrival.at,
            route: start.route,
            variant: start.variant.name,
            model: start.variant.model,
            key: Some(start.key),
            subject,
            input: start.input,
            output: String::new(),
            tokens_in: 0,
            tokens_out: 0,
            latency_ms: 0.0,
            first_token_ms: 0.0,
            status: CANCELLED_STATUS,
            finish: CANCELLED.into(),
            tag: start.tag,
        };
        let arrival = start.arrival.instant;
        Self { state: state.clone(), trace, arrival, has_first_token: false, is_done: false }
    }

    /// Who answers after all.
    pub fn answered_by(&mut self, variant: &Variant) {
        self.trace.variant.clone_from(&variant.name);
        self.trace.model.clone_from(&variant.model);
    }

    /// New text of the answer.
    pub fn add(&mut self, text: &str, usage: Usage) {
        if !self.has_first_token {
            self.has_first_token = true;
            self.trace.first_token_ms = self.elapsed_ms();
        }
        self.trace.output.push_str(text);
        self.trace.tokens_in = usage.prompt_tokens;
        self.trace.tokens_out = usage.completion_tokens;
    }

    /// The answer so far.
    pub fn output(&self) -> &str {
        &self.trace.output
    }

    /// The request ended with this status, for this reason (`stop`, `length` or an error's code).
    pub fn end(mut self, status: u16, finish: &str) {
        self.trace.status = status;
        self.trace.finish = finish.into();
        self.keep();
    }

    fn elapsed_ms(&self) -> f64 {
        self.arrival.elapsed().as_secs_f64() * 1000.0
    }

    fn keep(&mut self) {
        self.is_done = true;
        self.trace.latency_ms = self.elapsed_ms();
        // A full sink drops the trace and counts it; the answer does not wait.
        self.state.sink().record(RawTrace(self.trace.clone()));
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        if !self.is_done {
            self.keep();
        }
    }
}
