//! Near-duplicates of any number of rows: [`clusters`](super::clusters), of which the first rows stay.

use super::{
    clusters::{ClusterFinder, Found},
    set_phase::{Judging, Looking, Scratch},
    shelf::{Shelf, ShelfWriter},
};
use crate::{
    Result,
    clean::near_dedup,
    dedup::NearSettings,
    draft::{Draft, Reason, Verdict},
};
use rayon::prelude::*;

/// The step in its first pass.
pub(crate) struct NearDedup {
    finder: ClusterFinder,
    ids: ShelfWriter,
}

impl NearDedup {
    pub(crate) fn new(settings: &NearSettings, scratch: Scratch) -> Result<Self> {
        let ids = ShelfWriter::create(&scratch.folder, "ids")?;
        Ok(Self { finder: ClusterFinder::new(settings, scratch)?, ids })
    }
}

impl Looking for NearDedup {
    fn look(&mut self, drafts: &[Draft]) -> Result<()> {
        drafts.iter().try_for_each(|draft| self.ids.push(draft.row.row_id.as_bytes()))?;
        let texts: Vec<&str> = drafts.iter().map(|draft| draft.row.text.as_str()).collect();
        self.finder.look(&texts)
    }

    fn decide(self: Box<Self>) -> Result<Box<dyn Judging>> {
        Ok(Box::new(Nearest { found: self.finder.finish()?, ids: self.ids.finish()?, row: 0 }))
    }
}

/// The step in its second pass.
struct Nearest {
    found: Found,
    ids: Shelf,
    /// The next row.
    row: usize,
}

impl Judging for Nearest {
    fn judge(&mut self, drafts: &mut [Draft]) -> Result<Vec<Verdict>> {
        let start = self.row;
        self.row += drafts.len();
        let reason = |(index, draft): (usize, &Draft)| -> Result<Option<Reason>> {
            let first = self.found.first[start + index];
            if first == start + index {
                return Ok(None);
            }
            let similarity = self.found.similarity(&draft.row.text, first)?;
            Ok(Some(near_dedup::reason(&self.ids.read_text(first as u64)?, similarity)))
        };
        drafts.par_iter().enumerate().map(|row| reason(row).map(Verdict::dropped)).collect()
    }
}
