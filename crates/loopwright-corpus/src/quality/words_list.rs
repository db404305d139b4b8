//! Leaves out texts with words of a list that you give: insults, brand names, tell-tale phrases of a template.
//!
//! C4 dropped every page with a word of a public list of "dirty, naughty, obscene or otherwise bad words" (Raffel et al.
//! 2020, section 2.2). Such lists take away medical texts and the words of minorities along with the dirt (Dodge et al.
//! 2021, "Documenting Large Webtext Corpora"), so we ship none. All words are looked for in one pass (Aho and Corasick
//! 1975), whatever their number, in any case; as whole words, where a word is flanked by neither letters, digits nor `_`.

use crate::{Error, Reason, Result};
use aho_corasick::AhoCorasick;
use serde::{Deserialize, Serialize};
use std::borrow::Cow;

/// The step's name.
pub const STEP: &str = "words_list";

/// Most words of a list.
pub const WORDS_MAX: usize = 100_000;

/// The words, and how many a text may have.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// Words or phrases, in any case.
    pub words: Vec<String>,
    /// Whether a word must stand by itself; off for scripts without spaces.
    pub whole_words: bool,
    /// So many occurrences are let pass (C4: 0).
    pub matches_max: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Self { words: Vec::new(), whole_words: true, matches_max: 0 }
    }
}

/// A list, ready to be looked for.
#[derive(Clone, Debug)]
pub struct WordsList {
    automaton: AhoCorasick,
    settings: Settings,
}

impl WordsList {
    /// Builds the automaton. Refuses empty words and lists that are too long.
    pub fn new(settings: &Settings) -> Result<Self> {
        let words: Vec<String> = settings.words.iter().map(|word| word.trim().to_lowercase()).collect();
        if words.iter().any(String::is_empty) {
            return Err(Error::setting("words_list.words", "a list with an empty word", "words"));
        }
        if words.len() > WORDS_MAX {
            return Err(Error::setting("words_list.words", words.len(), &format!("at most {WORDS_MAX} words")));
        }
        let automaton = AhoCorasick::builder().ascii_case_insensitive(true).build(&words);
        let automaton =
            automaton.map_err(|_| Error::setting("words_list.words", words.len(), "words that fit one automaton"))?;
        Ok(Self { automaton, settings: Settings { words, ..settings.clone() } })
    }

    /// A reason, if a text has more of the words than may pass.
    pub fn check(&self, text: &str) -> Option<Reason> {
        let text = if text.is_ascii() { Cow::Borrowed(text) } else { Cow::Owned(text.to_lowercase()) };
        let mut found = self
            .automaton
            .find_overlapping_iter(text.as_ref())
            .filter(|it| !self.settings.whole_words || stands_alone(&text, it.start(), it.end()));
        let over = found.nth(self.settings.matches_max)?;
        let word = &self.settings.words[over.pattern().as_usize()];
        let max = self.settings.matches_max;
        Some(Reason::new("listed_word", format!("more than {max} listed words, at last `{word}`")))
    }
}

/// Whether neither side of a place goes on with a word.
pub(super) fn stands_alone(text: &str, start: usize, end: usize) -> bool {
    let goes_on = |c: char| c.is_alphanumeric() || c == '_';
    !text[..start].ends_with(goes_on) && !text[end..].starts_with(goes_on)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(words: &[&str], whole_words: bool, matches_max: usize) -> Settings {
        Settings { words: words.iter().map(|word| (*word).to_string()).collect(), whole_words, matches_max }
    }

    #[test]
    fn words_are_found_where_they_stand_alone() {
        for (words, whole_words, matches_max, text, found) in [
            (&["darn"][..], true, 0, "Well, DARN it", true),
            (&["darn"], true, 0, "darning socks", false),
            (&["darn"], false, 0, "darning socks", true),
            (&["darn"], true, 0, "a_darn", false),
            (&["darn"], true, 1, "darn!", false),
            (&["darn"], true, 1, "darn darn!", true),
            (&["Größe"], true, 0, "DIE GRÖSSE, DIE GRÖßE", true),
            (&["hot dog", "hot"], true, 0, "a hot-dog", true),
            (&["bad", "bad word"], true, 0, "bad words", true),
            (&["ad word", "bad words"], true, 0, "bad words", true),
            (&[], true, 0, "anything", false),
            (&["词"], false, 0, "坏词语", true),
        ] {
            let list = WordsList::new(&settings(words, whole_words, matches_max)).unwrap();
            assert_eq!(list.check(text).is_some(), found, "{words:?} {text}");
        }
    }

    #[test]
    fn an_empty_word_is_refused() {
        let error = WordsList::new(&settings(&["fine", " "], true, 0)).unwrap_err();
        assert_eq!(error.to_string(), "`words_list.words` is a list with an empty word, expected words");
    }
}
