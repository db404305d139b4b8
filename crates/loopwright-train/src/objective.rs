//! What a run asks of its examples, whatever their kind. The loop, its checkpoints and its steps know no more of them.

use crate::{
    data::TrainExample,
    error::{Error, Kind, Result},
    plan::{Method, TrainSettings},
    preference::Preference,
    run::Start,
};
use candle_core::backprop::GradStore;
use loopwright_lm::{Batch, Model, chat};

/// Examples with what was measured of each before the first step.
pub struct Measured<'a, E: Objective> {
    pub examples: &'a [E],
    pub references: &'a [E::Reference],
}

impl<E: Objective> Clone for Measured<'_, E> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<E: Objective> Copy for Measured<'_, E> {}

/// How gradients are taken.
#[derive(Clone, Copy)]
pub struct Learning<'a> {
    pub settings: &'a TrainSettings,
    /// What the whole step's parts weigh together.
    pub total: f32,
    pub dropout_seed: u64,
}

/// A part's share of what a step reports; the shares add up.
#[derive(Clone, Copy)]
pub struct Share {
    pub loss: f32,
    pub preference: Option<Preference>,
}

impl Share {
    pub(crate) fn plus(self, other: Self) -> Self {
        let preference = self
            .preference
            .zip(other.preference)
            .map(|(a, b)| Preference { accuracy: a.accuracy + b.accuracy, margin: a.margin + b.margin });
        Self { loss: self.loss + other.loss, preference }
    }
}

/// What a measurement on the validation examples found.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Validated {
    /// Mean loss.
    pub loss: f32,
    /// What else there is to say, by the name that the field has for it.
    pub metrics: Vec<(&'static str, f64)>,
}

/// A kind of example: [`TrainExample`], [`crate::PreferenceExample`], [`crate::ClassExample`] or [`crate::PairExample`].
pub trait Objective: Sized + Sync {
    /// What is measured of an example once, on the weights that the run starts from.
    type Reference: Sync;
    /// Some examples side by side.
    type Part: Sync;
    /// What is kept of an example that was validated.
    type Seen;
    /// Whether the loss is over predicted tokens, of which each row then needs one.
    const PREDICTS_TOKENS: bool = true;
    /// Whether batches' losses are alike, so that one that rises tells of a run that diverges.
    const IS_STEADY: bool = true;
    /// Parts of a batch that run side by side. Fixed, so that the sum of their gradients does not depend on the machine.
    const PARTS: usize = 2;

    /// The token rows of an example.
    fn rows(&self) -> Vec<&TrainExample>;
    /// What there is to learn beside the rows.
    fn mark(&self) -> Option<u32> {
        None
    }
    /// The method of a run from such a start; none where these examples cannot begin there.
    fn method(start: &Start) -> Option<Method>;
    fn references(start: &Start, examples: &[Self], batch_size: usize) -> Result<Vec<Self::Reference>>;
    fn part(from: Measured<Self>, which: &[usize]) -> Result<Self::Part>;
    /// How much a part counts in the mean that the loss is.
    fn weight(part: &Self::Part) -> loopwright_lm::Result<f32>;
    fn gradients(part: &Self::Part, model: &Model, how: Learning) -> loopwright_lm::Result<(Share, GradStore)>;
    /// Mean loss of a part, without dropout and without gradients, and what was seen of its examples.
    fn evaluate(
        part: &Self::Part,
        model: &Model,
        settings: &TrainSettings,
    ) -> loopwright_lm::Result<(f32, Vec<Self::Seen>)>;
    /// What all that was seen comes to, by name.
    fn metrics(seen: &[Self::Seen]) -> Vec<(&'static str, f64)>;

    /// Tokens of all rows.
    fn n_tokens(&self) -> usize {
        self.rows().iter().map(|row| row.tokens.len()).sum()
    }
}

/// The next token is to be predicted: cross entropy over all that count.
impl Objective for TrainExample {
    type Reference = ();
    type Part = Batch;
    type Seen = ();

    fn rows(&self) -> Vec<&TrainExample> {
        vec![self]
    }

    fn method(start: &Start) -> Option<Method> {
        Some(match start {
            Start::Fresh(_) => Method::Pretrain,
            Start::Whole(_) => Method::Full,
            Start::NewAdapter(_) | Start::Continued(..) => Method::Lora,
        })
    }

    fn references(_: &Start, examples: &[Self], _: usize) -> Result<Vec<()>> {
        Ok(vec![(); examples.len()])
    }

