//! A whole answer, gathered from its events.

use crate::{
    ask::ToolCall,
    event::{Event, FinishReason, TokenLogprob, Used},
};
use serde::{Deserialize, Serialize};

/// Choices of an answer, and calls of a choice; more than anybody can ask for. What a provider says beyond is left out.
const N_PARTS_MAX: usize = 1024;

/// A whole answer.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Gathered {
    /// The choices in order.
    pub choices: Vec<GatheredChoice>,
    /// Tokens used by all of them.
    pub used: Used,
}

/// One of its choices.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct GatheredChoice {
    /// The text.
    pub text: String,
    /// What the model thought before, where that is told apart.
    pub reasoning: String,
    /// What it calls.
    pub tool_calls: Vec<ToolCall>,
    /// Of the tokens, where asked for.
    pub logprobs: Vec<TokenLogprob>,
    /// Why it ended, once it has.
    pub finish: Option<FinishReason>,
}

impl Gathered {
    /// Takes an event in.
    pub fn add(&mut self, event: &Event) {
        match event {
            Event::Text { choice, text, logprobs } => {
                let choice = self.choice(*choice);
                choice.text.push_str(text);
                choice.logprobs.extend_from_slice(logprobs);
            }
            Event::Reasoning { choice, text } => self.choice(*choice).reasoning.push_str(text),
            Event::ToolCall { choice, index, id, name, arguments } => {
                let calls = &mut self.choice(*choice).tool_calls;
                let index = (*index as usize).min(N_PARTS_MAX);
                if calls.len() <= index {
                    let empty = || ToolCall { id: String::new(), name: String::new(), arguments: String::new() };
                    calls.resize_with(index + 1, empty);
                }
                calls[index].id.push_str(id.as_deref().unwrap_or_default());
                calls[index].name.push_str(name.as_deref().unwrap_or_default());
                calls[index].arguments.push_str(arguments);
            }
            Event::Finish { choice, reason } => self.choice(*choice).finish = Some(*reason),
            Event::Usage(used) => self.used = *used,
        }
    }

    fn choice(&mut self, index: u32) -> &mut GatheredChoice {
        let index = (index as usize).min(N_PARTS_MAX);
        if self.choices.len() <= index {
            self.choices.resize_with(index + 1, GatheredChoice::default);
        }
        &mut self.choices[index]
    }
}

impl GatheredChoice {
    /// Why it ended.
    pub fn reason(&self) -> FinishReason {
        self.finish.unwrap_or(FinishReason::Stop)
    }
}
