//! A request and its answer under the route's guardrails.

use super::notes::Notes;
use crate::AppState;
use futures::{StreamExt, stream};
use loopwright_serve::{
    Error,
    ask::{Ask, Prompt},
    event::{Event, Events},
    guardrails::{AnswerGuard, Guard},
};
use loopwright_types::trace::GuardStage;
use std::collections::VecDeque;

/// Longer requests are looked at outside of the async runtime.
const INLINE_BYTES_MAX: usize = 8 << 10;

/// Looks at what is asked, masks in it what is to be masked, or refuses it.
pub(super) async fn check(guard: &Guard, ask: &mut Ask, notes: &Notes) -> Result<(), Error> {
    if guard.is_empty() {
        return Ok(());
    }
    let mut prompt = std::mem::replace(&mut ask.prompt, Prompt::Tokens(Vec::new()));
    let checked = if n_bytes(&prompt) <= INLINE_BYTES_MAX {
        guard.check_input(&mut prompt)
    } else {
        let guard = guard.clone();
        let looking = tokio::task::spawn_blocking(move || {
            let checked = guard.check_input(&mut prompt);
            (prompt, checked)
        });
        let (masked, checked) =
            looking.await.map_err(|problem| Error::Thread(format!("a guardrail died: {problem}")))?;
        prompt = masked;
        checked
    };
    ask.prompt = prompt;
    notes.lock().detail.guard.extend(checked.verdicts);
    match checked.blocked {
        Some(rule) => Err(Error::Guarded { rule }),
        None => Ok(()),
    }
}

fn n_bytes(prompt: &Prompt) -> usize {
    match prompt {
        Prompt::Chat(messages) => messages.iter().map(|message| message.text().len()).sum(),
        Prompt::Text(text) => text.len(),
        Prompt::Tokens(_) => 0,
    }
}

/// Begins to look at the answer; puts a canary into the instructions, if a rule looks for one.
pub(super) fn begin(state: &AppState, guard: &Guard, ask: &mut Ask) -> Option<AnswerGuard> {
    if !guard.guards_answers() {
        return None;
    }
    let asked = ask.prompt.clone();
    let canary = guard.add_canary(&mut ask.prompt, state.canary_salt());
    Some(guard.on_answer(&asked, canary.as_deref()))
}

/// The events that may be sent.
pub(super) fn guarded(events: Events, guard: Option<AnswerGuard>, notes: Notes) -> Events {
    let Some(guard) = guard else { return events };
    let state = Guarded { events, guard, notes, ready: VecDeque::new(), noted: None };
    Box::pin(stream::unfold(state, async |mut it| {
        while it.ready.is_empty() {
            match it.events.next().await? {
                Ok(event) => {
                    it.ready.extend(it.guard.take(event).into_iter().map(Ok));
                    it.note();
                }
                Err(error) => it.ready.push_back(Err(error)),
            }
        }
        it.ready.pop_front().map(|event| (event, it))
    }))
}

struct Guarded {
    events: Events,
    guard: AnswerGuard,
    notes: Notes,
    ready: VecDeque<Result<Event, Error>>,
    /// The guard's revision that was written down last.
    noted: Option<u64>,
}

impl Guarded {
    /// Writes down what the rules say, where it is new: the client may go away at any time.
    fn note(&mut self) {
        let revision = self.guard.revision();
        if self.noted != Some(revision) {
            self.noted = Some(revision);
            let mut noted = self.notes.lock();
            noted.detail.guard.retain(|it| it.stage != GuardStage::Output);
            noted.detail.guard.extend(self.guard.checked().verdicts);
        }
    }
}
