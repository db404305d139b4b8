//! Learning from preferences without a reward model (DPO, Rafailov et al. 2023).
//!
//! With π the model and ρ the weights that the run started from, an answer's reward is β·(log π(answer) − log ρ(answer)),
//! and a pair's loss is −log σ(z), z being the reward of the chosen answer less that of the rejected one. Its slope by
//! log π is −β·σ(−z) for the chosen answer and β·σ(−z) for the rejected one. log ρ is measured once, before the first step.

use crate::{
    data::TrainExample,
    error::{Error, Kind, Result},
    objective::{self, Learning, Measured, Objective, Share, by_length},
    plan::{Method, TrainSettings},
    run::Start,
};
use candle_core::backprop::GradStore;
use loopwright_lm::{Batch, Model};

/// Two answers to one prompt, each as a row in which the answer counts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PreferenceExample {
    /// The prompt and the better answer.
    pub chosen: TrainExample,
    /// The prompt and the worse one.
    pub rejected: TrainExample,
}

/// How a step's pairs stood before the step.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Preference {
    /// Share of pairs whose chosen answer has the higher reward.
    pub accuracy: f32,
    /// Mean of the chosen answer's reward less the rejected one's, in nats times β.
    pub margin: f32,
}

/// Log-probabilities of a pair's two answers.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PairLikelihood {
    chosen: f64,
    rejected: f64,
}

/// Rewards of a pair's two answers.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rewards {
    chosen: f64,
    rejected: f64,
}

/// Pairs side by side: all chosen rows, then all rejected ones.
pub struct Pairs {
    batch: Batch,
    references: Vec<PairLikelihood>,
}

impl PairLikelihood {
    /// Of the rows of a batch.
    fn of(rows: &[f64]) -> Vec<Self> {
        let (chosen, rejected) = rows.split_at(rows.len() / 2);
        chosen.iter().zip(rejected).map(|(chosen, rejected)| Self { chosen: *chosen, rejected: *rejected }).collect()
    }

    /// By how much each answer became likelier than the reference has it, times β.
    fn rewards(self, reference: Self, beta: f64) -> Rewards {
        Rewards {
            chosen: beta * (self.chosen - reference.chosen),
            rejected: beta * (self.rejected - reference.rejected),
        }
    }
}

impl Rewards {
    /// By how much the chosen answer's reward is higher.
    fn margin(self) -> f64 {
        self.chosen - self.rejected
    }
}

/// −log σ(z), without overflow.
fn loss(margin: f64) -> f64 {
    (-margin).max(0.0) + (-margin.abs()).exp().ln_1p()
}

/// σ(z).
fn sigmoid(z: f64) -> f64 {
    1.0 / (1.0 + (-z).exp())
}

impl Pairs {
    fn rewards(&self, rows: &[f64], beta: f64) -> Vec<Rewards> {
        let of_pair = |(pair, reference): (PairLikelihood, &PairLikelihood)| pair.rewards(*reference, beta);
        PairLikelihood::of(rows).into_iter().zip(&self.references).map(of_pair).collect()
    }
}

impl Objective for PreferenceExample {
    type Reference = PairLikelihood;
    type Part = Pairs;
    type Seen = Rewards;

    fn rows(&self) -> Vec<&TrainExample> {
        vec![&self.chosen, &self.rejected]
    }

    fn method(start: &Start) -> Option<Method> {
        (!matches!(start, Start::Fresh(_))).then_some(Method::Dpo)
    }

    fn references(start: &Start, examples: &[Self], batch_size: usize) -> Result<Vec<PairLikelihood>> {
        let Some(model) = start.model() else {
            return Err(Error::new(Kind::BadSettings, "fresh weights are no reference for preferences"));
        };
        let mut references = vec![PairLikelihood { chosen: 0.0, rejected: 0.0 }; examples.len()];
        for which in by_length(examples).chunks(batch_size) {
            let rows = model
                .log_probabilities(&batch_of(examples, which)?)
                .map_err(|source| Error::model("failed to measure the reference of preferences", source))?;
            which.iter().zip(PairLikelihood::of(&rows)).for_each(|(i, reference)| references[*i] = reference);
        }
        Ok(references)
    }

