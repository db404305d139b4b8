//! The characters that count as punctuation, and as white space, when a text is cut into words.
//!
//! The set is datatrove's (`PUNCTUATION` in `datatrove.utils.text`, version 0.10), not Unicode's: every text must fall
//! into the same words. It holds all of ASCII's punctuation, marks that are common in web text, and the control
//! characters but tab and line feed, which are white space. The full-width digit one is in it, too, by whatever chance.

/// Whether the character is taken out of a text (a space goes in for it).
pub(super) fn is_punctuation(c: char) -> bool {
    if c.is_ascii() {
        return c.is_ascii_punctuation() || (c.is_ascii_control() && c != '\t' && c != '\n');
    }
    matches!(
        c,
        '\u{80}'
            ..='\u{9f}'
                | '«'
                | '´'
                | '»'
                | '–'
                | '—'
                | '’'
                | '“'
                | '”'
                | '„'
                | '…'
                | '∶'
                | '━'
                | '►'
                | '、'
                | '。'
                | '〈'
                | '〉'
                | '《'
                | '》'
                | '「'
                | '」'
                | '【'
                | '】'
                | '！'
                | '％'
                | '（'
                | '）'
                | '，'
                | '．'
                | '１'
                | '：'
                | '；'
                | '？'
                | '～'
    )
}

/// White space as Python's `str.split` has it: Unicode's, and four ASCII separators.
pub(super) fn is_space(c: char) -> bool {
    c.is_whitespace() || matches!(c, '\u{1c}'..='\u{1f}')
}
