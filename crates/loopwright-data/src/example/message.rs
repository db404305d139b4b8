//! Composing one message: greeting, opener, the matter itself, details, distractions, contact data, sign-off.

use super::{
    customer::{BUSINESS, Customer},
    grammar::expand,
    intents::{AMBIGUOUS, Intent},
    words::{
        AGO, CITIES, CLOSERS, CLOSERS_FORMAL, CODES, DISTRACTORS, FOREIGN, GREETINGS, GREETINGS_FORMAL, NEW_PRODUCTS,
        OPENERS, OPENERS_FORMAL, PRODUCTS, SIGN_OFFS, WEEKDAYS,
    },
};
use loopwright_guard::PiiKind;
use rand::RngExt;
use rand_chacha::ChaCha8Rng;

/// Share of business messages in the formal voice; the rest write as consumers do.
const FORMAL_SHARE: f64 = 0.7;
/// Share of messages whose matter two intents share: business customers are terser than they think.
const AMBIGUOUS_SHARE: f64 = 0.08;
const AMBIGUOUS_SHARE_FORMAL: f64 = 0.14;
/// In the second month: share of new phrasings where an intent has them, and of the new product.
const LATER_SHARE: f64 = 0.8;
const NEW_PRODUCT_SHARE: f64 = 0.35;
/// Share of messages with typing mistakes.
const TYPO_SHARE: f64 = 0.2;

/// A written message.
pub(super) struct Message {
    pub(super) text: String,
    /// The personal data in it, as written.
    pub(super) planted: Vec<(PiiKind, String)>,
}

/// How a message is typed.
#[derive(Clone, Copy, PartialEq)]
enum Style {
    /// Capitals and full stops.
    Neat,
    /// All lower case, commas between sentences.
    Loose,
    /// All capitals.
    Shouted,
}

/// Writes what this customer sends about this intent in this month (1 or 2).
pub(super) fn write(intent: &Intent, customer: &Customer, month: u32, rng: &mut ChaCha8Rng) -> Message {
    let formal = customer.segment == BUSINESS && rng.random_bool(FORMAL_SHARE);
    let style = match rng.random_range(0..100) {
        _ if formal => Style::Neat,
        0..58 => Style::Neat,
        58..98 => Style::Loose,
        _ => Style::Shouted,
    };
    let templates = sentences(intent, formal, month, rng);
    let greeting = rng.random_bool(0.45).then(|| pick(if formal { &GREETINGS_FORMAL } else { &GREETINGS }, rng));
    let mut texts: Vec<String> = templates.iter().map(|template| fill(template, month, rng)).collect();
    if rng.random_bool(TYPO_SHARE) && !formal {
        for _ in 0..rng.random_range(1..=3) {
            let at = rng.random_range(0..texts.len());
            texts[at] = mistype(&texts[at], rng);
        }
    }
    let mut text = join(greeting, &texts, style);
    let planted = add_contact(&mut text, customer, style, rng);
    Message { text, planted }
}

/// A message in another language, and its intent's label.
pub(super) fn write_foreign(month: u32, rng: &mut ChaCha8Rng) -> (&'static str, String) {
    let (label, template) = FOREIGN[rng.random_range(0..FOREIGN.len())];
    (label, fill(template, month, rng))
}

/// The templates of a message's sentences, in order.
fn sentences(intent: &Intent, formal: bool, month: u32, rng: &mut ChaCha8Rng) -> Vec<&'static str> {
    let mut sentences = Vec::new();
    if rng.random_bool(0.3) {
        sentences.push(pick(if formal { &OPENERS_FORMAL } else { &OPENERS }, rng));
    }
    if rng.random_bool(0.06) {
        sentences.push(pick(&DISTRACTORS, rng));
    }
    sentences.push(core(intent, formal, month, rng));
    if rng.random_bool(0.4) {
        sentences.push(pick(intent.detail, rng));
    }
    if rng.random_bool(0.08) {
        sentences.push(pick(&DISTRACTORS, rng));
    }
    if rng.random_bool(0.4) {
        sentences.push(pick(if formal { &CLOSERS_FORMAL } else { &CLOSERS }, rng));
    }
    sentences
}

fn core(intent: &Intent, formal: bool, month: u32, rng: &mut ChaCha8Rng) -> &'static str {
    if rng.random_bool(if formal { AMBIGUOUS_SHARE_FORMAL } else { AMBIGUOUS_SHARE }) {
        let shared: Vec<&str> = AMBIGUOUS
            .iter()
            .filter(|(labels, _)| labels.contains(&intent.label))
            .map(|(_, template)| *template)
            .collect();
        if !shared.is_empty() {
            return shared[rng.random_range(0..shared.len())];
        }
    }
    if month > 1 && !intent.later.is_empty() && rng.random_bool(LATER_SHARE) {
        return pick(intent.later, rng);
    }
    pick(if formal { intent.business } else { intent.consumer }, rng)
}

