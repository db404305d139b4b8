//! Balance and mixture of any number of rows: each row's kind is noted, and once all are counted rows are chosen.

use super::{
    label_conflict::ROWS_MAX,
    labels::Labels,
    set_phase::{Judging, Looking, Scratch},
};
use crate::{
    Result,
    clean::quota::{By, Choice, ROW_BYTES},
    draft::{Draft, Verdict},
};

/// How many rows of each kind are taken, given the kinds and their rows.
pub(crate) type Counts = Box<dyn Fn(&[(String, u64)]) -> Vec<u64>>;

/// The step in its first pass.
pub(crate) struct Quota {
    by: By,
    counts: Counts,
    seed: u64,
    kinds: Labels,
    scratch: Scratch,
}

impl Quota {
    pub(crate) fn new(by: By, counts: Counts, seed: u64, scratch: Scratch) -> Self {
        Self { by, counts, seed, kinds: Labels::default(), scratch }
    }
}

impl Looking for Quota {
    fn look(&mut self, drafts: &[Draft]) -> Result<()> {
        drafts.iter().for_each(|draft| self.kinds.note(self.by.of(draft)));
        let n_rows = self.kinds.n_rows();
        let needed_bytes = if n_rows > ROWS_MAX { u64::MAX } else { n_rows * ROW_BYTES };
        self.scratch.check_fits(|| format!("the choice among {n_rows} rows"), needed_bytes)
    }

    fn decide(self: Box<Self>) -> Result<Box<dyn Judging>> {
        let (kinds, of_rows) = self.kinds.ranked();
        let counts = (self.counts)(&kinds);
        Ok(Box::new(Chosen { choice: Choice::new(self.by, kinds, of_rows, &counts, self.seed), row: 0 }))
    }
}

/// The step in its second pass.
struct Chosen {
    choice: Choice,
    /// The next row.
    row: usize,
}

impl Judging for Chosen {
    fn judge(&mut self, drafts: &mut [Draft]) -> Result<Vec<Verdict>> {
        let rows = self.row..self.row + drafts.len();
        self.row = rows.end;
        Ok(rows.map(|row| Verdict::dropped(self.choice.reason(row))).collect())
    }
}
