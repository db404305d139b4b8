//! The trace of an answer: what was said and what it took, however it ends.

use super::{About, Refused};
use crate::{errors::ApiError, routes::draft::Draft};
use futures::{Stream, StreamExt};
use loopwright_serve::{
    Error,
    event::{Event, Events, FinishReason, Progress},
};
use std::{
    pin::Pin,
    task::{Context, Poll},
};

/// A request that ends before it is answered.
pub(super) fn refused(draft: Draft, about: About, error: Error) -> Refused {
    let error = ApiError::from(error);
    draft.end(error.status.as_u16(), error.code());
    Refused { error, about: Some(about) }
}

/// The same events, and the trace on their way.
pub(super) fn kept(draft: Draft, events: Events, progress: Progress) -> Events {
    Box::pin(Kept { draft: Some(draft), events, progress, finish: FinishReason::Stop, is_silent: true })
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

impl Stream for Kept {
    type Item = Result<Event, Error>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let next = self.events.poll_next_unpin(context);
        match &next {
            Poll::Ready(Some(Ok(event))) => self.keep(event),
            Poll::Ready(Some(Err(error))) => self.fail(error),
            Poll::Ready(None) => self.end(),
            Poll::Pending => {}
        }
        next
    }
}

impl Kept {
    fn keep(&mut self, event: &Event) {
        let used = match event {
            Event::Usage(used) => *used,
            _ => self.progress.used(),
        };
        let Some(draft) = self.draft.as_mut() else { return };
        match event {
            // Of several choices the first one is kept.
            Event::Text { choice: 0, text, .. } => draft.add(text, used.into()),
            Event::ToolCall { choice: 0, name: Some(name), arguments, .. } => {
                draft.add(&format!("{name} {arguments}"), used.into());
            }
            Event::ToolCall { choice: 0, arguments, .. } => draft.add(arguments, used.into()),
            Event::Finish { choice: 0, reason } => {
                self.finish = *reason;
                draft.add("", used.into());
            }
            _ => draft.add("", used.into()),
        }
        self.is_silent = false;
        if let Event::Usage(_) = event {
            self.end();
        }
    }

    fn end(&mut self) {
        if let Some(draft) = self.draft.take() {
            draft.end(200, self.finish.as_str());
        }
    }

    fn fail(&mut self, error: &Error) {
        if let Some(draft) = self.draft.take() {
            draft.end(ApiError::status_of(error).as_u16(), if self.is_silent { error.code() } else { "error" });
        }
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        // The client went away: the trace tells what was said until then.
        let used = self.progress.used();
        if let Some(draft) = self.draft.as_mut().filter(|_| !self.is_silent) {
            draft.add("", used.into());
        }
    }
}
