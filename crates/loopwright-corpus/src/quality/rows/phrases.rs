//! Answers that teach a model the wrong thing: refusals, and talk of being a model.
//!
//! Answers gathered from chat services are full of "As an AI language model, I …". Whoever tunes on them gets a model that
//! says so; the first public clean-ups of instruction data (WizardLM and ShareGPT "unfiltered", AlpacaDataCleaned, all
//! 2023) dropped them by lists of phrases. The lists below are our own, and short: a phrase is on them only if it hardly
//! ever stands in an answer that helps. A refusal is one if the answer *begins* with it; "I can't help you with that
//! bill, but here is …" later in an answer is no reason to drop it.

use crate::Reason;
use aho_corasick::AhoCorasick;
use std::sync::LazyLock;

/// Talk of being a model, wherever it stands.
const SELF_TALK: [&str; 12] = [
    "as an ai language model",
    "as a language model",
    "as a large language model",
    "as an ai assistant",
    "as an ai model",
    "as an artificial intelligence",
    "i am an ai language model",
    "i'm an ai language model",
    "i am just an ai",
    "i'm just an ai",
    "my knowledge cutoff",
    "my training data",
];

/// Beginnings of refusals.
const REFUSALS: [&str; 16] = [
    "i'm sorry, but i can't",
    "i'm sorry, but i cannot",
    "i'm sorry, but i am not able",
    "i'm sorry, but i'm not able",
    "i am sorry, but i can't",
    "i am sorry, but i cannot",
    "sorry, but i can't",
    "sorry, but i cannot",
    "i can't assist with",
    "i cannot assist with",
    "i can't help with",
    "i cannot help with",
    "i cannot fulfill",
    "i can't fulfill",
    "i'm unable to",
    "i am unable to",
];

/// A refusal must begin within so many bytes.
const OPENING_BYTES: usize = 40;

/// A reason, if an answer refuses or speaks of being a model.
pub fn check(answer: &str) -> Option<Reason> {
    // The typographic apostrophe is as frequent as the plain one.
    let plain = if answer.is_ascii() { None } else { Some(answer.replace('’', "'")) };
    let answer = plain.as_deref().unwrap_or(answer).trim_start();
    if let Some(found) = automaton(&SELF_TALK_AUTOMATON).find(answer) {
        let phrase = SELF_TALK[found.pattern().as_usize()];
        return Some(Reason::new("speaks_of_itself", format!("the answer says `{phrase}`")));
    }
    let found = automaton(&REFUSALS_AUTOMATON).find(answer).filter(|found| found.start() <= OPENING_BYTES)?;
    let phrase = REFUSALS[found.pattern().as_usize()];
    Some(Reason::new("refusal", format!("the answer begins with `{phrase}`")))
}

static SELF_TALK_AUTOMATON: LazyLock<AhoCorasick> = LazyLock::new(|| build(&SELF_TALK));
static REFUSALS_AUTOMATON: LazyLock<AhoCorasick> = LazyLock::new(|| build(&REFUSALS));

fn automaton(lazy: &'static LazyLock<AhoCorasick>) -> &'static AhoCorasick {
    lazy
}

fn build(phrases: &[&str]) -> AhoCorasick {
    let automaton = AhoCorasick::builder().ascii_case_insensitive(true).build(phrases);
    automaton.expect("a few short phrases make a small automaton")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn phrases_are_found_where_they_count() {
        for (answer, expected) in [
            ("As an AI language model, I have no opinions.", Some("speaks_of_itself")),
            ("It rains. I’m just an AI, though.", Some("speaks_of_itself")),
            ("I'm sorry, but I can't do that.", Some("refusal")),
            ("  Unfortunately, I’m unable to open links.", Some("refusal")),
            ("Take the second street. If you get lost, call me; but I'm unable to answer at night.", None),
            ("I'm sorry to hear that. Here is what you can do.", None),
            ("A language model predicts the next token.", None),
            ("", None),
        ] {
            assert_eq!(check(answer).map(|reason| reason.class).as_deref(), expected, "{answer}");
        }
    }
}
