//! Names that their context gives away. A name alone is not recognisable without a list of all names; "my name is",
//! "Dear" and "Regards" are, and what they give away is then masked everywhere in the text.

use super::{char_at, cue::Cue, cue::Hit};
use crate::{Finding, PiiKind};
use unicode_normalization::char::is_combining_mark;

/// Longest word of a name, in bytes.
const WORD_BYTES_MAX: usize = 64;
/// Letters of a word that an e-mail address after a name may have.
const ADDRESS_BYTES_MAX: usize = 160;

/// Small words inside a name: `Ana de la Cruz`.
const PARTICLES: [&str; 17] =
    ["van", "von", "der", "den", "de", "del", "della", "la", "da", "di", "do", "dos", "bin", "al", "el", "le", "zu"];

/// Capitalised words that follow those cues and are no names, sorted.
#[rustfmt::skip]
const NO_NAMES: [&str; 130] = [
    "a", "account", "admin", "again", "agent", "all", "also", "am", "amazing", "an", "and", "any", "anyone", "are",
    "as", "awaiting", "awful", "back", "bad", "business", "but", "can", "cancel", "care", "colleague", "colleagues",
    "completely", "could", "currently", "customer", "customers", "damen", "dear", "department", "desk", "do",
    "equipo", "everyone", "faithfully", "folks", "for", "friend", "friends", "from", "getting", "good", "great",
    "guys", "have", "having", "hello", "help", "helpdesk", "here", "herren", "hi", "how", "i", "if", "in", "is", "it",
    "just", "ladies", "looking", "love", "madam", "mate", "missing", "my", "need", "no", "not", "now", "of", "on",
    "once", "order", "our", "people", "please", "question", "quick", "re", "really", "regards", "reply", "sadly",
    "sales", "service", "shop", "sincerely", "sir", "sirs", "so", "sorry", "spelled", "spelt", "still", "store",
    "support", "team", "thank", "thanks", "that", "the", "there", "this", "to", "truly", "trying", "unable",
    "unacceptable", "urgent", "very", "waiting", "was", "we", "what", "when", "where", "whoever", "why", "wishes",
    "with", "wondering", "wrong", "you", "your", "zusammen",
];

pub(super) fn find(text: &str, hits: &[Hit], found: &mut Vec<Finding>) {
    for hit in hits {
        found.extend(match hit.cue {
            Cue::Introduction => introduced(text, hit.end, true),
            Cue::Signature => introduced(text, hit.end, false),
            Cue::Claim => claimed(text, hit.end),
            Cue::Title => titled(text, hit),
            Cue::Greeting => after_space(text, hit.end).and_then(|at| named(text, at, 2)),
            Cue::Closing => signed(text, hit.end),
            _ => None,
        });
    }
}

/// May a name follow this cue, as far as the next characters show? What the stream asks before it waits for more.
pub(crate) fn opens(text: &str, hit: &Hit) -> bool {
    let rest = text[hit.end..].trim_start_matches(|c: char| !c.is_alphanumeric());
    hit.cue == Cue::Introduction || rest.is_empty() || rest.starts_with(char::is_uppercase)
}

/// A name of up to four words, or up to two words in lower case where nothing but a name can follow.
fn introduced(text: &str, end: usize, lower_case_too: bool) -> Option<Finding> {
    let first = char_at(text, end).filter(|c| *c == ':' || c.is_whitespace())?;
    let at = skip_space(text, end + first.len_utf8());
    match char_at(text, at)? {
        c if c.is_uppercase() => named(text, at, 3),
        c if c.is_lowercase() && lower_case_too => {
            let first = lower_word_end(text, at)?;
            let second = text[first..].strip_prefix(' ').and_then(|_| lower_word_end(text, first + 1));
            trimmed(text, at, second.unwrap_or(first), 1)
        }
        _ => None,
    }
}

/// "This is" needs two capitalised words, and a text in capitals has no names.
fn claimed(text: &str, end: usize) -> Option<Finding> {
    let at = after_space(text, end)?;
    let name_end = name_end(text, at, 1, 3)?;
    text[at..name_end].contains(char::is_lowercase).then(|| trimmed(text, at, name_end, 2)).flatten()
}

