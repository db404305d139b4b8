//! What happens to messages on their way: markup, wrong decoding, repetition.

use super::message::mistype;
use crate::clean::repair::WINDOWS_1252;
use rand::RngExt;
use rand_chacha::ChaCha8Rng;

/// The text as a mail program's HTML part leaves it.
pub(super) fn with_markup(text: &str, rng: &mut ChaCha8Rng) -> String {
    let escaped = text.replace('&', "&amp;").replace('<', "&lt;").replace('\'', "&#39;");
    let spaced = match rng.random_range(0..3) {
        0 => escaped.replace(", ", ",&nbsp;"),
        1 => escaped.replace(". ", ".<br> "),
        _ => escaped,
    };
    match rng.random_range(0..5) {
        0 => format!("<p>{spaced}</p>"),
        1 => format!("<div dir=\"ltr\">{spaced}</div>"),
        2 => format!("<html><body><span style=\"font-size:12px\">{spaced}</span></body></html>"),
        3 => format!("{spaced}<br/><!-- footer -->"),
        _ => format!("<b>{spaced}</b><br>Sent from my phone"),
    }
}

/// The text as UTF-8 that was read as Latin-1 or as Windows-1252.
pub(super) fn misread(text: &str, rng: &mut ChaCha8Rng) -> String {
    let mut typeset = text.replace('\'', "’").replace(" - ", " – ");
    if typeset.is_ascii() {
        typeset.push_str([" – please…", " – it’s urgent", " – merci, José", " …"][rng.random_range(0..4)]);
    }
    let windows = rng.random_bool(0.5);
    let shown = |byte: u8| match byte {
        0x80..=0x9F if windows => WINDOWS_1252[usize::from(byte - 0x80)],
        _ => char::from(byte),
    };
    typeset.bytes().map(shown).collect()
}

/// The same message sent once more with a small change.
pub(super) fn sent_again(text: &str, rng: &mut ChaCha8Rng) -> String {
    match rng.random_range(0..5) {
        0 => format!("{text}!!"),
        1 => format!("again: {text}"),
        2 => mistype(text, rng),
        3 => text.to_lowercase(),
        _ => format!("{text} pls"),
    }
}
