//! The trace of an answer: what was said and what it took, however it ends.

use super::{About, Refused};
use crate::{AppState, answered::Took, errors::ApiError, routes::draft::Draft};
use axum::http::HeaderMap;
use futures::{StreamExt, stream};
use loopwright_serve::{
    Error,
    event::{Event, Events, FinishReason, Progress},
};
use std::time::Instant;

/// A request that ends before it is answered.
pub(super) async fn refused(draft: Draft, about: About, error: Error) -> Refused {
    let error = ApiError::from(error);
    draft.end(error.status.as_u16(), error.code()).await;
    Refused { error: Box::new(error), about: Some(Box::new(about)), headers: HeaderMap::new() }
}

/// The same events, and the trace on their way. The last event waits until the trace is kept.
pub(super) fn kept(state: &AppState, about: &About, draft: Draft, events: Events, progress: Progress) -> Events {
    let kept = Kept {
        state: state.clone(),
        route: about.chosen.route.clone(),
        since: about.arrival.instant,
        draft: Some(draft),
        events,
        progress,
        finish: FinishReason::Stop,
        first_token_s: None,
    };
    Box::pin(stream::unfold(kept, async |mut kept| {
        let next = kept.events.next().await;
        match &next {
            Some(Ok(event)) => kept.keep(event).await,
            Some(Err(error)) => kept.fail(error).await,
            None => kept.end().await,
        }
        next.map(|event| (event, kept))
    }))
}

struct Kept {
    state: AppState,
    route: String,
    since: Instant,
    /// Present until the answer has ended.
    draft: Option<Draft>,
    events: Events,
    progress: Progress,
    /// Why the first choice ended.
    finish: FinishReason,
    /// When something was said first.
    first_token_s: Option<f64>,
}

impl Kept {
    async fn keep(&mut self, event: &Event) {
        let used = match event {
            Event::Usage(used) => *used,
            _ => self.progress.used(),
        };
        let Some(draft) = self.draft.as_mut() else { return };
        match event {
            // Of several choices the first one is kept.
            Event::Text { choice: 0, text, .. } => draft.add(text, used),
            Event::ToolCall { choice: 0, name: Some(name), arguments, .. } => {
                draft.add(&format!("{name} {arguments}"), used);
            }
            Event::ToolCall { choice: 0, arguments, .. } => draft.add(arguments, used),
            Event::Finish { choice: 0, reason } => {
                self.finish = *reason;
                draft.add("", used);
            }
            _ => draft.add("", used),
        }
        self.first_token_s.get_or_insert_with(|| self.since.elapsed().as_secs_f64());
        if let Event::Usage(used) = event {
            self.progress.set(*used);
            self.end().await;
        }
    }

    async fn end(&mut self) {
        let Some(draft) = self.draft.take() else { return };
        let whole_s = self.since.elapsed().as_secs_f64();
        let (first_token_s, used) = (self.first_token_s.unwrap_or(whole_s), self.progress.used());
        self.state.answered().count(&self.route, Took { first_token_s, whole_s, used, reason: self.finish });
        draft.end(200, self.finish.as_str()).await;
    }

    async fn fail(&mut self, error: &Error) {
        if let Some(mut draft) = self.draft.take() {
            draft.add("", self.progress.used());
            let code = if self.first_token_s.is_none() { error.code() } else { "error" };
            draft.end(ApiError::status_of(error).as_u16(), code).await;
        }
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        // The client went away: the trace tells what was said until then.
        let used = self.progress.used();
        if let Some(draft) = self.draft.as_mut().filter(|_| self.first_token_s.is_some()) {
            draft.add("", used);
        }
    }
}
