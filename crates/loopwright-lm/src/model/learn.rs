//! What a model learns from: the loss over tokens, and the loss over classes.

use super::{Input, Model};
use crate::{
    architecture::Task,
    batch::Batch,
    error::{Error, Kind, Result},
    layers::{Mode, Pass},
    matrix::Precision,
    ops,
};
use candle_core::{Device, Tensor, Var, backprop::GradStore};
use std::sync::Arc;

impl Model {
    /// Mean cross entropy over the batch's mask, with gradients to [`Model::trainable_parameters`]. Equal to
    /// [`crate::loss::cross_entropy`] of [`Model::forward_train`] where no dropout is on the head, but computes logits
    /// only where the mask counts.
    pub fn loss(&self, batch: &Batch, dropout_seed: u64) -> Result<Tensor> {
        self.share_of_loss(batch, batch.weight()?, Mode::Learn(dropout_seed))
    }

    /// The part of a mean over several batches, whose weights are `total` together, that comes from this one: their
    /// losses, and their gradients, add up to those of all.
    pub fn loss_in(&self, batch: &Batch, total: f32, dropout_seed: u64) -> Result<Tensor> {
        self.share_of_loss(batch, total, Mode::Learn(dropout_seed))
    }

    /// The same mean without dropout and without gradients.
    pub fn evaluate(&self, batch: &Batch) -> Result<f32> {
        Ok(self.share_of_loss(batch, batch.weight()?, Mode::Answer)?.to_scalar::<f32>()?)
    }

    fn share_of_loss(&self, batch: &Batch, total: f32, mode: Mode) -> Result<Tensor> {
        let (counted, pass) = (Counted::of(batch, total)?, self.pass(mode));
        let input = Input { keep: counted.keep(), texts: batch.texts.clone(), ..Input::default() };
        let rows = self.normed_rows(&batch.tokens, input, pass)?;
        self.loss_of_rows(&rows, &counted, pass)
    }

    /// Loss of the counted rows after the last norm.
    fn loss_of_rows(&self, rows: &Tensor, counted: &Counted, pass: Pass) -> Result<Tensor> {
        finite(self.scores(rows, pass)?.cross_entropy(counted)?)
    }

    /// What rows after the last norm say of the token that follows each.
    pub(super) fn scores(&self, rows: &Tensor, pass: Pass) -> Result<Scores> {
        let head = self.language_head()?;
        Ok(match pass.changes(head) {
            true => Scores::Logits(self.logits(rows, pass)?),
            false => {
                let (head, cap) = (pass.weight(head.weight.full()?), self.logit_cap());
                Scores::Blockwise { rows: rows.clone(), head, cap, precision: pass.precision }
            }
        })
    }

    /// The value of [`Model::loss_in`] and its gradients, holding no more than each block's input: blocks are computed a
    /// second time on the way back (Chen et al. 2016). Memory for the activations of one block, instead of all, at the price
    /// of a second forward pass.
    pub fn loss_and_gradients(&self, batch: &Batch, total: f32, dropout_seed: u64) -> Result<(f32, GradStore)> {
        let (counted, pass) = (Counted::of(batch, total)?, self.pass(Mode::Learn(dropout_seed)));
        self.recomputed(batch, counted.keep(), pass, |rows| self.loss_of_rows(rows, &counted, pass))
    }

    /// A loss of the kept rows after the last norm, and its gradients, with every block computed twice.
    pub(super) fn recomputed(
        &self,
        batch: &Batch,
        keep: Option<&[u32]>,
        pass: Pass,
        loss_of: impl FnOnce(&Tensor) -> Result<Tensor>,
    ) -> Result<(f32, GradStore)> {
        self.language_head()?;
        let (ids, rows) =
            self.checked_input(&batch.tokens, &Input { texts: batch.texts.clone(), ..Input::default() })?;
        let body = &self.base.body;
        let mut inputs = Vec::with_capacity(body.blocks.len());
        let mut hidden = body.embed(pass, ids.clone(), rows.tokens)?.detach();
        let step = |i: usize, hidden: &Tensor| {
            let keep = keep.filter(|_| i + 1 == body.blocks.len()).map(|keep| (keep, pass));
            body.blocks[i].forward(pass, hidden, &rows, keep, None)
        };
        for i in 0..body.blocks.len() {
            inputs.push(hidden.clone());
            hidden = step(i, &hidden)?.detach();
        }
        let top = Var::from_tensor(&hidden)?;
        let loss = loss_of(&body.normed(pass, &top)?)?;
        let mut gradients = loss.backward()?;
        let mut outer = taken(&mut gradients, &top)?;
        for (i, input) in inputs.iter().enumerate().rev() {
            let input = Var::from_tensor(input)?;
            let mut part = pulled_back(&step(i, &input)?, &outer)?;
            outer = taken(&mut part, &input)?;
            gradients.extend(part)?;
        }
        if pass.adapter().is_none() {
            gradients.extend(pulled_back(&body.embed(pass, ids, rows.tokens)?, &outer)?)?;
        }
        Ok((loss.to_scalar()?, gradients))
    }

