//! The words of a row: a text that folds when it is long, a conversation as its turns.

use loopwright_types::{
    Conversation,
    conversation::{Role, Turn},
};
use maud::{Markup, html};

/// Characters that are shown before a text folds.
const CHARS_MAX: usize = 280;

/// Whether long words are shown whole from the start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fold {
    /// They unfold when asked.
    Folded,
    /// They are shown.
    Open,
}

/// A text. A long one shows its start and unfolds.
pub fn text(text: &str, fold: Fold) -> Markup {
    match start(text, CHARS_MAX) {
        None => html! { span.wide.said { (text) } },
        Some(start) => html! {
            details.wide open[fold == Fold::Open] {
                summary { span.start { (start) "…" } span.whole { "The whole text" } }
                div.said { (text) }
            }
        },
    }
}

/// A conversation: how many turns, the start of the first that a person speaks, and all of them when unfolded.
pub fn conversation(conversation: &Conversation, fold: Fold) -> Markup {
    let n_turns = conversation.turns().count() as u64;
    let asked = conversation.turns().find(|turn| turn.role == Role::User).or_else(|| conversation.turns().next());
    let asked = asked.map_or("", |turn| turn.content.as_str());
    html! {
        details.wide open[fold == Fold::Open] {
            summary {
                strong { (super::figures::plural(n_turns, "turn")) }
                span.start { ": " @match start(asked, CHARS_MAX) { Some(start) => { (start) "…" }, None => (asked) } }
            }
            @match conversation {
                Conversation::Turns(all) => (turns(all)),
                Conversation::Preference { prompt, chosen, rejected } => {
                    @if !prompt.is_empty() { (turns(prompt)) }
                    p.choice { strong { "✓ Preferred answer" } }
                    (turns(chosen))
                    p.choice { strong { "✕ Other answer" } }
                    (turns(rejected))
                }
            }
        }
    }
}

fn turns(turns: &[Turn]) -> Markup {
    html! {
        ol.turns {
            @for turn in turns { li { strong { (turn.role.as_str()) } div.said { (turn.content) } } }
        }
    }
}

/// The first characters, if more follow.
fn start(text: &str, n_chars: usize) -> Option<&str> {
    text.char_indices().nth(n_chars).map(|(end, _)| &text[..end])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_texts_are_whole_and_long_ones_unfold() {
        assert_eq!(text("a <b>", Fold::Folded).into_string(), "<span class=\"wide said\">a &lt;b&gt;</span>");
        let long = "ä".repeat(281);
        let html = text(&long, Fold::Folded).into_string();
        assert!(html.starts_with("<details class=\"wide\"><summary>") && html.contains(&long), "{html}");
        assert!(text(&long, Fold::Open).into_string().starts_with("<details class=\"wide\" open>"));
    }

    #[test]
    fn turns_keep_their_order_and_their_speakers() {
        let turn = |role, words: &str| Turn::new(role, words);
        let said = Conversation::Turns(vec![
            turn(Role::System, "Be kind."),
            turn(Role::User, "Where is <it>?"),
            turn(Role::Assistant, "On its way."),
        ]);
        let html = conversation(&said, Fold::Folded).into_string();
        assert!(
            html.contains("<strong>3 turns</strong><span class=\"start\">: Where is &lt;it&gt;?</span></summary>"),
            "{html}"
        );
        let at = |part: &str| html.find(part).unwrap_or_else(|| panic!("{part} in {html}"));
        assert!(at(">system<") < at(">user<") && at(">user<") < at(">assistant<"));
    }

    #[test]
    fn a_preference_says_which_answer_was_liked() {
        let pair = Conversation::Preference {
            prompt: vec![],
            chosen: vec![Turn::new(Role::Assistant, "good")],
            rejected: vec![Turn::new(Role::Assistant, "bad")],
        };
        let html = conversation(&pair, Fold::Open).into_string();
        let at = |part: &str| html.find(part).unwrap_or_else(|| panic!("{part} in {html}"));
        assert!(at("Preferred answer") < at("\">good<") && at("\">good<") < at("Other answer"));
        assert!(at("Other answer") < at("\">bad<"));
        assert!(conversation(&Conversation::Turns(vec![]), Fold::Folded).into_string().contains("0 turns"));
    }
}
