//! Answers that were given before, and keeping those that are given now.

use super::{About, notes::Notes};
use crate::{AppState, auth::Caller};
use futures::{StreamExt, stream};
use loopwright_serve::{
    Error, Gathered,
    ask::Ask,
    cache::{CacheKey, CacheMode, CacheSettings, events_of},
    event::{Event, Events},
};
use loopwright_types::trace::CacheState;
use std::sync::Arc;

/// What looking came to.
pub(super) enum Looked {
    /// The answer was given before.
    Found(Events),
    /// It was not; once it is whole, it is to be kept under this, if anything.
    Missed(Option<Keeping>),
}

/// Under what an answer is to be kept.
pub(super) struct Keeping {
    key: CacheKey,
    vector: Option<Vec<f32>>,
    settings: CacheSettings,
}

/// Looks for an answer that was given before.
pub(super) async fn look(
    state: &AppState,
    settings: &CacheSettings,
    (caller, about): (&Caller, &About),
    ask: &Ask,
) -> Looked {
    if settings.mode == CacheMode::Off {
        return Looked::Missed(None);
    }
    let subject = ask.user.as_deref().map(|user| state.store().subject_id(user));
    let served = (about.chosen.route.as_str(), &about.chosen.variant.model);
    let Some(key) = CacheKey::of(settings, &caller.record, ask, served, subject) else { return Looked::Missed(None) };
    let now = state.store().now();
    if let Some(answer) = state.answers().get(&key, now) {
        return found(&about.notes, CacheState::Hit, &answer);
    }
    let vector = match &key.group {
        Some(_) => embedded(state, settings, &key.question).await,
        None => None,
    };
    if let Some(vector) = &vector
        && let Some(answer) = state.answers().nearest(&key, vector, settings.threshold, now)
    {
        return found(&about.notes, CacheState::Semantic, &answer);
    }
    about.notes.lock().detail.cache = CacheState::Miss;
    Looked::Missed(Some(Keeping { key, vector, settings: settings.clone() }))
}

fn found(notes: &Notes, how: CacheState, answer: &Arc<Gathered>) -> Looked {
    notes.lock().detail.cache = how;
    Looked::Found(Box::pin(stream::iter(events_of(answer).into_iter().map(Ok))))
}

/// What a question means; none, and a line in the log, if the embedding model cannot be asked.
async fn embedded(state: &AppState, settings: &CacheSettings, question: &str) -> Option<Vec<f32>> {
    let model = settings.embed.as_ref()?;
    let embedding = async {
        let tokens = state.engine().tokenize(model, question.to_string()).await?;
        state.engine().embed(model, tokens).await
    };
    match embedding.await {
        Ok(vector) => Some(vector),
        Err(error) => {
            tracing::warn!(%model, error = &error as &dyn std::error::Error, "a question could not be embedded");
            None
        }
    }
}

/// The same events; once they are whole, the answer is kept.
pub(super) fn remembered(state: &AppState, events: Events, keeping: Option<Keeping>) -> Events {
    let Some(keeping) = keeping else { return events };
    let it = Remembered { state: state.clone(), events, answer: Gathered::default(), keeping: Some(keeping) };
    Box::pin(stream::unfold(it, async |mut it| {
        let event = it.events.next().await?;
        it.note(&event);
        Some((event, it))
    }))
}

struct Remembered {
    state: AppState,
    events: Events,
    answer: Gathered,
    /// Present until the answer has ended.
    keeping: Option<Keeping>,
}

impl Remembered {
    fn note(&mut self, event: &Result<Event, Error>) {
        let Ok(event) = event else {
            self.keeping = None;
            return;
        };
        self.answer.add(event);
        if let Event::Usage(_) = event
            && let Some(keeping) = self.keeping.take()
        {
            let (answer, now) = (std::mem::take(&mut self.answer), self.state.store().now());
            self.state.answers().put(&keeping.settings, keeping.key, answer, keeping.vector, now);
        }
    }
}
