//! Rows as what a model learns from.
//!
//! A row with a label becomes a message and its answer, the label as JSON; a conversation is learned in what the assistant
//! says; a text without either is learned as it stands, packed with others.

use super::{predict, torch};
use crate::{
    context::Context,
    error::{Doing, Error, Result},
    project::TorchSettings,
};
use loopwright_lm::{ChatFormat, Checkpoint, Tokenizer, chat};
use loopwright_train::{
    Job, PreferenceExample, Progress, Start, TrainExample, TrainSettings, Trained, pack_between, run,
};
use loopwright_types::{
    Conversation, Example,
    conversation::Turn,
    openai::{ChatMessage, Content},
};
use std::{ops::ControlFlow, path::Path, time::Instant};

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

/// What there is to learn.
#[derive(Clone, Debug)]
pub enum Lessons {
    /// Rows, of which tokens are predicted.
    Rows(Vec<TrainExample>),
    /// Pairs of answers, one of which is better.
    Pairs(Vec<PreferenceExample>),
}

impl Lessons {
    /// How many there are.
    pub fn len(&self) -> usize {
        match self {
            Self::Rows(rows) => rows.len(),
            Self::Pairs(pairs) => pairs.len(),
        }
    }

    /// Tokens of each; of a pair those of both answers.
    pub fn lengths(&self) -> Vec<usize> {
        match self {
            Self::Rows(rows) => rows.iter().map(|row| row.tokens.len()).collect(),
            Self::Pairs(pairs) => pairs.iter().map(|it| it.chosen.tokens.len() + it.rejected.tokens.len()).collect(),
        }
    }
}

/// Trains on lessons; those to validate on are of the same kind.
pub fn train(
    settings: &TrainSettings,
    start: Start,
    (examples, validation): (&Lessons, &Lessons),
    checkpoints: Option<&Path>,
    observer: impl FnMut(&Progress) -> ControlFlow<()>,
) -> Result<Trained> {
    let began = Instant::now();
    let clock = &|| began.elapsed();
    let trained = match (examples, validation) {
        (Lessons::Rows(examples), Lessons::Rows(validation)) => {
            run(&Job { settings, start, examples, validation, checkpoints, clock }, observer)
        }
        (Lessons::Pairs(examples), Lessons::Pairs(validation)) => {
            run(&Job { settings, start, examples, validation, checkpoints, clock }, observer)
        }
        _ => return Err(Error::bug("rows are validated on pairs")),
    };
    trained.doing(|| "training failed".into())
}

/// The same with PyTorch, and what took the steps.
pub fn train_with_torch(
    ctx: &Context,
    (torch, settings): (&TorchSettings, &TrainSettings),
    start: Start,
    lessons: (&Lessons, &Lessons),
    checkpoints: &Path,
    observer: impl FnMut(&Progress) -> ControlFlow<()>,
) -> Result<(Trained, torch::Facts)> {
    let (Lessons::Rows(examples), Lessons::Rows(validation)) = lessons else {
        return Err(Error::user("PyTorch trains on rows of text, not on pairs of answers")
            .hint("set `backend = \"native\"` in [train.*]"));
    };
    let began = Instant::now();
    let clock = &|| began.elapsed();
    let job = Job { settings, start, examples, validation, checkpoints: Some(checkpoints), clock };
    torch::train(ctx, torch, &job, observer)
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
                    return Err(Error::user(format!(
                        "row `{}` is a pair of answers, one of them preferred",
                        row.row_id
                    ))
                    .hint("set `method = \"dpo\"` in `[train.*]`, or leave preference pairs out of the dataset"));
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
            return Err(nothing_fits(rows.len(), sequence_len));
        }
        Ok(made)
    }

    /// Preference pairs, both answers of at most `sequence_len` tokens, and how many were too long.
    pub fn pairs(&self, rows: &[Example], sequence_len: usize) -> Result<(Vec<PreferenceExample>, u64)> {
        let mut pairs = Vec::new();
        for row in rows {
            let Some(Conversation::Preference { prompt, chosen, rejected }) = &row.conversation else {
                return Err(Error::user(format!("row `{}` is no pair of answers", row.row_id)).hint(
                    "`method = \"dpo\"` learns from rows with `prompt`, `chosen` and `rejected`; leave others out of the dataset",
                ));
            };
            let answer = |turns: &[Turn]| self.answer(prompt, turns, sequence_len);
            let doing = || format!("failed to prepare the row `{}`", row.row_id);
            if let (Some(chosen), Some(rejected)) = (answer(chosen).doing(doing)?, answer(rejected).doing(doing)?) {
                pairs.push(PreferenceExample { chosen, rejected });
            }
        }
        let n_left_out = (rows.len() - pairs.len()) as u64;
        match pairs.is_empty() && !rows.is_empty() {
            true => Err(nothing_fits(rows.len(), sequence_len)),
            false => Ok((pairs, n_left_out)),
        }
    }

    /// A prompt and an answer, which alone counts; none if it is too long.
    fn answer(
        &self,
        prompt: &[Turn],
        answer: &[Turn],
        sequence_len: usize,
    ) -> loopwright_train::Result<Option<TrainExample>> {
        let messages: Vec<ChatMessage> = prompt.iter().chain(answer).map(message).collect();
        let example = TrainExample::conversation((&self.tokenizer, &self.format), &messages, sequence_len)?;
        let before: Vec<ChatMessage> = prompt.iter().map(message).collect();
        // What the assistant said before belongs to the prompt.
        let n_prompt = self.format.prompt_tokens(&self.tokenizer, &before).map_or(0, |tokens| tokens.len());
        Ok(example.map(|mut example| {
            let n_prompt = n_prompt.min(example.loss_mask.len());
            example.loss_mask[..n_prompt].fill(false);
            example
        }))
    }

    fn conversation(&self, row: &Example, sequence_len: usize, made: &mut Made) -> Result<()> {
        let messages: Vec<ChatMessage> = row.conversation.iter().flat_map(Conversation::turns).map(message).collect();
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

fn message(turn: &Turn) -> ChatMessage {
    ChatMessage { role: turn.role.as_str().to_string(), content: Some(Content::Text(turn.content.clone())) }
}

fn nothing_fits(n_rows: usize, sequence_len: usize) -> Error {
    Error::user(format!("none of the {n_rows} rows fits into {sequence_len} tokens"))
        .hint("raise `context_tokens` of `[train.*]`, or cut the rows")
}
