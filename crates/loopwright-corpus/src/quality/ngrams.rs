//! Repeated n-grams of words, counted exactly and without looking at most of them.
//!
//! Two figures of Gopher's repetition rules are about n-grams, runs of n words:
//!
//! - **top**: of all n-grams the most frequent (the first of them, if several are), its length times its count;
//! - **duplicated**: characters in n-grams that stood before. The text is read from the left; an n-gram that was seen is
//!   counted and jumped over, any other is remembered and the next one starts one word later.
//!
//! A text of w words has about w n-grams of every length, so ten lengths are ten sets of w entries. But nearly all of them
//! stand in the text once, and an n-gram can only repeat if its parts do:
//!
//! - an n-gram is counted for *top* only if both (n−1)-grams in it repeat (as in Apriori; Agrawal and Srikant 1994);
//! - an n-gram is remembered for *duplicated* only if its first 16 bytes start another word run, too.
//!
//! The figures stay those of the plain reading; the tests compare both.

use super::text::{FastMap, Text, Word, fast_map, fast_set};

/// The words of a document by number, and which n-grams repeat, for growing n.
pub(super) struct TopGrams<'a> {
    words: &'a [Word],
    n: usize,
    /// Per position, the number of the gram that starts there; [`ONCE`] if it stands in the text once.
    gram_of: Vec<u32>,
}

/// The number of all grams that stand in the text once.
const ONCE: u32 = u32::MAX;

impl<'a> TopGrams<'a> {
    /// Numbers the words: the 1-grams.
    pub(super) fn new(text: &'a Text<'_>) -> Self {
        let mut grams = Grams::new(text.words().len());
        let gram_of = text.words().iter().map(|word| grams.count(text.word(*word))).collect();
        Self { words: text.words(), n: 1, gram_of: grams.only_repeated(gram_of) }
    }

    /// Goes on to n-grams one word longer.
    pub(super) fn grow(&mut self) {
        let mut grams = Grams::new(self.gram_of.len() / 4);
        let longer = self.gram_of.windows(2).map(|pair| match *pair {
            [a, b] if a != ONCE && b != ONCE => grams.count((a, b)),
            _ => ONCE,
        });
        let longer = longer.collect();
        self.gram_of = grams.only_repeated(longer);
        self.n += 1;
    }

    /// The length n that was grown to.
    pub(super) fn n(&self) -> usize {
        self.n
    }

    /// Characters in all occurrences of the most frequent n-gram, its spaces included. 0 if the text is too short.
    pub(super) fn n_chars(&self) -> usize {
        if self.words.len() < self.n {
            return 0;
        }
        let (first, count) = self.most_frequent().unwrap_or((0, 1));
        let n_chars: usize = self.words[first..first + self.n].iter().map(|word| word.n_chars).sum();
        (n_chars + self.n - 1) * count
    }

    /// First position and count of the most frequent n-gram that repeats.
    fn most_frequent(&self) -> Option<(usize, usize)> {
        let n_grams = self.gram_of.iter().filter(|gram| **gram != ONCE).max().map_or(0, |gram| *gram as usize + 1);
        let mut counts = vec![0_usize; n_grams];
        self.gram_of.iter().filter(|gram| **gram != ONCE).for_each(|gram| counts[*gram as usize] += 1);
        // Numbers are given in the order of first positions, so the first maximum is the first n-gram with it.
        let top = counts.iter().copied().max()?;
        let gram = counts.iter().position(|count| *count == top)? as u32;
        Some((self.gram_of.iter().position(|it| *it == gram)?, top))
    }
}

/// Numbers for grams, in the order of their first positions, and their counts.
struct Grams<K> {
    number_of: FastMap<K, u32>,
    counts: Vec<u32>,
}

impl<K: std::hash::Hash + Eq> Grams<K> {
    fn new(n: usize) -> Self {
        Self { number_of: fast_map(n), counts: Vec::with_capacity(n) }
    }

    fn count(&mut self, key: K) -> u32 {
        let next = self.counts.len() as u32;
        let number = *self.number_of.entry(key).or_insert(next);
        if number == next {
            self.counts.push(0);
        }
        self.counts[number as usize] += 1;
        number
    }

    fn only_repeated(&self, mut gram_of: Vec<u32>) -> Vec<u32> {
        for gram in gram_of.iter_mut().filter(|gram| **gram != ONCE) {
            *gram = if self.counts[*gram as usize] > 1 { *gram } else { ONCE };
        }
        gram_of
    }
}

/// How many bytes of two runs are compared before they are looked at as n-grams.
const KEY: usize = 16;

/// The words of a document without the space between them, for duplicated n-grams.
///
/// n-grams are compared without their spaces, as datatrove does: `ab c` and `a bc` are the same 2-gram.
pub(super) struct DuplicateGrams<'a> {
    words: &'a [Word],
    joined: Vec<u8>,
    /// Where each word starts in `joined`, and where the last one ends.
    starts: Vec<usize>,
    /// Whether the first [`KEY`] bytes from a word on are also the first of another word's run.
    twin: Vec<bool>,
}