    /// Logits of the classes for each text, [texts][classes], without gradients.
    pub fn classify(&self, texts: &[&[u32]]) -> Result<Vec<Vec<f32>>> {
        Ok(self.class_logits(texts, Mode::Answer)?.to_vec2()?)
    }

    /// The name of the likeliest class of a text, and how probable it is; none of a model without a head of classes.
    pub fn class_of(&self, tokens: &[u32]) -> Result<Option<(String, f32)>> {
        let Task::Classes(names) = &self.config().task else { return Ok(None) };
        let shares = shares(&self.classify(&[tokens])?.concat());
        let best = (0..shares.len()).reduce(|best, class| if shares[class] > shares[best] { class } else { best });
        Ok(best.and_then(|best| Some((names.get(best)?.clone(), shares[best] as f32))))
    }

    /// How probable a class of a text is, by its number.
    pub fn probability_of(&self, tokens: &[u32], class: usize) -> Result<f64> {
        let shares = shares(&self.classify(&[tokens])?.concat());
        let n = shares.len();
        shares.get(class).copied().ok_or_else(|| Error::new(Kind::BadInput, format!("class {class} is not one of {n}")))
    }

    /// Mean cross entropy of the texts' classes, with gradients to [`Model::trainable_parameters`].
    pub fn class_loss(&self, texts: &[&[u32]], classes: &[u32], dropout_seed: u64) -> Result<Tensor> {
        self.class_loss_in((texts, classes), texts.len() as f32, dropout_seed)
    }

    /// The part of a mean over `total` texts that comes from these.
    pub fn class_loss_in(
        &self,
        (texts, classes): (&[&[u32]], &[u32]),
        total: f32,
        dropout_seed: u64,
    ) -> Result<Tensor> {
        if texts.len() != classes.len() {
            let message = format!("{} texts, but {} classes", texts.len(), classes.len());
            return Err(Error::new(Kind::BadInput, message));
        }
        let logits = self.class_logits(texts, Mode::Learn(dropout_seed))?;
        let n_classes = logits.dims2()?.1;
        if let Some(class) = classes.iter().find(|class| **class as usize >= n_classes) {
            return Err(Error::new(Kind::BadInput, format!("class {class} is not one of {n_classes}")));
        }
        finite(ops::cross_entropy(&logits, classes.to_vec(), vec![1.0 / total; texts.len()])?)
    }

    /// Texts as rows of tokens [texts, tokens], and how long each is.
    pub(super) fn side_by_side(&self, texts: &[&[u32]]) -> Result<(Tensor, Arc<[usize]>)> {
        if let Some(empty) = texts.iter().position(|text| text.is_empty()) {
            return Err(Error::new(Kind::BadInput, format!("text {empty} has no tokens")));
        }
        let longest = texts.iter().map(|text| text.len()).max().unwrap_or(0);
        let pad = self.config().pad_token_id.unwrap_or(0);
        let mut tokens = Vec::with_capacity(texts.len() * longest);
        for text in texts {
            tokens.extend(*text);
            tokens.resize(tokens.len().next_multiple_of(longest.max(1)), pad);
        }
        let tokens = Tensor::from_vec(tokens, (texts.len(), longest), &Device::Cpu)?;
        Ok((tokens, texts.iter().map(|text| text.len()).collect()))
    }

    fn class_logits(&self, texts: &[&[u32]], mode: Mode) -> Result<Tensor> {
        let (tokens, lengths) = self.side_by_side(texts)?;
        let longest = tokens.dims2()?.1;
        let first = (0..texts.len()).map(|text| (text * longest) as u32);
        // The row that speaks for a text: an encoder's first, a decoder's last.
        let keep: Vec<u32> = match self.config().is_encoder() {
            true => first.collect(),
            false => first.zip(texts).map(|(first, text)| first + text.len().saturating_sub(1) as u32).collect(),
        };
        let input = Input { keep: Some(&keep), lengths: Some(lengths), ..Input::default() };
        let pass = self.pass(mode);
        let rows = self.normed_rows(&tokens, input, pass)?;
        match self.base.body.classes(pass, &rows)? {
            Some(logits) => Ok(logits),
            None => Err(self.no_head("a head of classes")),
        }
    }
}

