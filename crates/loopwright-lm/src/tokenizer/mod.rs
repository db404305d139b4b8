//! Text to tokens and back: byte-level byte-pair encoding of our own (Sennrich et al. 2016; Radford et al. 2019), with
//! which every text round-trips, and the tokenizers of published models.
//!
//! Text never becomes a special token here, whatever it says: the ids of special tokens are placed by [`crate::chat`], or
//! by the template of a published model.

mod bytes;

use crate::error::{Error, Kind, Result};
use bytes::Spelling;
use std::{
    path::Path,
    sync::{Arc, OnceLock},
};
use tokenizers::{
    AddedToken, DecoderWrapper, ModelWrapper, NormalizerWrapper, PostProcessorWrapper, PreTokenizerWrapper,
    SplitDelimiterBehavior, TokenizerImpl,
    models::{
        TrainerWrapper,
        bpe::{BPE, BpeTrainer},
    },
    pre_tokenizers::{
        byte_level::ByteLevel,
        sequence::Sequence,
        split::{Split, SplitPattern},
    },
};

/// File name of a tokenizer in a model's folder.
pub const TOKENIZER_FILE: &str = "tokenizer.json";

/// What merges may not cross: GPT-2's words, with `_` counted as a letter so that a label may become one token.
const WORDS: &str = r"'s|'t|'re|'ve|'m|'ll|'d| ?[\p{L}_]+| ?\p{N}+| ?[^\s\p{L}\p{N}_]+|\s+(?!\S)|\s+";

type Inner = TokenizerImpl<ModelWrapper, NormalizerWrapper, PreTokenizerWrapper, PostProcessorWrapper, DecoderWrapper>;

/// Text to token ids and back. Clones share the vocabulary.
#[derive(Clone)]
pub struct Tokenizer {
    inner: Arc<Inner>,
    /// The same, reading special tokens as such; made when it is first asked for.
    marked: Arc<OnceLock<Inner>>,
    spelling: Arc<Spelling>,
    special: Arc<Vec<String>>,
}

impl std::fmt::Debug for Tokenizer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tokenizer").field("vocab_size", &self.vocab_size()).finish_non_exhaustive()
    }
}

impl Tokenizer {
    /// Learns a vocabulary of at most `vocab_size` tokens: the special ones first, then the 256 bytes, then merges seen at
    /// least twice. The same texts give the same vocabulary.
    ///
    /// ```
    /// use loopwright_lm::{Tokenizer, chat};
    /// let tokenizer = Tokenizer::train_bpe(&["red ball", "red bell"], 300, &chat::SPECIAL_TOKENS)?;
    /// assert_eq!(tokenizer.token_id("<|pad|>"), Some(0));
    /// let ids = tokenizer.encode("a red ball, \u{e9}!");
    /// assert_eq!(tokenizer.decode(&ids), "a red ball, \u{e9}!");
    /// # Ok::<(), loopwright_lm::Error>(())
    /// ```
    pub fn train_bpe(texts: &[&str], vocab_size: usize, special: &[&str]) -> Result<Self> {
        let least = special.len() + 256;
        if vocab_size < least {
            let message = format!("`vocab_size` must be at least {least} (bytes and special tokens), got {vocab_size}");
            return Err(Error::new(Kind::BadInput, message));
        }
        let failed = |source| Error::caused(Kind::Bug, "failed to train the tokenizer", source);
        let mut inner = Inner::new(BPE::default().into());
        let split = Split::new(SplitPattern::Regex(WORDS.to_owned()), SplitDelimiterBehavior::Isolated, false);
        let split = PreTokenizerWrapper::Split(split.map_err(failed)?);
        let bytes = PreTokenizerWrapper::ByteLevel(ByteLevel::new(false, true, false));
        inner.with_pre_tokenizer(Some(PreTokenizerWrapper::Sequence(Sequence::new(vec![split, bytes]))));
        inner.with_decoder(Some(ByteLevel::new(false, true, true)));
        let trainer = BpeTrainer::builder()
            .vocab_size(vocab_size)
            .min_frequency(2)
            .show_progress(false)
            .initial_alphabet(ByteLevel::alphabet().into_iter().collect())
            .special_tokens(special.iter().map(|token| AddedToken::from(*token, true)).collect())
            .build();
        inner.train(&mut TrainerWrapper::from(trainer), texts.iter()).map_err(failed)?;
        // The vocabulary's maps are rebuilt from the written form, so that a trained and a loaded tokenizer are alike.
        Self::from_bytes(&inner.to_string(false).map_err(failed)?.into_bytes())
    }

