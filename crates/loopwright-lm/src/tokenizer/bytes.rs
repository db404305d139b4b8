//! The bytes that each token stands for, by the three ways in which published tokenizers write them.

use super::Inner;
use crate::error::{Error, Kind, Result};
use std::collections::BTreeMap;

/// Bytes of every token by its id, and what stands before a text.
pub(super) struct Spelling {
    /// None for special tokens and unused ids.
    pub bytes: Vec<Vec<u8>>,
    /// Whether decoding a text leaves out one blank at its beginning, which encoding had put there.
    pub blank_first: bool,
}

/// How a vocabulary writes its tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Writing {
    /// Bytes as characters: printable ones as themselves, the others from U+0100 on (GPT-2, Radford et al. 2019).
    Bytes,
    /// Text with U+2581 for blanks, and `<0x0A>` for single bytes (SentencePiece, Kudo & Richardson 2018).
    Blanks,
    /// Words, and with `##` before them the parts that continue a word (BERT, Devlin et al. 2019).
    Words,
}

pub(super) fn spelling(inner: &Inner) -> Result<Spelling> {
    let decoder = serde_json::to_value(inner.get_decoder())
        .map_err(|source| Error::caused(Kind::Bug, "failed to look at the tokenizer's decoder", source))?;
    let parts = match decoder.get("decoders").and_then(serde_json::Value::as_array) {
        Some(parts) => parts.clone(),
        None => vec![decoder],
    };
    let has = |kind: &str| parts.iter().find(|part| part.get("type").is_some_and(|found| found == kind));
    let (writing, blank_first) = match (has("ByteLevel"), has("WordPiece"), has("ByteFallback"), has("Metaspace")) {
        (Some(_), ..) => (Writing::Bytes, false),
        (_, Some(_), ..) => (Writing::Words, true),
        (_, _, Some(_), _) => (Writing::Blanks, has("Strip").is_some()),
        (.., Some(part)) => (Writing::Blanks, part.get("prepend_scheme").is_none_or(|scheme| scheme != "never")),
        _ => {
            let expected = "expected a decoder that is byte-level, of words, or with bytes as a last resort";
            return Err(Error::new(Kind::BadFile, format!("{expected}, got {}", serde_json::Value::Array(parts))));
        }
    };
    let added = inner.get_added_tokens_decoder();
    let vocabulary: BTreeMap<u32, String> = inner.get_vocab(true).into_iter().map(|(token, id)| (id, token)).collect();
    let n = vocabulary.last_key_value().map_or(0, |(id, _)| *id as usize + 1);
    let mut bytes = vec![Vec::new(); n];
    for (id, token) in vocabulary {
        bytes[id as usize] = match added.get(&id) {
            Some(added) if added.special => Vec::new(),
            Some(added) => added.content.clone().into_bytes(),
            None => written_bytes(&token, writing).ok_or_else(|| {
                Error::new(Kind::BadFile, format!("token {id} ({token:?}) of the tokenizer is not byte-level"))
            })?,
        };
    }
    Ok(Spelling { bytes, blank_first })
}

/// None where a byte-level vocabulary has a character that stands for no byte.
fn written_bytes(token: &str, writing: Writing) -> Option<Vec<u8>> {
    match writing {
        Writing::Bytes => token.chars().map(byte_of).collect(),
        Writing::Blanks => {
            let single = token.strip_prefix("<0x").and_then(|rest| rest.strip_suffix('>'));
            match single.filter(|digits| digits.len() == 2).and_then(|digits| u8::from_str_radix(digits, 16).ok()) {
                Some(byte) => Some(vec![byte]),
                None => Some(token.replace('\u{2581}', " ").into_bytes()),
            }
        }
        Writing::Words => match token.strip_prefix("##") {
            Some(rest) => Some(rest.as_bytes().to_vec()),
            None => Some(format!(" {token}").into_bytes()),
        },
    }
}

/// The byte that a character of a byte-level vocabulary stands for.
fn byte_of(c: char) -> Option<u8> {
    let printable = |byte: u8| matches!(byte, b'!'..=b'~' | 0xa1..=0xac | 0xae..=0xff);
    match u32::from(c) {
        code @ 0..=255 => Some(code as u8),
        code => (0..=255).filter(|byte| !printable(*byte)).nth(code as usize - 256),
    }
}