/// A title is written with its capital and no others.
fn titled(text: &str, hit: &Hit) -> Option<Finding> {
    let mut title = text[hit.start..hit.end].chars();
    let is_written = title.next().is_some_and(char::is_uppercase) && title.all(char::is_lowercase);
    let end = hit.end + usize::from(text[hit.end..].starts_with('.'));
    is_written.then(|| after_space(text, end)).flatten().and_then(|at| named(text, at, 2))
}

/// A name that ends its line, or is followed by what follows a signature.
fn signed(text: &str, end: usize) -> Option<Finding> {
    let at = signature_start(text, end)?;
    let name_end = name_end(text, at, 0, 3)?;
    is_signed_off(&text[name_end..]).then(|| trimmed(text, at, name_end, 1)).flatten()
}

/// Behind "Regards": signs and white space, or a full stop and a new line, or spaces.
fn signature_start(text: &str, end: usize) -> Option<usize> {
    let spaces = skip(text, end, |c| c == ' ');
    let signs = skip(text, spaces, |c| matches!(c, ',' | '!' | ';' | '–' | '—' | '-'));
    if signs > spaces {
        return Some(skip_space(text, signs));
    }
    let stop = spaces + usize::from(text[spaces..].starts_with('.'));
    let line = skip(text, stop, |c| c == ' ');
    if text[line..].starts_with(['\n', '\r']) {
        return Some(skip_space(text, line));
    }
    (spaces > end).then_some(spaces)
}

fn is_signed_off(after: &str) -> bool {
    let rest = after.trim_start_matches(' ');
    let ends_line = |text: &str| text.is_empty() || text.starts_with(['\n', '\r']);
    if let Some(rest) = rest.strip_prefix(',') {
        let rest = rest.trim_start_matches(' ');
        return ends_line(rest)
            || rest.starts_with(['<', '+', '('])
            || rest.starts_with(|c: char| c.is_ascii_digit())
            || is_address(rest);
    }
    let stop = rest.strip_prefix(['.', '!']).unwrap_or(rest).trim_start_matches(' ');
    let is_spaced = rest.len() < after.len();
    ends_line(stop) || rest.starts_with(['<', '(']) || (is_spaced && rest.starts_with(['+', '-']))
}

fn is_address(text: &str) -> bool {
    let local = text
        .char_indices()
        .take_while(|(at, _)| *at < ADDRESS_BYTES_MAX)
        .find(|(_, c)| !(c.is_alphanumeric() || *c == '.'));
    local.is_some_and(|(at, c)| at > 0 && c == '@')
}

fn named(text: &str, at: usize, more_words_max: usize) -> Option<Finding> {
    trimmed(text, at, name_end(text, at, 0, more_words_max)?, 1)
}

/// Where the name that begins here ends: a capitalised word and so many more of them.
fn name_end(text: &str, at: usize, more_min: usize, more_max: usize) -> Option<usize> {
    let mut end = word_end(text, at)?;
    end += usize::from(text[end..].starts_with('.'));
    let mut n_more = 0;
    while n_more < more_max
        && let Some(next) = next_word_end(text, end)
    {
        end = next;
        n_more += 1;
    }
    (n_more >= more_min).then_some(end)
}

/// A space, at most two particles, and a capitalised word.
fn next_word_end(text: &str, end: usize) -> Option<usize> {
    let mut at = end + text[end..].strip_prefix(' ').map(|_| 1)?;
    for _ in 0..2 {
        let particle =
            PARTICLES.iter().find(|it| text[at..].strip_prefix(**it).is_some_and(|rest| rest.starts_with(' ')));
        at += particle.map_or(0, |it| it.len() + 1);
    }
    word_end(text, at)
}

