//! So many rows of each kind, and no more: what `balance` and `mix` have in common.

use crate::draft::{Draft, Reason, StepOutput, drop_rows};
use rand::{SeedableRng, seq::SliceRandom};
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The reason class of rows beyond their kind's share.
pub const SURPLUS: &str = "surplus";

/// Bytes in memory per row while rows are chosen: its kind, its place among those of its kind, whether it is taken.
pub(crate) const ROW_BYTES: u64 = 4 + 4 + 1;

/// What makes the kinds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum By {
    /// The label.
    Label,
    /// The source.
    Source,
    /// The group attribute.
    Group,
}

impl By {
    /// A row's kind; empty where it has none.
    pub(crate) fn of(self, draft: &Draft) -> &str {
        match self {
            Self::Label => draft.label(),
            Self::Source => &draft.row.source,
            Self::Group => draft.row.group.as_deref().unwrap_or_default(),
        }
    }

    fn word(self) -> &'static str {
        match self {
            Self::Label => "label",
            Self::Source => "source",
            Self::Group => "group",
        }
    }
}

/// Which rows are taken.
pub(crate) struct Choice {
    by: By,
    /// Kinds in order of name, each with its rows and how many of them are taken.
    kinds: Vec<(String, u64, u64)>,
    of_rows: Vec<u32>,
    is_taken: Vec<bool>,
}

impl Choice {
    /// Takes so many rows of each kind, which the seed chooses. `kinds` are in order of name, with their rows;
    /// `of_rows` has each row's place among them.
    pub(crate) fn new(by: By, kinds: Vec<(String, u64)>, of_rows: Vec<u32>, counts: &[u64], seed: u64) -> Self {
        let mut starts: Vec<usize> = Vec::with_capacity(kinds.len() + 1);
        starts.push(0);
        kinds.iter().for_each(|(_, n)| starts.push(starts[starts.len() - 1] + *n as usize));
        // A row's position takes four bytes, half a `usize`.
        let (mut rows, mut ends) = (vec![0_u32; of_rows.len()], starts.clone());
        for (row, kind) in (0_u32..).zip(&of_rows) {
            rows[ends[*kind as usize]] = row;
            ends[*kind as usize] += 1;
        }
        let mut is_taken = vec![false; of_rows.len()];
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        for (bounds, count) in starts.windows(2).zip(counts) {
            let rows = &mut rows[bounds[0]..bounds[1]];
            rows.shuffle(&mut rng);
            rows.iter().take(*count as usize).for_each(|row| is_taken[*row as usize] = true);
        }
        let kinds = kinds.into_iter().zip(counts).map(|((kind, n), count)| (kind, n, *count)).collect();
        Self { by, kinds, of_rows, is_taken }
    }

    /// Why this row goes, if it does.
    pub(crate) fn reason(&self, row: usize) -> Option<Reason> {
        if self.is_taken[row] {
            return None;
        }
        let (kind, n, count) = &self.kinds[self.of_rows[row] as usize];
        let by = self.by.word();
        Some(Reason::new(SURPLUS, format!("{by} `{kind}` has {n} rows, of which {count} are taken")))
    }
}

/// Drops what is beyond the shares that `counts` gives to the kinds.
pub(crate) fn apply(
    step: &str,
    drafts: Vec<Draft>,
    by: By,
    counts: impl FnOnce(&[(String, u64)]) -> Vec<u64>,
    seed: u64,
) -> StepOutput {
    let mut n_rows: BTreeMap<&str, u64> = BTreeMap::new();
    drafts.iter().for_each(|draft| *n_rows.entry(by.of(draft)).or_default() += 1);
    let kinds: Vec<(String, u64)> = n_rows.into_iter().map(|(kind, n)| (kind.to_string(), n)).collect();
    let place = |draft: &Draft| kinds.binary_search_by(|(kind, _)| kind.as_str().cmp(by.of(draft))).unwrap_or(0) as u32;
    let of_rows = drafts.iter().map(place).collect();
    let counts = counts(&kinds);
    let choice = Choice::new(by, kinds, of_rows, &counts, seed);
    drop_rows(step, drafts, |row, _| choice.reason(row))
}
