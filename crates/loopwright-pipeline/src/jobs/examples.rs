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
use loopwright_lm::{ChatFormat, CheckpointOutline, Tokenizer, chat};
use loopwright_train::{
    ClassExample, Job, PairExample, PreferenceExample, Progress, Samples, Start, TrainExample, TrainSettings, Trained,
    pack_between, run,
};
use loopwright_types::{
    Conversation, Example,
    conversation::Turn,
    openai::{ChatMessage, Content},
};
use std::{collections::BTreeMap, ops::ControlFlow, path::Path, time::Instant};

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
    /// Texts with their classes.
    Classes(Vec<ClassExample>),
    /// Pairs of texts that belong together.
    Related(Vec<PairExample>),
}

impl Lessons {
    /// How many there are.
    pub fn len(&self) -> usize {
        match self {
            Self::Rows(rows) => rows.len(),
            Self::Pairs(pairs) => pairs.len(),
            Self::Classes(texts) => texts.len(),
            Self::Related(pairs) => pairs.len(),
        }
    }

    /// Tokens of each; of a pair those of both answers.
    pub fn lengths(&self) -> Vec<usize> {
        match self {
            Self::Rows(rows) => rows.iter().map(|row| row.tokens.len()).collect(),
            Self::Pairs(pairs) => pairs.iter().map(|it| it.chosen.tokens.len() + it.rejected.tokens.len()).collect(),
            Self::Classes(texts) => texts.iter().map(|it| it.text.tokens.len()).collect(),
            Self::Related(pairs) => pairs.iter().map(|it| it.anchor.tokens.len() + it.positive.tokens.len()).collect(),
        }
    }

    /// None of the same kind.
    pub fn none(&self) -> Self {
        match self {
            Self::Rows(_) => Self::Rows(Vec::new()),
            Self::Pairs(_) => Self::Pairs(Vec::new()),
            Self::Classes(_) => Self::Classes(Vec::new()),
            Self::Related(_) => Self::Related(Vec::new()),
        }
    }
}

