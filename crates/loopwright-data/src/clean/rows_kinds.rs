//! Rows that a model is tuned on, as the rules for their kind see them (`loopwright_corpus::quality::rows`).

use crate::draft::Reason;
use loopwright_corpus::quality::rows::{chat, instruction};
use loopwright_types::{
    Conversation, SourceRow,
    conversation::{Role, Turn},
    openai::{ChatMessage, Content},
};

/// Why a row is no conversation to learn from. Of a preference, what is asked with the better answer must be one; the
/// other answer may refuse, but must be there.
pub(crate) fn chat(row: &SourceRow, settings: &chat::Settings) -> Option<Reason> {
    let Some(conversation) = &row.conversation else {
        return Some(Reason::new("no_turns", "the row is no conversation"));
    };
    match conversation {
        Conversation::Turns(turns) => chat::check(&messages(turns), settings),
        Conversation::Preference { prompt, chosen, rejected } => {
            let loose = chat::Settings { refusals_may_stay: true, ..settings.clone() };
            chat::check(&messages(prompt.iter().chain(chosen)), settings)
                .or_else(|| chat::check(&messages(prompt.iter().chain(rejected)), &loose))
        }
    }
}

fn messages<'t>(turns: impl IntoIterator<Item = &'t Turn>) -> Vec<ChatMessage> {
    let message = |turn: &Turn| ChatMessage {
        role: turn.role.as_str().to_string(),
        content: Some(Content::Text(turn.content.clone())),
    };
    turns.into_iter().map(message).collect()
}

/// Why a row is no instruction with an answer. The last turn of the assistant is the answer (of a preference, of the
/// better one), and what the user said before it the instruction; without turns, the text and its label.
pub(crate) fn instruction(row: &SourceRow, settings: &instruction::Settings) -> Option<Reason> {
    let turns: Vec<&Turn> = match &row.conversation {
        None => return instruction::check(&row.text, row.label.as_deref().unwrap_or_default(), settings),
        Some(Conversation::Turns(turns)) => turns.iter().collect(),
        Some(Conversation::Preference { prompt, chosen, .. }) => prompt.iter().chain(chosen).collect(),
    };
    let Some(at) = turns.iter().rposition(|turn| turn.role == Role::Assistant) else {
        return Some(Reason::new("no_answer", "no turn is the assistant's"));
    };
    let asked = turns[..at].iter().filter(|turn| turn.role == Role::User).map(|turn| turn.content.as_str());
    instruction::check(&asked.collect::<Vec<_>>().join("\n\n"), &turns[at].content, settings)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn turns(turns: &[(Role, &str)]) -> Vec<Turn> {
        turns.iter().map(|(role, content)| Turn::new(*role, *content)).collect()
    }

    fn row(conversation: Option<Conversation>) -> SourceRow {
        SourceRow { text: "Name a colour.".into(), conversation, ..SourceRow::default() }
    }

    fn preference(chosen: &str, rejected: &str) -> Conversation {
        Conversation::Preference {
            prompt: turns(&[(Role::User, "Name a colour.")]),
            chosen: turns(&[(Role::Assistant, chosen)]),
            rejected: turns(&[(Role::Assistant, rejected)]),
        }
    }

    #[test]
    fn conversations_are_judged_by_their_turns() {
        let asked = (Role::User, "Name a colour.");
        for (conversation, expected) in [
            (None, Some("no_turns")),
            (Some(Conversation::Turns(turns(&[asked, (Role::Assistant, "Blue.")]))), None),
            (Some(Conversation::Turns(turns(&[asked, asked]))), Some("no_answer")),
            (Some(preference("Blue.", "I'm sorry, but I can't.")), None),
            (Some(preference("I'm sorry, but I can't.", "Blue.")), Some("refusal")),
            (Some(preference("Blue.", "")), Some("empty_answer")),
        ] {
            let reason = chat(&row(conversation.clone()), &chat::Settings::default());
            assert_eq!(reason.map(|reason| reason.class).as_deref(), expected, "{conversation:?}");
        }
    }

    #[test]
    fn instructions_have_an_answer() {
        let asked = (Role::User, "Name a colour.");
        let answered = |row: &SourceRow| instruction(row, &Default::default()).map(|reason| reason.class);
        assert_eq!(answered(&row(None)).as_deref(), Some("empty_answer"));
        assert_eq!(answered(&SourceRow { label: Some("Blue".into()), ..row(None) }), None);
        for (given, expected) in [
            (vec![asked, (Role::Assistant, "Blue")], None),
            (vec![asked, (Role::Assistant, "N/A")], Some("place_holder")),
            (vec![(Role::Assistant, "Blue")], Some("short_instruction")),
            (vec![asked], Some("no_answer")),
        ] {
            let found = answered(&row(Some(Conversation::Turns(turns(&given)))));
            assert_eq!(found.as_deref(), expected, "{given:?}");
        }
        assert_eq!(answered(&row(Some(preference("Blue", "")))), None);
    }
}
