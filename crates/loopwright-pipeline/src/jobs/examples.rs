//! Rows as what a model learns from.
//!
//! A row with a label becomes a message and its answer, the label as JSON; a conversation is learned in what the assistant
//! says; a text without either is learned as it stands, packed with others.

use super::predict;
use crate::error::{Doing, Error, Result};
use loopwright_lm::{ChatFormat, Checkpoint, Tokenizer, chat};
use loopwright_train::{TrainExample, pack_between};
use loopwright_types::{
    Conversation, Example,
    openai::{ChatMessage, Content},
};

/// How texts become tokens, and conversations texts.
#[derive(Clone, Debug)]
pub struct Speaker {
    /// The tokenizer.
    pub tokenizer: Tokenizer,
    /// How the model wants conversations written.
    pub format: ChatFormat,
    /// The tokens at the beginning and at the end of a text.
    pub marks: (Option<u32>, Option<u32>),
}

/// Examples, and what did not fit.
#[derive(Clone, Debug, Default)]
pub struct Made {
    /// What there is to learn.
    pub examples: Vec<TrainExample>,
    /// Rows whose message was cut.
    pub n_cut: u64,
    /// Conversations that were too long and are left out.
    pub n_left_out: u64,
}

impl Speaker {
    /// The speaker of a model that was made here.
    pub fn own(tokenizer: Tokenizer) -> Self {
        Self { tokenizer, format: ChatFormat::Own, marks: (Some(chat::BOS), Some(chat::EOS)) }
    }

    /// The speaker of a checkpoint.
    pub fn of(checkpoint: &Checkpoint) -> loopwright_lm::Result<Self> {
        let config = checkpoint.model.config();
        let marks = (config.bos_token_id, config.eos_token_ids.first().copied());
        Ok(Self { tokenizer: checkpoint.tokenizer.clone(), format: checkpoint.format()?, marks })
    }

    /// The rows as examples of at most `sequence_len` tokens. Fails if nothing fits.
    pub fn examples(&self, rows: &[Example], sequence_len: usize) -> Result<Made> {
        let mut made = Made::default();
        let mut texts = Vec::new();
        for row in rows {
            match &row.conversation {
                Some(Conversation::Turns(_)) => self.conversation(row, sequence_len, &mut made)?,
                Some(Conversation::Preference { .. }) => {
                    return Err(Error::user(format!("row `{}` is a pair of answers, one of them preferred", row.row_id))
                        .hint("training learns from conversations, labelled texts and plain texts; leave preference pairs out of the dataset"));
                }
                None if row.label.is_empty() => texts.push(self.tokenizer.encode(&row.text)),
                None => {
                    let answer = predict::answer_text(&row.label);
                    let speaker = (&self.tokenizer, &self.format);
                    let (example, n_cut) = TrainExample::answer(speaker, &row.text, &answer, sequence_len)
                        .doing(|| format!("failed to prepare the row `{}`", row.row_id))?;
                    made.n_cut += u64::from(n_cut > 0);
                    made.examples.push(example);
                }
            }
        }
        made.examples.extend(pack_between(&texts, self.marks, sequence_len));
        if made.examples.is_empty() && !rows.is_empty() {
            return Err(Error::user(format!("none of the {} rows fits into {sequence_len} tokens", rows.len()))
                .hint("raise `context_tokens` of `[train.*]`, or cut the rows"));
        }
        Ok(made)
    }

    fn conversation(&self, row: &Example, sequence_len: usize, made: &mut Made) -> Result<()> {
        let turns = row.conversation.iter().flat_map(Conversation::turns);
        let message = |turn: &loopwright_types::conversation::Turn| ChatMessage {
            role: turn.role.as_str().to_string(),
            content: Some(Content::Text(turn.content.clone())),
        };
        let messages: Vec<ChatMessage> = turns.map(message).collect();
        let speaker = (&self.tokenizer, &self.format);
        let example = TrainExample::conversation(speaker, &messages, sequence_len)
            .doing(|| format!("failed to prepare the row `{}`", row.row_id))?;
        match example {
            Some(example) => made.examples.push(example),
            None => made.n_left_out += 1,
        }
        Ok(())
    }
}
