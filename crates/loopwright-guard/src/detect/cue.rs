//! Words that give something away, found by one automaton in one pass over the text: "my name is", "call me", `ghp_`.
//!
//! Most detectors wait for such a word and look at the text after it only. That is what makes searching for a hundred
//! things as cheap as searching for one (Aho and Corasick, 1975: every word at once, one step per byte).

use super::{char_at, char_before, secret::rules};
use aho_corasick::{AhoCorasick, AhoCorasickKind, Input};
use std::{ops::Range, sync::LazyLock};

/// Longest cue, in bytes; a test holds the table to it.
pub(crate) const CUE_BYTES_MAX: usize = 30;

/// What a cue announces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cue {
    /// A phone number may follow.
    Phone,
    /// A name must follow: "my name is".
    Introduction,
    /// A capitalised name may follow: "signed".
    Signature,
    /// Two capitalised words that follow are a name: "this is".
    Claim,
    /// "Dr."
    Title,
    /// "Dear"
    Greeting,
    /// "Regards"
    Closing,
    /// The dot of an address that is spelt out: "mail dot com".
    Dot,
    /// `://`, perhaps with a user and a password behind it.
    Scheme,
    /// The first line of a private key block.
    Pem,
    /// A word for a password that people write in sentences: "password is".
    Password,
    /// A word for a key that programs write: `token = "…"`.
    Key,
    /// The keyword of a row in the table of secrets.
    Secret(u16),
    /// US social security or taxpayer number.
    Ssn,
    /// UK health service number.
    Nhs,
    /// German tax id.
    TaxDe,
    /// Dutch citizen number.
    Bsn,
    /// Passport number.
    Passport,
    /// Driving licence number.
    Licence,
    /// Date of birth.
    Birth,
    /// Latitude and longitude.
    Place,
}

impl Cue {
    /// May a name follow?
    pub(crate) fn is_person(self) -> bool {
        use Cue::{Claim, Closing, Greeting, Introduction, Signature, Title};
        matches!(self, Introduction | Signature | Claim | Title | Greeting | Closing)
    }
}

/// Where letters and digits may not stand next to a cue.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Edge {
    Anywhere,
    Start,
    Both,
}

/// One occurrence of a cue.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Hit {
    pub(crate) cue: Cue,
    pub(crate) start: usize,
    pub(crate) end: usize,
}

