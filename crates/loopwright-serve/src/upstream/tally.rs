//! What every provider's answer must come down to: each choice ends once, each call is named once, usage comes last.

use crate::{
    Trouble,
    ask::{Ask, Part, Prompt},
    event::{Event, FinishReason, TokenLogprob, Used},
};
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// What a provider's answer says that is not an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Complaint {
    /// What happened.
    pub trouble: Trouble,
    /// In words.
    pub message: String,
}

impl Complaint {
    pub(crate) fn new(trouble: Trouble, message: impl Into<String>) -> Self {
        Self { trouble, message: message.into() }
    }

    pub(crate) fn garbled(message: impl Into<String>) -> Self {
        Self::new(Trouble::Garbled, message)
    }
}

/// The events of an answer under way.
#[derive(Debug)]
pub(crate) struct Tally {
    out: VecDeque<Event>,
    begun: BTreeSet<u32>,
    finished: BTreeSet<u32>,
    /// Calls that were named, and whether they have arguments.
    calls: BTreeMap<(u32, u32), bool>,
    used: Option<Used>,
    n_prompt_bytes: usize,
    n_answer_bytes: usize,
}

/// Bytes of text for a token, where a provider does not say what it used.
const BYTES_PER_TOKEN: usize = 4;
/// Choices and calls that an answer may have: a provider cannot make us remember more.
const N_PARTS_MAX: u32 = 1_024;

impl Tally {
    pub(crate) fn new(ask: &Ask) -> Self {
        let n_prompt_bytes = match &ask.prompt {
            Prompt::Chat(messages) => {
                messages.iter().flat_map(|message| &message.parts).filter_map(Part::text).map(str::len).sum()
            }
            Prompt::Text(text) => text.len(),
            Prompt::Tokens(tokens) => tokens.len() * BYTES_PER_TOKEN,
        };
        Self {
            out: VecDeque::new(),
            begun: BTreeSet::new(),
            finished: BTreeSet::new(),
            calls: BTreeMap::new(),
            used: None,
            n_prompt_bytes,
            n_answer_bytes: 0,
        }
    }

    /// The next event that is ready.
    pub(crate) fn next(&mut self) -> Option<Event> {
        self.out.pop_front()
    }

    pub(crate) fn text(&mut self, choice: u32, text: String, logprobs: Vec<TokenLogprob>) -> Result<(), Complaint> {
        if text.is_empty() && logprobs.is_empty() {
            return Ok(());
        }
        self.begin(choice)?;
        self.n_answer_bytes += text.len();
        self.out.push_back(Event::Text { choice, text, logprobs });
        Ok(())
    }

    pub(crate) fn reasoning(&mut self, choice: u32, text: String) -> Result<(), Complaint> {
        if text.is_empty() {
            return Ok(());
        }
        self.begin(choice)?;
        self.n_answer_bytes += text.len();
        self.out.push_back(Event::Reasoning { choice, text });
        Ok(())
    }

    /// A part of a call; id and name are passed on the first time only.
    pub(crate) fn call(&mut self, (choice, index): (u32, u32), part: CallPart) -> Result<(), Complaint> {
        self.begin(choice)?;
        if index >= N_PARTS_MAX {
            return Err(Complaint::garbled(format!("a call has the number {index}")));
        }
        let has_arguments = !part.arguments.is_empty();
        let (id, name) = match self.calls.get_mut(&(choice, index)) {
            Some(had) => {
                *had |= has_arguments;
                (None, None)
            }
            None => {
                let name = part.name.filter(|name| !name.is_empty());
                let name = name.ok_or_else(|| Complaint::garbled("a call of a tool does not name the tool"))?;
                let id = part.id.filter(|id| !id.is_empty()).unwrap_or_else(|| format!("call_{choice}_{index}"));
                self.calls.insert((choice, index), has_arguments);
                (Some(id), Some(name))
            }
        };
        if id.is_some() || has_arguments {
            self.n_answer_bytes += part.arguments.len();
            self.out.push_back(Event::ToolCall { choice, index, id, name, arguments: part.arguments });
        }
        Ok(())
    }

    /// True if this choice has called a tool.
    pub(crate) fn has_calls(&self, choice: u32) -> bool {
        self.calls.range((choice, 0)..=(choice, u32::MAX)).next().is_some()
    }

    pub(crate) fn finish(&mut self, choice: u32, reason: FinishReason) -> Result<(), Complaint> {
        if self.finished.contains(&choice) {
            return Ok(());
        }
        self.begin(choice)?;
        self.finished.insert(choice);
        let bare: Vec<u32> = self
            .calls
            .range((choice, 0)..=(choice, u32::MAX))
            .filter(|(_, has_arguments)| !**has_arguments)
            .map(|((_, index), _)| *index)
            .collect();
        for index in bare {
            // A call without arguments is a call with none, which is still JSON.
            self.out.push_back(Event::ToolCall { choice, index, id: None, name: None, arguments: "{}".into() });
        }
        self.out.push_back(Event::Finish { choice, reason });
        Ok(())
    }

    pub(crate) fn used(&mut self, used: Used) {
        self.used = Some(used);
    }

    /// The answer is over. What a provider does not count is estimated, so that budgets never count nothing.
    pub(crate) fn close(&mut self) -> Result<(), Complaint> {
        if self.begun.is_empty() || self.begun != self.finished {
            return Err(Complaint::new(Trouble::BrokenOff, "it ended before the answer did"));
        }
        let tokens = |n_bytes: usize| u32::try_from(n_bytes.div_ceil(BYTES_PER_TOKEN)).unwrap_or(u32::MAX);
        let estimate = || Used {
            prompt_tokens: tokens(self.n_prompt_bytes),
            completion_tokens: tokens(self.n_answer_bytes),
            ..Used::default()
        };
        let used = self.used.unwrap_or_else(estimate);
        self.out.push_back(Event::Usage(used));
        Ok(())
    }

    fn begin(&mut self, choice: u32) -> Result<(), Complaint> {
        if choice >= N_PARTS_MAX {
            return Err(Complaint::garbled(format!("an answer has the number {choice}")));
        }
        if self.finished.contains(&choice) {
            return Err(Complaint::garbled("an answer goes on after its end"));
        }
        self.begun.insert(choice);
        Ok(())
    }
}

/// A part of a call.
#[derive(Debug, Default)]
pub(crate) struct CallPart {
    pub(crate) id: Option<String>,
    pub(crate) name: Option<String>,
    pub(crate) arguments: String,
}

/// A provider's refusal inside of an answer, in the shapes that providers use:
/// `{"error": {"message", …}}`, `{"error": "…"}`, `{"message": "…"}`.
pub(crate) fn message_of(body: &serde_json::Value) -> Option<String> {
    let error = body.get("error").unwrap_or(body);
    let text = error.as_str().or_else(|| error.get("message")?.as_str()).or_else(|| error.get("Message")?.as_str());
    text.or_else(|| body.get("detail")?.as_str()).map(bounded)
}

/// Characters of a provider's words that are passed on.
const MESSAGE_CHARS_MAX: usize = 1_000;

/// Cut to a bound, without control characters.
pub(crate) fn bounded(text: &str) -> String {
    let plain = text.chars().map(|c| if c.is_control() { ' ' } else { c });
    let mut kept: String = plain.clone().take(MESSAGE_CHARS_MAX).collect();
    if plain.count() > MESSAGE_CHARS_MAX {
        kept.push('…');
    }
    kept.trim().into()
}
