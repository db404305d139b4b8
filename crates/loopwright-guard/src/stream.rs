//! Masking of a text that arrives in pieces, such as a model's answer.
//!
//! The stream is cut into segments at places where nothing can be found across: behind white space, with no cue open
//! ("my name is" still waits for its name) and no number or known name going on. Whether a place is such a cut depends on
//! the text alone, at most [`LOOKAHEAD_BYTES`] beyond it, never on how the text was split. Each segment is then masked
//! as a whole text, so every split of a stream gives the same masked text.
//!
//! Against [`Redactor::redact`] on the whole text there is one difference: what is found late cannot be masked in what has
//! left already. What was found early is masked from there on (up to [`CARRIED_MAX`] different strings).

use crate::{
    PiiKind, RedactPolicy, Redactor,
    detect::{
        cue::{self, CUE_BYTES_MAX, Cue, Hit},
        known::Literals,
        person, phone,
        secret::{pem::BLOCK_BYTES_MAX, rules::RULES},
    },
    fold::fold,
};
use std::{
    collections::{BTreeSet, HashSet},
    ops::Range,
};

/// How far beyond a cut the text must be known at most, in bytes. Plain words lag behind by less: by the word under way.
pub const LOOKAHEAD_BYTES: usize = 64;
/// Longest segment, in bytes. A text that offers no cut for so long is cut at its last white space, else anywhere.
pub const SEGMENT_BYTES_MAX: usize = 64 * 1024;
/// Different found strings that are remembered and masked later in the stream.
pub const CARRIED_MAX: usize = 10_000;

/// Behind a cue for a name: no cut for so many bytes, unless the text shows that none follows.
const NAME_BYTES: usize = 128;
/// Behind other cues, where a number is needed if one follows within half the lookahead.
const VALUE_BYTES: usize = 96;
/// Behind any cue, so much of the text decides what follows it.
const VIEW_BYTES: usize = LOOKAHEAD_BYTES / 2;
/// Digits that lie so near on both sides of a place may be one number.
const NUMBER_BYTES: usize = 12;
/// What goes on with an address that is spelt out.
const SPELT: [&str; 6] = ["at ", "dot ", "(at)", "[at]", "(dot)", "[dot]"];

/// Masks a stream.
///
/// ```
/// use loopwright_guard::{RedactPolicy, StreamRedactor};
///
/// let mut stream = StreamRedactor::new(&RedactPolicy::default(), &[]);
/// let mut masked = stream.push("Write to ana@ma");
/// masked += &stream.push("il.example please.");
/// masked += &stream.finish().0;
/// assert_eq!(masked, "Write to <EMAIL> please.");
/// ```
pub struct StreamRedactor {
    redactor: Redactor,
    literals: Literals,
    /// Words, folded, that a known string goes on from.
    open_words: HashSet<String>,
    /// Text that is not masked yet.
    pending: String,
    /// The cues that stand in it, by where they begin.
    hits: Vec<Hit>,
    /// How far it was searched for cues; one that ends here is looked at again.
    cued: usize,
    /// How far it was searched for cuts.
    searched: usize,
    /// How many of the cues begin before that, and have been opened.
    next_hit: usize,
    /// No cut before this.
    open_until: usize,
    /// Where a private key block begins that has not ended.
    open_block: Option<usize>,
    /// What was masked so far.
    found: BTreeSet<PiiKind>,
}

impl StreamRedactor {
    /// A stream under a policy; `known` are identifying strings as in [`Redactor::redact`].
    pub fn new(policy: &RedactPolicy, known: &[String]) -> Self {
        let mut stream = Self {
            redactor: Redactor::new(policy),
            literals: Literals::with_limit(known, CARRIED_MAX),
            open_words: HashSet::new(),
            pending: String::new(),
            hits: Vec::new(),
            cued: 0,
            searched: 0,
            next_hit: 0,
            open_until: 0,
            open_block: None,
            found: BTreeSet::new(),
        };
        known.iter().for_each(|text| stream.note_words(text));
        stream
    }

    /// Takes the next piece of text and returns what has become final, masked; often nothing.
    pub fn push(&mut self, piece: &str) -> String {
        self.pending.push_str(piece);
        self.masked_segments(false)
    }

