//! Text folded for comparison: lower case, accents off, only letters, digits and `@` left, with the way back.

use unicode_normalization::{UnicodeNormalization, char::is_combining_mark};

/// Stands in the folded text where a match must not run across.
const BREAK: char = '\0';

/// A gap of more characters than this between two folded ones ends a match: `0 1 2` is one number, two sentences are not.
const GAP_CHARS_MAX: usize = 3;

/// A folded text and, for each of its bytes, the span of the original character that it came from.
pub(crate) struct Folded<'a> {
    original: &'a str,
    text: String,
    spans: Vec<(usize, usize)>,
}

/// A place in the original text.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Place {
    pub(crate) start: usize,
    pub(crate) end: usize,
}

impl<'a> Folded<'a> {
    /// Folds a text.
    pub(crate) fn new(original: &'a str) -> Self {
        let mut folded = Self { original, text: String::with_capacity(original.len()), spans: Vec::new() };
        let mut gap = 0;
        for (start, c) in original.char_indices() {
            let end = start + c.len_utf8();
            if !(c.is_alphanumeric() || c == '@') {
                gap += usize::from(!is_combining_mark(c));
                continue;
            }
            if gap > GAP_CHARS_MAX {
                folded.push(BREAK, start, start);
            }
            gap = 0;
            fold_char(c, |f| folded.push(f, start, end));
        }
        folded
    }

    fn push(&mut self, c: char, start: usize, end: usize) {
        self.text.push(c);
        self.spans.resize(self.text.len(), (start, end));
    }

    /// Where the folded `pattern` occurs, in the original's positions, from left to right, overlaps left out.
    pub(crate) fn places(&self, pattern: &str) -> Vec<Place> {
        if pattern.is_empty() {
            return Vec::new();
        }
        self.text
            .match_indices(pattern)
            .map(|(at, found)| Place { start: self.spans[at].0, end: self.end_of(at + found.len() - 1) })
            .filter(|place| place.start < place.end)
            .collect()
    }

    /// The end of the original character behind this folded byte, with the combining marks that follow it.
    fn end_of(&self, index: usize) -> usize {
        with_marks(self.original, self.spans[index].1)
    }
}

/// Past the combining marks that stand here.
fn with_marks(text: &str, end: usize) -> usize {
    end + text[end..].chars().take_while(|c| is_combining_mark(*c)).map(char::len_utf8).sum::<usize>()
}

/// A walk over a text in its folded form, from one place on.
pub(crate) struct Folding<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Folding<'a> {
    /// Begins with the letter, digit or `@` at `at`.
    pub(crate) fn new(text: &'a str, at: usize) -> Self {
        Self { text, at }
    }

    /// Hands the next character's folded bytes over, one by one, until it hears no. False at the end of the text, at a
    /// wide gap, or after a no.
    pub(crate) fn advance(&mut self, mut take: impl FnMut(u8) -> bool) -> bool {
        let mut gap = 0;
        while let Some(&byte) = self.text.as_bytes().get(self.at) {
            if byte.is_ascii_alphanumeric() || byte == b'@' {
                self.at += 1;
                return take(byte.to_ascii_lowercase());
            }
            let c = if byte.is_ascii() { char::from(byte) } else { self.text[self.at..].chars().next().unwrap_or(' ') };
            self.at += c.len_utf8();
            if c.is_alphanumeric() {
                let mut goes_on = true;
                fold_char(c, |f| {
                    let mut bytes = [0; 4];
                    goes_on = f.encode_utf8(&mut bytes).bytes().all(|byte| goes_on && take(byte));
                });
                return goes_on;
            }
            gap += usize::from(!is_combining_mark(c));
            if gap > GAP_CHARS_MAX {
                return false;
            }
        }
        false
    }

    /// Where this folded string ends, if the text goes on with it.
    pub(crate) fn end_of(mut self, folded: &str) -> Option<usize> {
        let mut rest = folded.bytes().peekable();
        while rest.peek().is_some() {
            if !self.advance(|byte| rest.next().is_none_or(|expected| expected == byte)) {
                return None;
            }
        }
        Some(with_marks(self.text, self.at))
    }
}

/// Folds a pattern the same way as a text.
pub(crate) fn fold(text: &str) -> String {
    let mut folded = String::with_capacity(text.len());
    text.chars().filter(|c| c.is_alphanumeric() || *c == '@').for_each(|c| fold_char(c, |f| folded.push(f)));
    folded
}

fn fold_char(c: char, mut push: impl FnMut(char)) {
    if c.is_ascii() {
        push(c.to_ascii_lowercase());
        return;
    }
    for plain in std::iter::once(c).nfkd().filter(|d| !is_combining_mark(*d)) {
        plain.to_lowercase().filter(|l| l.is_alphanumeric()).for_each(&mut push);
    }
}

/// Is this span a word of its own: no letter or digit directly before or after it?
pub(crate) fn is_whole_word(text: &str, start: usize, end: usize) -> bool {
    !text[..start].chars().next_back().is_some_and(char::is_alphanumeric)
        && !text[end..].chars().next().is_some_and(char::is_alphanumeric)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found<'a>(text: &'a str, pattern: &str) -> Vec<&'a str> {
        Folded::new(text).places(&fold(pattern)).into_iter().map(|p| &text[p.start..p.end]).collect()
    }

    #[test]
    fn case_accents_and_spacing_do_not_hide_a_match() {
        assert_eq!(found("ask JOSE\u{301}  Núñez.", "José Nunez"), ["JOSE\u{301}  Núñez"]);
        assert_eq!(found("call 0 30-23 12 50", "+030231250"), ["0 30-23 12 50"]);
        assert_eq!(found("Jose\u{301}!", "jose"), ["Jose\u{301}"]);
    }

    #[test]
    fn long_gaps_end_a_match() {
        assert!(found("ann ---- lee", "annlee").is_empty());
    }

    #[test]
    fn a_walk_finds_what_the_whole_fold_finds() {
        for (text, pattern) in
            [("ann ---- lee", "annlee"), ("JOSE\u{301} Nu\u{301}ñez", "josé núñez"), ("a-b c", "abc"), ("ab", "abc")]
        {
            let end = Folding::new(text, 0).end_of(&fold(pattern));
            let place = Folded::new(text).places(&fold(pattern)).first().copied();
            assert_eq!(end, place.map(|place| place.end), "{text}");
        }
    }
}