/// A capitalised word, a hyphen or apostrophe inside allowed: `Anne-Marie`, `O'Neil`, `J`.
fn word_end(text: &str, at: usize) -> Option<usize> {
    let first = char_at(text, at).filter(|c| c.is_uppercase())?;
    let mut end = at + first.len_utf8();
    let mut joint = None;
    for c in text[end..].chars() {
        match c {
            _ if c.is_alphabetic() || (is_combining_mark(c) && joint.is_none()) => {
                end += c.len_utf8() + joint.take().map_or(0, char::len_utf8);
            }
            '\'' | '’' | '-' if joint.is_none() => joint = Some(c),
            _ => break,
        }
        if end - at > WORD_BYTES_MAX {
            return None;
        }
    }
    Some(end)
}

/// A word in lower case of at least two characters.
fn lower_word_end(text: &str, at: usize) -> Option<usize> {
    let first = char_at(text, at).filter(|c| c.is_lowercase())?;
    let end = skip(text, at + first.len_utf8(), |c| {
        c.is_alphabetic() || is_combining_mark(c) || matches!(c, '\'' | '’' | '-')
    });
    (end > at + first.len_utf8() && end - at <= WORD_BYTES_MAX).then_some(end)
}

fn after_space(text: &str, at: usize) -> Option<usize> {
    let after = skip_space(text, at);
    (after > at).then_some(after)
}

fn skip_space(text: &str, at: usize) -> usize {
    skip(text, at, char::is_whitespace)
}

/// Where the fitting characters that begin here end; it gives up after a word's worth of them.
fn skip(text: &str, at: usize, fits: impl Fn(char) -> bool) -> usize {
    let mut end = at;
    for c in text[at..].chars().take_while(|c| fits(*c)) {
        end += c.len_utf8();
        if end - at > WORD_BYTES_MAX {
            break;
        }
    }
    end
}

/// The name without what is no name at its end; nothing if too little is left.
fn trimmed(text: &str, start: usize, name_end: usize, least_words: usize) -> Option<Finding> {
    let name = &text[start..name_end];
    let (mut n_words, mut end, mut at) = (0, 0, 0);
    for word in name.split(' ') {
        let bare = word.trim_end_matches('.').to_lowercase();
        if NO_NAMES.binary_search(&bare.as_str()).is_ok() || bare.starts_with("i'") || bare.starts_with("i’") {
            break;
        }
        n_words += 1;
        at += word.len();
        end = at;
        at += 1;
    }
    let kept = name[..end].trim_end_matches('.');
    let letters = kept.chars().filter(|c| c.is_alphabetic()).count();
    (n_words >= least_words && letters >= 2).then(|| Finding { kind: PiiKind::Person, start, end: start + kept.len() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::detect::{check, marks::Marks};

    fn search(text: &str, found: &mut Vec<Finding>) {
        find(text, &Marks::of(text).hits, found);
    }

    #[test]
    fn the_list_is_sorted() {
        assert!(NO_NAMES.is_sorted());
    }

    #[test]
    fn cues_give_names_away() {
        check(
            search,
            &[
                ("Hi, my name is Anne-Marie O'Neil and I wait", &["Anne-Marie O'Neil"]),
                ("my name is ana ruiz, hello", &["ana ruiz"]),
                ("This is Ana de la Cruz. I wait", &["Ana de la Cruz"]),
                ("Regards, Tom", &["Tom"]),
                ("Thanks,\nMara Lindqvist", &["Mara Lindqvist"]),
                ("Kind regards\nJ. Okafor\n+44", &["J. Okafor"]),
                ("Dear Maria, where", &["Maria"]),
                ("ask Dr. Weber", &["Weber"]),
                ("ich heiße Jörg Groß", &["Jörg Groß"]),
                ("many thanks, Ana Ruiz (ana@x.example)", &["Ana Ruiz"]),
            ],
        );
    }

    #[test]
    fn words_after_a_cue_are_not_all_names() {
        check(
            search,
            &[
                ("Dear Support Team, Hello There, Hi Customer Service", &[]),
                ("my name is spelled wrong, my name is on the order", &[]),
                ("This is Unacceptable. This is The Third Time", &[]),
                ("Thanks. Please reply. Thanks for Asking", &[]),
                ("I am Still Waiting. I AM VERY ANNOYED", &[]),
                ("thanks", &[]),
                ("it was signed by the king", &[]),
                ("Best Regards\nand so on, MR SMITH, mr smith", &[]),
            ],
        );
    }
}