    /// The kinds that were masked in what has become final.
    pub fn found(&self) -> &BTreeSet<PiiKind> {
        &self.found
    }

    /// Ends the stream and returns the rest, masked, and the kinds that were masked in all of it.
    pub fn finish(mut self) -> (String, BTreeSet<PiiKind>) {
        let mut masked = self.masked_segments(true);
        let last = self.redactor.redact_with(&self.pending, &mut self.literals);
        masked.push_str(&last.text);
        self.found.extend(last.findings.iter().map(|it| it.kind));
        (masked, self.found)
    }

    fn masked_segments(&mut self, is_last: bool) -> String {
        self.find_cues();
        let decided_to = if is_last { self.pending.len() } else { decided_to(&self.pending, &self.hits) };
        let (mut masked, mut start) = (String::new(), 0);
        while let Some(cut) = self.next_cut(start, decided_to, is_last) {
            self.mask(start..cut, &mut masked);
            (start, self.searched, self.open_until, self.open_block) = (cut, cut, 0, None);
            self.next_hit = self.hits.partition_point(|hit| hit.start < cut);
        }
        self.forget(start);
        masked
    }

    /// Adds the cues that stand in what is new.
    fn find_cues(&mut self) {
        self.hits.retain(|hit| hit.end < self.cued);
        let from = (self.cued.saturating_sub(CUE_BYTES_MAX)..).find(|at| self.pending.is_char_boundary(*at));
        let mut found = Vec::new();
        cue::find(&self.pending, from.unwrap_or(0)..self.pending.len(), &mut found);
        self.hits.extend(found.into_iter().filter(|hit| hit.end >= self.cued));
        self.hits.sort_by_key(|hit| hit.start);
        self.next_hit = self.hits.partition_point(|hit| hit.start < self.searched);
        self.cued = self.pending.len();
    }

    /// Leaves out what is masked.
    fn forget(&mut self, n_bytes: usize) {
        if n_bytes == 0 {
            return;
        }
        self.pending.drain(..n_bytes);
        self.hits.retain(|hit| hit.start >= n_bytes);
        self.hits.iter_mut().for_each(|hit| (hit.start, hit.end) = (hit.start - n_bytes, hit.end - n_bytes));
        self.open_block = self.open_block.map(|start| start - n_bytes);
        (self.cued, self.searched) = (self.cued - n_bytes, self.searched - n_bytes);
        self.open_until = self.open_until.saturating_sub(n_bytes);
    }

    /// Masks a segment.
    fn mask(&mut self, segment: Range<usize>, masked: &mut String) {
        let has_cue = self.hits[..self.next_hit].last().is_some_and(|hit| hit.start >= segment.start);
        let segment = &self.pending[segment];
        if !has_cue && self.literals.is_empty() && is_plain(segment) {
            #[cfg(test)]
            assert!(self.redactor.redact(segment, &[]).findings.is_empty(), "`{segment}` is not plain");
            masked.push_str(segment);
            return;
        }
        let redacted = self.redactor.redact_with(segment, &mut self.literals);
        masked.push_str(&redacted.text);
        let found: Vec<String> = redacted.findings.iter().map(|it| segment[it.start..it.end].to_string()).collect();
        found.iter().for_each(|found| self.note_words(found));
        self.found.extend(redacted.findings.iter().map(|it| it.kind));
    }