/// Cues in lower case; letters beyond ASCII are listed in both cases, because the automaton folds ASCII only.
const WORDS: &[(Cue, Edge, &[&str])] = &[
    (
        Cue::Phone,
        Edge::Anywhere,
        &[
            "phone",
            "mobile",
            "whatsapp",
            "whats app",
            "telef",
            "móvil",
            "mÓvil",
            "llám",
            "llÁm",
            "handy",
            "anruf",
            "portable",
            "appel",
        ],
    ),
    (Cue::Phone, Edge::Start, &["tel", "cell", "call", "fax", "sms", "text me", "reach me", "ring"]),
    (
        Cue::Introduction,
        Edge::Start,
        &[
            "my name is",
            "my full name is",
            "my name's",
            "my full name's",
            "my name’s",
            "my full name’s",
            "name on the order is",
            "name on the account is",
            "name on the card is",
            "i am called",
            "mein name ist",
            "ich heiße",
            "ich heisse",
            "mi nombre es",
            "me llamo",
            "je m'appelle",
            "je m’appelle",
            "mon nom est",
        ],
    ),
    (Cue::Signature, Edge::Start, &["signed"]),
    (
        Cue::Claim,
        Edge::Both,
        &["this is", "it is", "it's", "it’s", "i am", "i'm", "i’m", "here is", "hier ist", "soy", "je suis"],
    ),
    (
        Cue::Title,
        Edge::Both,
        &[
            "Mr", "Mrs", "Ms", "Miss", "Mx", "Dr", "Prof", "Herr", "Frau", "Señor", "Señora", "Sr", "Sra", "Mme",
            "Monsieur", "Madame",
        ],
    ),
    (
        Cue::Greeting,
        Edge::Both,
        &[
            "dear",
            "hi",
            "hello",
            "hey",
            "hola",
            "hallo",
            "bonjour",
            "estimado",
            "estimada",
            "liebe",
            "lieber",
            "sehr geehrte",
            "sehr geehrter",
            "cher",
            "chère",
            "chÈre",
        ],
    ),
    (
        Cue::Closing,
        Edge::Both,
        &[
            "regards",
            "wishes",
            "thanks",
            "thank you",
            "thx",
            "cheers",
            "sincerely",
            "yours",
            "yours truly",
            "yours sincerely",
            "yours faithfully",
            "best",
            "saludos",
            "gracias",
            "grüße",
            "grüßen",
            "grüsse",
            "grüssen",
            "grÜsse",
            "grÜssen",
            "gruesse",
            "gruessen",
            "grueße",
            "grueßen",
            "danke",
            "cordialement",
            "merci",
        ],
    ),
    (Cue::Dot, Edge::Anywhere, &["(dot)", "[dot]", " dot "]),
    (Cue::Scheme, Edge::Anywhere, &["://"]),
    (Cue::Pem, Edge::Anywhere, &["-----begin "]),
    (
        Cue::Password,
        Edge::Start,
        &[
            "password",
            "passwort",
            "passcode",
            "passwd",
            "pwd",
            "contraseña",
            "contraseÑa",
            "mot de passe",
            "apikey",
            "api key",
            "api_key",
            "api-key",
            "accesstoken",
            "access token",
            "access_token",
            "access-token",
            "secret",
            "secretkey",
            "secret key",
            "secret_key",
            "secret-key",
        ],
    ),
    (
        Cue::Key,
        Edge::Anywhere,
        &["token", "auth", "bearer", "_key", "-key", "private key", "privatekey", "_secret", "-secret", "credential"],
    ),
    (Cue::Ssn, Edge::Both, &["ssn", "social security", "social sec", "itin", "taxpayer"]),
    (Cue::Nhs, Edge::Both, &["nhs"]),
    (Cue::TaxDe, Edge::Start, &["steuer", "idnr", "id-nr", "tax id", "tax-id"]),
    (Cue::TaxDe, Edge::Both, &["tin"]),
    (Cue::Bsn, Edge::Start, &["bsn", "burgerservice", "sofinummer", "sofi-nummer"]),
    (Cue::Passport, Edge::Start, &["passport", "reisepass", "passeport", "pasaporte", "passaporto", "paspoort"]),
    (
        Cue::Licence,
        Edge::Start,
        &[
            "driver's licen",
            "driver’s licen",
            "drivers licen",
            "driver licen",
            "driving licen",
            "führerschein",
            "permis de conduire",
            "permiso de conducir",
            "patente di guida",
            "rijbewijs",
        ],
    ),
    (
        Cue::Birth,
        Edge::Start,
        &[
            "date of birth",
            "birth date",
            "birthdate",
            "birthday",
            "dob",
            "d.o.b",
            "born",
            "geboren",
            "geburtsdatum",
            "geb.",
            "née le",
            "né le",
            "date de naissance",
            "fecha de nacimiento",
            "nacido",
            "nacida",
            "data di nascita",
            "nato il",
            "nata il",
            "geboortedatum",
        ],
    ),
    (
        Cue::Place,
        Edge::Start,
        &["latitude", "longitude", "coordinate", "coords", "gps", "geo:", "location", "position"],
    ),
    (Cue::Place, Edge::Both, &["lat", "lon", "lng"]),
];

struct Lexicon {
    automaton: AhoCorasick,
    entries: Vec<(Cue, Edge)>,
}

/// Every cue with the words for it.
fn all() -> impl Iterator<Item = (Cue, Edge, &'static str)> {
    let secrets = rules::keywords().map(|(row, word)| (Cue::Secret(row), Edge::Anywhere, word));
    WORDS.iter().flat_map(|(cue, edge, words)| words.iter().map(|word| (*cue, *edge, *word))).chain(secrets)
}

static LEXICON: LazyLock<Lexicon> = LazyLock::new(|| {
    let all: Vec<(Cue, Edge, &str)> = all().collect();
    let automaton = AhoCorasick::builder()
        .ascii_case_insensitive(true)
        .kind(Some(AhoCorasickKind::DFA))
        .build(all.iter().map(|(_, _, word)| word))
        .expect("the table of cues is far below the automaton's limits");
    Lexicon { automaton, entries: all.iter().map(|(cue, edge, _)| (*cue, *edge)).collect() }
});

/// Words in lower case, sorted, and where those of each first byte begin.
struct Sorted {
    words: Vec<String>,
    first: Vec<usize>,
}

