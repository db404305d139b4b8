//! The trace of an answer: what was said and what it took, however it ends.

use super::{About, Refused};
use crate::{errors::ApiError, routes::draft::Draft};
use axum::http::HeaderMap;
use futures::{StreamExt, stream};
use loopwright_serve::{
    Error,
    event::{Event, Events, FinishReason, Progress},
};

/// A request that ends before it is answered.
pub(super) async fn refused(draft: Draft, about: About, error: Error) -> Refused {
    let error = ApiError::from(error);
    draft.end(error.status.as_u16(), error.code()).await;
    Refused { error, about: Some(about), headers: HeaderMap::new() }
}

/// The same events, and the trace on their way. The last event waits until the trace is kept.
pub(super) fn kept(draft: Draft, events: Events, progress: Progress) -> Events {
    let kept = Kept { draft: Some(draft), events, progress, finish: FinishReason::Stop, is_silent: true };
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
    /// Present until the answer has ended.
    draft: Option<Draft>,
    events: Events,
    progress: Progress,
    /// Why the first choice ended.
    finish: FinishReason,
    /// Nothing was said yet.
    is_silent: bool,
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
        self.is_silent = false;
        if let Event::Usage(_) = event {
            self.end().await;
        }
    }

    async fn end(&mut self) {
        if let Some(draft) = self.draft.take() {
            draft.end(200, self.finish.as_str()).await;
        }
    }

    async fn fail(&mut self, error: &Error) {
        if let Some(mut draft) = self.draft.take() {
            draft.add("", self.progress.used());
            let code = if self.is_silent { error.code() } else { "error" };
            draft.end(ApiError::status_of(error).as_u16(), code).await;
        }
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        // The client went away: the trace tells what was said until then.
        let used = self.progress.used();
        if let Some(draft) = self.draft.as_mut().filter(|_| !self.is_silent) {
            draft.add("", used);
        }
    }
}
