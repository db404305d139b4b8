//! One pass over the bytes that notes where a detector has work: digits, `@`, `:`, and cues.
//!
//! Nearly everything that identifies a person or opens a door carries a digit, an `@`, a `:` or a telling word. Detectors
//! look at these places only, and from each of them at most [`REACH_BYTES`] far, so that the cost of a text grows with
//! its length and not faster.

use super::{
    cue::{self, CUE_BYTES_MAX, Hit},
    digits::{Group, are_joined},
};
use std::ops::Range;

/// How far a detector looks around its place, in bytes (private key blocks have a limit of their own).
pub(crate) const REACH_BYTES: usize = 512;
/// Shortest unbroken string that may be a secret by its look alone.
pub(super) const TOKEN_BYTES_MIN: usize = 24;

const DIGIT: u8 = 1;
const AT: u8 = 2;
const COLON: u8 = 4;
const ALNUM: u8 = 8;
const TOKEN: u8 = 16;

static CLASSES: [u8; 256] = classes();

const fn classes() -> [u8; 256] {
    let mut classes = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        let b = byte as u8;
        classes[byte] = if b.is_ascii_digit() {
            DIGIT | ALNUM | TOKEN
        } else if b.is_ascii_alphabetic() {
            ALNUM | TOKEN
        } else {
            match b {
                b'@' => AT,
                b':' => COLON,
                b'_' | b'+' | b'/' | b'=' | b'-' => TOKEN,
                _ => 0,
            }
        };
        byte += 1;
    }
    classes
}

/// The places of interest in a stretch of text, in order.
#[derive(Default)]
pub(crate) struct Marks {
    /// Groups of digits, and where in this list each run of them ends.
    groups: Vec<Group>,
    run_ends: Vec<usize>,
    /// Words of ASCII letters and digits that hold a digit.
    pub(super) words: Vec<Range<usize>>,
    /// Strings of at least [`TOKEN_BYTES_MIN`] characters of base64, hyphen or underscore that hold a digit.
    pub(super) tokens: Vec<Range<usize>>,
    pub(super) ats: Vec<usize>,
    pub(super) colons: Vec<usize>,
    /// Cues by their ends, those shortly before the stretch too.
    pub(super) hits: Vec<Hit>,
}

impl Marks {
    /// The marks of a whole text.
    #[cfg(test)]
    pub(super) fn of(text: &str) -> Self {
        let mut marks = Self::default();
        marks.fill(text, 0..text.len());
        marks
    }

    /// Notes the marks of `range`, in place of what was noted before. The range should not cut a word.
    pub(crate) fn fill(&mut self, text: &str, range: Range<usize>) {
        self.clear();
        let from = range.start.saturating_sub(REACH_BYTES);
        cue::find(text, from..(range.end + CUE_BYTES_MAX).min(text.len()), &mut self.hits);
        let bytes = text.as_bytes();
        let mut at = range.start;
        while at < range.end {
            match CLASSES[usize::from(bytes[at])] & (DIGIT | AT | COLON) {
                0 => at += 1,
                DIGIT => at = self.note_digits(text, at, &range),
                AT => {
                    self.ats.push(at);
                    at += 1;
                }
                _ => {
                    self.colons.push(at);
                    at += 1;
                }
            }
        }
        if !self.groups.is_empty() {
            self.run_ends.push(self.groups.len());
        }
    }

    /// The runs of digit groups.
    pub(super) fn runs(&self) -> impl Iterator<Item = &[Group]> {
        let mut start = 0;
        self.run_ends.iter().map(move |&end| &self.groups[std::mem::replace(&mut start, end)..end])
    }

    fn clear(&mut self) {
        self.groups.clear();
        self.run_ends.clear();
        self.words.clear();
        self.tokens.clear();
        self.ats.clear();
        self.colons.clear();
        self.hits.clear();
    }

    /// Notes the group that starts here with its word and token. Returns where it ends.
    fn note_digits(&mut self, text: &str, at: usize, range: &Range<usize>) -> usize {
        let limit = (range.end + REACH_BYTES).min(text.len());
        let bytes = &text.as_bytes()[..limit];
        let end = ahead(bytes, at, DIGIT);
        if self.groups.last().is_some_and(|last| !are_joined(&text[last.end..at])) {
            self.run_ends.push(self.groups.len());
        }
        self.groups.push(at..end);
        if self.words.last().is_none_or(|last| last.end <= at) {
            let word = behind(bytes, at, ALNUM)..ahead(bytes, end, ALNUM);
            self.words.push(word.clone());
            if self.tokens.last().is_none_or(|last| last.end <= at) {
                let token = behind(bytes, word.start, TOKEN)..ahead(bytes, word.end, TOKEN);
                if token.len() >= TOKEN_BYTES_MIN {
                    self.tokens.push(token);
                }
            }
        }
        end
    }
}

fn ahead(bytes: &[u8], at: usize, class: u8) -> usize {
    at + bytes[at..].iter().take_while(|byte| CLASSES[usize::from(**byte)] & class != 0).count()
}

fn behind(bytes: &[u8], at: usize, class: u8) -> usize {
    let window = &bytes[at.saturating_sub(REACH_BYTES)..at];
    at - window.iter().rev().take_while(|byte| CLASSES[usize::from(**byte)] & class != 0).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_of_interest_are_noted() {
        let text = "abc12 x@y 3:4 word, A-b_1234567890123456789012";
        let marks = Marks::of(text);
        let slices = |ranges: &[Range<usize>]| ranges.iter().map(|r| text[r.clone()].to_string()).collect::<Vec<_>>();
        assert_eq!(slices(&marks.words), ["abc12", "3", "4", "1234567890123456789012"]);
        assert_eq!(slices(&marks.tokens), ["A-b_1234567890123456789012"]);
        assert_eq!((marks.ats, marks.colons), (vec![7], vec![11]));
    }
}