    fn part(from: Measured<Self>, which: &[usize]) -> Result<Pairs> {
        let references = which.iter().map(|i| from.references[*i]).collect();
        Ok(Pairs { batch: batch_of(from.examples, which)?, references })
    }

    fn weight(part: &Pairs) -> loopwright_lm::Result<f32> {
        Ok(part.references.len() as f32)
    }

    fn gradients(part: &Pairs, model: &Model, how: Learning) -> loopwright_lm::Result<(Share, GradStore)> {
        let (beta, total) = (how.settings.dpo_beta, f64::from(how.total));
        let mut margins = Vec::new();
        let pace = (how.dropout_seed, how.settings.gradient_checkpointing);
        let gradients = model.likelihood_gradients(&part.batch, pace, |rows| {
            margins = part.rewards(rows, beta).into_iter().map(Rewards::margin).collect();
            let slope = |margin: &f64| beta * sigmoid(-margin) / total;
            margins.iter().map(|z| -slope(z)).chain(margins.iter().map(slope)).collect()
        })?;
        let mean = |sum: f64| (sum / total) as f32;
        let accuracy = mean(margins.iter().filter(|margin| **margin > 0.0).count() as f64);
        let preference = Some(Preference { accuracy, margin: mean(margins.iter().sum()) });
        Ok((Share { loss: mean(margins.iter().map(|z| loss(*z)).sum()), preference }, gradients))
    }

    fn evaluate(part: &Pairs, model: &Model, settings: &TrainSettings) -> loopwright_lm::Result<(f32, Vec<Rewards>)> {
        let rewards = part.rewards(&model.log_probabilities(&part.batch)?, settings.dpo_beta);
        let sum: f64 = rewards.iter().map(|rewards| loss(rewards.margin())).sum();
        Ok(((sum / rewards.len() as f64) as f32, rewards))
    }

    /// Under TRL's names.
    fn metrics(seen: &[Rewards]) -> Vec<(&'static str, f64)> {
        if seen.is_empty() {
            return Vec::new();
        }
        let mean = |of: &dyn Fn(&Rewards) -> f64| seen.iter().map(of).sum::<f64>() / seen.len() as f64;
        vec![
            ("rewards/chosen", mean(&|it| it.chosen)),
            ("rewards/rejected", mean(&|it| it.rejected)),
            ("rewards/accuracies", mean(&|it| f64::from(u8::from(it.margin() > 0.0)))),
            ("rewards/margins", mean(&|it| it.margin())),
        ]
    }
}

