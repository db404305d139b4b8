//! Examples, and the order in which a run takes them.

use crate::error::{Error, Kind, Result};
use loopwright_lm::{ChatFormat, Tokenizer, chat};
use loopwright_types::openai::ChatMessage;
use rand::{SeedableRng, seq::SliceRandom};
use rand_chacha::ChaCha8Rng;
use std::ops::Range;

/// One row of tokens, with those the model is to predict.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TrainExample {
    /// The whole row.
    pub tokens: Vec<u32>,
    /// For each token, whether its prediction counts. The first token is never predicted.
    pub loss_mask: Vec<bool>,
    /// Where texts begin after the row's first token, in rising order; none where the row is one text. No token looks
    /// beyond its own text, and each text's positions begin at 0.
    pub starts: Vec<usize>,
}

impl TrainExample {
    /// A message and its answer; only the answer counts. A text too long for `sequence_len` is cut at its end, and the
    /// number of its tokens cut is returned beside the example. Refuses an answer that does not fit at all.
    pub fn chat(tokenizer: &Tokenizer, text: &str, answer: &str, sequence_len: usize) -> Result<(Self, usize)> {
        let mut answer = tokenizer.encode(answer);
        answer.push(chat::EOS);
        let room = sequence_len.saturating_sub(answer.len());
        let (mut tokens, n_cut) = chat::prompt_tokens_within(tokenizer, text, room);
        if tokens.len() > room {
            let n = answer.len();
            let message = format!("an answer of {n} tokens leaves no room for a prompt in {sequence_len} tokens");
            return Err(Error::new(Kind::BadData, message));
        }
        let n_prompt = tokens.len();
        tokens.extend(answer);
        let loss_mask = (0..tokens.len()).map(|i| i >= n_prompt).collect();
        Ok((Self { tokens, loss_mask, starts: Vec::new() }, n_cut))
    }

    /// A message and its answer in a model's own way of writing conversations; only the answer counts. See
    /// [`TrainExample::chat`].
    pub fn answer(
        (tokenizer, format): (&Tokenizer, &ChatFormat),
        text: &str,
        answer: &str,
        sequence_len: usize,
    ) -> Result<(Self, usize)> {
        if matches!(format, ChatFormat::Own) {
            return Self::chat(tokenizer, text, answer, sequence_len);
        }
        let (tokens, loss_mask, n_cut) = format
            .answer_tokens(tokenizer, (text, answer), sequence_len)
            .map_err(|source| Error::caused(Kind::BadData, "failed to write a message with its answer", source))?;
        Ok((Self { tokens, loss_mask, starts: Vec::new() }, n_cut))
    }

    /// A whole conversation, in which what the assistant says counts; none if it is longer than `sequence_len` tokens.
    pub fn conversation(
        (tokenizer, format): (&Tokenizer, &ChatFormat),
        messages: &[ChatMessage],
        sequence_len: usize,
    ) -> Result<Option<Self>> {
        let (tokens, loss_mask) = format
            .example_tokens(tokenizer, messages)
            .map_err(|source| Error::caused(Kind::BadData, "failed to write a conversation", source))?;
        Ok((tokens.len() <= sequence_len).then_some(Self { tokens, loss_mask, starts: Vec::new() }))
    }

    /// A row in which every token counts.
    pub fn whole(tokens: Vec<u32>) -> Self {
        Self { loss_mask: vec![true; tokens.len()], tokens, starts: Vec::new() }
    }
}

/// Texts for pre-training: one stream of `<|bos|>` text `<|eos|>`, cut into rows of `sequence_len` tokens. Each row begins
/// with the last token of the one before, so every token but a text's first is predicted once. Texts stay apart: what is
/// predicted of one never depends on another.
///
/// ```
/// let rows = loopwright_train::pack(&[vec![7, 8], vec![9]], 6);
/// assert_eq!(rows[0].tokens, [1, 7, 8, 2, 1, 9]);
/// assert_eq!(rows[0].starts, [4]);
/// assert_eq!(rows[0].loss_mask, [true, true, true, true, false, true]);
/// assert_eq!(rows[1].tokens, [9, 2]);
/// ```
pub fn pack(texts: &[Vec<u32>], sequence_len: usize) -> Vec<TrainExample> {
    pack_between(texts, (Some(chat::BOS), Some(chat::EOS)), sequence_len)
}

/// The same for a model with other tokens, or none, at the beginning and the end of a text.
pub fn pack_between(
    texts: &[Vec<u32>],
    (first, last): (Option<u32>, Option<u32>),
    sequence_len: usize,
) -> Vec<TrainExample> {
    let (mut stream, mut starts) = (Vec::new(), Vec::new());
    for text in texts {
        let start = stream.len();
        stream.extend(first.into_iter().chain(text.iter().copied()).chain(last));
        starts.extend((stream.len() > start).then_some(start));
    }
    let new = sequence_len.max(2) - 1;
    let row = |from: usize| packed(&stream, &starts, from..stream.len().min(from + new + 1));
    let rows = (0..stream.len().saturating_sub(1)).step_by(new).map(row);
    // A row of first tokens alone, as of texts of one token, teaches nothing.
    rows.filter(|row| row.loss_mask.iter().skip(1).any(|counts| *counts)).collect()
}

