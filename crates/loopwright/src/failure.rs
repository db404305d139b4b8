//! An error as people read it: what failed, why, and the way out, each said once.

use serde::Serialize;

/// The start of a line that tells the way out.
const HINT: &str = "hint: ";

/// An error, taken apart.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Failure {
    /// What we were doing.
    pub message: String,
    /// What caused it, nearest first.
    pub because: Vec<String>,
    /// What the reader can do.
    pub hints: Vec<String>,
}

impl Failure {
    /// Reads an error's chain. Hints come from our own errors or, where a text carries one, from its `hint:` lines.
    pub fn of(error: &anyhow::Error) -> Self {
        let mut messages = Vec::new();
        let mut hints = Vec::new();
        for cause in error.chain() {
            let text = cause.to_string();
            let (own, told): (Vec<&str>, Vec<&str>) = text.lines().partition(|line| !line.starts_with(HINT));
            add(&mut messages, own.join("\n"));
            told.into_iter().for_each(|line| add(&mut hints, line[HINT.len()..].to_string()));
            if let Some(hint) = cause.downcast_ref::<loopwright_pipeline::Error>().and_then(|error| error.hint_text()) {
                add(&mut hints, hint.to_string());
            }
        }
        let mut messages = messages.into_iter();
        Self { message: messages.next().unwrap_or_default(), because: messages.collect(), hints }
    }

    /// For a terminal.
    pub fn to_text(&self) -> String {
        let mut text = format!("error: {}\n", self.message);
        // A cause of several lines (a place in the project file) stays one entry.
        let indented = |cause: &String| cause.trim_end().replace('\n', "\n    ");
        self.because.iter().for_each(|cause| text.push_str(&format!("  because: {}\n", indented(cause))));
        self.hints.iter().for_each(|hint| text.push_str(&format!("hint: {hint}\n")));
        text
    }
}

/// Adds a text that is not empty and not there yet: libraries like to repeat their source.
fn add(texts: &mut Vec<String>, text: String) {
    if !text.trim().is_empty() && !texts.contains(&text) {
        texts.push(text);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use loopwright_pipeline::{Error, store};

    #[test]
    fn a_chain_is_told_once_with_its_hints_last() {
        let store = store::Error::new(store::Kind::Damaged, "database `a` is damaged").with_hint("restore it");
        let error = anyhow::Error::new(Error::from(store)).context("failed to open the project");
        let failure = Failure::of(&error);
        assert_eq!(failure.message, "failed to open the project");
        assert_eq!(failure.because.last().unwrap(), "database `a` is damaged");
        assert_eq!(failure.hints, ["restore it"]);
        assert!(failure.to_text().ends_with("  because: database `a` is damaged\nhint: restore it\n"));
    }

    #[test]
    fn our_own_hints_are_found_and_repetitions_are_not_told() {
        let inner = Error::user("no loop").hint("name one");
        let error = anyhow::Error::new(Error::user("no loop").because(inner).hint("name one"));
        let failure = Failure::of(&error);
        assert_eq!(failure, Failure { message: "no loop".into(), because: vec![], hints: vec!["name one".into()] });
    }
}