    /// All words but the last of a string of several: no cut behind these.
    fn note_words(&mut self, text: &str) {
        if self.open_words.len() >= CARRIED_MAX {
            return;
        }
        let words: Vec<&str> = text.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty()).collect();
        let open = words.iter().take(words.len().saturating_sub(1)).map(|word| fold(word));
        self.open_words.extend(open);
    }

    /// The first place where the pending text may be cut, whose segment begins at `start`.
    fn next_cut(&mut self, start: usize, decided_to: usize, is_last: bool) -> Option<usize> {
        let rest = self.pending.len() - start;
        let known_to = if is_last { rest } else { rest.saturating_sub(LOOKAHEAD_BYTES) };
        let frontier = floor(&self.pending, decided_to.min(start + SEGMENT_BYTES_MAX));
        let mut from = self.searched.max(start);
        while let Some(cut) = candidate(&self.pending, from, frontier) {
            self.open_before(cut);
            if !is_last && !is_decided(&self.pending[start..cut], &self.pending[cut..]) {
                // The white space before it: this place is looked at again.
                self.searched = cut - 1;
                return None;
            }
            if self.is_safe(start, cut) {
                return Some(cut);
            }
            from = cut;
        }
        self.open_before(frontier);
        self.searched = frontier.max(self.searched);
        let is_full = known_to >= SEGMENT_BYTES_MAX && frontier < self.pending.len();
        is_full.then(|| start + forced(&self.pending[start..], frontier - start))
    }

    /// Opens the cues that begin before this.
    fn open_before(&mut self, place: usize) {
        while let Some(hit) = self.hits.get(self.next_hit).copied().filter(|hit| hit.start < place) {
            self.open(hit);
            self.next_hit += 1;
        }
    }

    /// A cue forbids cuts until what it announces must be over.
    fn open(&mut self, hit: Hit) {
        let announces = announces(&self.pending, &hit);
        if hit.cue == Cue::Pem {
            self.open_block.get_or_insert(hit.start);
        }
        let n_bytes = match announces {
            Announces::Nothing => 0,
            Announces::Name => NAME_BYTES,
            Announces::Value => VALUE_BYTES,
        };
        self.open_until = self.open_until.max(hit.end + n_bytes);
    }

    /// Can nothing be found across this place, which lies behind white space?
    fn is_safe(&mut self, start: usize, cut: usize) -> bool {
        let before = &self.pending[start..cut];
        let after = &self.pending[cut..floor(&self.pending, cut + LOOKAHEAD_BYTES)];
        if self.open_block.is_some_and(|block| is_block_end(&self.pending[block..cut])) {
            self.open_block = None;
        }
        cut >= self.open_until
            && self.open_block.is_none()
            && !goes_on_as_number(before, after)
            && !goes_on_as_address(before, after)
            && !phone::ends_with_number_word(before)
            && !self.open_words.contains(&fold(last_word(before)))
    }
}

/// What may follow a cue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Announces {
    Nothing,
    Name,
    Value,
}

/// What may follow this cue, as far as the text behind it shows.
fn announces(text: &str, hit: &Hit) -> Announces {
    let view = &text[..floor(text, hit.end + VIEW_BYTES)];
    match hit.cue {
        _ if hit.cue.is_person() && person::opens(view, hit) => Announces::Name,
        Cue::Secret(row) if !RULES[usize::from(row)].is_assigned() => Announces::Nothing,
        Cue::Password | Cue::Key | Cue::Secret(_) | Cue::Dot => Announces::Value,
        Cue::Scheme | Cue::Pem => Announces::Nothing,
        cue if !cue.is_person() && view[hit.end..].bytes().any(|byte| byte.is_ascii_digit()) => Announces::Value,
        _ => Announces::Nothing,
    }
}

/// Up to here, no cue depends on what follows the text: none has begun that is not whole yet, and what the whole ones
/// announce is known.
fn decided_to(text: &str, hits: &[Hit]) -> usize {
    let is_open = |hit: &&Hit| {
        hit.end + VIEW_BYTES > text.len()
            && match hit.cue {
                Cue::Introduction | Cue::Password | Cue::Key | Cue::Secret(_) | Cue::Dot | Cue::Scheme | Cue::Pem => {
                    false
                }
                cue if cue.is_person() => !text[hit.end..].contains(char::is_alphanumeric),
                _ => announces(text, hit) == Announces::Nothing,
            }
    };
    let open = hits.iter().filter(is_open).map(|hit| hit.start).min();
    cue::may_begin(text).min(open.unwrap_or(text.len()))
}

/// Does the text that is known behind a place show whether a number or an address goes on there?
fn is_decided(before: &str, after: &str) -> bool {
    let is_near = |byte: &u8| byte.is_ascii_digit();
    let n_number = if before.as_bytes().iter().rev().take(NUMBER_BYTES).any(is_near) { NUMBER_BYTES } else { 1 };
    let goes_on = |spelt: &str| spelt.len() > after.len() && spelt[..after.len()].eq_ignore_ascii_case(after);
    after.len() >= n_number && !SPELT.iter().any(|spelt| goes_on(spelt))
}

