//! Learning which class a text is of: cross entropy over the classes of a model's head.

use crate::{
    data::TrainExample,
    error::{Error, Kind, Result},
    objective::{Learning, Measured, Objective, Share},
    plan::{Method, TrainSettings},
    run::Start,
};
use candle_core::backprop::GradStore;
use loopwright_lm::{Model, Task};

/// A text and the number of its class.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClassExample {
    /// The text; its loss mask counts nothing.
    pub text: TrainExample,
    /// The class, by its place among the names in the model's configuration.
    pub class: u32,
}

/// Texts side by side.
pub struct Texts {
    tokens: Vec<Vec<u32>>,
    classes: Vec<u32>,
}

/// What a model made of a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Guess {
    class: u32,
    guessed: u32,
}

impl Texts {
    fn rows(&self) -> Vec<&[u32]> {
        self.tokens.iter().map(Vec::as_slice).collect()
    }
}

impl Objective for ClassExample {
    type Reference = ();
    type Part = Texts;
    type Seen = Guess;
    const PREDICTS_TOKENS: bool = false;

    fn rows(&self) -> Vec<&TrainExample> {
        vec![&self.text]
    }

    fn mark(&self) -> Option<u32> {
        Some(self.class)
    }

    fn method(start: &Start) -> Option<Method> {
        match start {
            Start::Whole(base) if matches!(base.config().task, Task::Classes(_)) => Some(Method::Classify),
            _ => None,
        }
    }

    fn references(start: &Start, examples: &[Self], _: usize) -> Result<Vec<()>> {
        let n_classes = match start.model().map(|model| model.config().task.clone()) {
            Some(Task::Classes(names)) => names.len(),
            _ => return Err(Error::new(Kind::BadSettings, "classes are learned by a model with a head of them")),
        };
        match examples.iter().position(|example| example.class as usize >= n_classes) {
            Some(i) => {
                let message = format!("example {i} is of class {}, and there are {n_classes}", examples[i].class);
                Err(Error::new(Kind::BadData, message))
            }
            None => Ok(vec![(); examples.len()]),
        }
    }

    fn part(from: Measured<Self>, which: &[usize]) -> Result<Texts> {
        let (tokens, classes) =
            which.iter().map(|i| (from.examples[*i].text.tokens.clone(), from.examples[*i].class)).unzip();
        Ok(Texts { tokens, classes })
    }

    fn weight(part: &Texts) -> loopwright_lm::Result<f32> {
        Ok(part.classes.len() as f32)
    }

    fn gradients(part: &Texts, model: &Model, how: Learning) -> loopwright_lm::Result<(Share, GradStore)> {
        let loss = model.class_loss_in((&part.rows(), &part.classes), how.total, how.dropout_seed)?;
        Ok((Share { loss: loss.to_scalar::<f32>()?, preference: None }, loss.backward()?))
    }

    fn evaluate(part: &Texts, model: &Model, _: &TrainSettings) -> loopwright_lm::Result<(f32, Vec<Guess>)> {
        let logits = model.classify(&part.rows())?;
        let loss: f64 = logits.iter().zip(&part.classes).map(|(logits, class)| cost(logits, *class)).sum();
        let guess = |(logits, class): (&Vec<f32>, &u32)| Guess { class: *class, guessed: best(logits) };
        Ok(((loss / logits.len() as f64) as f32, logits.iter().zip(&part.classes).map(guess).collect()))
    }

    fn metrics(seen: &[Guess]) -> Vec<(&'static str, f64)> {
        if seen.is_empty() {
            return Vec::new();
        }
        let n_right = seen.iter().filter(|guess| guess.class == guess.guessed).count();
        vec![("accuracy", n_right as f64 / seen.len() as f64), ("f1_macro", f1_macro(seen))]
    }
}

/// −log softmax of one class.
fn cost(logits: &[f32], class: u32) -> f64 {
    let largest = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let sum: f64 = logits.iter().map(|logit| f64::from(logit - largest).exp()).sum();
    sum.ln() - f64::from(logits.get(class as usize).copied().unwrap_or(f32::NEG_INFINITY) - largest)
}

/// The first class of the largest logit.
fn best(logits: &[f32]) -> u32 {
    let mut best = 0;
    for (class, logit) in logits.iter().enumerate() {
        if *logit > logits[best] {
            best = class;
        }
    }
    best as u32
}

/// Mean over the classes that occur, or were guessed, of 2·hits / (of the class + guessed as it), as scikit-learn's
/// `f1_score(average="macro")`.
fn f1_macro(seen: &[Guess]) -> f64 {
    let classes: std::collections::BTreeSet<u32> = seen.iter().flat_map(|it| [it.class, it.guessed]).collect();
    let count = |is: &dyn Fn(&Guess) -> bool| seen.iter().filter(|guess| is(guess)).count() as f64;
    let f1 = |class: &u32| {
        let hits = count(&|guess| guess.class == *class && guess.guessed == *class);
        2.0 * hits / (count(&|guess| guess.class == *class) + count(&|guess| guess.guessed == *class))
    };
    classes.iter().map(f1).sum::<f64>() / classes.len() as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accuracy_and_f1_by_hand() {
        let guess = |(class, guessed)| Guess { class, guessed };
        // Class 0: 2 of 3 hit, 2 guessed: 4/5. Class 1: 1 of 1 hit, 2 guessed: 2/3. Class 2: none of 1 hit, 1 guessed: 0.
        let seen: Vec<Guess> = [(0, 0), (0, 0), (0, 1), (1, 1), (2, 3)].map(guess).to_vec();
        // Class 3 was guessed and never is: 0.
        let want = (0.8 + 2.0 / 3.0 + 0.0 + 0.0) / 4.0;
        let metrics = ClassExample::metrics(&seen);
        assert_eq!(metrics[0], ("accuracy", 0.6));
        assert!(metrics[1].0 == "f1_macro" && (metrics[1].1 - want).abs() < 1e-12, "{metrics:?}");
        assert!(ClassExample::metrics(&[]).is_empty());
        // −log(e² / (e² + e⁰)) = log(1 + e⁻²) = 0.126928.
        assert!((cost(&[2.0, 0.0], 0) - 0.126_928).abs() < 1e-6);
        assert_eq!(best(&[0.5, 2.0, 2.0]), 1);
    }
}