/// The softmax of logits.
fn shares(logits: &[f32]) -> Vec<f64> {
    let largest = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let parts: Vec<f64> = logits.iter().map(|logit| f64::from(logit - largest).exp()).collect();
    let sum: f64 = parts.iter().sum();
    parts.iter().map(|part| part / sum).collect()
}

/// The rows of a batch whose predictions count: their numbers through the batch, what they should predict, and how much
/// each one counts in the loss.
pub(super) struct Counted {
    pub rows: Vec<u32>,
    ids: Vec<u32>,
    pub shares: Vec<f32>,
    /// Sequences, and tokens of each.
    shape: (usize, usize),
}

impl Counted {
    pub(super) fn of(batch: &Batch, total: f32) -> Result<Self> {
        let shape = batch.mask.dims2()?;
        let mask = batch.mask.flatten_all()?.to_vec1::<f32>()?;
        let targets = batch.targets.flatten_all()?.to_vec1::<u32>()?;
        if mask.iter().all(|weight| *weight == 0.0) {
            return Err(Error::new(Kind::BadInput, "a batch in which no position counts"));
        }
        let rows: Vec<u32> = (0u32..).zip(&mask).filter(|(_, weight)| **weight != 0.0).map(|(row, _)| row).collect();
        let ids = rows.iter().map(|row| targets[*row as usize]).collect();
        let shares = rows.iter().map(|row| mask[*row as usize] / total).collect();
        Ok(Self { rows, ids, shares, shape })
    }

    /// The rows to go on with, where they are not all.
    pub(super) fn keep(&self) -> Option<&[u32]> {
        (self.rows.len() < self.shape.0 * self.shape.1).then_some(self.rows.as_slice())
    }

    pub(super) fn n_sequences(&self) -> usize {
        self.shape.0
    }

    /// The sequence that a row belongs to.
    pub(super) fn sequence(&self, row: u32) -> usize {
        row as usize / self.shape.1
    }

    /// The same rows for a loss with these derivatives by each sequence's log-probability.
    pub(super) fn weighed(&self, slopes: &[f64]) -> Self {
        let weigh = |(row, share): (&u32, &f32)| (-slopes[self.sequence(*row)] * f64::from(*share)) as f32;
        let shares = self.rows.iter().zip(&self.shares).map(weigh).collect();
        Self { rows: self.rows.clone(), ids: self.ids.clone(), shares, shape: self.shape }
    }
}

/// What some rows say of the token that follows each: logits where an adapter changes the head, else the rows and the
/// head, which make logits a block at a time.
pub(super) enum Scores {
    Logits(Tensor),
    Blockwise { rows: Tensor, head: Tensor, cap: Option<f32>, precision: Precision },
}

impl Scores {
    /// Weighted loss of the counted rows.
    pub(super) fn cross_entropy(&self, counted: &Counted) -> Result<Tensor> {
        let (ids, shares) = (counted.ids.clone(), counted.shares.clone());
        Ok(match self {
            Self::Logits(logits) => ops::cross_entropy(logits, ids, shares)?,
            Self::Blockwise { rows, head, cap, precision } => {
                ops::head_cross_entropy((rows, head), (*cap, *precision), ids, shares)?
            }
        })
    }

    /// Log-probability of each counted row's target, without gradients.
    pub(super) fn log_probabilities(&self, counted: &Counted) -> Result<Vec<f32>> {
        Ok(match self {
            Self::Logits(logits) => ops::log_probabilities(logits, &counted.ids)?,
            Self::Blockwise { rows, head, cap, .. } => ops::head_log_probabilities((rows, head), *cap, &counted.ids)?,
        })
    }
}

/// Gradients of a part whose output has the gradient `outer`.
fn pulled_back(output: &Tensor, outer: &Tensor) -> Result<GradStore> {
    let mut gradients = (output * outer)?.sum_all()?.backward()?;
    // The product has a gradient by `outer`, too. It is a tensor with a history, and would keep the part's activations.
    gradients.remove(outer);
    Ok(gradients)
}

/// Takes out the gradient of a part's input.
fn taken(gradients: &mut GradStore, var: &Var) -> Result<Tensor> {
    gradients.remove(var).ok_or_else(|| Error::new(Kind::Bug, "a block's input got no gradient"))
}

pub(super) fn finite(loss: Tensor) -> Result<Tensor> {
    let value = loss.to_scalar::<f32>()?;
    match value.is_finite() {
        true => Ok(loss),
        false => Err(Error::new(Kind::NotFinite, format!("the loss is {value}"))),
    }
}
