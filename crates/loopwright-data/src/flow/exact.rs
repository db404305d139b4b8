//! Exact duplicates of any number of rows: hashes are sorted on disk, equal ones come to lie side by side.

use super::{
    set_phase::{Judging, Looking, Scratch},
    shelf::{Shelf, ShelfWriter},
    sorter::{Sorted, Sorter},
};
use crate::{
    Result,
    clean::exact_dedup,
    draft::{Draft, Verdict},
};
use rayon::prelude::*;
use std::iter::Peekable;

/// The step in its first pass: the hash of each row's words, with its number, and its id.
pub(crate) struct ExactDedup {
    scratch: Scratch,
    keys: Sorter<3>,
    ids: ShelfWriter,
    n_rows: u64,
}

impl ExactDedup {
    pub(crate) fn new(scratch: Scratch) -> Result<Self> {
        let keys = Sorter::new(&scratch.folder, "keys", scratch.sorter_bytes());
        let ids = ShelfWriter::create(&scratch.folder, "ids")?;
        Ok(Self { scratch, keys, ids, n_rows: 0 })
    }
}

impl Looking for ExactDedup {
    fn look(&mut self, drafts: &[Draft]) -> Result<()> {
        let keys: Vec<u128> = drafts.par_iter().map(|draft| exact_dedup::key(&draft.row.text)).collect();
        for (draft, key) in drafts.iter().zip(keys) {
            self.keys.push([(key >> 64) as u64, key as u64, self.n_rows])?;
            self.ids.push(draft.row.row_id.as_bytes())?;
            self.n_rows += 1;
        }
        Ok(())
    }

    fn decide(self: Box<Self>) -> Result<Box<dyn Judging>> {
        let Self { scratch, keys, ids, .. } = *self;
        let mut repeats = Sorter::new(&scratch.folder, "repeats", scratch.sorter_bytes());
        let mut first: Option<[u64; 3]> = None;
        for record in keys.finish()? {
            let [high, low, row] = record?;
            match first {
                Some([first_high, first_low, first_row]) if (first_high, first_low) == (high, low) => {
                    repeats.push([row, first_row])?;
                }
                _ => first = Some([high, low, row]),
            }
        }
        Ok(Box::new(Repeats { repeats: repeats.finish()?.peekable(), ids: ids.finish()?, row: 0 }))
    }
}

/// The step in its second pass: each repetition with its first row, in the order of the rows.
struct Repeats {
    repeats: Peekable<Sorted<2>>,
    ids: Shelf,
    /// The next row.
    row: u64,
}

impl Repeats {
    /// The first row that the next row repeats.
    fn first_of_next(&mut self) -> Result<Option<u64>> {
        let row = self.row;
        self.row += 1;
        match self.repeats.next_if(|next| next.as_ref().map_or(true, |[repeat, _]| *repeat == row)) {
            Some(found) => found.map(|[_, first]| Some(first)),
            None => Ok(None),
        }
    }
}

impl Judging for Repeats {
    fn judge(&mut self, drafts: &mut [Draft]) -> Result<Vec<Verdict>> {
        let mut verdicts = Vec::with_capacity(drafts.len());
        for _ in drafts {
            let first = self.first_of_next()?;
            let id = first.map(|first| self.ids.read_text(first)).transpose()?;
            verdicts.push(Verdict::dropped(id.map(|id| exact_dedup::reason(&id))));
        }
        Ok(verdicts)
    }
}
