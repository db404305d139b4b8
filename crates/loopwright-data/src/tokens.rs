//! How many tokens a text has, for the data card.
//!
//! Which tokens a model sees depends on its tokenizer, so a caller who knows the model brings a [`TokenCounter`]. Without
//! one, [`pieces`] counts what GPT-2's tokenizer (Radford et al. 2019) cuts a text into before it merges bytes: runs of
//! letters, of digits and of other signs, each with the blank before it. No token of such a tokenizer spans two pieces, so
//! it makes at least as many tokens; rare words and other scripts make more. A card says which of the two was counted
//! ([`RowTokens`](loopwright_types::dataset::RowTokens)).

use std::fmt;
use unicode_properties::{GeneralCategoryGroup, UnicodeGeneralCategory};

/// English endings that are a piece of their own.
const ENDINGS: [&str; 7] = ["s", "t", "re", "ve", "m", "ll", "d"];

/// Counts the tokens of a text; the same text always has the same number.
pub type CountFunction<'a> = dyn Fn(&str) -> u64 + Sync + 'a;

/// A tokenizer by name.
#[derive(Clone)]
pub struct TokenCounter<'a> {
    /// Whose tokens these are, e.g. `smollm@1`.
    pub name: String,
    /// Counts them.
    pub count: &'a CountFunction<'a>,
}

impl fmt::Debug for TokenCounter<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TokenCounter").field("name", &self.name).finish_non_exhaustive()
    }
}

/// The pieces of a text.
///
/// ```
/// use loopwright_data::tokens::pieces;
///
/// // `I`, `'m`, ` 24`, `,`, ` aren`, `'t`, ` I`, `?`
/// assert_eq!(pieces("I'm 24, aren't I?"), 8);
/// ```
pub fn pieces(text: &str) -> u64 {
    let (mut rest, mut n_pieces) = (text, 0);
    while !rest.is_empty() {
        rest = &rest[piece_bytes(rest)..];
        n_pieces += 1;
    }
    n_pieces
}

/// Bytes of the first piece of a text that is not empty.
fn piece_bytes(text: &str) -> usize {
    if let Some(after) = text.strip_prefix('\'')
        && let Some(ending) = ENDINGS.iter().find(|ending| after.starts_with(**ending))
    {
        return 1 + ending.len();
    }
    let body = text.strip_prefix(' ').unwrap_or(text);
    let sign = body.chars().next().map_or(Sign::Space, Sign::of);
    if sign != Sign::Space {
        return text.len() - body.len() + run_bytes(body, sign);
    }
    let spaces = run_bytes(text, Sign::Space);
    match text[..spaces].char_indices().next_back() {
        // The last space before a word goes with the word, or is a piece of its own.
        Some((last, _)) if spaces < text.len() && last > 0 => last,
        _ => spaces,
    }
}

fn run_bytes(text: &str, sign: Sign) -> usize {
    text.char_indices().find(|(_, c)| Sign::of(*c) != sign).map_or(text.len(), |(at, _)| at)
}

#[derive(Clone, Copy, PartialEq)]
enum Sign {
    Letter,
    Digit,
    Space,
    Other,
}

impl Sign {
    fn of(c: char) -> Self {
        if c.is_ascii() {
            return match c {
                // Our own tokenizers count `_` as a letter, so that a label may become one token.
                '_' | 'a'..='z' | 'A'..='Z' => Self::Letter,
                '0'..='9' => Self::Digit,
                _ if c.is_whitespace() => Self::Space,
                _ => Self::Other,
            };
        }
        match c.general_category_group() {
            _ if c.is_whitespace() => Self::Space,
            GeneralCategoryGroup::Letter => Self::Letter,
            GeneralCategoryGroup::Number => Self::Digit,
            _ => Self::Other,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_cut_as_gpt_2_cuts_them() {
        let cut = |text: &str| {
            let (mut rest, mut cut) = (text, Vec::new());
            while !rest.is_empty() {
                let (piece, after) = rest.split_at(piece_bytes(rest));
                cut.push(piece.to_string());
                rest = after;
            }
            cut
        };
        for (text, expected) in [
            ("", &[][..]),
            (" ", &[" "][..]),
            ("Hello there", &["Hello", " there"][..]),
            ("they'll don't", &["they", "'ll", " don", "'t"][..]),
            ("it's 'so'!", &["it", "'s", " '", "so", "'!"][..]),
            ("a  b", &["a", " ", " b"][..]),
            ("a \n\nb", &["a", " \n", "\n", "b"][..]),
            ("end. \n", &["end", ".", " \n"][..]),
            ("x1y22", &["x", "1", "y", "22"][..]),
            ("order_id=7", &["order_id", "=", "7"][..]),
            ("Straße für 4½", &["Straße", " für", " 4½"][..]),
            ("e\u{301}t\u{e9}", &["e", "\u{301}", "t\u{e9}"][..]),
            ("日本語。", &["日本語", "。"][..]),
        ] {
            assert_eq!(cut(text), expected, "{text:?}");
            assert_eq!(pieces(text), expected.len() as u64, "{text:?}");
        }
    }
}