fn batch_of(examples: &[PreferenceExample], which: &[usize]) -> Result<Batch> {
    let chosen = which.iter().map(|i| &examples[*i].chosen);
    objective::batch_of(chosen.chain(which.iter().map(|i| &examples[*i].rejected)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::{Tensor, Var};
    use loopwright_lm::{Adapter, LoraConfig, ModelConfig};

    #[test]
    fn loss_and_margin_by_hand() {
        // z = 0.5·((−2 + 3) − (−4 + 2)) = 1.5, −log σ(1.5) = log(1 + e^−1.5) = 0.201413.
        let pairs = PairLikelihood::of(&[-2.0, -4.0]);
        let rewards = pairs[0].rewards(PairLikelihood { chosen: -3.0, rejected: -2.0 }, 0.5);
        let margin = rewards.margin();
        assert!((margin - 1.5).abs() < 1e-12 && (loss(margin) - 0.201_413_278).abs() < 1e-8);
        let other = Rewards { chosen: -1.0, rejected: 0.5 };
        // Means of 0.5 and −1, of −1 and 0.5, of one pair of two, and of 1.5 and −1.5.
        let metrics = PreferenceExample::metrics(&[rewards, other]);
        let names = ["rewards/chosen", "rewards/rejected", "rewards/accuracies", "rewards/margins"];
        let want: Vec<(&str, f64)> = names.into_iter().zip([-0.25, -0.25, 0.5, 0.0]).collect();
        assert_eq!(metrics, want);
        assert!((loss(0.0) - 2f64.ln()).abs() < 1e-12);
        assert!(loss(-1e6) == 1e6 && loss(1e6) == 0.0);
    }

    fn pairs() -> Vec<PreferenceExample> {
        let row = |tokens: &[u32]| TrainExample {
            tokens: tokens.to_vec(),
            loss_mask: (0..tokens.len()).map(|i| i >= 3).collect(),
            starts: Vec::new(),
        };
        let pair =
            |chosen: &[u32], rejected: &[u32]| PreferenceExample { chosen: row(chosen), rejected: row(rejected) };
        vec![
            pair(&[1, 7, 8, 9, 10, 2], &[1, 7, 8, 11, 2]),
            pair(&[1, 5, 12, 6, 2], &[1, 5, 12, 13, 14, 15, 16, 2]),
            pair(&[1, 9, 9, 17, 18, 2], &[1, 9, 9, 5, 2]),
        ]
    }

    fn noise(seed: usize) -> f32 {
        ((seed * 7919 + 13) % 997) as f32 / 498.5 - 1.0
    }

    fn scatter(parameters: &[(String, Var)], limit: f32) {
        for (i, (_, var)) in parameters.iter().enumerate().filter(|(_, (_, var))| var.rank() == 2) {
            let numbers: Vec<f32> = (0..var.elem_count()).map(|n| limit * noise(n * 31 + i * 101)).collect();
            var.set(&Tensor::from_vec(numbers, var.shape(), var.device()).unwrap()).unwrap();
        }
    }

    /// The slope of a loss near 0.7, exact to 1e-7 in f64 sums of f32 terms, over a distance of 2e-2, is exact to 1e-5;
    /// the third derivative adds about 1e-4 of it. Each gradient is longer than 1e-2.
    fn check_slopes(model: &Model, start: &Start) {
        let examples = pairs();
        let references = PreferenceExample::references(start, &examples, 2).unwrap();
        let part =
            PreferenceExample::part(Measured { examples: &examples, references: &references }, &[0, 1, 2]).unwrap();
        for gradient_checkpointing in [false, true] {
            let settings = TrainSettings { dpo_beta: 0.4, gradient_checkpointing, ..TrainSettings::dpo(0) };
            let how = Learning { settings: &settings, total: 3.0, dropout_seed: 0 };
            let (share, gradients) = PreferenceExample::gradients(&part, model, how).unwrap();
            let value = || f64::from(PreferenceExample::evaluate(&part, model, &settings).unwrap().0);
            assert!((f64::from(share.loss) - value()).abs() < 1e-6);
            for (name, var) in model.trainable_parameters() {
                let gradient = gradients.get(&var).unwrap_or_else(|| panic!("`{name}` got no gradient"));
                let length = gradient.sqr().unwrap().sum_all().unwrap().to_scalar::<f32>().unwrap().sqrt();
                assert!(length > 1e-2, "`{name}`: {length}");
                let before = var.as_detached_tensor().copy().unwrap();
                let moved = |by: f64| {
                    let step = (gradient * (by / f64::from(length))).unwrap();
                    var.set(&(&before + step).unwrap()).unwrap();
                    let value = value();
                    var.set(&before).unwrap();
                    value
                };
                let slope = (moved(1e-2) - moved(-1e-2)) / 2e-2;
                let gap = (slope - f64::from(length)).abs();
                assert!(gap < 1e-4 + 0.01 * slope, "`{name}`: gradient {length}, slope {slope}");
            }
        }
    }

    #[test]
    fn gradients_are_the_slopes_of_the_loss() {
        let config = ModelConfig { max_position_embeddings: 16, ..ModelConfig::sized(24, 16, 2, 2) };
        let base = Model::init(&config, 3).unwrap();
        scatter(&base.named_parameters(), 0.4);
        let whole = base.copy().unwrap();
        scatter(&whole.named_parameters(), 0.45);
        check_slopes(&whole, &Start::Whole(base.clone()));
        for targets in [LoraConfig::default().targets, vec!["all-linear".to_owned()]] {
            let config = LoraConfig { r: 3, alpha: 4.0, targets, ..LoraConfig::default() };
            let adapter = Adapter::init(&base, &config, 4).unwrap();
            scatter(&adapter.named_parameters(), 0.3);
            check_slopes(&base.with_adapter(&adapter), &Start::NewAdapter(base.clone()));
        }
    }
}