    /// Reads a `tokenizer.json`.
    pub fn from_file(path: &Path) -> Result<Self> {
        let bytes = std::fs::read(path).map_err(|source| Error::io("read", path, source))?;
        Self::from_bytes(&bytes).map_err(|source| {
            let message = format!("failed to read the tokenizer `{}`", path.display());
            Error::caused(Kind::BadFile, message, source)
        })
    }

    /// Reads the bytes of a `tokenizer.json`: byte-level, SentencePiece with bytes as a last resort, or of words. Settings
    /// that cut texts or fill them up are left out; a model's own bounds count.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self> {
        let mut inner: Inner = serde_json::from_slice(bytes)
            .map_err(|source| Error::caused(Kind::BadFile, "this is not a tokenizer file", source))?;
        inner.set_encode_special_tokens(true);
        inner.with_padding(None);
        let failed = |source| Error::caused(Kind::BadFile, "this tokenizer cannot encode every text", source);
        inner.with_truncation(None).map_err(failed)?;
        // A character that no vocabulary has: what encodes it encodes all.
        inner.encode_fast("a \u{10fffd}", false).map_err(failed)?;
        let spelling = bytes::spelling(&inner)?;
        let added = inner.get_added_tokens_decoder();
        let mut special: Vec<String> =
            added.values().filter(|token| token.special).map(|token| token.content.clone()).collect();
        special.sort();
        Ok(Self {
            inner: Arc::new(inner),
            marked: Arc::default(),
            spelling: Arc::new(spelling),
            special: Arc::new(special),
        })
    }

    /// The `tokenizer.json`; the same vocabulary gives the same bytes.
    pub fn to_json(&self) -> Result<Vec<u8>> {
        let json = self.inner.to_string(true);
        let mut json =
            json.map_err(|source| Error::caused(Kind::Bug, "failed to write the tokenizer as JSON", source))?;
        json.push('\n');
        Ok(json.into_bytes())
    }

    /// Writes `tokenizer.json` into a model's folder.
    pub fn save(&self, dir: &Path) -> Result<()> {
        crate::weights::write_file(&dir.join(TOKENIZER_FILE), &self.to_json()?)
    }

    /// Ids of a text. Special tokens written in it are encoded as the plain text they are.
    pub fn encode(&self, text: &str) -> Vec<u32> {
        let encoding = self.inner.encode_fast(text, false);
        encoding
            .map(|encoding| encoding.get_ids().to_vec())
            .expect("what could encode an unknown character encodes every text")
    }

    /// Ids of a text with the tokens around it that its model expects, such as BERT's `[CLS]` and `[SEP]`; without such
    /// tokens the same as [`Tokenizer::encode`].
    pub fn encode_whole(&self, text: &str) -> Vec<u32> {
        let encoding = self.inner.encode_fast(text, true);
        encoding.map(|encoding| encoding.get_ids().to_vec()).unwrap_or_else(|_| self.encode(text))
    }

    /// Ids of a text in which special tokens are read as such, and the byte at which each begins.
    pub(crate) fn encode_marked(&self, text: &str) -> Vec<(u32, usize)> {
        let marked = self.marked.get_or_init(|| {
            let mut inner = (*self.inner).clone();
            inner.set_encode_special_tokens(false);
            inner
        });
        let encoding = marked.encode(text, false);
        let encoding = encoding.expect("what could encode an unknown character encodes every text");
        encoding.get_ids().iter().copied().zip(encoding.get_offsets().iter().map(|(start, _)| *start)).collect()
    }

    /// The special tokens, sorted.
    pub fn special_tokens(&self) -> &[String] {
        &self.special
    }

    /// Text of ids. Special and unknown ids are left out; bytes that are not UTF-8 become U+FFFD.
    pub fn decode(&self, ids: &[u32]) -> String {
        let bytes: Vec<u8> = ids.iter().flat_map(|id| self.token_bytes(*id)).copied().collect();
        let bytes = if self.spelling.blank_first { bytes.strip_prefix(b" ").unwrap_or(&bytes) } else { &bytes };
        String::from_utf8_lossy(bytes).into_owned()
    }

    /// Id of a token, special ones included.
    pub fn token_id(&self, token: &str) -> Option<u32> {
        self.inner.token_to_id(token)
    }

    /// Number of tokens, special ones and unused ids below the last one included.
    pub fn vocab_size(&self) -> usize {
        self.spelling.bytes.len()
    }

    /// Bytes that a token stands for; none for special and unknown ones.
    pub fn token_bytes(&self, id: u32) -> &[u8] {
        self.spelling.bytes.get(id as usize).map_or(&[], Vec::as_slice)
    }

    /// Starts to decode an answer token by token.
    pub fn stream(&self) -> StreamDecoder {
        StreamDecoder { tokenizer: self.clone(), pending: Vec::new(), begun: false }
    }
}