/// A part of a stream in which texts begin at `starts`.
fn packed(stream: &[u32], starts: &[usize], part: Range<usize>) -> TrainExample {
    let after = |place: usize| starts.partition_point(|start| *start < place);
    let starts = starts[after(part.start + 1)..after(part.end)].iter().map(|start| start - part.start);
    let mut row = TrainExample { starts: starts.collect(), ..TrainExample::whole(stream[part].to_vec()) };
    row.starts.iter().for_each(|start| row.loss_mask[*start] = false);
    row
}

/// Examples sorted by length together; a batch then holds rows of like length, yet differs from epoch to epoch.
const WINDOW_BATCHES: usize = 16;

/// The batches of one epoch as numbers of examples: each example once, in an order that the seed and the epoch decide.
pub fn epoch_batches(lengths: &[usize], batch_size: usize, seed: u64, epoch: u64) -> Vec<Vec<usize>> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    rng.set_stream(epoch);
    let mut order: Vec<usize> = (0..lengths.len()).collect();
    order.shuffle(&mut rng);
    let mut batches: Vec<Vec<usize>> = Vec::new();
    for window in order.chunks_mut(batch_size * WINDOW_BATCHES) {
        window.sort_by_key(|example| lengths[*example]);
        batches.extend(window.chunks(batch_size).map(<[usize]>::to_vec));
    }
    batches.shuffle(&mut rng);
    batches
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_epoch_holds_each_example_once_with_like_lengths_together() {
        let lengths: Vec<usize> = (0..203).map(|i| 5 + i * 7 % 40).collect();
        let batches = epoch_batches(&lengths, 8, 1, 0);
        assert_eq!(batches.len(), 203usize.div_ceil(8));
        let mut all = batches.concat();
        all.sort_unstable();
        assert_eq!(all, (0..203).collect::<Vec<_>>());
        let padded: usize = batches.iter().map(|b| b.len() * b.iter().map(|i| lengths[*i]).max().unwrap()).sum();
        let real: usize = lengths.iter().sum();
        assert!(padded < real * 11 / 10, "{padded} positions for {real} tokens");
        assert_eq!(batches, epoch_batches(&lengths, 8, 1, 0));
        assert_ne!(batches, epoch_batches(&lengths, 8, 1, 1));
        assert_ne!(batches, epoch_batches(&lengths, 8, 2, 0));
    }

    #[test]
    fn packing_predicts_every_token_but_a_texts_first_once() {
        let texts: Vec<Vec<u32>> = (0..20).map(|n| (10..10 + n).collect()).collect();
        let rows = pack(&texts, 16);
        let counts = |row: &TrainExample| row.loss_mask.iter().skip(1).filter(|counts| **counts).count();
        assert_eq!(rows.iter().map(counts).sum::<usize>(), texts.iter().map(|text| text.len() + 1).sum::<usize>());
        for row in &rows {
            let begins: Vec<usize> = (1..row.tokens.len()).filter(|i| row.tokens[*i] == chat::BOS).collect();
            assert_eq!(row.starts, begins);
            assert!((1..row.tokens.len()).all(|i| row.loss_mask[i] != begins.contains(&i)));
        }
        let mut stream = vec![rows[0].tokens[0]];
        rows.iter().for_each(|row| stream.extend(&row.tokens[1..]));
        let want: Vec<u32> =
            texts.iter().flat_map(|text| [&[chat::BOS], text.as_slice(), &[chat::EOS]].concat()).collect();
        assert_eq!(stream, want);
        assert!(rows.iter().all(|row| row.tokens.len() <= 16));
        assert!(pack(&[], 16).is_empty());
        // Without marks, a text of one token has nothing to predict, and an empty one no beginning.
        assert!(pack_between(&[vec![5], vec![], vec![6], vec![7]], (None, None), 3).is_empty());
        let rows = pack_between(&[vec![5, 6], vec![], vec![7, 8]], (None, None), 9);
        assert_eq!(
            (rows[0].starts.as_slice(), rows[0].loss_mask.as_slice()),
            (&[2][..], &[true, true, false, true][..])
        );
    }

    #[test]
    fn a_long_message_is_cut_but_never_its_answer() {
        let tokenizer = Tokenizer::train_bpe(&["abc"], 261, &chat::SPECIAL_TOKENS).unwrap();
        let (whole, n_cut) = TrainExample::chat(&tokenizer, "abcdef", "xy", 12).unwrap();
        assert_eq!((whole.tokens.len(), n_cut), (12, 0));
        let (cut, n_cut) = TrainExample::chat(&tokenizer, "abcdef", "xy", 10).unwrap();
        assert_eq!((cut.tokens.len(), n_cut), (10, 2));
        assert_eq!(cut.tokens[7..], whole.tokens[9..]);
        assert_eq!(cut.loss_mask.iter().filter(|counts| **counts).count(), 3);
        assert_eq!(TrainExample::chat(&tokenizer, "abc", "xyz", 6).unwrap_err().kind(), Kind::BadData);
    }
}
