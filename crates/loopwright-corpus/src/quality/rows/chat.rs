//! Conversations: turns that alternate, answers that are there and say something.

use super::phrases;
use crate::{
    Reason,
    quality::bounds::{fewer, more},
};
use loopwright_types::openai::ChatMessage;
use serde::{Deserialize, Serialize};

/// The step's name.
pub const STEP: &str = "chat_rows";

/// The bounds. All are our choice: they cut off what is broken, not what is good or bad.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// Fewest messages of the user and the assistant together (2: a question and an answer).
    pub messages_min: usize,
    /// Most messages of the user and the assistant together (200: longer ones are logs of programs).
    pub messages_max: usize,
    /// Most characters of the whole conversation (100,000, some 25,000 tokens).
    pub chars_max: usize,
    /// Fewest characters of a message of the user (1: not empty).
    pub user_chars_min: usize,
    /// Fewest characters of an answer (1: not empty).
    pub answer_chars_min: usize,
    /// Whether users and assistant must take turns.
    pub alternating: bool,
    /// Whether answers may refuse or speak of being a model.
    pub refusals_may_stay: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            messages_min: 2,
            messages_max: 200,
            chars_max: 100_000,
            user_chars_min: 1,
            answer_chars_min: 1,
            alternating: true,
            refusals_may_stay: false,
        }
    }
}

/// The first rule that a conversation breaks, if any. Messages that only call a tool have no text and may be empty.
pub fn check(messages: &[ChatMessage], settings: &Settings) -> Option<Reason> {
    let turns: Vec<(&str, String)> = messages
        .iter()
        .filter(|message| matches!(message.role.as_str(), "user" | "assistant"))
        .map(|message| (message.role.as_str(), message.text()))
        .collect();
    let n_chars = messages.iter().map(|message| message.text().chars().count()).sum();
    fewer("few_messages", "messages", turns.len(), settings.messages_min)
        .or_else(|| more("many_messages", "messages", turns.len(), settings.messages_max))
        .or_else(|| more("too_long", "characters", n_chars, settings.chars_max))
        .or_else(|| order(&turns, messages, settings))
        .or_else(|| turns.iter().find_map(|(role, text)| message(role, text, settings)))
}

/// Whether the user begins, both take turns (but for tools' answers between), and there is an answer.
fn order(turns: &[(&str, String)], messages: &[ChatMessage], settings: &Settings) -> Option<Reason> {
    if !turns.iter().any(|(role, _)| *role == "assistant") {
        return Some(Reason::new("no_answer", "no message is the assistant's"));
    }
    let tools = messages.iter().any(|message| message.role == "tool");
    if !settings.alternating || tools {
        return None;
    }
    let expected = ["user", "assistant"].into_iter().cycle();
    let at = turns.iter().zip(expected).position(|((role, _), expected)| *role != expected)?;
    Some(Reason::new("out_of_turn", format!("message {} is the {}'s, out of turn", at + 1, turns[at].0)))
}

fn message(role: &str, text: &str, settings: &Settings) -> Option<Reason> {
    let n_chars = text.trim().chars().count();
    if role == "user" {
        return fewer("empty_question", "characters in a message of the user", n_chars, settings.user_chars_min);
    }
    fewer("empty_answer", "characters in an answer", n_chars, settings.answer_chars_min)
        .or_else(|| if settings.refusals_may_stay { None } else { phrases::check(text) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use loopwright_types::openai::Content;

    fn conversation(messages: &[(&str, &str)]) -> Vec<ChatMessage> {
        let message = |(role, text): &(&str, &str)| ChatMessage {
            role: (*role).to_string(),
            content: Some(Content::Text((*text).to_string())),
        };
        messages.iter().map(message).collect()
    }

    #[test]
    fn each_rule_has_its_reason() {
        let settings = Settings { messages_max: 4, chars_max: 60, ..Settings::default() };
        let long = "x".repeat(61);
        for (messages, expected) in [
            (&[("user", "Hi?"), ("assistant", "Hello.")][..], None),
            (&[("system", "Be kind."), ("user", "Hi?"), ("assistant", "Hello.")], None),
            (&[("user", "Hi?")], Some("few_messages")),
            (
                &[("user", "1"), ("assistant", "2"), ("user", "3"), ("assistant", "4"), ("user", "5")],
                Some("many_messages"),
            ),
            (&[("user", &long), ("assistant", "2")], Some("too_long")),
            (&[("user", "Hi?"), ("user", "Hello?")], Some("no_answer")),
            (&[("assistant", "Hi"), ("user", "Hello?")], Some("out_of_turn")),
            (&[("user", "1"), ("assistant", "2"), ("assistant", "3")], Some("out_of_turn")),
            (&[("user", "1"), ("assistant", "I look."), ("tool", "42"), ("assistant", "It is 42.")], None),
            (&[("user", " "), ("assistant", "2")], Some("empty_question")),
            (&[("user", "1"), ("assistant", "\n")], Some("empty_answer")),
            (&[("user", "1"), ("assistant", "As an AI language model, no.")], Some("speaks_of_itself")),
            (&[("user", "Are you talking as an AI model?"), ("assistant", "Yes.")], None),
        ] {
            let class = check(&conversation(messages), &settings).map(|reason| reason.class);
            assert_eq!(class.as_deref(), expected, "{messages:?}");
        }
    }

    #[test]
    fn refusals_may_be_wanted() {
        let settings = Settings { refusals_may_stay: true, ..Settings::default() };
        let messages = conversation(&[("user", "A bomb?"), ("assistant", "I can't help with that.")]);
        assert_eq!(check(&messages, &settings), None);
        assert_eq!(check(&messages, &Settings::default()).unwrap().class, "refusal");
    }
}