/// The first place behind white space and before something else, after `from` and up to `to`.
fn candidate(text: &str, from: usize, to: usize) -> Option<usize> {
    let bytes = text.as_bytes();
    let to = to.min(bytes.len().saturating_sub(1));
    (from + 1..=to).find(|&at| bytes[at - 1].is_ascii_whitespace() && !bytes[at].is_ascii_whitespace())
}

/// Longest segment, in bytes, that is taken for plain words at a glance.
const PLAIN_BYTES_MAX: usize = 32;

/// Words of nothing but letters and everyday punctuation: without a cue, no detector finds anything in them.
fn is_plain(segment: &str) -> bool {
    let is_plain = |byte: &u8| {
        byte.is_ascii_alphabetic() || matches!(byte, b' ' | b'\n' | b'.' | b',' | b';' | b'!' | b'?' | b'\'' | b'"')
    };
    segment.len() <= PLAIN_BYTES_MAX && segment.as_bytes().iter().all(is_plain)
}

/// Where a segment ends that offers no cut: behind its last white space, else at its very end.
fn forced(text: &str, frontier: usize) -> usize {
    text[..frontier].rfind([' ', '\n']).map(|at| at + 1).filter(|cut| *cut > 0).unwrap_or(frontier)
}

fn floor(text: &str, at: usize) -> usize {
    (0..=at.min(text.len())).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0)
}

/// Is a block that began here over: has its last line been seen, or is it too long to be one?
fn is_block_end(block: &str) -> bool {
    let last_line =
        block.find("-----END ").is_some_and(|at| block[at..].contains("-----\n") || block[at..].contains("----- "));
    last_line || block.len() > BLOCK_BYTES_MAX
}

/// Digits near on both sides, `AB 12 34 56 C`, or a check letter that stands alone.
fn goes_on_as_number(before: &str, after: &str) -> bool {
    let near_before = &before.as_bytes()[before.len().saturating_sub(NUMBER_BYTES)..];
    let near_after = &after.as_bytes()[..after.len().min(NUMBER_BYTES)];
    let line = near_before.iter().rev().take_while(|byte| **byte != b'\n');
    let digit_before = line.clone().any(u8::is_ascii_digit);
    let digit_after = near_after.iter().take_while(|byte| **byte != b'\n').any(u8::is_ascii_digit);
    let starts_with_digit = near_after.first().is_some_and(u8::is_ascii_digit);
    let letter_alone = matches!(near_after, [a, rest @ ..] if a.is_ascii_alphabetic() && !rest.first().is_some_and(u8::is_ascii_alphanumeric));
    let sign_before = line.clone().any(|byte| matches!(byte, b'+' | b'('));
    let pair_before = last_word(before).len() == 2;
    (digit_before && (digit_after || letter_alone))
        || (starts_with_digit && (sign_before || pair_before || is_version(before)))
}

/// `firmware 2.0.1.14` is no address, but only if the word is seen.
fn is_version(before: &str) -> bool {
    let word = last_word(before);
    ["v", "version", "firmware", "release", "build"].iter().any(|it| it.eq_ignore_ascii_case(word))
}

/// `ana at mail dot com`, `ana (at) mail`.
fn goes_on_as_address(before: &str, after: &str) -> bool {
    if ["at", "dot"].iter().any(|it| it.eq_ignore_ascii_case(last_word(before))) {
        return true;
    }
    SPELT.iter().any(|it| after.get(..it.len()).is_some_and(|start| start.eq_ignore_ascii_case(it)))
}