impl Sorted {
    fn new(is_wanted: impl Fn(Edge) -> bool) -> Self {
        let mut words: Vec<String> =
            all().filter(|(_, edge, _)| is_wanted(*edge)).map(|(_, _, word)| word.to_ascii_lowercase()).collect();
        words.sort_unstable();
        let first = (0..=256).map(|byte| words.partition_point(|word| usize::from(word.as_bytes()[0]) < byte));
        Self { first: first.collect(), words }
    }

    /// Does a word begin with this, which is not empty?
    fn has(&self, start: &[u8]) -> bool {
        let byte = usize::from(start[0]);
        self.words[self.first[byte]..self.first[byte + 1]].iter().any(|word| word.as_bytes().starts_with(start))
    }
}

/// Those that stand anywhere, and those that begin a word.
static SORTED: LazyLock<[Sorted; 2]> =
    LazyLock::new(|| [Sorted::new(|edge| edge == Edge::Anywhere), Sorted::new(|_| true)]);

/// The first place from which the text to its end may be a cue, or the beginning of one; its length if there is none.
pub(crate) fn may_begin(text: &str) -> usize {
    let sorted = &*SORTED;
    let from = text.len().saturating_sub(CUE_BYTES_MAX);
    let tail = text.as_bytes()[from..].to_ascii_lowercase();
    let may_begin = |at: &usize| {
        if !text.is_char_boundary(*at) {
            return false;
        }
        let is_inside = char_before(text, *at).is_some_and(is_joining);
        sorted[usize::from(!is_inside)].has(&tail[at - from..])
    };
    (from..text.len()).find(may_begin).unwrap_or(text.len())
}

/// A letter, digit or `_`: next to it no word begins or ends.
fn is_joining(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// Adds the cues that stand wholly inside `range`, ordered by their ends.
pub(crate) fn find(text: &str, range: Range<usize>, hits: &mut Vec<Hit>) {
    let lexicon = &*LEXICON;
    for m in lexicon.automaton.find_overlapping_iter(Input::new(text).range(range)) {
        let (cue, edge) = lexicon.entries[m.pattern().as_usize()];
        let joined = |c: Option<char>| c.is_some_and(is_joining);
        let free = match edge {
            Edge::Anywhere => true,
            Edge::Start => !joined(char_before(text, m.start())),
            Edge::Both => !joined(char_before(text, m.start())) && !joined(char_at(text, m.end())),
        };
        if free {
            hits.push(Hit { cue, start: m.start(), end: m.end() });
        }
    }
}

/// Does this cue end at most `gap_bytes_max` before `at`, with no digit between? `hits` are ordered by their ends.
pub(super) fn precedes(text: &str, hits: &[Hit], cue: Cue, at: usize, gap_bytes_max: usize) -> bool {
    let n_before = hits.partition_point(|hit| hit.end <= at);
    hits[..n_before]
        .iter()
        .rev()
        .take_while(|hit| hit.end + gap_bytes_max >= at)
        .find(|hit| hit.cue == cue)
        .is_some_and(|hit| !text.as_bytes()[hit.end..at].iter().any(|b| b.is_ascii_digit() || matches!(b, b'<' | b'>')))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_cue_is_longer_than_its_limit() {
        let longest = WORDS.iter().flat_map(|(_, _, words)| words.iter()).map(|word| word.len()).max().unwrap();
        let secrets = rules::keywords().map(|(_, word)| word.len()).max().unwrap();
        assert!(longest.max(secrets) <= CUE_BYTES_MAX, "{longest} {secrets}");
    }

    #[test]
    fn cues_are_words_of_their_own() {
        let cues = |text: &str| {
            let mut hits = Vec::new();
            find(text, 0..text.len(), &mut hits);
            hits.iter().map(|hit| hit.cue).collect::<Vec<_>>()
        };
        assert_eq!(cues("HI there"), [Cue::Greeting]);
        assert_eq!(cues("this hint: a string"), []);
        assert_eq!(cues("my telephone"), [Cue::Phone, Cue::Phone]);
    }

    #[test]
    fn a_cue_under_way_is_seen() {
        for (text, expected) in [
            ("so MY NA", 3),
            ("my name is", 0),
            ("a token gh", 8),
            ("an arc", 5),
            ("so dear", 3),
            ("so dearest", 9),
            ("", 0),
            ("fine, né", 6),
        ] {
            assert_eq!(may_begin(text), expected, "{text}");
        }
    }
}