impl<'a> DuplicateGrams<'a> {
    /// Joins the words and finds the runs that begin alike.
    pub(super) fn new(text: &'a Text<'_>) -> Self {
        let words = text.words();
        let mut joined = Vec::with_capacity(text.as_str().len());
        let mut starts = Vec::with_capacity(words.len() + 1);
        for word in words {
            starts.push(joined.len());
            joined.extend_from_slice(text.word(*word).as_bytes());
        }
        starts.push(joined.len());
        let twin = twins(&joined, &starts[..words.len()]);
        Self { words, joined, starts, twin }
    }

    /// Characters in n-grams that stood before.
    pub(super) fn n_chars(&self, n: usize) -> usize {
        let (mut seen, mut n_chars, mut at) = (fast_set(0), 0, 0);
        while n > 0 && at + n <= self.words.len() {
            let (start, end) = (self.starts[at], self.starts[at + n]);
            let may_repeat = end - start < KEY || self.twin[at];
            if may_repeat && !seen.insert(&self.joined[start..end]) {
                n_chars += self.words[at..at + n].iter().map(|word| word.n_chars).sum::<usize>();
                at += n;
            } else {
                at += 1;
            }
        }
        n_chars
    }
}

/// For each word, whether the next [`KEY`] bytes from it on are the same as from another word on.
fn twins(joined: &[u8], starts: &[usize]) -> Vec<bool> {
    let mut twin = vec![false; starts.len()];
    let mut first_with = fast_map(starts.len());
    for (index, start) in starts.iter().enumerate() {
        let Some(key) = joined.get(*start..).and_then(<[u8]>::first_chunk::<KEY>) else { break };
        let first = *first_with.entry(u128::from_ne_bytes(*key)).or_insert(index);
        if first != index {
            twin[index] = true;
            twin[first] = true;
        }
    }
    twin
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::{BTreeMap, BTreeSet};

    fn top(text: &str, n: usize) -> usize {
        let text = Text::new(text);
        let mut grams = TopGrams::new(&text);
        (1..n).for_each(|_| grams.grow());
        grams.n_chars()
    }

    fn duplicated(text: &str, n: usize) -> usize {
        DuplicateGrams::new(&Text::new(text)).n_chars(n)
    }

    #[test]
    fn the_most_frequent_gram_is_measured_with_its_spaces() {
        for (text, n, expected) in [
            ("", 2, 0),
            ("one", 2, 0),
            ("one two", 2, 7),
            ("a bb a bb a", 2, 8),    // `a bb` and `bb a` twice: the first of them, 4 characters
            ("x yy a b c a b", 2, 6), // `a b` twice
            ("x yyy a b c", 2, 5),    // none repeats: the first
            ("é é é é", 2, 9),        // three overlapping occurrences of 3 characters
            ("a b c a b c a b c", 3, 15),
            ("a b c d a b c d", 4, 14),
        ] {
            assert_eq!(top(text, n), expected, "{text} {n}");
        }
    }

    #[test]
    fn duplicated_grams_are_jumped_over() {
        for (text, n, expected) in [
            ("", 5, 0),
            ("a b c", 2, 0),
            ("a a a a a", 1, 4),
            ("a a a a a", 2, 4),   // from position 1 on seen and jumped over, from 3 on seen again
            ("ab c x a bc", 2, 3), // compared without spaces
            ("eins zwei drei vier fünf eins zwei drei vier fünf", 5, 20),
        ] {
            assert_eq!(duplicated(text, n), expected, "{text} {n}");
        }
    }

    /// The figures read off the definitions, every n-gram looked at.
    fn plain_top(text: &str, n: usize) -> usize {
        let words: Vec<&str> = text.split_whitespace().collect();
        let mut counts: BTreeMap<String, (usize, usize)> = BTreeMap::new();
        for (at, gram) in words.windows(n).enumerate() {
            counts.entry(gram.join(" ")).or_insert((0, at)).0 += 1;
        }
        let top = counts.into_iter().max_by_key(|(_, (count, at))| (*count, std::cmp::Reverse(*at)));
        top.map_or(0, |(gram, (count, _))| gram.chars().count() * count)
    }

    fn plain_duplicated(text: &str, n: usize) -> usize {
        let words: Vec<&str> = text.split_whitespace().collect();
        let (mut seen, mut n_chars, mut at) = (BTreeSet::new(), 0, 0);
        while at + n <= words.len() {
            let gram = words[at..at + n].concat();
            if seen.contains(&gram) {
                n_chars += gram.chars().count();
                at += n;
            } else {
                seen.insert(gram);
                at += 1;
            }
        }
        n_chars
    }

    proptest! {
        #[test]
        fn skipping_changes_no_figure(
            words in prop::collection::vec(prop::sample::select(vec![
                "a", "b", "ab", "ba", "the", "ünder", "abracadabra", "aba", "incomprehensible", "bab",
            ]), 0..120),
            n in 1_usize..11,
        ) {
            let text = words.join(" ");
            prop_assert_eq!(top(&text, n), plain_top(&text, n));
            prop_assert_eq!(duplicated(&text, n), plain_duplicated(&text, n));
        }
    }
}
