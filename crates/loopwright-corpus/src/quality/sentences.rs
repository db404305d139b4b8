//! Where sentences end.
//!
//! **Our rule.** A sentence ends at a word that ends, but for closing quotes and brackets, with a mark that ends sentences
//! (`.`, `!`, `?` and their likes in other scripts), unless the mark is a full stop and
//!
//! - more full stops stand before it (an ellipsis, which rather goes on),
//! - the word is an initial (`J.`), has a full stop inside (`e.g.`, `U.S.`), or is one of a few abbreviations (`Mr.`).
//!
//! What follows the last end is a sentence, too. No model and no list of a language beyond those English abbreviations;
//! `docs/quality.md` tells how often the count leads C4's rule to another verdict than spaCy's splitter, datatrove's
//! default.

use super::classes::{CLASSES, LETTER, SPACE, TERMINAL};

/// Abbreviations that a sentence goes on after.
const ABBREVIATIONS: [&str; 20] = [
    "Mr", "Mrs", "Ms", "Dr", "Prof", "St", "Jr", "Sr", "Gen", "Rev", "Gov", "Sen", "Rep", "Capt", "Lt", "Col", "Mt",
    "vs", "Inc", "Ltd",
];

/// How many sentences a text has. White space alone has none.
pub fn count(text: &str) -> usize {
    let (mut n, mut open) = (0, false);
    for word in text.split(|c| CLASSES.is(c, SPACE)).filter(|word| !word.is_empty()) {
        open = !ends_sentence(word);
        n += usize::from(!open);
    }
    n + usize::from(open)
}

/// The sentences of a text, without the white space around them.
pub fn split(text: &str) -> Vec<&str> {
    let (mut sentences, mut start) = (Vec::new(), 0);
    let space = |c: char| CLASSES.is(c, SPACE);
    let offset = |part: &str| part.as_ptr() as usize - text.as_ptr() as usize;
    for word in text.split(space).filter(|word| !word.is_empty() && ends_sentence(word)) {
        let end = offset(word) + word.len();
        sentences.push(text[start..end].trim_matches(space));
        start = end;
    }
    let rest = text[start..].trim_matches(space);
    sentences.extend((!rest.is_empty()).then_some(rest));
    sentences
}

fn ends_sentence(word: &str) -> bool {
    let word = word.trim_end_matches(['"', '\'', ')', ']', '”', '’', '»']);
    let Some(mark) = word.chars().next_back().filter(|c| CLASSES.is(*c, TERMINAL)) else { return false };
    mark != '.' || is_full_stop(&word[..word.len() - 1])
}

/// Whether a full stop after this word ends a sentence.
fn is_full_stop(before: &str) -> bool {
    let word = before.trim_start_matches(['"', '\'', '(', '[', '“', '‘', '«']);
    let mut chars = word.chars();
    let initial = chars.next().is_some_and(|c| CLASSES.is(c, LETTER)) && chars.next().is_none();
    let dotted = word.contains('.') && word.chars().any(|c| CLASSES.is(c, LETTER));
    !(initial || dotted || word.ends_with('.') || ABBREVIATIONS.contains(&word))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn sentences_are_told_apart() {
        for (text, expected) in [
            ("", vec![]),
            (" \n ", vec![]),
            ("No end", vec!["No end"]),
            ("One. Two! Three?  Rest", vec!["One.", "Two!", "Three?", "Rest"]),
            ("He said \"go.\" (And went.) Really?!", vec!["He said \"go.\"", "(And went.)", "Really?!"]),
            ("Mr. J. Smith of the U.S. paid 3.14 dollars.", vec!["Mr. J. Smith of the U.S. paid 3.14 dollars."]),
            ("Well... perhaps. It is 3.", vec!["Well... perhaps.", "It is 3."]),
            ("一。 二！", vec!["一。", "二！"]),
        ] {
            assert_eq!(split(text), expected, "{text}");
            assert_eq!(count(text), expected.len(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn no_character_is_lost(text in "[a-cA-C.!?\"' \n]{0,60}") {
            let dense = |text: &str| text.split_whitespace().collect::<String>();
            prop_assert_eq!(dense(&split(&text).concat()), dense(&text));
            prop_assert_eq!(split(&text).len(), count(&text));
        }
    }
}
