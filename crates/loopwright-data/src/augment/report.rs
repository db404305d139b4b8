//! What augmentation did: accuracy on clean and on noisy test rows, learned with and without it.
//!
//! The caller trains and judges: one closure gets the rows to learn from and the rows to answer, and says which answers
//! are right. It is called twice, with the same seedless interface, so both models see the same test rows and the gains are
//! paired differences. Intervals are those of [`crate::proportion`], at 95%. They hold for this test set and one training
//! each; they do not tell how another training seed would have come out.

use super::noise::{Rates, noised};
use crate::{Result, augment::rng_of, proportion};
use loopwright_types::score::Interval;
use serde::{Deserialize, Serialize};

/// A text and its label.
pub type Labelled<'a> = (&'a str, &'a str);

/// Learns from the first rows, answers the second, and says for each of those whether the answer was right.
pub type TrainAndJudge<'a> = &'a dyn Fn(&[Labelled<'_>], &[Labelled<'_>]) -> Vec<bool>;

/// Four accuracies and two gains.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AugmentReport {
    /// Rows learned from without augmentation.
    pub n_train: u64,
    /// Rows added by augmentation.
    pub n_synthetic: u64,
    /// Test rows, each judged once clean and once noisy.
    pub n_test: u64,
    /// Without augmentation, on clean rows.
    pub plain_clean: Interval,
    /// Without augmentation, on noisy rows.
    pub plain_noised: Interval,
    /// With augmentation, on clean rows.
    pub augmented_clean: Interval,
    /// With augmentation, on noisy rows.
    pub augmented_noised: Interval,
    /// With minus without, on clean rows.
    pub clean_gain: Interval,
    /// With minus without, on noisy rows.
    pub noised_gain: Interval,
}

impl AugmentReport {
    /// True if noisy rows surely gained, and clean rows lost no more than their interval without augmentation allows.
    pub fn is_worth_it(&self) -> bool {
        self.noised_gain.low > 0.0 && self.augmented_clean.point >= self.plain_clean.low
    }
}

/// Trains with and without the synthetic rows and judges both. `rates` make the noisy test rows, with a seed of their own;
/// fails only on rates out of range.
pub fn report(
    train: &[Labelled<'_>],
    synthetic: &[Labelled<'_>],
    test: &[Labelled<'_>],
    rates: &Rates,
    seed: u64,
    train_and_judge: TrainAndJudge<'_>,
) -> Result<AugmentReport> {
    rates.check()?;
    let texts: Vec<String> = test
        .iter()
        .enumerate()
        .map(|(row, (text, _))| noised(text, rates, &mut rng_of(seed, &format!("test-{row}"), 0)))
        .collect();
    let noisy = texts.iter().zip(test).map(|(text, (_, label))| (text.as_str(), *label));
    let asked: Vec<Labelled<'_>> = test.iter().copied().chain(noisy).collect();
    let more: Vec<Labelled<'_>> = train.iter().chain(synthetic).copied().collect();
    let (plain, augmented) = (train_and_judge(train, &asked), train_and_judge(&more, &asked));
    let [(plain_clean, plain_noised), (augmented_clean, augmented_noised)] =
        [&plain, &augmented].map(|right| right.split_at(test.len().min(right.len())));
    Ok(AugmentReport {
        n_train: train.len() as u64,
        n_synthetic: synthetic.len() as u64,
        n_test: test.len() as u64,
        plain_clean: accuracy(plain_clean),
        plain_noised: accuracy(plain_noised),
        augmented_clean: accuracy(augmented_clean),
        augmented_noised: accuracy(augmented_noised),
        clean_gain: proportion::paired_difference(plain_clean, augmented_clean),
        noised_gain: proportion::paired_difference(plain_noised, augmented_noised),
    })
}

fn accuracy(right: &[bool]) -> Interval {
    proportion::wilson(right.iter().filter(|right| **right).count() as u64, right.len() as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A learner that knows the texts it has seen by heart.
    fn by_heart(train: &[Labelled<'_>], test: &[Labelled<'_>]) -> Vec<bool> {
        test.iter().map(|row| train.contains(row)).collect()
    }

    #[test]
    fn each_figure_is_that_of_its_rows() {
        let train = [("aa", "x"), ("bb", "y")];
        let test = [("aa", "x"), ("cc", "x")];
        let synthetic = [("aaaa", "x"), ("cccc", "x")];
        let rates = Rates { double: 1.0, ..Rates::NONE };
        let out = report(&train, &synthetic, &test, &rates, 1, &by_heart).unwrap();
        assert_eq!((out.n_train, out.n_synthetic, out.n_test), (2, 2, 2));
        assert_eq!((out.plain_clean.point, out.plain_noised.point), (0.5, 0.0));
        assert_eq!((out.augmented_clean.point, out.augmented_noised.point), (0.5, 1.0));
        assert_eq!((out.clean_gain.point, out.noised_gain.point), (0.0, 1.0));
        assert!(report(&train, &synthetic, &test, &Rates { drop: 2.0, ..Rates::NONE }, 1, &by_heart).is_err());
    }

    #[test]
    fn two_rows_prove_nothing_and_two_hundred_do() {
        let rates = Rates { double: 1.0, ..Rates::NONE };
        for (n, expected) in [(2, false), (200, true)] {
            let words: Vec<String> = (0..n).map(|row| "ab".repeat(row + 1)).collect();
            let doubled: Vec<String> = words.iter().map(|word| word.chars().flat_map(|c| [c, c]).collect()).collect();
            let rows: Vec<Labelled<'_>> = words.iter().map(|word| (word.as_str(), "x")).collect();
            let synthetic: Vec<Labelled<'_>> = doubled.iter().map(|word| (word.as_str(), "x")).collect();
            let out = report(&rows, &synthetic, &rows, &rates, 1, &by_heart).unwrap();
            assert_eq!((out.noised_gain.point, out.is_worth_it()), (1.0, expected), "{n} rows");
        }
    }
}