    fn part(from: Measured<Self>, which: &[usize]) -> Result<Batch> {
        batch_of(which.iter().map(|i| &from.examples[*i]))
    }

    fn weight(part: &Batch) -> loopwright_lm::Result<f32> {
        part.weight()
    }

    fn gradients(part: &Batch, model: &Model, how: Learning) -> loopwright_lm::Result<(Share, GradStore)> {
        let (loss, gradients) = match how.settings.gradient_checkpointing {
            true => model.loss_and_gradients(part, how.total, how.dropout_seed)?,
            false => {
                let loss = model.loss_in(part, how.total, how.dropout_seed)?;
                (loss.to_scalar::<f32>()?, loss.backward()?)
            }
        };
        Ok((Share { loss, preference: None }, gradients))
    }

    fn evaluate(part: &Batch, model: &Model, _: &TrainSettings) -> loopwright_lm::Result<(f32, Vec<()>)> {
        Ok((model.evaluate(part)?, Vec::new()))
    }

    fn metrics(_: &[()]) -> Vec<(&'static str, f64)> {
        Vec::new()
    }
}

/// Rows side by side.
pub(crate) fn batch_of<'a>(rows: impl Iterator<Item = &'a TrainExample>) -> Result<Batch> {
    let (rows, starts): (Vec<_>, Vec<_>) =
        rows.map(|row| ((row.tokens.as_slice(), row.loss_mask.as_slice()), row.starts.as_slice())).unzip();
    let batch = Batch::new(&rows, chat::PAD).and_then(|batch| batch.with_texts(&starts));
    batch.map_err(|source| Error::model("failed to lay out a batch", source))
}

/// Refuses examples that no step could take, by their number.
pub(crate) fn check<E: Objective>(examples: &[E], sequence_len: usize) -> Result<()> {
    let refuse = |i: usize, what: String| Err(Error::new(Kind::BadData, format!("example {i} {what}")));
    for (i, row) in
        examples.iter().enumerate().flat_map(|(i, example)| example.rows().into_iter().map(move |row| (i, row)))
    {
        let n = row.tokens.len();
        if n != row.loss_mask.len() {
            return refuse(i, format!("has {n} tokens but {} mask entries", row.loss_mask.len()));
        }
        if n > sequence_len {
            return refuse(i, format!("has {n} tokens, more than `sequence_len` {sequence_len}"));
        }
        if n == 0 {
            return refuse(i, "has no tokens".into());
        }
        if E::PREDICTS_TOKENS && !row.loss_mask.iter().skip(1).any(|counts| *counts) {
            return refuse(i, "has no token to predict".into());
        }
    }
    Ok(())
}

/// Mean loss over some examples, and what else they show; none without examples.
pub(crate) fn validate<E: Objective>(
    model: &Model,
    from: Measured<E>,
    settings: &TrainSettings,
) -> Result<Option<Validated>> {
    let failed = |source| Error::model("failed to measure the validation loss", source);
    let (mut sum, mut n, mut seen) = (0f64, 0f64, Vec::new());
    for which in by_length(from.examples).chunks(settings.batch_size) {
        let part = E::part(from, which)?;
        let weight = f64::from(E::weight(&part).map_err(failed)?);
        let (loss, more) = E::evaluate(&part, model, settings).map_err(failed)?;
        sum += f64::from(loss) * weight;
        n += weight;
        seen.extend(more);
    }
    Ok((n > 0.0).then(|| Validated { loss: (sum / n) as f32, metrics: E::metrics(&seen) }))
}

/// Numbers of the examples, shortest first: batches of them hold little padding.
pub(crate) fn by_length<E: Objective>(examples: &[E]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..examples.len()).collect();
    order.sort_by_key(|i| examples[*i].n_tokens());
    order
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn untrainable_examples_are_named() {
        let good = TrainExample::whole(vec![1, 2, 3]);
        let check = |bad: TrainExample, want: &str| {
            let error = super::check(&[good.clone(), bad], 4).unwrap_err();
            assert!(error.to_string().contains(want), "{error}");
        };
        check(
            TrainExample { tokens: vec![1, 2], loss_mask: vec![true], starts: vec![] },
            "example 1 has 2 tokens but 1 mask",
        );
        check(TrainExample::whole(vec![1; 5]), "example 1 has 5 tokens, more than `sequence_len` 4");
        check(
            TrainExample { tokens: vec![1, 2], loss_mask: vec![true, false], starts: vec![] },
            "example 1 has no token to predict",
        );
    }
}