/// Trains on lessons; those to validate on are of the same kind.
pub fn train(
    settings: &TrainSettings,
    start: Start,
    (examples, validation): (&Lessons, &Lessons),
    samples: Samples,
    checkpoints: Option<&Path>,
    observer: impl FnMut(&Progress) -> ControlFlow<()>,
) -> Result<Trained> {
    let began = Instant::now();
    let clock = &|| began.elapsed();
    let trained = match (examples, validation) {
        (Lessons::Rows(examples), Lessons::Rows(validation)) => {
            run(&Job { settings, start, examples, validation, samples, checkpoints, clock }, observer)
        }
        (Lessons::Pairs(examples), Lessons::Pairs(validation)) => {
            run(&Job { settings, start, examples, validation, samples, checkpoints, clock }, observer)
        }
        (Lessons::Classes(examples), Lessons::Classes(validation)) => {
            run(&Job { settings, start, examples, validation, samples, checkpoints, clock }, observer)
        }
        (Lessons::Related(examples), Lessons::Related(validation)) => {
            run(&Job { settings, start, examples, validation, samples, checkpoints, clock }, observer)
        }
        _ => return Err(Error::bug("lessons are validated on others of another kind")),
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
    let samples = Samples::default();
    let job = Job { settings, start, examples, validation, checkpoints: Some(checkpoints), samples, clock };
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

    /// The speaker of a checkpoint, whose weights it does not need.
    pub fn of(checkpoint: &CheckpointOutline) -> loopwright_lm::Result<Self> {
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

    /// Texts with their classes, and how many rows were cut and how many left out, their label being none of the classes.
    pub fn classes(
        &self,
        rows: &[Example],
        classes: &[String],
        sequence_len: usize,
    ) -> Result<(Vec<ClassExample>, u64, u64)> {
        let (mut examples, mut n_cut, mut n_left_out) = (Vec::new(), 0, 0);
        for row in rows {
            if row.label.is_empty() {
                return Err(Error::user(format!("row `{}` has no label", row.row_id))
                    .hint("`method = \"classify\"` learns from rows with a label; leave others out of the dataset"));
            }
            let Some(class) = classes.iter().position(|class| *class == row.label) else {
                n_left_out += 1;
                continue;
            };
            let (text, n) = self.text(row, &row.text, sequence_len)?;
            n_cut += u64::from(n > 0);
            examples.push(ClassExample { text, class: class as u32 });
        }
        Ok((examples, n_cut, n_left_out))
    }

    /// Pairs of texts that belong together, and how many rows were cut and how many left out, nothing belonging to them: a
    /// conversation's first message and its answer, a preferred answer with its prompt, or the texts of two rows with the
    /// same label, each with the next one.
    pub fn related(&self, rows: &[Example], sequence_len: usize) -> Result<(Vec<PairExample>, u64, u64)> {
        let (mut pairs, mut n_cut, mut n_left_out) = (Vec::new(), 0, 0);
        let mut by_label: BTreeMap<&str, Vec<&Example>> = BTreeMap::new();
        let mut pair = |row: &Example, anchor: &str, positive: &str, group: Option<u32>| -> Result<()> {
            let ((anchor, a), (positive, b)) =
                (self.text(row, anchor, sequence_len)?, self.text(row, positive, sequence_len)?);
            n_cut += u64::from(a + b > 0);
            pairs.push(PairExample { anchor, positive, group });
            Ok(())
        };
        for row in rows {
            match (&row.conversation, row.label.as_str()) {
                (Some(Conversation::Preference { prompt, chosen, .. }), _) => match (prompt.last(), chosen.last()) {
                    (Some(prompt), Some(chosen)) => pair(row, &prompt.content, &chosen.content, None)?,
                    _ => n_left_out += 1,
                },
                (Some(Conversation::Turns(turns)), _) => {
                    match turns.iter().position(|turn| turn.role.as_str() == "assistant") {
                        Some(at @ 1..) => pair(row, &turns[at - 1].content, &turns[at].content, None)?,
                        _ => n_left_out += 1,
                    }
                }
                (None, "") => {
                    return Err(Error::user(format!("row `{}` is a text to which nothing belongs", row.row_id)).hint(
                        "`method = \"embed\"` learns from conversations, preference pairs and rows with a label",
                    ));
                }
                (None, label) => by_label.entry(label).or_default().push(row),
            }
        }
        for (group, rows) in (0u32..).zip(by_label.values()) {
            if rows.len() == 1 {
                n_left_out += 1;
                continue;
            }
            for (i, row) in rows.iter().enumerate() {
                pair(row, &row.text, &rows[(i + 1) % rows.len()].text, Some(group))?;
            }
        }
        Ok((pairs, n_cut, n_left_out))
    }

    /// A text as the model reads it when it is asked, and how many tokens were cut.
    fn text(&self, row: &Example, text: &str, sequence_len: usize) -> Result<(TrainExample, usize)> {
        let made = self.format.prompt_tokens_within(&self.tokenizer, text, sequence_len);
        let (tokens, n_cut) = made.doing(|| format!("failed to prepare the row `{}`", row.row_id))?;
        Ok((TrainExample::whole(tokens), n_cut))
    }

    /// What a row asks a model, as people read it and as tokens; none of a text that asks nothing.
    pub fn question(&self, row: &Example) -> Option<(String, Vec<u32>)> {
        let turns: Vec<ChatMessage> = match &row.conversation {
            Some(Conversation::Preference { prompt, .. }) => prompt.iter().map(message).collect(),
            Some(Conversation::Turns(turns)) => {
                let last = turns.iter().rposition(|turn| turn.role.as_str() == "assistant")?;
                turns[..last].iter().map(message).collect()
            }
            None if row.label.is_empty() => return None,
            None => return self.asked(&row.text),
        };
        let shown = turns.last()?.text();
        Some((shown, self.format.prompt_tokens(&self.tokenizer, &turns).ok()?))
    }

    /// A message of a user, as people read it and as tokens; none if the model's format refuses it.
    pub fn asked(&self, text: &str) -> Option<(String, Vec<u32>)> {
        let turn = ChatMessage { role: "user".into(), content: Some(Content::Text(text.to_string())) };
        Some((text.to_string(), self.format.prompt_tokens(&self.tokenizer, &[turn]).ok()?))
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
