//! A message cut into a few parts that a person would point at: clauses, and groups of words within them.
//!
//! First the message is cut after punctuation. While there is room, the longest part is cut again: before a small word
//! that opens a phrase ("because", "with", "my" …) if one stands near its middle, else in the middle. When there are
//! too many parts, the two neighbours with the fewest words are merged. Words are runs between white space.

use serde::{Deserialize, Serialize};

/// A part of a message.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Segment {
    /// Its words, with the white space between them.
    pub text: String,
    /// First byte in the message.
    pub start: usize,
    /// One past its last byte.
    pub end: usize,
}

/// Parts of this many words are not cut further.
const N_WORDS_WHOLE: usize = 2;

/// English words that open a phrase. In other languages the cut falls in the middle.
const OPENERS: &[&str] = &[
    "a", "about", "after", "although", "and", "are", "as", "at", "because", "been", "before", "but", "by", "can",
    "could", "did", "do", "does", "for", "from", "has", "have", "how", "i", "if", "in", "into", "is", "it", "my", "no",
    "not", "of", "on", "or", "our", "please", "since", "so", "than", "that", "the", "then", "this", "though", "to",
    "until", "was", "we", "were", "what", "when", "where", "which", "while", "who", "why", "will", "with", "without",
    "would", "you", "your",
];

/// Cuts a message into at most `n_max` segments that together hold every word, in order. The same message is always cut
/// the same way; a message without words has no segments.
///
/// ```
/// use loopwright_eval::explain::segment::segments;
/// let texts = |n_max| segments("Hi, my new card has not arrived yet.", n_max).into_iter().map(|s| s.text).collect::<Vec<_>>();
/// assert_eq!(texts(4), ["Hi,", "my new card", "has not", "arrived yet."]);
/// assert_eq!(texts(1), ["Hi, my new card has not arrived yet."]);
/// ```
pub fn segments(text: &str, n_max: usize) -> Vec<Segment> {
    let words = words(text);
    // Parts are ranges of words, given by the index after their last word.
    let mut ends: Vec<usize> =
        (1..=words.len()).filter(|end| *end == words.len() || closes(words[end - 1].1)).collect();
    let n_max = n_max.max(1);
    while ends.len() > n_max {
        merge_shortest(&mut ends);
    }
    while ends.len() < n_max && cut_longest(&mut ends, &words) {}
    let mut start = 0;
    ends.into_iter()
        .map(|end| {
            let (first, last) = (words[start], words[end - 1]);
            start = end;
            let (start, end) = (first.0, last.0 + last.1.len());
            Segment { text: text[start..end].to_string(), start, end }
        })
        .collect()
}

/// The text that is left of a message when only the segments of `mask` (bit i for segment i) are kept.
pub fn join(segments: &[Segment], mask: u32) -> String {
    let kept = segments.iter().enumerate().filter(|(i, _)| mask >> i & 1 == 1);
    kept.map(|(_, segment)| segment.text.as_str()).collect::<Vec<_>>().join(" ")
}

/// Words with their first byte.
fn words(text: &str) -> Vec<(usize, &str)> {
    let mut words = vec![];
    let mut start = None;
    for (at, c) in text.char_indices().chain([(text.len(), ' ')]) {
        match (start, c.is_whitespace()) {
            (None, false) => start = Some(at),
            (Some(first), true) => {
                words.push((first, &text[first..at]));
                start = None;
            }
            _ => {}
        }
    }
    words
}

/// Does a clause end with this word?
fn closes(word: &str) -> bool {
    word.trim_end_matches(['"', '\'', ')', '”', '’'])
        .ends_with(['.', ',', ';', ':', '!', '?', '…', '–', '—', '。', '，', '！', '？'])
}

fn opens(word: &str) -> bool {
    let bare = word.trim_matches(|c: char| !c.is_alphanumeric()).to_lowercase();
    OPENERS.binary_search(&bare.as_str()).is_ok()
}

/// Joins the two neighbours that hold the fewest words together; the first such pair on a tie.
fn merge_shortest(ends: &mut Vec<usize>) {
    let n_words = |i: usize| ends[i + 1] - if i == 0 { 0 } else { ends[i - 1] };
    if let Some(shortest) = (0..ends.len() - 1).min_by_key(|i| n_words(*i)) {
        ends.remove(shortest);
    }
}

/// Cuts the longest part in two; the first on a tie. False if all parts are short already.
fn cut_longest(ends: &mut Vec<usize>, words: &[(usize, &str)]) -> bool {
    let start_of = |i: usize| if i == 0 { 0 } else { ends[i - 1] };
    let longest = (0..ends.len()).rev().max_by_key(|i| ends[*i] - start_of(*i));
    let Some((i, start, end)) = longest.map(|i| (i, start_of(i), ends[i])) else { return false };
    let n_words = end - start;
    if n_words <= N_WORDS_WHOLE {
        return false;
    }
    // Twice the distance from the middle, plus a penalty of a third of the words where no phrase opens.
    let cost = |at: usize| {
        let penalty = if opens(words[at].1) { 0 } else { 2 * n_words / 3 };
        (2 * at).abs_diff(start + end) + penalty
    };
    // A word alone says little; only a part of three must leave one.
    let least = if n_words > 3 { 2 } else { 1 };
    let at = (start + least..=end - least).min_by_key(|at| cost(*at)).expect("a part of three words can be cut");
    ends.insert(i, at);
    true
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn check(text: &str, n_max: usize, expected: &[&str]) {
        let got: Vec<String> = segments(text, n_max).into_iter().map(|s| s.text).collect();
        assert_eq!(got, expected, "{text}");
    }

    #[test]
    fn openers_can_be_searched() {
        assert!(OPENERS.is_sorted());
    }

    #[test]
    fn clauses_come_first_and_phrases_next() {
        check("Refund me! Now.", 2, &["Refund me!", "Now."]);
        check("I lost my card because it fell", 2, &["I lost my card", "because it fell"]);
        check("one two three four", 2, &["one two", "three four"]);
        check("a, b, c, d", 2, &["a, b,", "c, d"]);
        check("a b", 9, &["a b"]);
        check(" \n ", 5, &[]);
    }

    #[test]
    fn masked_words_stay_whole() {
        check("please write to <EMAIL> today", 2, &["please write", "to <EMAIL> today"]);
    }

    #[test]
    fn a_coalition_is_the_text_that_is_left() {
        let segments = segments("Refund me! Now. Please.", 3);
        assert_eq!(join(&segments, 0b101), "Refund me! Please.");
        assert_eq!(join(&segments, 0), "");
    }

    proptest! {
        #[test]
        fn every_word_is_kept_in_order(text in "([a-zA-Zé漢.,!?<>]{1,8}[ \n\t]{1,3}){0,40}", n_max in 1_usize..14) {
            let segments = segments(&text, n_max);
            prop_assert!(segments.len() <= n_max);
            for segment in &segments {
                prop_assert_eq!(&text[segment.start..segment.end], segment.text.as_str());
            }
            let kept: Vec<&str> = segments.iter().flat_map(|s| s.text.split_whitespace()).collect();
            prop_assert_eq!(kept, text.split_whitespace().collect::<Vec<_>>());
        }
    }
}
