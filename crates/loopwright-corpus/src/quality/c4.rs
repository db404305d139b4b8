//! C4's rules: keep the lines that are sentences, and the pages with enough of them.
//!
//! Source: Raffel et al. 2020, "Exploring the Limits of Transfer Learning with a Unified Text-to-Text Transformer", section
//! 2.2, and the code that made the dataset. This one *changes* the text: lines go that do not end with `.`, `?`, `!` or a
//! quote (or end with an ellipsis), have fewer than 3 words or a word of more than 1000 characters, speak of JavaScript, or
//! hold a phrase of cookie and privacy notices. Wikipedia's citation marks (`[1]`, `[edit]`, `[citation needed]`) go. A page
//! goes whole if a line that came so far holds `lorem ipsum` or a curly bracket (code), or if fewer than 5 sentences remain.
//! (The paper's text says 3 sentences and 5 words; its code, and datatrove after it, 5 sentences and 3 words.)
//!
//! Read as datatrove's `C4QualityFilter` reads it, in this order for each line: word length, citations, end, number of words
//! (citations counted), `lorem ipsum`, JavaScript, bracket, phrases. Sentences are counted by [`super::sentences`]. The
//! paper's list of bad words is [`super::words_list`], with a list of your own.

use super::{
    bounds::fewer,
    classes::{CLASSES, DIGIT, SPACE},
    sentences,
    text::{Text, Word},
};
use crate::Reason;
use aho_corasick::AhoCorasick;
use serde::{Deserialize, Serialize};
use std::{borrow::Cow, sync::LazyLock};

/// The step's name.
pub const STEP: &str = "c4";

/// Phrases of cookie and privacy notices.
const POLICY: [&str; 6] =
    ["terms of use", "privacy policy", "cookie policy", "uses cookies", "use of cookies", "use cookies"];

/// The bounds; the default is what C4 was made with.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// Drops lines that do not end a sentence (C4: yes; FineWeb left this out, since it costs a third of all text).
    pub lines_end_sentences: bool,
    /// Takes citation marks out (C4: yes).
    pub remove_citations: bool,
    /// Fewest sentences of a page after its lines were dropped (C4: 5).
    pub sentences_min: usize,
    /// Fewest words of a line (C4: 3).
    pub words_per_line_min: usize,
    /// Longest word of a line, in characters (C4: 1000).
    pub word_chars_max: usize,
    /// Drops pages with `lorem ipsum` (C4: yes).
    pub lorem_ipsum: bool,
    /// Drops lines with `javascript` (C4: yes).
    pub javascript: bool,
    /// Drops pages with `{` (C4: yes).
    pub curly_bracket: bool,
    /// Drops lines with phrases of cookie and privacy notices (C4: yes).
    pub policy: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            lines_end_sentences: true,
            remove_citations: true,
            sentences_min: 5,
            words_per_line_min: 3,
            word_chars_max: 1000,
            lorem_ipsum: true,
            javascript: true,
            curly_bracket: true,
            policy: true,
        }
    }
}

/// The document with the lines that may stay, or the reason why all of it goes. Borrowed if nothing had to be changed.
pub fn clean<'a>(text: &Text<'a>, settings: &Settings) -> Result<Cow<'a, str>, Reason> {
    let mut n_sentences = 0;
    let kept = clean_part(text, settings, &mut n_sentences)?;
    enough_sentences(n_sentences, settings).map_or(Ok(kept), Err)
}

/// The same for a document in parts, such as the turns of a conversation: each part keeps its lines to itself, and the
/// sentences of all parts are counted together.
pub fn clean_parts<'a>(parts: &[&'a str], settings: &Settings) -> Result<Vec<Cow<'a, str>>, Reason> {
    let mut n_sentences = 0;
    let kept = parts.iter().map(|part| clean_part(&Text::new(part), settings, &mut n_sentences));
    let kept = kept.collect::<Result<Vec<_>, Reason>>()?;
    enough_sentences(n_sentences, settings).map_or(Ok(kept), Err)
}

fn enough_sentences(n_sentences: usize, settings: &Settings) -> Option<Reason> {
    fewer("few_sentences", "sentences", n_sentences, settings.sentences_min)
}

