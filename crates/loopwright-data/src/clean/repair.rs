//! Repairs texts that were decoded wrongly on their way: UTF-8 read as Latin-1 or Windows-1252 ("mojibake"), control
//! characters, letters and accents apart (Unicode Normalization Form C, UAX #15).

use unicode_normalization::UnicodeNormalization;

/// The step's name.
pub const STEP: &str = "repair_text";

/// Wrong readings on top of each other that are undone.
const ROUNDS_MAX: usize = 8;

/// Windows-1252's characters for the bytes 0x80 to 0x9F; unassigned bytes stand for the C1 control of the same number.
pub(crate) const WINDOWS_1252: [char; 32] = [
    '€', '\u{81}', '‚', 'ƒ', '„', '…', '†', '‡', 'ˆ', '‰', 'Š', '‹', 'Œ', '\u{8d}', 'Ž', '\u{8f}', '\u{90}', '‘', '’',
    '“', '”', '•', '–', '—', '˜', '™', 'š', '›', 'œ', '\u{9d}', 'ž', 'Ÿ',
];

/// The text as its author most likely wrote it.
pub fn repair(text: &str) -> String {
    if text.bytes().all(|b| matches!(b, b' '..=b'~' | b'\n')) {
        return text.to_string();
    }
    let mut text = text.to_string();
    for _ in 0..ROUNDS_MAX {
        let decoded = decode_all(&text);
        // A C1 control may be half of a wrong reading, so controls go only after the bytes had their chance.
        let clean: String =
            decoded.chars().map(|c| if c == '\t' { ' ' } else { c }).filter(|c| !is_debris(*c)).nfc().collect();
        if clean == text {
            break;
        }
        text = clean;
    }
    text
}

/// Undoes wrong readings as long as that lowers the garbage score.
fn decode_all(text: &str) -> String {
    let mut text = text.to_string();
    for _ in 0..ROUNDS_MAX {
        let decoded = decode_again(&text);
        if garbage(&decoded) >= garbage(&text) {
            break;
        }
        text = decoded;
    }
    text
}

/// Characters that were once the bytes of one UTF-8 character are put together again.
fn decode_again(text: &str) -> String {
    let chars: Vec<char> = text.chars().collect();
    let mut decoded = String::with_capacity(text.len());
    let mut at = 0;
    while at < chars.len() {
        let length = high_byte(chars[at]).map_or(1, sequence_length);
        let bytes: Option<Vec<u8>> =
            chars.get(at..at + length).and_then(|run| run.iter().map(|c| high_byte(*c)).collect());
        let read = bytes.as_deref().and_then(|bytes| std::str::from_utf8(bytes).ok());
        match read.filter(|read| read.chars().all(is_plausible)) {
            Some(read) => {
                decoded.push_str(read);
                at += length;
            }
            None => {
                decoded.push(chars[at]);
                at += 1;
            }
        }
    }
    decoded
}

/// Bytes of the UTF-8 sequence that this lead byte opens.
fn sequence_length(lead: u8) -> usize {
    match lead {
        0xC2..=0xDF => 2,
        0xE0..=0xEF => 3,
        0xF0..=0xF4 => 4,
        _ => 1,
    }
}

/// The byte from 0x80 that Latin-1 or Windows-1252 would have shown as this character.
fn high_byte(c: char) -> Option<u8> {
    match u32::from(c) {
        code @ 0x80..=0xFF => u8::try_from(code).ok(),
        _ => WINDOWS_1252.iter().position(|w| *w == c).and_then(|index| u8::try_from(0x80 + index).ok()),
    }
}

/// Characters that a misread message is likely to have held: European letters, punctuation, symbols, emoji. Rare scripts
/// are left out, because `Spaß“` is also the UTF-8 of a letter of the N'Ko script.
fn is_plausible(c: char) -> bool {
    matches!(u32::from(c), 0x80..=0x24F | 0x2B0..=0x2DF | 0x300..=0x52F | 0x1E00..=0x1EFF | 0x2000..=0x27BF | 0xFB00..=0xFB06 | 0xFE00..=0xFE0F | 0x1F000..=0x1FAFF)
}

/// How much of a text looks like wrongly decoded bytes: characters that follow a lead byte of UTF-8 as continuation
/// bytes would, C1 controls and replacement characters.
fn garbage(text: &str) -> usize {
    let mut awaited = 0;
    let mut score = 0;
    for c in text.chars() {
        match high_byte(c) {
            Some(0x80..=0xBF) if awaited > 0 => {
                awaited -= 1;
                score += 1;
            }
            byte => awaited = byte.map_or(0, |byte| sequence_length(byte) - 1),
        }
        score += usize::from(matches!(c, '\u{80}'..='\u{9f}' | '\u{fffd}'));
    }
    score
}

/// Characters that nobody writes into a message on purpose.
fn is_debris(c: char) -> bool {
    (c.is_control() && !matches!(c, '\n' | '\r')) || matches!(c, '\u{feff}' | '\u{fffd}' | '\u{200b}' | '\u{ad}')
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn as_latin_1(text: &str) -> String {
        text.bytes().map(char::from).collect()
    }

    #[test]
    fn wrong_readings_are_undone() {
        for text in ["it’s – “fine”", "Müller, José, Zoë", "5 € ✓ 🙂", "naïve façade"] {
            assert_eq!(repair(&as_latin_1(text)), text);
            assert_eq!(repair(&as_latin_1(&as_latin_1(text))), text, "twice misread");
        }
        assert_eq!(repair("itâ€™s cafÃ©"), "it’s café");
        assert_eq!(repair("Ünal said itâ€™s Ã©"), "Ünal said it’s é");
    }

    #[test]
    fn right_texts_stay() {
        for text in ["Müller", "5 € für 3 £", "São Paulo – «ça»", "日本語", "‘so’ “it” … goes™", "„Spaß“ café…”"]
        {
            assert_eq!(repair(text), text);
        }
        assert_eq!(repair("e\u{301}\u{0}\tx\u{200b}"), "é x");
    }

    proptest! {
        #[test]
        fn misreading_and_repairing_gives_the_text_back(text in "[a-zäöüßéñç ’–“”€🙂]{0,24}") {
            let plain = repair(&text);
            prop_assert_eq!(repair(&as_latin_1(&plain)), plain);
        }

        #[test]
        fn repairing_twice_changes_nothing(text in ".{0,40}") {
            let once = repair(&text);
            prop_assert_eq!(repair(&once), once);
        }
    }
}
