//! A change of a row's text: the one place where it happens, so that text and turns never differ.
//!
//! A conversation is changed turn by turn, each turn's content by itself, and its text rendered anew. So a step that
//! takes something out of a text takes it out of the turns as well, and who speaks stays as it was.

use loopwright_types::{Conversation, SourceRow};
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use xxhash_rust::xxh3::xxh3_64;

/// What a step works on: the contents of a conversation's turns in their order, or else the text.
pub(crate) fn parts(row: &SourceRow) -> Vec<&str> {
    match &row.conversation {
        Some(conversation) => conversation.turns().map(|turn| turn.content.as_str()).collect(),
        None => vec![&row.text],
    }
}

/// A row's text after a change, and the turns that it renders.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Rewritten {
    text: String,
    conversation: Option<Conversation>,
}

impl Rewritten {
    /// The row with each of its parts changed; nothing, if that changes nothing.
    pub(crate) fn of<'r>(row: &'r SourceRow, change: impl FnMut(&'r str) -> Cow<'r, str>) -> Option<Self> {
        Self::with(row, &parts(row).into_iter().map(change).collect::<Vec<_>>())
    }

    /// The row with these parts in place of its own, which are as many; nothing, if they are the same.
    pub(crate) fn with(row: &SourceRow, changed: &[Cow<'_, str>]) -> Option<Self> {
        if parts(row).iter().zip(changed).all(|(before, after)| before == after) {
            return None;
        }
        let Some(mut conversation) = row.conversation.clone() else {
            return Some(Self { text: changed.concat(), conversation: None });
        };
        conversation.turns_mut().zip(changed).for_each(|(turn, content)| turn.content = content.to_string());
        Some(Self { text: conversation.render(), conversation: Some(conversation) })
    }

    /// The text.
    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    /// Whether nothing but white space is left, in a conversation of any turn.
    pub(crate) fn is_blank(&self) -> bool {
        match &self.conversation {
            Some(conversation) => conversation.turns().all(|turn| turn.content.trim().is_empty()),
            None => self.text.trim().is_empty(),
        }
    }

    /// Puts the change into the row; gives the hashes of its text before and after (XXH3, 64 bits).
    pub(crate) fn put_into(self, row: &mut SourceRow) -> (u64, u64) {
        let hashes = (xxh3_64(row.text.as_bytes()), xxh3_64(self.text.as_bytes()));
        row.text = self.text;
        row.conversation = self.conversation;
        hashes
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use loopwright_types::conversation::{Role, Turn};

    #[test]
    fn turns_are_changed_by_themselves() {
        let conversation = Conversation::Preference {
            prompt: vec![Turn::new(Role::User, " a ")],
            chosen: vec![Turn::new(Role::Assistant, "b ")],
            rejected: vec![Turn::new(Role::Assistant, " ")],
        };
        let mut row =
            SourceRow { text: conversation.render(), conversation: Some(conversation), ..SourceRow::default() };
        assert_eq!(Rewritten::of(&row, Cow::Borrowed), None);
        let trimmed = Rewritten::of(&row, |part| Cow::Borrowed(part.trim())).unwrap();
        assert!(!trimmed.is_blank());
        let (before, after) = trimmed.put_into(&mut row);
        assert_ne!(before, after);
        assert_eq!(row.text, "user: a\n\n[chosen]\n\nassistant: b\n\n[rejected]\n\nassistant: ");
        assert_eq!(parts(&row), ["a", "b", ""]);
        assert!(Rewritten::of(&row, |_| Cow::Borrowed(" ")).unwrap().is_blank());
    }

    #[test]
    fn a_plain_row_is_its_text() {
        let row = SourceRow { text: " a".into(), ..SourceRow::default() };
        assert_eq!(Rewritten::of(&row, |part| part.trim().into()).unwrap().text(), "a");
        assert!(Rewritten::of(&row, |_| "\n".into()).unwrap().is_blank());
    }
}
