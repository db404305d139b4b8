//! Learning which texts belong together: [`loopwright_lm::Model::ranking_loss`] over batches of pairs.

use crate::{
    data::TrainExample,
    error::Result,
    objective::{Learning, Measured, Objective, Share},
    plan::{Method, TrainSettings},
    run::Start,
};
use candle_core::backprop::GradStore;
use loopwright_lm::Model;

/// Two texts that belong together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PairExample {
    /// What is asked with; the loss mask counts nothing.
    pub anchor: TrainExample,
    /// What should be found.
    pub positive: TrainExample,
    /// Pairs of one group belong together as well, and are no negatives of each other.
    pub group: Option<u32>,
}

impl PairExample {
    /// Is the other's positive a wrong answer to this anchor?
    fn is_rival(&self, other: &Self) -> bool {
        let same_group = self.group.is_some() && self.group == other.group;
        !same_group && self.positive.tokens != other.positive.tokens && self.anchor.tokens != other.anchor.tokens
    }
}

/// Embeddings of a pair that was validated, and the pair.
pub struct Embedded {
    pair: PairExample,
    anchor: Vec<f32>,
    positive: Vec<f32>,
}

impl Objective for PairExample {
    type Reference = ();
    type Part = Vec<PairExample>;
    type Seen = Embedded;
    const PREDICTS_TOKENS: bool = false;
    // How hard a batch is depends on which texts happen to meet in it.
    const IS_STEADY: bool = false;
    // Every pair of a pass is a negative of every other one.
    const PARTS: usize = 1;

    fn rows(&self) -> Vec<&TrainExample> {
        vec![&self.anchor, &self.positive]
    }

    fn mark(&self) -> Option<u32> {
        self.group
    }

    fn method(start: &Start) -> Option<Method> {
        matches!(start, Start::Whole(_)).then_some(Method::Embed)
    }

    fn references(_: &Start, examples: &[Self], _: usize) -> Result<Vec<()>> {
        Ok(vec![(); examples.len()])
    }

    fn part(from: Measured<Self>, which: &[usize]) -> Result<Self::Part> {
        Ok(which.iter().map(|i| from.examples[*i].clone()).collect())
    }

    fn weight(part: &Self::Part) -> loopwright_lm::Result<f32> {
        Ok(part.len() as f32)
    }

    fn gradients(part: &Self::Part, model: &Model, how: Learning) -> loopwright_lm::Result<(Share, GradStore)> {
        let pairs: Vec<(&[u32], &[u32])> =
            part.iter().map(|pair| (&*pair.anchor.tokens, &*pair.positive.tokens)).collect();
        let are_rivals = |i: usize, j: usize| part[i].is_rival(&part[j]);
        let loss = model.ranking_loss(&pairs, are_rivals, (how.settings.mnrl_scale, how.total), how.dropout_seed)?;
        Ok((Share { loss: loss.to_scalar::<f32>()?, preference: None }, loss.backward()?))
    }

    fn evaluate(
        part: &Self::Part,
        model: &Model,
        settings: &TrainSettings,
    ) -> loopwright_lm::Result<(f32, Vec<Embedded>)> {
        let texts = |of: &dyn Fn(&PairExample) -> Vec<u32>| part.iter().map(of).collect::<Vec<_>>();
        let (anchors, positives) = (texts(&|it| it.anchor.tokens.clone()), texts(&|it| it.positive.tokens.clone()));
        let embed = |texts: &[Vec<u32>]| model.embed_all(&texts.iter().map(Vec::as_slice).collect::<Vec<_>>());
        let embedded: Vec<Embedded> = embed(&anchors)?
            .into_iter()
            .zip(embed(&positives)?)
            .zip(part)
            .map(|((anchor, positive), pair)| Embedded { pair: pair.clone(), anchor, positive })
            .collect();
        let cost = |it: &Embedded| {
            let own = settings.mnrl_scale * cosine(&it.anchor, &it.positive);
            let rivals = embedded.iter().filter(|other| it.pair.is_rival(&other.pair));
            let sum: f64 =
                rivals.map(|it_too| (settings.mnrl_scale * cosine(&it.anchor, &it_too.positive) - own).exp()).sum();
            sum.ln_1p()
        };
        Ok(((embedded.iter().map(cost).sum::<f64>() / embedded.len() as f64) as f32, embedded))
    }

    /// Recall at 1 and the mean reciprocal rank of each anchor's own positive among those of all its rivals.
    fn metrics(seen: &[Embedded]) -> Vec<(&'static str, f64)> {
        if seen.is_empty() {
            return Vec::new();
        }
        let rank = |it: &Embedded| {
            let own = cosine(&it.anchor, &it.positive);
            let ahead = |other: &&Embedded| it.pair.is_rival(&other.pair) && cosine(&it.anchor, &other.positive) >= own;
            1 + seen.iter().filter(ahead).count()
        };
        let ranks: Vec<usize> = seen.iter().map(rank).collect();
        let mean = |sum: f64| sum / seen.len() as f64;
        vec![
            ("recall@1", mean(ranks.iter().filter(|rank| **rank == 1).count() as f64)),
            ("mrr", mean(ranks.iter().map(|rank| 1.0 / *rank as f64).sum())),
        ]
    }
}

/// Of vectors of length 1.
fn cosine(a: &[f32], b: &[f32]) -> f64 {
    a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranks_by_hand_leave_out_what_belongs_together() {
        let pair = |n: u32, group| PairExample {
            anchor: TrainExample::whole(vec![n]),
            positive: TrainExample::whole(vec![n + 10]),
            group,
        };
        let seen = |n: u32, group, anchor: [f32; 2], positive: [f32; 2]| Embedded {
            pair: pair(n, group),
            anchor: anchor.to_vec(),
            positive: positive.to_vec(),
        };
        let all = |second: Option<u32>| {
            vec![
                seen(1, Some(0), [1.0, 0.0], [0.6, 0.8]),
                // Nearer to the first anchor than its own positive.
                seen(2, second, [0.0, 1.0], [1.0, 0.0]),
                seen(3, Some(2), [0.0, 1.0], [0.0, 1.0]),
            ]
        };
        // Ranks 2, 3 and 1.
        let metrics = PairExample::metrics(&all(Some(1)));
        assert_eq!(metrics[0], ("recall@1", 1.0 / 3.0));
        assert!((metrics[1].1 - (0.5 + 1.0 / 3.0 + 1.0) / 3.0).abs() < 1e-12, "{metrics:?}");
        // In one group the first two do not compete: ranks 1, 2 and 1.
        let metrics = PairExample::metrics(&all(Some(0)));
        assert_eq!((metrics[0].1, metrics[1].1), (2.0 / 3.0, 2.5 / 3.0));
    }
}
