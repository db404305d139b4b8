//! One rule: a bound, the side it must be kept on, and how many rows would decide it.

use loopwright_types::score::{GateRule, Interval, Verdict};

/// Beyond this multiple of the rows at hand no estimate is given: the share is too close to its bound.
const FACTOR_MAX: f64 = 4096.0;
/// Halvings between the last undecided and the first decided multiple: the estimate is good to about 0.1%.
const N_HALVINGS: u32 = 10;

#[derive(Clone, Copy)]
pub(super) enum Side {
    AtLeast,
    AtMost,
}

pub(super) struct Rule {
    pub text: String,
    pub bound: f64,
    pub side: Side,
    pub n_rows: u64,
}

impl Rule {
    /// Decides from `interval_of(factor)`: the interval if there were `factor` times as many rows with the same shares.
    pub fn decide(self, interval_of: impl Fn(f64) -> Interval) -> GateRule {
        let measured = interval_of(1.0);
        let verdict = self.verdict(&measured);
        let n_rows_needed = match verdict {
            Verdict::NeedMore => self.n_rows_needed(|factor| self.verdict(&interval_of(factor)) != Verdict::NeedMore),
            _ => None,
        };
        GateRule { rule: self.text, measured, bound: self.bound, verdict, n_rows_needed }
    }

    fn verdict(&self, measured: &Interval) -> Verdict {
        let (holds, broken) = match self.side {
            Side::AtLeast => (measured.low >= self.bound, measured.high < self.bound),
            Side::AtMost => (measured.high <= self.bound, measured.low > self.bound),
        };
        match (holds, broken) {
            (true, _) => Verdict::Pass,
            (_, true) => Verdict::Fail,
            _ => Verdict::NeedMore,
        }
    }

    /// About how many rows would decide the rule if the shares stayed as they are.
    fn n_rows_needed(&self, is_decided: impl Fn(f64) -> bool) -> Option<u64> {
        let mut decided = 2.0;
        while !is_decided(decided) {
            decided *= 2.0;
            if decided > FACTOR_MAX {
                return None;
            }
        }
        let mut open = 0.5 * decided;
        for _ in 0..N_HALVINGS {
            let middle = 0.5 * (open + decided);
            if is_decided(middle) {
                decided = middle;
            } else {
                open = middle;
            }
        }
        Some((decided * self.n_rows as f64).ceil() as u64)
    }
}
