//! The counts that steps keep, in pieces that can be put together.
//!
//! Rows are looked at in batches, and a batch may be done before a restart and the next one after it. So each batch has
//! a book of its own, and the books of all batches add up to the one that the data card shows.

use crate::{
    clean::{consent, exact_dedup, label_check, label_conflict, minhash, near_dedup},
    draft::Verdict,
};
use loopwright_types::dataset::{DataCard, StepCount};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Counts of one or several steps.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Book {
    /// One count per step, in order.
    pub(crate) steps: Vec<StepCount>,
    /// Rows per language, as the language steps found them.
    pub(crate) languages: BTreeMap<String, u64>,
}

impl Book {
    /// An empty book of these steps.
    pub(crate) fn new<'a>(steps: impl Iterator<Item = &'a str>) -> Self {
        let empty = |step: &str| {
            let step = step.to_string();
            StepCount { step, n_in: 0, n_out: 0, n_changed: 0, dropped: BTreeMap::new() }
        };
        Self { steps: steps.map(empty).collect(), languages: BTreeMap::new() }
    }

    /// The book of a step with these verdicts.
    pub(crate) fn of_verdicts(step: &str, verdicts: &[Verdict]) -> Self {
        let mut book = Self::new([step].into_iter());
        for verdict in verdicts {
            match verdict {
                Verdict::Keep => book.count_through(1, None),
                Verdict::Change(_) => {
                    book.count_through(1, None);
                    book.steps[0].n_changed += 1;
                }
                Verdict::Drop(reason) => book.count_through(0, Some(reason.class.clone())),
            }
        }
        book
    }

    /// Counts a row that went through `n_steps` steps and was then dropped by the next one for a reason of this class.
    pub(crate) fn count_through(&mut self, n_steps: usize, dropped: Option<String>) {
        for count in &mut self.steps[..n_steps] {
            count.n_in += 1;
            count.n_out += 1;
        }
        if let Some(class) = dropped {
            self.steps[n_steps].n_in += 1;
            *self.steps[n_steps].dropped.entry(class).or_default() += 1;
        }
    }

    /// Adds the book of other rows that went through the same steps.
    pub(crate) fn add(&mut self, other: Self) {
        for (mine, theirs) in self.steps.iter_mut().zip(other.steps) {
            mine.n_in += theirs.n_in;
            mine.n_out += theirs.n_out;
            mine.n_changed += theirs.n_changed;
            theirs.dropped.into_iter().for_each(|(class, n)| *mine.dropped.entry(class).or_default() += n);
        }
        other.languages.into_iter().for_each(|(language, n)| *self.languages.entry(language).or_default() += n);
    }

    /// Moves the counts into a card, and what they add to its totals.
    pub(crate) fn close(self, card: &mut DataCard) {
        for (language, n) in self.languages {
            *card.languages.entry(language).or_default() += n;
        }
        for count in self.steps {
            let n_dropped = count.dropped.values().sum::<u64>();
            match count.step.as_str() {
                consent::STEP => card.n_opted_out += count.dropped.get(consent::OPTED_OUT).copied().unwrap_or(0),
                exact_dedup::STEP => card.n_exact_duplicates += n_dropped,
                near_dedup::STEP | minhash::STEP => card.n_near_duplicates += n_dropped,
                label_conflict::STEP | label_check::STEP => card.n_label_conflicts += n_dropped,
                _ => {}
            }
            card.steps.push(count);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::draft::Reason;

    #[test]
    fn books_of_parts_add_up_to_the_book_of_all() {
        let reasons =
            [None, Some(Reason::new("a", "x")), Some(Reason::new("b", "y")), None, Some(Reason::new("a", "z"))];
        let reasons = reasons.map(Verdict::dropped);
        let all = Book::of_verdicts(exact_dedup::STEP, &reasons);
        assert_eq!((all.steps[0].n_in, all.steps[0].n_out, all.steps[0].dropped["a"]), (5, 2, 2));
        for cut in 0..=reasons.len() {
            let mut sum = Book::of_verdicts(exact_dedup::STEP, &reasons[..cut]);
            sum.add(Book::of_verdicts(exact_dedup::STEP, &reasons[cut..]));
            assert_eq!(sum, all, "{cut}");
        }
        let mut card = DataCard::default();
        all.close(&mut card);
        assert_eq!((card.n_exact_duplicates, card.steps.len()), (3, 1));
    }
}
