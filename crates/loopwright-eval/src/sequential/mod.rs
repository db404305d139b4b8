//! The canary's test: is the candidate better or worse than the live variant, looked at after every answer?
//!
//! Outcomes arrive one by one. Each new outcome is paired with the newest waiting outcome of the other arm, so both
//! halves of a pair answered traffic of about the same time. (Pairing the i-th with the i-th would hold a candidate
//! with a tenth of the traffic against live answers from long ago, and would take a change of the traffic for a
//! difference between the models.) Only pairs in which exactly one was right tell anything. If the candidate is no
//! better, the one who was right is the candidate with probability at most 1/2, whatever has been seen before. Against
//! that the test bets on a probability q > 1/2 with a uniform mixture:
//!
//! ```text
//! E = 2 ∫ (2q)^k (2(1 − q))^(m − k) dq over q in (1/2, 1)   for k of m telling pairs in the candidate's favour
//!   = Σ_{j ≤ k} C(m + 1, j) / ((m + 1)·C(m, k))
//! ```
//!
//! E starts at 1 and is a supermartingale under that hypothesis, so the probability that it ever reaches 1/alpha is
//! at most alpha (Ville 1939), however often one looks and whenever one stops (Robbins 1970; Howard, Ramdas, McAuliffe
//! and Sekhon 2021; Ramdas, Grünwald, Vovk and Shafer 2023). The same bet the other way round tells when to roll back.
//!
//! Outcomes must be handed in in the order in which they became known: an outcome put in between afterwards would
//! re-pair what was already counted.

use crate::{
    distribution::ln_choose,
    interval::{Share, wilson},
};
use loopwright_types::deployment::{CANARY, Evidence, LIVE};
use serde::{Deserialize, Serialize};
use std::f64::consts::LN_2;

/// Which variant answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Arm {
    /// The live variant.
    Live,
    /// The variant on trial.
    Candidate,
}

impl Arm {
    /// The arm of a route's variant by its name ([`LIVE`] or [`CANARY`]).
    pub fn of_variant(name: &str) -> Option<Self> {
        match name {
            LIVE => Some(Self::Live),
            CANARY => Some(Self::Candidate),
            _ => None,
        }
    }
}

/// What to do with the candidate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SequentialVerdict {
    /// It is better.
    Promote,
    /// It is worse.
    RollBack,
    /// Neither is shown yet.
    Continue {
        /// About how many more pairs would decide, if the shares stay as they are; `None` while they point nowhere.
        about_n_more: Option<u64>,
    },
}

/// Evidence is kept below e^700, so that it stays a finite number in every format.
const LN_E_MAX: f64 = 700.0;
/// Beyond so many more pairs no estimate is given.
const N_MORE_MAX: u64 = 1_000_000;

/// A comparison under way. It can be stored, or made anew from the outcomes in order (see [`evidence`]).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SequentialTest {
    evidence: Evidence,
    /// Outcomes of one arm that wait for a partner, oldest first.
    waiting: Vec<bool>,
    /// Whose they are.
    waiting_arm: Arm,
    /// Level of the accuracies' intervals.
    level: f64,
}

impl SequentialTest {
    /// Nothing seen yet; `level` is the confidence level of the two accuracies (they do not take part in the decision).
    pub fn new(level: f64) -> Self {
        let evidence = Evidence { e_better: 1.0, e_worse: 1.0, e_better_max: 1.0, ..Evidence::default() };
        Self { evidence, waiting: vec![], waiting_arm: Arm::Live, level }
    }

    /// Takes the next outcome.
    pub fn observe(&mut self, arm: Arm, right: bool) {
        let seen = &mut self.evidence;
        let (n, n_right) = match arm {
            Arm::Live => (&mut seen.n_live, &mut seen.n_live_right),
            Arm::Candidate => (&mut seen.n_candidate, &mut seen.n_candidate_right),
        };
        *n += 1;
        *n_right += u64::from(right);
        if arm == self.waiting_arm || self.waiting.is_empty() {
            self.waiting_arm = arm;
            self.waiting.push(right);
        } else if let Some(partner) = self.waiting.pop() {
            match arm {
                Arm::Live => self.count_pair(right, partner),
                Arm::Candidate => self.count_pair(partner, right),
            }
        }
    }

    /// What has been seen so far.
    pub fn evidence(&self) -> Evidence {
        let interval = |n_right, n| (n > 0).then(|| wilson(Share::new(n_right, n), self.level));
        let seen = &self.evidence;
        Evidence {
            live_accuracy: interval(seen.n_live_right, seen.n_live),
            candidate_accuracy: interval(seen.n_candidate_right, seen.n_candidate),
            ..seen.clone()
        }
    }

    fn count_pair(&mut self, live: bool, candidate: bool) {
        let seen = &mut self.evidence;
        seen.n_pairs += 1;
        if live == candidate {
            return;
        }
        seen.n_only_candidate += u64::from(candidate);
        seen.n_only_live += u64::from(live);
        seen.e_better = ln_e_value(seen.n_only_candidate, seen.n_only_live).exp();
        seen.e_worse = ln_e_value(seen.n_only_live, seen.n_only_candidate).exp();
        seen.e_better_max = seen.e_better_max.max(seen.e_better);
    }
}

