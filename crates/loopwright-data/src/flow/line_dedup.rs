//! Repeated lines of any number of rows: their hashes are sorted on disk, equal ones come to lie side by side, and all but
//! the first are sorted back into the order of the rows.

use super::{
    set_phase::{Judging, Looking, Scratch},
    sorter::{Sorted, Sorter},
};
use crate::{
    Result,
    clean::line_dedup::{self, Settings},
    draft::{Draft, Verdict},
};
use rayon::prelude::*;
use std::{collections::BTreeSet, iter::Peekable};

/// The step in its first pass: the hash of each line, with the numbers of its row and of the line in the row.
pub(crate) struct LineDedup {
    settings: Settings,
    scratch: Scratch,
    keys: Sorter<4>,
    n_rows: u64,
}

impl LineDedup {
    pub(crate) fn new(settings: &Settings, scratch: Scratch) -> Self {
        let keys = Sorter::new(&scratch.folder, "lines", scratch.sorter_bytes());
        Self { settings: settings.clone(), scratch, keys, n_rows: 0 }
    }
}

impl Looking for LineDedup {
    fn look(&mut self, drafts: &[Draft]) -> Result<()> {
        let keys: Vec<Vec<Option<u128>>> =
            drafts.par_iter().map(|draft| line_dedup::keys(&draft.row, &self.settings)).collect();
        for keys in keys {
            for (line, key) in keys.into_iter().enumerate().filter_map(|(line, key)| Some((line, key?))) {
                self.keys.push([(key >> 64) as u64, key as u64, self.n_rows, line as u64])?;
            }
            self.n_rows += 1;
        }
        Ok(())
    }

    fn decide(self: Box<Self>) -> Result<Box<dyn Judging>> {
        let Self { settings, scratch, keys, .. } = *self;
        let mut repeats = Sorter::new(&scratch.folder, "repeats", scratch.sorter_bytes());
        let mut last = None;
        for record in keys.finish()? {
            let [high, low, row, line] = record?;
            if last == Some((high, low)) {
                repeats.push([row, line])?;
            }
            last = Some((high, low));
        }
        Ok(Box::new(Repeats { settings, repeats: repeats.finish()?.peekable(), row: 0 }))
    }
}

/// The step in its second pass: the repeated lines in the order of the rows.
struct Repeats {
    settings: Settings,
    repeats: Peekable<Sorted<2>>,
    /// The next row.
    row: u64,
}

impl Repeats {
    /// The lines of the next row that go.
    fn of_next(&mut self) -> Result<BTreeSet<usize>> {
        let row = self.row;
        self.row += 1;
        let mut lines = BTreeSet::new();
        while let Some(found) = self.repeats.next_if(|next| next.as_ref().map_or(true, |[of, _]| *of == row)) {
            lines.insert(found?[1] as usize);
        }
        Ok(lines)
    }
}

impl Judging for Repeats {
    fn judge(&mut self, drafts: &mut [Draft]) -> Result<Vec<Verdict>> {
        let goes: Result<Vec<BTreeSet<usize>>> = drafts.iter().map(|_| self.of_next()).collect();
        let verdict = |(draft, goes): (&Draft, BTreeSet<usize>)| {
            line_dedup::without(&draft.row, &self.settings, |line| goes.contains(&line))
        };
        Ok(drafts.par_iter().zip(goes?).map(verdict).collect())
    }
}
