//! How states are shown: a symbol and a word, with a colour only on top of them.

use maud::{Markup, html};

/// How a state feels; only chooses the colour.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tone {
    /// As it should be.
    Good,
    /// Needs a look.
    Bad,
    /// Under way, or not decided.
    Busy,
    /// Nothing to do.
    Plain,
}

impl Tone {
    fn class(self) -> &'static str {
        match self {
            Self::Good => "good",
            Self::Bad => "bad",
            Self::Busy => "busy",
            Self::Plain => "plain",
        }
    }
}

/// A stored state word as symbol, word and tone. An unknown word is shown as it is.
pub fn reading(state: &str) -> (&'static str, String, Tone) {
    let (symbol, tone) = match state {
        "finished" | "approved" | "stable" | "promoted" | "quiet" | "pass" | "done" | "allowed" | "active" => {
            ("✓", Tone::Good)
        }
        "failed" | "fail" | "alarm" | "broken" => ("✕", Tone::Bad),
        "rolled_back" => ("↩", Tone::Bad),
        "running" | "leased" => ("▶", Tone::Busy),
        "need_more" | "undecided" => ("?", Tone::Busy),
        "queued" | "candidate" => ("○", Tone::Busy),
        "retired" | "opted_out" | "revoked" => ("–", Tone::Plain),
        _ => ("•", Tone::Plain),
    };
    let word = match state {
        "need_more" => "needs more rows".to_string(),
        "leased" => "being worked on".to_string(),
        "quiet" => "no alarm".to_string(),
        "pass" => "passed".to_string(),
        "fail" => "failed".to_string(),
        other => other.replace('_', " "),
    };
    (symbol, word, tone)
}

/// A stored state word as a badge.
pub fn badge(state: &str) -> Markup {
    let (symbol, word, tone) = reading(state);
    marked(symbol, &word, tone)
}

/// Any words as a badge.
pub fn marked(symbol: &str, words: &str, tone: Tone) -> Markup {
    html! { span.badge.(tone.class()) { span aria-hidden="true" { (symbol) } " " (words) } }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_state_is_readable_without_colour() {
        for state in ["running", "failed", "rolled_back", "need_more", "promoted"] {
            let (symbol, word, _) = reading(state);
            let html = badge(state).into_string();
            assert!(html.contains(symbol) && html.contains(&word), "{state}: {html}");
        }
        assert_eq!(reading("rolled_back").1, "rolled back");
        assert_ne!(reading("pass").0, reading("fail").0);
    }

    #[test]
    fn unknown_states_are_escaped() {
        assert!(!badge("<b>").into_string().contains("<b>"));
    }
}
