//! Names that their context gives away. A name alone is not recognisable without a list of all names; "my name is",
//! "Dear" and "Regards" are, and what they give away is then masked everywhere in the text.

use super::pattern;
use crate::{Finding, PiiKind};
use regex::{Match, Regex};
use std::sync::LazyLock;

/// A capitalised word, a hyphen or apostrophe inside allowed: `Anne-Marie`, `O'Neil`, `J.`.
const WORD: &str = r"\p{Lu}[\p{L}\p{M}]*(?:['’-]\p{L}[\p{L}\p{M}]*)*";
/// Small words inside a name: `Ana de la Cruz`.
const PARTICLE: &str = r"(?:van|von|der|den|de|del|della|la|da|di|do|dos|bin|al|el|le|zu)";

/// Cues that a name must follow, whatever its case.
const INTRODUCTION: &str = r"(?i:\b(?:my (?:full )?name(?: is|'s|’s)|(?:the )?name on the (?:order|account|card) is|i am called|mein name ist|ich hei(?:ß|ss)e|mi nombre es|me llamo|je m['’]appelle|mon nom est|signed)[: ]\s*)";
/// Cues after which two capitalised words are a name.
const CLAIM: &str = r"(?i:\b(?:this is|it is|it's|it’s|i am|i'm|i’m|here is|hier ist|soy|je suis)\s+)";
const TITLE: &str = r"\b(?:Mr|Mrs|Ms|Miss|Mx|Dr|Prof|Herr|Frau|Señora?|Sra?|Mme|Monsieur|Madame)\.?\s+";
const GREETING: &str =
    r"(?i:\b(?:dear|hi|hello|hey|hola|hallo|bonjour|estimad[oa]|liebe[r]?|sehr geehrte[r]?|cher|chère)\s+)";
const CLOSING: &str = r"(?i:\b(?:(?:kind|best|warm|many) )?(?:regards|wishes|thanks|thank you|thx|cheers|sincerely|yours(?: truly| sincerely| faithfully)?|best|saludos|gracias|gr(?:ü|ue)(?:ß|ss)en?|danke|cordialement|merci)\b)(?:[ ]*[,!;–—-]+\s*|[ ]*\.?[ ]*\n\s*|[ ]+)";

static INTRODUCED: LazyLock<Regex> = LazyLock::new(|| pattern(&format!("{INTRODUCTION}({})", name(3))));
static INTRODUCED_IN_LOWER_CASE: LazyLock<Regex> = LazyLock::new(|| {
    pattern(&format!(r"{INTRODUCTION}(\p{{Ll}}[\p{{L}}\p{{M}}'’-]+(?: \p{{Ll}}[\p{{L}}\p{{M}}'’-]+)?)"))
});
static CLAIMED: LazyLock<Regex> = LazyLock::new(|| pattern(&format!("{CLAIM}({})", words(1, 3))));
static TITLED: LazyLock<Regex> = LazyLock::new(|| pattern(&format!("{TITLE}({})", name(2))));
static GREETED: LazyLock<Regex> = LazyLock::new(|| pattern(&format!("{GREETING}({})", name(2))));
static SIGNED: LazyLock<Regex> = LazyLock::new(|| {
    pattern(&format!(
        r"(?m){CLOSING}({})[ ]*(?:[.!]?[ ]*$|,[ ]*(?:\n|<|\+|\(|\d|[\p{{L}}\p{{N}}.]+@)|<|\(|[ ]\+|[ ]-)",
        name(3)
    ))
});

fn name(more_words_max: usize) -> String {
    words(0, more_words_max)
}

/// A capitalised word and so many more of them.
fn words(more_min: usize, more_max: usize) -> String {
    format!(r"{WORD}\.?(?: (?:{PARTICLE} ){{0,2}}{WORD}){{{more_min},{more_max}}}")
}