fn pick(list: &[&'static str], rng: &mut ChaCha8Rng) -> &'static str {
    list[rng.random_range(0..list.len())]
}

/// Expands a template with the words of its month.
pub(super) fn fill(template: &str, month: u32, rng: &mut ChaCha8Rng) -> String {
    let text = expand(template, rng, &mut |name, rng| match name {
        "product" if month > 1 && rng.random_bool(NEW_PRODUCT_SHARE) => pick(&NEW_PRODUCTS, rng).to_string(),
        "product" => pick(&PRODUCTS, rng).to_string(),
        "order" => match rng.random_range(0..6) {
            0 => "my order".to_string(),
            1 => format!("order {}", rng.random_range(10_000..60_000)),
            2 => format!("#{}", rng.random_range(10_000..60_000)),
            _ => format!("ORD-{}", rng.random_range(10_000..60_000)),
        },
        "ref" => format!("ORD-{}", rng.random_range(10_000..60_000)),
        "amount" => match rng.random_range(0..3) {
            0 => format!("{}.90 EUR", rng.random_range(9..240)),
            1 => format!("${}", rng.random_range(9..240)),
            _ => format!("{} euros", rng.random_range(9..240)),
        },
        "city" => pick(&CITIES, rng).to_string(),
        "weekday" => pick(&WEEKDAYS, rng).to_string(),
        "ago" => pick(&AGO, rng).to_string(),
        "code" => pick(&CODES, rng).to_string(),
        "n" => rng.random_range(2..10).to_string(),
        other => unreachable!("no template has a slot `{other}`: a test expands every one"),
    });
    // An alternative may be empty; its spaces are one too many.
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Words that open a question.
const QUESTION_WORDS: [&str; 18] = [
    "any", "can", "could", "did", "do", "does", "has", "how", "is", "what", "when", "where", "which", "who", "why",
    "will", "would", "are",
];

fn join(greeting: Option<&str>, sentences: &[String], style: Style) -> String {
    let mut text = greeting.map(|greeting| format!("{greeting}, ")).unwrap_or_default();
    for (index, sentence) in sentences.iter().enumerate() {
        let first_word = sentence.split(' ').next().unwrap_or("").to_lowercase();
        let mark = if QUESTION_WORDS.contains(&first_word.as_str()) { "?" } else { "." };
        let is_first = index == 0 && greeting.is_some();
        match style {
            Style::Loose if index + 1 == sentences.len() => text.push_str(sentence),
            Style::Loose => text.push_str(&format!("{sentence}, ")),
            _ if is_first => text.push_str(&format!("{sentence}{mark} ")),
            _ => text.push_str(&format!("{}{mark} ", capitalised(sentence))),
        }
    }
    let text = text.trim_end();
    match style {
        Style::Neat => capitalised(text),
        Style::Loose => text.to_lowercase(),
        Style::Shouted => text.to_uppercase(),
    }
}

fn capitalised(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map_or_else(String::new, |first| first.to_uppercase().chain(chars).collect())
}

/// Adds contact data and a sign-off to some messages; says what was added.
fn add_contact(text: &mut String, customer: &Customer, style: Style, rng: &mut ChaCha8Rng) -> Vec<(PiiKind, String)> {
    let mut planted = Vec::new();
    let mut add = |text: &mut String, before: &str, kind: PiiKind, value: &str, after: &str| {
        text.push_str(before);
        text.push_str(value);
        text.push_str(after);
        planted.push((kind, value.to_string()));
    };
    let stop = if text.ends_with(['.', '?']) { " " } else { ", " };
    match rng.random_range(0..100) {
        0..11 => add(text, &format!("{stop}You can write to "), PiiKind::Email, &customer.email, "."),
        11..18 => add(text, &format!("{stop}Call me at "), PiiKind::Phone, &customer.phone, "."),
        18..20 => add(text, &format!("{stop}My number is "), PiiKind::Phone, &customer.phone, "."),
        20..24 => add(text, &format!("{stop}I paid with card "), PiiKind::Card, &customer.card, "."),
        24..30 => add(text, &format!("{stop}My name is "), PiiKind::Person, &customer.name, "."),
        _ => {}
    }
    if rng.random_bool(0.25) {
        let full = rng.random_bool(0.6);
        let name = if full { customer.name.as_str() } else { customer.name.split(' ').next().unwrap_or("") };
        let sign_off = SIGN_OFFS[rng.random_range(0..SIGN_OFFS.len())];
        let joint = if text.ends_with(['.', '?']) { " " } else { ". " };
        match style {
            Style::Loose => {
                add(text, &format!("{joint}{}", sign_off.to_lowercase()), PiiKind::Person, &name.to_lowercase(), "")
            }
            _ => add(text, &format!("{joint}{sign_off}"), PiiKind::Person, name, ""),
        }
    }
    planted
}

/// One typing mistake in one of the longer words: two letters swapped, one left out, or one doubled.
pub(super) fn mistype(text: &str, rng: &mut ChaCha8Rng) -> String {
    let words: Vec<&str> = text.split(' ').collect();
    let long: Vec<usize> = words
        .iter()
        .enumerate()
        .filter(|(_, word)| word.len() >= 4 && word.bytes().all(|b| b.is_ascii_lowercase()))
        .map(|(index, _)| index)
        .collect();
    if long.is_empty() {
        return text.to_string();
    }
    let target = long[rng.random_range(0..long.len())];
    let mut letters: Vec<char> = words[target].chars().collect();
    let at = rng.random_range(1..letters.len() - 1);
    match rng.random_range(0..3) {
        0 => letters.swap(at, at + 1),
        1 => {
            letters.remove(at);
        }
        _ => letters.insert(at, letters[at]),
    }
    let mistyped: String = letters.into_iter().collect();
    let words: Vec<&str> =
        words.iter().enumerate().map(|(i, word)| if i == target { mistyped.as_str() } else { word }).collect();
    words.join(" ")
}