/// The evidence from all outcomes in the order in which they became known.
///
/// ```
/// use loopwright_eval::sequential::{Arm::{Candidate, Live}, SequentialVerdict, decide, evidence};
/// // The candidate is right each time, live every other time: 5 of 10 pairs tell, all for the candidate.
/// let outcomes: Vec<_> = (0..10).flat_map(|i| [(Live, i % 2 == 0), (Candidate, true)]).collect();
/// let seen = evidence(&outcomes, 0.95);
/// assert_eq!((seen.n_pairs, seen.n_only_candidate, seen.n_only_live), (10, 5, 0));
/// assert!((seen.e_better - 63.0 / 6.0).abs() < 1e-9); // Σ_{j ≤ 5} C(6, j) = 63; 6·C(5, 5) = 6
/// assert_eq!(decide(&seen, 0.10), SequentialVerdict::Promote);
/// assert_eq!(decide(&seen, 0.05), SequentialVerdict::Continue { about_n_more: Some(3) });
/// ```
pub fn evidence(outcomes: &[(Arm, bool)], level: f64) -> Evidence {
    let mut test = SequentialTest::new(level);
    for (arm, right) in outcomes {
        test.observe(*arm, *right);
    }
    test.evidence()
}

/// Decides at error bound `alpha` for each of the two directions.
///
/// The evidence for "better" counts at its highest so far, which Ville's bound allows; a candidate that by now looks
/// worse is rolled back all the same.
pub fn decide(evidence: &Evidence, alpha: f64) -> SequentialVerdict {
    if evidence.e_worse >= 1.0 / alpha {
        SequentialVerdict::RollBack
    } else if evidence.e_better_max >= 1.0 / alpha {
        SequentialVerdict::Promote
    } else {
        SequentialVerdict::Continue { about_n_more: about_n_more(evidence, alpha) }
    }
}

/// The always-valid p-value of "the candidate is no better": the reciprocal of the highest evidence so far.
pub fn always_valid_p(evidence: &Evidence) -> f64 {
    (1.0 / evidence.e_better_max.max(1.0)).min(1.0)
}

/// Natural logarithm of the e-value for `n_for` telling pairs in favour and `n_against` against, at most 700.
///
/// ```
/// use loopwright_eval::sequential::ln_e_value;
/// assert_eq!(ln_e_value(0, 0).exp(), 1.0);
/// assert!((ln_e_value(1, 0).exp() - 1.5).abs() < 1e-12); // 2 ∫ 2q dq over (1/2, 1)
/// assert!((ln_e_value(0, 1).exp() - 0.5).abs() < 1e-12);
/// ```
pub fn ln_e_value(n_for: u64, n_against: u64) -> f64 {
    let (k, m) = (n_for as f64, (n_for + n_against) as f64);
    let ln_e = if 2.0 * k <= m {
        // Summed downwards from j = k: C(m + 1, j − 1) / C(m + 1, j) = j / (m + 2 − j) < 1.
        sum_while_it_matters(k, |j| j / (m + 2.0 - j)).ln() - (m + 1.0 - k).ln()
    } else {
        // 2^(m + 1) less the terms above k, summed upwards from j = k + 1: C(m + 1, j + 1) / C(m + 1, j) = (m + 1 − j) / (j + 1).
        let ln_all = (m + 1.0) * LN_2 - (m + 1.0).ln() - ln_choose(m, k);
        let above = sum_while_it_matters(m - k, |left| left / (m + 2.0 - left)) / (k + 1.0);
        ln_all + (-above * (-ln_all).exp()).ln_1p()
    };
    ln_e.min(LN_E_MAX)
}

/// 1 + r(n) + r(n)·r(n − 1) + …, until a term no longer changes the sum.
fn sum_while_it_matters(n: f64, ratio: impl Fn(f64) -> f64) -> f64 {
    let (mut sum, mut term, mut j) = (1.0, 1.0, n);
    while j > 0.0 && term > 1e-17 * sum {
        term *= ratio(j);
        sum += term;
        j -= 1.0;
    }
    sum
}

/// How many more pairs would decide if the shares of telling pairs stayed as they are.
fn about_n_more(evidence: &Evidence, alpha: f64) -> Option<u64> {
    let leading = evidence.n_only_candidate.max(evidence.n_only_live);
    let trailing = evidence.n_only_candidate.min(evidence.n_only_live);
    if leading == trailing {
        return None;
    }
    let is_decided = |n_more: u64| {
        let factor = 1.0 + n_more as f64 / evidence.n_pairs as f64;
        let scaled = |n: u64| (n as f64 * factor).round() as u64;
        ln_e_value(scaled(leading), scaled(trailing)) >= -alpha.ln()
    };
    let mut decided = 1;
    while !is_decided(decided) {
        decided *= 2;
        if decided > N_MORE_MAX {
            return None;
        }
    }
    let mut open = decided / 2;
    while decided - open > 1 {
        let middle = open + (decided - open) / 2;
        if is_decided(middle) { decided = middle } else { open = middle }
    }
    Some(decided)
}

#[cfg(test)]
mod tests;
