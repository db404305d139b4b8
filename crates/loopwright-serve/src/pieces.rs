//! The engine's pieces as an answer's events.

use crate::{
    Error, Piece, Result,
    event::{Event, Events, Progress},
};
use futures::stream;
use std::collections::VecDeque;
use tokio::sync::mpsc;

/// The events of an answer of `n` choices. `progress` tells the tokens used so far.
pub fn events(pieces: mpsc::Receiver<Result<Piece>>, n: u32, progress: Progress) -> Events {
    let reading = Reading { pieces, n_open: n, progress, ready: VecDeque::new(), has_ended: false };
    Box::pin(stream::unfold(reading, async |mut reading| {
        while reading.ready.is_empty() && !reading.has_ended {
            let piece = reading.pieces.recv().await.unwrap_or(Err(Error::Stopped));
            reading.take(piece);
        }
        reading.ready.pop_front().map(|event| (event, reading))
    }))
}

struct Reading {
    pieces: mpsc::Receiver<Result<Piece>>,
    /// Choices that have not ended.
    n_open: u32,
    progress: Progress,
    ready: VecDeque<Result<Event>>,
    has_ended: bool,
}

impl Reading {
    fn take(&mut self, piece: Result<Piece>) {
        let Piece { choice, text, logprobs, finish, used } = match piece {
            Ok(piece) => piece,
            Err(error) => {
                self.has_ended = true;
                self.ready.push_back(Err(error));
                return;
            }
        };
        self.progress.set(used);
        if !text.is_empty() || !logprobs.is_empty() {
            self.ready.push_back(Ok(Event::Text { choice, text, logprobs }));
        }
        if let Some(reason) = finish {
            self.ready.push_back(Ok(Event::Finish { choice, reason }));
            self.n_open = self.n_open.saturating_sub(1);
            if self.n_open == 0 {
                self.has_ended = true;
                self.ready.push_back(Ok(Event::Usage(used)));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{FinishReason, Used};
    use futures::StreamExt;

    fn piece(choice: u32, text: &str, finish: Option<FinishReason>, completion_tokens: u32) -> Result<Piece> {
        let used = Used { prompt_tokens: 2, completion_tokens, ..Used::default() };
        Ok(Piece { choice, text: text.into(), logprobs: vec![], finish, used })
    }

    async fn read(pieces: Vec<Result<Piece>>, n: u32) -> (Vec<std::result::Result<Event, String>>, Used) {
        let (sender, receiver) = mpsc::channel(16);
        for piece in pieces {
            sender.try_send(piece).unwrap();
        }
        drop(sender);
        let progress = Progress::default();
        let all = events(receiver, n, progress.clone()).map(|event| event.map_err(|e| e.to_string())).collect().await;
        (all, progress.used())
    }

    #[tokio::test]
    async fn usage_follows_the_last_choice() {
        let (events, used) = read(
            vec![
                piece(0, "a", None, 1),
                piece(1, "b", Some(FinishReason::Length), 2),
                piece(0, "", Some(FinishReason::Stop), 3),
                piece(0, "never", None, 4),
            ],
            2,
        )
        .await;
        let used_all = Used { prompt_tokens: 2, completion_tokens: 3, ..Used::default() };
        let text = |choice, text: &str| Ok(Event::Text { choice, text: text.into(), logprobs: vec![] });
        let expected = [
            text(0, "a"),
            text(1, "b"),
            Ok(Event::Finish { choice: 1, reason: FinishReason::Length }),
            Ok(Event::Finish { choice: 0, reason: FinishReason::Stop }),
            Ok(Event::Usage(used_all)),
        ];
        assert_eq!(events, expected);
        assert_eq!(used, used_all);
    }

    #[tokio::test]
    async fn an_engine_that_stops_is_an_error_and_progress_stays() {
        let (events, used) = read(vec![piece(0, "a", None, 1)], 1).await;
        assert_eq!(events.last(), Some(&Err(Error::Stopped.to_string())));
        assert_eq!((events.len(), used.completion_tokens), (2, 1));
    }
}