/// The lines of a part that may stay; adds their sentences up.
fn clean_part<'a>(text: &Text<'a>, settings: &Settings, n_sentences: &mut usize) -> Result<Cow<'a, str>, Reason> {
    let has_phrases = may_hold_phrases(text.as_str());
    let (mut words, mut kept) = (text.words(), Vec::new());
    for line in text.lines() {
        let (own, rest) = words_of(text, line, words);
        words = rest;
        let Some(line) = tidy_line(text, own, settings) else { continue };
        let has_phrases = has_phrases || matches!(line, Cow::Owned(_));
        if keep_line(&line, has_phrases, settings)? {
            // Beyond the bound the number does not matter.
            *n_sentences += if *n_sentences < settings.sentences_min { sentences::count(&line) } else { 0 };
            kept.push(line);
        }
    }
    Ok(join(text.as_str(), &kept))
}

/// Splits off the words of the next line.
fn words_of<'w>(text: &Text<'_>, line: &str, words: &'w [Word]) -> (&'w [Word], &'w [Word]) {
    let end = line.as_ptr() as usize - text.as_str().as_ptr() as usize + line.len();
    words.split_at(words.iter().position(|word| word.start >= end).unwrap_or(words.len()))
}

/// A line without the white space around it and without citations, unless its form tells that it goes.
fn tidy_line<'a>(text: &Text<'a>, words: &[Word], settings: &Settings) -> Option<Cow<'a, str>> {
    let line = match words {
        [] => "",
        [first, ..] => &text.as_str()[first.start..words[words.len() - 1].end],
    };
    if text.word_chars_max() > settings.word_chars_max && words.iter().any(|it| it.n_chars > settings.word_chars_max) {
        return None;
    }
    let line = if settings.remove_citations { without_citations(line) } else { Cow::Borrowed(line) };
    let ends = line.ends_with(['.', '?', '!', '"', '\'']) && !line.ends_with("...");
    (words.len() >= settings.words_per_line_min && (ends || !settings.lines_end_sentences)).then_some(line)
}

/// Whether what a line says lets it stay; an error if it condemns the page.
fn keep_line(line: &str, has_phrases: bool, settings: &Settings) -> Result<bool, Reason> {
    let lower = if has_phrases { line.to_lowercase() } else { String::new() };
    if settings.lorem_ipsum && lower.contains("lorem ipsum") {
        return Err(Reason::new("lorem_ipsum", "a line holds `lorem ipsum`"));
    }
    if settings.javascript && lower.contains("javascript") {
        return Ok(false);
    }
    if settings.curly_bracket && memchr::memchr(b'{', line.as_bytes()).is_some() {
        return Err(Reason::new("curly_bracket", "a line holds `{`"));
    }
    Ok(!(settings.policy && POLICY.iter().any(|phrase| lower.contains(phrase))))
}

/// Whether a text holds one of the phrases in any case. The Kelvin sign is the one character beyond ASCII whose small
/// letter is a letter of a phrase.
fn may_hold_phrases(text: &str) -> bool {
    static PHRASES: LazyLock<AhoCorasick> = LazyLock::new(|| {
        let phrases = POLICY.iter().copied().chain(["lorem ipsum", "javascript"]);
        let automaton = AhoCorasick::builder().ascii_case_insensitive(true).build(phrases);
        automaton.expect("eight short phrases make a small automaton")
    });
    PHRASES.is_match(text) || !text.is_ascii() && text.contains('\u{212a}')
}

/// A line without `[12]`, `[]`, `[edit]` and `[citation needed]`.
fn without_citations(line: &str) -> Cow<'_, str> {
    let (mut out, mut copied, mut from) = (String::new(), 0, 0);
    while let Some(at) = memchr::memchr(b'[', &line.as_bytes()[from..]) {
        let start = from + at;
        from = start + 1;
        if let Some(n_bytes) = citation(&line[from..]) {
            out.push_str(&line[copied..start]);
            from += n_bytes;
            copied = from;
        }
    }
    if copied == 0 {
        return Cow::Borrowed(line);
    }
    out.push_str(&line[copied..]);
    Cow::Owned(out)
}