/// Decodes token by token and never gives out half a character.
#[derive(Clone, Debug)]
pub struct StreamDecoder {
    tokenizer: Tokenizer,
    pending: Vec<u8>,
    /// Whether anything came yet.
    begun: bool,
}

impl StreamDecoder {
    /// The text that a token completes; empty while a character is unfinished.
    pub fn push(&mut self, id: u32) -> String {
        let bytes = self.tokenizer.token_bytes(id);
        let skipped = !self.begun && self.tokenizer.spelling.blank_first && bytes.starts_with(b" ");
        self.begun |= !bytes.is_empty();
        self.pending.extend_from_slice(&bytes[usize::from(skipped)..]);
        let unfinished = match self.pending.utf8_chunks().last() {
            // `error_len` of `from_utf8` tells bytes that may yet become a character from bytes that never will.
            Some(chunk) if !chunk.invalid().is_empty() => match std::str::from_utf8(chunk.invalid()) {
                Err(error) if error.error_len().is_none() => chunk.invalid().len(),
                _ => 0,
            },
            _ => 0,
        };
        let rest = self.pending.split_off(self.pending.len() - unfinished);
        let text = String::from_utf8_lossy(&self.pending).into_owned();
        self.pending = rest;
        text
    }

    /// What is left at the end: U+FFFD if a character was never finished.
    pub fn finish(self) -> String {
        String::from_utf8_lossy(&self.pending).into_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chat::SPECIAL_TOKENS;
    use proptest::prelude::*;

    const TEXTS: [&str; 3] = ["my card has not arrived", "where is my card?", "the card payment {\"intent\":\"x\"}"];

    fn tokenizer() -> Tokenizer {
        Tokenizer::train_bpe(&TEXTS, 320, &SPECIAL_TOKENS).unwrap()
    }

    #[test]
    fn the_same_texts_give_the_same_bytes() {
        let json = tokenizer().to_json().unwrap();
        assert_eq!(json, tokenizer().to_json().unwrap());
        assert_eq!(json, Tokenizer::from_bytes(&json).unwrap().to_json().unwrap());
        assert!(tokenizer().vocab_size() > 261, "no merges were learned");
    }

    #[test]
    fn special_tokens_come_first_and_text_never_becomes_one() {
        let tokenizer = tokenizer();
        for (id, token) in (0u32..).zip(SPECIAL_TOKENS) {
            assert_eq!(tokenizer.token_id(token), Some(id));
            let ids = tokenizer.encode(&format!("a{token}b"));
            assert!(ids.iter().all(|id| *id >= 5), "{ids:?}");
            assert_eq!(tokenizer.decode(&ids), format!("a{token}b"));
        }
        assert_eq!(tokenizer.decode(&[1, 3]), "");
    }

    #[test]
    fn a_damaged_file_is_refused() {
        assert_eq!(Tokenizer::from_bytes(b"{\"version\":").unwrap_err().kind(), Kind::BadFile);
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(Tokenizer::from_file(&dir.path().join("none")).unwrap_err().kind(), Kind::Io);
        assert_eq!(Tokenizer::train_bpe(&TEXTS, 200, &SPECIAL_TOKENS).unwrap_err().kind(), Kind::BadInput);
    }

    #[test]
    fn streaming_holds_back_half_a_character() {
        let tokenizer = tokenizer();
        let ids = tokenizer.encode("\u{20ac}");
        assert_eq!(ids.len(), 3, "no merge covers the euro sign");
        let mut stream = tokenizer.stream();
        assert_eq!(ids.iter().map(|id| stream.push(*id)).collect::<Vec<_>>(), ["", "", "\u{20ac}"]);
        assert_eq!(stream.push(ids[0]), "");
        assert_eq!(stream.finish(), "\u{fffd}");
    }

    proptest! {
        #[test]
        fn every_text_round_trips(text in "\\PC{0,40}|[a-z <>|\\r\\n\\t]{0,40}") {
            let tokenizer = tokenizer();
            let ids = tokenizer.encode(&text);
            prop_assert_eq!(tokenizer.decode(&ids), text.clone());
            let mut stream = tokenizer.stream();
            let streamed: String = ids.iter().map(|id| stream.push(*id)).collect();
            prop_assert_eq!(streamed, text);
        }
    }
}
