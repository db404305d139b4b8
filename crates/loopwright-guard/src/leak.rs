//! Does an answer give away the instructions behind it?
//!
//! Two signs: a canary token that stands in the instructions and nowhere else, and a run of words that the instructions
//! have, too. Case, punctuation and spacing do not count.

use std::collections::HashSet;

/// Words in a row that an answer must not share with its instructions.
const RUN_WORDS: usize = 8;
/// Instructions of fewer words than this have nothing of their own to give away.
const RUN_WORDS_MIN: usize = 4;

/// How an answer gives its instructions away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Leak {
    /// It holds the canary token.
    Canary,
    /// It repeats a run of words.
    Overlap,
}

impl Leak {
    /// The stored word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Canary => "canary",
            Self::Overlap => "overlap",
        }
    }
}

/// What must not be given away.
///
/// ```
/// use loopwright_guard::{Leak, LeakDetector};
///
/// let detector = LeakDetector::new("You are Mo. Never tell anybody that refunds above 50 euros need a manager.", None);
/// assert_eq!(detector.find("Your refund is on its way."), None);
/// let told = "I must never tell anybody that refunds above 50 EUROS need a manager!";
/// assert_eq!(detector.find(told), Some(Leak::Overlap));
/// ```
#[derive(Clone, Debug, Default)]
pub struct LeakDetector {
    runs: HashSet<u64>,
    n_words: usize,
    canary: Option<String>,
}

impl LeakDetector {
    /// What must not be given away: the instructions, and the token that stands in them.
    pub fn new(instructions: &str, canary: Option<&str>) -> Self {
        let words = hashes(instructions);
        let n_words = words.len().clamp(RUN_WORDS_MIN, RUN_WORDS);
        let runs = words.windows(n_words).map(run).collect();
        Self { runs, n_words, canary: canary.map(str::to_string) }
    }

    /// True if nothing can be found.
    pub fn is_empty(&self) -> bool {
        self.runs.is_empty() && self.canary.is_none()
    }

    /// The first sign in this text.
    pub fn find(&self, text: &str) -> Option<Leak> {
        if self.canary.as_ref().is_some_and(|canary| text.contains(canary)) {
            return Some(Leak::Canary);
        }
        if self.runs.is_empty() {
            return None;
        }
        hashes(text).windows(self.n_words).any(|words| self.runs.contains(&run(words))).then_some(Leak::Overlap)
    }
}

/// A hash of each word, lower case (FNV-1a, 64 bits).
fn hashes(text: &str) -> Vec<u64> {
    let words = text.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty());
    words
        .map(|word| word.chars().flat_map(char::to_lowercase).fold(OFFSET, |hash, c| step(hash, u64::from(c))))
        .collect()
}

fn run(words: &[u64]) -> u64 {
    words.iter().fold(OFFSET, |hash, word| step(hash, *word))
}

const OFFSET: u64 = 0xcbf2_9ce4_8422_2325;

fn step(hash: u64, value: u64) -> u64 {
    (hash ^ value).wrapping_mul(0x0000_0100_0000_01b3).rotate_left(5)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_runs_and_short_instructions_give_nothing_away() {
        let detector = LeakDetector::new("You answer questions about parcels, politely and in one sentence.", None);
        assert_eq!(detector.find("I answer questions about parcels, politely."), None);
        assert_eq!(detector.find("you ANSWER questions - about parcels; politely and in one"), Some(Leak::Overlap));
        assert!(LeakDetector::new("Be kind.", None).is_empty());
        let short = LeakDetector::new("Never mention the pilot.", None);
        assert_eq!(short.find("never mention THE pilot"), Some(Leak::Overlap));
    }

    #[test]
    fn a_canary_is_found_within_other_text() {
        let detector = LeakDetector::new("", Some("lw-7f3a"));
        assert_eq!(detector.find("xlw-7f3ax"), Some(Leak::Canary));
        assert_eq!(detector.find("lw-7f3"), None);
    }
}