/// Length of what follows the opening bracket of a citation, the closing one included.
fn citation(after: &str) -> Option<usize> {
    let fixed = ["edit]", "citation needed]"].into_iter().find(|it| after.starts_with(it)).map(str::len);
    fixed.or_else(|| {
        let rest = after.trim_start_matches(|c| CLASSES.is(c, DIGIT));
        rest.starts_with(']').then(|| after.len() - rest.len() + 1)
    })
}

fn join<'a>(text: &'a str, kept: &[Cow<'a, str>]) -> Cow<'a, str> {
    let space = |c| CLASSES.is(c, SPACE);
    let joined = kept.join("\n");
    let joined = joined.trim_matches(space);
    if joined == text { Cow::Borrowed(text) } else { Cow::Owned(joined.to_string()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn loose() -> Settings {
        Settings { sentences_min: 0, ..Settings::default() }
    }

    fn check(settings: &Settings, cases: &[(&str, Result<&str, &str>)]) {
        for (text, expected) in cases {
            let got = clean(&Text::new(text), settings);
            let got = got.as_ref().map(|text| text.as_ref()).map_err(|reason| reason.class.as_str());
            assert_eq!(got, *expected, "{text}");
        }
    }

    #[test]
    fn lines_go_by_form_and_by_what_they_say() {
        let long = "x".repeat(1001);
        check(
            &loose(),
            &[
                ("", Ok("")),
                ("It ends here.\nMenu of the page\n  It ends, too!  \r\n", Ok("It ends here.\nIt ends, too!")),
                ("He said \"yes I do\"\nIt goes on ...\nToo short.", Ok("He said \"yes I do\"")),
                (&format!("A word of {long}.\nThe other line."), Ok("The other line.")),
                ("Please enable JavaScript to go on.\nThe other line.", Ok("The other line.")),
                ("This site USES COOKIES for you.\nThe other line.", Ok("The other line.")),
                ("This site uses coo\u{212a}ies for you.\nThe other line.", Ok("The other line.")),
                ("Some lorem Ipsum dolor.\nThe other line.", Err("lorem_ipsum")),
                ("int f() { return 1; }.\nThe other line.", Err("curly_bracket")),
                ("A menu with { a bracket\nThe other line.", Ok("The other line.")),
                ("In javascript one has { a bracket.\nThe other line.", Ok("The other line.")),
            ],
        );
    }

    #[test]
    fn parts_keep_their_lines_and_count_together() {
        let settings = Settings { sentences_min: 2, ..Settings::default() };
        let parts = ["Where is my parcel?\nMenu", "It is on its way."];
        assert_eq!(clean_parts(&parts, &settings).unwrap(), ["Where is my parcel?", "It is on its way."]);
        assert_eq!(clean_parts(&parts[..1], &settings).unwrap_err().class, "few_sentences");
    }

    #[test]
    fn citations_go() {
        check(
            &loose(),
            &[
                ("It is so[1][23] here[edit].", Ok("It is so here.")),
                ("It is so [citation needed] here[].", Ok("It is so  here.")),
                ("It is [[4]] [a] so[٣].", Ok("It is [] [a] so.")),
                ("It is at the end. [1]", Ok("")),
                ("We like java[1]script so much.", Ok("")),
            ],
        );
    }

    #[test]
    fn too_few_sentences_condemn_a_page() {
        let four = "One is here. Two is here. Three is here.\nFour is here.";
        let five = format!("{four} Five is here.");
        check(&Settings::default(), &[(four, Err("few_sentences")), (&five, Ok(&five))]);
        assert!(matches!(clean(&Text::new(&five), &Settings::default()), Ok(Cow::Borrowed(_))));
    }

    #[test]
    fn rules_can_be_left_out() {
        let settings = Settings {
            lines_end_sentences: false,
            remove_citations: false,
            sentences_min: 0,
            words_per_line_min: 1,
            word_chars_max: usize::MAX,
            lorem_ipsum: false,
            javascript: false,
            curly_bracket: false,
            policy: false,
        };
        let text = "Menu\nlorem ipsum [1]\njavascript {\nprivacy policy";
        check(&settings, &[(text, Ok(text))]);
    }
}