/// Capitalised words that follow those cues and are no names.
const NO_NAMES: [&str; 125] = [
    "a",
    "account",
    "admin",
    "again",
    "agent",
    "all",
    "also",
    "am",
    "amazing",
    "an",
    "and",
    "any",
    "anyone",
    "are",
    "as",
    "awaiting",
    "awful",
    "back",
    "bad",
    "business",
    "but",
    "can",
    "cancel",
    "care",
    "colleague",
    "colleagues",
    "completely",
    "could",
    "currently",
    "customer",
    "customers",
    "damen",
    "dear",
    "department",
    "desk",
    "do",
    "equipo",
    "everyone",
    "folks",
    "for",
    "friend",
    "friends",
    "from",
    "getting",
    "good",
    "great",
    "guys",
    "have",
    "having",
    "hello",
    "help",
    "helpdesk",
    "here",
    "herren",
    "hi",
    "how",
    "i",
    "if",
    "in",
    "is",
    "it",
    "just",
    "ladies",
    "looking",
    "love",
    "madam",
    "mate",
    "missing",
    "my",
    "need",
    "no",
    "not",
    "now",
    "of",
    "on",
    "once",
    "order",
    "our",
    "people",
    "please",
    "question",
    "quick",
    "re",
    "really",
    "reply",
    "sadly",
    "sales",
    "service",
    "shop",
    "sir",
    "sirs",
    "so",
    "sorry",
    "spelled",
    "spelt",
    "still",
    "store",
    "support",
    "team",
    "thank",
    "thanks",
    "that",
    "the",
    "there",
    "this",
    "to",
    "trying",
    "unable",
    "unacceptable",
    "urgent",
    "very",
    "waiting",
    "was",
    "we",
    "what",
    "when",
    "where",
    "whoever",
    "why",
    "with",
    "wondering",
    "wrong",
    "you",
    "your",
    "zusammen",
];

pub(super) fn find(text: &str, found: &mut Vec<Finding>) {
    for cue in [&*INTRODUCED, &*INTRODUCED_IN_LOWER_CASE, &*TITLED, &*GREETED, &*SIGNED] {
        found.extend(cue.captures_iter(text).filter_map(|capture| trimmed(&capture.get(1)?, 1)));
    }
    for claim in CLAIMED.captures_iter(text).filter_map(|capture| capture.get(1)) {
        // In a text in capitals every word looks like a name.
        if claim.as_str().contains(char::is_lowercase) {
            found.extend(trimmed(&claim, 2));
        }
    }
}

/// The name without what is no name at its end; nothing if too little is left.
fn trimmed(name: &Match<'_>, least_words: usize) -> Option<Finding> {
    let mut n_words = 0;
    let mut end = name.start();
    let mut at = name.start();
    for word in name.as_str().split(' ') {
        let bare = word.trim_end_matches('.').to_lowercase();
        if NO_NAMES.binary_search(&bare.as_str()).is_ok() || bare.starts_with("i'") || bare.starts_with("i’") {
            break;
        }
        n_words += 1;
        at += word.len();
        end = at;
        at += 1;
    }
    let kept = name.as_str()[..end - name.start()].trim_end_matches('.');
    let letters = kept.chars().filter(|c| c.is_alphabetic()).count();
    (n_words >= least_words && letters >= 2).then(|| Finding {
        kind: PiiKind::Person,
        start: name.start(),
        end: name.start() + kept.len(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::detect::check;

    #[test]
    fn the_list_is_sorted() {
        assert!(NO_NAMES.is_sorted());
    }

    #[test]
    fn cues_give_names_away() {
        check(
            find,
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
            find,
            &[
                ("Dear Support Team, Hello There, Hi Customer Service", &[]),
                ("my name is spelled wrong, my name is on the order", &[]),
                ("This is Unacceptable. This is The Third Time", &[]),
                ("Thanks. Please reply. Thanks for Asking", &[]),
                ("I am Still Waiting. I AM VERY ANNOYED", &[]),
                ("thanks", &[]),
            ],
        );
    }
}