/// The last letters and digits before white space and signs.
fn last_word(before: &str) -> &str {
    let trimmed = before.trim_end_matches(|c: char| !c.is_alphanumeric());
    let length = trimmed.chars().rev().take(32).take_while(|c| c.is_alphanumeric()).map(char::len_utf8).sum::<usize>();
    &trimmed[trimmed.len() - length..]
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn streamed(pieces: &[&str], known: &[String]) -> String {
        let mut stream = StreamRedactor::new(&RedactPolicy::default(), known);
        let mut masked: String = pieces.iter().map(|piece| stream.push(piece)).collect();
        masked.push_str(&stream.finish().0);
        masked
    }

    fn check(text: &str, known: &[&str], expected: &str) {
        let known: Vec<String> = known.iter().map(ToString::to_string).collect();
        let characters: Vec<String> = text.chars().map(String::from).collect();
        let characters: Vec<&str> = characters.iter().map(String::as_str).collect();
        assert_eq!(streamed(&[text], &known), expected, "whole");
        assert_eq!(streamed(&characters, &known), expected, "character by character");
    }

    /// Words without any cue, so that there are cuts before and behind what is tested.
    fn padded(text: &str) -> String {
        let filler = "the weather was fine and nobody wanted to stay inside for long. ".repeat(4);
        format!("{filler}{text} {filler}")
    }

    #[test]
    fn what_a_cut_could_tear_is_found() {
        for (text, expected) in [
            ("my full name is Ana de la Cruz", "my full name is <PERSON>"),
            ("card 4111 1111 1111 1111 it is", "card <CARD> it is"),
            ("DE89 3704 0044 0532 0130 00 and", "<IBAN> and"),
            ("ana at mail dot co dot uk yes", "<EMAIL> yes"),
            ("AB 12 34 56 C and", "<NATIONAL_ID> and"),
            ("12345678 Z and", "<NATIONAL_ID> and"),
            ("call me on + 44 7700 900123 or", "call me on + <PHONE> or"),
            ("order no. 212 555 0142 is late", "order no. 212 555 0142 is late"),
            ("firmware 2.0.1.14 is old", "firmware 2.0.1.14 is old"),
            ("born on 12 March 1985 in", "born on <BIRTH_DATE> in"),
            ("Regards,\nAna Ruiz\n", "Regards,\n<PERSON>\n"),
        ] {
            check(&padded(text), &[], &padded(expected));
        }
    }

    #[test]
    fn a_private_key_is_one_finding() {
        let block = format!(
            "-----BEGIN PRIVATE KEY-----\n{}-----END PRIVATE KEY-----\n",
            "MIIBVgIBADANBgkqhkiG9w0B\n".repeat(90)
        );
        check(&padded(&block), &[], &padded("<SECRET>\n"));
    }

    #[test]
    fn known_strings_and_found_ones_are_masked_from_there_on() {
        check(&padded("so Mara Lindqvist said"), &["Mara Lindqvist"], &padded("so <PERSON> said"));
        let text = format!("{}{}", padded("my name is Mara Lindqvist."), padded("so Mara Lindqvist said"));
        let masked = format!("{}{}", padded("my name is <PERSON>."), padded("so <PERSON> said"));
        check(&text, &[], &masked);
    }

    #[test]
    fn plain_words_lag_by_a_word_and_cues_by_the_lookahead() {
        let lag = |text: &str| {
            let mut stream = StreamRedactor::new(&RedactPolicy::default(), &[]);
            text.len() - stream.push(text).len()
        };
        let text = "the weather was fine and nobody wanted to stay inside for long. ".repeat(40);
        assert_eq!(lag(&(text.clone() + "Under")), 5);
        // A number may follow the word `order`, and a phone number `call`, but not so far behind.
        for waits in ["Under this order", "Under 12 34", "We call ", "They met my", "Someone was at"] {
            let n_bytes = lag(&(text.clone() + waits));
            assert!((1..=waits.len()).contains(&n_bytes), "{waits}: {n_bytes}");
            assert!(lag(&(text.clone() + waits + " " + &text)) <= "long. ".len(), "{waits}");
        }
    }

    #[test]
    fn a_cue_behind_a_forced_cut_still_holds() {
        // The segment is full of numbers; its last white space stands before the cue, and its bound lies within it.
        let text = format!("{}8-signed Mara Lindqvist, bye", "1 ".repeat(SEGMENT_BYTES_MAX / 2 - 3));
        for pieces in [vec![text.as_str()], split(&text, &(0..1000).collect::<Vec<_>>())] {
            let masked = streamed(&pieces, &[]);
            assert!(masked.ends_with("8-signed <PERSON>, bye"), "{}", &masked[masked.len() - 60..]);
        }
    }

    #[test]
    fn a_stream_without_cuts_is_cut_at_its_limit() {
        let mut stream = StreamRedactor::new(&RedactPolicy::default(), &[]);
        let text = "1 ".repeat(SEGMENT_BYTES_MAX);
        assert!(!stream.push(&text).is_empty());
        assert!(stream.pending.len() <= SEGMENT_BYTES_MAX + LOOKAHEAD_BYTES);
    }

    /// Pieces that detectors react to, so that random sequences of them meet at awkward places.
    const PIECES: [&str; 40] = [
        "my name is ",
        "Ana Ruiz",
        "ana",
        "Dear ",
        "Thanks,\n",
        "Regards, ",
        "this is ",
        "<EMAIL>",
        "<ID",
        ">",
        "a.b@mail.example",
        "@",
        "+44 7700 900123",
        "07700 900123",
        "4111 1111 1111 1111",
        "DE89 3704 0044 0532 0130 00",
        "203.0.113.7",
        "2001:db8::1",
        "sk-abcdefghij0123456789",
        "password is ",
        "hunter22",
        " ",
        " ",
        "\n",
        "-",
        ".",
        "0",
        "12",
        "é",
        "AB 12 34 56 C",
        "phone ",
        "order ",
        "born on ",
        "12 March 1985",
        "ana at mail dot com",
        "-----BEGIN PRIVATE KEY-----\nMIIB\n",
        "-----END PRIVATE KEY-----\n",
        "lat 52.5200, 13.4050",
        "日本 ",
        "the weather was fine and ",
    ];

    fn hostile() -> impl Strategy<Value = String> {
        prop::collection::vec(prop::sample::select(PIECES.to_vec()), 0..24).prop_map(|pieces| pieces.concat())
    }

    /// Splits a text at these shares of its length.
    fn split<'a>(text: &'a str, cuts: &[usize]) -> Vec<&'a str> {
        let mut cuts: Vec<usize> = cuts.iter().map(|cut| floor(text, cut * text.len() / 1000)).collect();
        cuts.extend([0, text.len()]);
        cuts.sort_unstable();
        cuts.windows(2).map(|pair| &text[pair[0]..pair[1]]).collect()
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 1500, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn every_split_gives_the_same(text in hostile(), cuts in prop::collection::vec(0_usize..1000, 0..40)) {
            for known in [vec![], vec!["Ana Ruiz".to_string(), "+44 7700 900123".to_string()]] {
                prop_assert_eq!(streamed(&split(&text, &cuts), &known), streamed(&[&text], &known));
            }
        }

        #[test]
        fn any_text_in_any_split_gives_the_same(text in "\\PC{0,200}", cuts in prop::collection::vec(0_usize..1000, 0..20)) {
            prop_assert_eq!(streamed(&split(&text, &cuts), &[]), streamed(&[&text], &[]));
        }

        #[test]
        fn plain_words_in_any_split_give_the_same(text in "[a-zA-Z .,;!?'\n\"]{0,300}", cuts in prop::collection::vec(0_usize..1000, 0..20)) {
            prop_assert_eq!(streamed(&split(&text, &cuts), &[]), streamed(&[&text], &[]));
        }

        /// What one pass over the whole text finds, the stream masks: no cut tears it.
        #[test]
        fn no_cut_loses_a_finding(text in hostile()) {
            let text = text.replace('<', "(");
            let kinds = RedactPolicy::default().kinds;
            let mut found = Vec::new();
            crate::detect::scan(&text, 0..text.len(), &kinds, &mut crate::detect::marks::Marks::default(), &mut found);
            let stream = streamed(&[&text], &[]);
            for finding in crate::overlap::resolve(found) {
                let clear: String = text[finding.start..finding.end].to_string();
                let n = |haystack: &str| haystack.matches(&clear).count();
                prop_assert!(n(&stream) < n(&text), "`{}` of `{}` is left in `{}`", clear, text, stream);
            }
        }
    }
}
